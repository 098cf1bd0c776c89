//! A database with a bucket and an index, processes over it, and callers.

use std::sync::Arc;

use bytes::Bytes;
use engine::pool::Pool;
use genai_vectors_service::{Config, Context, Input, Ports, Service};
use model::{ApiError, Ids, ManualClock, Operation, OsRandom, Policy};
use serde_json::{Value, json};
use storage::layers::faults::{FaultCatalog, FaultPlan, FaultStore};
use storage::local::InProcessDoorbell;
use storage::{CasCatalog, Catalog, MemoryStore};
use wire::Caller;

pub const NOW: u64 = 1_767_225_600_000;
pub const ARN: &str = "arn:aws:s3vectors:us-east-1:123456789012:bucket/books";

/// One database, and processes over it.
pub struct Desk {
    pub store: MemoryStore,
    ids: Ids,
    pool: Arc<Pool>,
    /// The calls of the first process on its catalog and on its objects.
    pub catalog_calls: FaultPlan,
    pub object_calls: FaultPlan,
    pub service: Service,
}

impl Desk {
    /// With bucket `books` and index `all` of dimension 2.
    pub async fn new() -> Self {
        let store = MemoryStore::new();
        let ids = Ids::new(Arc::new(ManualClock::new(NOW)), Arc::new(OsRandom::new()));
        let pool = Arc::new(Pool::new(1).unwrap());
        let (catalog_calls, object_calls) = (FaultPlan::new(), FaultPlan::new());
        let service = open(&store, &ids, &pool, &catalog_calls, &object_calls).await;
        let desk = Self {
            store,
            ids,
            pool,
            catalog_calls,
            object_calls,
            service,
        };
        desk.make().await;
        desk
    }

    pub async fn second(&self) -> Service {
        open(&self.store, &self.ids, &self.pool, &FaultPlan::new(), &FaultPlan::new()).await
    }

    pub async fn make(&self) {
        make(&self.service).await;
    }

    pub async fn call(&self, caller: &Caller, operation: Operation, body: Value) -> Result<Value, ApiError> {
        call(&self.service, caller, operation, body).await
    }

    pub async fn set_policy(&self, statements: Value) {
        set_policy(&self.service, statements).await;
    }

    /// The calls that `work` makes on catalog and objects.
    pub async fn calls_of(&self, work: impl Future) -> (Vec<&'static str>, Vec<&'static str>) {
        self.catalog_calls.reset();
        self.object_calls.reset();
        work.await;
        let methods = |plan: &FaultPlan| {
            let mut methods: Vec<&'static str> = plan.calls().iter().map(|call| call.method).collect();
            methods.sort_unstable();
            methods
        };
        (methods(&self.catalog_calls), methods(&self.object_calls))
    }
}

pub async fn open(
    store: &MemoryStore,
    ids: &Ids,
    pool: &Arc<Pool>,
    catalog_calls: &FaultPlan,
    object_calls: &FaultPlan,
) -> Service {
    let catalog: Arc<dyn Catalog> = Arc::new(CasCatalog::open(Arc::new(store.clone()), ids.clone()).await.unwrap());
    let ports = Ports {
        objects: Arc::new(FaultStore::new(Arc::new(store.clone()), object_calls.clone())),
        catalog: Arc::new(FaultCatalog::new(catalog, catalog_calls.clone())),
        doorbell: Arc::new(InProcessDoorbell::new().0),
    };
    Service::new(Context::new(ports, ids.clone(), Arc::clone(pool), Config::default()))
}

pub async fn make(service: &Service) {
    let owner = owner();
    call(service, &owner, Operation::CreateVectorBucket, json!({}))
        .await
        .unwrap();
    let index = json!({"dataType": "float32", "dimension": 2, "distanceMetric": "euclidean"});
    call(service, &owner, Operation::CreateIndex, index).await.unwrap();
}

pub async fn remove(service: &Service) {
    let owner = owner();
    call(service, &owner, Operation::DeleteIndex, json!({})).await.unwrap();
    call(service, &owner, Operation::DeleteVectorBucket, json!({}))
        .await
        .unwrap();
}

pub async fn set_policy(service: &Service, statements: Value) {
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let body = json!({"policy": policy});
    call(service, &owner(), Operation::PutVectorBucketPolicy, body)
        .await
        .unwrap();
}

/// On bucket `books` and, where the operation takes one, on index `all`, unless the body names others.
pub async fn call(
    service: &Service,
    caller: &Caller,
    operation: Operation,
    mut body: Value,
) -> Result<Value, ApiError> {
    let (mut resource_arn, mut tag_keys) = (None, Vec::new());
    match operation {
        Operation::ListVectorBuckets => {}
        Operation::TagResource | Operation::UntagResource | Operation::ListTagsForResource => {
            resource_arn = Some(body["arn"].as_str().unwrap_or(ARN).to_owned());
            if operation == Operation::UntagResource {
                tag_keys.push("team".to_owned());
            }
        }
        _ => {
            add(&mut body, "vectorBucketName", "books");
            if operation.name().ends_with("Index")
                || operation.name().ends_with("Vectors")
                || operation.name().contains("IndexMode")
                || operation == Operation::UpdateMetadataConfiguration
            {
                add(&mut body, "indexName", "all");
            }
        }
    }
    let input = Input {
        body: Bytes::from(body.to_string()),
        resource_arn,
        tag_keys,
        caller: caller.clone(),
        deadline_ms: service.context().now_ms() + 30_000,
    };
    let answer = service.call(operation, &input).await?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

pub fn add(body: &mut Value, member: &str, value: &str) {
    if body.get(member).is_none() {
        body[member] = json!(value);
    }
}

pub fn caller(name: &str, owner: bool, own: Option<Value>) -> Caller {
    let policy = own.map(|statements| {
        let text = json!({"Statement": statements}).to_string();
        Arc::new(Policy::parse_identity(&text).unwrap())
    });
    Caller {
        principal: Some(format!("arn:aws:iam::123456789012:user/{name}")),
        owner,
        policy,
        secure_transport: true,
    }
}

pub fn owner() -> Caller {
    caller("owner", true, None)
}

pub fn guest() -> Caller {
    caller("guest", false, None)
}

pub fn statement(effect: &str, actions: &Value) -> Value {
    json!({"Effect": effect, "Principal": {"AWS": "arn:aws:iam::123456789012:user/guest"}, "Action": actions,
        "Resource": [ARN, format!("{ARN}/index/*")]})
}

/// A body with which the operation gets as far as its own rules.
pub fn body_of(operation: Operation) -> Value {
    match operation {
        Operation::PutVectors => json!({"vectors": [{"key": "a", "data": {"float32": [1, 2]}}]}),
        Operation::GetVectors | Operation::DeleteVectors => json!({"keys": ["a"]}),
        Operation::QueryVectors => json!({"topK": 1, "queryVector": {"float32": [1, 2]}}),
        Operation::CreateIndex => {
            json!({"indexName": "new", "dataType": "float32", "dimension": 2, "distanceMetric": "cosine"})
        }
        Operation::CreateVectorBucket => json!({"vectorBucketName": "films"}),
        Operation::PutVectorBucketPolicy => {
            let allow = statement("Allow", &json!("s3vectors:*"));
            json!({"policy": json!({"Statement": allow}).to_string()})
        }
        Operation::UpdateMetadataConfiguration => {
            json!({"delete": {"textSearchConfigurations": [{"metadataKey": "a"}]}})
        }
        Operation::PutVectorBucketDefaultIndexMode => json!({"defaultIndexMode": "ENHANCED"}),
        Operation::UpdateIndexMode => json!({"indexMode": "ENHANCED"}),
        Operation::TagResource => json!({"tags": {"team": "search"}}),
        _ => json!({}),
    }
}
