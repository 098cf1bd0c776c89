//! One index until nothing is due: folds in one lane, compactions in another, the dirty mark when both are done.
//!
//! The lease remembers failed folds: each one that the index's own data made fail halves the next, down to one entry,
//! and waits longer; a fold that is committed ends that memory. Other failures pass by themselves and are not
//! remembered. Failed compactions are not either: folds, which keep the tail short, must not wait for them.

use std::sync::Arc;
use std::time::Duration;

use format::record::IndexRecord;
use futures::future::BoxFuture;
use storage::{ClearDirty, IndexPath, Ring, Work};

use super::lease::{forget_failures, not_before, remembers_failures, set_lease, take_lease, valid_lease};
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

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
