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
    /// Objects that collections deleted.
    pub collected_objects: Counter,
    /// Reads answered by a cache of immutable objects.
    pub cache_hits: Counter,
    /// Reads that had to ask the object store.
    pub cache_misses: Counter,
}
