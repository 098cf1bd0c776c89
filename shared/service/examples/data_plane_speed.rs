//! How fast PutVectors is from request body to commit on one core, and what a query costs after each of many writes.
//!
//! `cargo run --release -p genai-vectors-service --example data_plane_speed`
#![allow(clippy::unwrap_used, reason = "a measurement that fails should stop")]
#![allow(clippy::cast_precision_loss, reason = "rates are printed, not counted on")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::pool::Pool;
use genai_vectors_service::{Config, Context, Input, Ports, Service, indexing};
use model::{Clock, Ids, Operation, OsRandom, SystemClock};
use rand::{RngExt, SeedableRng};
use storage::local::InProcessDoorbell;
use storage::{CasCatalog, IndexPath, MemoryStore};
use wire::Caller;

const INDEX: &str = r#""vectorBucketName":"bucket","indexName":"index""#;

struct Bench {
    service: Service,
    clock: Arc<SystemClock>,
}

impl Bench {
    async fn new(dimension: usize) -> Self {
        let clock = Arc::new(SystemClock::new());
        let ids = Ids::new(Arc::clone(&clock) as _, Arc::new(OsRandom::new()));
        let store = Arc::new(MemoryStore::new());
        let catalog = CasCatalog::open(Arc::clone(&store) as _, ids.clone()).await.unwrap();
        let doorbell = Arc::new(InProcessDoorbell::new().0);
        let ports = Ports {
            objects: store,
            catalog: Arc::new(catalog),
            doorbell,
        };
        let pool = Arc::new(Pool::new(1).unwrap());
        let bench = Self {
            service: Service::new(Context::new(ports, ids, pool, Config::default())),
            clock,
        };
        bench
            .call(
                Operation::CreateVectorBucket,
                r#"{"vectorBucketName":"bucket"}"#.to_owned(),
            )
            .await;
        let index = format!(r#"{{{INDEX},"dataType":"float32","dimension":{dimension},"distanceMetric":"cosine"}}"#);
        bench.call(Operation::CreateIndex, index).await;
        bench
    }

    /// The answer's length and the time it took.
    async fn call(&self, operation: Operation, body: String) -> (usize, Duration) {
        let input = Input {
            body: Bytes::from(body),
            resource_arn: None,
            tag_keys: Vec::new(),
            caller: Caller::anonymous_owner(),
            deadline_ms: u64::MAX,
        };
        let before = self.clock.monotonic();
        let answer = self.service.call(operation, &input).await.unwrap();
        (answer.len(), self.clock.monotonic().saturating_sub(before))
    }

    async fn fold(&self) {
        let path = IndexPath {
            bucket: "bucket".parse().unwrap(),
            index: "index".parse().unwrap(),
        };
        indexing::fold::fold_once(self.service.context(), &path, 256)
            .await
            .unwrap();
    }
}

fn floats(random: &mut impl rand::Rng, dimension: usize) -> String {
    let mut text = String::new();
    for n in 0..dimension {
        // As Python prints a float32 that was stored as a double.
        write!(
            text,
            "{}{}",
            if n > 0 { ", " } else { "" },
            f64::from(random.random::<f32>() - 0.5)
        )
        .unwrap();
    }
    text
}

fn put_body(random: &mut impl rand::Rng, first: usize, rows: usize, dimension: usize) -> String {
    let mut body = format!(r#"{{{INDEX},"vectors":["#);
    for n in first..first + rows {
        let comma = if n > first { "," } else { "" };
        let vector = floats(random, dimension);
        let metadata = format!(
            r#"{{"title": "document {n}", "year": {}, "tags": ["a", "b"]}}"#,
            1900 + n % 100
        );
        write!(
            body,
            r#"{comma}{{"key": "key-{n:08}", "data": {{"float32": [{vector}]}}, "metadata": {metadata}}}"#
        )
        .unwrap();
    }
    body + "]}"
}

async fn ingest(random: &mut impl rand::Rng, rows: usize, dimension: usize) {
    let bench = Bench::new(dimension).await;
    let bodies: Vec<String> = (0..40).map(|n| put_body(random, n * rows, rows, dimension)).collect();
    let (mut bytes, mut spent) = (0, Duration::ZERO);
    for body in bodies {
        bytes += body.len();
        spent += bench.call(Operation::PutVectors, body).await.1;
    }
    let seconds = spent.as_secs_f64();
    println!(
        "PutVectors {rows} x {dimension}-d: {:.0} MB/s of body, {:.0} vectors/s",
        bytes as f64 / 1e6 / seconds,
        (40 * rows) as f64 / seconds
    );
}

/// A query after every put, while the tail grows to its limit over a folded shard.
async fn query_after_write(random: &mut impl rand::Rng) {
    const DIMENSION: usize = 8;
    let bench = Bench::new(DIMENSION).await;
    for n in 0..100 {
        bench
            .call(Operation::PutVectors, put_body(random, n * 500, 500, DIMENSION))
            .await;
    }
    bench.fold().await;
    let (mut first, mut last) = (Duration::ZERO, Duration::ZERO);
    for n in 0..500 {
        // Half of the keys are in the shard.
        let body = put_body(random, n * 250, 500, DIMENSION);
        bench.call(Operation::PutVectors, body).await;
        let vector = floats(random, DIMENSION);
        let query = format!(r#"{{{INDEX},"topK":10,"queryVector":{{"float32":[{vector}]}}}}"#);
        let spent = bench.call(Operation::QueryVectors, query).await.1;
        if n < 50 {
            first += spent;
        } else if n >= 450 {
            last += spent;
        }
    }
    println!(
        "query after a put of 500: {:.2?} at 12k tail rows, {:.2?} at 240k",
        first / 50,
        last / 50
    );
    let vector = floats(random, DIMENSION);
    for (name, filter) in [("", ""), (" with a filter", r#","filter":{"year":1950}"#)] {
        let query = format!(r#"{{{INDEX},"topK":10,"queryVector":{{"float32":[{vector}]}}{filter}}}"#);
        let cold = bench.call(Operation::QueryVectors, query.clone()).await.1;
        let warm = bench.call(Operation::QueryVectors, query).await.1;
        println!("query{name} on a tail of 250k writes: first {cold:.2?}, then {warm:.2?}");
    }
    let list = bench
        .call(Operation::ListVectors, format!("{{{INDEX},\"maxResults\":1000}}"))
        .await
        .1;
    println!("ListVectors of 1000 keys over tail and shard: {list:.2?}");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    runtime.block_on(async {
        ingest(&mut random, 500, 100).await;
        ingest(&mut random, 500, 768).await;
        ingest(&mut random, 100, 1536).await;
        query_after_write(&mut random).await;
    });
}
