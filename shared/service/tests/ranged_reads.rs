//! Shards whose `rows.parquet` stays behind a network: the same answers as with the whole file, few bytes and few waves
//! of reads, and no damage that is not found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use genai_vectors_service::Config;
use genai_vectors_service::indexing::{compact, fold};
use model::{ApiError, Operation};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use storage::layers::disk_cache::DiskCacheConfig;
use storage::layers::faults::{Fault, When};
use storage::paths::{self, ObjectKind, ShardFile};
use storage::{MemoryStore, ObjectName, ObjectStore};
use support::{Remote, World, path};

const INDEX: &str = "far";
const DIMENSION: usize = 12;

/// Shards of few rows get an index, which is asked for little: answers are approximate, and so tell which rows were
/// compared.
fn config() -> Config {
    let mut config = Config::default();
    config.compaction.flat_threshold = 100;
    config.compaction.busy_factor = 1;
    config.search.nprobe = Some(3);
    config.search.rerank_depth = Some(3);
    config.ranged.from_bytes = 0;
    config.ranged.gap_bytes = 0;
    config.ranged.read_ahead = false;
    config
}

/// Without an index in the shards there is nothing that ranges could serve.
const HAS_INDEXES: bool = cfg!(feature = "ivfpq");

fn record(random: &mut ChaCha8Rng, number: usize) -> Value {
    let centre = number % 7;
    let vector: Vec<f64> = (0..DIMENSION)
        .map(|at| {
            let near: f64 = random.random_range(-1.0..1.0);
            near + if at % 7 == centre { 4.0 } else { 0.0 }
        })
        .collect();
    let mut record = json!({"key": format!("k{number:05}"), "data": {"float32": vector}});
    if number % 5 > 0 {
        record["metadata"] = json!({"half": number % 2, "tenth": number % 10, "rare": number % 100 == 3, "text": "x".repeat(number % 50)});
    }
    record
}

/// An index of one shard with an index of its own, and with `overwritten` a tail over it and dead rows in it.
async fn indexed(seed: u64, rows: usize, config: Config, overwritten: bool) -> World {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let world = World::over(MemoryStore::new(), config).await;
    world.create_index(INDEX, DIMENSION, "cosine", &["text"]).await;
    let numbers: Vec<usize> = (0..rows).collect();
    for numbers in numbers.chunks(500) {
        put(&world, &mut random, numbers.iter().copied()).await;
    }
    settle(&world).await;
    if overwritten {
        put(&world, &mut random, (0..rows).step_by(9)).await;
        delete(&world, (4..rows).step_by(11)).await;
        fold::fold_once(world.ctx(), &path(INDEX), 256).await.unwrap();
        put(&world, &mut random, (1..rows + 50).step_by(13)).await;
        delete(&world, (2..rows).step_by(17)).await;
    }
    world
}

async fn put(world: &World, random: &mut ChaCha8Rng, numbers: impl Iterator<Item = usize>) {
    let vectors: Vec<Value> = numbers.map(|number| record(random, number)).collect();
    for vectors in vectors.chunks(500) {
        let body = json!({"vectors": vectors});
        world.on(INDEX, Operation::PutVectors, body).await.unwrap();
    }
}

async fn delete(world: &World, numbers: impl Iterator<Item = usize>) {
    let keys: Vec<String> = numbers.map(|number| format!("k{number:05}")).collect();
    for keys in keys.chunks(500) {
        let body = json!({"keys": keys});
        world.on(INDEX, Operation::DeleteVectors, body).await.unwrap();
    }
}

async fn settle(world: &World) {
    fold::fold_once(world.ctx(), &path(INDEX), 256).await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    compact::compact_once(world.ctx(), &path(INDEX)).await.unwrap();
}

/// All pages of an operation.
async fn pages(
    ask: impl AsyncFn(Operation, Value) -> Result<Value, ApiError>,
    operation: Operation,
    body: &Value,
) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut body = body.clone();
    loop {
        let page = ask(operation, body.clone()).await.unwrap();
        let token = page.get("nextToken").cloned();
        pages.push(page);
        match token {
            Some(token) => body["nextToken"] = token,
            None => return pages,
        }
    }
}

fn query(random: &mut ChaCha8Rng, top_k: usize) -> Value {
    let vector = record(random, 1)["data"].clone();
    json!({"topK": top_k, "queryVector": vector, "returnDistance": true})
}

fn rows_of(store: &MemoryStore) -> ObjectName {
    let is_rows = |name: &ObjectName| matches!(paths::parse(name), Some(ObjectKind::Shard(_, ShardFile::Rows)));
    let mut names = store.names();
    names.retain(is_rows);
    // The newest: what it was made of is not collected here.
    names.pop().unwrap()
}

fn calls(remote: &Remote, method: &str) -> Vec<String> {
    let calls = remote.plan.calls();
    let meant = calls.iter().filter(|call| call.method == method);
    meant.map(|call| call.arguments.clone()).collect()
}

const FILTERS: [&str; 5] = [
    r#"{"half": 1}"#,
    r#"{"tenth": {"$in": [3, 4]}}"#,
    r#"{"rare": true}"#,
    r#"{"half": {"$exists": false}}"#,
    r#"{"nobody": 1}"#,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    /// Queries, pages, gets and lists: byte for byte what a process answers that has the whole file.
    #[test]
    fn ranged_answers_are_the_same(
        seed in any::<u64>(),
        rows in 1_000_usize..4_000,
        overwritten in any::<bool>(),
        gap in prop_oneof![Just(0_u64), Just(200), Just(20_000)],
        reads in 1_usize..40,
        page in prop_oneof![Just(2_000_usize), Just(5_000_000)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut config = config();
            config.ranged.gap_bytes = gap;
            config.ranged.reads = reads;
            config.answer.query_bytes = page;
            config.answer.list_bytes = page * 10;
            let world = indexed(seed, rows, config.clone(), overwritten).await;
            let mut random = ChaCha8Rng::seed_from_u64(seed ^ 1);
            let mut ranged = 0;
            for top_k in [1, 10, 60, 10_000] {
                for filter in std::iter::once(None).chain(FILTERS.map(Some)) {
                    let mut body = query(&mut random, top_k);
                    if let Some(filter) = filter {
                        body["filter"] = serde_json::from_str(filter).unwrap();
                    }
                    body["returnMetadata"] = json!(random.random_bool(0.5));
                    body["returnData"] = json!(random.random_bool(0.5));
                    let remote = world.over_network(Duration::ZERO, None, &config).await;
                    let here = pages(async |operation, body| world.on(INDEX, operation, body).await, Operation::QueryVectors, &body).await;
                    let there = pages(async |operation, body| remote.on(INDEX, operation, body).await, Operation::QueryVectors, &body).await;
                    assert_eq!(here, there, "{body}");
                    ranged += usize::from(remote.service.context().metrics.ranged_reads.get() > 0);
                }
            }
            assert!(!HAS_INDEXES || ranged > 2, "{ranged} queries read ranges");
            let keys: Vec<String> = (0..90).map(|_| format!("k{:05}", random.random_range(0..rows + 60))).collect();
            for fields in [json!({}), json!({"returnData": true}), json!({"returnData": true, "returnMetadata": true})] {
                let remote = world.over_network(Duration::ZERO, None, &config).await;
                let mut body = fields.clone();
                body["keys"] = json!(keys);
                let here = world.on(INDEX, Operation::GetVectors, body.clone()).await.unwrap();
                assert_eq!(here, remote.on(INDEX, Operation::GetVectors, body).await.unwrap());
                let mut body = fields;
                body["maxResults"] = json!(77);
                let here = pages(async |operation, body| world.on(INDEX, operation, body).await, Operation::ListVectors, &body).await;
                let there = pages(async |operation, body| remote.on(INDEX, operation, body).await, Operation::ListVectors, &body).await;
                assert_eq!(here, there);
            }
        });
    }
}

/// Record (not delayed here), manifest, shard files, candidates, and one more wave for metadata.
#[tokio::test(start_paused = true)]
async fn a_cold_query_takes_few_waves_and_few_bytes() {
    if !HAS_INDEXES {
        return;
    }
    let delay = Duration::from_millis(30);
    let world = indexed(5, 6_000, config(), false).await;
    let file = world.store.get(&rows_of(&world.store)).await.unwrap().len() as u64;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (metadata, waves) in [(false, 3), (true, 4)] {
        let remote = world.over_network(delay, None, &config()).await;
        let mut body = query(&mut random, 10);
        body["returnMetadata"] = json!(metadata);
        let begun = tokio::time::Instant::now();
        remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
        assert_eq!(begun.elapsed(), waves * delay, "metadata {metadata}");
        let usage = remote.meter.usage();
        // Manifest, keys.bin, keys.fst, attributes.bin, head.json, index.faiss.
        assert_eq!(usage["get"].calls, 6);
        let most = if metadata { 40 } else { 30 };
        assert!((1..=most).contains(&usage["get_range"].calls), "{usage:?}");
        assert!(usage["get_range"].bytes_out * 5 < file, "{usage:?} of {file}");
        assert!(calls(&remote, "get").iter().all(|name| !name.contains("rows.parquet")));

        // A warm one: the candidates, and the metadata.
        let begun = tokio::time::Instant::now();
        remote.on(INDEX, Operation::QueryVectors, body).await.unwrap();
        assert_eq!(begun.elapsed(), (waves - 2) * delay);
    }
}

/// Ranges of one query run side by side, but no more than configured.
#[tokio::test(start_paused = true)]
async fn reads_in_flight_are_bounded() {
    if !HAS_INDEXES {
        return;
    }
    let delay = Duration::from_millis(30);
    let mut config = config();
    config.ranged.reads = 4;
    let world = indexed(6, 3_000, config.clone(), false).await;
    let remote = world.over_network(delay, None, &config).await;
    let body = query(&mut ChaCha8Rng::seed_from_u64(2), 10);
    remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    let before = remote.meter.usage()["get_range"].calls;
    let begun = tokio::time::Instant::now();
    remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    let reads = remote.meter.usage()["get_range"].calls - before;
    assert!(reads > 8, "{reads}");
    assert_eq!(begun.elapsed(), u32::try_from(reads.div_ceil(4)).unwrap() * delay);
    let begun = tokio::time::Instant::now();
    let twice = tokio::join!(
        remote.on(INDEX, Operation::QueryVectors, body.clone()),
        remote.on(INDEX, Operation::QueryVectors, body)
    );
    assert_eq!(twice.0.unwrap(), twice.1.unwrap());
    let least = u32::try_from((2 * reads).div_ceil(4)).unwrap();
    assert!(begun.elapsed() >= least * delay, "the bound holds for the process");
}

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

/// What cannot be had from ranges fetches the file, once for all who want it; from then on ranges are not read.
#[tokio::test]
async fn an_exact_scan_fetches_the_file_once() {
    let world = indexed(10, 1_500, config(), false).await;
    let mut exact = config();
    exact.search.exact = true;
    exact.search.nprobe = None;
    let remote = world.over_network(Duration::ZERO, None, &exact).await;
    let body = query(&mut ChaCha8Rng::seed_from_u64(6), 10);
    let asked = (0..8).map(|_| remote.on(INDEX, Operation::QueryVectors, body.clone()));
    let answers = futures::future::join_all(asked).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    let rows = rows_of(&world.store);
    let fetched = calls(&remote, "get")
        .iter()
        .filter(|name| **name == rows.as_str())
        .count();
    assert_eq!(fetched, 1);
    assert_eq!(remote.meter.usage()["get_range"].calls, 0);
}

/// With a disk cache the file follows in the background, and the next process finds it.
#[tokio::test]
async fn the_file_follows_into_the_disk_cache() {
    if !HAS_INDEXES {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCacheConfig::new(folder.path(), 64 << 20);
    let mut config = config();
    let world = indexed(11, 3_000, config.clone(), false).await;
    let rows = rows_of(&world.store);
    let mut body = query(&mut ChaCha8Rng::seed_from_u64(7), 10);
    body["returnMetadata"] = json!(true);

    let remote = world.over_network(Duration::ZERO, Some(&cache), &config).await;
    let sound = remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
    let is_fetched = |remote: &Remote| calls(remote, "get").iter().any(|name| name == rows.as_str());
    assert!(!is_fetched(&remote), "not when it is switched off");

    config.ranged.read_ahead = true;
    let remote = world.over_network(Duration::ZERO, Some(&cache), &config).await;
    let mut before = u64::MAX;
    for _ in 0..500 {
        assert_eq!(
            remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap(),
            sound
        );
        let reads = remote.service.context().metrics.ranged_reads.get();
        if reads == before {
            break;
        }
        before = reads;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_fetched(&remote));
    let reads = remote.meter.usage()["get_range"].calls;
    assert_eq!(
        remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap(),
        sound
    );
    assert_eq!(remote.meter.usage()["get_range"].calls, reads, "it is mapped now");

    let next = world.over_network(Duration::ZERO, Some(&cache), &config).await;
    assert_eq!(next.on(INDEX, Operation::QueryVectors, body).await.unwrap(), sound);
    assert_eq!(next.meter.usage()["get_range"].calls, 0);
    assert!(!is_fetched(&next));
}

/// A cache that is too small for the file is not tried again and again, and the file is not held in memory.
#[tokio::test]
async fn a_file_that_is_not_kept_stays_where_it_is() {
    if !HAS_INDEXES {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.ranged.read_ahead = true;
    let world = indexed(12, 3_000, config.clone(), false).await;
    let rows = rows_of(&world.store);
    let length = world.store.get(&rows).await.unwrap().len() as u64;
    let body = query(&mut ChaCha8Rng::seed_from_u64(8), 10);
    for cache in [None, Some(DiskCacheConfig::new(folder.path(), length))] {
        let remote = world.over_network(Duration::ZERO, cache.as_ref(), &config).await;
        for _ in 0..3 {
            remote.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(calls(&remote, "get").iter().all(|name| name != rows.as_str()));
        assert!(remote.meter.usage()["get_range"].calls > 0);
    }
}
