//! A simulated place to run in: time that passes only when everybody waits, and a way to the store on which each call
//! takes a random time and now and then loses its answer. The same seed is the same weather.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::Clock;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage::layers::faults::{Fault, FaultPlan, FaultStore, When};
use storage::{ETag, ObjectMeta, ObjectName, ObjectStore, StoreError};
use tokio::time::{Instant, sleep};

/// 2026-01-01, when tests begin.
const START_MS: u64 = 1_767_225_600_000;
/// Of a thousand pauses, these are none ...
const SHORT: u32 = 600;
/// ... these are some milliseconds, and the rest are longer than objects stay.
const USUAL: u32 = 994;
/// One of so many calls loses its answer, and of those a third each had no effect, have it, have it later.
const CALLS_PER_FAULT: u64 = 150;
/// Calls of one process that are drawn from.
const CALLS: u64 = 200_000;

/// The runtime's own time, which a paused runtime moves forward when everybody waits.
#[derive(Debug)]
pub struct VirtualClock {
    started: Instant,
}

impl VirtualClock {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        START_MS + self.started.elapsed().as_millis() as u64
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What the weather is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Calls take their time.
    Slow,
    /// Some of them lose their answer besides.
    Stormy,
    /// A planted mistake: once the catalog is open, a document is replaced whatever version it is at.
    Lawless,
}

/// One process's way to the store.
#[derive(Debug)]
pub struct WayToStore {
    store: FaultStore,
    random: Mutex<ChaCha8Rng>,
    is_lawless: Arc<AtomicBool>,
}

impl WayToStore {
    /// A way to this store; `is_lawless` is looked at by every replace.
    pub fn new(store: Arc<dyn ObjectStore>, weather: Weather, seed: u64, is_lawless: &Arc<AtomicBool>) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plan = FaultPlan::new();
        if weather == Weather::Stormy {
            for _ in 0..CALLS / CALLS_PER_FAULT {
                let (number, later) = (random.random_range(1..CALLS), random.random_range(1..200));
                match random.random_range(0..4) {
                    0 => plan.fail_at(number, When::Before, Fault::Unknown),
                    1 => plan.fail_at(number, When::After, Fault::Unknown),
                    2 => plan.duplicate_at(number, later),
                    _ => plan.delay_at(number, later),
                }
            }
        }
        Self {
            store: FaultStore::new(store, plan),
            random: Mutex::new(random),
            is_lawless: Arc::clone(is_lawless),
        }
    }

    /// Whatever is on its way arrives, and no answer gets lost any more.
    pub async fn clear_up(&self) {
        self.store.deliver_late().await;
        self.store.plan().reset();
    }

    async fn pause(&self) {
        let milliseconds = {
            let mut random = self.random.lock().unwrap();
            match random.random_range(0..1_000) {
                short if short < SHORT => 0,
                usual if usual < USUAL => random.random_range(1..10),
                _ => random.random_range(100..3_000),
            }
        };
        if milliseconds == 0 {
            tokio::task::yield_now().await;
        } else {
            sleep(Duration::from_millis(milliseconds)).await;
        }
    }

    async fn travel<T>(&self, call: impl Future<Output = T> + Send) -> T {
        self.pause().await;
        let answer = call.await;
        self.pause().await;
        answer
    }
}

#[async_trait]
impl ObjectStore for WayToStore {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.travel(self.store.put(name, bytes)).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.travel(self.store.get(name)).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.travel(self.store.get_range(name, range)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.travel(self.store.list(prefix, after, limit)).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.travel(self.store.delete(names)).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.travel(self.store.read_tagged(name)).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.travel(self.store.create(name, bytes)).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.pause().await;
        let answer = if self.is_lawless.load(Ordering::Relaxed) {
            let (_, current) = self.store.read_tagged(name).await?;
            self.store.replace(name, bytes, &current).await
        } else {
            self.store.replace(name, bytes, expected).await
        };
        self.pause().await;
        answer
    }
}
