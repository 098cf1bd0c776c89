//! What a failed fold leaves behind: the index's own failures are remembered until one succeeds, others are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::sync::{Arc, mpsc};

use format::record::Lease;
use genai_vectors_service::Config;
use genai_vectors_service::indexing::fold::fold_once;
use genai_vectors_service::indexing::work::{self, Next};
use model::Operation::PutVectors;
use rstest::rstest;
use serde_json::json;
use storage::ObjectName;
use support::{World, path};

const HOLDER: &str = "one process";

fn config(sole_indexer: bool) -> Config {
    let mut config = Config::default();
    config.fold.sole_indexer = sole_indexer;
    config.fold.due_entries = 1;
    config
}

async fn world(sole_indexer: bool) -> World {
    let world = World::new(config(sole_indexer)).await;
    world.create_index("idx", 2, "euclidean", &[]).await;
    world
}

async fn put(world: &World, keys: std::ops::Range<usize>) {
    for key in keys {
        let body = json!({"vectors": [{"key": format!("k{key}"), "data": {"float32": [1, key]}}]});
        world.on("idx", PutVectors, body).await.unwrap();
    }
}

async fn folds(world: &World, holder: &str) -> Next {
    work::folds(world.ctx(), &path("idx"), holder).await
}

async fn tail(world: &World) -> usize {
    let record = world.ctx().ports.catalog.read_record(&path("idx")).await;
    record.unwrap().unwrap().wal.len()
}

async fn lease(world: &World) -> Option<Lease> {
    let record = world.ctx().ports.catalog.read_record(&path("idx")).await;
    record.unwrap().unwrap().lease
}

fn remembered(lease: Option<&Lease>) -> (u32, u64) {
    lease.map_or((0, 0), |lease| (lease.attempts, lease.retry_at_ms))
}

fn oldest_wal(world: &World) -> ObjectName {
    let mut names = world.store.names();
    names.retain(|name| name.as_str().contains("/wal/"));
    names.sort();
    names.remove(0)
}

/// Waits out what a failed attempt asks for.
fn wait(world: &World, next: Next) -> u64 {
    let Next::NotBefore(at_ms) = next else {
        panic!("not a failure: {next:?}")
    };
    let waited = at_ms - world.ctx().now_ms();
    world.clock.set(at_ms);
    waited
}

#[rstest]
#[tokio::test]
async fn a_full_disk_is_not_the_indexs_fault(#[values(false, true)] sole: bool) {
    let world = world(sole).await;
    put(&world, 0..3).await;
    // The lease of an earlier fold, so that taking it needs no space.
    assert_eq!(folds(&world, HOLDER).await, Next::Idle);
    put(&world, 0..3).await;
    world.plan.set_disk_full(true);
    for _ in 0..6 {
        let next = folds(&world, HOLDER).await;
        assert_eq!(wait(&world, next), 1_000, "always as soon");
    }
    world.plan.set_disk_full(false);
    assert_eq!(remembered(lease(&world).await.as_ref()), (0, 0));
    assert_eq!(folds(&world, HOLDER).await, Next::Idle);
    assert_eq!(tail(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_delays_a_fold_and_does_not_fail_it() {
    let world = world(true).await;
    put(&world, 0..40).await;
    let pool = Arc::clone(&world.ctx().pool);
    let queue = pool.threads() * engine::pool::WAITING_PER_THREAD;
    let (started, has_started) = mpsc::channel();
    let mut gates = Vec::new();
    for _ in 0..pool.threads() {
        let (open, gate) = mpsc::channel::<()>();
        let (pool, started) = (Arc::clone(&pool), started.clone());
        let block = move || {
            started.send(()).unwrap();
            let _ = gate.recv();
        };
        tokio::spawn(async move { pool.run(block).await });
        gates.push(open);
        has_started.recv().unwrap();
    }
    for _ in 0..queue {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.run(|| ()).await });
    }
    while pool.waiting() < queue {
        tokio::task::yield_now().await;
    }
    assert!(pool.run(|| ()).await.is_err(), "no room for a request");
    let release = async {
        while pool.waiting() <= queue {
            tokio::task::yield_now().await;
        }
        drop(gates);
    };
    let (next, ()) = tokio::join!(folds(&world, HOLDER), release);
    assert_eq!((next, tail(&world).await), (Next::Idle, 0));
    assert_eq!(remembered(lease(&world).await.as_ref()), (0, 0));
    assert_eq!(world.ctx().metrics.fold_failures.get(), 0);
}

#[rstest]
#[tokio::test]
async fn damage_halves_the_folds_until_one_succeeds(#[values(false, true)] sole: bool) {
    let mut world = world(sole).await;
    put(&world, 0..10).await;
    let damaged = oldest_wal(&world);
    assert!(world.store.flip_bit(&damaged, 4_000));
    world.restart().await;
    for (failures, seconds) in [(1, 2), (2, 4), (3, 8)] {
        let next = folds(&world, HOLDER).await;
        assert_eq!(lease(&world).await.unwrap().attempts, failures);
        assert_eq!(wait(&world, next), seconds * 1_000);
    }
    assert!(world.store.flip_bit(&damaged, 4_000), "repaired");
    assert_eq!(folds(&world, HOLDER).await, Next::Idle);
    assert_eq!(remembered(lease(&world).await.as_ref()), (0, 0), "a success forgets");
    assert_eq!(tail(&world).await, 0);
    let folds_before = world.ctx().metrics.folds.get();
    put(&world, 0..200).await;
    assert_eq!(folds(&world, HOLDER).await, Next::Idle);
    assert_eq!(world.ctx().metrics.folds.get() - folds_before, 1, "as wide as ever");
}

#[rstest]
#[case::alone(true)]
#[case::among_others(false)]
#[tokio::test]
async fn only_a_sole_indexer_starts_clean(#[case] sole: bool) {
    let mut world = world(sole).await;
    put(&world, 0..100).await;
    let damaged = oldest_wal(&world);
    assert!(world.store.flip_bit(&damaged, 4_000));
    world.restart().await;
    for _ in 0..4 {
        let next = folds(&world, HOLDER).await;
        wait(&world, next);
    }
    let next = folds(&world, HOLDER).await;
    assert!(matches!(next, Next::NotBefore(_)));
    assert!(world.store.flip_bit(&damaged, 4_000));
    // The process ends before the time to try again; the next one has another name.
    world.restart().await;
    let next = folds(&world, "another process").await;
    if sole {
        assert_eq!((next, world.ctx().metrics.folds.get()), (Next::Idle, 1));
        assert_eq!(remembered(lease(&world).await.as_ref()), (0, 0));
    } else {
        let retry_at_ms = lease(&world).await.unwrap().retry_at_ms;
        assert_eq!(next, Next::At(retry_at_ms), "what one process learned holds for all");
    }
}

#[tokio::test]
async fn a_failed_compaction_does_not_hold_up_folds() {
    let mut config = config(true);
    config.compaction.fan_in = 2;
    config.compaction.absorb_ratio = 0;
    config.compaction.absorb_free_bytes = 0;
    let world = World::new(config).await;
    world.create_index("idx", 2, "euclidean", &[]).await;
    for round in 0..3 {
        put(&world, round * 3..round * 3 + 3).await;
        fold_once(world.ctx(), &path("idx"), 256).await.unwrap();
    }
    let mut shards = world.store.names();
    shards.retain(|name| name.as_str().contains("/shard/"));
    shards.sort();
    assert!(world.store.flip_bit(&shards[0], 40));
    // The first process has that shard open; this one has not.
    let second = world.second().await;
    let next = work::compactions(second.context(), &path("idx"), HOLDER).await;
    let later = world.ctx().now_ms() + 60_000;
    assert_eq!(next, Next::NotBefore(later), "the compaction failed");
    assert_eq!(remembered(lease(&world).await.as_ref()), (0, 0));
    put(&world, 0..3).await;
    assert!(!matches!(folds(&world, HOLDER).await, Next::NotBefore(_)));
    assert_eq!(tail(&world).await, 0);
}
