//! A process's way to a catalog in a table: no call of a dead process ever returns.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use format::record::IndexRecord;
use model::{BucketName, BucketUuid, IndexUuid, OwnerUuid, Ulid};
use storage::layers::faults::{FaultCatalog, FaultPlan};
use storage::{
    Append, Attachment, BucketInfo, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex,
    DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Publish, Revision, SetLease, StoreError, Tombstone,
    WriteAttachment,
};
use tokio::sync::Notify;

/// Passes calls on for as long as the process lives.
#[derive(Debug)]
pub struct MortalCatalog {
    catalog: FaultCatalog,
    plan: FaultPlan,
    death: Arc<Notify>,
}

impl MortalCatalog {
    /// The way to this catalog; `death` is notified when the process has died over a call.
    pub fn new(catalog: FaultCatalog, plan: FaultPlan, death: &Arc<Notify>) -> Self {
        let death = Arc::clone(death);
        Self { catalog, plan, death }
    }

    async fn live<T>(&self, call: impl Future<Output = T> + Send) -> T {
        let answer = call.await;
        if !self.plan.is_dead() {
            return answer;
        }
        self.death.notify_one();
        pending().await
    }
}

#[async_trait]
impl Catalog for MortalCatalog {
    async fn create_bucket(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        self.live(self.catalog.create_bucket(bucket)).await
    }

    async fn read_bucket(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError> {
        self.live(self.catalog.read_bucket(name)).await
    }

    async fn list_buckets(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        self.live(self.catalog.list_buckets(page)).await
    }

    async fn delete_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<DeleteBucket, StoreError> {
        self.live(self.catalog.delete_bucket(name, uuid)).await
    }

    async fn create_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        self.live(self.catalog.create_index(record)).await
    }

    async fn delete_index(&self, path: &IndexPath, uuid: IndexUuid, now_ms: u64) -> Result<DeleteIndex, StoreError> {
        self.live(self.catalog.delete_index(path, uuid, now_ms)).await
    }

    async fn list_indexes(&self, bucket: &BucketName, page: &NamePage) -> Result<Option<IndexNames>, StoreError> {
        self.live(self.catalog.list_indexes(bucket, page)).await
    }

    async fn read_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        self.live(self.catalog.read_record(path)).await
    }

    async fn append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        self.live(self.catalog.append(path, append)).await
    }

    async fn publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        self.live(self.catalog.publish(path, publish)).await
    }

    async fn clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        self.live(self.catalog.clear_dirty(path, clear)).await
    }

    async fn raise_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        self.live(self.catalog.raise_floor(path, uuid, floor)).await
    }

    async fn set_lease(&self, path: &IndexPath, lease: &SetLease) -> Result<Commit, StoreError> {
        self.live(self.catalog.set_lease(path, lease)).await
    }

    async fn list_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        self.live(self.catalog.list_dirty()).await
    }

    async fn list_all_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        self.live(self.catalog.list_all_indexes()).await
    }

    async fn list_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        self.live(self.catalog.list_tombstones()).await
    }

    async fn read_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        self.live(self.catalog.read_attachment(owner, attachment)).await
    }

    async fn write_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        self.live(self.catalog.write_attachment(owner, attachment, text, expected))
            .await
    }
}
