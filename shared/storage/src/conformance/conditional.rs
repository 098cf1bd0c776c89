//! Conditional writes: one winner, nothing lost.

use std::sync::Arc;

use bytes::Bytes;

use super::samples::{RACERS, Samples, name, pattern};
use crate::error::StoreError;
use crate::objects::{ETag, ObjectStore};

pub(super) async fn run(one: &Arc<dyn ObjectStore>, other: &Arc<dyn ObjectStore>, samples: &Samples) {
    let prefix = samples.prefix();
    let document = name(&prefix, "document.json");
    let nothing = ETag("0".repeat(32));
    let refused = one
        .replace(&document, Bytes::from_static(b"x"), &nothing)
        .await
        .unwrap_err();
    assert!(refused.is_not_found() || refused.is_conflict(), "{refused}");
    assert!(one.read_tagged(&document).await.unwrap_err().is_not_found());
    let first = one.create(&document, Bytes::from_static(b"first")).await.unwrap();
    assert!(
        other
            .create(&document, Bytes::from_static(b"first"))
            .await
            .unwrap_err()
            .is_conflict()
    );
    assert_eq!(
        other.read_tagged(&document).await.unwrap(),
        (Bytes::from_static(b"first"), first.clone())
    );
    assert!(
        one.replace(&document, Bytes::from_static(b"x"), &nothing)
            .await
            .unwrap_err()
            .is_conflict()
    );
    let second = other
        .replace(&document, Bytes::from_static(b"second"), &first)
        .await
        .unwrap();
    assert_ne!(first, second);
    assert!(
        one.replace(&document, Bytes::from_static(b"late"), &first)
            .await
            .unwrap_err()
            .is_conflict()
    );
    assert_eq!(
        one.read_tagged(&document).await.unwrap(),
        (Bytes::from_static(b"second"), second.clone())
    );
    assert_eq!(one.get(&document).await.unwrap(), "second");
    // Longer, shorter, empty: never a mixture of versions.
    let mut etag = second;
    for length in [100_000, 10, 70_000, 0, 3] {
        let bytes = pattern(length, length as u64);
        etag = one.replace(&document, bytes.clone(), &etag).await.unwrap();
        assert!(other.read_tagged(&document).await.unwrap() == (bytes, etag.clone()));
    }
}

/// Of many creations one succeeds, and what it wrote is what is there.
pub(super) async fn one_create_wins(one: &Arc<dyn ObjectStore>, other: &Arc<dyn ObjectStore>, samples: &Samples) {
    for _ in 0..5 {
        let document = name(&samples.prefix(), "race.json");
        let racers: Vec<_> = (0..RACERS)
            .map(|racer| {
                let store = Arc::clone(if racer % 2 == 0 { one } else { other });
                let document = document.clone();
                tokio::spawn(async move { store.create(&document, Bytes::from(format!("racer {racer}"))).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (racer, task) in racers.into_iter().enumerate() {
            match task.await.unwrap() {
                Ok(etag) => winners.push((racer, etag)),
                Err(error) => assert!(error.is_conflict(), "{error:?}"),
            }
        }
        let [(winner, etag)] = winners.as_slice() else {
            panic!("{} of {RACERS} creations won", winners.len());
        };
        let (bytes, read) = one.read_tagged(&document).await.unwrap();
        assert_eq!((bytes, &read), (Bytes::from(format!("racer {winner}")), etag));
    }
}

/// Puts of different bytes under one name: one succeeds; puts of the same bytes: all do.
pub(super) async fn one_put_wins(one: &Arc<dyn ObjectStore>, other: &Arc<dyn ObjectStore>, samples: &Samples) {
    for kinds in [1, RACERS] {
        let object = name(&samples.prefix(), "race.arrow");
        let racers: Vec<_> = (0..RACERS)
            .map(|racer| {
                let store = Arc::clone(if racer % 2 == 0 { one } else { other });
                let object = object.clone();
                tokio::spawn(async move { store.put(&object, pattern(100_000, (racer % kinds) as u64 * 2)).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (racer, task) in racers.into_iter().enumerate() {
            match task.await.unwrap() {
                Ok(()) => winners.push(racer),
                Err(error) => assert!(error.is_conflict(), "{error:?}"),
            }
        }
        assert_eq!(winners.len(), if kinds == 1 { RACERS } else { 1 });
        assert!(one.get(&object).await.unwrap() == pattern(100_000, (winners[0] % kinds) as u64 * 2));
    }
}

/// Every increment of a counter counts once.
pub(super) async fn counter(one: &Arc<dyn ObjectStore>, other: &Arc<dyn ObjectStore>, samples: &Samples) {
    const EACH: u64 = 4;
    let document = name(&samples.prefix(), "counter");
    one.create(&document, Bytes::from_static(b"0 start")).await.unwrap();
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let store = Arc::clone(if racer % 2 == 0 { one } else { other });
            let document = document.clone();
            tokio::spawn(async move {
                for round in 0..EACH {
                    increment(store.as_ref(), &document, &format!("{racer}-{round}")).await;
                }
            })
        })
        .collect();
    for racer in racers {
        racer.await.unwrap();
    }
    let (bytes, _) = other.read_tagged(&document).await.unwrap();
    assert_eq!(count_in(&bytes), RACERS as u64 * EACH);
}

async fn increment(store: &dyn ObjectStore, document: &crate::paths::ObjectName, nonce: &str) {
    loop {
        let (bytes, etag) = store.read_tagged(document).await.unwrap();
        let next = Bytes::from(format!("{} {nonce}", count_in(&bytes) + 1));
        match store.replace(document, next, &etag).await {
            Ok(_) => return,
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn count_in(bytes: &Bytes) -> u64 {
    let text = std::str::from_utf8(bytes).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
