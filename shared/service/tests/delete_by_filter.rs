//! Deleting by filter while others write, fold and replace: what no longer matches is never deleted (I1).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genai_vectors_service::indexing::fold::fold_once;
use genai_vectors_service::{Config, Service};
use model::Operation::{DeleteVectors, ListVectors, PutVectors};
use rstest::rstest;
use serde_json::{Value, json};
use storage::MemoryStore;
use support::{World, call, path, with_index};

const KEYS: usize = 60;

async fn world() -> World {
    // Every storage call yields, so that two requests take turns at all of them.
    let world = World::over(MemoryStore::with_yields(), Config::default()).await;
    world.create_index("idx", 2, "euclidean", &[]).await;
    world
}

fn rows(keys: impl Iterator<Item = usize>, state: &str) -> Value {
    let row = |key| json!({"key": format!("k{key}"), "data": {"float32": [1, key]}, "metadata": {"state": state}});
    with_index("idx", json!({"vectors": keys.map(row).collect::<Vec<_>>()}))
}

async fn put(service: &Service, keys: impl Iterator<Item = usize>, state: &str) {
    call(service, PutVectors, &rows(keys, state)).await.unwrap();
}

async fn delete_old(service: &Service) -> u64 {
    let body = with_index("idx", json!({"filter": {"state": "old"}}));
    let answer = call(service, DeleteVectors, &body).await.unwrap();
    answer["deletedCount"].as_u64().unwrap()
}

/// Keys by state.
async fn states(service: &Service) -> Vec<(String, String)> {
    let body = with_index("idx", json!({"maxResults": 1000, "returnMetadata": true}));
    let answer = call(service, ListVectors, &body).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = answer["vectors"].as_array().unwrap().iter();
    rows.map(|row| (text(&row["key"]), text(&row["metadata"]["state"])))
        .collect()
}

/// All keys are rewritten out of the filter while it deletes, and the tail is folded at any moment: every
/// acknowledged version stays, whoever was first.
#[rstest]
#[case::in_one_process(false)]
#[case::in_two_processes(true)]
#[tokio::test]
async fn a_version_that_does_not_match_is_never_deleted(#[case] apart: bool) {
    let world = world().await;
    let other = if apart {
        world.second().await
    } else {
        world.service.clone()
    };
    let mut deleted = 0;
    for trial in 0..60 {
        put(&world.service, 0..KEYS, "old").await;
        let rewrite = async {
            // The filter is evaluated on other threads, so only time makes them meet: at another point each time.
            tokio::time::sleep(Duration::from_micros(trial * 50)).await;
            for first in (0..KEYS).step_by(5) {
                put(&other, first..first + 5, "new").await;
            }
        };
        let fold = async {
            for _ in 0..trial % 5 {
                tokio::task::yield_now().await;
            }
            fold_once(world.ctx(), &path("idx"), 3).await.unwrap();
        };
        let ((), (), count) = tokio::join!(rewrite, fold, delete_old(&world.service));
        deleted += count;
        let lost = KEYS - states(&other).await.iter().filter(|(_, state)| state == "new").count();
        assert_eq!(lost, 0, "trial {trial}: acknowledged versions are gone");
        // Room in the tail for the next one.
        fold_once(world.ctx(), &path("idx"), 256).await.unwrap();
    }
    assert!(deleted > 0, "the filter never deleted anything: nothing was tested");
}

#[rstest]
#[case::in_one_process(false)]
#[case::in_two_processes(true)]
#[tokio::test]
async fn it_ends_though_others_never_stop_writing(#[case] apart: bool) {
    let world = world().await;
    let other = if apart {
        world.second().await
    } else {
        world.service.clone()
    };
    put(&world.service, 0..KEYS, "old").await;
    let done = AtomicBool::new(false);
    let write = |first: usize| {
        let (other, done) = (&other, &done);
        async move {
            let mut writes = 0_u32;
            while !done.load(Ordering::Relaxed) {
                put(other, first..first + 1, "busy").await;
                // As long as the fastest real store takes: this one takes no time at all, and nobody else would get a turn.
                tokio::time::sleep(Duration::from_millis(1)).await;
                fold_once(other.context(), &path("idx"), 256).await.unwrap();
                writes += 1;
            }
            writes
        }
    };
    let delete = async {
        let count = delete_old(&world.service).await;
        done.store(true, Ordering::Relaxed);
        count
    };
    let all = async { tokio::join!(delete, write(KEYS), write(KEYS + 1), write(0)) };
    let (count, ..) = tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("the delete never ends");
    assert!((KEYS as u64 - 1..=KEYS as u64).contains(&count), "{count}");
    let left = states(&world.service).await;
    assert!(
        left.iter().all(|(_, state)| state == "busy") && left.len() == 3,
        "{left:?}"
    );
}
