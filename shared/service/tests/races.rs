//! Two processes over one store, each with writers, an indexer and a collector whose ages are tiny, and somebody who
//! deletes and re-creates a second index all the while (I6). Whoever writes reads his writes in the other process; at
//! the end the stored objects say the same, and nothing is left over.

#[allow(dead_code, reason = "shared with crash.rs")]
mod crash {
    pub mod api;
    pub mod inspect;
    pub mod model;
    pub mod play;
    pub mod script;
    pub mod world;
}

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crash::api::{self, INDEX, Seen};
use crash::inspect::{differ, inspect};
use crash::model::{DIMENSION, Rows};
use crash::play::put_body;
use crash::{script, world};
use engine::pool::Pool;
use genai_vectors_service::indexing::{IndexingError, Outcome, collect, compact, fold, purge::Purger, work};
use genai_vectors_service::{Context, Service};
use model::{ApiError, Clock, Ids, Operation, SeededRandom, SystemClock};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rstest::rstest;
use serde_json::{Value, json};
use storage::{MemoryStore, StoreError};
use tokio::task::JoinHandle;

const WRITERS: usize = 8;
const RIVALS: usize = 2;
const ROUNDS: usize = if cfg!(debug_assertions) { 60 } else { 400 };
const KEYS: u32 = 12;
/// The index that comes and goes.
const OTHER: &str = "other";
/// Attempts at one request; each refusal means that others were faster.
const ATTEMPTS: usize = 1_000;

/// What all tasks share.
struct Arena {
    services: [Service; 2],
    stop: AtomicBool,
    /// Rises before each deletion of the other index.
    deletions: AtomicU64,
    /// Keys of the other index whose writes were acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
}

impl Arena {
    fn ctx(&self, process: usize) -> &Arc<Context> {
        self.services[process].context()
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A request that is sent again for as long as the service asks for it.
    async fn insist(&self, process: usize, operation: Operation, index: &str, body: Value) -> Result<Value, ApiError> {
        for _ in 0..ATTEMPTS {
            match api::call(&self.services[process], operation, index, body.clone()).await {
                Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(1)).await,
                answer => return answer,
            }
        }
        panic!("{operation:?} was refused {ATTEMPTS} times");
    }
}

fn is_passing(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::ServiceUnavailable { .. } | ApiError::TooManyRequests { .. }
    )
}

async fn arena(store: &MemoryStore, seed: u64) -> Arc<Arena> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let pool = Arc::new(Pool::new(2).unwrap());
    let process = async |number: u64| {
        let mut config = script::config(number == 0);
        config.fold.lease = Duration::from_millis(50);
        config.collection.floor_age = Duration::from_millis(30);
        config.collection.list_age = Duration::from_millis(20);
        config.collection.purge_age = Duration::from_millis(100);
        config.write.retry_pause = Duration::from_millis(1);
        let ids = Ids::new(Arc::clone(&clock), Arc::new(SeededRandom::new(seed * 1_000 + number)));
        world::open(Arc::new(store.clone()), ids, Arc::clone(&pool), config).await
    };
    Arc::new(Arena {
        services: [process(0).await, process(1).await],
        stop: AtomicBool::new(false),
        deletions: AtomicU64::new(0),
        acknowledged: Mutex::default(),
    })
}

/// Writes keys of its own through one process, and reads them through the other: what it knows is the truth.
async fn writer(arena: Arc<Arena>, number: usize, seed: u64) -> Rows {
    let mut random = ChaCha8Rng::seed_from_u64(seed * 100 + number as u64);
    let key = |n: u32| format!("w{number}-{n}");
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut truth = Rows::new();
    for version in 1..=ROUNDS as u32 {
        let chosen: BTreeSet<u32> = (0..random.random_range(1..5))
            .map(|_| random.random_range(0..KEYS))
            .collect();
        let chosen: Vec<String> = chosen.into_iter().map(key).collect();
        let process = random.random_range(0..2);
        let answer = if random.random_range(0..4) == 0 {
            truth.retain(|key, _| !chosen.contains(key));
            arena
                .insist(process, Operation::DeleteVectors, INDEX, json!({"keys": chosen}))
                .await
        } else {
            truth.extend(chosen.iter().map(|key| (key.clone(), version)));
            let body = put_body(chosen.iter().map(|key| (key.as_str(), version)));
            arena.insist(process, Operation::PutVectors, INDEX, body).await
        };
        answer.unwrap();
        let elsewhere = &arena.services[1 - process];
        let seen = look(elsewhere, INDEX, Look::Get(&keys)).await;
        differ("I1, I6: read after write", &seen, &truth).unwrap();
        if version % 10 == 0 {
            let own = |rows: Rows| -> Rows {
                rows.into_iter()
                    .filter(|(key, _)| key.starts_with(&format!("w{number}-")))
                    .collect()
            };
            let listed = own(look(elsewhere, INDEX, Look::List).await);
            differ("I1, I6: list after write", &listed, &truth).unwrap();
            let found = own(look(elsewhere, INDEX, Look::Query).await);
            differ("I1, I6: query after write", &found, &truth).unwrap();
        }
    }
    truth
}

/// One of the three ways to read.
#[derive(Clone, Copy)]
enum Look<'a> {
    Get(&'a [&'a str]),
    List,
    Query,
}

/// A read that is sent again for as long as the service asks for it.
async fn look(service: &Service, index: &str, look: Look<'_>) -> Rows {
    for _ in 0..ATTEMPTS {
        let seen = match look {
            Look::Get(keys) => api::get(service, index, keys).await,
            Look::List => api::list(service, index).await,
            Look::Query => api::query(service, index).await,
        };
        match seen {
            Ok(rows) => return rows,
            Err(Seen::Failed(error)) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(seen) => panic!("{seen:?}"),
        }
    }
    panic!("a read was refused {ATTEMPTS} times");
}

/// Writes into the index that comes and goes.
async fn rival(arena: Arc<Arena>, number: usize) -> u64 {
    let mut written = 0_u64;
    for version in 1.. {
        if arena.is_over() {
            break;
        }
        let key = format!("r{number}-{version}");
        let before = arena.deletions.load(Ordering::SeqCst);
        let body = put_body([(key.as_str(), 7)].into_iter());
        match arena.insist(number % 2, Operation::PutVectors, OTHER, body).await {
            Ok(_) => {}
            Err(ApiError::NotFound { .. }) => {
                tokio::time::sleep(Duration::from_micros(200)).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        arena.acknowledged.lock().unwrap().insert(key.clone());
        written += 1;
        let seen = api::get(&arena.services[1 - number % 2], OTHER, &[key.as_str()]).await;
        if arena.deletions.load(Ordering::SeqCst) == before {
            let seen = match seen {
                Err(Seen::Failed(error)) if is_passing(&error) => continue,
                seen => seen.unwrap(),
            };
            assert!(
                seen.contains_key(&key),
                "I1, I6: {key} was acknowledged and is not there"
            );
        }
    }
    written
}

fn create_body() -> Value {
    json!({"dataType": "float32", "dimension": DIMENSION, "distanceMetric": "euclidean"})
}

/// Deletes and re-creates: nothing that was acknowledged before the deletion may be seen after it (I7).
async fn recreator(arena: Arc<Arena>) -> u64 {
    let mut rounds = 0;
    while !arena.is_over() {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let old = arena.acknowledged.lock().unwrap().clone();
        arena.deletions.fetch_add(1, Ordering::SeqCst);
        arena.insist(0, Operation::DeleteIndex, OTHER, json!({})).await.unwrap();
        let gone = arena.insist(1, Operation::GetIndex, OTHER, json!({})).await;
        assert!(matches!(gone, Err(ApiError::NotFound { .. })), "I7: {gone:?}");
        arena
            .insist(1, Operation::CreateIndex, OTHER, create_body())
            .await
            .unwrap();
        let rows = look(&arena.services[0], OTHER, Look::List).await;
        let returned: Vec<_> = rows.keys().filter(|key| old.contains(*key)).collect();
        assert!(returned.is_empty(), "I7: rows of the deleted index: {returned:?}");
        rounds += 1;
    }
    rounds
}

/// Folds and compacts without asking for the lease, so that the two indexers do meet.
async fn indexer(arena: Arc<Arena>, process: usize, seed: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed * 100 + 50 + process as u64);
    let ctx = arena.ctx(process);
    let mut committed = 0;
    while !arena.is_over() {
        let path = api::path(if random.random_range(0..4) == 0 { OTHER } else { INDEX });
        let outcome = if random.random_range(0..3) == 0 {
            compact::compact_once(ctx, &path).await
        } else {
            fold::fold_once(ctx, &path, random.random_range(1..10)).await
        };
        match outcome {
            Ok(Outcome::Committed { .. }) => committed += 1,
            Ok(Outcome::Nothing | Outcome::Gone) => tokio::time::sleep(Duration::from_micros(500)).await,
            // Collected under its hands, or somebody else was always faster: the next attempt starts over.
            Ok(Outcome::Dropped)
            | Err(IndexingError::Contended(_))
            | Err(IndexingError::Store(StoreError::NotFound { .. } | StoreError::Throttled { .. })) => {}
            Err(error) => panic!("I4, I6: {error}"),
        }
    }
    committed
}

async fn collector(arena: Arc<Arena>, process: usize) -> u64 {
    let mut purger = Purger::default();
    let mut deleted = 0;
    while !arena.is_over() {
        deleted += collect_everything(arena.ctx(process), &mut purger).await as u64;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    deleted
}

async fn collect_everything(ctx: &Arc<Context>, purger: &mut Purger) -> usize {
    let mut deleted = 0;
    for (path, uuid) in ctx.ports.catalog.list_all_indexes().await.unwrap() {
        match collect::collect_once(ctx, &path, uuid).await {
            Ok(collected) => deleted += collected.deleted,
            // The manifest has been replaced, and the other collector was faster; or too many swap this record.
            Err(IndexingError::Store(StoreError::NotFound { .. } | StoreError::Throttled { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
    purger.run(ctx).await.unwrap();
    deleted
}

/// What the indexer does at rest, until there is nothing to do.
async fn settle(ctx: &Arc<Context>) {
    for _ in 0..100 {
        let dirty = ctx.ports.catalog.list_dirty().await.unwrap();
        if dirty.is_empty() {
            break;
        }
        for index in dirty {
            work::folds(ctx, &index.path, "settling").await;
            work::compactions(ctx, &index.path, "settling").await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        collect_everything(ctx, &mut Purger::default()).await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_breaks_what_another_one_does(#[values(1, 2, 3)] seed: u64) {
    let store = MemoryStore::with_yields();
    let arena = arena(&store, seed).await;
    arena
        .insist(0, Operation::CreateVectorBucket, INDEX, json!({}))
        .await
        .unwrap();
    for index in [INDEX, OTHER] {
        arena
            .insist(0, Operation::CreateIndex, index, create_body())
            .await
            .unwrap();
    }
    let mut background: Vec<(&str, JoinHandle<u64>)> = vec![("lives", tokio::spawn(recreator(Arc::clone(&arena))))];
    for process in 0..2 {
        background.push(("published", tokio::spawn(indexer(Arc::clone(&arena), process, seed))));
        background.push(("collected", tokio::spawn(collector(Arc::clone(&arena), process))));
    }
    background.extend((0..RIVALS).map(|number| ("rival writes", tokio::spawn(rival(Arc::clone(&arena), number)))));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(writer(Arc::clone(&arena), number, seed)))
        .collect();
    let ended = futures::future::join_all(writers).await;
    arena.stop.store(true, Ordering::Relaxed);
    let truth: Rows = ended.into_iter().flat_map(Result::unwrap).collect();
    for (what, task) in background {
        let count = task.await.unwrap();
        println!("{count} {what}");
        assert!(count > 0, "no {what}: nothing was raced against");
    }
    arena.insist(0, Operation::DeleteIndex, OTHER, json!({})).await.unwrap();
    inspect(&store, &api::path(INDEX))
        .await
        .unwrap()
        .compare_rows(&truth)
        .unwrap();
    settle(arena.ctx(0)).await;
    let found = inspect(&store, &api::path(INDEX)).await.unwrap();
    found.compare_rows(&truth).unwrap();
    found.check_tidy().unwrap();
}
