//! A fixed delay before every call: what a store behind a network adds, for measuring ("30 ms added to every object
//! read"). Calls at the same time wait at the same time.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;
use crate::objects::{ETag, ObjectMeta, ObjectStore, Reach};
use crate::paths::ObjectName;

/// Passes calls on to another store, each after a delay.
#[derive(Debug, Clone)]
pub struct Delay {
    inner: Arc<dyn ObjectStore>,
    delay: Duration,
}

impl Delay {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn ObjectStore>, delay: Duration) -> Self {
        Self { inner, delay }
    }

    async fn after<T>(&self, call: impl Future<Output = T> + Send) -> T {
        tokio::time::sleep(self.delay).await;
        call.await
    }
}

#[async_trait]
impl ObjectStore for Delay {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.after(self.inner.put(name, bytes)).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.after(self.inner.get(name)).await
    }

    /// Stands for a store behind a network, whatever it wraps.
    fn reach(&self, _: &ObjectName, _: u64) -> Reach {
        Reach::Remote
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.after(self.inner.get_range(name, range)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.after(self.inner.list(prefix, after, limit)).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.after(self.inner.delete(names)).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.after(self.inner.read_tagged(name)).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.after(self.inner.create(name, bytes)).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.after(self.inner.replace(name, bytes, expected)).await
    }

    /// Asks no store behind a network, so it takes no time.
    async fn invalidate(&self, names: &[ObjectName]) -> bool {
        self.inner.invalidate(names).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test(start_paused = true)]
    async fn calls_take_their_time_together() {
        let delay = Duration::from_millis(30);
        let store = Delay::new(Arc::new(MemoryStore::new()), delay);
        let name = ObjectName::from_stored("v1/a");
        let begun = tokio::time::Instant::now();
        store.put(&name, Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(begun.elapsed(), delay);
        let (one, other) = tokio::join!(store.get(&name), store.get_range(&name, 0..1));
        assert_eq!((one.unwrap(), other.unwrap()), (Bytes::from("x"), Bytes::from("x")));
        assert_eq!(begun.elapsed(), 2 * delay);
        assert!(
            store
                .get(&ObjectName::from_stored("v1/b"))
                .await
                .unwrap_err()
                .is_not_found()
        );
    }
}
