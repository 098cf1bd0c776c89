//! A deployment in simulated time: API processes, indexers that a queue wakes, a sweep and a collection on a schedule;
//! all of them over one store and one catalog, each with connections that fail in a way of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::pool::Pool;
use genai_vectors_service::{Config, Context, Ports, Service};
use model::{Clock, SeededRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage::layers::faults::{Fault, FaultCatalog, FaultPlan, FaultQueue, FaultStore, QueueFaults, When};
use storage::{CasCatalog, MemoryStore, ObjectStore};

use crate::crash::inspect::{Found, documents, inspect_with};
use crate::race::arena::{Pace, config, ids};
use crate::race::weather::VirtualClock;

/// What a request takes.
const CATALOG: Duration = Duration::from_millis(5);
const OBJECTS: Duration = Duration::from_millis(30);
/// Calls of one process that are drawn from.
const CALLS: u64 = 100_000;
/// One of so many calls goes wrong ...
const CALLS_PER_FAULT: u64 = 40;
/// ... and one of so many begins an outage of that many calls.
const CALLS_PER_OUTAGE: u64 = 1_500;
const OUTAGE: u64 = 25;

/// A folded entry may be collected after twice this.
pub const AGE: Duration = Duration::from_secs(40);

/// Everything that outlives a process.
pub struct Deployment {
    pub seed: u64,
    objects: MemoryStore,
    catalog: MemoryStore,
    clock: Arc<dyn Clock>,
    pool: Arc<Pool>,
    pub queue: FaultQueue,
    is_over: AtomicBool,
}

/// One process: its service, and its connections.
pub struct Process {
    pub service: Service,
    objects: FaultStore,
    catalog_plan: FaultPlan,
}

impl Process {
    pub fn context(&self) -> &Arc<Context> {
        self.service.context()
    }

    /// Whatever is on its way arrives, and nothing fails any more.
    pub async fn clear_up(&self) {
        self.objects.deliver_late().await;
        self.objects.plan().reset();
        self.catalog_plan.reset();
    }
}

impl Deployment {
    pub fn new(seed: u64, faults: QueueFaults) -> Self {
        let random = Arc::new(SeededRandom::new(seed.wrapping_mul(0x5bd1_e995_2711_0f17)));
        Self {
            seed,
            objects: MemoryStore::with_yields(),
            catalog: MemoryStore::with_yields(),
            clock: Arc::new(VirtualClock::new()),
            pool: Arc::new(Pool::in_place().unwrap()),
            queue: FaultQueue::new(random, faults),
            is_over: AtomicBool::new(false),
        }
    }

    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub fn random(&self, actor: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed * 1_000 + actor)
    }

    fn config(number: u64) -> Config {
        let pace = Pace {
            age: AGE,
            life: Duration::ZERO,
            rest: Duration::ZERO,
        };
        let mut config = config(number, pace);
        config.fold.lease = Duration::from_secs(60);
        config.fold.due_entries = 12;
        config.fold.due_age = Duration::from_secs(5);
        config.fold.retry_first = Duration::from_secs(1);
        config.fold.retry_max = Duration::from_secs(60);
        config.write.retry_pause = Duration::from_millis(5);
        config
    }

    /// A process, and what goes wrong with its requests.
    pub async fn process(&self, number: u64) -> Process {
        let ids = ids(&self.clock, self.seed, number);
        let (object_plan, catalog_plan) = (FaultPlan::new(), FaultPlan::new());
        let store: Arc<dyn ObjectStore> = Arc::new(self.catalog.clone());
        let documents = CasCatalog::open(store, ids.clone()).await.unwrap();
        let objects = FaultStore::new(Arc::new(self.objects.clone()), object_plan.clone());
        let ports = Ports {
            objects: Arc::new(objects.clone()),
            catalog: Arc::new(FaultCatalog::new(Arc::new(documents), catalog_plan.clone())),
            doorbell: Arc::new(self.queue.clone()),
        };
        let mut random = self.random(100 + number);
        disturb(&object_plan, &mut random, OBJECTS);
        disturb(&catalog_plan, &mut random, CATALOG);
        let context = Context::new(ports, ids, Arc::clone(&self.pool), Self::config(number));
        Process {
            service: Service::new(context),
            objects,
            catalog_plan,
        }
    }

    /// What is stored at this moment.
    pub async fn found(&self) -> Found {
        let catalog = documents(&self.catalog.snapshot()).await.unwrap();
        let path = crate::crash::api::path(crate::crash::api::INDEX);
        inspect_with(&catalog, &self.objects.snapshot(), &path).await.unwrap()
    }
}

/// Throttled requests, requests without an answer (with and without their effect), requests that arrive late or twice,
/// and times in which nothing works.
fn disturb(plan: &FaultPlan, random: &mut ChaCha8Rng, latency: Duration) {
    plan.set_latency(latency);
    for _ in 0..CALLS / CALLS_PER_FAULT {
        let (number, later) = (random.random_range(1..CALLS), random.random_range(1..100));
        match random.random_range(0..5) {
            0 => plan.fail_at(number, When::Before, Fault::Unknown),
            1 => plan.fail_at(number, When::After, Fault::Unknown),
            2 => plan.fail_at(number, When::Before, Fault::Throttled),
            3 => plan.duplicate_at(number, later),
            _ => plan.delay_at(number, later),
        }
    }
    for _ in 0..CALLS / CALLS_PER_OUTAGE {
        let number = random.random_range(1..CALLS);
        let fault = if random.random_range(0..2) == 0 {
            Fault::Throttled
        } else {
            Fault::Unknown
        };
        for call in number..number + OUTAGE {
            plan.fail_at(call, When::Before, fault);
        }
    }
}
