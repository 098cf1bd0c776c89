//! The index record and its conditional updates, as DESIGN section 4 writes them.
//!
//! Both catalogs use these functions: a conditional-update catalog runs them in the server when a request arrives,
//! a compare-and-swap catalog in the client, on the document it has read.

use crate::config::{Config, Mistake};
use crate::state::{OpId, Ulid, Uuid};

/// The one mutable record of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// Which index.
    pub uuid: Uuid,
    /// The tail: entry i has sequence number `wal_base + i`.
    pub wal: Vec<Ulid>,
    /// How many entries were folded.
    pub wal_base: u8,
    /// The current manifest.
    pub manifest: Option<Ulid>,
    /// No commit may introduce an object at or below this time.
    pub floor: u8,
    /// Whether a sweep would find this index (`dirty_since` is set).
    pub dirty: bool,
}

impl Record {
    /// A new, empty index.
    pub fn empty(uuid: Uuid) -> Self {
        Self {
            uuid,
            wal: Vec::new(),
            wal_base: 0,
            manifest: None,
            floor: 0,
            dirty: false,
        }
    }
}

/// What a client may want of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Update {
    /// The writer's commit.
    Append {
        /// The index it was validated against.
        uuid: Uuid,
        /// The `wal_base` of the record it read.
        base: u8,
        /// The WAL object.
        ulid: Ulid,
        /// The write in that object (for the ghost log only).
        op: OpId,
    },
    /// The commit of a fold or of a compaction.
    Commit {
        /// Which index.
        uuid: Uuid,
        /// The manifest it builds on.
        old: Option<Ulid>,
        /// The manifest it brings.
        new: Ulid,
        /// How many tail entries it folds.
        folds: u8,
        /// The time of the oldest object it introduces.
        oldest_new: u8,
        /// Remove the dirty mark too: nothing is left to do if this succeeds.
        clean: bool,
    },
    /// Removes the dirty mark of an index that needs no work.
    Clean {
        /// Which index.
        uuid: Uuid,
        /// The manifest that was found to need no compaction.
        manifest: Option<Ulid>,
    },
    /// The collector's step 2.
    RaiseFloor {
        /// Which index.
        uuid: Uuid,
        /// The new floor.
        to: u8,
    },
    /// Puts the name on a new index.
    Create {
        /// The new index.
        uuid: Uuid,
    },
    /// Deletes an index.
    Delete {
        /// Which index.
        uuid: Uuid,
    },
    /// Compare-and-swap only: takes a dead index off the name.
    Unlink {
        /// Which index.
        uuid: Uuid,
    },
    /// Conditional updates only: a tombstone for an index that does not exist, so that a late `Create` fails.
    Bury {
        /// Which index.
        uuid: Uuid,
    },
}

/// The record after `update`, or `None` when its condition fails.
pub fn updated(record: &Record, update: &Update, config: &Config) -> Option<Record> {
    let mut after = record.clone();
    let done = match *update {
        Update::Append { uuid, base, ulid, .. } => uuid == record.uuid && append(&mut after, base, ulid, config),
        Update::Commit { uuid, old, .. } => {
            uuid == record.uuid && old == record.manifest && commit(&mut after, update, config)
        }
        Update::Clean { uuid, manifest } => {
            after.dirty = false;
            uuid == record.uuid && manifest == record.manifest && size_is(record, 0, config)
        }
        Update::RaiseFloor { uuid, to } => {
            after.floor = to;
            uuid == record.uuid && (record.floor < to || config.has(Mistake::FloorFalls))
        }
        Update::Create { .. } | Update::Delete { .. } | Update::Unlink { .. } | Update::Bury { .. } => false,
    };
    done.then_some(after)
}

/// `SET wal = list_append(wal, [:entry]), dirty_since = if_not_exists(...)
///  IF uuid = :u AND wal_base = :b AND floor < :ulid AND NOT contains(wal, :entry) AND size(wal) < limit`
fn append(record: &mut Record, base: u8, ulid: Ulid, config: &Config) -> bool {
    let based = record.wal_base == base || config.has(Mistake::CommitWithoutWalBase);
    let ok = based && record.floor < ulid.ms && !record.wal.contains(&ulid) && record.wal.len() < config.tail_limit;
    record.wal.push(ulid);
    record.dirty = true;
    ok
}

/// `SET manifest = :new, wal_base += :k REMOVE wal[k-1], ..., wal[0]
///  IF uuid = :u AND manifest = :old AND floor < :oldest_new`, and `AND size(wal) = :k` where it also removes
/// the dirty mark.
fn commit(record: &mut Record, update: &Update, config: &Config) -> bool {
    let Update::Commit {
        new,
        folds,
        oldest_new,
        clean,
        ..
    } = *update
    else {
        return false;
    };
    let k = usize::from(folds);
    // A fold never removes more than the tail has: `manifest = :old` and the planner's first k entries see to it.
    let ok = record.floor < oldest_new && k <= record.wal.len() && (!clean || size_is(record, k, config));
    if ok {
        record.manifest = Some(new);
        record.wal_base += folds;
        record.wal.drain(..k);
        record.dirty &= !clean;
    }
    ok
}

/// The dirty mark's own condition.
fn size_is(record: &Record, k: usize, config: &Config) -> bool {
    record.wal.len() == k || config.has(Mistake::DirtyWithoutSize)
}
