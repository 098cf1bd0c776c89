//! Keys that occur twice in a file: the last row wins, as in a file that is read from the top. Requests overtake each
//! other, so a batch that repeats a key which may still be in flight must wait for those before it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys remembered before those that are done are dropped. Batches in flight hold some 130 x 500 at the most.
const REMEMBERED: usize = 1 << 17;

/// The keys that may be in flight. Remembers hashes: two keys of one hash only wait for each other.
#[derive(Debug)]
pub(crate) struct RecentKeys {
    /// Rows by the hash of their key.
    rows: HashMap<u64, u64>,
    hasher: RandomState,
    /// All rows before this one are acknowledged.
    acknowledged: Arc<AtomicU64>,
}

/// Where an earlier row with the same key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// Nowhere, or acknowledged.
    Done,
    /// In a batch before this one.
    InFlight,
    /// In this batch.
    SameBatch,
}

impl RecentKeys {
    pub(crate) fn new(acknowledged: Arc<AtomicU64>) -> Self {
        Self {
            rows: HashMap::new(),
            hasher: RandomState::new(),
            acknowledged,
        }
    }

    /// Remembers a key; `begin` is the first row of the batch that it will be in.
    pub(crate) fn remember(&mut self, key: &str, row: u64, begin: u64) -> Earlier {
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        if self.rows.len() >= REMEMBERED {
            self.rows.retain(|_, row| *row >= acknowledged);
        }
        match self.rows.insert(self.hasher.hash_one(key), row) {
            Some(earlier) if earlier >= begin => Earlier::SameBatch,
            Some(earlier) if earlier >= acknowledged => Earlier::InFlight,
            _ => Earlier::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acknowledged_is_forgotten() {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut keys = RecentKeys::new(Arc::clone(&acknowledged));
        assert_eq!(keys.remember("a", 0, 0), Earlier::Done);
        assert_eq!(keys.remember("b", 1, 0), Earlier::Done);
        assert_eq!(keys.remember("a", 2, 0), Earlier::SameBatch);
        assert_eq!(keys.remember("a", 3, 3), Earlier::InFlight);
        acknowledged.store(3, Ordering::Release);
        assert_eq!(keys.remember("b", 4, 4), Earlier::Done);
        assert_eq!(keys.remember("a", 5, 5), Earlier::InFlight);
    }

    #[test]
    fn memory_is_bounded() {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut keys = RecentKeys::new(Arc::clone(&acknowledged));
        for row in 0..3 * REMEMBERED as u64 {
            acknowledged.store(row.saturating_sub(1000), Ordering::Release);
            keys.remember(&row.to_string(), row, row);
        }
        assert!(keys.rows.len() <= REMEMBERED);
    }
}
