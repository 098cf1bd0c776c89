//! The task that indexes in a resident process: woken by the doorbell, by timers and by the sweep.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::IndexUuid;
use storage::local::RingReceiver;
use storage::{IndexPath, Work};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::collect;
use super::purge::{self, Purger};
use super::work::{self, Next};
use crate::Context;

/// Folds at once: one reads and writes while another computes.
const FOLD_LANES: usize = 2;
/// Compactions at once: the largest consumer of memory.
const COMPACT_LANES: usize = 1;
/// Rings of one index are answered at most this often.
const PAUSE: Duration = Duration::from_millis(50);

/// A piece of work on one index: repeats are merged.
type Job = (Work, IndexPath);

/// The running indexer.
#[derive(Debug)]
pub struct Runner {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Runner {
    /// Lets work in progress finish its current step; what is left stays in the tail.
    pub async fn stop(self) {
        // Nobody listening means that everything has stopped already.
        let _ = self.stop.send(true);
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

/// Starts the indexer; paused, it leaves everything in the tail and deletes nothing.
#[must_use]
pub fn start(ctx: Arc<Context>, rings: RingReceiver, paused: bool) -> Runner {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    if !paused {
        let dispatcher = Dispatcher::new(Arc::clone(&ctx), stopped.clone());
        tasks.push(tokio::spawn(dispatcher.run(rings)));
        tasks.push(tokio::spawn(housekeeping(ctx, stopped)));
    }
    Runner { stop, tasks }
}

struct Dispatcher {
    ctx: Arc<Context>,
    stopped: watch::Receiver<bool>,
    holder: String,
    folds: Arc<Semaphore>,
    compactions: Arc<Semaphore>,
    /// Jobs being worked on.
    active: HashSet<Job>,
    /// Active jobs that were rung for meanwhile.
    again: HashSet<Job>,
    /// Jobs to be looked at later, by time.
    timers: BTreeMap<(u64, Job), ()>,
    /// Jobs that failed, and until when they rest whoever rings.
    resting: HashMap<Job, u64>,
}

impl Dispatcher {
    fn new(ctx: Arc<Context>, stopped: watch::Receiver<bool>) -> Self {
        let holder = ctx.ids.uuid().to_string();
        Self {
            ctx,
            stopped,
            holder,
            folds: Arc::new(Semaphore::new(FOLD_LANES)),
            compactions: Arc::new(Semaphore::new(COMPACT_LANES)),
            active: HashSet::new(),
            again: HashSet::new(),
            timers: BTreeMap::new(),
            resting: HashMap::new(),
        }
    }

    async fn run(mut self, rings: RingReceiver) {
        let (done, mut ended) = mpsc::unbounded_channel::<(Job, Next)>();
        let mut sweep = tokio::time::interval(self.ctx.config.fold.sweep_interval);
        loop {
            let wait = self.until_next_timer();
            tokio::select! {
                ring = rings.next() => self.start((ring.kind, ring.path), &done),
                Some((job, next)) = ended.recv() => self.ended(job, next, &done),
                () = tokio::time::sleep(wait) => self.start_due(&done),
                _ = sweep.tick() => self.sweep(&done).await,
                _ = self.stopped.changed() => return,
            }
        }
    }

    fn start(&mut self, job: Job, done: &mpsc::UnboundedSender<(Job, Next)>) {
        if self
            .resting
            .get(&job)
            .is_some_and(|until_ms| *until_ms > self.ctx.now_ms())
        {
            // Its timer is set.
            return;
        }
        self.resting.remove(&job);
        if !self.active.insert(job.clone()) {
            self.again.insert(job);
            return;
        }
        self.timers.retain(|(_, waiting), ()| *waiting != job);
        let ctx = Arc::clone(&self.ctx);
        let holder = self.holder.clone();
        let (kind, path) = job.clone();
        let lanes = match kind {
            Work::Fold => Arc::clone(&self.folds),
            Work::Compact => Arc::clone(&self.compactions),
        };
        let done = done.clone();
        tokio::spawn(async move {
            let worker = tokio::spawn(async move {
                let _lane = lanes.acquire_owned().await;
                match kind {
                    Work::Fold => work::folds(&ctx, &path, &holder).await,
                    Work::Compact => work::compactions(&ctx, &path, &holder).await,
                }
            });
            // A panic ends the work, not the indexer: the sweep finds the index again.
            let next = worker.await.unwrap_or(Next::Idle);
            tokio::time::sleep(PAUSE).await;
            // Nobody listening: the indexer has stopped.
            let _ = done.send((job, next));
        });
    }

    fn ended(&mut self, job: Job, next: Next, done: &mpsc::UnboundedSender<(Job, Next)>) {
        self.active.remove(&job);
        let rung = self.again.remove(&job);
        match next {
            Next::NotBefore(at_ms) => {
                self.resting.insert(job.clone(), at_ms);
                self.timers.insert((at_ms, job), ());
            }
            _ if rung => self.start(job, done),
            Next::At(at_ms) => {
                self.timers.insert((at_ms, job), ());
            }
            Next::Idle => {}
        }
    }

    fn until_next_timer(&self) -> Duration {
        let Some(((at_ms, _), ())) = self.timers.first_key_value() else {
            return Duration::from_secs(3600);
        };
        Duration::from_millis(at_ms.saturating_sub(self.ctx.now_ms()).max(1))
    }

    fn start_due(&mut self, done: &mpsc::UnboundedSender<(Job, Next)>) {
        let now_ms = self.ctx.now_ms();
        let due: Vec<Job> = self
            .timers
            .keys()
            .take_while(|(at_ms, _)| *at_ms <= now_ms)
            .map(|(_, job)| job.clone())
            .collect();
        for job in due {
            self.start(job, done);
        }
    }

    /// Finds every index with a dirty mark: a ring that was lost is rung again here.
    async fn sweep(&mut self, done: &mpsc::UnboundedSender<(Job, Next)>) {
        let dirty = match self.ctx.ports.catalog.list_dirty().await {
            Ok(dirty) => dirty,
            Err(error) => {
                tracing::warn!(%error, "the sweep failed");
                return;
            }
        };
        // Whether a failed fold is to be tried again yet is said by the lease, to whoever it concerns.
        for index in dirty {
            self.start((Work::Fold, index.path.clone()), done);
            self.start((Work::Compact, index.path), done);
        }
    }
}

/// Collections and purges, one index after the other.
async fn housekeeping(ctx: Arc<Context>, mut stopped: watch::Receiver<bool>) {
    let mut purger = Purger::default();
    let mut tick = tokio::time::interval(ctx.config.collection.interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                if let Err(error) = collect::collect_all(&ctx, &mut purger).await {
                    tracing::warn!(%error, "garbage collection failed; a later run starts over");
                }
            }
            deleted = ctx.deleted.take() => purge_early(&ctx, deleted).await,
            _ = stopped.changed() => return,
        }
    }
}

/// The first purge of indexes that were just deleted: their disk comes back at once, whatever turns up later goes with
/// the collections.
async fn purge_early(ctx: &Arc<Context>, deleted: Vec<IndexUuid>) {
    for index in deleted {
        if let Err(error) = purge::purge_once(ctx, index).await {
            tracing::warn!(%error, %index, "a deleted index was not purged; a later run goes on");
        }
    }
}
