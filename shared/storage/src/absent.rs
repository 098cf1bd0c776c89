//! The ports of a process that needs none of them: every call fails. A function is given no more than its operation
//! calls; whatever it called beyond that would be a mistake, which must not look like an empty store.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::doorbell::{Doorbell, Ring};
use crate::error::StoreError;
use crate::objects::{ETag, ObjectMeta, ObjectStore};
use crate::paths::ObjectName;

/// A port that is not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Absent;

fn absent<T>() -> Result<T, StoreError> {
    Err(StoreError::other("this process was started without this port"))
}

#[async_trait]
impl ObjectStore for Absent {
    async fn put(&self, _: &ObjectName, _: Bytes) -> Result<(), StoreError> {
        absent()
    }

    async fn get(&self, _: &ObjectName) -> Result<Bytes, StoreError> {
        absent()
    }

    async fn get_range(&self, _: &ObjectName, _: Range<u64>) -> Result<Bytes, StoreError> {
        absent()
    }

    async fn list(&self, _: &str, _: Option<&ObjectName>, _: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        absent()
    }

    async fn delete(&self, _: &[ObjectName]) -> Result<(), StoreError> {
        absent()
    }

    async fn read_tagged(&self, _: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        absent()
    }

    async fn create(&self, _: &ObjectName, _: Bytes) -> Result<ETag, StoreError> {
        absent()
    }

    async fn replace(&self, _: &ObjectName, _: Bytes, _: &ETag) -> Result<ETag, StoreError> {
        absent()
    }
}

#[async_trait]
impl Doorbell for Absent {
    async fn ring(&self, _: &Ring) -> Result<(), StoreError> {
        absent()
    }
}
