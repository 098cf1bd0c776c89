//! A catalog whose calls are logged as the requests that the DynamoDB adapter sends for them, each after a delay.
//!
//! That is so for calls that succeed and for the ordinary refusals; collisions and lost answers send more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use format::IndexRecord;
use model::{BucketName, BucketUuid, IndexUuid, OwnerUuid, Ulid};

use super::log::{RequestKind, RequestLog};
use crate::catalog::{
    Append, Attachment, BucketInfo, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex,
    DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Publish, Revision, SetLease, Tombstone, WriteAttachment,
};
use crate::error::StoreError;

const RECORD: &str = "record";
const BUCKET: &str = "bucket";
const NAME: &str = "name";
const TOMBSTONE: &str = "tombstone";
const INDEXES: &str = "indexes";

/// Passes calls on to another catalog, whose own time does not count.
#[derive(Debug, Clone)]
pub struct LoggedCatalog {
    inner: Arc<dyn Catalog>,
    log: RequestLog,
    delay: Duration,
}

impl LoggedCatalog {
    /// Wraps a catalog; each request takes this long.
    pub fn new(inner: Arc<dyn Catalog>, log: RequestLog, delay: Duration) -> Self {
        Self { inner, log, delay }
    }

    /// Requests that are sent at the same time.
    async fn send<const COUNT: usize>(&self, kind: RequestKind, of: [&str; COUNT]) {
        of.into_iter().for_each(|of| self.log.note(kind, of));
        tokio::time::sleep(self.delay).await;
    }

    async fn get(&self, of: &str) {
        self.send(RequestKind::GetItem, [of]).await;
    }

    async fn query(&self, of: &str) {
        self.send(RequestKind::Query, [of]).await;
    }

    async fn update(&self, of: &str) {
        self.send(RequestKind::UpdateItem, [of]).await;
    }

    async fn transact(&self, of: &str) {
        self.send(RequestKind::TransactWriteItems, [of]).await;
    }
}

#[async_trait]
impl Catalog for LoggedCatalog {
    async fn create_bucket(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        self.transact(BUCKET).await;
        let created = self.inner.create_bucket(bucket).await?;
        if created == CreateBucket::Exists {
            self.get(BUCKET).await;
            self.get(TOMBSTONE).await;
        }
        Ok(created)
    }

    async fn read_bucket(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError> {
        self.get(BUCKET).await;
        self.inner.read_bucket(name).await
    }

    async fn list_buckets(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        self.query("buckets").await;
        self.inner.list_buckets(page).await
    }

    async fn delete_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<DeleteBucket, StoreError> {
        self.transact(BUCKET).await;
        let deleted = self.inner.delete_bucket(name, uuid).await?;
        if deleted != DeleteBucket::Deleted {
            self.get(BUCKET).await;
        }
        Ok(deleted)
    }

    async fn create_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        self.transact(RECORD).await;
        let created = self.inner.create_index(record).await?;
        if created != CreateIndex::Created {
            self.send(RequestKind::GetItem, [NAME, TOMBSTONE, BUCKET]).await;
        }
        Ok(created)
    }

    async fn foresee_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        self.get(BUCKET).await;
        let foreseen = self.inner.foresee_index(record).await?;
        if foreseen != CreateIndex::NoBucket {
            self.get(RECORD).await;
        }
        Ok(foreseen)
    }

    async fn delete_index(&self, path: &IndexPath, uuid: IndexUuid, now_ms: u64) -> Result<DeleteIndex, StoreError> {
        self.transact(RECORD).await;
        let deleted = self.inner.delete_index(path, uuid, now_ms).await?;
        if deleted == DeleteIndex::Missing {
            self.get(RECORD).await;
        }
        Ok(deleted)
    }

    async fn list_indexes(&self, bucket: &BucketName, page: &NamePage) -> Result<Option<IndexNames>, StoreError> {
        self.get(BUCKET).await;
        let listed = self.inner.list_indexes(bucket, page).await?;
        if listed.is_some() {
            self.query(INDEXES).await;
        }
        Ok(listed)
    }

    async fn read_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        self.get(RECORD).await;
        self.inner.read_record(path).await
    }

    async fn append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        self.update(RECORD).await;
        self.inner.append(path, append).await
    }

    async fn publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        self.update(RECORD).await;
        self.inner.publish(path, publish).await
    }

    async fn clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        self.update(RECORD).await;
        self.inner.clear_dirty(path, clear).await
    }

    async fn raise_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        self.update(RECORD).await;
        self.inner.raise_floor(path, uuid, floor).await
    }

    async fn set_lease(&self, path: &IndexPath, lease: &SetLease) -> Result<Commit, StoreError> {
        self.update(RECORD).await;
        self.inner.set_lease(path, lease).await
    }

    async fn list_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        self.send(RequestKind::Scan, ["dirty"]).await;
        self.inner.list_dirty().await
    }

    async fn list_all_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        self.query("buckets").await;
        let walked = self.inner.list_all_indexes().await?;
        let mut buckets: Vec<&BucketName> = walked.iter().map(|(path, _)| &path.bucket).collect();
        buckets.dedup();
        // Buckets without indexes are asked as well; who has them counts fewer here.
        buckets.iter().for_each(|_| self.log.note(RequestKind::Query, INDEXES));
        tokio::time::sleep(self.delay).await;
        Ok(walked)
    }

    async fn list_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        self.query("tombstones").await;
        self.inner.list_tombstones().await
    }

    async fn read_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        self.get(attachment.word()).await;
        self.inner.read_attachment(owner, attachment).await
    }

    async fn write_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        if expected.is_none() {
            self.get(attachment.word()).await;
        }
        let is_sent = expected.is_some() || text.is_some();
        if is_sent {
            self.update(attachment.word()).await;
        }
        self.inner.write_attachment(owner, attachment, text, expected).await
    }
}
