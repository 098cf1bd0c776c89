//! A bounded cache of immutable objects as files of a local directory: what a query function keeps in `/tmp`, and a
//! local server in front of a store behind a network.
//!
//! * Nothing that goes wrong with the directory is an error of a request: whatever cannot be read or kept is answered
//!   by the store below, counted, and logged at the 1st, 2nd, 4th, 8th ... time.
//! * A file carries a checksum (`form`). It is verified when this process first opens the file, and again whenever the
//!   file is another one than was verified (inode, length, time of writing). One that is torn, flipped or foreign is
//!   removed and fetched again. What a caller's own checksum finds later, [`ObjectStore::invalidate`] heals.
//! * The files take no more than the limit, those being written included; several processes that share a directory
//!   see each other's files with a delay, and may exceed it by a sixteenth each. Files used longest ago go first. One
//!   that is mapped when it goes lives on for its readers, and gives its space back when the last of them is done.
//! * Tasks that ask for the same object at the same time cause one load, which outlives those who asked.
//! * An object that somebody deleted may be answered while its file lasts. Names are never used again (S1) and only
//!   what no record reaches is deleted (I4), so nobody asks for it.
//!
//! | module | what it holds |
//! |---|---|
//! | `keeper` | finding, keeping, letting go: the index and the directory together |
//! | `index` | which files there are, their space, their order of use |
//! | `files` | the calls on the directory, blocking |
//! | `form` | a file's name, its footer, its verification |
//! | `flights` | one load per object at a time |
//! | `meter` | the counters |

mod files;
mod flights;
mod form;
mod index;
mod keeper;
mod meter;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::error::StoreError;
use crate::memory;
use crate::objects::{ETag, ObjectMeta, ObjectStore, Reach};
use crate::paths::{self, ObjectKind, ObjectName};
use files::Files;
use flights::{Flights, Unwanted};
use form::FileName;
use keeper::{Keeper, Known, Target};
pub use meter::DiskCacheUsage;

/// Reads of verified files at a time.
const PARALLEL_READS: usize = 64;
/// Files verified or written at a time: that takes CPU or waits for the disk.
const PARALLEL_LOADS: usize = 8;

/// What a cache keeps, and where.
#[derive(Debug, Clone)]
pub struct DiskCacheConfig {
    /// The directory; created when missing. Files that are not the cache's own are left alone.
    pub directory: PathBuf,
    /// Space that the cache's files may take, in bytes; larger objects are not kept.
    pub limit_bytes: u64,
    /// Which objects are kept: only such as never change (S1).
    pub keeps: fn(&ObjectName) -> bool,
}

impl DiskCacheConfig {
    /// A cache of [`shard_objects`].
    pub fn new(directory: impl Into<PathBuf>, limit_bytes: u64) -> Self {
        Self {
            directory: directory.into(),
            limit_bytes,
            keeps: shard_objects,
        }
    }
}

/// What a search reads again and again: files of shards, training generations, deletion vectors. WAL objects and
/// manifests are small, and soon obsolete.
pub fn shard_objects(name: &ObjectName) -> bool {
    matches!(
        paths::parse(name),
        Some(ObjectKind::Shard(..) | ObjectKind::Train(_) | ObjectKind::Dead(..))
    )
}

/// Answers from a directory what it can, and from another store the rest. Clones are the same cache.
#[derive(Debug, Clone)]
pub struct DiskCache {
    inner: Arc<dyn ObjectStore>,
    keeps: fn(&ObjectName) -> bool,
    keeper: Arc<Keeper>,
    flights: Flights,
    reads: Arc<Semaphore>,
    loads: Arc<Semaphore>,
}

impl DiskCache {
    /// Wraps a store. A directory that cannot be used is reported, and tried again with every object.
    pub fn open(inner: Arc<dyn ObjectStore>, config: DiskCacheConfig) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let DiskCacheConfig {
                directory,
                limit_bytes,
                keeps,
            } = config;
            let cache = Self {
                inner,
                keeps,
                keeper: Arc::new(Keeper::new(Files::new(directory), limit_bytes)),
                flights: Flights::default(),
                reads: Arc::new(Semaphore::new(PARALLEL_READS)),
                loads: Arc::new(Semaphore::new(PARALLEL_LOADS)),
            };
            cache.blocking(&cache.loads, Keeper::begin).await;
            cache
        })
    }

    /// What the cache has been good for, and what it holds.
    pub fn usage(&self) -> DiskCacheUsage {
        self.keeper.usage()
    }

    fn target(&self, name: &ObjectName) -> Option<Target> {
        if !(self.keeps)(name) {
            return None;
        }
        let file = FileName::of(name)?;
        let name = name.clone();
        Some(Target { name, file })
    }

    /// Runs file calls on a blocking thread; `None` when that failed.
    async fn blocking<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        work: impl FnOnce(&Keeper) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(turns).acquire_owned().await.ok()?;
        let keeper = Arc::clone(&self.keeper);
        let joined = tokio::task::spawn_blocking(move || {
            let answer = work(&keeper);
            drop(turn);
            answer
        });
        joined.await.ok()
    }

    /// The object, once for all who ask for it at the same time.
    async fn load_once(&self, target: Target) -> Result<Bytes, StoreError> {
        let file = target.file.clone();
        let load = |unwanted| self.clone().load(target, unwanted);
        let (answer, joined) = self.flights.join(&file, load).await;
        if joined {
            self.keeper.meter.joined();
        }
        answer.map_err(|error| error.share())
    }

    async fn load(self, target: Target, unwanted: Unwanted) -> flights::Answer {
        let wanted = target.clone();
        let found = self.blocking(&self.loads, move |keeper| keeper.find(&wanted)).await;
        if let Some(Some(bytes)) = found {
            self.keeper.meter.hit(bytes.len());
            return Ok(bytes);
        }
        let bytes = self.counted(self.inner.get(&target.name).await)?;
        let fetched = bytes.clone();
        let keep = move |keeper: &Keeper| keeper.keep(&target, fetched, &unwanted);
        let kept = self.blocking(&self.loads, keep).await;
        Ok(kept.unwrap_or(bytes))
    }

    fn counted(&self, answer: Result<Bytes, StoreError>) -> Result<Bytes, StoreError> {
        self.keeper.meter.miss(answer.as_ref().map_or(0, Bytes::len));
        answer
    }

    /// Ends what is being loaded of these objects, and what is kept of them as `remove` does. How many were kept.
    async fn let_go(&self, names: &[ObjectName], remove: fn(&Keeper, &Target) -> bool) -> usize {
        let targets: Vec<Target> = names.iter().filter_map(|name| self.target(name)).collect();
        if targets.is_empty() {
            return 0;
        }
        for target in &targets {
            self.flights.detach(&target.file);
        }
        let remove_all = move |keeper: &Keeper| {
            let removed = targets.iter().filter(|target| remove(keeper, target));
            removed.count()
        };
        self.blocking(&self.reads, remove_all).await.unwrap_or(0)
    }
}

#[async_trait]
impl ObjectStore for DiskCache {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.put(name, bytes).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        let Some(target) = self.target(name) else {
            return self.inner.get(name).await;
        };
        if self.keeper.touch(&target.file) == Known::Verified {
            let wanted = target.clone();
            let found = self.blocking(&self.reads, move |keeper| keeper.find(&wanted)).await;
            if let Some(Some(bytes)) = found {
                self.keeper.meter.hit(bytes.len());
                return Ok(bytes);
            }
        }
        self.load_once(target).await
    }

    /// A file that the index does not know may be there all the same: then a `get` finds it.
    fn reach(&self, name: &ObjectName, size: u64) -> Reach {
        let below = self.inner.reach(name, size);
        let Some(target) = self.target(name).filter(|_| below != Reach::AtHand) else {
            return below;
        };
        match self.keeper.touch(&target.file) {
            Known::Present | Known::Verified => Reach::AtHand,
            Known::Unknown if self.keeper.has_room_for(size) => Reach::Kept,
            Known::Unknown => below,
        }
    }

    /// From the file when it is there; otherwise only the range is fetched, and nothing kept.
    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let Some(target) = self.target(name) else {
            return self.inner.get_range(name, range).await;
        };
        match self.keeper.touch(&target.file) {
            Known::Unknown => {}
            Known::Present => {
                // Verified whole, once.
                let whole = self.load_once(target).await?;
                return memory::slice(name, &whole, range);
            }
            Known::Verified => {
                let wanted = range.clone();
                let find = move |keeper: &Keeper| keeper.find_part(&target, &wanted);
                if let Some(Some(part)) = self.blocking(&self.reads, find).await {
                    let leaves = || StoreError::corrupt(name, format!("it does not have the bytes {range:?}"));
                    let part = part.ok_or_else(leaves)?;
                    self.keeper.meter.hit(part.len());
                    return Ok(part);
                }
            }
        }
        self.counted(self.inner.get_range(name, range).await)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(prefix, after, limit).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        let deleted = self.inner.delete(names).await;
        // Whatever became of the request: a file too few is only fetched again.
        self.let_go(names, Keeper::let_go).await;
        deleted
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.inner.read_tagged(name).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.inner.create(name, bytes).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.inner.replace(name, bytes, expected).await
    }

    async fn invalidate(&self, names: &[ObjectName]) -> bool {
        let remove = |keeper: &Keeper, target: &Target| keeper.drop_corrupt(target, "a reader found it damaged");
        let kept_here = self.let_go(names, remove).await;
        let kept_below = self.inner.invalidate(names).await;
        kept_here > 0 || kept_below
    }
}

#[cfg(test)]
mod tests;
