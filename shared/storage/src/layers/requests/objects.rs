//! A store whose calls are logged as requests to S3.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::log::{RequestKind, RequestLog};
use crate::error::StoreError;
use crate::objects::{ETag, ObjectMeta, ObjectStore};
use crate::paths::{self, ObjectKind, ObjectName};

/// Passes calls on to another store.
#[derive(Debug, Clone)]
pub struct LoggedStore {
    inner: Arc<dyn ObjectStore>,
    log: RequestLog,
}

impl LoggedStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn ObjectStore>, log: RequestLog) -> Self {
        Self { inner, log }
    }

    fn note(&self, kind: RequestKind, name: &ObjectName) {
        self.log.note(kind, word(name));
    }
}

/// What an object is.
fn word(name: &ObjectName) -> &'static str {
    match paths::parse(name) {
        Some(ObjectKind::Wal(_)) => "wal",
        Some(ObjectKind::Shard(..)) => "shard",
        Some(ObjectKind::Dead(..)) => "dead",
        Some(ObjectKind::Train(_)) => "train",
        Some(ObjectKind::Manifest(_)) => "manifest",
        Some(ObjectKind::Collection(_)) => "gc",
        None => "document",
    }
}

#[async_trait]
impl ObjectStore for LoggedStore {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.note(RequestKind::PutObject, name);
        self.inner.put(name, bytes).await
    }

    async fn put_from_reserve(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.note(RequestKind::PutObject, name);
        self.inner.put_from_reserve(name, bytes).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.note(RequestKind::GetObject, name);
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.note(RequestKind::GetObject, name);
        self.inner.get_range(name, range).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.log.note(RequestKind::ListObjects, "");
        self.inner.list(prefix, after, limit).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        if !names.is_empty() {
            self.log.note(RequestKind::DeleteObjects, "");
        }
        self.inner.delete(names).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.note(RequestKind::GetObject, name);
        self.inner.read_tagged(name).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.note(RequestKind::PutObject, name);
        self.inner.create(name, bytes).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.note(RequestKind::PutObject, name);
        self.inner.replace(name, bytes, expected).await
    }

    async fn invalidate(&self, names: &[ObjectName]) -> bool {
        self.inner.invalidate(names).await
    }
}
