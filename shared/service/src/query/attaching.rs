//! Who fetches the rows of which open shard.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use model::{IndexUuid, ShardId};

/// Turns remembered before unused ones are dropped.
const TURNS: usize = 1024;
/// Shards that are given up, before all of them are forgotten.
const GIVEN_UP: usize = 16 * 1024;

type Key = (IndexUuid, ShardId);

/// One fetch at a time for each shard, and the shards that are not worth reading ahead.
#[derive(Debug, Default)]
pub(super) struct Attaching {
    turns: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    given_up: Mutex<HashSet<Key>>,
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

    /// The shard's file cannot be kept on the disk: nobody fetches it for that any more.
    pub(super) fn give_up(&self, shard: Key) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up.len() >= GIVEN_UP {
            given_up.clear();
        }
        given_up.insert(shard);
    }

    /// Whether reading the shard's file ahead was given up.
    pub(super) fn is_given_up(&self, shard: &Key) -> bool {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.contains(shard)
    }
}
