//! Everybody who takes part. Each panics when he sees what must not be; those in the background say at the end how
//! much they got done, since a race against somebody who did nothing proves nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use genai_vectors_service::indexing::{IndexingError, Outcome, collect, compact, fold, purge::Purger, work};
use genai_vectors_service::{Context, Service};
use model::{ApiError, Operation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use storage::{MemoryStore, StoreError};
use tokio::time::sleep;

use super::arena::Arena;
use crate::crash::api::{self, INDEX, Seen};
use crate::crash::inspect::{differ, inspect};
use crate::crash::model::{DIMENSION, Rows};
use crate::crash::play::put_body;

/// The index that comes and goes.
pub const OTHER: &str = "other";
/// Keys of each writer.
const KEYS: u32 = 12;
/// Attempts at one request; each refusal means that others were faster, or that an answer was lost.
const ATTEMPTS: usize = 1_000;

/// An answer, and whether an earlier attempt may have had its effect already.
struct Insisted {
    answer: Result<Value, ApiError>,
    repeated: bool,
}

/// A request that is sent again for as long as the service asks for it.
async fn insist(service: &Service, operation: Operation, index: &str, body: Value) -> Insisted {
    for attempt in 0..ATTEMPTS {
        match api::call(service, operation, index, body.clone()).await {
            Err(error) if is_passing(&error) => sleep(Duration::from_millis(1)).await,
            answer => {
                return Insisted {
                    answer,
                    repeated: attempt > 0,
                };
            }
        }
    }
    panic!("{operation:?} was refused {ATTEMPTS} times");
}

fn is_passing(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::ServiceUnavailable { .. } | ApiError::TooManyRequests { .. } | ApiError::RequestTimeout { .. }
    )
}

/// Creates the bucket and both indexes.
pub async fn create_everything(service: &Service) {
    let bucket = insist(service, Operation::CreateVectorBucket, INDEX, json!({})).await;
    is_done(&bucket, |error| matches!(error, ApiError::Conflict { .. }));
    for index in [INDEX, OTHER] {
        create_index(service, index).await;
    }
}

async fn create_index(service: &Service, index: &str) {
    let body = json!({"dataType": "float32", "dimension": DIMENSION, "distanceMetric": "euclidean"});
    let created = insist(service, Operation::CreateIndex, index, body).await;
    is_done(&created, |error| matches!(error, ApiError::Conflict { .. }));
}

/// Deletes the index that comes and goes.
pub async fn delete_other(service: &Service) {
    let deleted = insist(service, Operation::DeleteIndex, OTHER, json!({})).await;
    is_done(&deleted, |error| matches!(error, ApiError::NotFound { .. }));
}

/// A repeated request may find what its first attempt has done.
fn is_done(insisted: &Insisted, explains: fn(&ApiError) -> bool) {
    match &insisted.answer {
        Ok(_) => {}
        Err(error) if insisted.repeated && explains(error) => {}
        Err(error) => panic!("{error}"),
    }
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
            Err(Seen::Failed(error)) if is_passing(&error) => sleep(Duration::from_millis(1)).await,
            Err(seen) => panic!("{seen:?}"),
        }
    }
    panic!("a read was refused {ATTEMPTS} times");
}

/// Writes keys of its own through one process, and reads them through the other: what it knows is the truth.
pub async fn writer(arena: Arc<Arena>, number: usize) -> Rows {
    let mut random = arena.random(number as u64);
    let key = |n: u32| format!("w{number}-{n}");
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut truth = Rows::new();
    for version in 1..=arena.rounds {
        let chosen: BTreeSet<u32> = (0..random.random_range(1..5))
            .map(|_| random.random_range(0..KEYS))
            .collect();
        let chosen: Vec<String> = chosen.into_iter().map(key).collect();
        let process = random.random_range(0..2);
        let (operation, body) = if random.random_range(0..4) == 0 {
            truth.retain(|key, _| !chosen.contains(key));
            (Operation::DeleteVectors, json!({"keys": chosen}))
        } else {
            truth.extend(chosen.iter().map(|key| (key.clone(), version)));
            let body = put_body(chosen.iter().map(|key| (key.as_str(), version)));
            (Operation::PutVectors, body)
        };
        let written = insist(&arena.services[process], operation, INDEX, body).await;
        written.answer.unwrap();
        let elsewhere = &arena.services[1 - process];
        let seen = look(elsewhere, INDEX, Look::Get(&keys)).await;
        differ("I1, I2, I6: read after write", &seen, &truth).unwrap();
        if version % 10 == 0 {
            for (what, way) in [("list", Look::List), ("query", Look::Query)] {
                let rows = look(elsewhere, INDEX, way).await.into_iter();
                let own: Rows = rows.filter(|(key, _)| keys.contains(&key.as_str())).collect();
                differ(&format!("I1, I2, I6: {what} after write"), &own, &truth).unwrap();
            }
        }
    }
    truth
}

/// Writes into the index that comes and goes.
pub async fn rival(arena: Arc<Arena>, number: usize) -> u64 {
    let (here, elsewhere) = (&arena.services[number % 2], &arena.services[1 - number % 2]);
    let mut written = 0_u64;
    for version in 1_u64.. {
        if arena.is_over() {
            break;
        }
        let key = format!("r{number}-{version}");
        let before = arena.lives.load(Ordering::SeqCst);
        let body = put_body([(key.as_str(), 7)].into_iter());
        match insist(here, Operation::PutVectors, OTHER, body).await.answer {
            Ok(_) => {}
            Err(ApiError::NotFound { .. }) => {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        arena.acknowledged.lock().unwrap().insert(key.clone());
        written += 1;
        let seen = api::get(elsewhere, OTHER, &[key.as_str()]).await;
        if before % 2 == 1 || arena.lives.load(Ordering::SeqCst) != before {
            // Deleted meanwhile, or about to be when it was written.
            continue;
        }
        match seen {
            Ok(rows) => assert!(rows.contains_key(&key), "I1, I6: {key} was acknowledged and is gone"),
            Err(Seen::Failed(error)) if is_passing(&error) => {}
            Err(seen) => panic!("{seen:?}"),
        }
    }
    written
}

/// Deletes and re-creates: nothing that was acknowledged before the deletion may be seen after it (I7).
pub async fn recreator(arena: Arc<Arena>) -> u64 {
    let [here, elsewhere] = &arena.services;
    let mut lives = 0;
    while !arena.is_over() {
        sleep(arena.pace.life).await;
        let old = arena.acknowledged.lock().unwrap().clone();
        arena.lives.fetch_add(1, Ordering::SeqCst);
        delete_other(here).await;
        let gone = insist(elsewhere, Operation::GetIndex, OTHER, json!({})).await.answer;
        assert!(matches!(gone, Err(ApiError::NotFound { .. })), "I7: {gone:?}");
        create_index(elsewhere, OTHER).await;
        arena.lives.fetch_add(1, Ordering::SeqCst);
        let rows = look(here, OTHER, Look::List).await;
        let returned: Vec<_> = rows.keys().filter(|key| old.contains(*key)).collect();
        assert!(returned.is_empty(), "I7: rows of the deleted index: {returned:?}");
        lives += 1;
    }
    lives
}

/// Folds and compacts without asking for the lease, so that the two indexers do meet.
pub async fn indexer(arena: Arc<Arena>, process: usize) -> u64 {
    let mut random = arena.random(50 + process as u64);
    let ctx = arena.services[process].context();
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
            Ok(Outcome::Nothing | Outcome::Gone) => sleep(Duration::from_millis(1)).await,
            Ok(Outcome::Dropped) => {}
            Err(error) if is_made_good_by_another_attempt(&error) => {}
            Err(error) => panic!("I4, I6: {error}"),
        }
    }
    committed
}

/// Collected under its hands, or somebody else was always faster, or an answer was lost: the next attempt starts over.
fn is_made_good_by_another_attempt(error: &IndexingError) -> bool {
    matches!(
        error,
        IndexingError::Contended(_)
            | IndexingError::Store(
                StoreError::NotFound { .. } | StoreError::Throttled { .. } | StoreError::Unknown { .. }
            )
    )
}

/// Collects as if objects grew old in no time.
pub async fn collector(arena: Arc<Arena>, process: usize) -> u64 {
    let mut purger = Purger::default();
    let mut deleted = 0;
    while !arena.is_over() {
        deleted += collect_everything(arena.services[process].context(), &mut purger).await as u64;
        sleep(Duration::from_millis(3)).await;
    }
    deleted
}

async fn collect_everything(ctx: &Arc<Context>, purger: &mut Purger) -> usize {
    let indexes = match ctx.ports.catalog.list_all_indexes().await {
        Ok(indexes) => indexes,
        Err(error) => return explain_away(error.into()),
    };
    let mut deleted = 0;
    for (path, uuid) in indexes {
        deleted += match collect::collect_once(ctx, &path, uuid).await {
            Ok(collected) => collected.deleted,
            Err(error) => explain_away(error),
        };
    }
    match purger.run(ctx).await {
        Ok(purged) => deleted + purged,
        Err(error) => deleted + explain_away(error),
    }
}

fn explain_away(error: IndexingError) -> usize {
    assert!(is_made_good_by_another_attempt(&error), "I4, I6: {error}");
    0
}

/// Takes images of the store at any moment and looks for what no client may ever come to see: an object that the
/// record reaches and that is gone (I4), a key that lives twice (I3), an entry that counts twice (I2).
pub async fn auditor(arena: Arc<Arena>, store: MemoryStore) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(arena.seed);
    let mut audits = 0;
    while !arena.is_over() {
        sleep(Duration::from_millis(random.random_range(1..40))).await;
        let image = store.snapshot();
        for index in [INDEX, OTHER] {
            inspect(&image, &api::path(index)).await.unwrap();
        }
        audits += 1;
    }
    audits
}

/// What the indexer does at rest, until there is nothing to do, and what the collector does long after.
pub async fn settle(arena: &Arena) {
    let ctx = arena.services[0].context();
    let mut purger = Purger::default();
    for _ in 0..100 {
        let Ok(dirty) = ctx.ports.catalog.list_dirty().await else {
            continue;
        };
        if dirty.is_empty() {
            break;
        }
        for index in dirty {
            work::folds(ctx, &index.path, "settling").await;
            work::compactions(ctx, &index.path, "settling").await;
        }
        sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..5 {
        sleep(arena.pace.rest).await;
        collect_everything(ctx, &mut purger).await;
    }
}
