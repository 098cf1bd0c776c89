//! Every number that may be tuned. Process configuration, never stored in an index's record.

use std::time::Duration;

use model::{Strictness, arn::Region};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The service's configuration; `Config::default()` is what local mode runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The partition, region and account that ARNs of this deployment carry.
    pub region: Region,
    /// Whether AWS's stricter readings apply (API specification, decision 13).
    pub strictness: Strictness,
    /// Bounds of the write path.
    pub write: WriteConfig,
    /// When and how much of the tail is folded.
    pub fold: FoldConfig,
    /// When shards are merged.
    pub compaction: engine::compaction_policy::PolicyConfig,
    /// Shards are merged further once nothing has been folded for this long.
    pub settle: Duration,
    /// How shards with an index are built.
    pub ivf: engine::IvfConfig,
    /// How they are searched.
    pub search: engine::SearchTuning,
    /// Share of queries, 0 to 1, that are run again exactly in the background to measure recall. For resident
    /// processes only: a function is frozen once it has answered.
    pub recall_sample: f64,
    /// When unreachable objects are deleted.
    pub collection: CollectionConfig,
    /// Memory bounds of the caches of immutable things.
    pub cache: CacheConfig,
    /// Which files of shards are read by ranges, and how.
    pub ranged: RangedConfig,
    /// Byte bounds of answers.
    pub answer: AnswerConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: Region {
                partition: "aws".to_owned(),
                region: "us-east-1".to_owned(),
                account: "123456789012".to_owned(),
            },
            strictness: Strictness::Lenient,
            write: WriteConfig::default(),
            fold: FoldConfig::default(),
            compaction: engine::compaction_policy::PolicyConfig::default(),
            settle: Duration::from_secs(10),
            ivf: engine::IvfConfig::default(),
            search: engine::SearchTuning::default(),
            recall_sample: 0.0,
            collection: CollectionConfig::default(),
            cache: CacheConfig::default(),
            ranged: RangedConfig::default(),
            answer: AnswerConfig::default(),
        }
    }
}

/// Bounds of the write path.
#[derive(Debug, Clone)]
pub struct WriteConfig {
    /// Rows that one WAL object may hold when writes are grouped.
    pub group_rows: usize,
    /// Bytes that one WAL object may hold when writes are grouped; a single request may be larger.
    pub group_bytes: usize,
    /// Requests that may wait for one index's next group; beyond: 503.
    pub queue_requests: usize,
    /// First pause between attempts at a contended commit; doubles, jittered.
    pub retry_pause: Duration,
}

impl Default for WriteConfig {
    fn default() -> Self {
        Self {
            group_rows: 16_384,
            group_bytes: 16 * MIB,
            queue_requests: 1_024,
            retry_pause: Duration::from_millis(5),
        }
    }
}

/// When and how much of the tail is folded into a flat shard.
#[derive(Debug, Clone)]
pub struct FoldConfig {
    /// A fold is due when the tail has this many entries ...
    pub due_entries: usize,
    /// ... or this many KiB ...
    pub due_kib: u64,
    /// ... or has been dirty for this long.
    pub due_age: Duration,
    /// Entries that one fold takes at most (DESIGN: k <= 256).
    pub max_entries: usize,
    /// Rows that one fold takes at most.
    pub max_rows: u64,
    /// KiB of WAL that one fold takes at most.
    pub max_kib: u64,
    /// No other process can index the same store (a locked directory): leases are neither taken nor respected, so
    /// that a server restarted after `kill -9` does not wait for the lease of the dead one.
    pub sole_indexer: bool,
    /// How long a lease on an index's indexing lasts.
    pub lease: Duration,
    /// Wait after an attempt that failed for a reason that passes (a busy pool, a full disk); after one that the
    /// index's own data made fail it doubles each time, up to `retry_max`.
    pub retry_first: Duration,
    /// Longest wait between failed attempts.
    pub retry_max: Duration,
    /// How often the sweep looks for dirty indexes whose message was lost.
    pub sweep_interval: Duration,
}

impl Default for FoldConfig {
    fn default() -> Self {
        Self {
            due_entries: 64,
            due_kib: 16 * 1024,
            due_age: Duration::from_secs(5),
            max_entries: 256,
            max_rows: 200_000,
            max_kib: 128 * 1024,
            sole_indexer: false,
            lease: Duration::from_secs(60),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            sweep_interval: Duration::from_secs(30),
        }
    }
}

/// When unreachable objects are deleted. Ages only decide when, never whether it is safe.
#[derive(Debug, Clone)]
pub struct CollectionConfig {
    /// How far behind the clock the floor is raised; a writer slower than this must start over.
    pub floor_age: Duration,
    /// How long a found object waits on its list before a later run deletes it.
    pub list_age: Duration,
    /// How young an object of a deleted index may be for the purge to be repeated.
    pub purge_age: Duration,
    /// How often the collector visits every index.
    pub interval: Duration,
}

impl Default for CollectionConfig {
    fn default() -> Self {
        Self {
            floor_age: Duration::from_secs(24 * 3600),
            list_age: Duration::from_secs(3600),
            purge_age: Duration::from_secs(48 * 3600),
            interval: Duration::from_secs(3600),
        }
    }
}

/// Memory bounds of the caches, in bytes. Shards of the directory adapter are memory maps: they count as
/// address space here, not as resident memory.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// Decoded WAL objects.
    pub wal_bytes: usize,
    /// Manifests and deletion vectors.
    pub manifest_bytes: usize,
    /// Opened shards.
    pub shard_bytes: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            wal_bytes: 256 * MIB,
            manifest_bytes: 64 * MIB,
            shard_bytes: 8 * 1024 * MIB,
        }
    }
}

/// Which `rows.parquet` files are read by ranges, and how: only of shards with an index, and only where reading the
/// whole file would transfer it.
#[derive(Debug, Clone)]
pub struct RangedConfig {
    /// Files from this length.
    pub from_bytes: u64,
    /// Ranges that lie no farther apart are read as one.
    pub gap_bytes: u64,
    /// Ranges that the process reads at a time.
    pub reads: usize,
    /// What one more read costs, in bytes that could be read instead: beside 63 others it takes 30 ms, in which a store
    /// brings 3 MB. Where bytes and reads cost more than the whole file, that is fetched.
    pub read_cost_bytes: u64,
    /// What a request may read by ranges of one file at a time; for more the whole file is fetched.
    pub most_bytes: u64,
    /// What all requests together may hold of ranges that have been read and not been checked; others wait. One read
    /// that is larger goes alone.
    pub memory_bytes: u64,
    /// After the first ranges, the whole file is fetched in the background where it is kept on a disk; without this, by
    /// the request that has made ranges cost as much. For resident processes only: a function is frozen once it has
    /// answered.
    pub read_ahead: bool,
}

impl Default for RangedConfig {
    fn default() -> Self {
        Self {
            from_bytes: 8 * MIB as u64,
            gap_bytes: 64 * KIB as u64,
            reads: 64,
            read_cost_bytes: 48 * KIB as u64,
            most_bytes: 64 * MIB as u64,
            memory_bytes: 256 * MIB as u64,
            read_ahead: true,
        }
    }
}

impl RangedConfig {
    /// So many bytes in permits of the memory for ranges, a KiB each; never more than there are.
    pub(crate) fn permits(&self, bytes: u64) -> u32 {
        let permits = bytes.min(self.memory_bytes) / KIB as u64;
        u32::try_from(permits).unwrap_or(u32::MAX).clamp(1, MOST_PERMITS)
    }
}

/// What a semaphore of tokio can hold on every machine.
const MOST_PERMITS: u32 = u32::MAX >> 3;

/// Byte bounds of answers (API specification, decision 14).
#[derive(Debug, Clone)]
pub struct AnswerConfig {
    /// A page of QueryVectors ends here.
    pub query_bytes: usize,
    /// A page of ListVectors ends here.
    pub list_bytes: usize,
    /// GetVectors refuses beyond this.
    pub get_bytes: usize,
    /// Answers travel as strings inside JSON: each quote and each backslash counts twice.
    pub quoted: bool,
}

impl AnswerConfig {
    /// A bound in bytes, as it is measured.
    pub(crate) fn bound(&self, bytes: usize) -> Bound {
        Bound {
            bytes,
            quoted: self.quoted,
        }
    }
}

/// Where an answer ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub bytes: usize,
    pub quoted: bool,
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            query_bytes: 5_000_000,
            list_bytes: 1_000_000,
            get_bytes: 6_000_000,
            quoted: false,
        }
    }
}
