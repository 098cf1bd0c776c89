//! What happens when a write cannot be read: what is older is folded, the operator and nobody else gives it up; and a
//! purge that fails does not keep the others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use std::time::Duration;

use format::record::IndexRecord;
use genai_vectors_service::Config;
use genai_vectors_service::indexing::purge::Purger;
use genai_vectors_service::indexing::quarantine::{self, Health, examine, fold_older};
use genai_vectors_service::indexing::work::{self, Next};
use genai_vectors_service::indexing::{Outcome, fold};
use model::{ApiError, Operation, WalId};
use serde_json::{Value, json};
use storage::layers::faults::{Fault, When};
use storage::{ObjectStore as _, paths};
use support::{World, path};

const INDEX: &str = "idx";

/// An index with `writes` commits of one row each, `k0` to `k{writes - 1}`, and the entries.
async fn world(writes: usize) -> (World, Vec<WalId>) {
    let world = World::new(Config::default()).await;
    world.create_index(INDEX, 2, "euclidean", &[]).await;
    for n in 0..writes {
        put(&world, &format!("k{n}"), n as f64).await;
    }
    let entries = record(&world).await.wal.iter().map(|entry| entry.id).collect();
    (world, entries)
}

async fn put(world: &World, key: &str, value: f64) {
    let body = json!({"vectors": [{"key": key, "data": {"float32": [value, 0.0]}}]});
    world.on(INDEX, Operation::PutVectors, body).await.unwrap();
}

async fn record(world: &World) -> IndexRecord {
    let record = world.ctx().ports.catalog.read_record(&path(INDEX)).await;
    record.unwrap().unwrap()
}

/// The keys that are listed.
async fn keys(world: &World) -> Result<Vec<String>, ApiError> {
    let listed = world.on(INDEX, Operation::ListVectors, json!({})).await?;
    let keys = listed["vectors"].as_array().unwrap().iter();
    Ok(keys.map(|row| row["key"].as_str().unwrap().to_owned()).collect())
}

/// What the indexer does in a long time, in a process that remembers nothing.
async fn index_for_hours(world: &mut World) {
    world.restart().await;
    for _ in 0..64 {
        match work::folds(world.ctx(), &path(INDEX), "indexer").await {
            Next::Idle => return,
            Next::At(at_ms) | Next::NotBefore(at_ms) => world.clock.set(at_ms.max(world.ctx().now_ms()) + 1),
        }
    }
}

async fn damage(world: &mut World, entry: WalId) {
    let uuid = record(world).await.uuid;
    assert!(world.store.flip_bit(&paths::wal(uuid, entry), 4_000));
    world.restart().await;
}

fn is_unreadable(health: &Health) -> bool {
    matches!(health, Health::Unreadable { reason } if !reason.is_empty())
}

#[tokio::test]
async fn everything_before_an_unreadable_write_is_folded_and_nothing_after() {
    let (mut world, entries) = world(20).await;
    damage(&mut world, entries[7]).await;
    world.clock.advance(Duration::from_secs(10));
    index_for_hours(&mut world).await;
    let stuck = record(&world).await;
    assert_eq!((stuck.wal_base, stuck.wal[0].id), (7, entries[7]));
    let error = keys(&world).await.unwrap_err();
    assert!(error.message().contains(&entries[7].to_string()), "{error}");
}

#[tokio::test]
async fn quarantine_gives_up_one_write_and_the_indexer_goes_on_at_once() {
    let (mut world, entries) = world(20).await;
    damage(&mut world, entries[7]).await;
    world.clock.advance(Duration::from_secs(10));
    index_for_hours(&mut world).await;
    let waiting = work::folds(world.ctx(), &path(INDEX), "indexer").await;
    assert!(
        matches!(waiting, Next::NotBefore(at_ms) if at_ms > world.ctx().now_ms() + 30_000),
        "{waiting:?}"
    );

    let given_up = quarantine::quarantine(world.ctx(), &path(INDEX), entries[7]).await;
    assert_eq!(given_up.unwrap(), Outcome::Committed { rows: 0 });
    let after = record(&world).await;
    assert_eq!((after.wal_base, after.wal.len()), (8, 12));
    let manifest = manifest(&world, &after).await;
    assert_eq!(manifest["quarantined"], json!([entries[7].to_string()]));
    let folded: Vec<_> = entries[..8].iter().map(ToString::to_string).collect();
    assert_eq!(manifest["folded"], json!(folded));
    let others = |key: &String| key != "k7";
    let mut expected: Vec<String> = (0..20).map(|n| format!("k{n}")).filter(others).collect();
    expected.sort();
    assert_eq!(keys(&world).await.unwrap(), expected);

    // At once and in one piece.
    let folds = world.ctx().metrics.folds.get();
    assert_eq!(work::folds(world.ctx(), &path(INDEX), "indexer").await, Next::Idle);
    assert_eq!(record(&world).await.wal_base, 20);
    assert_eq!(world.ctx().metrics.folds.get(), folds + 1);
    world.restart().await;
    assert_eq!(keys(&world).await.unwrap(), expected);
}

async fn manifest(world: &World, record: &IndexRecord) -> Value {
    let name = paths::manifest(record.uuid, &record.manifest.unwrap());
    let bytes = world.ctx().ports.objects.get(&name).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn only_the_oldest_entry_is_given_up() {
    let (world, entries) = world(3).await;
    for other in [entries[1], WalId(model::Ulid::NIL)] {
        let outcome = quarantine::quarantine(world.ctx(), &path(INDEX), other).await;
        assert_eq!(outcome.unwrap(), Outcome::Nothing);
    }
    let gone = quarantine::quarantine(world.ctx(), &path("nowhere"), entries[0]).await;
    assert_eq!(gone.unwrap(), Outcome::Gone);
    assert_eq!(record(&world).await.wal.len(), 3);
}

/// The storage call of this number, counted from the beginning of a quarantine, loses its answer; the operator runs
/// the command again if it failed. How many calls there were.
async fn quarantine_with_a_lost_answer(number: u64, when: When) -> u64 {
    let (mut world, entries) = world(3).await;
    damage(&mut world, entries[0]).await;
    let before = world.plan.count();
    world.plan.fail_at(before + number, when, Fault::Unknown);
    let first = quarantine::quarantine(world.ctx(), &path(INDEX), entries[0]).await;
    let calls = world.plan.count() - before;
    if !matches!(first, Ok(Outcome::Committed { .. })) {
        let second = quarantine::quarantine(world.ctx(), &path(INDEX), entries[0]).await;
        assert!(
            matches!(second, Ok(Outcome::Committed { .. } | Outcome::Nothing)),
            "{second:?}"
        );
    }
    let after = record(&world).await;
    assert_eq!(
        (after.wal_base, after.wal[0].id),
        (1, entries[1]),
        "call {number} {when:?}"
    );
    assert_eq!(keys(&world).await.unwrap(), ["k1", "k2"]);
    calls
}

#[tokio::test]
async fn a_lost_answer_gives_up_no_second_entry() {
    for when in [When::Before, When::After] {
        let mut number = 1;
        while number <= quarantine_with_a_lost_answer(number, when).await {
            number += 1;
        }
        assert!(number > 3, "{number} calls: nothing was committed");
    }
}

/// Which call of an examination asks for the first entry, counted from 1.
async fn calls_until_an_entry(world: &mut World) -> u64 {
    world.restart().await;
    let before = world.plan.count();
    examine(world.ctx(), &path(INDEX)).await.unwrap();
    let calls = world.plan.calls();
    let is_entry = |call: &&storage::layers::faults::Call| call.number > before && call.arguments.contains("/wal/");
    calls.iter().find(is_entry).unwrap().number - before
}

#[tokio::test]
async fn an_examination_tells_what_is_lost_from_what_is_not_known() {
    let (mut world, entries) = world(4).await;
    let uuid = record(&world).await.uuid;
    damage(&mut world, entries[1]).await;
    world.store.delete(&[paths::wal(uuid, entries[2])]).await.unwrap();
    let tail = examine(world.ctx(), &path(INDEX)).await.unwrap().unwrap();
    let ids: Vec<WalId> = tail.iter().map(|(entry, _)| entry.id).collect();
    assert_eq!(ids, entries);
    let unreadable: Vec<bool> = tail.iter().map(|(_, health)| is_unreadable(health)).collect();
    assert_eq!(unreadable, [false, true, true, false]);
    assert_eq!(tail[0].1, Health::Readable);

    // The same calls once more, and the one for the first entry fails.
    let first_entry = calls_until_an_entry(&mut world).await;
    world.restart().await;
    world
        .plan
        .fail_at(world.plan.count() + first_entry, When::Before, Fault::Throttled);
    let tail = examine(world.ctx(), &path(INDEX)).await.unwrap().unwrap();
    assert!(matches!(tail[0].1, Health::Unknown { .. }), "{tail:?}");
    assert!(examine(world.ctx(), &path("nowhere")).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_older_is_folded_first() {
    let (mut world, entries) = world(5).await;
    damage(&mut world, entries[3]).await;
    assert!(fold_older(world.ctx(), &path(INDEX), entries[3]).await.unwrap());
    let folded = record(&world).await;
    assert_eq!((folded.wal_base, folded.wal[0].id), (3, entries[3]));
    assert!(fold_older(world.ctx(), &path(INDEX), entries[3]).await.unwrap());
    assert!(
        !fold_older(world.ctx(), &path(INDEX), entries[0]).await.unwrap(),
        "folded already"
    );
    assert!(
        fold::fold_once(world.ctx(), &path(INDEX), 1).await.is_err(),
        "an ordinary fold gives up nothing"
    );
}

#[tokio::test]
async fn a_purge_that_fails_does_not_keep_the_others() {
    let (world, _) = world(2).await;
    world.create_index("second", 2, "euclidean", &[]).await;
    let body = json!({"vectors": [{"key": "a", "data": {"float32": [1.0, 2.0]}}]});
    world.on("second", Operation::PutVectors, body).await.unwrap();
    for index in [INDEX, "second"] {
        world.on(index, Operation::DeleteIndex, json!({})).await.unwrap();
    }
    let wals = || {
        let names = world.store.names().into_iter();
        names.filter(|name| name.as_str().contains("/wal/")).count()
    };
    assert_eq!(wals(), 3);
    // The list of tombstones, the two of them, then what the first one's index has left.
    world.plan.fail_at(world.plan.count() + 4, When::Before, Fault::Unknown);
    assert!(Purger::default().run(world.ctx()).await.is_err());
    assert!((1..=2).contains(&wals()), "{} of 3 are left", wals());
    Purger::default().run(world.ctx()).await.unwrap();
    assert_eq!(wals(), 0);
}
