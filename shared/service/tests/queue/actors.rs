//! Who takes part: clients that write and read as SDKs do, the functions that the queue wakes, and those on a schedule.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use genai_vectors_service::Service;
use genai_vectors_service::indexing::purge::Purger;
use genai_vectors_service::indexing::work::{self, Next};
use genai_vectors_service::indexing::{collect, lease, sweep};
use model::{ApiError, Operation};
use rand::RngExt;
use serde_json::{Value, json};
use storage::Work;
use storage::layers::faults::Message;
use tokio::time::{sleep, timeout};

use super::deployment::{AGE, Deployment, Process};
use crate::crash::api::{self, INDEX, Seen};
use crate::crash::inspect::differ;
use crate::crash::model::{DIMENSION, Rows};
use crate::crash::play::put_body;

const KEYS: u32 = 10;
/// Attempts of a client; the pauses between them are those of SDKs.
const ATTEMPTS: u32 = 12;
/// Messages of one batch.
const BATCH: usize = 10;
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What a retry may cure.
fn is_passing(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::ServiceUnavailable { .. } | ApiError::TooManyRequests { .. } | ApiError::RequestTimeout { .. }
    )
}

/// Calls until something else than "try again" is answered; also says how many attempts that took.
async fn persist<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, ApiError>) -> (T, u32) {
    for attempt in 1..=ATTEMPTS {
        match ask().await {
            Ok(answer) => return (answer, attempt),
            Err(error) if is_passing(&error) => sleep(Duration::from_millis(50 << attempt.min(7))).await,
            Err(error) => panic!("{what}: {error:?}, which no retry cures"),
        }
    }
    panic!("{what} was refused {ATTEMPTS} times");
}

async fn ask(service: &Service, operation: Operation, body: &Value) -> Result<Value, ApiError> {
    api::call(service, operation, INDEX, body.clone()).await
}

/// Makes bucket and index; a repeated request may find what its first attempt has done.
pub async fn create(process: &Process) {
    let index = json!({"dataType": "float32", "dimension": DIMENSION, "distanceMetric": "euclidean"});
    for (operation, body) in [
        (Operation::CreateVectorBucket, json!({})),
        (Operation::CreateIndex, index),
    ] {
        let mut attempts = 0;
        let create = async || {
            attempts += 1;
            match ask(&process.service, operation, &body).await {
                Err(ApiError::Conflict { .. }) if attempts > 1 => Ok(Value::Null),
                answer => answer,
            }
        };
        persist(operation.name(), create).await;
    }
}

/// What a client saw.
#[derive(Debug, Default)]
pub struct Seenable {
    pub rows: Rows,
    pub requests: u32,
    pub retried: u32,
}

/// Writes keys of its own through one process and reads them through another: what it knows is the truth.
pub async fn client(deployment: Arc<Deployment>, processes: Arc<[Process; 2]>, number: u64, rounds: u32) -> Seenable {
    let mut random = deployment.random(number);
    let key = |n: u32| format!("c{number}-{n}");
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut seen = Seenable::default();
    for version in 1..=rounds {
        let chosen: BTreeSet<u32> = (0..random.random_range(1..4))
            .map(|_| random.random_range(0..KEYS))
            .collect();
        let chosen: Vec<String> = chosen.into_iter().map(key).collect();
        let at = random.random_range(0..2);
        let (operation, body) = if random.random_range(0..4) == 0 {
            seen.rows.retain(|key, _| !chosen.contains(key));
            (Operation::DeleteVectors, json!({"keys": chosen}))
        } else {
            seen.rows.extend(chosen.iter().map(|key| (key.clone(), version)));
            (
                Operation::PutVectors,
                put_body(chosen.iter().map(|key| (key.as_str(), version))),
            )
        };
        let write = async || ask(&processes[at].service, operation, &body).await;
        let (_, attempts) = persist(operation.name(), write).await;
        let read = async || match api::get(&processes[1 - at].service, INDEX, &keys).await {
            Ok(rows) => Ok(rows),
            Err(Seen::Failed(error)) => Err(error),
            Err(Seen::Wrong(wrong)) => panic!("{wrong}"),
        };
        let (rows, again) = persist("GetVectors", read).await;
        differ("I1, I2: read after write", &rows, &seen.rows).unwrap();
        seen.requests += 2;
        seen.retried += u32::from(attempts > 1) + u32::from(again > 1);
        sleep(Duration::from_millis(random.random_range(0..4_000))).await;
    }
    seen
}

/// The function that the queue wakes, as `functions/indexer` does it: what failed and must wait comes back, what
/// another one does or is not due is done with. Now and then an invocation dies in the middle.
pub async fn worker(deployment: Arc<Deployment>, process: Process, number: u64) -> u64 {
    let mut random = deployment.random(200 + number);
    let mut deaths = 0;
    while !deployment.is_over() {
        let batch = deployment.queue.receive(BATCH);
        for message in &batch {
            let life = if random.random_range(0..8) == 0 {
                Duration::from_millis(random.random_range(1..600))
            } else {
                Duration::from_secs(295)
            };
            match timeout(life, answer(&process, message, number)).await {
                Ok(true) => deployment.queue.delete(message),
                Ok(false) => {}
                Err(_) => deaths += 1,
            }
        }
        sleep(Duration::from_millis(if batch.is_empty() { 500 } else { 20 })).await;
    }
    process.clear_up().await;
    deaths
}

async fn answer(process: &Process, message: &Message, number: u64) -> bool {
    let path = &message.ring.path;
    let (next, holder) = match message.ring.kind {
        Work::Fold => {
            let holder = format!("fold:{number}");
            (work::folds(process.context(), path, &holder).await, holder)
        }
        Work::Compact => {
            let holder = format!("compact:{number}");
            (work::compactions(process.context(), path, &holder).await, holder)
        }
    };
    lease::release(process.context(), path, &holder).await;
    !matches!(next, Next::NotBefore(_))
}

/// The sweep, on its schedule. One that fails is followed by another.
pub async fn sweeper(deployment: Arc<Deployment>, process: Process) -> u64 {
    let mut rung = 0;
    while !deployment.is_over() {
        sleep(SWEEP_EVERY).await;
        rung += sweep::sweep_once(process.context()).await.unwrap_or(0) as u64;
    }
    process.clear_up().await;
    rung
}

/// The collection, on its schedule.
pub async fn collector(deployment: Arc<Deployment>, process: Process) -> u64 {
    let mut purger = Purger::default();
    let mut runs = 0;
    while !deployment.is_over() {
        sleep(AGE / 4).await;
        runs += u64::from(collect::collect_all(process.context(), &mut purger).await.is_ok());
    }
    process.clear_up().await;
    runs
}
