//! Metric families of the server.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use service::metrics::ServiceMetrics;
use service::status::IndexStatus;
use service::{Context, Service};
use storage::layers::disk_cache::DiskCache;

use super::budget::MemoryBudget;
use super::{cache, process};

/// Seconds; from a cached point lookup to the deadline.
const LATENCY_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    operation: &'static str,
    error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IndexLabels {
    bucket: String,
    index: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    cache: &'static str,
}

/// Counts of requests, by operation.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    latency: Family<OperationLabels, Histogram>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            errors: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
        }
    }
}

impl RequestMetrics {
    /// Counts one answered request.
    pub(crate) fn record(&self, operation: &'static str, code: u16, error: Option<&'static str>, elapsed: Duration) {
        let code = u32::from(code);
        self.requests.get_or_create(&RequestLabels { operation, code }).inc();
        self.latency
            .get_or_create(&OperationLabels { operation })
            .observe(elapsed.as_secs_f64());
        if let Some(error) = error {
            self.errors.get_or_create(&ErrorLabels { operation, error }).inc();
        }
    }

    /// Everything `/metrics` shows, as OpenMetrics.
    pub(crate) fn openmetrics(
        &self,
        service: &Service,
        budget: &MemoryBudget,
        disk_cache: Option<&DiskCache>,
        indexes: &[IndexStatus],
    ) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("genai_vectors");
        registry.register("requests", "Requests answered", self.requests.clone());
        registry.register("errors", "Requests answered with an error", self.errors.clone());
        registry.register_with_unit(
            "request_latency",
            "Time from a request's headers to its answer",
            Unit::Seconds,
            self.latency.clone(),
        );
        register_service(&mut registry, &service.context().metrics);
        register_caches(&mut registry, service.context());
        register_indexes(&mut registry, indexes);
        cache::register(&mut registry, disk_cache);
        gauge(
            &mut registry,
            "memory_resident_bytes",
            "Resident memory",
            process::resident_bytes(),
        );
        let in_flight = budget.used_kib().saturating_mul(1024);
        gauge(
            &mut registry,
            "memory_requests_bytes",
            "Memory that requests in flight may hold",
            in_flight,
        );
        let cpu: Counter<f64, AtomicU64> = Counter::default();
        cpu.inc_by(process::cpu_seconds());
        registry.register_with_unit("cpu", "CPU time used", Unit::Seconds, cpu);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn register_service(registry: &mut Registry, metrics: &ServiceMetrics) {
    let families = [
        ("commits", "WAL commits", metrics.commits.get()),
        (
            "committed_requests",
            "Write requests that WAL commits carried",
            metrics.committed_requests.get(),
        ),
        (
            "committed_rows",
            "Rows that WAL commits carried",
            metrics.committed_rows.get(),
        ),
        (
            "commit_retries",
            "Commit attempts that were repeated",
            metrics.commit_retries.get(),
        ),
        (
            "scanned_rows",
            "Rows whose distance was computed",
            metrics.scanned_rows.get(),
        ),
        ("folds", "Folds of the tail into a shard", metrics.folds.get()),
        ("folded_rows", "Rows that folds wrote", metrics.folded_rows.get()),
        (
            "fold_failures",
            "Folds that failed or were dropped",
            metrics.fold_failures.get(),
        ),
        ("compactions", "Compactions of shards", metrics.compactions.get()),
        (
            "compacted_rows",
            "Rows that compactions wrote",
            metrics.compacted_rows.get(),
        ),
        (
            "compaction_failures",
            "Compactions that failed or were dropped",
            metrics.compaction_failures.get(),
        ),
        ("trainings", "Training generations made", metrics.trainings.get()),
        (
            "queries_exact",
            "Queries that scanned everything they looked at",
            metrics.plans.exact.get(),
        ),
        (
            "queries_indexed",
            "Queries that asked the index of some shard",
            metrics.plans.indexed.get(),
        ),
        (
            "query_fallbacks",
            "Shards scanned after their index had found too little",
            metrics.plans.fallbacks.get(),
        ),
        (
            "recall_wanted",
            "Answers of queries that were run again exactly",
            metrics.recall.wanted.get(),
        ),
        (
            "recall_found",
            "How many of these the queries had given",
            metrics.recall.found.get(),
        ),
        (
            "collected_objects",
            "Objects that collections deleted",
            metrics.collected_objects.get(),
        ),
        (
            "cache_hits",
            "Reads answered by the cache of immutable objects",
            metrics.cache_hits.get(),
        ),
        (
            "cache_misses",
            "Reads that asked the object store",
            metrics.cache_misses.get(),
        ),
    ];
    for (name, help, value) in families {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
}

fn register_caches(registry: &mut Registry, context: &Context) {
    let family: Family<CacheLabels, Gauge> = Family::default();
    for (cache, bytes) in service::query::cache_bytes(context) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        family.get_or_create(&CacheLabels { cache }).set(bytes);
    }
    let help = "Bytes that the caches of immutable objects hold; shards are memory maps";
    registry.register("cache_bytes", help, family);
}

fn register_indexes(registry: &mut Registry, indexes: &[IndexStatus]) {
    type IndexGauge = Family<IndexLabels, Gauge>;
    type Value = fn(&IndexStatus) -> u64;
    let families: [(&str, &str, Value); 6] = [
        ("index_vectors", "Live vectors in shards", |status| status.vectors),
        ("index_bytes", "Bytes of shards", |status| status.bytes),
        ("index_shards", "Shards", |status| status.shards),
        (
            "tail_entries",
            "Committed WAL entries that no shard holds yet",
            |status| status.tail_entries,
        ),
        ("tail_rows", "Rows of those entries", |status| status.unindexed),
        (
            "tail_age_milliseconds",
            "Age of the oldest of those entries",
            |status| status.tail_age_ms,
        ),
    ];
    for (name, help, value) in families {
        let family = IndexGauge::default();
        for status in indexes {
            let labels = IndexLabels {
                bucket: status.path.bucket.as_str().to_owned(),
                index: status.path.index.as_str().to_owned(),
            };
            let value = i64::try_from(value(status)).unwrap_or(i64::MAX);
            family.get_or_create(&labels).set(value);
        }
        registry.register(name, help, family);
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}
