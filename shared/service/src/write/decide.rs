//! What a record says about a write's attempt, in the order of DESIGN section 4. Pure, so that every row of the table
//! is a test.

use format::record::{IndexRecord, WalEntry};
use model::IndexUuid;

/// An append that was tried, or is about to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// The index's life that the rows were checked against.
    pub uuid: IndexUuid,
    /// The WAL object.
    pub entry: WalEntry,
    /// `wal_base` that the append names.
    pub base: u64,
    /// The sequence number that the entry must get, if not just any.
    pub end: Option<u64>,
    /// Whether an append with this base may have taken effect without our knowing.
    pub ambiguous: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The index does not exist any more.
    Gone,
    /// The path names another index: check the rows again, PUT under it.
    OtherIndex,
    /// Our entry is in the tail.
    Committed,
    /// Folds have moved the base since an attempt whose effect is unknown: the manifest's `folded` tells.
    AskManifest,
    /// Append with this base.
    Append {
        /// The record's `wal_base`.
        base: u64,
    },
    /// Something was committed since the write was made, and the entry cannot get its sequence number any more. Nor can
    /// an earlier append of it land: the tail's end only rises.
    Moved,
    /// The floor has passed our ULID: a new one, PUT again.
    FloorPassed,
    /// The tail is as long as it may be.
    Full,
}

/// Reads the record.
pub(super) fn decide(record: Option<&IndexRecord>, attempt: &Attempt) -> Verdict {
    let Some(record) = record else {
        return Verdict::Gone;
    };
    if record.uuid != attempt.uuid {
        return Verdict::OtherIndex;
    }
    // I2: an entry that is there must not be appended again.
    if record.wal.iter().any(|entry| entry.id == attempt.entry.id) {
        return Verdict::Committed;
    }
    if record.wal_base != attempt.base && attempt.ambiguous {
        return Verdict::AskManifest;
    }
    judge_append(record, attempt)
}

/// The rest of the table, for an entry that is known not to have taken effect.
pub(super) fn judge_append(record: &IndexRecord, attempt: &Attempt) -> Verdict {
    // I1: a write that was made from what lies below `end` is judged anew before it overrules more.
    if attempt.end.is_some_and(|end| end != record.end()) {
        return Verdict::Moved;
    }
    // I4, I6: the collector may already have listed objects below the floor.
    if record.floor >= attempt.entry.id.0 {
        return Verdict::FloorPassed;
    }
    if record.wal.len() >= storage::conditions::MAX_TAIL_ENTRIES || record.tail_kib >= storage::conditions::MAX_TAIL_KIB
    {
        return Verdict::Full;
    }
    Verdict::Append { base: record.wal_base }
}
