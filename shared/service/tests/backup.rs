//! Backup and restore: while writers, folds, compactions, collections and deletions race each other, the catalog's state
//! at some moments is kept. Each is then restored, and goes on: every write that was acknowledged by that moment is
//! there, of later ones nothing or (of one on its way) the whole, the invariants I1-I7 hold, and indexing and collecting
//! go on without touching what the restored records reach.
//!
//! The objects need not be those of the moment: they never change and names are not used twice (S1), so newer ones are
//! garbage that nothing reaches. Only what was *deleted* since must be brought back, and a test shows that it must.
//!
//! | module | what it holds |
//! |---|---|
//! | `versions` | objects whose deletion can be taken back |
//! | `ledger` | what was acknowledged by when |
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

#[allow(dead_code, reason = "shared with races.rs")]
mod race {
    pub mod actors;
    pub mod arena;
    pub mod weather;
}

mod restore {
    pub mod ledger;
    pub mod versions;
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crash::api::{self, INDEX};
use crash::inspect::{Found, differ, documents, inspect_with};
use crash::world;
use engine::pool::Pool;
use genai_vectors_service::Service;
use model::{ApiError, Clock, Operation};
use race::actors::{self, OTHER};
use race::arena::{Arena, Pace, config, ids, race};
use race::weather::VirtualClock;
use rand::RngExt;
use restore::ledger::{self, Ledger, Shared};
use restore::versions::Versions;
use rstest::rstest;
use serde_json::json;
use storage::layers::faults::{FaultPlan, FaultStore};
use storage::{CasCatalog, MemoryStore, ObjectName, ObjectStore, paths};
use tokio::time::sleep;

const WRITERS: usize = 3;
const LEDGER_WRITERS: usize = 4;
const ROUNDS: u32 = 60;
const MOMENTS: usize = 8;
const PACE: Pace = Pace {
    age: Duration::from_millis(150),
    life: Duration::from_millis(200),
    rest: Duration::from_secs(3),
};

/// One moment: what a point-in-time recovery of the table gives back, and what must hold of it.
struct Moment {
    table: MemoryStore,
    /// The objects of the same moment.
    objects: MemoryStore,
    /// What had been deleted by then.
    deleted: BTreeSet<ObjectName>,
    ledger: Ledger,
}

/// Objects and the table of a catalog, in two places.
struct Database {
    objects: Versions,
    table: MemoryStore,
    clock: Arc<dyn Clock>,
    pool: Arc<Pool>,
}

impl Database {
    fn new() -> Self {
        Self {
            objects: Versions::new(),
            table: MemoryStore::with_yields(),
            clock: Arc::new(VirtualClock::new()),
            pool: Arc::new(Pool::in_place().unwrap()),
        }
    }

    fn moment(&self, ledger: &Shared) -> Moment {
        Moment {
            table: self.table.snapshot(),
            objects: self.objects.current.snapshot(),
            deleted: self.objects.deleted(),
            ledger: ledger.lock().unwrap().clone(),
        }
    }

    async fn process(&self, seed: u64, number: u64, pace: Pace) -> Service {
        let objects = Arc::new(self.objects.clone());
        serve(
            objects,
            self.table.clone(),
            (&self.clock, seed, number),
            &self.pool,
            pace,
        )
        .await
    }
}

async fn serve(
    objects: Arc<dyn ObjectStore>,
    table: MemoryStore,
    (clock, seed, number): (&Arc<dyn Clock>, u64, u64),
    pool: &Arc<Pool>,
    pace: Pace,
) -> Service {
    let ids = ids(clock, seed, number);
    // Requests take their time, so that moments fall into the middle of everything.
    let plan = |milliseconds| {
        let plan = FaultPlan::new();
        plan.set_latency(Duration::from_millis(milliseconds));
        plan
    };
    let table = Arc::new(FaultStore::new(Arc::new(table), plan(1)));
    let catalog = CasCatalog::open(table, ids.clone()).await.unwrap();
    let objects = Arc::new(FaultStore::new(objects, plan(3)));
    world::serve(
        objects,
        Arc::new(catalog),
        ids,
        Arc::clone(pool),
        config(number % 2, pace),
    )
}

async fn found(table: &MemoryStore, objects: &MemoryStore, index: &str) -> Result<Found, String> {
    let catalog = documents(&table.snapshot()).await?;
    inspect_with(&catalog, &objects.snapshot(), &api::path(index)).await
}

/// A race, some of its moments, and its objects at the end.
async fn history(seed: u64) -> (Database, Vec<Moment>) {
    let database = Database::new();
    let services = [
        database.process(seed, 0, PACE).await,
        database.process(seed, 1, PACE).await,
    ];
    let arena = Arena::new(seed, WRITERS, ROUNDS, PACE, services);
    let ledger = Shared::default();
    let writers: Vec<_> = (0..LEDGER_WRITERS)
        .map(|number| tokio::spawn(ledger::writer(Arc::clone(&arena), Arc::clone(&ledger), number)))
        .collect();
    let photographer = async {
        let mut random = arena.random(900);
        let mut moments = Vec::new();
        ledger::wait_for_index(&arena).await;
        while moments.len() < MOMENTS && !arena.is_over() {
            sleep(Duration::from_millis(random.random_range(10..120))).await;
            moments.push(database.moment(&ledger));
        }
        moments
    };
    let (raced, moments) = tokio::join!(race(&arena, None), photographer);
    raced.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(moments.len() > MOMENTS / 2, "only {} moments", moments.len());
    (database, moments)
}

/// The restored database is right, and goes on being right.
async fn check_restored(
    database: &Database,
    seed: u64,
    table: &MemoryStore,
    objects: &MemoryStore,
    ledger: &Ledger,
) -> Result<(), String> {
    // I2, I3, I4, on the stored objects.
    for index in [INDEX, OTHER] {
        found(table, objects, index).await?;
    }
    // New processes: what a process remembers of the time after the moment is of no use.
    let services = [2, 3].map(|number| {
        let store = Arc::new(objects.clone());
        serve(
            store,
            table.clone(),
            (&database.clock, seed, number),
            &database.pool,
            PACE,
        )
    });
    let [one, other] = services;
    let arena = Arena::new(seed + 1_000, 0, 0, PACE, [one.await, other.await]);
    let seen = |seen: api::Seen| format!("{seen:?}");
    let mut rows = api::list(&arena.services[0], INDEX).await.map_err(seen)?;
    ledger.check(&rows)?;
    differ(
        "I1, I2",
        &api::query(&arena.services[1], INDEX).await.map_err(seen)?,
        &rows,
    )?;
    // Life goes on: writes, folds and compactions, and collections that find the lists of the time after the moment.
    for version in 1..=20_u32 {
        let keys = [format!("l0-{}", version % 8), format!("after-{}", version % 5)];
        let body = if version % 4 == 0 {
            rows.retain(|key, _| !keys.contains(key));
            (Operation::DeleteVectors, json!({"keys": keys}))
        } else {
            rows.extend(keys.iter().map(|key| (key.clone(), 500 + version)));
            let body = crash::play::put_body(keys.iter().map(|key| (key.as_str(), 500 + version)));
            (Operation::PutVectors, body)
        };
        let service = &arena.services[version as usize % 2];
        let written = api::call(service, body.0, INDEX, body.1).await;
        written.map_err(|error| error.to_string())?;
        if version % 5 == 0 {
            actors::settle(&arena).await;
            found(table, objects, INDEX).await?.compare_rows(&rows)?;
        }
    }
    let seen_at_last = api::list(&arena.services[1], INDEX).await.map_err(seen)?;
    differ("I1, I2: after the restore", &seen_at_last, &rows)?;
    check_garbage(&arena, table, objects).await
}

/// Garbage goes, whatever it is from: of the index, and of every index that the restored table knows to be deleted.
async fn check_garbage(arena: &Arc<Arena>, table: &MemoryStore, objects: &MemoryStore) -> Result<(), String> {
    // At some moments it is not there.
    match api::call(&arena.services[0], Operation::DeleteIndex, OTHER, json!({})).await {
        Ok(_) | Err(ApiError::NotFound { .. }) => {}
        Err(error) => return Err(error.to_string()),
    }
    actors::settle(arena).await;
    let found = found(table, objects, INDEX).await?;
    found.check_index_tidy()?;
    let catalog = &arena.services[0].context().ports.catalog;
    let tombstones = catalog.list_tombstones().await.map_err(|error| error.to_string())?;
    let lives = found.lives();
    match tombstones.iter().find(|tombstone| lives.contains(&tombstone.uuid)) {
        Some(stays) => Err(format!("I7: objects of a deleted life stay: {stays:?}")),
        None => Ok(()),
    }
}

/// The table as of the moment; the objects as they are at the end, with what was deleted since brought back.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_restored_table_finds_its_objects(#[values(1, 2, 3, 4, 5, 6)] seed: u64) {
    let (database, moments) = history(seed).await;
    for (number, moment) in moments.iter().enumerate() {
        let objects = database.objects.undeleted_since(&moment.deleted).await;
        let table = moment.table.snapshot();
        let restored = check_restored(&database, seed, &table, &objects, &moment.ledger).await;
        restored.unwrap_or_else(|error| panic!("moment {number}: {error}"));
    }
    let certain = moments.last().map_or(0, |moment| moment.ledger.acknowledged());
    println!(
        "seed {seed}: {} moments, {certain} keys certain at the last",
        moments.len()
    );
    assert!(certain > 10);
}

/// Table and objects as of the same moment: a snapshot of a disk, or all versions of a bucket as of one time.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_snapshot_of_everything_is_a_backup(#[values(1, 2, 3)] seed: u64) {
    let (database, moments) = history(seed).await;
    for (number, moment) in moments.iter().enumerate() {
        let (table, objects) = (moment.table.snapshot(), moment.objects.snapshot());
        let restored = check_restored(&database, seed, &table, &objects, &moment.ledger).await;
        restored.unwrap_or_else(|error| panic!("moment {number}: {error}"));
    }
}

/// Without the deleted objects a restored record reaches what is not there (I4): the check above does see that.
#[tokio::test(start_paused = true)]
async fn what_was_deleted_since_must_be_brought_back() {
    let (database, moments) = history(1).await;
    let objects = database.objects.current.snapshot();
    let mut missing = 0;
    for moment in &moments {
        let restored = found(&moment.table, &objects, INDEX).await;
        missing += usize::from(restored.is_err_and(|error| error.starts_with("I4")));
    }
    assert!(missing > 0, "nothing was deleted since");
}

/// Longer than a copy takes: what a copied record reaches stays for as long as collections keep what they have listed.
const SLOW: Pace = Pace {
    age: Duration::from_secs(10),
    ..PACE
};

/// Copies a store that is in use: the catalog from the top (whoever is named exists before who names it), then the rest.
async fn copy_in_use(
    database: &Database,
    ledger: &Shared,
    random: &mut impl RngExt,
) -> (MemoryStore, MemoryStore, Ledger) {
    let (table, objects) = (MemoryStore::new(), MemoryStore::new());
    let mut known = None;
    for part in [
        "",
        "v1/catalog/root.json",
        "v1/catalog/bucket/",
        "v1/catalog/index/",
        "v1/catalog/",
    ] {
        let prefix = if part.is_empty() { "v1/catalog.json" } else { part };
        for object in database.table.list(prefix, None, usize::MAX).await.unwrap() {
            if table.names().contains(&object.name) {
                continue;
            }
            sleep(Duration::from_millis(random.random_range(0..20))).await;
            // The snapshot and the ledger are of one moment: nothing is awaited between them.
            let (now, then) = (database.table.snapshot(), ledger.lock().unwrap().clone());
            let Ok(bytes) = now.get(&object.name).await else {
                continue;
            };
            if part == "v1/catalog/index/" && is_of(&now, &object.name, INDEX).await {
                known = Some(then);
            }
            table.put(&object.name, bytes).await.unwrap();
        }
    }
    for object in database.objects.list("v1/", None, usize::MAX).await.unwrap() {
        sleep(Duration::from_micros(random.random_range(0..3_000))).await;
        if let Ok(bytes) = database.objects.get(&object.name).await {
            objects.put(&object.name, bytes).await.unwrap();
        }
    }
    (table, objects, known.unwrap())
}

/// Whether a document is that of this index's record.
async fn is_of(table: &MemoryStore, name: &ObjectName, index: &str) -> bool {
    use storage::Catalog as _;
    let record = documents(table).await.unwrap().read_record(&api::path(index)).await;
    record
        .unwrap()
        .is_some_and(|record| paths::catalog_index(record.uuid) == *name)
}

/// As the README says for a directory in use.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_copy_of_a_store_in_use_is_a_backup(#[values(1, 2)] seed: u64) {
    let database = Database::new();
    let services = [
        database.process(seed, 0, SLOW).await,
        database.process(seed, 1, SLOW).await,
    ];
    let arena = Arena::new(seed, 0, 0, SLOW, services);
    let ledger = Shared::default();
    actors::create_everything(&arena.services[0]).await;
    let writers =
        (0..LEDGER_WRITERS).map(|number| tokio::spawn(ledger::writer(Arc::clone(&arena), Arc::clone(&ledger), number)));
    let mut tasks: Vec<_> = writers.collect();
    for process in 0..2 {
        let (indexing, collecting) = (Arc::clone(&arena), Arc::clone(&arena));
        tasks.push(tokio::spawn(async move {
            actors::indexer(indexing, process).await;
        }));
        tasks.push(tokio::spawn(async move {
            actors::collector(collecting, process).await;
        }));
    }
    sleep(Duration::from_secs(1)).await;
    let mut random = arena.random(901);
    let begun = database.clock.monotonic();
    let (table, objects, known) = copy_in_use(&database, &ledger, &mut random).await;
    let took = database.clock.monotonic() - begun;
    assert!(took < SLOW.age, "a copy must be faster than collections: {took:?}");
    arena.end();
    for task in tasks {
        task.await.unwrap();
    }
    println!("seed {seed}: copied {} objects in {took:?}", objects.names().len());
    check_restored(&database, seed, &table, &objects, &known).await.unwrap();
}
