//! What the cache has been good for, as plain numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a disk cache has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskCacheUsage {
    /// Requests answered by a cached file.
    pub hits: u64,
    /// Requests that asked the store below.
    pub misses: u64,
    /// Requests that waited for the same object on behalf of another one.
    pub joined: u64,
    /// Bytes of the answers that cached files gave.
    pub hit_bytes: u64,
    /// Bytes of the answers that the store below gave.
    pub miss_bytes: u64,
    /// Files removed to make room for others.
    pub evictions: u64,
    /// Space that they took.
    pub evicted_bytes: u64,
    /// Files that were not what was written, removed and fetched again.
    pub corrupt_files: u64,
    /// Objects whose file could not be written: a full disk, a read-only directory, missing permissions.
    pub write_failures: u64,
    /// Files held.
    pub files: u64,
    /// Space that they take.
    pub bytes: u64,
    /// Space that they may take.
    pub limit_bytes: u64,
}

/// The counters that only rise.
#[derive(Debug, Default)]
pub(super) struct Meter {
    hits: AtomicU64,
    misses: AtomicU64,
    joined: AtomicU64,
    hit_bytes: AtomicU64,
    miss_bytes: AtomicU64,
    evictions: AtomicU64,
    evicted_bytes: AtomicU64,
    corrupt_files: AtomicU64,
    write_failures: AtomicU64,
}

fn add(counter: &AtomicU64, number: u64) -> u64 {
    counter.fetch_add(number, Ordering::Relaxed).wrapping_add(number)
}

impl Meter {
    pub(super) fn hit(&self, bytes: usize) {
        add(&self.hits, 1);
        add(&self.hit_bytes, bytes as u64);
    }

    /// Counts a request to the store below; `bytes` is 0 when it failed.
    pub(super) fn miss(&self, bytes: usize) {
        add(&self.misses, 1);
        add(&self.miss_bytes, bytes as u64);
    }

    pub(super) fn joined(&self) {
        add(&self.joined, 1);
    }

    pub(super) fn evicted(&self, bytes: u64) {
        add(&self.evictions, 1);
        add(&self.evicted_bytes, bytes);
    }

    /// Counts a corrupt file; how many there have been.
    pub(super) fn corrupt(&self) -> u64 {
        add(&self.corrupt_files, 1)
    }

    /// Counts a failed write; how many there have been.
    pub(super) fn write_failed(&self) -> u64 {
        add(&self.write_failures, 1)
    }

    /// The counters; what the cache holds is left at 0.
    pub(super) fn read(&self) -> DiskCacheUsage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskCacheUsage {
            hits: read(&self.hits),
            misses: read(&self.misses),
            joined: read(&self.joined),
            hit_bytes: read(&self.hit_bytes),
            miss_bytes: read(&self.miss_bytes),
            evictions: read(&self.evictions),
            evicted_bytes: read(&self.evicted_bytes),
            corrupt_files: read(&self.corrupt_files),
            write_failures: read(&self.write_failures),
            ..DiskCacheUsage::default()
        }
    }
}
