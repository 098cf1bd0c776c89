//! Plain counters of what the service did. The functions turn them into Prometheus text or EMF; nothing here
//! knows a metrics format.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The current value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the service counts, since the process started.
#[derive(Debug, Default)]
pub struct ServiceMetrics {
    /// WAL commits that succeeded.
    pub commits: Counter,
    /// Requests that those commits carried (grouping = requests / commits).
    pub committed_requests: Counter,
    /// Rows (puts and deletes) that those commits carried.
    pub committed_rows: Counter,
    /// Commit attempts that had to be repeated.
    pub commit_retries: Counter,
    /// Rows whose distance was computed.
    pub scanned_rows: Counter,
    /// Folds that were committed.
    pub folds: Counter,
    /// Rows that folds wrote into shards.
    pub folded_rows: Counter,
    /// Folds that failed or were dropped.
    pub fold_failures: Counter,
    /// Compactions that were committed.
    pub compactions: Counter,
    /// Rows that compactions wrote into shards.
    pub compacted_rows: Counter,
    /// Compactions that failed or were dropped.
    pub compaction_failures: Counter,
    /// Training generations that were made.
    pub trainings: Counter,
    /// Objects that collections deleted.
    pub collected_objects: Counter,
    /// How queries were searched.
    pub plans: PlanMetrics,
    /// What live recall has measured.
    pub recall: RecallMetrics,
    /// Reads answered by a cache of immutable objects.
    pub cache_hits: Counter,
    /// Reads that had to ask the object store.
    pub cache_misses: Counter,
    /// Ranged reads of `rows.parquet` files.
    pub ranged_reads: Counter,
    /// Bytes that they gave.
    pub ranged_bytes: Counter,
}

/// Sums over the plans of all queries.
#[derive(Debug, Default)]
pub struct PlanMetrics {
    /// Queries that scanned everything they looked at.
    pub exact: Counter,
    /// Queries that asked the index of some shard.
    pub indexed: Counter,
    /// Lists that they visited.
    pub lists: Counter,
    /// Candidates that they compared exactly.
    pub candidates: Counter,
    /// Shards whose index found too little and that were scanned after all.
    pub fallbacks: Counter,
    /// Queries with a filter.
    pub filtered: Counter,
}

impl PlanMetrics {
    /// Counts one query.
    pub fn note(&self, plan: &engine::PlanSummary) {
        let queries = if plan.indexed_shards > 0 {
            &self.indexed
        } else {
            &self.exact
        };
        queries.add(1);
        self.lists.add(plan.lists as u64);
        self.candidates.add(plan.candidates);
        self.fallbacks.add(plan.fallbacks as u64);
        self.filtered.add(u64::from(plan.filter_selected.is_some()));
    }
}

/// Queries that were run again exactly.
#[derive(Debug, Default)]
pub struct RecallMetrics {
    /// How many.
    pub samples: Counter,
    /// Answers that the exact runs gave.
    pub wanted: Counter,
    /// How many of them the queries had given.
    pub found: Counter,
}
