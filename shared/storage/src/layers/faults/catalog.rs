//! A catalog with faults, counted per method of the port. A catalog over a [`FaultStore`](super::FaultStore) counts
//! each storage call below it instead.

use std::sync::Arc;

use async_trait::async_trait;
use format::IndexRecord;
use model::{BucketName, BucketUuid, IndexUuid, OwnerUuid, Ulid};

use super::plan::{FaultPlan, Verdict};
use crate::catalog::{
    Append, Attachment, BucketInfo, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex,
    DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Publish, Revision, SetLease, Tombstone, WriteAttachment,
};
use crate::error::StoreError;

/// Passes calls on to another catalog as a [`FaultPlan`] says. Late requests fail without effect here: only an object
/// store can deliver them.
#[derive(Debug, Clone)]
pub struct FaultCatalog {
    inner: Arc<dyn Catalog>,
    plan: FaultPlan,
}

impl FaultCatalog {
    /// Wraps a catalog.
    pub fn new(inner: Arc<dyn Catalog>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }

    async fn call<T>(
        &self,
        method: &'static str,
        arguments: String,
        is_write: bool,
        effect: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.plan.enter(method, arguments, is_write).await.1 {
            Verdict::Pass => effect.await,
            Verdict::FailBefore(error)
            | Verdict::Late {
                error, also_now: false, ..
            } => Err(error),
            Verdict::FailAfter(error)
            | Verdict::Late {
                error, also_now: true, ..
            } => {
                let _ = effect.await;
                Err(error)
            }
        }
    }
}

fn at(path: &IndexPath) -> String {
    format!("{}/{}", path.bucket, path.index)
}

#[async_trait]
impl Catalog for FaultCatalog {
    async fn create_bucket(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        self.call(
            "create_bucket",
            bucket.name.to_string(),
            true,
            self.inner.create_bucket(bucket),
        )
        .await
    }

    async fn read_bucket(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError> {
        self.call("read_bucket", name.to_string(), false, self.inner.read_bucket(name))
            .await
    }

    async fn list_buckets(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        self.call("list_buckets", String::new(), false, self.inner.list_buckets(page))
            .await
    }

    async fn delete_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<DeleteBucket, StoreError> {
        self.call(
            "delete_bucket",
            name.to_string(),
            true,
            self.inner.delete_bucket(name, uuid),
        )
        .await
    }

    async fn create_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        let arguments = format!("{}/{}", record.bucket, record.index);
        self.call("create_index", arguments, true, self.inner.create_index(record))
            .await
    }

    async fn foresee_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        let arguments = format!("{}/{}", record.bucket, record.index);
        self.call("foresee_index", arguments, false, self.inner.foresee_index(record))
            .await
    }

    async fn delete_index(&self, path: &IndexPath, uuid: IndexUuid, now_ms: u64) -> Result<DeleteIndex, StoreError> {
        self.call(
            "delete_index",
            at(path),
            true,
            self.inner.delete_index(path, uuid, now_ms),
        )
        .await
    }

    async fn list_indexes(&self, bucket: &BucketName, page: &NamePage) -> Result<Option<IndexNames>, StoreError> {
        self.call(
            "list_indexes",
            bucket.to_string(),
            false,
            self.inner.list_indexes(bucket, page),
        )
        .await
    }

    async fn read_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        self.call("read_record", at(path), false, self.inner.read_record(path))
            .await
    }

    async fn append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        let arguments = format!("{} {}", at(path), append.entry.id);
        self.call("append", arguments, true, self.inner.append(path, append))
            .await
    }

    async fn publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        let arguments = format!("{} {} fold {}", at(path), publish.new.id, publish.fold);
        self.call("publish", arguments, true, self.inner.publish(path, publish))
            .await
    }

    async fn clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        self.call("clear_dirty", at(path), true, self.inner.clear_dirty(path, clear))
            .await
    }

    async fn raise_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        self.call("raise_floor", at(path), true, self.inner.raise_floor(path, uuid, floor))
            .await
    }

    async fn set_lease(&self, path: &IndexPath, lease: &SetLease) -> Result<Commit, StoreError> {
        self.call("set_lease", at(path), true, self.inner.set_lease(path, lease))
            .await
    }

    async fn list_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        self.call("list_dirty", String::new(), false, self.inner.list_dirty())
            .await
    }

    async fn list_all_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        self.call("list_all_indexes", String::new(), false, self.inner.list_all_indexes())
            .await
    }

    async fn list_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        self.call("list_tombstones", String::new(), false, self.inner.list_tombstones())
            .await
    }

    async fn read_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        let arguments = format!("{owner} {}", attachment.word());
        self.call(
            "read_attachment",
            arguments,
            false,
            self.inner.read_attachment(owner, attachment),
        )
        .await
    }

    async fn write_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        let arguments = format!("{owner} {}", attachment.word());
        let effect = self.inner.write_attachment(owner, attachment, text, expected);
        self.call("write_attachment", arguments, true, effect).await
    }
}
