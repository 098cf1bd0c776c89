//! The catalog in a DynamoDB table. Its items are specified in `shared/format/README.md`, section 11.
//!
//! * The commits on a record are single conditional updates, sent once: what `conditions` says as pure functions, as
//!   condition expressions. A refused one comes back with the record that refused it.
//! * Creating and deleting names is a transaction over everything that must agree: record, name, the bucket's count,
//!   tombstone. A transaction whose answer was lost is decided from what is read, or answered
//!   [`StoreError::Unknown`]: never "no" while it may still take effect.
//! * A creation requires that there is no tombstone of its uuid, so that a late copy of it cannot bring back what was
//!   deleted since.
//!
//! | module | what it holds |
//! |---|---|
//! | `schema` | keys, attribute names |
//! | `item` | items to structs and back |
//! | `request` | the calls themselves, and what their failures mean |
//! | `transact` | the loop around a transaction |
//! | `buckets`, `indexes` | create, delete, list; the walk over everything |
//! | `records` | the commits on one index record |
//! | `attachments` | tags and policies |
//! | `table` | does the table belong to the store? |

mod attachments;
mod buckets;
mod indexes;
mod item;
mod records;
mod request;
mod schema;
mod table;
mod transact;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::Client;
use format::IndexRecord;
use model::{BucketName, BucketUuid, Ids, IndexUuid, OwnerUuid, Ulid};

use super::connection::Aws;
use crate::catalog::{
    Append, Attachment, BucketInfo, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex,
    DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Publish, Revision, SetLease, Tombstone, WriteAttachment,
};
use crate::error::StoreError;

pub use table::OpenDynamoError;

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

/// A catalog in a DynamoDB table. Clones share their connections.
#[derive(Debug, Clone)]
pub struct DynamoCatalog {
    /// For what may be repeated.
    again: Client,
    /// For what is sent once.
    once: Client,
    table: String,
    ids: Ids,
    settings: DynamoSettings,
    /// The service and where it is, for messages.
    server: String,
}

impl DynamoCatalog {
    /// A catalog in this table, unverified: for a deployment, whose template made table and bucket for each other.
    /// Sends nothing yet.
    pub fn new(aws: &Aws, table: &str, ids: Ids, settings: DynamoSettings) -> Self {
        let endpoint = aws.settings.endpoints.dynamodb.as_deref();
        let client = |retries: RetryConfig| {
            let mut config = aws_sdk_dynamodb::config::Builder::from(&aws.sdk)
                .retry_config(retries)
                .timeout_config(aws.answer_timeouts());
            if let Some(endpoint) = endpoint {
                config = config.endpoint_url(endpoint);
            }
            Client::from_conf(config.build())
        };
        Self {
            again: client(aws.retries()),
            once: client(RetryConfig::disabled()),
            table: table.to_owned(),
            ids,
            settings,
            server: aws.server("DynamoDB", endpoint),
        }
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }
}

#[async_trait]
impl Catalog for DynamoCatalog {
    async fn create_bucket(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        self.create_bucket_item(bucket).await
    }

    async fn read_bucket(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError> {
        self.read_bucket_item(name).await
    }

    async fn list_buckets(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        self.list_bucket_items(page).await
    }

    async fn delete_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<DeleteBucket, StoreError> {
        self.delete_bucket_item(name, uuid).await
    }

    async fn create_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        self.create_index_items(record).await
    }

    async fn delete_index(&self, path: &IndexPath, uuid: IndexUuid, now_ms: u64) -> Result<DeleteIndex, StoreError> {
        self.delete_index_items(path, uuid, now_ms).await
    }

    async fn list_indexes(&self, bucket: &BucketName, page: &NamePage) -> Result<Option<IndexNames>, StoreError> {
        self.list_index_items(bucket, page).await
    }

    async fn read_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        self.read_record_item(path).await
    }

    async fn append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        self.commit_append(path, append).await
    }

    async fn publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        self.commit_publish(path, publish).await
    }

    async fn clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        self.commit_clear_dirty(path, clear).await
    }

    async fn raise_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        self.commit_floor(path, uuid, floor).await
    }

    async fn set_lease(&self, path: &IndexPath, lease: &SetLease) -> Result<Commit, StoreError> {
        self.commit_lease(path, lease).await
    }

    /// Strongly consistent but for this: on DynamoDB a new mark may take a moment to be seen here.
    async fn list_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        self.scan_dirty().await
    }

    async fn list_all_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        self.walk_indexes().await
    }

    async fn list_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        self.read_tombstones().await
    }

    async fn read_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        self.read_attachment_item(owner, attachment).await
    }

    async fn write_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        self.write_attachment_item(owner, attachment, text, expected).await
    }
}
