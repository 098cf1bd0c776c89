//! What all tasks share, how they are started, and what is compared at the end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genai_vectors_service::{Config, Service};
use model::{Clock, Ids, SeededRandom};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use storage::MemoryStore;
use tokio::task::{JoinError, JoinHandle};

use super::actors;
use crate::crash::inspect::Found;
use crate::crash::model::Rows;
use crate::crash::script;

const RIVALS: usize = 2;

/// How fast things happen.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// An unreachable object may be listed after this, and deleted after as long again.
    pub age: Duration,
    /// Each life of the second index.
    pub life: Duration,
    /// Between collections at the end: longer than all ages.
    pub rest: Duration,
}

/// What all tasks share.
#[derive(Debug)]
pub struct Arena {
    pub seed: u64,
    writers: usize,
    /// Requests of each writer.
    pub rounds: u32,
    pub pace: Pace,
    pub services: [Service; 2],
    stop: AtomicBool,
    /// Rises before each deletion of the other index and after each re-creation: even while it lives undisturbed.
    pub lives: AtomicU64,
    /// Keys of the other index whose writes were acknowledged.
    pub acknowledged: Mutex<BTreeSet<String>>,
}

impl Arena {
    /// Two processes, and so many writers.
    pub fn new(seed: u64, writers: usize, rounds: u32, pace: Pace, services: [Service; 2]) -> Arc<Self> {
        Arc::new(Self {
            seed,
            writers,
            rounds,
            pace,
            services,
            stop: AtomicBool::new(false),
            lives: AtomicU64::new(0),
            acknowledged: Mutex::default(),
        })
    }

    /// Whether the writers are done.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The random numbers of one actor.
    pub fn random(&self, actor: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed * 1_000 + actor)
    }
}

/// Small shards, short ages; process 0 absorbs small shards when it folds.
pub fn config(process: u64, pace: Pace) -> Config {
    let mut config = script::config(process == 0);
    config.fold.lease = Duration::from_millis(50);
    config.collection.floor_age = pace.age;
    config.collection.list_age = pace.age;
    config.collection.purge_age = pace.age * 4;
    config.write.retry_pause = Duration::from_millis(1);
    config
}

/// Far apart: the generator steps from one seed to the next by addition.
pub fn ids(clock: &Arc<dyn Clock>, seed: u64, process: u64) -> Ids {
    let seed = (seed * 2 + process + 1).wrapping_mul(0x0123_4567_89AB_CDEF);
    Ids::new(Arc::clone(clock), Arc::new(SeededRandom::new(seed)))
}

/// Everybody at once until the writers are done: what they know is the truth. An error is what somebody has seen.
pub async fn race(
    arena: &Arc<Arena>,
    audited: Option<&MemoryStore>,
) -> Result<(Rows, Vec<(&'static str, u64)>), String> {
    actors::create_everything(&arena.services[0]).await;
    let all = || Arc::clone(arena);
    let mut background: Vec<(&str, JoinHandle<u64>)> = vec![("lives", tokio::spawn(actors::recreator(all())))];
    for process in 0..2 {
        background.push(("published", tokio::spawn(actors::indexer(all(), process))));
        background.push(("collected", tokio::spawn(actors::collector(all(), process))));
    }
    background.extend((0..RIVALS).map(|number| ("rival writes", tokio::spawn(actors::rival(all(), number)))));
    background.extend(audited.map(|store| ("audits", tokio::spawn(actors::auditor(all(), store.clone())))));
    let writers: Vec<_> = (0..arena.writers)
        .map(|number| tokio::spawn(actors::writer(all(), number)))
        .collect();
    let ended = futures::future::join_all(writers).await;
    arena.stop.store(true, Ordering::Relaxed);
    let mut counts = Vec::new();
    for (what, task) in background {
        counts.push((what, task.await.map_err(|error| seen(what, error))?));
    }
    let mut truth = Rows::new();
    for rows in ended {
        truth.extend(rows.map_err(|error| seen("writer", error))?);
    }
    match counts.iter().find(|(_, count)| *count == 0) {
        Some((what, _)) => Err(format!("no {what}: nothing was raced against")),
        None => Ok((truth, counts)),
    }
}

/// What a panicking actor said.
fn seen(who: &str, error: JoinError) -> String {
    let said = error.into_panic();
    let text = said.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| said.downcast_ref::<&str>().copied());
    format!("{who}: {}", text.unwrap_or("no message"))
}

/// What an index at rest must be.
pub fn check_settled(found: &Found, truth: &Rows) -> Result<(), String> {
    found.compare_rows(truth)?;
    found.check_tidy()
}
