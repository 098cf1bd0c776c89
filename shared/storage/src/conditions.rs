//! The conditional updates of the index record (DESIGN section 4), as pure functions: the one definition, used by
//! every catalog that cannot leave the conditions to its database, and the yardstick for the one that does.
//!
//! Each function takes the record as it is and gives the record as it would be, or the reason against it. Reasons are
//! looked for in the order in which a writer must decide: another life first, then "it is there already".

use format::{IndexRecord, Lease};
use model::{IndexUuid, Ulid};

use crate::catalog::{Append, ClearDirty, Publish, SetLease};

/// The tail takes no further entry at so many.
pub const MAX_TAIL_ENTRIES: usize = 512;
/// The tail takes no further entry from so many KiB on: 128 MiB.
pub const MAX_TAIL_KIB: u64 = 128 * 1024;

/// Why an update was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name belongs to another life of the index.
    #[error("another index has the name")]
    OtherUuid,
    /// The update has been made already: success.
    #[error("the update has been made already")]
    AlreadyDone,
    /// A fold moved `wal_base` since the record was read.
    #[error("the tail begins at another sequence number")]
    BaseMoved,
    /// Something was committed since the write was made, which the write must not overrule unseen.
    #[error("the tail ends at another sequence number")]
    EndMoved,
    /// Something new is older than the floor.
    #[error("the floor has passed an object's id")]
    FloorPassed,
    /// The tail takes no further entry.
    #[error("the tail is full")]
    TailFull,
    /// Another manifest is current.
    #[error("another manifest is current")]
    ManifestMoved,
    /// The tail is not exactly as long as the removal of the dirty mark requires, or shorter than the fold.
    #[error("the tail has another length")]
    TailLength,
    /// The KiB given for the folded entries are not theirs.
    #[error("the folded entries have another size")]
    TailSize,
    /// The lease is another one, or somebody else's who still holds it.
    #[error("the lease is held")]
    LeaseHeld,
}

/// The commit of a write:
///
/// ```text
/// SET wal = list_append(wal, [entry]), tail += kib, dirty_since = if_not_exists(now)
/// IF uuid = :u AND wal_base = :b AND floor < :ulid AND NOT contains(wal, :entry) AND size(wal) < 512 AND tail < 128 MB
/// ```
///
/// With `end` also `AND size(wal) = :end - :b`: the entry gets the sequence number `end`, or none.
///
/// # Errors
/// The clause that does not hold.
pub fn apply_append(record: &IndexRecord, append: &Append) -> Result<IndexRecord, Refusal> {
    check_uuid(record, append.uuid)?;
    if is_appended(record, append) {
        return Err(Refusal::AlreadyDone);
    }
    // I2: without this a resent append lands after its entry was folded and a key's newer version overwritten.
    if record.wal_base != append.base {
        return Err(Refusal::BaseMoved);
    }
    // I1: whoever decided by the entries below `end` has not seen the later ones. Only appends move it, folds do not.
    if append.end.is_some_and(|end| end != record.end()) {
        return Err(Refusal::EndMoved);
    }
    // I4: objects below the floor may already be on their way out.
    if record.floor >= append.entry.id.0 {
        return Err(Refusal::FloorPassed);
    }
    if record.wal.len() >= MAX_TAIL_ENTRIES || record.tail_kib >= MAX_TAIL_KIB {
        return Err(Refusal::TailFull);
    }
    let mut next = record.clone();
    next.wal.push(append.entry);
    next.tail_kib += u64::from(append.entry.kib);
    next.dirty_since_ms.get_or_insert(append.now_ms);
    Ok(next)
}

/// Whether the entry of this write is in the tail.
pub fn is_appended(record: &IndexRecord, append: &Append) -> bool {
    record.uuid == append.uuid && record.wal.iter().any(|entry| entry.id == append.entry.id)
}

/// The commit of a fold or a compaction:
///
/// ```text
/// SET manifest = :new, wal_base += :k, tail -= :n REMOVE wal[k-1], ..., wal[0]
/// IF uuid = :u AND manifest = :old AND floor < :oldest_new
/// ```
///
/// With `clear_dirty` also `REMOVE dirty_since` and `AND size(wal) = :k`.
///
/// # Errors
/// The clause that does not hold.
pub fn apply_publish(record: &IndexRecord, publish: &Publish) -> Result<IndexRecord, Refusal> {
    check_uuid(record, publish.uuid)?;
    if record.manifest == Some(publish.new) {
        return Err(Refusal::AlreadyDone);
    }
    if record.manifest != publish.old {
        return Err(Refusal::ManifestMoved);
    }
    if record.floor >= publish.oldest_new {
        return Err(Refusal::FloorPassed);
    }
    // The same manifest means the same `wal_base`, so the first k entries are the ones that were folded.
    let Some(folded) = record.wal.get(..publish.fold) else {
        return Err(Refusal::TailLength);
    };
    if publish.clear_dirty && record.wal.len() != publish.fold {
        return Err(Refusal::TailLength);
    }
    let folded_kib: u64 = folded.iter().map(|entry| u64::from(entry.kib)).sum();
    if folded_kib != publish.fold_kib {
        return Err(Refusal::TailSize);
    }
    let mut next = record.clone();
    next.wal.drain(..publish.fold);
    next.wal_base += publish.fold as u64;
    next.tail_kib = next.tail_kib.saturating_sub(folded_kib);
    next.manifest = Some(publish.new);
    if publish.clear_dirty {
        next.dirty_since_ms = None;
    }
    Ok(next)
}

/// Removes the dirty mark: `IF uuid = :u AND size(wal) = 0 AND manifest = :m`.
///
/// # Errors
/// The clause that does not hold.
pub fn apply_clear_dirty(record: &IndexRecord, clear: &ClearDirty) -> Result<IndexRecord, Refusal> {
    check_uuid(record, clear.uuid)?;
    if record.manifest != clear.manifest {
        return Err(Refusal::ManifestMoved);
    }
    if !record.wal.is_empty() {
        return Err(Refusal::TailLength);
    }
    if record.dirty_since_ms.is_none() {
        return Err(Refusal::AlreadyDone);
    }
    Ok(IndexRecord {
        dirty_since_ms: None,
        ..record.clone()
    })
}

/// Raises the floor: `IF uuid = :u AND floor < :floor`. It never falls.
///
/// # Errors
/// [`Refusal::AlreadyDone`] when the floor is as high, or the clause that does not hold.
pub fn apply_raise_floor(record: &IndexRecord, uuid: IndexUuid, floor: Ulid) -> Result<IndexRecord, Refusal> {
    check_uuid(record, uuid)?;
    if record.floor >= floor {
        return Err(Refusal::AlreadyDone);
    }
    Ok(IndexRecord {
        floor,
        ..record.clone()
    })
}

/// Takes, extends or gives back the lease: `IF uuid = :u AND lease = :expected`, and nobody takes one that another
/// holder still has.
///
/// # Errors
/// The clause that does not hold.
pub fn apply_set_lease(record: &IndexRecord, set: &SetLease) -> Result<IndexRecord, Refusal> {
    check_uuid(record, set.uuid)?;
    let wanted = wanted_lease(set);
    if record.lease != set.expected {
        let done = record.lease.as_ref() == Some(&wanted);
        return Err(if done { Refusal::AlreadyDone } else { Refusal::LeaseHeld });
    }
    if is_held_by_another(record.lease.as_ref(), set) {
        return Err(Refusal::LeaseHeld);
    }
    Ok(IndexRecord {
        lease: Some(wanted),
        ..record.clone()
    })
}

/// Whether somebody else still has this lease.
pub(crate) fn is_held_by_another(lease: Option<&Lease>, set: &SetLease) -> bool {
    lease.is_some_and(|lease| lease.holder != set.holder && lease.until_ms > set.now_ms)
}

/// The lease that is asked for.
pub(crate) fn wanted_lease(set: &SetLease) -> Lease {
    Lease {
        holder: set.holder.clone(),
        until_ms: set.until_ms,
        attempts: set.attempts,
        retry_at_ms: set.retry_at_ms,
    }
}

fn check_uuid(record: &IndexRecord, uuid: IndexUuid) -> Result<(), Refusal> {
    // I7: nothing old can touch an index that was created anew under the same name.
    if record.uuid == uuid {
        Ok(())
    } else {
        Err(Refusal::OtherUuid)
    }
}

#[cfg(test)]
mod tests;
