//! What stands between the service and its storage: the disk cache, and a delay for measuring.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use storage::ObjectStore;
use storage::layers::delay::Delay;
use storage::layers::disk_cache::{DiskCache, DiskCacheConfig, DiskCacheUsage};

use super::args::CacheArgs;
use crate::place::Place;

/// The storage, as slow as it shall seem; the catalog's documents are objects too.
pub(crate) fn delayed(storage: Arc<dyn ObjectStore>, args: &CacheArgs) -> Arc<dyn ObjectStore> {
    if args.object_delay_ms == 0 {
        return storage;
    }
    Arc::new(Delay::new(storage, Duration::from_millis(args.object_delay_ms)))
}

/// Where the disk cache is, when one is wanted. Several servers may share it.
pub(crate) fn directory(place: &Place, args: &CacheArgs) -> Option<PathBuf> {
    if args.cache_mib == 0 {
        return None;
    }
    let default = || match place {
        Place::Directory(_) => None,
        Place::Bucket(_) => Some(default_directory(crate::environment)),
    };
    args.cache_dir.clone().or_else(default)
}

fn default_directory(environment: impl Fn(&str) -> Option<String>) -> PathBuf {
    let of_the_user = environment("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(environment("HOME")?).join(".cache")));
    match of_the_user {
        Some(directory) => directory.join("genai-vectors"),
        None => std::env::temp_dir().join("genai-vectors-cache"),
    }
}

/// The disk cache, when one is wanted.
pub(crate) async fn open(
    storage: &Arc<dyn ObjectStore>,
    directory: Option<&PathBuf>,
    args: &CacheArgs,
) -> Option<DiskCache> {
    let directory = directory?;
    let config = DiskCacheConfig::new(directory, args.cache_mib.saturating_mul(1024 * 1024));
    Some(DiskCache::open(Arc::clone(storage), config).await)
}

/// What the service reads from.
pub(crate) fn in_front(cache: &Option<DiskCache>, storage: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    match cache {
        Some(cache) => Arc::new(cache.clone()),
        None => storage,
    }
}

/// The member `diskCache` of `/stats`; null without a cache.
pub(crate) fn stats(cache: Option<&DiskCache>) -> Value {
    let Some(DiskCacheUsage {
        hits,
        misses,
        joined,
        hit_bytes,
        miss_bytes,
        evictions,
        evicted_bytes,
        corrupt_files,
        write_failures,
        files,
        bytes,
        limit_bytes,
    }) = cache.map(DiskCache::usage)
    else {
        return Value::Null;
    };
    json!({
        "hits": hits,
        "misses": misses,
        "joined": joined,
        "hitBytes": hit_bytes,
        "missBytes": miss_bytes,
        "evictions": evictions,
        "evictedBytes": evicted_bytes,
        "corruptFiles": corrupt_files,
        "writeFailures": write_failures,
        "files": files,
        "bytes": bytes,
        "limitBytes": limit_bytes,
    })
}

/// The families of `/metrics`; none without a cache.
pub(crate) fn register(registry: &mut Registry, cache: Option<&DiskCache>) {
    let Some(usage) = cache.map(DiskCache::usage) else {
        return;
    };
    let counters = [
        ("hits", "Requests answered by a cached file", usage.hits),
        ("misses", "Requests that asked the storage", usage.misses),
        ("joined", "Requests that waited for the same object", usage.joined),
        ("hit_bytes", "Bytes answered by cached files", usage.hit_bytes),
        ("miss_bytes", "Bytes answered by the storage", usage.miss_bytes),
        ("evictions", "Files removed to make room", usage.evictions),
        ("evicted_bytes", "Space that they took", usage.evicted_bytes),
        (
            "corrupt_files",
            "Damaged files that were fetched again",
            usage.corrupt_files,
        ),
        ("write_failures", "Objects that could not be kept", usage.write_failures),
    ];
    for (name, help, value) in counters {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(format!("disk_cache_{name}"), help, counter);
    }
    let gauges = [
        ("files", "Files held", usage.files),
        ("bytes", "Space that they take", usage.bytes),
        ("limit_bytes", "Space that they may take", usage.limit_bytes),
    ];
    for (name, help, value) in gauges {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(format!("disk_cache_{name}"), help, gauge);
    }
}
