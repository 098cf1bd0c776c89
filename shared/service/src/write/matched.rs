//! Deleting what matched a filter.
//!
//! The filter was evaluated on a snapshot, and by the time of the commit a key may have a newer version that does not
//! pass. A deletion overrules every version below it, so it must not be committed above a version that nobody judged:
//!
//! * the keys are judged on a snapshot that holds exactly the entries below sequence number `end`;
//! * the append is conditional on becoming entry `end` (`wal_base = :b AND size(wal) = :end - :b`), so every version
//!   that the deletion overrules is one that was judged (I1), and versions above it are not touched;
//! * an entry that got in between refuses the append, and the keys, only these, are judged once more on the snapshot
//!   that holds it. Folds do not move `end`, and do not change what an index holds (I3), so they refuse nothing.
//!
//! I2: a lost answer is decided as for every write. An append that named an `end` which the record has passed can
//! never land any more, since `end` only rises and every life of an index has its own uuid: then it is safe to judge
//! again and to append the same object, or another one when fewer keys are left.
//!
//! Progress: in one process the whole of this happens in the index's turn (`group`), where no other write of
//! the process can get in between. Between processes, the object is stored before the race begins and stored anew only
//! when keys were lost to it, so that a try takes one read of the record, the new entries and one append; tries are
//! bounded by the request's deadline.

use std::sync::Arc;

use format::record::WalEntry;
use model::{ApiError, IndexUuid};
use storage::{IndexPath, StoreError};
use tokio::sync::oneshot;

use super::commit::{Group, Outcome, finish};
use super::decide::Attempt;
use super::known::known_index;
use super::row::WriteRow;
use crate::query::matched::Matched;
use crate::query::{self, Snapshot};
use crate::{Context, errors};

/// A request that waits for its turn.
#[derive(Debug)]
pub(super) struct MatchedDelete {
    /// What to delete.
    pub matched: Matched,
    /// When its answer must be out.
    pub deadline_ms: u64,
    /// How many keys were deleted.
    pub reply: oneshot::Sender<Result<u64, ApiError>>,
}

/// A WAL object that is stored and not appended yet.
struct Stored {
    index: IndexUuid,
    entry: WalEntry,
    /// Keys only ever become fewer: as many are the same ones.
    keys: usize,
}

/// Deletes the keys that still match, and answers. In the index's turn.
pub(super) async fn commit(ctx: &Context, path: &IndexPath, delete: MatchedDelete) {
    if delete.reply.is_closed() {
        return;
    }
    let outcome = run(ctx, path, delete.matched, delete.deadline_ms).await;
    // A cancelled request dropped its end: its keys are deleted all the same.
    let _ = delete.reply.send(outcome);
}

async fn run(ctx: &Context, path: &IndexPath, matched: Matched, deadline_ms: u64) -> Result<u64, ApiError> {
    let mut matched = matched;
    let mut stored: Option<Stored> = None;
    while ctx.now_ms() < deadline_ms {
        let snapshot = query::read(ctx, path, deadline_ms).await?;
        matched = judge(ctx, matched, &snapshot).await?;
        if matched.keys().is_empty() {
            return Ok(0);
        }
        let target = known_index(ctx, path).await?.known;
        if target.uuid != snapshot.uuid {
            continue;
        }
        let group = Group {
            ctx,
            path,
            target,
            deadline_ms,
        };
        let is_current = |stored: &Stored| stored.index == snapshot.uuid && stored.keys == matched.keys().len();
        let ready = match stored.filter(is_current) {
            Some(ready) => Some(ready),
            None => store(&group, &matched).await?,
        };
        // `None`: somebody else's object has the name, against all odds.
        stored = ready;
        let Some(ready) = &stored else { continue };
        let attempt = Attempt {
            uuid: snapshot.uuid,
            entry: ready.entry,
            base: snapshot.manifest.wal_base,
            end: Some(snapshot.end()),
            ambiguous: false,
        };
        match group.append(attempt, None).await? {
            Outcome::Committed { rows } => {
                finish(&group, 1, rows).await;
                return Ok(u64::from(rows));
            }
            Outcome::Moved => {}
            Outcome::PutAgain(_) => stored = None,
        }
        ctx.metrics.commit_retries.add(1);
    }
    Err(ApiError::request_timeout())
}

async fn judge(ctx: &Context, matched: Matched, snapshot: &Arc<Snapshot>) -> Result<Matched, ApiError> {
    let snapshot = Arc::clone(snapshot);
    let judged = ctx.pool.run_next(move || matched.judged_by(&snapshot)).await;
    judged.map_err(|error| errors::pool(&error))?
}

async fn store(group: &Group<'_>, matched: &Matched) -> Result<Option<Stored>, ApiError> {
    let rows: Vec<WriteRow> = matched.keys().iter().cloned().map(WriteRow::Delete).collect();
    let size = rows.iter().map(WriteRow::approx_bytes).sum();
    let draft = group.encode(vec![Arc::new(rows)], size).await?;
    match group.put(&draft).await {
        Ok(()) => Ok(Some(Stored {
            index: group.target.uuid,
            entry: draft.entry,
            keys: matched.keys().len(),
        })),
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(error) => Err(errors::store(&error)),
    }
}
