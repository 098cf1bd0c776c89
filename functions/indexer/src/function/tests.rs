//! What queues do with messages: they lose, repeat, delay and reorder them. None of it may show.

use engine::pool::Pool;
use model::{Ids, ManualClock, Operation, OsRandom};
use service::{Config, Input, Ports, Service};
use storage::layers::faults::{FaultPlan, FaultStore};
use storage::local::{InProcessDoorbell, RingReceiver};
use storage::{CasCatalog, MemoryStore, ObjectStore as _, Ring};

use super::*;

/// 2026-01-01.
const START_MS: u64 = 1_767_225_600_000;

/// A deployment: the API's side, and functions as Lambda starts them.
struct World {
    api: Service,
    store: MemoryStore,
    plan: FaultPlan,
    rings: RingReceiver,
    function: Function,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START_MS));
        let ids = Ids::new(clock, Arc::new(OsRandom::new()));
        let (store, plan) = (MemoryStore::new(), FaultPlan::new());
        let objects = Arc::new(FaultStore::new(Arc::new(store.clone()), plan.clone()));
        let catalog = CasCatalog::open(Arc::clone(&objects) as _, ids.clone()).await.unwrap();
        let (doorbell, rings) = InProcessDoorbell::new();
        let ports = Ports {
            objects,
            catalog: Arc::new(catalog),
            doorbell: Arc::new(doorbell),
        };
        let mut config = Config::default();
        config.fold.due_age = Duration::ZERO;
        let context = || {
            Context::new(
                ports.clone(),
                ids.clone(),
                Arc::new(Pool::new(1).unwrap()),
                config.clone(),
            )
        };
        let world = Self {
            api: Service::new(context()),
            function: Function::over(context(), "test".to_owned(), "Fold"),
            store,
            plan,
            rings,
        };
        world
            .call(Operation::CreateVectorBucket, json!({"vectorBucketName": "books"}))
            .await;
        world
    }

    async fn call(&self, operation: Operation, body: Value) -> Value {
        let input = Input {
            body: body.to_string().into_bytes().into(),
            resource_arn: None,
            tag_keys: Vec::new(),
            caller: wire::Caller::anonymous_owner(),
            deadline_ms: START_MS + 30_000,
        };
        serde_json::from_slice(&self.api.call(operation, &input).await.unwrap()).unwrap()
    }

    async fn create(&self, index: &str) {
        let body = json!({"vectorBucketName": "books", "indexName": index, "dataType": "float32", "dimension": 2,
            "distanceMetric": "euclidean"});
        self.call(Operation::CreateIndex, body).await;
    }

    async fn put(&self, index: &str, key: &str) {
        let body = json!({"vectorBucketName": "books", "indexName": index,
            "vectors": [{"key": key, "data": {"float32": [1, 2]}}]});
        self.call(Operation::PutVectors, body).await;
    }

    async fn keys(&self, index: &str) -> Vec<String> {
        let listed = self
            .call(
                Operation::ListVectors,
                json!({"vectorBucketName": "books", "indexName": index}),
            )
            .await;
        let vectors = listed["vectors"].as_array().unwrap().iter();
        vectors
            .map(|vector| vector["key"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn tail(&self, index: &str) -> usize {
        let record = self.function.context.ports.catalog.read_record(&path(index)).await;
        record.unwrap().unwrap().wal.len()
    }

    /// What the writes have rung so far, as bodies of messages.
    fn rung(&self) -> Vec<Ring> {
        std::iter::from_fn(|| self.rings.try_next()).collect()
    }

    /// Messages of this queue, in this order, with the ids `0`, `1`, ...; which come back.
    async fn deliver(&self, kind: Work, bodies: &[String]) -> Vec<String> {
        let records = bodies.iter().enumerate();
        let records: Vec<Value> = records
            .map(|(id, body)| json!({"messageId": id.to_string(), "body": body}))
            .collect();
        let payload = serde_json::from_value(json!({"Records": records})).unwrap();
        let mut context = lambda_runtime::Context::default();
        context.deadline = self.function.context.now_ms() + 300_000;
        let response = self.function.batch(LambdaEvent { payload, context }, kind).await;
        let told = serde_json::to_value(&response).unwrap();
        let failures = told["batchItemFailures"].as_array().unwrap().iter();
        let mut ids: Vec<String> = failures
            .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }
}

fn path(index: &str) -> IndexPath {
    IndexPath {
        bucket: "books".parse().unwrap(),
        index: index.parse().unwrap(),
    }
}

fn bodies(rings: &[Ring]) -> Vec<String> {
    rings.iter().map(|ring| serde_json::to_string(ring).unwrap()).collect()
}

#[tokio::test]
async fn a_repeated_message_finds_nothing_to_do() {
    let world = World::new().await;
    world.create("all").await;
    world.put("all", "a").await;
    let message = bodies(&world.rung()).remove(0);
    let none: Vec<String> = Vec::new();
    let thrice = vec![message.clone(); 3];
    assert_eq!(world.deliver(Work::Fold, &thrice).await, none);
    assert_eq!(world.tail("all").await, 0);
    let objects = world.store.names();
    assert_eq!(world.deliver(Work::Fold, &thrice).await, none, "another delivery");
    assert_eq!(world.store.names(), objects, "nothing was written again");
    assert_eq!(world.keys("all").await, ["a"]);
    assert_eq!(world.function.context.metrics.folds.get(), 1);
}

#[tokio::test]
async fn a_lost_message_is_rung_again_by_the_sweep() {
    let world = World::new().await;
    world.create("all").await;
    world.put("all", "a").await;
    drop(world.rung());
    let swept = world.function.sweep().await.unwrap();
    assert_eq!(swept, json!({"dirty": 1}));
    let again = world.rung();
    assert!(again.iter().any(|ring| ring.kind == Work::Fold), "{again:?}");
    let folds: Vec<Ring> = again.into_iter().filter(|ring| ring.kind == Work::Fold).collect();
    assert!(world.deliver(Work::Fold, &bodies(&folds)).await.is_empty());
    assert_eq!(world.tail("all").await, 0);
}

#[tokio::test]
async fn a_message_that_is_late_does_no_harm() {
    let world = World::new().await;
    world.create("all").await;
    world.put("all", "old").await;
    let late = bodies(&world.rung());
    let delete = json!({"vectorBucketName": "books", "indexName": "all"});
    world.call(Operation::DeleteIndex, delete).await;
    assert!(world.deliver(Work::Fold, &late).await.is_empty(), "the index is gone");
    world.create("all").await;
    world.put("all", "new").await;
    assert!(
        world.deliver(Work::Fold, &late).await.is_empty(),
        "another one by this name"
    );
    assert_eq!(world.keys("all").await, ["new"]);
}

#[tokio::test]
async fn the_order_of_messages_does_not_matter() {
    let world = World::new().await;
    for index in ["all", "new"] {
        world.create(index).await;
        for key in ["a", "b"] {
            world.put(index, key).await;
        }
    }
    let mut folds = bodies(&world.rung());
    folds.reverse();
    // Merges before there is anything to merge.
    assert!(world.deliver(Work::Compact, &folds).await.is_empty());
    assert!(world.deliver(Work::Fold, &folds).await.is_empty());
    for index in ["all", "new"] {
        assert_eq!(
            (world.tail(index).await, world.keys(index).await),
            (0, vec!["a".to_owned(), "b".to_owned()])
        );
    }
}

#[tokio::test]
async fn only_what_failed_comes_back() {
    let world = World::new().await;
    for index in ["broken", "whole"] {
        world.create(index).await;
    }
    world.put("broken", "a").await;
    let mut names = world.store.names();
    names.retain(|name| name.as_str().contains("/wal/"));
    world.store.delete(&names).await.unwrap();
    world.put("whole", "a").await;
    let rings = world.rung();
    let [broken, whole] = ["broken", "whole"].map(|index| {
        let ring = rings.iter().find(|ring| ring.path == path(index)).unwrap();
        serde_json::to_string(ring).unwrap()
    });
    let messages = [broken.clone(), whole, broken, "not a ring".to_owned()];
    assert_eq!(world.deliver(Work::Fold, &messages).await, ["0", "2", "3"]);
    assert_eq!((world.tail("whole").await, world.tail("broken").await), (0, 1));
}

/// Lambda ends an invocation at its deadline: then all messages come back, and what was done is done again.
#[tokio::test(start_paused = true)]
async fn a_batch_ends_in_time_however_many_indexes_it_names() {
    let world = World::new().await;
    let indexes = ["one", "two", "three", "four", "five", "six"];
    for index in indexes {
        world.create(index).await;
        world.put(index, "a").await;
    }
    let messages = bodies(&world.rung());
    world.plan.set_latency(Duration::from_secs(20));
    let begun = tokio::time::Instant::now();
    assert!(world.deliver(Work::Fold, &messages).await.is_empty());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(300), "{took:?}");
    assert!(
        took > Duration::from_secs(200),
        "the stores were not slow enough: {took:?}"
    );
}
