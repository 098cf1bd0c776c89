#![allow(unused, clippy::todo)]
//! The catalog in a DynamoDB table.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use format::IndexRecord;
use model::{BucketName, BucketUuid, Ids, IndexUuid, OwnerUuid, Ulid};

use super::connection::Aws;
use super::failure::AwsError;
use crate::cas::marker::MarkerError;
use crate::catalog::{
    Append, Attachment, BucketInfo, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex,
    DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Publish, Revision, SetLease, Tombstone, WriteAttachment,
};
use crate::error::StoreError;
use crate::objects::ObjectStore;

/// Settings of a DynamoDB catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoSettings {
    /// Indexes that one bucket may have.
    pub indexes_per_bucket: usize,
}

impl Default for DynamoSettings {
    fn default() -> Self {
        Self {
            indexes_per_bucket: model::limits::INDEXES_PER_BUCKET,
        }
    }
}

/// Why a store cannot be served with its catalog in a table.
#[derive(Debug, thiserror::Error)]
pub enum OpenDynamoError {
    /// The store belongs to another catalog.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// The table is another store's.
    #[error("table {table} belongs to another store")]
    OtherStore {
        /// The table.
        table: String,
    },
    /// AWS refused.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A storage call failed.
    #[error("cannot open the catalog: {0}")]
    Store(#[from] StoreError),
}

/// A catalog in a DynamoDB table. Clones share their connections.
#[derive(Debug, Clone)]
pub struct DynamoCatalog {
    client: Client,
    table: String,
    ids: Ids,
    settings: DynamoSettings,
}

impl DynamoCatalog {
    /// A catalog in this table, unverified: for a deployment, whose template made table and bucket for each other.
    /// Sends nothing yet.
    pub fn new(aws: &Aws, table: &str, ids: Ids, settings: DynamoSettings) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(&aws.sdk);
        Self {
            client: Client::from_conf(config.build()),
            table: table.to_owned(),
            ids,
            settings,
        }
    }

    /// Verifies that table and store belong together; a store and a table that are both new are claimed for each
    /// other. `create_missing`: a missing table is created, unless the store has its catalog already.
    ///
    /// # Errors
    /// [`OpenDynamoError`]
    pub async fn verify(&self, store: &dyn ObjectStore, create_missing: bool) -> Result<(), OpenDynamoError> {
        todo!("{store:?} {create_missing}")
    }

    /// [`DynamoCatalog::verify`] beside a server: nothing is written.
    ///
    /// # Errors
    /// [`OpenDynamoError`]
    pub async fn verify_read_only(&self, store: &dyn ObjectStore) -> Result<(), OpenDynamoError> {
        todo!("{store:?}")
    }
}

#[async_trait]
impl Catalog for DynamoCatalog {
    async fn create_bucket(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        todo!()
    }
    async fn read_bucket(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError> {
        todo!()
    }
    async fn list_buckets(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        todo!()
    }
    async fn delete_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<DeleteBucket, StoreError> {
        todo!()
    }
    async fn create_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        todo!()
    }
    async fn delete_index(&self, path: &IndexPath, uuid: IndexUuid, now_ms: u64) -> Result<DeleteIndex, StoreError> {
        todo!()
    }
    async fn list_indexes(&self, bucket: &BucketName, page: &NamePage) -> Result<Option<IndexNames>, StoreError> {
        todo!()
    }
    async fn read_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        todo!()
    }
    async fn append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        todo!()
    }
    async fn publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        todo!()
    }
    async fn clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        todo!()
    }
    async fn raise_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        todo!()
    }
    async fn set_lease(&self, path: &IndexPath, lease: &SetLease) -> Result<Commit, StoreError> {
        todo!()
    }
    async fn list_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        todo!()
    }
    async fn list_all_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        todo!()
    }
    async fn list_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        todo!()
    }
    async fn read_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        todo!()
    }
    async fn write_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        todo!()
    }
}
