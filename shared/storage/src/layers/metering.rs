//! Counts calls and bytes, per method of the object port: what a request costs, and what it would cost on AWS.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;
use crate::objects::{ETag, ObjectMeta, ObjectStore, Reach};
use crate::paths::ObjectName;

const METHODS: [&str; 8] = [
    "put",
    "get",
    "get_range",
    "list",
    "delete",
    "read_tagged",
    "create",
    "replace",
];

/// What one method has been used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Calls that failed, refused conditions included.
    pub errors: u64,
    /// Bytes sent to the store.
    pub bytes_in: u64,
    /// Bytes received from the store.
    pub bytes_out: u64,
}

#[derive(Debug, Default)]
struct Counters {
    calls: AtomicU64,
    errors: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// The counters; clones are the same counters.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    counters: Arc<[Counters; METHODS.len()]>,
}

impl Meter {
    /// Counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// What each method has been used for.
    pub fn usage(&self) -> BTreeMap<&'static str, Usage> {
        METHODS
            .into_iter()
            .zip(self.counters.iter())
            .map(|(method, counters)| (method, counters.read()))
            .collect()
    }

    /// All methods together.
    pub fn total(&self) -> Usage {
        self.usage().values().fold(Usage::default(), |sum, usage| Usage {
            calls: sum.calls + usage.calls,
            errors: sum.errors + usage.errors,
            bytes_in: sum.bytes_in + usage.bytes_in,
            bytes_out: sum.bytes_out + usage.bytes_out,
        })
    }

    fn add(&self, method: &str, is_error: bool, bytes_in: usize, bytes_out: usize) {
        let found = METHODS
            .iter()
            .zip(self.counters.iter())
            .find(|(name, _)| **name == method);
        let Some((_, counters)) = found else {
            return;
        };
        counters.calls.fetch_add(1, Ordering::Relaxed);
        counters.errors.fetch_add(u64::from(is_error), Ordering::Relaxed);
        counters.bytes_in.fetch_add(bytes_in as u64, Ordering::Relaxed);
        counters.bytes_out.fetch_add(bytes_out as u64, Ordering::Relaxed);
    }
}

impl Counters {
    fn read(&self) -> Usage {
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

/// Passes calls on to another store and counts them.
#[derive(Debug, Clone)]
pub struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    meter: Meter,
}

impl MeteredStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn ObjectStore>, meter: Meter) -> Self {
        Self { inner, meter }
    }

    /// The counters.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    fn note<T>(
        &self,
        method: &str,
        bytes_in: usize,
        answer: Result<T, StoreError>,
        bytes_out: impl FnOnce(&T) -> usize,
    ) -> Result<T, StoreError> {
        self.meter
            .add(method, answer.is_err(), bytes_in, answer.as_ref().map_or(0, bytes_out));
        answer
    }
}

#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        let size = bytes.len();
        self.note("put", size, self.inner.put(name, bytes).await, |()| 0)
    }

    async fn put_from_reserve(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        let size = bytes.len();
        self.note("put", size, self.inner.put_from_reserve(name, bytes).await, |()| 0)
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.note("get", 0, self.inner.get(name).await, Bytes::len)
    }

    fn reach(&self, name: &ObjectName, size: u64) -> Reach {
        self.inner.reach(name, size)
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.note("get_range", 0, self.inner.get_range(name, range).await, Bytes::len)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.note("list", 0, self.inner.list(prefix, after, limit).await, |_| 0)
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.note("delete", 0, self.inner.delete(names).await, |()| 0)
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.note("read_tagged", 0, self.inner.read_tagged(name).await, |(bytes, _)| {
            bytes.len()
        })
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        let size = bytes.len();
        self.note("create", size, self.inner.create(name, bytes).await, |_| 0)
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        let size = bytes.len();
        self.note("replace", size, self.inner.replace(name, bytes, expected).await, |_| 0)
    }

    async fn invalidate(&self, names: &[ObjectName]) -> bool {
        self.inner.invalidate(names).await
    }
}
