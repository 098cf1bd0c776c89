//! Objects whose deletion can be taken back, as in a bucket with versioning.

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use storage::{ETag, MemoryStore, ObjectMeta, ObjectName, ObjectStore, StoreError};

/// A store that keeps what is deleted. No name is used twice (S1), so one version of each is all there is.
#[derive(Debug, Clone)]
pub struct Versions {
    pub current: MemoryStore,
    deleted: MemoryStore,
}

impl Versions {
    pub fn new() -> Self {
        Self {
            current: MemoryStore::with_yields(),
            deleted: MemoryStore::new(),
        }
    }

    /// What was deleted so far.
    pub fn deleted(&self) -> BTreeSet<ObjectName> {
        self.deleted.names().into_iter().collect()
    }

    /// All that is there now, and what was deleted but for these: every deletion since then is taken back.
    pub async fn undeleted_since(&self, before: &BTreeSet<ObjectName>) -> MemoryStore {
        let restored = self.current.snapshot();
        for name in self.deleted().difference(before) {
            let bytes = self.deleted.get(name).await.unwrap();
            restored.put(name, bytes).await.unwrap();
        }
        restored
    }
}

#[async_trait]
impl ObjectStore for Versions {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.current.put(name, bytes).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.current.get(name).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.current.get_range(name, range).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.current.list(prefix, after, limit).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        for name in names {
            if let Ok(bytes) = self.current.snapshot().get(name).await {
                self.deleted.put(name, bytes).await?;
            }
        }
        self.current.delete(names).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.current.read_tagged(name).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.current.create(name, bytes).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.current.replace(name, bytes, expected).await
    }
}
