//! A service over stores in memory, driven with the JSON that clients send.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::pool::Pool;
use genai_vectors_service::{Config, Context, Input, Ports, Service};
use model::{ApiError, Ids, ManualClock, Operation, OsRandom, Strictness};
use serde_json::{Value, json};
use storage::layers::delay::Delay;
use storage::layers::disk_cache::{DiskCache, DiskCacheConfig};
use storage::layers::faults::{FaultPlan, FaultStore};
use storage::layers::metering::{Meter, MeteredStore};
use storage::local::InProcessDoorbell;
use storage::{CasCatalog, IndexPath, MemoryStore, ObjectStore};
use wire::Caller;

/// 2026-01-01, when tests begin.
pub const START_MS: u64 = 1_767_225_600_000;

/// One database and the service over it.
pub struct World {
    /// What survives a restart.
    pub store: MemoryStore,
    /// Faults between service and store.
    pub plan: FaultPlan,
    /// The clock of every restart.
    pub clock: Arc<ManualClock>,
    /// The service of this life.
    pub service: Service,
    config: Config,
    pool: Arc<Pool>,
    disk_cache: Option<DiskCacheConfig>,
}

impl World {
    /// An empty database.
    pub async fn new(config: Config) -> Self {
        Self::over(MemoryStore::new(), config).await
    }

    /// An empty database with AWS's stricter readings.
    pub async fn strict() -> Self {
        Self::new(Config {
            strictness: Strictness::Strict,
            ..Config::default()
        })
        .await
    }

    /// An empty database in this store.
    pub async fn over(store: MemoryStore, config: Config) -> Self {
        Self::behind(None, store, config).await
    }

    /// An empty database in this store, read through a disk cache.
    pub async fn behind(disk_cache: Option<DiskCacheConfig>, store: MemoryStore, config: Config) -> Self {
        let clock = Arc::new(ManualClock::new(START_MS));
        let plan = FaultPlan::new();
        let pool = Arc::new(Pool::new(2).unwrap());
        let service = start(&store, &plan, &clock, &pool, &config, disk_cache.as_ref(), None).await;
        Self {
            store,
            plan,
            clock,
            service,
            config,
            pool,
            disk_cache,
        }
    }

    /// A process of its own over the same store, which is behind a network for it: every object takes `delay`, and what
    /// it reads is counted.
    pub async fn over_network(&self, delay: Duration, disk_cache: Option<&DiskCacheConfig>, config: &Config) -> Remote {
        let meter = Meter::new();
        let network = Some((delay, meter.clone()));
        let plan = FaultPlan::new();
        let service = start(&self.store, &plan, &self.clock, &self.pool, config, disk_cache, network).await;
        Remote { service, plan, meter }
    }

    /// The process ends and another one opens the same store: nothing in memory survives.
    pub async fn restart(&mut self) {
        self.service = self.second().await;
    }

    /// A second process over the same store.
    pub async fn second(&self) -> Service {
        let disk_cache = self.disk_cache.as_ref();
        start(
            &self.store,
            &self.plan,
            &self.clock,
            &self.pool,
            &self.config,
            disk_cache,
            None,
        )
        .await
    }

    pub fn ctx(&self) -> &Arc<Context> {
        self.service.context()
    }

    pub async fn call(&self, operation: Operation, body: Value) -> Result<Value, ApiError> {
        call(&self.service, operation, &body).await
    }

    /// Creates bucket `books` and in it an index.
    pub async fn create_index(&self, name: &str, dimension: usize, metric: &str, kept_out: &[&str]) {
        let bucket = self
            .call(Operation::CreateVectorBucket, json!({"vectorBucketName": "books"}))
            .await;
        assert!(matches!(bucket, Ok(_) | Err(ApiError::Conflict { .. })), "{bucket:?}");
        let mut body = json!({"vectorBucketName": "books", "indexName": name, "dataType": "float32",
            "dimension": dimension, "distanceMetric": metric});
        if !kept_out.is_empty() {
            body["metadataConfiguration"] = json!({"nonFilterableMetadataKeys": kept_out});
        }
        self.call(Operation::CreateIndex, body).await.unwrap();
    }

    /// An operation on index `name` of `books`.
    pub async fn on(&self, name: &str, operation: Operation, body: Value) -> Result<Value, ApiError> {
        self.call(operation, with_index(name, body)).await
    }
}

/// A process to which the store is far away.
pub struct Remote {
    pub service: Service,
    /// Faults between it and the store.
    pub plan: FaultPlan,
    /// What it reads, beside the catalog.
    pub meter: Meter,
}

impl Remote {
    /// An operation on index `name` of `books`.
    pub async fn on(&self, name: &str, operation: Operation, body: Value) -> Result<Value, ApiError> {
        call(&self.service, operation, &with_index(name, body)).await
    }
}

/// The members that name index `name` of `books`, added to `body`.
pub fn with_index(name: &str, mut body: Value) -> Value {
    body["vectorBucketName"] = json!("books");
    body["indexName"] = json!(name);
    body
}

pub fn path(name: &str) -> IndexPath {
    IndexPath {
        bucket: "books".parse().unwrap(),
        index: name.parse().unwrap(),
    }
}

pub async fn call(service: &Service, operation: Operation, body: &Value) -> Result<Value, ApiError> {
    let input = Input {
        body: Bytes::from(body.to_string()),
        resource_arn: None,
        tag_keys: Vec::new(),
        caller: Caller::anonymous_owner(),
        deadline_ms: service.context().now_ms() + 30_000,
    };
    let answer = service.call(operation, &input).await?;
    Ok(serde_json::from_slice(&answer).expect("an answer is JSON"))
}

async fn start(
    store: &MemoryStore,
    plan: &FaultPlan,
    clock: &Arc<ManualClock>,
    pool: &Arc<Pool>,
    config: &Config,
    disk_cache: Option<&DiskCacheConfig>,
    network: Option<(Duration, Meter)>,
) -> Service {
    let ids = Ids::new(Arc::clone(clock) as _, Arc::new(OsRandom::new()));
    let objects: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(Arc::new(store.clone()), plan.clone()));
    let catalog = CasCatalog::open(Arc::clone(&objects), ids.clone()).await.unwrap();
    let objects: Arc<dyn ObjectStore> = match network {
        Some((delay, meter)) => Arc::new(MeteredStore::new(Arc::new(Delay::new(objects, delay)), meter)),
        None => objects,
    };
    let objects = match disk_cache {
        Some(cache) => Arc::new(DiskCache::open(objects, cache.clone()).await),
        None => objects,
    };
    let (doorbell, _rings) = InProcessDoorbell::new();
    let ports = Ports {
        objects,
        catalog: Arc::new(catalog),
        doorbell: Arc::new(doorbell),
    };
    Service::new(Context::new(ports, ids, Arc::clone(pool), config.clone()))
}
