//! What a fold or a compaction wants of a manifest, and how it is rebased on a newer one. Pure.

use std::collections::BTreeMap;

use engine::RowMap;
use format::manifest::{Manifest, ShardEntry, TrainRef};
use format::record::{IndexRecord, WalEntry};
use model::{ShardId, WalId};
use roaring::RoaringBitmap;

/// One piece of indexing, independent of the manifest it is committed on.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The tail entries it folds, the oldest first; empty for a compaction.
    pub fold: Vec<WalEntry>,
    /// `wal_base` of the record those entries were read from.
    pub wal_base: u64,
    /// The shards that the output replaces.
    pub inputs: Vec<Input>,
    /// The new shard; `None` when no row was left.
    pub output: Option<ShardEntry>,
    /// Keys that the folded entries put or delete: older rows of them are dead in every other shard.
    pub keys: Vec<String>,
    /// Entries that an operator gave up.
    pub quarantined: Vec<WalId>,
    /// A training generation that was made on the way and is the current one from now on.
    pub train: Option<TrainRef>,
}

/// A shard that the output replaces.
#[derive(Debug)]
pub(super) struct Input {
    /// The shard.
    pub id: ShardId,
    /// Its dead rows when the output was built: they are not in it.
    pub dead: RoaringBitmap,
    /// Row of the input -> row of the output.
    pub rows: RowMap,
}

/// Why a change cannot be committed on this manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obsolete {
    /// Another fold moved the base: the entries are no longer ours to remove.
    BaseMoved,
    /// An input is no longer in the manifest.
    InputVanished,
}

/// May the change be committed on the record's current manifest at all?
pub(super) fn check(change: &Change, record: &IndexRecord, manifest: &Manifest) -> Result<(), Obsolete> {
    // I2: a fold removes the first k entries by position, so the positions must still be those that were read.
    if !change.fold.is_empty() && record.wal_base != change.wal_base {
        return Err(Obsolete::BaseMoved);
    }
    let vanished = |input: &Input| manifest.shard(input.id).is_none();
    if change.inputs.iter().any(vanished) {
        return Err(Obsolete::InputVanished);
    }
    Ok(())
}

/// The dead rows of every shard of the next manifest, from the *current* deletion vectors, and the shards whose set
/// is not the current one any more.
///
/// `found` holds, per shard, the rows whose keys the fold puts or deletes.
pub(super) fn dead_rows(
    change: &Change,
    current: &BTreeMap<ShardId, RoaringBitmap>,
    found: &BTreeMap<ShardId, RoaringBitmap>,
) -> BTreeMap<ShardId, RoaringBitmap> {
    let mut next = current.clone();
    for input in &change.inputs {
        next.remove(&input.id);
    }
    for (shard, rows) in found {
        if !rows.is_empty() {
            *next.entry(*shard).or_default() |= rows;
        }
    }
    if let Some(output) = &change.output {
        // I3: rows that died in an input after it was read are dead in the output too.
        let mut dead = RoaringBitmap::new();
        for input in &change.inputs {
            let Some(now_dead) = current.get(&input.id) else {
                continue;
            };
            dead |= input.rows.map(&(now_dead - &input.dead));
        }
        if !dead.is_empty() {
            next.insert(output.id, dead);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Ulid;

    fn id(n: u64) -> ShardId {
        ShardId(Ulid::from_parts(n, 0))
    }

    fn bitmap(rows: &[u32]) -> RoaringBitmap {
        rows.iter().copied().collect()
    }

    #[test]
    fn found_rows_join_the_current_dead_ones() {
        let change = Change::default();
        let current = BTreeMap::from([(id(1), bitmap(&[1])), (id(2), bitmap(&[5]))]);
        let found = BTreeMap::from([(id(1), bitmap(&[2])), (id(3), bitmap(&[]))]);
        let next = dead_rows(&change, &current, &found);
        assert_eq!(next, BTreeMap::from([(id(1), bitmap(&[1, 2])), (id(2), bitmap(&[5]))]));
    }
}
