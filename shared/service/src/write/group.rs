//! Group commit: writes to one index that arrive while a commit is in flight share the next one.
//!
//! One task per busy index takes whatever has queued up, commits it and answers each member; it ends when nothing is
//! left. There is no artificial delay: a lone write commits at once, and under load groups grow by themselves. Whoever's
//! commit depends on what the index holds (a delete by filter) gets a turn of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::ApiError;
use storage::IndexPath;
use tokio::sync::oneshot;

use super::commit;
use super::known::{Known, KnownIndexes};
use super::matched::{self, MatchedDelete};
use super::row::WriteRow;
use crate::access::Permission;
use crate::config::WriteConfig;
use crate::query::matched::Matched;
use crate::{Context, errors};

const OVERLOADED: &str = "Currently unable to handle the request";

/// One request that waits for its commit.
#[derive(Debug)]
pub(super) struct Member {
    /// What it writes, in its order.
    pub rows: Arc<Vec<WriteRow>>,
    /// Roughly its share of a WAL object.
    pub bytes: usize,
    /// What its rows were checked against.
    pub known: Arc<Known>,
    /// Whether it may: needed before the commit.
    pub permission: Permission,
    /// Why it may not.
    pub refusal: Option<ApiError>,
    /// When its answer must be out.
    pub deadline_ms: u64,
    reply: oneshot::Sender<Result<(), ApiError>>,
}

impl Member {
    /// Answers the request; one that has gone away does not hear it.
    pub(super) fn answer(self, outcome: Result<(), ApiError>) {
        // A cancelled request dropped its end: its rows are committed or refused all the same.
        let _ = self.reply.send(outcome);
    }
}

/// A request in the queue.
#[derive(Debug)]
enum Queued {
    /// Shares a commit with its neighbours.
    Write(Member),
    /// Is committed alone: its condition is on the whole index.
    DeleteMatched(MatchedDelete),
}

/// What one turn commits.
enum Turn {
    Group(Vec<Member>),
    DeleteMatched(MatchedDelete),
}

type Queues = HashMap<IndexPath, VecDeque<Queued>>;

/// The groups of all indexes that this process writes to. A path is in the map while its task runs.
#[derive(Debug)]
pub(crate) struct WriteGroups {
    pub(super) known: KnownIndexes,
    queues: Mutex<Queues>,
    bounds: WriteConfig,
}

impl WriteGroups {
    /// No group yet.
    pub(crate) fn new(bounds: &WriteConfig) -> Self {
        Self {
            known: KnownIndexes::default(),
            queues: Mutex::default(),
            bounds: bounds.clone(),
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request; `true` when the caller must start the path's task.
    fn join(&self, path: &IndexPath, request: Queued) -> Result<bool, ApiError> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(path) else {
            queues.insert(path.clone(), VecDeque::from([request]));
            return Ok(true);
        };
        if queue.len() >= self.bounds.queue_requests {
            return Err(errors::unavailable(OVERLOADED));
        }
        queue.push_back(request);
        Ok(false)
    }

    /// What to commit next; `None`, and the path leaves the map, when nobody waits.
    fn take(&self, path: &IndexPath) -> Option<Turn> {
        let mut queues = self.queues();
        let queue = queues.get_mut(path)?;
        let (mut rows, mut bytes) = (0_usize, 0_usize);
        let mut members = Vec::new();
        while let Some(next) = queue.pop_front() {
            let member = match next {
                Queued::Write(member) => member,
                Queued::DeleteMatched(delete) if members.is_empty() => return Some(Turn::DeleteMatched(delete)),
                Queued::DeleteMatched(delete) => {
                    queue.push_front(Queued::DeleteMatched(delete));
                    break;
                }
            };
            rows = rows.saturating_add(member.rows.len());
            bytes = bytes.saturating_add(member.bytes);
            let full = rows > self.bounds.group_rows || bytes > self.bounds.group_bytes;
            if full && !members.is_empty() {
                queue.push_front(Queued::Write(member));
                break;
            }
            members.push(member);
        }
        if members.is_empty() {
            queues.remove(path);
            return None;
        }
        Some(Turn::Group(members))
    }
}

/// Joins the index's next group and waits for its outcome.
pub(super) async fn submit(
    ctx: &Arc<Context>,
    path: &IndexPath,
    known: Arc<Known>,
    rows: Vec<WriteRow>,
    permission: Permission,
    deadline_ms: u64,
) -> Result<(), ApiError> {
    let (reply, outcome) = oneshot::channel();
    let bytes = rows.iter().map(WriteRow::approx_bytes).sum();
    let member = Member {
        rows: Arc::new(rows),
        bytes,
        known,
        permission,
        refusal: None,
        deadline_ms,
        reply,
    };
    queue(ctx, path, Queued::Write(member))?;
    // The sender is lost only when the task died: whether the rows are committed is unknown.
    outcome.await.unwrap_or_else(|_| Err(errors::internal()))
}

/// Waits for a turn of its own and deletes the keys that still match by then; answers how many.
pub(super) async fn submit_matched(
    ctx: &Arc<Context>,
    path: &IndexPath,
    matched: Matched,
    deadline_ms: u64,
) -> Result<u64, ApiError> {
    let (reply, outcome) = oneshot::channel();
    let delete = MatchedDelete {
        matched,
        deadline_ms,
        reply,
    };
    queue(ctx, path, Queued::DeleteMatched(delete))?;
    outcome.await.unwrap_or_else(|_| Err(errors::internal()))
}

fn queue(ctx: &Arc<Context>, path: &IndexPath, request: Queued) -> Result<(), ApiError> {
    if ctx.writes.join(path, request)? {
        tokio::spawn(drain(Arc::clone(ctx), path.clone()));
    }
    Ok(())
}

/// Commits turn after turn until nobody waits.
async fn drain(ctx: Arc<Context>, path: IndexPath) {
    let watch = Watch { ctx: &ctx, path: &path };
    while let Some(turn) = ctx.writes.take(&path) {
        match turn {
            Turn::Group(members) => commit_group(&ctx, &path, members).await,
            Turn::DeleteMatched(delete) => matched::commit(&ctx, &path, delete).await,
        }
    }
    std::mem::forget(watch);
}

async fn commit_group(ctx: &Context, path: &IndexPath, members: Vec<Member>) {
    // A request that went away before its group was formed needs no commit; one that is out of time would only be
    // told so after the fact.
    let now = ctx.now_ms();
    let (late, members): (Vec<_>, Vec<_>) = members
        .into_iter()
        .filter(|member| !member.reply.is_closed())
        .partition(|member| member.deadline_ms <= now);
    for member in late {
        member.answer(Err(ApiError::request_timeout()));
    }
    commit::commit(ctx, path, members).await;
}

/// If the task dies in a panic or is dropped with its runtime, its queue must not wait for ever: dropping the requests
/// answers them.
struct Watch<'a> {
    ctx: &'a Context,
    path: &'a IndexPath,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.ctx.writes.queues().remove(self.path);
    }
}
