//! Who fetches the rows of which open shard, and when that is worth it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{IndexUuid, ShardId};

/// Turns remembered before unused ones are dropped.
const TURNS: usize = 1024;
/// Shards about which something is remembered, before all of it is forgotten.
const REMEMBERED: usize = 16 * 1024;
/// A file that could not be fetched ahead, or not be kept, is left alone for so long.
const PAUSE_MS: u64 = 5 * 60 * 1000;

type Key = (IndexUuid, ShardId);

/// One fetch at a time for each shard, and what is known of the shards whose rows are read by ranges.
#[derive(Debug, Default)]
pub(super) struct Attaching {
    turns: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    known: Mutex<HashMap<Key, Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Bytes read by ranges so far.
    spent: u64,
    /// Nobody fetches it before this time.
    not_before_ms: u64,
}

impl Attaching {
    /// Whoever holds it fetches the shard's rows; the others wait and then find them.
    pub(super) fn lock(&self, shard: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= TURNS {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(shard).or_default())
    }

    /// Counts bytes that are read by ranges; all of them since the shard's file was last fetched.
    pub(super) fn spend(&self, shard: Key, bytes: u64) -> u64 {
        self.know(shard, |known| {
            known.spent = known.spent.saturating_add(bytes);
            known.spent
        })
    }

    /// The file was fetched.
    pub(super) fn forget_spent(&self, shard: Key) {
        self.know(shard, |known| known.spent = 0);
    }

    /// The file could not be fetched or kept: it is left alone for a while.
    pub(super) fn leave(&self, shard: Key, now_ms: u64) {
        self.know(shard, |known| known.not_before_ms = now_ms.saturating_add(PAUSE_MS));
    }

    /// Whether the file is left alone now.
    pub(super) fn is_left(&self, shard: Key, now_ms: u64) -> bool {
        self.know(shard, |known| now_ms < known.not_before_ms)
    }

    fn know<T>(&self, shard: Key, note: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        note(known.entry(shard).or_default())
    }
}
