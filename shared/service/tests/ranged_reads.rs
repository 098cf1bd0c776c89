//! Shards whose `rows.parquet` stays behind a network: the same answers as with the whole file, few bytes and few waves
//! of reads; in `damage`, none that is not found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "ranged_reads/damage.rs"]
mod damage;
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
    config.ranged.read_cost_bytes = 0;
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
    if !number.is_multiple_of(5) {
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

/// Rows of several shards are told apart.
#[tokio::test]
async fn two_shards_without_their_rows() {
    if !HAS_INDEXES {
        return;
    }
    let mut config = config();
    // Too few for both in one.
    config.compaction.max_output_rows = 1_600;
    let world = indexed(15, 1_500, config.clone(), false).await;
    let first = rows_of(&world.store);
    let mut random = ChaCha8Rng::seed_from_u64(16);
    put(&world, &mut random, 1_500..2_400).await;
    settle(&world).await;
    let second = rows_of(&world.store);
    assert_ne!(first, second);
    let remote = world.over_network(Duration::ZERO, None, &config).await;
    for (top_k, fields) in [
        (1, json!({})),
        (40, json!({"returnData": true, "returnMetadata": true})),
    ] {
        for _ in 0..10 {
            let mut body = query(&mut random, top_k);
            body.as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            let here = world.on(INDEX, Operation::QueryVectors, body.clone()).await.unwrap();
            assert_eq!(here, remote.on(INDEX, Operation::QueryVectors, body).await.unwrap());
        }
    }
    let ranges = calls(&remote, "get_range");
    let of = |name: &ObjectName| ranges.iter().filter(|call| call.starts_with(name.as_str())).count();
    assert!(of(&first) > 0 && of(&second) > 0, "{} and {}", of(&first), of(&second));
}

/// Where nothing is read ahead, who has read as much by ranges as the file is long fetches it, if it is then kept.
#[tokio::test]
async fn ranges_do_not_cost_more_than_the_file_twice() {
    if !HAS_INDEXES {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = indexed(17, 1_500, config(), false).await;
    let rows = rows_of(&world.store);
    let length = world.store.get(&rows).await.unwrap().len() as u64;
    let list = json!({"maxResults": 50, "returnData": true, "returnMetadata": true});
    for cache in [Some(DiskCacheConfig::new(folder.path(), 64 << 20)), None] {
        let remote = world.over_network(Duration::ZERO, cache.as_ref(), &config()).await;
        for _ in 0..3 {
            pages(
                async |operation, body| remote.on(INDEX, operation, body).await,
                Operation::ListVectors,
                &list,
            )
            .await;
        }
        let ranged = remote.meter.usage()["get_range"].bytes_out;
        let fetched = calls(&remote, "get")
            .iter()
            .filter(|name| *name == rows.as_str())
            .count();
        if cache.is_some() {
            assert!(
                ranged <= length && fetched == 1,
                "{ranged} of {length}, fetched {fetched} times"
            );
        } else {
            assert!(ranged > length, "{ranged} of {length}: nothing would keep the file");
        }
    }
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
