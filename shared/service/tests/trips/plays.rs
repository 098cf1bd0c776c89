//! What is measured: each operation in a process that has seen nothing yet (cold), and again in the same process when
//! nothing has changed (warm); and the work of the indexer.

use std::collections::BTreeMap;
use std::sync::Arc;

use genai_vectors_service::indexing::{collect, lease, sweep, work};
use genai_vectors_service::{Config, Service};
use model::Operation;
use serde_json::{Value, json};
use storage::layers::requests::Request;
use tokio::time::{Duration, Instant};
use wire::Caller;

use super::stage::{Place, Stage, path};
use crate::desk::{body_of, call, make, owner, set_policy, statement};

/// Rows of the index that is there.
const ROWS: usize = 8;
/// Entries of the tail that is folded.
pub const TAIL: usize = 64;
const HOLDER: &str = "fold:measured";

/// What one call sent, and how long it took.
#[derive(Debug)]
pub struct Measured {
    pub what: &'static str,
    pub state: &'static str,
    pub requests: Vec<Request>,
    pub took: Duration,
}

impl Measured {
    /// Requests that are sent at the same time, joined by `+`; what follows when they are answered, after `;`.
    pub fn waves(&self) -> String {
        let waves: Vec<String> = self.requests.chunk_by(|a, b| a.sent == b.sent).map(wave).collect();
        let alike = waves.chunk_by(|a, b| a == b);
        let parts: Vec<String> = alike
            .map(|alike| match alike {
                [wave] => wave.clone(),
                waves => format!("{} times {}", waves.len(), waves[0]),
            })
            .collect();
        parts.join("; ")
    }

    /// How many requests of each kind.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.requests {
            *counts.entry(format!("{:?}", request.kind)).or_default() += 1;
        }
        counts
    }
}

fn wave(requests: &[Request]) -> String {
    let alike = requests.chunk_by(|a, b| (a.kind, &a.of) == (b.kind, &b.of));
    let parts: Vec<String> = alike
        .filter_map(|alike| {
            let request = alike.first()?;
            Some(match alike.len() {
                1 => request.to_string(),
                count => format!("{count} {request}"),
            })
        })
        .collect();
    parts.join(" + ")
}

/// A stage with bucket `books`, its policy and tags, and in it index `all` with one shard and an empty tail; and whoever
/// made it.
pub struct Scene {
    pub stage: Stage,
    maker: Service,
}

impl Scene {
    pub async fn new(place: Box<dyn Place>) -> Self {
        Self::with(place, Config::default()).await
    }

    async fn with(place: Box<dyn Place>, config: Config) -> Self {
        let stage = Stage::new(place);
        let mut patience = config;
        patience.fold.due_age = Duration::from_millis(20);
        let maker = stage.process(patience).await;
        make(&maker).await;
        set_policy(&maker, statement("Allow", &json!("s3vectors:*"))).await;
        let tags = json!({"tags": {"cost": "12"}});
        call(&maker, &owner(), Operation::TagResource, tags).await.unwrap();
        let scene = Self { stage, maker };
        scene.put("row", ROWS).await;
        scene.fold().await;
        scene
    }

    async fn put(&self, prefix: &str, rows: usize) {
        let vector = |row: usize| {
            json!({"key": format!("{prefix}-{row}"), "data": {"float32": [1, row]},
                "metadata": {"kind": "a"}})
        };
        let body = json!({"vectors": (0..rows).map(vector).collect::<Vec<Value>>()});
        call(&self.maker, &owner(), Operation::PutVectors, body).await.unwrap();
    }

    /// The whole tail, whatever its age.
    async fn fold(&self) {
        tokio::time::sleep(self.maker.context().config.fold.due_age).await;
        work::folds(self.maker.context(), &path(), HOLDER).await;
        work::compactions(self.maker.context(), &path(), HOLDER).await;
        lease::release(self.maker.context(), &path(), HOLDER).await;
    }

    /// Puts back what an operation has changed.
    async fn restore(&self, operation: Operation) {
        let again = async |operation, body| call(&self.maker, &owner(), operation, body).await.map(|_| ());
        match operation {
            Operation::CreateVectorBucket => {
                again(Operation::DeleteVectorBucket, body_of(operation)).await.unwrap();
            }
            Operation::CreateIndex => {
                again(Operation::DeleteIndex, json!({"indexName": "new"}))
                    .await
                    .unwrap();
            }
            Operation::DeleteIndex => {
                let index = json!({"dataType": "float32", "dimension": 2, "distanceMetric": "euclidean"});
                again(Operation::CreateIndex, index).await.unwrap();
            }
            Operation::DeleteVectorBucket => again(Operation::CreateVectorBucket, json!({})).await.unwrap(),
            Operation::DeleteVectorBucketPolicy => {
                set_policy(&self.maker, statement("Allow", &json!("s3vectors:*"))).await;
            }
            Operation::TagResource => again(Operation::UntagResource, json!({})).await.unwrap(),
            Operation::UntagResource => {
                again(Operation::TagResource, body_of(Operation::TagResource))
                    .await
                    .unwrap();
            }
            Operation::PutVectors | Operation::DeleteVectors => self.fold().await,
            _ => {}
        }
    }

    /// What an operation needs to be there.
    async fn prepare(&self, operation: Operation) {
        match operation {
            Operation::DeleteVectorBucket => {
                call(&self.maker, &owner(), Operation::DeleteIndex, json!({}))
                    .await
                    .unwrap();
            }
            Operation::UntagResource => self.restore(operation).await,
            _ => {}
        }
    }

    async fn measure<T>(&self, what: &'static str, state: &'static str, work: impl Future<Output = T>) -> Measured {
        self.stage.forget();
        let begun = Instant::now();
        work.await;
        Measured {
            what,
            state,
            took: begun.elapsed(),
            requests: self.stage.log.take(),
        }
    }

    async fn ask(&self, asked: &Service, caller: &Caller, operation: Operation, state: &'static str) -> Measured {
        let answer = async {
            let answer = call(asked, caller, operation, body_of(operation)).await;
            // This one is refused when all is judged.
            let is_refused = operation == Operation::UpdateMetadataConfiguration;
            assert_eq!(answer.is_err(), is_refused, "{operation}: {answer:?}");
        };
        self.measure(operation.name(), state, answer).await
    }
}

/// An operation of a process that has seen nothing yet, and of the same process again.
pub async fn operation(place: Box<dyn Place>, caller: &Caller, operation: Operation) -> [Measured; 2] {
    let is_judged = caller.principal.is_some();
    let [cold, warm] = if is_judged {
        ["cold", "warm"]
    } else {
        ["cold, without keys", "warm, without keys"]
    };
    let scene = Scene::new(place).await;
    scene.prepare(operation).await;
    let asked = scene.stage.process(Config::default()).await;
    let first = scene.ask(&asked, caller, operation, cold).await;
    scene.restore(operation).await;
    let second = scene.ask(&asked, caller, operation, warm).await;
    [first, second]
}

/// Queries in other states of index and process.
pub async fn queries(place: impl Fn() -> Box<dyn Place>) -> Vec<Measured> {
    let query = Operation::QueryVectors;
    let mut measured = Vec::new();
    let scene = Scene::new(place()).await;
    let asked = scene.stage.process(Config::default()).await;
    scene.ask(&asked, &owner(), query, "").await;
    scene.put("new", 1).await;
    measured.push(scene.ask(&asked, &owner(), query, "warm, one write since").await);
    for row in 0..3 {
        scene.put(&format!("newer-{row}"), 1).await;
    }
    let asked = scene.stage.process(Config::default()).await;
    measured.push(
        scene
            .ask(&asked, &owner(), query, "cold, four writes in the tail")
            .await,
    );
    // A shard with an index: the same, with few rows.
    let scene = Scene::with(place(), few_rows()).await;
    scene.put("more", ROWS).await;
    scene.fold().await;
    let asked = scene.stage.process(few_rows()).await;
    measured.push(
        scene
            .ask(&asked, &owner(), query, "cold, a shard with FAISS index")
            .await,
    );
    measured
}

/// Shards of a handful of rows get an index.
fn few_rows() -> Config {
    let mut config = Config::default();
    config.compaction.flat_threshold = 4;
    config.compaction.fan_in = 2;
    config.compaction.busy_factor = 1;
    config.compaction.absorb_ratio = 0;
    config.compaction.absorb_free_bytes = 0;
    config
}

/// The indexer's work on a tail of 64 writes, of a process that has seen nothing yet.
pub async fn indexing(place: impl Fn() -> Box<dyn Place>) -> Vec<Measured> {
    let mut measured = Vec::new();
    let scene = Scene::new(place()).await;
    for row in 0..TAIL {
        scene.put(&format!("tail-{row}"), 1).await;
    }
    let swept = scene.stage.process(Config::default()).await;
    let sweep = sweep::sweep_once(swept.context());
    measured.push(scene.measure("Sweep", "one index has work", sweep).await);
    let folding = scene.stage.process(Config::default()).await;
    let fold = async {
        work::folds(folding.context(), &path(), HOLDER).await;
        lease::release(folding.context(), &path(), HOLDER).await;
    };
    measured.push(scene.measure("Fold", "cold, 64 writes, a small shard", fold).await);
    // Two shards are there.
    let scene = Scene::with(place(), few_rows()).await;
    scene.put("more", ROWS).await;
    let context = Arc::clone(scene.maker.context());
    tokio::time::sleep(context.config.fold.due_age).await;
    work::folds(&context, &path(), HOLDER).await;
    lease::release(&context, &path(), HOLDER).await;
    let compacting = scene.stage.process(few_rows()).await;
    let compaction = async {
        work::compactions(compacting.context(), &path(), "compact:measured").await;
        lease::release(compacting.context(), &path(), "compact:measured").await;
    };
    measured.push(
        scene
            .measure(
                "Compaction",
                "cold: a shard gets an index, then two become one",
                compaction,
            )
            .await,
    );
    let collecting = scene.stage.process(few_rows()).await;
    let record = context.ports.catalog.read_record(&path()).await.unwrap().unwrap();
    let collection = async {
        collect::collect_once(collecting.context(), &path(), record.uuid)
            .await
            .unwrap();
    };
    measured.push(scene.measure("Collection", "one index, nothing old", collection).await);
    measured
}
