//! Keys that a filter selected, and whether they still pass it: by a newer snapshot only those are looked at again
//! that have a newer version.

use engine::EngineError;
use model::{ApiError, Filter, IndexUuid, Strictness};
use roaring::RoaringBitmap;

use super::filter::read_filter;
use super::snapshot::Snapshot;
use crate::errors;

/// Keys whose newest version passes a filter, as of one snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Matched {
    /// The filter's JSON: what its keys mean depends on the index.
    filter: String,
    strictness: Strictness,
    keys: Vec<String>,
    index: IndexUuid,
    /// Sequence number after the last entry that the snapshot held.
    end: u64,
}

impl Matched {
    /// `keys` passed `filter` in an index whose last entry had the sequence number before `end`.
    pub(crate) fn new(filter: String, strictness: Strictness, keys: Vec<String>, index: IndexUuid, end: u64) -> Self {
        Self {
            filter,
            strictness,
            keys,
            index,
            end,
        }
    }

    /// The keys.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The same keys by `snapshot`, which is not older: less those whose newest version is gone or does not pass.
    /// CPU work: called on the pool.
    pub(crate) fn judged_by(mut self, snapshot: &Snapshot) -> Result<Self, ApiError> {
        if self.index == snapshot.uuid && self.end == snapshot.end() {
            return Ok(self);
        }
        let filter = read_filter(&self.filter, &snapshot.config, self.strictness)?;
        let mut look = Look {
            snapshot,
            filter: &filter,
            unseen_from: self.unseen_from(snapshot),
            selected: vec![None; snapshot.shards.len()],
        };
        let mut kept = Vec::with_capacity(self.keys.len());
        for key in self.keys {
            if look.passes(&key).map_err(|error| errors::engine(&error))? {
                kept.push(key);
            }
        }
        self.keys = kept;
        self.index = snapshot.uuid;
        self.end = snapshot.end();
        Ok(self)
    }

    /// The position in the snapshot's tail from which on entries are new to us; `None` when some of them are in shards
    /// already, or the index is another one.
    fn unseen_from(&self, snapshot: &Snapshot) -> Option<u64> {
        let same = self.index == snapshot.uuid;
        same.then(|| self.end.checked_sub(snapshot.manifest.wal_base)).flatten()
    }
}

struct Look<'a> {
    snapshot: &'a Snapshot,
    filter: &'a Filter,
    unseen_from: Option<u64>,
    /// By shard: the rows that pass, once somebody asks.
    selected: Vec<Option<RoaringBitmap>>,
}

impl Look<'_> {
    fn passes(&mut self, key: &str) -> Result<bool, EngineError> {
        let tail = &self.snapshot.tail;
        let newest = tail.find(key);
        if let Some(unseen_from) = self.unseen_from
            && newest.is_none_or(|row| u64::from(row.entry) < unseen_from)
        {
            // The version that passed before is the newest one still.
            return Ok(true);
        }
        let Some(row) = newest else {
            return self.passes_in_shards(key);
        };
        let matches = |entry: &super::entry::TailEntry| entry.matches(row.row, self.filter);
        Ok(tail.is_live(row) && tail.entry(row).is_some_and(matches))
    }

    fn passes_in_shards(&mut self, key: &str) -> Result<bool, EngineError> {
        let shards = self.snapshot.shards.iter().zip(self.snapshot.tail.excluded());
        for ((shard, excluded), selected) in shards.zip(&mut self.selected) {
            let Some(row) = shard.find(key).filter(|row| !excluded.contains(*row)) else {
                continue;
            };
            let rows = match selected {
                Some(rows) => rows,
                None => selected.insert(shard.select(self.filter)?),
            };
            return Ok(rows.contains(row));
        }
        Ok(false)
    }
}
