use std::convert::Infallible;

use futures::stream;
use http_body_util::StreamBody;

use super::*;

const MIB: usize = 1024 * 1024;

/// A body of `count` pieces of `size` bytes, one each `pause`; it never ends with `endless`.
fn pieces(count: usize, size: usize, pause: Duration) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
    let piece = move |sent: usize| async move {
        if sent == count {
            return None;
        }
        tokio::time::sleep(pause).await;
        let data = Bytes::from(vec![b','; size]);
        Some((Ok::<_, Infallible>(Frame::data(data)), sent + 1))
    };
    StreamBody::new(Box::pin(stream::unfold(0, piece)))
}

/// A first part, and then nothing more.
fn stalled(size: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
    let piece = move |sent: usize| async move {
        if sent > 0 {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; size]))), 1))
    };
    StreamBody::new(Box::pin(stream::unfold(0, piece)))
}

#[tokio::test(start_paused = true)]
async fn a_body_comes_whole_and_gives_back_what_it_held() {
    let budget = MemoryBudget::new(64);
    let declared = Some(2 * MIB as u64);
    let received = read(pieces(64, 32 * 1024, Duration::from_millis(1)), declared, &budget)
        .await
        .unwrap();
    assert_eq!((received.bytes.len(), received.commas), (2 * MIB, 2 * MIB));
    assert_eq!(budget.used_kib(), 2 * 1024);
    drop(received);
    assert_eq!(budget.used_kib(), 0);
    let small = read(pieces(1, 10, Duration::ZERO), None, &budget).await.unwrap();
    assert_eq!((small.bytes.len(), budget.used_kib()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused() {
    let budget = MemoryBudget::new(64);
    for declared in [Some(MAX_BODY_BYTES as u64 + 1), None] {
        let refused = read(pieces(21, MIB, Duration::ZERO), declared, &budget)
            .await
            .unwrap_err();
        assert_eq!(refused, ApiError::body_too_large());
    }
    assert_eq!(budget.used_kib(), 0);
}

#[tokio::test(start_paused = true)]
async fn silence_and_dripping_are_bounded() {
    let budget = MemoryBudget::new(64);
    let begun = Instant::now();
    let silent = read(stalled(10), Some(1000), &budget).await.unwrap_err();
    assert_eq!((silent.status(), begun.elapsed().as_secs()), (408, 20));
    let begun = Instant::now();
    let dripping = read(pieces(1000, 1, Duration::from_secs(7)), Some(1000), &budget)
        .await
        .unwrap_err();
    assert_eq!((dripping.status(), begun.elapsed().as_secs()), (408, 60));
}

/// A few clients that declare or send much and then stop hold nobody up for longer than others wait.
#[tokio::test(start_paused = true)]
async fn stalled_bodies_give_way() {
    let budget = MemoryBudget::new(64);
    let read_stalled = |size| {
        let budget = budget.clone();
        tokio::spawn(async move { read(stalled(size), Some(20 * MIB as u64), &budget).await })
    };
    let beginning: Vec<_> = (0..50).map(|_| read_stalled(FREE_BYTES)).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(budget.used_kib(), 0, "what is declared costs nothing");
    let holding = read_stalled(MIB);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(budget.used_kib(), 16 * 1024);
    let honest = pieces(40, 256 * 1024, Duration::from_millis(1));
    let received = read(honest, Some(10 * MIB as u64), &budget).await.unwrap();
    assert_eq!(received.bytes.len(), 10 * MIB);
    assert_eq!(holding.await.unwrap().unwrap_err().status(), 408);
    beginning.into_iter().for_each(|task| task.abort());
}

/// Nobody waits: a slow client may take its time.
#[tokio::test(start_paused = true)]
async fn slow_bodies_are_welcome_while_there_is_room() {
    let budget = MemoryBudget::new(64);
    let slow = pieces(50, 4096, Duration::from_secs(1));
    assert!(read(slow, Some(50 * 4096), &budget).await.is_ok());
}
