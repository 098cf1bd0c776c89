//! Deletes of what matched a filter: overtaken, lost, judged again.

use super::*;
use crate::query::matched::Matched;

/// "a" and "b", which passed a filter when the index held exactly them.
async fn matched(desk: &Desk) -> Matched {
    let rows = vec![put("a", 2), put("b", 2)];
    write(&desk.ctx, &desk.path, desk.known().await, rows, Permission::Open, SOON)
        .await
        .unwrap();
    let record = desk.record().await;
    let keys = vec!["a".to_owned(), "b".to_owned()];
    let filter = r#"{"kept":{"$exists":false}}"#.to_owned();
    desk.known().await;
    Matched::new(filter, Strictness::Lenient, keys, record.uuid, record.end())
}

fn keep(key: &str) -> WriteRow {
    WriteRow::Put(PutRow {
        key: key.to_owned(),
        vector: vec![1.0; 2],
        metadata: Some(r#"{"kept":true}"#.to_owned()),
    })
}

async fn is_there(desk: &Desk, key: &str) -> bool {
    let snapshot = crate::query::read(&desk.ctx, &desk.path, SOON).await.unwrap();
    snapshot.find(key).is_some()
}

fn objects_put(desk: &Desk) -> usize {
    let calls = desk.store_plan.calls();
    calls.iter().filter(|call| call.method == "put").count()
}

#[tokio::test]
async fn keys_that_do_not_match_any_more_are_not_deleted() {
    let desk = Desk::new().await;
    let matched = matched(&desk).await;
    write(
        &desk.ctx,
        &desk.path,
        desk.known().await,
        vec![keep("b")],
        Permission::Open,
        SOON,
    )
    .await
    .unwrap();
    assert_eq!(delete_matched(&desk.ctx, &desk.path, matched, SOON).await, Ok(1));
    assert!(!is_there(&desk, "a").await && is_there(&desk, "b").await);
}

#[rstest]
#[case(When::Before)]
#[case(When::After)]
#[tokio::test]
async fn a_lost_answer_to_a_delete_by_filter_is_decided_from_the_record(#[case] when: When) {
    let desk = Desk::new().await;
    let matched = matched(&desk).await;
    // Call 1 reads the record for the snapshot, call 2 appends.
    desk.plan.fail_at(2, when, Fault::Unknown);
    assert_eq!(delete_matched(&desk.ctx, &desk.path, matched, SOON).await, Ok(2));
    assert_eq!(desk.record().await.wal.len(), 2, "I2: once");
    assert!(!is_there(&desk, "a").await && !is_there(&desk, "b").await);
}

/// Another process commits between the judgement and the append.
#[rstest]
#[case::one_of_its_keys("a", 1, 2)]
#[case::another_key("z", 2, 1)]
#[tokio::test]
async fn an_overtaken_delete_by_filter_looks_again(
    #[case] key: &str,
    #[case] deleted: u64,
    #[case] objects: usize,
    #[values(false, true)] folded: bool,
) {
    let desk = Arc::new(Desk::new().await);
    let matched = matched(&desk).await;
    desk.plan.set_latency_of("append", std::time::Duration::from_millis(40));
    let delete = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { delete_matched(&desk.ctx, &desk.path, matched, SOON).await }
    });
    while !desk.plan.calls().iter().any(|call| call.method == "append") {
        tokio::task::yield_now().await;
    }
    let other = desk.second();
    let known = known_index(&other, &desk.path).await.unwrap().known;
    write(&other, &desk.path, known, vec![keep(key)], Permission::Open, SOON)
        .await
        .unwrap();
    if folded {
        crate::indexing::fold::fold_once(&other, &desk.path, 256).await.unwrap();
    }
    assert_eq!(delete.await.unwrap(), Ok(deleted));
    assert_eq!(objects_put(&desk), objects, "stored anew only when keys were lost");
    assert!(is_there(&desk, key).await, "I1: nobody judged this version");
    assert!(!is_there(&desk, "b").await);
    assert_eq!(is_there(&desk, "a").await, key == "a");
}
