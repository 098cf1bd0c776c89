//! Two processes over one store, each with writers, an indexer and a collector for which objects grow old in no time,
//! and somebody who deletes and re-creates a second index all the while (I6). Whoever writes reads his writes in the
//! other process (I1, I2, I7); images of the store are audited at any moment (I2, I3, I4); at the end the stored
//! objects say the same, and nothing is left over (I5).
//!
//! Over memory this is a simulation: time is virtual, every storage call takes a seeded random time and now and then
//! stops for longer than objects stay, answers get lost, requests arrive late or twice. The same seed is the same
//! history. Over a directory it is real time and real files.
//!
//! | module | what it holds |
//! |---|---|
//! | `actors` | everybody who takes part |
//! | `weather` | virtual time and the way to the store |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[allow(dead_code, reason = "shared with crash.rs")]
mod crash {
    pub mod api;
    pub mod inspect;
    pub mod model;
    pub mod play;
    pub mod script;
    pub mod world;
}

mod race {
    pub mod actors;
    pub mod weather;

    pub use super::Arena;
}

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crash::api::{self, INDEX};
use crash::inspect::{Found, inspect};
use crash::model::Rows;
use crash::{script, world};
use engine::pool::Pool;
use genai_vectors_service::{Config, Service};
use model::{Clock, Ids, SeededRandom, SystemClock};
use race::actors;
use race::weather::{VirtualClock, WayToStore, Weather};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rstest::rstest;
use storage::local::Directory;
use storage::{MemoryStore, ObjectStore};
use tokio::task::{JoinError, JoinHandle};

const WRITERS: usize = 8;
const RIVALS: usize = 2;
/// Requests of each writer in a simulation.
const ROUNDS: u32 = 60;
/// Nobody waits longer for the end, in virtual time.
const ENDLESS: Duration = Duration::from_secs(24 * 3600);

/// How fast things happen.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// An unreachable object may be listed after this, and deleted after as long again.
    age: Duration,
    /// Each life of the second index.
    life: Duration,
    /// Between collections at the end: longer than all ages.
    rest: Duration,
}

/// What all tasks share.
#[derive(Debug)]
pub struct Arena {
    seed: u64,
    /// Requests of each writer.
    rounds: u32,
    pace: Pace,
    services: [Service; 2],
    stop: AtomicBool,
    /// Rises before each deletion of the other index and after each re-creation: even while it lives undisturbed.
    lives: AtomicU64,
    /// Keys of the other index whose writes were acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
}

impl Arena {
    fn new(seed: u64, rounds: u32, pace: Pace, services: [Service; 2]) -> Arc<Self> {
        Arc::new(Self {
            seed,
            rounds,
            pace,
            services,
            stop: AtomicBool::new(false),
            lives: AtomicU64::new(0),
            acknowledged: Mutex::default(),
        })
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The random numbers of one actor.
    fn random(&self, actor: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed * 1_000 + actor)
    }
}

/// Small shards, short ages; process 0 absorbs small shards when it folds.
fn config(process: u64, pace: Pace) -> Config {
    let mut config = script::config(process == 0);
    config.fold.lease = Duration::from_millis(50);
    config.collection.floor_age = pace.age;
    config.collection.list_age = pace.age;
    config.collection.purge_age = pace.age * 4;
    config.write.retry_pause = Duration::from_millis(1);
    config
}

/// Far apart: the generator steps from one seed to the next by addition.
fn ids(clock: &Arc<dyn Clock>, seed: u64, process: u64) -> Ids {
    let seed = (seed * 2 + process + 1).wrapping_mul(0x0123_4567_89AB_CDEF);
    Ids::new(Arc::clone(clock), Arc::new(SeededRandom::new(seed)))
}

/// Everybody at once until the writers are done: what they know is the truth. An error is what somebody has seen.
async fn race(arena: &Arc<Arena>, audited: Option<&MemoryStore>) -> Result<(Rows, Vec<(&'static str, u64)>), String> {
    actors::create_everything(&arena.services[0]).await;
    let all = || Arc::clone(arena);
    let mut background: Vec<(&str, JoinHandle<u64>)> = vec![("lives", tokio::spawn(actors::recreator(all())))];
    for process in 0..2 {
        background.push(("published", tokio::spawn(actors::indexer(all(), process))));
        background.push(("collected", tokio::spawn(actors::collector(all(), process))));
    }
    background.extend((0..RIVALS).map(|number| ("rival writes", tokio::spawn(actors::rival(all(), number)))));
    background.extend(audited.map(|store| ("audits", tokio::spawn(actors::auditor(all(), store.clone())))));
    let writers: Vec<_> = (0..WRITERS)
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

/// A whole simulation; what it amounts to, for comparison with another run of the same seed.
async fn simulate(weather: Weather, seed: u64, rounds: u32) -> Result<u64, String> {
    let pace = Pace {
        age: Duration::from_millis(400),
        life: Duration::from_millis(150),
        rest: Duration::from_secs(3),
    };
    let store = MemoryStore::new();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let pool = Arc::new(Pool::in_place().unwrap());
    let is_lawless = Arc::new(AtomicBool::new(false));
    let way = |process: u64| {
        Arc::new(WayToStore::new(
            Arc::new(store.clone()),
            weather,
            seed * 2 + process,
            &is_lawless,
        ))
    };
    let ways = [way(0), way(1)];
    let open = async |process: u64| {
        let objects = Arc::clone(&ways[process as usize]) as Arc<dyn ObjectStore>;
        world::open(
            objects,
            ids(&clock, seed, process),
            Arc::clone(&pool),
            config(process, pace),
        )
        .await
    };
    let arena = Arena::new(seed, rounds, pace, [open(0).await, open(1).await]);
    is_lawless.store(weather == Weather::Lawless, Ordering::Relaxed);
    let raced = tokio::time::timeout(ENDLESS, race(&arena, Some(&store))).await;
    let (truth, counts) = raced.map_err(|_| "no end in sight".to_owned())??;
    println!("seed {seed}: {counts:?} in {:?} of virtual time", clock.monotonic());
    for way in &ways {
        way.clear_up().await;
    }
    inspect(&store, &api::path(INDEX)).await?.compare_rows(&truth)?;
    actors::delete_other(&arena.services[0]).await;
    actors::settle(&arena).await;
    check_settled(&inspect(&store, &api::path(INDEX)).await?, &truth)?;
    let mut digest = DefaultHasher::new();
    (
        store
            .names()
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect::<Vec<_>>(),
        counts,
    )
        .hash(&mut digest);
    clock.monotonic().hash(&mut digest);
    Ok(digest.finish())
}

fn check_settled(found: &Found, truth: &Rows) -> Result<(), String> {
    found.compare_rows(truth)?;
    found.check_tidy()
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn nobody_breaks_what_another_one_does(
    #[values(Weather::Slow, Weather::Stormy)] weather: Weather,
    #[values(1, 2, 27)] seed: u64,
) {
    simulate(weather, seed, ROUNDS).await.unwrap();
}

#[test]
fn the_same_seed_is_the_same_history() {
    let history = || {
        let paused = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        paused.unwrap().block_on(simulate(Weather::Stormy, 9, 10)).unwrap()
    };
    assert_eq!(history(), history());
}

/// A planted mistake: these checks do find something when the store does not keep its word.
#[rstest]
#[tokio::test(start_paused = true)]
async fn swaps_without_a_condition_are_found_out(#[values(1, 2)] seed: u64) {
    let found = simulate(Weather::Lawless, seed, ROUNDS).await;
    let reason = found.expect_err("two processes overwrote each other's commits, and nobody saw it");
    assert!(
        ["I1", "I2", "I3", "I4", "I7"].iter().any(|name| reason.contains(name)),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_breaks_what_another_one_does_in_a_directory() {
    let pace = Pace {
        age: Duration::from_millis(150),
        life: Duration::from_millis(60),
        rest: Duration::from_millis(700),
    };
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let pool = Arc::new(Pool::new(2).unwrap());
    let open = async |process: u64| {
        let objects = Arc::new(directory.clone()) as Arc<dyn ObjectStore>;
        world::open(
            objects,
            ids(&clock, 1, process),
            Arc::clone(&pool),
            config(process, pace),
        )
        .await
    };
    let arena = Arena::new(1, 40, pace, [open(0).await, open(1).await]);
    let (truth, counts) = race(&arena, None).await.unwrap();
    println!("{counts:?} in {:?}", clock.monotonic());
    actors::delete_other(&arena.services[0]).await;
    let raced = inspect(&image(&directory).await, &api::path(INDEX)).await.unwrap();
    raced.compare_rows(&truth).unwrap();
    actors::settle(&arena).await;
    let settled = inspect(&image(&directory).await, &api::path(INDEX)).await.unwrap();
    check_settled(&settled, &truth).unwrap();
}

/// Everything that a store at rest holds.
async fn image(store: &dyn ObjectStore) -> MemoryStore {
    let image = MemoryStore::new();
    for object in store.list("v1/", None, usize::MAX).await.unwrap() {
        let bytes = store.get(&object.name).await.unwrap();
        image.put(&object.name, bytes).await.unwrap();
    }
    image
}
