//! A database in memory, behind what a catalog in DynamoDB and objects in S3 take; and processes over it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::pool::Pool;
use genai_vectors_service::{Config, Context, Ports, Service};
use model::{Clock, Ids, OsRandom};
use storage::layers::delay::Delay;
use storage::layers::requests::{LoggedCatalog, LoggedDoorbell, LoggedStore, RequestLog};
use storage::local::InProcessDoorbell;
use storage::{CasCatalog, Catalog, IndexPath, MemoryStore, ObjectStore};
use tokio::time::Instant;

/// 2026-01-01, when tests begin.
const START_MS: u64 = 1_767_225_600_000;

/// What each request takes. A message is taken to be as fast as an item.
pub const CATALOG: Duration = Duration::from_millis(5);
pub const OBJECTS: Duration = Duration::from_millis(30);
pub const QUEUE: Duration = Duration::from_millis(5);

/// The runtime's own time, which a paused runtime moves forward when everybody waits.
#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        START_MS + self.0.elapsed().as_millis() as u64
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The index that is there.
pub fn path() -> IndexPath {
    IndexPath {
        bucket: "books".parse().unwrap(),
        index: "all".parse().unwrap(),
    }
}

/// Where a database is.
#[async_trait]
pub trait Place: Send + Sync {
    /// Connections of a new process; whatever is sent over them is logged.
    async fn connect(&self, ids: &Ids, log: &RequestLog) -> (Arc<dyn ObjectStore>, Arc<dyn Catalog>);

    /// What a message takes.
    fn queue(&self) -> Duration;

    /// Its time.
    fn clock(&self) -> Arc<dyn Clock>;
}

/// A database in memory.
pub struct InMemory {
    store: MemoryStore,
    clock: Arc<VirtualClock>,
}

impl InMemory {
    pub fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            clock: Arc::new(VirtualClock(Instant::now())),
        }
    }
}

#[async_trait]
impl Place for InMemory {
    async fn connect(&self, ids: &Ids, log: &RequestLog) -> (Arc<dyn ObjectStore>, Arc<dyn Catalog>) {
        let store: Arc<dyn ObjectStore> = Arc::new(self.store.clone());
        let documents = CasCatalog::open(Arc::clone(&store), ids.clone()).await.unwrap();
        (
            Arc::new(LoggedStore::new(Arc::new(Delay::new(store, OBJECTS)), log.clone())),
            Arc::new(LoggedCatalog::new(Arc::new(documents), log.clone(), CATALOG)),
        )
    }

    fn queue(&self) -> Duration {
        QUEUE
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }
}

/// A database and the log of what its processes send.
pub struct Stage {
    place: Box<dyn Place>,
    pub log: RequestLog,
    pool: Arc<Pool>,
}

impl Stage {
    pub fn new(place: Box<dyn Place>) -> Self {
        Self {
            place,
            log: RequestLog::new(),
            pool: Arc::new(Pool::in_place().unwrap()),
        }
    }

    /// A process that has seen nothing yet.
    pub async fn process(&self, config: Config) -> Service {
        let ids = Ids::new(self.place.clock(), Arc::new(OsRandom::new()));
        let (objects, catalog) = self.place.connect(&ids, &self.log).await;
        let bell = Arc::new(InProcessDoorbell::new().0);
        let ports = Ports {
            objects,
            catalog,
            doorbell: Arc::new(LoggedDoorbell::new(bell, self.log.clone(), self.place.queue())),
        };
        Service::new(Context::new(ports, ids, Arc::clone(&self.pool), config))
    }

    /// Forgets what was sent so far.
    pub fn forget(&self) {
        self.log.take();
    }
}
