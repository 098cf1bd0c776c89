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
//! | `arena` | what they share, how they are started, what is compared at the end |
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
    pub mod mortal;
    pub mod play;
    pub mod remote;
    pub mod script;
    pub mod world;
}

mod race {
    pub mod actors;
    pub mod arena;
    pub mod weather;
}

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crash::api::{self, INDEX};
use crash::inspect::inspect;
use crash::remote::image;
use crash::world;
use engine::pool::Pool;
use model::{Clock, SystemClock};
use race::actors;
use race::arena::{Arena, Pace, check_settled, config, ids, race};
use race::weather::{VirtualClock, WayToStore, Weather};
use rstest::rstest;
use storage::local::Directory;
use storage::{MemoryStore, ObjectStore};

const WRITERS: usize = 8;
/// Requests of each writer in a simulation.
const ROUNDS: u32 = 60;
/// Nobody waits longer for the end, in virtual time.
const ENDLESS: Duration = Duration::from_secs(24 * 3600);

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
    let arena = Arena::new(seed, WRITERS, rounds, pace, [open(0).await, open(1).await]);
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
    let arena = Arena::new(1, WRITERS, 40, pace, [open(0).await, open(1).await]);
    let (truth, counts) = race(&arena, None).await.unwrap();
    println!("{counts:?} in {:?}", clock.monotonic());
    actors::delete_other(&arena.services[0]).await;
    let raced = inspect(&image(&directory).await, &api::path(INDEX)).await.unwrap();
    raced.compare_rows(&truth).unwrap();
    actors::settle(&arena).await;
    let settled = inspect(&image(&directory).await, &api::path(INDEX)).await.unwrap();
    check_settled(&settled, &truth).unwrap();
}
