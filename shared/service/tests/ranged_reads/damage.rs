//! Damage, failures and loss of files of which ranges are read.

use std::time::Duration;

use genai_vectors_service::indexing::{compact, fold};
use model::{ApiError, Operation};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use storage::ObjectStore;
use storage::layers::faults::{Fault, When};

use super::support::path;
use super::{DIMENSION, HAS_INDEXES, INDEX, calls, config, indexed, put, query, rows_of};

#[tokio::test]
async fn every_flipped_byte_of_a_range_is_found() {
    if !HAS_INDEXES {
        return;
    }
    let world = indexed(7, 1_500, config(), false).await;
    let name = rows_of(&world.store);
    let remote = world.over_network(Duration::ZERO, None, &config()).await;
    let mut body = query(&mut ChaCha8Rng::seed_from_u64(3), 4);
    body["returnMetadata"] = json!(true);
    body["returnData"] = json!(true);
    let ask = async || remote.on(INDEX, Operation::QueryVectors, body.clone()).await;
    let sound = ask().await.unwrap();
    let mut flipped = 0;
    for call in calls(&remote, "get_range") {
        let (object, range) = call.split_once(' ').unwrap();
        assert_eq!(object, name.as_str());
        let (start, end) = range.split_once("..").unwrap();
        for byte in start.parse::<usize>().unwrap()..end.parse().unwrap() {
            let bit = byte * 8 + byte % 8;
            assert!(world.store.flip_bit(&name, bit));
            let error = ask().await.unwrap_err();
            assert!(matches!(error, ApiError::Internal { .. }), "byte {byte}: {error}");
            assert!(world.store.flip_bit(&name, bit));
            flipped += 1;
        }
    }
    assert!(flipped > 12 * 4 * DIMENSION, "{flipped}");
    assert_eq!(
        ask().await.unwrap(),
        sound,
        "what is mended is read again, without a restart"
    );
}

#[tokio::test]
async fn a_store_that_fails_in_the_middle() {
    let world = indexed(8, 1_500, config(), true).await;
    let mut body = query(&mut ChaCha8Rng::seed_from_u64(4), 10);
    body["returnMetadata"] = json!(true);
    let sound = world.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    let first = world.over_network(Duration::ZERO, None, &config()).await;
    let opened = first.plan.count();
    first.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    let reads = first.plan.count();
    let mut ranges = 0;
    for number in opened + 1..=reads {
        for fault in [Fault::Throttled, Fault::Unknown] {
            let remote = world.over_network(Duration::ZERO, None, &config()).await;
            remote.plan.fail_at(number, When::Before, fault);
            let failed = remote.on(INDEX, Operation::QueryVectors, body.clone()).await;
            let calls = remote.plan.calls();
            let call = calls.iter().find(|call| call.number == number).unwrap();
            match failed {
                // The catalog reads its documents again by itself.
                Ok(answer) => assert!(call.method == "read_tagged" && answer == sound, "{call}"),
                Err(error) => assert!(matches!(error, ApiError::ServiceUnavailable { .. }), "{call}: {error}"),
            }
            ranges += usize::from(call.method == "get_range");
            let again = remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
            assert_eq!(again, sound, "after call {number} failed");
        }
    }
    assert!(!HAS_INDEXES || ranges > 8, "{ranges}");
}

/// The shard is replaced and collected between the record and the ranges: the answer is that of the newer record.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_collected_under_a_reader() {
    if !HAS_INDEXES {
        return;
    }
    let mut config = config();
    config.compaction.fan_in = 2;
    let world = indexed(13, 800, config.clone(), false).await;
    let old = rows_of(&world.store);
    let remote = world.over_network(Duration::from_secs(600), None, &config).await;
    let body = query(&mut ChaCha8Rng::seed_from_u64(9), 10);
    remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    let warm = calls(&remote, "get_range").len();

    let mut asked = std::pin::pin!(remote.on(INDEX, Operation::QueryVectors, body.clone()));
    // Time does not pass by itself from here on, so its ranges are on their way until it does.
    tokio::time::resume();
    let waited = tokio::time::timeout(Duration::from_millis(500), asked.as_mut()).await;
    assert!(waited.is_err(), "{waited:?}");
    let mut random = ChaCha8Rng::seed_from_u64(14);
    put(&world, &mut random, 800..1_600).await;
    // An index for the new rows, then one shard of both. The clock that deadlines are told from stands still.
    fold::fold_once(world.ctx(), &path(INDEX), 256).await.unwrap();
    for _ in 0..2 {
        compact::compact_once(world.ctx(), &path(INDEX)).await.unwrap();
    }
    assert_ne!(rows_of(&world.store), old);
    world.store.delete(std::slice::from_ref(&old)).await.unwrap();
    tokio::time::pause();
    let answer = asked.await.unwrap();
    assert_eq!(answer, world.on(INDEX, Operation::QueryVectors, body).await.unwrap());
    let since = calls(&remote, "get_range").split_off(warm);
    let of_old = since.iter().filter(|call| call.starts_with(old.as_str())).count();
    assert!(of_old > 0 && of_old < since.len(), "{of_old} of {since:?}");
}

/// The record leads to a file that is gone: an error, not an endless search for a newer record.
#[tokio::test]
async fn a_lost_file_is_reported() {
    let world = indexed(9, 800, config(), false).await;
    let remote = world.over_network(Duration::ZERO, None, &config()).await;
    let body = query(&mut ChaCha8Rng::seed_from_u64(5), 3);
    remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    world.store.delete(&[rows_of(&world.store)]).await.unwrap();
    if HAS_INDEXES {
        let error = remote
            .on(INDEX, Operation::QueryVectors, body.clone())
            .await
            .unwrap_err();
        assert!(matches!(error, ApiError::Internal { .. }), "{error}");
    }
    let deleted = remote.on(INDEX, Operation::DeleteIndex, json!({})).await;
    assert!(deleted.is_ok(), "{deleted:?}");
    let error = remote.on(INDEX, Operation::QueryVectors, body).await.unwrap_err();
    assert!(matches!(error, ApiError::NotFound { .. }), "{error}");
}
