//! What every operation shares: ports, clock and ids, CPU pool, configuration, caches.

use std::sync::Arc;

use engine::pool::Pool;
use model::Ids;
use storage::{Catalog, Doorbell, ObjectStore};
use tokio::sync::Semaphore;

use crate::access::AccessMemory;
use crate::config::Config;
use crate::indexing::purge::DeletedIndexes;
use crate::metrics::ServiceMetrics;
use crate::query::ReadCaches;
use crate::write::WriteGroups;

/// The three ports.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Immutable objects.
    pub objects: Arc<dyn ObjectStore>,
    /// The mutable records.
    pub catalog: Arc<dyn Catalog>,
    /// Wakes the indexer.
    pub doorbell: Arc<dyn Doorbell>,
}

/// Shared by all requests and by the indexer of one process.
#[derive(Debug)]
pub struct Context {
    /// The three ports.
    pub ports: Ports,
    /// Clock, ids and randomness.
    pub ids: Ids,
    /// The bounded CPU pool.
    pub pool: Arc<Pool>,
    /// Every tunable number.
    pub config: Config,
    /// Counters that the functions export.
    pub metrics: Arc<ServiceMetrics>,
    /// Caches of immutable things: never stale, bounded by `config.cache`.
    pub(crate) reads: ReadCaches,
    /// One live measurement of recall at a time.
    pub(crate) recall_permit: Semaphore,
    /// One merge at a time, for its memory.
    pub(crate) merging: Arc<Semaphore>,
    /// Indexes that this process deleted: the indexer purges them soon.
    pub(crate) deleted: DeletedIndexes,
    /// What was seen of buckets' policies.
    pub(crate) access: AccessMemory,
    /// The per-index groups of concurrent writes.
    pub(crate) writes: WriteGroups,
}

impl Context {
    /// A context over these ports with empty caches.
    #[must_use]
    pub fn new(ports: Ports, ids: Ids, pool: Arc<Pool>, config: Config) -> Self {
        let reads = ReadCaches::new(&config.cache, &config.ranged);
        let writes = WriteGroups::new(&config.write);
        Self {
            ports,
            ids,
            pool,
            config,
            metrics: Arc::new(ServiceMetrics::default()),
            reads,
            recall_permit: Semaphore::new(1),
            merging: Arc::new(Semaphore::new(1)),
            deleted: DeletedIndexes::default(),
            access: AccessMemory::default(),
            writes,
        }
    }

    /// Milliseconds since the epoch on the context's clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.ids.now_ms()
    }
}
