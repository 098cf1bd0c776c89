//! Objects in memory: the test double. Clones share the objects, so a "restart" is a clone under new adapters.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;
use crate::etag;
use crate::objects::{ETag, ObjectMeta, ObjectStore, Reach};
use crate::paths::ObjectName;

/// Objects in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<ObjectName, Bytes>>>,
    yields: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that lets other tasks run before and after the effect of each call, as a store behind a network does.
    pub fn with_yields() -> Self {
        Self {
            yields: true,
            ..Self::default()
        }
    }

    /// A store of its own with the same objects: what a disk image taken at this moment holds.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let objects = self.lock().clone();
        Self {
            objects: Arc::new(Mutex::new(objects)),
            yields: self.yields,
        }
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<ObjectName> {
        self.lock().keys().cloned().collect()
    }

    /// Changes one bit of an object, for tests of what is found by checksums. Whether there was such a bit.
    pub fn flip_bit(&self, name: &ObjectName, bit: usize) -> bool {
        let mut objects = self.lock();
        let Some(stored) = objects.get_mut(name) else {
            return false;
        };
        let mut bytes = stored.to_vec();
        let Some(byte) = bytes.get_mut(bit / 8) else {
            return false;
        };
        *byte ^= 1 << (bit % 8);
        *stored = Bytes::from(bytes);
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: the effect is atomic, what surrounds it is not.
    async fn call<T>(&self, effect: impl FnOnce(&mut BTreeMap<ObjectName, Bytes>) -> T) -> T {
        if self.yields {
            tokio::task::yield_now().await;
        }
        let answer = effect(&mut self.lock());
        if self.yields {
            tokio::task::yield_now().await;
        }
        answer
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.call(|objects| match objects.entry(name.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(bytes);
                Ok(())
            }
            Entry::Occupied(occupied) if *occupied.get() == bytes => Ok(()),
            Entry::Occupied(_) => Err(StoreError::conflict(name)),
        })
        .await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.call(|objects| find(objects, name)).await
    }

    fn reach(&self, _: &ObjectName, _: u64) -> Reach {
        Reach::AtHand
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let bytes = self.get(name).await?;
        slice(name, &bytes, range)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let first = ObjectName::from_stored(prefix);
        let start = match after {
            Some(after) if *after >= first => Bound::Excluded(after.clone()),
            _ => Bound::Included(first),
        };
        self.call(|objects| {
            Ok(objects
                .range((start, Bound::Unbounded))
                .take_while(|(name, _)| name.as_str().starts_with(prefix))
                .take(limit)
                .map(|(name, bytes)| ObjectMeta {
                    name: name.clone(),
                    size: bytes.len() as u64,
                })
                .collect())
        })
        .await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.call(|objects| {
            for name in names {
                objects.remove(name);
            }
            Ok(())
        })
        .await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        let bytes = self.get(name).await?;
        let etag = etag::of(&bytes);
        Ok((bytes, etag))
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.call(|objects| match objects.entry(name.clone()) {
            Entry::Vacant(vacant) => {
                let etag = etag::of(&bytes);
                vacant.insert(bytes);
                Ok(etag)
            }
            Entry::Occupied(_) => Err(StoreError::conflict(name)),
        })
        .await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.call(|objects| {
            let stored = objects.get_mut(name).ok_or_else(|| StoreError::not_found(name))?;
            if etag::of(stored) != *expected {
                return Err(StoreError::conflict(name));
            }
            let etag = etag::of(&bytes);
            *stored = bytes;
            Ok(etag)
        })
        .await
    }
}

fn find(objects: &BTreeMap<ObjectName, Bytes>, name: &ObjectName) -> Result<Bytes, StoreError> {
    objects.get(name).cloned().ok_or_else(|| StoreError::not_found(name))
}

/// The part of an object that a ranged read asks for; a range that leaves the object is an error.
pub(crate) fn slice(name: &ObjectName, bytes: &Bytes, range: Range<u64>) -> Result<Bytes, StoreError> {
    let inside = range.start <= range.end && range.end <= bytes.len() as u64;
    match (usize::try_from(range.start), usize::try_from(range.end)) {
        (Ok(start), Ok(end)) if inside => Ok(bytes.slice(start..end)),
        _ => {
            let length = bytes.len();
            Err(StoreError::corrupt(
                name,
                format!("it has {length} bytes, not {range:?}"),
            ))
        }
    }
}
