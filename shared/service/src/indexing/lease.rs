//! The lease of an index: taken before work, given back after it.
//!
//! It saves double work between processes; it never gives safety. It also remembers failed folds (see [`super::work`]).
//! It is not extended while work lasts: there is one, and a long merge that kept it would take it from the folds.

use format::record::{IndexRecord, Lease};
use futures::future::BoxFuture;
use storage::{Commit, IndexPath, SetLease};

use super::IndexingError;
use super::work::millis;
use crate::Context;

/// The lease, as far as it says anything to this process: when no other process can index the store, what another
/// holder left is the memory of a dead one.
pub(super) fn valid_lease<'a>(ctx: &Context, record: &'a IndexRecord, holder: &str) -> Option<&'a Lease> {
    let lease = record.lease.as_ref()?;
    (lease.holder == holder || !ctx.config.fold.sole_indexer).then_some(lease)
}

/// Another process works on the index, or the last fold failed not long ago.
pub(super) fn not_before(ctx: &Context, record: &IndexRecord, holder: &str) -> Option<u64> {
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
pub(super) async fn take_lease(
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

pub(super) async fn set_lease(
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

pub(super) fn remembers_failures(lease: &Lease) -> bool {
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
