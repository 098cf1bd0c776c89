//! The races and the crashes again, over real servers: objects in MinIO, the catalog there too or in DynamoDB Local.
//! They are started by the tests (infra/servers.py); without the feature `servers` the tests show as ignored.
//!
//! In real time: 32 writers, two indexers, two collectors and a deleter at once (I6), undisturbed and with requests
//! that fail and answers that get lost; and a crash at each kind of storage call, before and after its effect (I5).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs
)]

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
}

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crash::api::{self, INDEX};
use crash::inspect::{Found, documents, inspect_with};
use crash::play::{Progress, check, finish, play};
use crash::remote::{Connected, Remote, image};
use crash::script::short_life;
use crash::world::{self, Died, World};
use engine::pool::Pool;
use genai_vectors_service::Service;
use model::{Clock, OsRandom, Randomness, SystemClock};
use race::actors;
use race::arena::{Arena, Pace, check_settled, config, ids, race};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rstest::rstest;
use servers::Server;
use storage::layers::faults::{Call, Fault, FaultCatalog, FaultPlan, FaultStore, When};
use storage::{CasCatalog, Catalog, ObjectStore};

/// Where the catalog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In the bucket.
    Documents,
    /// In a table.
    Table,
}

/// The servers of one test.
struct Servers {
    minio: Server,
    dynamodb: Option<Server>,
    databases: AtomicU64,
    run: u64,
}

impl Servers {
    fn start(kind: Kind) -> Self {
        Self {
            minio: Server::start("minio"),
            dynamodb: (kind == Kind::Table).then(|| Server::start("dynamodb-local")),
            databases: AtomicU64::new(0),
            run: OsRandom::new().next_u128() as u64,
        }
    }

    /// A new database.
    fn database(&self) -> Remote {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let table = |server: &Server| (server.settings(), format!("vectors-{number}"));
        Remote {
            s3: self.minio.settings(),
            location: format!("s3://races-{:016x}/{number}", self.run).parse().unwrap(),
            table: self.dynamodb.as_ref().map(table),
        }
    }
}

/// A race in real time: a request may be longer on its way than one in memory.
const PACE: Pace = Pace {
    age: Duration::from_millis(1_000),
    life: Duration::from_millis(400),
    rest: Duration::from_millis(4_200),
};
const WRITERS: usize = 32;
/// Requests of each writer.
const ROUNDS: u32 = 24;
/// Of so many calls one fails, when any shall.
const CALLS_PER_FAULT: u32 = 60;

/// One process of a race: its own connections and its own memory of what it has seen.
async fn process(remote: &Remote, clock: &Arc<dyn Clock>, number: u64, plan: &FaultPlan) -> Service {
    let Connected { objects, table } = remote.connect().await;
    objects.prepare(true).await.unwrap();
    let ids = ids(clock, OsRandom::new().next_u128() as u64 >> 8, number);
    let objects: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(Arc::new(objects), plan.clone()));
    let catalog: Arc<dyn Catalog> = match table {
        None => Arc::new(CasCatalog::open(Arc::clone(&objects), ids.clone()).await.unwrap()),
        Some(table) => {
            table.verify(objects.as_ref(), true).await.unwrap();
            Arc::new(FaultCatalog::new(Arc::new(table), plan.clone()))
        }
    };
    let pool = Arc::new(Pool::new(2).unwrap());
    world::serve(objects, catalog, ids, pool, config(number, PACE))
}

/// What a database at rest holds.
async fn found(remote: &Remote) -> Found {
    let Connected { objects, table } = remote.connect().await;
    let image = image(&objects).await;
    let found = match table {
        None => inspect_with(&documents(&image).await.unwrap(), &image, &api::path(INDEX)).await,
        Some(table) => inspect_with(&table, &image, &api::path(INDEX)).await,
    };
    found.unwrap()
}

/// Failed requests, lost answers and throttling, at random.
fn disturb(plan: &FaultPlan, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut number = plan.count() + 200;
    for _ in 0..2_000 {
        number += u64::from(random.random_range(1..2 * CALLS_PER_FAULT));
        match random.random_range(0..3) {
            0 => plan.fail_at(number, When::Before, Fault::Unknown),
            1 => plan.fail_at(number, When::After, Fault::Unknown),
            _ => plan.fail_at(number, When::Before, Fault::Throttled),
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
async fn nobody_breaks_what_another_one_does(
    #[values(Kind::Documents, Kind::Table)] kind: Kind,
    #[values(false, true)] disturbed: bool,
) {
    let servers = Servers::start(kind);
    let remote = servers.database();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let plans = [FaultPlan::new(), FaultPlan::new()];
    let services = [
        process(&remote, &clock, 0, &plans[0]).await,
        process(&remote, &clock, 1, &plans[1]).await,
    ];
    let arena = Arena::new(1, WRITERS, ROUNDS, PACE, services);
    if disturbed {
        disturb(&plans[0], 1);
        disturb(&plans[1], 2);
    }
    let (truth, counts) = race(&arena, None).await.unwrap();
    println!(
        "{kind:?}: {counts:?} in {:?}, {} calls",
        clock.monotonic(),
        plans[0].count() + plans[1].count()
    );
    plans.iter().for_each(FaultPlan::reset);
    actors::delete_other(&arena.services[0]).await;
    found(&remote).await.compare_rows(&truth).unwrap();
    actors::settle(&arena).await;
    check_settled(&found(&remote).await, &truth).unwrap();
}

/// What a call does, whatever the names in it: `put /shard/rows.parquet`.
fn kind_of(call: &Call) -> String {
    let first = call.arguments.split(' ').next().unwrap_or_default();
    let is_name = |part: &&str| part.len() < 20 && !part.chars().all(|letter| letter.is_ascii_digit());
    let parts: Vec<&str> = first.split('/').filter(is_name).collect();
    format!("{} {}", call.method, parts.join("/"))
}

/// The first and the last call of each kind.
fn picked(calls: &[Call]) -> Vec<u64> {
    let mut ends: HashMap<String, (u64, u64)> = HashMap::new();
    for call in calls {
        let end = ends.entry(kind_of(call)).or_insert((call.number, call.number));
        end.1 = call.number;
    }
    let mut numbers: Vec<u64> = ends.into_values().flat_map(|(first, last)| [first, last]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// One process dies at each kind of storage call; what the next one finds is one whole step, and needs no repair.
#[rstest]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
fn a_crash_leaves_nothing_to_repair(#[values(Kind::Documents, Kind::Table)] kind: Kind) {
    let servers = Servers::start(kind);
    let (config, pool) = (crash::script::config(false), Arc::new(Pool::new(1).unwrap()));
    let new_world = || {
        let remote = servers.database();
        world::runtime().block_on(async { remote.connect().await.objects.prepare(true).await.unwrap() });
        World::on(remote, &config, &pool)
    };
    let mut sound = new_world();
    let mut progress = Progress::new(true);
    play(&mut sound, &mut progress, &short_life()).unwrap().unwrap();
    let calls = sound.plan().calls();
    finish(&mut sound, &mut progress, &short_life()).unwrap();
    let picked = picked(&calls);
    assert!(picked.len() > 20, "{picked:?} of {} calls", calls.len());
    let mut deaths = 0;
    for number in &picked {
        for when in [When::Before, When::After] {
            let mut world = new_world();
            let mut progress = Progress::new(number.is_multiple_of(2));
            world.plan().crash_at(*number, when);
            let place = |error: String| format!("died {when:?} call {}: {error}", calls[*number as usize - 1]);
            let outcome = play(&mut world, &mut progress, &short_life()).and_then(|played| {
                deaths += usize::from(played == Err(Died));
                world.revive();
                check(&world, &mut progress).map_err(|error| format!("reopened: {error}"))?;
                finish(&mut world, &mut progress, &short_life())
            });
            outcome.map_err(place).unwrap();
        }
    }
    println!("{kind:?}: {deaths} deaths at {} of {} calls", picked.len(), calls.len());
    // Calls that race each other may come in another order, and the last one may be missing.
    assert!(deaths >= 2 * picked.len() - 4, "{deaths}");
}
