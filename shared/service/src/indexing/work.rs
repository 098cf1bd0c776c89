//! One index until nothing is due: folds in one lane, compactions in another, the dirty mark when both are done.
//!
//! The lease saves double work between processes; it never gives safety. It also remembers failed folds: each one that
//! the index's own data made fail halves the next, down to one entry, and waits longer; a fold that is committed ends
//! that memory. Other failures pass by themselves and are not remembered. Failed compactions are not either: folds,
//! which keep the tail short, must not wait for them.

use std::sync::Arc;
use std::time::Duration;

use format::record::{IndexRecord, Lease};
use futures::future::BoxFuture;
use storage::{ClearDirty, Commit, IndexPath, Ring, SetLease, Work};

use super::{IndexingError, Outcome, compact, fold};
use crate::Context;
use crate::query::objects;

/// When to look at the index again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// When somebody rings.
    Idle,
    /// At this time (milliseconds since the epoch), or when somebody rings.
    At(u64),
    /// At this time, and not before whoever rings: the last attempt failed.
    NotBefore(u64),
}

enum Due {
    Now,
    At(u64),
    Empty,
}

/// Folds until no fold is due.
pub fn folds<'a>(ctx: &'a Arc<Context>, path: &'a IndexPath, holder: &'a str) -> BoxFuture<'a, Next> {
    Box::pin(async move {
        loop {
            match fold_step(ctx, path, holder).await {
                Ok(Some(next)) => return next,
                Ok(None) => {}
                Err(error) => {
                    ctx.metrics.fold_failures.add(1);
                    return fold_failed(ctx, path, holder, &error).await;
                }
            }
        }
    })
}

/// Compacts until no compaction is due.
pub fn compactions<'a>(ctx: &'a Arc<Context>, path: &'a IndexPath, holder: &'a str) -> BoxFuture<'a, Next> {
    Box::pin(async move {
        loop {
            match compact_step(ctx, path, holder).await {
                Ok(Some(next)) => return next,
                Ok(None) => {}
                Err(error) => {
                    ctx.metrics.compaction_failures.add(1);
                    return compaction_failed(ctx, path, &error);
                }
            }
        }
    })
}

async fn fold_step(ctx: &Arc<Context>, path: &IndexPath, holder: &str) -> Result<Option<Next>, IndexingError> {
    let Some(record) = ctx.ports.catalog.read_record(path).await? else {
        return Ok(Some(Next::Idle));
    };
    if let Some(at) = not_before(ctx, &record, holder) {
        return Ok(Some(Next::At(at)));
    }
    match fold_due(ctx, &record) {
        Due::Now => {}
        Due::At(at) => return Ok(Some(Next::At(at))),
        Due::Empty => {
            finish(ctx, path, &record, holder).await?;
            return Ok(Some(Next::Idle));
        }
    }
    if let Some(at) = take_lease(ctx, path, &record, holder).await? {
        return Ok(Some(Next::At(at)));
    }
    let attempts = valid_lease(ctx, &record, holder).map_or(0, |lease| lease.attempts);
    let most = ctx.config.fold.max_entries >> attempts.min(31);
    let outcome = fold::fold_once(ctx, path, most).await?;
    match outcome {
        Outcome::Committed { .. } if record.lease.as_ref().is_some_and(remembers_failures) => {
            forget_failures(ctx, path, holder).await;
        }
        Outcome::Dropped => ctx.metrics.fold_failures.add(1),
        Outcome::Committed { .. } | Outcome::Nothing | Outcome::Gone => {}
    }
    ring_compaction(ctx, path, &record).await;
    Ok((outcome == Outcome::Gone).then_some(Next::Idle))
}

async fn compact_step(ctx: &Arc<Context>, path: &IndexPath, holder: &str) -> Result<Option<Next>, IndexingError> {
    let Some(record) = ctx.ports.catalog.read_record(path).await? else {
        return Ok(Some(Next::Idle));
    };
    if let Some(at) = not_before(ctx, &record, holder) {
        return Ok(Some(Next::At(at)));
    }
    let manifest = objects::manifest(ctx, &record).await?;
    match compact::due(ctx, &manifest, !record.wal.is_empty()) {
        compact::Due::Now => {}
        compact::Due::At(at) => return Ok(Some(Next::At(at))),
        compact::Due::Never => {
            finish(ctx, path, &record, holder).await?;
            return Ok(Some(Next::Idle));
        }
    }
    if let Some(at) = take_lease(ctx, path, &record, holder).await? {
        return Ok(Some(Next::At(at)));
    }
    let outcome = compact::compact_once(ctx, path).await?;
    if outcome == Outcome::Dropped {
        ctx.metrics.compaction_failures.add(1);
    }
    Ok((outcome == Outcome::Gone).then_some(Next::Idle))
}

fn fold_due(ctx: &Context, record: &IndexRecord) -> Due {
    let config = &ctx.config.fold;
    let Some(oldest) = record.wal.first() else {
        return Due::Empty;
    };
    if record.wal.len() >= config.due_entries || record.tail_kib >= config.due_kib {
        return Due::Now;
    }
    let due_at = oldest.id.0.timestamp_ms().saturating_add(millis(config.due_age));
    if due_at <= ctx.now_ms() {
        return Due::Now;
    }
    Due::At(due_at)
}

/// The lease, as far as it says anything to this process: when no other process can index the store, what another
/// holder left is the memory of a dead one.
fn valid_lease<'a>(ctx: &Context, record: &'a IndexRecord, holder: &str) -> Option<&'a Lease> {
    let lease = record.lease.as_ref()?;
    (lease.holder == holder || !ctx.config.fold.sole_indexer).then_some(lease)
}

/// Another process works on the index, or the last fold failed not long ago.
fn not_before(ctx: &Context, record: &IndexRecord, holder: &str) -> Option<u64> {
    let now_ms = ctx.now_ms();
    let lease = valid_lease(ctx, record, holder)?;
    if lease.retry_at_ms > now_ms {
        return Some(lease.retry_at_ms);
    }
    let held_by_rival = is_rival(&lease.holder, holder) && lease.until_ms > now_ms;
    held_by_rival.then_some(lease.until_ms)
}

/// Whether the lease of one holder keeps another from work. Where folds and compactions are done by different
/// processes, their holders are called `fold:...` and `compact:...`: neither lane waits for the other, as they do not in
/// one process.
fn is_rival(holder: &str, other: &str) -> bool {
    let lane = |holder: &str| holder.split_once(':').map(|(lane, _)| lane.to_owned());
    holder != other && lane(holder) == lane(other)
}

/// Takes or extends the lease; `Some(when)` when somebody else was faster.
async fn take_lease(
    ctx: &Context,
    path: &IndexPath,
    record: &IndexRecord,
    holder: &str,
) -> Result<Option<u64>, IndexingError> {
    if ctx.config.fold.sole_indexer {
        return Ok(None);
    }
    let now_ms = ctx.now_ms();
    let lease_ms = millis(ctx.config.fold.lease);
    if let Some(lease) = &record.lease {
        let half_left = lease.until_ms > now_ms.saturating_add(lease_ms / 2);
        if lease.holder == holder && half_left {
            return Ok(None);
        }
        let is_of_the_other_lane = lease.holder != holder && !is_rival(&lease.holder, holder);
        if is_of_the_other_lane && lease.until_ms > now_ms {
            // There is one lease: what it does not cover is done unprotected, at worst twice.
            return Ok(None);
        }
    }
    let attempts = record.lease.as_ref().map_or(0, |lease| lease.attempts);
    let until_ms = now_ms.saturating_add(lease_ms);
    match set_lease(ctx, path, record, holder, until_ms, attempts, 0).await? {
        Commit::Done => Ok(None),
        Commit::Refused(current) => {
            let lease: Option<Lease> = current.and_then(|current| current.lease);
            let until_ms = lease.map_or(now_ms, |lease| lease.until_ms);
            // Soon again: a refusal may only mean that the other lane took the lease for this process.
            Ok(Some(until_ms.min(now_ms.saturating_add(100))))
        }
    }
}

async fn set_lease(
    ctx: &Context,
    path: &IndexPath,
    record: &IndexRecord,
    holder: &str,
    until_ms: u64,
    attempts: u32,
    retry_at_ms: u64,
) -> Result<Commit, IndexingError> {
    let lease = SetLease {
        uuid: record.uuid,
        holder: holder.to_owned(),
        now_ms: ctx.now_ms(),
        until_ms,
        attempts,
        retry_at_ms,
        expected: record.lease.clone(),
    };
    Ok(ctx.ports.catalog.set_lease(path, &lease).await?)
}

/// Gives the lease back, for whoever works on the index next: a process that may be frozen, or never called again, does
/// not keep it for as long as it lasts.
pub fn release<'a>(ctx: &'a Context, path: &'a IndexPath, holder: &'a str) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let released = async {
            let Some(record) = ctx.ports.catalog.read_record(path).await? else {
                return Ok(());
            };
            let now_ms = ctx.now_ms();
            let ours = record
                .lease
                .as_ref()
                .filter(|lease| lease.holder == holder && lease.until_ms > now_ms);
            if let Some(lease) = ours {
                set_lease(ctx, path, &record, holder, now_ms, lease.attempts, lease.retry_at_ms).await?;
            }
            Ok::<_, IndexingError>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "cannot give a lease back; it ends by itself");
        }
    })
}

fn remembers_failures(lease: &Lease) -> bool {
    lease.attempts > 0 || lease.retry_at_ms > 0
}

/// Nothing is the matter with the index any more: a fold was committed, or an operator has removed what made it fail.
/// Whoever is refused has met another indexer, whose lease it is now, and who will forget in its turn.
pub(super) async fn forget_failures(ctx: &Context, path: &IndexPath, holder: &str) {
    let forgotten = async {
        let Some(record) = ctx.ports.catalog.read_record(path).await? else {
            return Ok(());
        };
        let Some(lease) = record.lease.as_ref().filter(|lease| remembers_failures(lease)) else {
            return Ok(());
        };
        let is_ours = lease.holder == holder;
        let until_ms = if is_ours { lease.until_ms } else { ctx.now_ms() };
        set_lease(ctx, path, &record, holder, until_ms, 0, 0).await?;
        Ok::<_, IndexingError>(())
    };
    if let Err(error) = forgotten.await {
        tracing::warn!(%error, "cannot take back the failures of an index");
    }
}

/// Nothing is due: a lease that remembers failures is reset, and the dirty mark goes.
async fn finish(ctx: &Arc<Context>, path: &IndexPath, record: &IndexRecord, holder: &str) -> Result<(), IndexingError> {
    let manifest = objects::manifest(ctx, record).await?;
    let has_tail = !record.wal.is_empty();
    if has_tail || compact::due(ctx, &manifest, has_tail) != compact::Due::Never {
        return Ok(());
    }
    if record.lease.as_ref().is_some_and(remembers_failures) {
        forget_failures(ctx, path, holder).await;
    }
    if record.dirty_since_ms.is_none() {
        return Ok(());
    }
    let clear = ClearDirty {
        uuid: record.uuid,
        manifest: record.manifest,
    };
    // Refused: a new write keeps the mark.
    ctx.ports.catalog.clear_dirty(path, &clear).await?;
    Ok(())
}

async fn ring_compaction(ctx: &Arc<Context>, path: &IndexPath, record: &IndexRecord) {
    let ring = Ring {
        path: path.clone(),
        uuid: record.uuid,
        kind: Work::Compact,
    };
    if let Err(error) = ctx.ports.doorbell.ring(&ring).await {
        tracing::warn!(%error, "cannot ring for a compaction; the sweep will find it");
    }
}

/// When to try again. A failure that is the index's own is noted in the lease, so that every process waits and the next
/// fold is smaller.
async fn fold_failed(ctx: &Arc<Context>, path: &IndexPath, holder: &str, error: &IndexingError) -> Next {
    let soon = Next::NotBefore(ctx.now_ms().saturating_add(millis(ctx.config.fold.retry_first)));
    if !error.is_of_the_index() {
        tracing::warn!(%error, bucket = %path.bucket, index = %path.index, "a fold did not come about");
        return soon;
    }
    let record = ctx.ports.catalog.read_record(path).await;
    let Ok(Some(record)) = record else {
        tracing::error!(%error, bucket = %path.bucket, index = %path.index, "a fold failed");
        return soon;
    };
    let now_ms = ctx.now_ms();
    let before = valid_lease(ctx, &record, holder).map_or(0, |lease| lease.attempts);
    let attempts = before.saturating_add(1);
    let longest_ms = millis(ctx.config.fold.retry_max);
    let wait_ms = millis(ctx.config.fold.retry_first).saturating_mul(1 << attempts.min(16));
    let retry_at_ms = now_ms.saturating_add(wait_ms.min(longest_ms));
    let alarm = matches!(error, IndexingError::Unreadable { .. });
    tracing::error!(%error, bucket = %path.bucket, index = %path.index, attempts, alarm, "a fold failed");
    let noted = set_lease(ctx, path, &record, holder, now_ms, attempts, retry_at_ms).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "cannot note the failure");
    }
    Next::NotBefore(retry_at_ms)
}

/// When to try again: what the index's own data made fail will most likely fail again.
fn compaction_failed(ctx: &Context, path: &IndexPath, error: &IndexingError) -> Next {
    let wait = if error.is_of_the_index() {
        tracing::error!(%error, bucket = %path.bucket, index = %path.index, "a compaction failed");
        ctx.config.fold.retry_max
    } else {
        tracing::warn!(%error, bucket = %path.bucket, index = %path.index, "a compaction did not come about");
        ctx.config.fold.retry_first
    };
    Next::NotBefore(ctx.now_ms().saturating_add(millis(wait)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
