//! The write protocol of DESIGN section 4: PUT the WAL object and read the record in parallel, append, and after
//! anything but a clear success decide from the record.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use format::record::{IndexRecord, WalEntry};
use format::wal::WalWriter;
use futures::future::{join_all, join3};
use model::{ApiError, Dimension, WalId};
use storage::{Append, Commit, IndexPath, Ring, StoreError, Work, paths};

use super::decide::{Attempt, Verdict, decide, judge_append};
use super::group::Member;
use super::known::{Known, invalidate, read_index, recheck, remember};
use super::row::WriteRow;
use crate::query::objects::{self, ReadFault};
use crate::{Context, errors};

/// Work below this many bytes is done where it stands: it takes less than handing it to the pool is worth.
const INLINE_BYTES: usize = 64 * 1024;
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const UNDECIDED: &str = "Currently unable to handle the request: whether it took effect is unknown";

/// Commits the members' rows as one WAL object and answers each of them.
pub(super) async fn commit(ctx: &Context, path: &IndexPath, mut members: Vec<Member>) {
    let mut target = match target_of(ctx, path, &members).await {
        Ok(Some(target)) => target,
        Ok(None) => return,
        Err(error) => {
            members.into_iter().for_each(|member| member.answer(Err(error.clone())));
            return;
        }
    };
    loop {
        members = keep_valid(ctx, members, &target).await;
        let Some(deadline_ms) = members.iter().map(|member| member.deadline_ms).max() else {
            return;
        };
        let group = Group {
            ctx,
            path,
            target: Arc::clone(&target),
            deadline_ms,
        };
        match group.put_and_append(&mut members).await {
            Ok(Outcome::Committed { rows }) => {
                finish(&group, members.len(), rows).await;
                members.into_iter().for_each(|member| member.answer(Ok(())));
                return;
            }
            Ok(Outcome::PutAgain(found)) => {
                ctx.metrics.commit_retries.add(1);
                target = found;
            }
            // Of an append that asks for no certain place nobody says so.
            Ok(Outcome::Moved) => ctx.metrics.commit_retries.add(1),
            Err(error) => {
                members.into_iter().for_each(|member| member.answer(Err(error.clone())));
                return;
            }
        }
    }
}

/// The index that the group is for; `None` without members.
async fn target_of(ctx: &Context, path: &IndexPath, members: &[Member]) -> Result<Option<Arc<Known>>, ApiError> {
    let Some(last) = members.last() else {
        return Ok(None);
    };
    if members.iter().all(|member| member.known.uuid == last.known.uuid) {
        return Ok(Some(Arc::clone(&last.known)));
    }
    // I7: members disagree about which index the path names. Only the record knows: a member must not be refused by
    // what another one remembers.
    let target = read_index(ctx, path).await?;
    Ok(Some(target))
}

/// The members whose rows are legal for `target`; the others have their answer.
async fn keep_valid(ctx: &Context, members: Vec<Member>, target: &Arc<Known>) -> Vec<Member> {
    let mut kept = Vec::with_capacity(members.len());
    for mut member in members {
        if let Some(refusal) = member.refusal.take() {
            member.answer(Err(refusal));
            continue;
        }
        if member.known.uuid == target.uuid {
            kept.push(member);
            continue;
        }
        // I7: nothing that was checked against the deleted index enters the new one unchecked.
        let (rows, config) = (Arc::clone(&member.rows), target.config.clone());
        let checked = ctx.pool.run_next(move || recheck(&rows, &config)).await;
        match checked.unwrap_or_else(|error| Err(errors::pool(&error))) {
            Ok(()) => {
                member.known = Arc::clone(target);
                kept.push(member);
            }
            Err(refusal) => member.answer(Err(refusal)),
        }
    }
    kept
}

/// Waits until each member's permission has come, or its refusal.
async fn arrive(members: &mut [Member]) {
    let arriving = members.iter_mut().map(async |member| {
        member.refusal = member.permission.arrive().await.err();
    });
    join_all(arriving).await;
}

/// Counts the commit and wakes the indexer.
pub(super) async fn finish(group: &Group<'_>, requests: usize, rows: u32) {
    let metrics = &group.ctx.metrics;
    metrics.commits.add(1);
    metrics.committed_requests.add(requests as u64);
    metrics.committed_rows.add(u64::from(rows));
    group.ring().await;
}

/// How an append ended.
pub(super) enum Outcome {
    Committed {
        rows: u32,
    },
    /// The object cannot be committed as it is: PUT another one under what the record says now.
    PutAgain(Arc<Known>),
    /// Something was committed since the write was made, which it must not overrule unseen.
    Moved,
}

/// What a strong read of the record has found.
pub(super) struct Found(Option<IndexRecord>);

/// A WAL object that is not stored yet.
pub(super) struct Draft {
    pub(super) entry: WalEntry,
    bytes: Bytes,
    /// It only deletes: it may use what a full disk keeps back.
    deletes: bool,
}

/// One group on its way into one index.
pub(super) struct Group<'a> {
    pub(super) ctx: &'a Context,
    pub(super) path: &'a IndexPath,
    pub(super) target: Arc<Known>,
    pub(super) deadline_ms: u64,
}

impl Group<'_> {
    async fn put_and_append(&self, members: &mut [Member]) -> Result<Outcome, ApiError> {
        let parts = members.iter().map(|member| Arc::clone(&member.rows)).collect();
        let size = members.iter().map(|member| member.bytes).sum();
        let draft = self.encode(parts, size).await?;
        // The read gives the base that the append names. It may be older than the PUT: the base only has to be one
        // that was current after the rows were given to us (I2).
        let (put, record, ()) = join3(self.put(&draft), self.read(), arrive(members)).await;
        let record = record?;
        self.confirm(members, &record).await;
        if members.iter().any(|member| member.refusal.is_some()) {
            // The object has rows of somebody who may not write them: another one without these.
            return Ok(Outcome::PutAgain(Arc::clone(&self.target)));
        }
        let attempt = Attempt {
            uuid: self.target.uuid,
            entry: draft.entry,
            base: record.0.as_ref().map_or(0, |record| record.wal_base),
            end: None,
            ambiguous: false,
        };
        match put {
            Ok(()) => self.append(attempt, Some(record)).await,
            // Somebody else's object has the name, against all odds: another ULID.
            Err(StoreError::Conflict { .. }) => Ok(Outcome::PutAgain(Arc::clone(&self.target))),
            Err(error) => Err(errors::store(&error)),
        }
    }

    /// Each member's permission must stand on the bucket that the index is in. When the record shows another index, the
    /// append is not tried, and the next round asks again.
    async fn confirm(&self, members: &mut [Member], found: &Found) {
        if found.0.as_ref().is_none_or(|record| record.uuid != self.target.uuid) {
            return;
        }
        for member in members.iter_mut().filter(|member| member.refusal.is_none()) {
            let confirmed = member
                .permission
                .confirm(self.ctx, self.target.bucket, self.target.uuid);
            member.refusal = confirmed.await.err();
        }
    }

    /// A new WAL object of about `size` bytes.
    pub(super) async fn encode(&self, parts: Vec<Arc<Vec<WriteRow>>>, size: usize) -> Result<Draft, ApiError> {
        let id = WalId(self.ctx.ids.ulid(self.target.floor));
        let dimension = self.target.config.dimension;
        let deletes = parts
            .iter()
            .all(|rows| rows.iter().all(|row| matches!(row, WriteRow::Delete(_))));
        let (rows, bytes) = if size <= INLINE_BYTES {
            encode(dimension, &parts)?
        } else {
            let encoded = self.ctx.pool.run_next(move || encode(dimension, &parts)).await;
            encoded.map_err(|error| errors::pool(&error))??
        };
        Ok(Draft {
            entry: WalEntry::new(id, rows, bytes.len()),
            bytes,
            deletes,
        })
    }

    /// S1 makes a repeated PUT of the same bytes harmless.
    pub(super) async fn put(&self, draft: &Draft) -> Result<(), StoreError> {
        let name = paths::wal(self.target.uuid, draft.entry.id);
        let objects = &self.ctx.ports.objects;
        let mut pause = self.first_pause();
        loop {
            let put = if draft.deletes {
                objects.put_from_reserve(&name, draft.bytes.clone()).await
            } else {
                objects.put(&name, draft.bytes.clone()).await
            };
            match put {
                Err(error @ (StoreError::Unknown { .. } | StoreError::Throttled { .. })) => {
                    if !self.pause(&mut pause).await {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// The record, strongly read; tried again while there is time.
    async fn read(&self) -> Result<Found, ApiError> {
        let mut pause = self.first_pause();
        loop {
            match self.ctx.ports.catalog.read_record(self.path).await {
                Ok(record) => return Ok(Found(record)),
                Err(error) => {
                    let transient = matches!(error, StoreError::Unknown { .. } | StoreError::Throttled { .. });
                    if !transient || !self.pause(&mut pause).await {
                        return Err(errors::store(&error));
                    }
                }
            }
        }
    }

    /// Appends the attempt's entry: as prepared when nothing was `read` yet, else as the record says.
    pub(super) async fn append(&self, mut attempt: Attempt, read: Option<Found>) -> Result<Outcome, ApiError> {
        let mut read = read;
        let mut pause = self.first_pause();
        loop {
            if let Some(found) = read.take()
                && let Some(outcome) = self.consult(found, &mut attempt).await?
            {
                return Ok(outcome);
            }
            match self.try_append(&mut attempt).await? {
                Tried::Committed => {
                    return Ok(Outcome::Committed {
                        rows: attempt.entry.rows,
                    });
                }
                Tried::Refused(found) => read = Some(found),
                Tried::Unclear => {
                    if !self.pause(&mut pause).await {
                        return Err(errors::unavailable(UNDECIDED));
                    }
                    read = Some(self.read().await?);
                }
            }
            self.ctx.metrics.commit_retries.add(1);
        }
    }

    /// What the record says of the attempt: how the write has ended, or `None` when the attempt is to be made.
    async fn consult(&self, found: Found, attempt: &mut Attempt) -> Result<Option<Outcome>, ApiError> {
        let Found(mut record) = found;
        loop {
            let mut verdict = decide(record.as_ref(), attempt);
            if verdict == Verdict::AskManifest
                && let Some(found) = &record
            {
                let Some(settled) = self.ask_manifest(found, attempt).await? else {
                    // The manifest has been replaced since: the record knows more now.
                    Found(record) = self.read().await?;
                    continue;
                };
                verdict = settled;
            }
            return match (verdict, record) {
                (Verdict::Committed, _) => Ok(Some(Outcome::Committed {
                    rows: attempt.entry.rows,
                })),
                (Verdict::Append { base }, _) => {
                    // Another base rules out that an earlier append still lands; the same base keeps the doubt.
                    attempt.ambiguous &= base == attempt.base;
                    attempt.base = base;
                    Ok(None)
                }
                (Verdict::Moved, _) => Ok(Some(Outcome::Moved)),
                (Verdict::OtherIndex | Verdict::FloorPassed, Some(found)) => {
                    Ok(Some(Outcome::PutAgain(remember(self.ctx, self.path, &found))))
                }
                (Verdict::Full, _) => {
                    // Only the indexer can make room.
                    self.ring().await;
                    Err(ApiError::too_many_requests())
                }
                _ => {
                    invalidate(self.ctx, self.path);
                    Err(ApiError::not_found_index())
                }
            };
        }
    }

    async fn try_append(&self, attempt: &mut Attempt) -> Result<Tried, ApiError> {
        let now_ms = self.ctx.now_ms();
        if now_ms >= self.deadline_ms {
            return Err(if attempt.ambiguous {
                errors::unavailable(UNDECIDED)
            } else {
                ApiError::request_timeout()
            });
        }
        let append = Append {
            uuid: attempt.uuid,
            base: attempt.base,
            end: attempt.end,
            entry: attempt.entry,
            now_ms,
        };
        match self.ctx.ports.catalog.append(self.path, &append).await {
            Ok(Commit::Done) => Ok(Tried::Committed),
            Ok(Commit::Refused(record)) => Ok(Tried::Refused(Found(record.map(|record| *record)))),
            // Nothing was written, now or later.
            Err(StoreError::Throttled { .. } | StoreError::Conflict { .. }) => Ok(Tried::Unclear),
            Err(StoreError::Unknown { .. }) => {
                attempt.ambiguous = true;
                Ok(Tried::Unclear)
            }
            Err(error) => Err(errors::store(&error)),
        }
    }

    /// Whether our entry was folded since the attempt whose effect is unknown. `None`: the manifest is not there any
    /// more, so the record has moved on.
    async fn ask_manifest(&self, record: &IndexRecord, attempt: &Attempt) -> Result<Option<Verdict>, ApiError> {
        let manifest = match objects::manifest(self.ctx, record).await {
            Ok(manifest) => manifest,
            Err(ReadFault::Missing(name)) => {
                tracing::debug!(object = %name, "manifest was replaced while a write asked it");
                return Ok(None);
            }
            Err(fault) => return Err(fault.into_api()),
        };
        // I2: a folded entry has taken effect; appending it again would undo whatever came after it.
        if manifest.has_folded(attempt.entry.id) {
            return Ok(Some(Verdict::Committed));
        }
        if !manifest.folded_reaches(attempt.base) {
            return Err(errors::unavailable(UNDECIDED));
        }
        Ok(Some(judge_append(record, attempt)))
    }

    /// Tells the indexer. A lost ring is found by the sweep.
    async fn ring(&self) {
        let ring = Ring {
            path: self.path.clone(),
            uuid: self.target.uuid,
            kind: Work::Fold,
        };
        if let Err(error) = self.ctx.ports.doorbell.ring(&ring).await {
            tracing::warn!(%error, bucket = %self.path.bucket, index = %self.path.index, "doorbell failed");
        }
    }

    fn first_pause(&self) -> Duration {
        self.ctx.config.write.retry_pause
    }

    /// Waits, longer each time, with jitter so that rivals do not meet again; `false` when the deadline has passed.
    async fn pause(&self, next: &mut Duration) -> bool {
        let left = self.deadline_ms.saturating_sub(self.ctx.now_ms());
        if left == 0 {
            return false;
        }
        let whole = u64::try_from(next.as_micros()).unwrap_or(u64::MAX).max(2);
        let jittered = Duration::from_micros(whole / 2 + self.ctx.ids.nonce() % (whole / 2));
        tokio::time::sleep(jittered.min(Duration::from_millis(left))).await;
        *next = next.saturating_mul(2).min(LONGEST_PAUSE);
        true
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one at a time, for a moment")]
enum Tried {
    Committed,
    Refused(Found),
    Unclear,
}

/// The WAL object of these rows, in order: a later row of a key overrides an earlier one.
pub(super) fn encode(dimension: Dimension, parts: &[Arc<Vec<WriteRow>>]) -> Result<(u32, Bytes), ApiError> {
    let mut writer = WalWriter::new(dimension);
    for row in parts.iter().flat_map(|rows| rows.iter()) {
        match row {
            WriteRow::Put(row) => writer.push_put(&row.key, &row.vector, row.metadata.as_deref()),
            WriteRow::Delete(key) => writer.push_delete(key),
        }
    }
    let rows = u32::try_from(writer.rows()).map_err(|_| errors::internal())?;
    let bytes = writer.finish().map_err(|error| errors::format(&error))?;
    Ok((rows, bytes))
}
