//! What a warm read costs: the directory store by itself, and the disk cache in front of a store.
//! `cargo run --release -p genai-vectors-storage --example cache_speed -- DIR`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genai_vectors_storage as storage;
use model::{Clock, Ids, IndexUuid, OsRandom, ShardId, SystemClock, Ulid};
use storage::layers::disk_cache::{DiskCache, DiskCacheConfig};
use storage::local::Directory;
use storage::{ObjectName, ObjectStore, ShardFile, paths};

/// Rounds, of each of which the median counts: other programs disturb.
const ROUNDS: usize = 200;
/// Calls per round.
const CALLS: u32 = 50;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).expect("the directory to write to");
    let folder = Path::new(&folder);
    let clock = SystemClock::new();
    let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
    let store = Directory::open(folder.join("store")).unwrap();
    let config = DiskCacheConfig::new(folder.join("cache"), 1 << 30);
    let cache = DiskCache::open(Arc::new(store.clone()), config).await;
    println!("median microseconds per call    directory   disk cache");
    for size in [4 << 10, 64 << 10, 1 << 20, 64 << 20] {
        let shard = ShardId(ids.ulid(Ulid::NIL));
        let name = paths::shard_file(IndexUuid(ids.uuid()), shard, ShardFile::Rows);
        store.put(&name, Bytes::from(vec![7; size])).await.unwrap();
        let begun = clock.monotonic();
        cache.get(&name).await.unwrap();
        let cold = clock.monotonic() - begun;
        let (mut plain, mut cached) = (Vec::new(), Vec::new());
        let (mut plain_ranges, mut cached_ranges) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plain.push(gets(&clock, &store, &name).await);
            cached.push(gets(&clock, &cache, &name).await);
            plain_ranges.push(ranges(&clock, &store, &name).await);
            cached_ranges.push(ranges(&clock, &cache, &name).await);
        }
        let kib = size >> 10;
        println!(
            "get   {kib:>6} KiB          {:>17.1} {:>12.1}",
            median(plain),
            median(cached)
        );
        let (plain, cached) = (median(plain_ranges), median(cached_ranges));
        println!("range of 400 B in {kib:>6} KiB {plain:>14.1} {cached:>12.1}");
        println!("first get, fetched and kept: {:.1} ms", cold.as_secs_f64() * 1e3);
        store.delete(std::slice::from_ref(&name)).await.unwrap();
    }
    let usage = cache.usage();
    assert_eq!((usage.misses, usage.corrupt_files, usage.write_failures), (4, 0, 0));
}

async fn gets(clock: &SystemClock, store: &dyn ObjectStore, name: &ObjectName) -> Duration {
    let begun = clock.monotonic();
    for _ in 0..CALLS {
        let bytes = store.get(name).await.unwrap();
        assert_eq!(bytes[bytes.len() - 1], 7);
    }
    (clock.monotonic() - begun) / CALLS
}

async fn ranges(clock: &SystemClock, store: &dyn ObjectStore, name: &ObjectName) -> Duration {
    let begun = clock.monotonic();
    for call in 0..u64::from(CALLS) {
        let bytes = store.get_range(name, call * 8..call * 8 + 400).await.unwrap();
        assert_eq!(bytes[399], 7);
    }
    (clock.monotonic() - begun) / CALLS
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
