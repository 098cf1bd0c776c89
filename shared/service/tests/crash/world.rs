//! A database in memory whose processes die at a given storage call, and whatever has to survive them.

use std::future::pending;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::pool::Pool;
use genai_vectors_service::{Config, Context, Ports, Service};
use model::{Clock, Ids, ManualClock, SeededRandom};
use storage::cas::CasConfig;
use storage::layers::faults::{FaultCatalog, FaultPlan, FaultStore};
use storage::local::InProcessDoorbell;
use storage::{CasCatalog, Catalog, ETag, MemoryStore, ObjectMeta, ObjectName, ObjectStore, StoreError};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::inspect::documents;
use super::mortal::MortalCatalog;
use super::remote::{Remote, image};

/// 2026-01-01, when tests begin.
const START_MS: u64 = 1_767_225_600_000;

/// The process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Died;

/// Holds a process at its next swap of a document, before the effect, for as long as others need.
#[derive(Debug, Default)]
pub struct Gate {
    is_closed: AtomicBool,
    reached: Notify,
    opened: Notify,
}

impl Gate {
    /// The next swap waits.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Until somebody waits.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// On with the one who waits.
    pub fn open(&self) {
        self.opened.notify_one();
    }

    async fn pass(&self) {
        if self.is_closed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.opened.notified().await;
        }
    }
}

/// A process's way to the store: no call of a dead process ever returns.
#[derive(Debug)]
pub struct Mortal {
    store: FaultStore,
    death: Arc<Notify>,
    gate: Arc<Gate>,
}

impl Mortal {
    /// The way to this store through that gate.
    pub fn new(store: FaultStore, gate: &Arc<Gate>) -> Self {
        Self {
            store,
            death: Arc::default(),
            gate: Arc::clone(gate),
        }
    }

    async fn live<T>(&self, call: impl Future<Output = T> + Send) -> T {
        let answer = call.await;
        if !self.store.plan().is_dead() {
            return answer;
        }
        self.death.notify_one();
        pending().await
    }
}

#[async_trait]
impl ObjectStore for Mortal {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.live(self.store.put(name, bytes)).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.live(self.store.get(name)).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.live(self.store.get_range(name, range)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.live(self.store.list(prefix, after, limit)).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.live(self.store.delete(names)).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.live(self.store.read_tagged(name)).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.live(self.store.create(name, bytes)).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.gate.pass().await;
        self.live(self.store.replace(name, bytes, expected)).await
    }
}

/// What outlives processes: the store, the requests on their way to it, the time.
#[derive(Debug)]
pub struct World {
    pub store: MemoryStore,
    /// Real servers in place of the memory.
    remote: Option<Remote>,
    pub faults: FaultStore,
    pub clock: Arc<ManualClock>,
    config: Config,
    pool: Arc<Pool>,
    /// Processes so far: each draws other random numbers.
    lives: u64,
}

/// A world as it was at one moment.
#[derive(Debug)]
pub struct Image {
    store: MemoryStore,
    now_ms: u64,
    lives: u64,
}

impl World {
    /// An empty database.
    pub fn new(config: &Config, pool: &Arc<Pool>) -> Self {
        let image = Image {
            store: MemoryStore::new(),
            now_ms: START_MS,
            lives: 0,
        };
        Self::restored(&image, config, pool)
    }

    /// A copy of the world at that moment, without faults and with nothing on its way.
    pub fn restored(image: &Image, config: &Config, pool: &Arc<Pool>) -> Self {
        let store = image.store.snapshot();
        Self {
            faults: FaultStore::new(Arc::new(store.clone()), FaultPlan::new()),
            store,
            remote: None,
            clock: Arc::new(ManualClock::new(image.now_ms)),
            config: config.clone(),
            pool: Arc::clone(pool),
            lives: image.lives,
        }
    }

    /// An empty database on real servers.
    pub fn on(remote: Remote, config: &Config, pool: &Arc<Pool>) -> Self {
        Self {
            remote: Some(remote),
            ..Self::new(config, pool)
        }
    }

    /// A copy of what the store holds, and the catalog of it.
    pub async fn photograph(&self) -> Result<(MemoryStore, Arc<dyn Catalog>), String> {
        let Some(remote) = &self.remote else {
            let store = self.store.snapshot();
            let catalog = documents(&store).await?;
            return Ok((store, Arc::new(catalog)));
        };
        let place = remote.connect().await;
        let store = image(&place.objects).await;
        let catalog: Arc<dyn Catalog> = match place.table {
            Some(table) => {
                let verified = table.verify_read_only(&store).await;
                verified.map_err(|error| error.to_string())?;
                Arc::new(table)
            }
            None => Arc::new(documents(&store).await?),
        };
        Ok((store, catalog))
    }

    /// A process opens a copy of the store and looks.
    pub async fn reopen(&self, ids: Ids) -> Result<Service, String> {
        let (pool, config) = self.equipment();
        let (store, catalog) = self.photograph().await?;
        let is_elsewhere = self.remote.as_ref().is_some_and(|remote| remote.table.is_some());
        Ok(if is_elsewhere {
            serve(Arc::new(store), catalog, ids, pool, config)
        } else {
            open(Arc::new(store), ids, pool, config).await
        })
    }

    /// This moment.
    pub fn image(&self) -> Image {
        Image {
            store: self.store.snapshot(),
            now_ms: self.clock.now_ms(),
            lives: self.lives,
        }
    }

    /// What a process of this world runs with.
    pub fn equipment(&self) -> (Arc<Pool>, Config) {
        (Arc::clone(&self.pool), self.config.clone())
    }

    /// What goes wrong.
    pub fn plan(&self) -> &FaultPlan {
        self.faults.plan()
    }

    /// The last process is gone, and the store answers again.
    pub fn revive(&self) {
        self.plan().revive();
    }

    /// A process opens the store.
    pub fn boot(&mut self) -> Result<Process, Died> {
        self.lives += 1;
        let runtime = runtime();
        // Far apart: the generator steps from one seed to the next by addition.
        let seed = self.lives.wrapping_mul(0x0123_4567_89AB_CDEF);
        let ids = Ids::new(Arc::clone(&self.clock) as _, Arc::new(SeededRandom::new(seed)));
        let mut table = None;
        if let Some(remote) = &self.remote {
            // Connections of their own: those of a dead process died with it.
            let place = runtime.block_on(remote.connect());
            self.faults = FaultStore::new(Arc::new(place.objects), self.plan().clone());
            table = place.table;
        }
        let mortal = Mortal::new(self.faults.clone(), &Arc::default());
        let death = Arc::clone(&mortal.death);
        let (pool, config) = self.equipment();
        let plan = self.plan().clone();
        let opened = async {
            let Some(table) = table else {
                return open(Arc::new(mortal), ids, pool, config).await;
            };
            let objects: Arc<dyn ObjectStore> = Arc::new(mortal);
            table.verify(objects.as_ref(), true).await.unwrap();
            let catalog = MortalCatalog::new(FaultCatalog::new(Arc::new(table), plan.clone()), plan, &death);
            serve(objects, Arc::new(catalog), ids, pool, config)
        };
        let service = runtime.block_on(until(&death, opened))?;
        Ok(Process {
            runtime,
            service,
            clock: Arc::clone(&self.clock),
            death,
            number: self.lives,
        })
    }
}

/// A process. Dropping it ends everything it was doing.
#[derive(Debug)]
pub struct Process {
    runtime: Runtime,
    pub service: Service,
    pub clock: Arc<ManualClock>,
    death: Arc<Notify>,
    pub number: u64,
}

impl Process {
    /// What comes of this, unless the process dies over it.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Died> {
        self.runtime.block_on(until(&self.death, work))
    }
}

async fn until<T>(death: &Notify, work: impl Future<Output = T>) -> Result<T, Died> {
    tokio::select! {
        biased;
        answer = work => Ok(answer),
        () = death.notified() => Err(Died),
    }
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A service over this store, with nothing in memory.
pub async fn open(objects: Arc<dyn ObjectStore>, ids: Ids, pool: Arc<Pool>, config: Config) -> Service {
    let patience = CasConfig {
        pause: Duration::from_micros(1),
        longest_pause: Duration::from_micros(10),
        ..CasConfig::default()
    };
    let opened = CasCatalog::open_with(Arc::clone(&objects), ids.clone(), patience.clone()).await;
    let catalog = match opened {
        Ok(catalog) => catalog,
        // One call failed, and the operator starts the server again.
        Err(first) => CasCatalog::open_with(Arc::clone(&objects), ids.clone(), patience)
            .await
            .unwrap_or_else(|second| panic!("{first}; then {second}")),
    };
    serve(objects, Arc::new(catalog), ids, pool, config)
}

/// A service over this store and that catalog, with nothing in memory.
pub fn serve(
    objects: Arc<dyn ObjectStore>,
    catalog: Arc<dyn Catalog>,
    ids: Ids,
    pool: Arc<Pool>,
    config: Config,
) -> Service {
    let (doorbell, _rings) = InProcessDoorbell::new();
    let ports = Ports {
        objects,
        catalog,
        doorbell: Arc::new(doorbell),
    };
    Service::new(Context::new(ports, ids, pool, config))
}
