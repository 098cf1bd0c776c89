//! The port of the small mutable records: names, index records, tags and policies, tombstones.
//!
//! Every method is strongly consistent. A commit's answer is one of three: done, refused with the record that refused
//! it, or [`StoreError::Unknown`], after which the caller reads and decides. The conditions are those of
//! [`conditions`](crate::conditions).

use std::fmt::Debug;

use async_trait::async_trait;
use format::{IndexRecord, Lease, ManifestRef, WalEntry};
use model::{BucketName, BucketUuid, Encryption, IndexName, IndexUuid, OwnerUuid, Ulid};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// Where an index is found by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IndexPath {
    /// The vector bucket's name.
    pub bucket: BucketName,
    /// The index's name.
    pub index: IndexName,
}

/// A vector bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketInfo {
    /// Its name.
    pub name: BucketName,
    /// Its identity: another one after delete and re-create.
    pub uuid: BucketUuid,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// The default encryption of its indexes.
    pub encryption: Encryption,
}

/// One line of a listing of buckets or indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameEntry {
    /// The name.
    pub name: String,
    /// The identity behind the name.
    pub uuid: uuid::Uuid,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// The indexes of one bucket, and which bucket that was: its name may have led to another one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexNames {
    /// The bucket.
    pub bucket: BucketUuid,
    /// Its indexes by name.
    pub indexes: Vec<NameEntry>,
}

/// Which part of a listing is wanted. Names come in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamePage {
    /// Only names that begin with this.
    pub prefix: Option<String>,
    /// Only names that sort after this.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// The commit of a write: one WAL object joins the tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The index's life that the write was validated against.
    pub uuid: IndexUuid,
    /// `wal_base` of the record that was read for this write.
    pub base: u64,
    /// The sequence number that the entry must get, for a write that was made from what the index holds below it:
    /// nothing may have been committed since. `None`: whichever comes.
    pub end: Option<u64>,
    /// The WAL object.
    pub entry: WalEntry,
    /// When, for the dirty mark.
    pub now_ms: u64,
}

/// The commit of a fold (`fold` > 0) or of a compaction (`fold` = 0): another manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The index's life that was worked on.
    pub uuid: IndexUuid,
    /// The manifest that the work is based on; `None` before the first.
    pub old: Option<ManifestRef>,
    /// The manifest that replaces it.
    pub new: ManifestRef,
    /// How many of the oldest tail entries the new manifest has taken in.
    pub fold: usize,
    /// The KiB of those entries.
    pub fold_kib: u64,
    /// The smallest ULID among the objects that the new manifest introduces.
    pub oldest_new: Ulid,
    /// Also remove the dirty mark. Then the commit is refused unless the fold takes the whole tail.
    pub clear_dirty: bool,
}

/// Removes the dirty mark of an index whose tail is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearDirty {
    /// The index's life.
    pub uuid: IndexUuid,
    /// The manifest for which no compaction is due.
    pub manifest: Option<ManifestRef>,
}

/// Takes, extends or gives back the lease of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct SetLease {
    /// The index's life.
    pub uuid: IndexUuid,
    /// Who asks.
    pub holder: String,
    /// The time by which an expired lease is judged.
    pub now_ms: u64,
    /// Until when the holder wants it.
    pub until_ms: u64,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Not to be rung again before this.
    pub retry_at_ms: u64,
    /// The lease that was read.
    pub expected: Option<Lease>,
}

/// How a conditional update of an index record ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Commit {
    /// Committed: durable, ordered, visible.
    Done,
    /// Not committed, now or later: the record that refused it, `None` when the index is gone.
    Refused(Option<Box<IndexRecord>>),
}

/// How a creation of a bucket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateBucket {
    /// It exists under the given uuid.
    Created,
    /// Another bucket has the name.
    Exists,
}

/// How a deletion of a bucket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteBucket {
    /// It is gone.
    Deleted,
    /// No bucket of this name and uuid.
    Missing,
    /// It still has indexes.
    NotEmpty,
}

/// How a creation of an index ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateIndex {
    /// It exists under the given uuid.
    Created,
    /// Another index has the name.
    Exists,
    /// No bucket of this name and uuid.
    NoBucket,
    /// The bucket has as many indexes as it may have.
    TooMany,
}

/// How a deletion of an index ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteIndex {
    /// It is gone, and its tombstone is written.
    Deleted,
    /// No index of this name and uuid.
    Missing,
}

/// An index that has work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyIndex {
    /// Where it is.
    pub path: IndexPath,
    /// Its life.
    pub uuid: IndexUuid,
    /// Since when.
    pub dirty_since_ms: u64,
    /// Not to be rung before this; 0 when nothing failed.
    pub retry_at_ms: u64,
}

/// What DeleteIndex leaves behind: the permission to purge everything under the uuid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The deleted index.
    pub uuid: IndexUuid,
    /// When it was deleted, in milliseconds since the Unix epoch.
    pub deleted_ms: u64,
}

/// A text kept beside a bucket or an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// Its tags.
    Tags,
    /// Its resource policy.
    Policy,
}

impl Attachment {
    /// The word for it in stored names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Policy => "policy",
        }
    }
}

/// A version of one attachment; it never recurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(pub u64);

/// How a write of an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteAttachment {
    /// Written.
    Done,
    /// Not written: it is not at the expected revision.
    Changed,
}

/// The mutable records.
#[async_trait]
pub trait Catalog: Send + Sync + Debug {
    /// Creates a bucket. A repeated call that finds its own uuid has succeeded.
    async fn create_bucket(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError>;

    /// The bucket of this name.
    async fn read_bucket(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError>;

    /// The buckets by name.
    async fn list_buckets(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError>;

    /// Deletes an empty bucket.
    async fn delete_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<DeleteBucket, StoreError>;

    /// Creates an index. A repeated call that finds its own uuid has succeeded.
    async fn create_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError>;

    /// What [`Catalog::create_index`] would answer at this moment; nothing is written. Who has to store something before
    /// the index asks this first, so that an ordinary refusal leaves nothing behind.
    async fn foresee_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        let path = IndexPath {
            bucket: record.bucket.clone(),
            index: record.index.clone(),
        };
        let bucket = self.read_bucket(&record.bucket).await?;
        if bucket.is_none_or(|bucket| bucket.uuid != record.bucket_uuid) {
            return Ok(CreateIndex::NoBucket);
        }
        let present = self.read_record(&path).await?;
        Ok(match present.filter(|present| present.uuid != record.uuid) {
            Some(_) => CreateIndex::Exists,
            None => CreateIndex::Created,
        })
    }

    /// Deletes an index and writes its tombstone.
    async fn delete_index(&self, path: &IndexPath, uuid: IndexUuid, now_ms: u64) -> Result<DeleteIndex, StoreError>;

    /// The indexes of a bucket by name; `None` when there is no such bucket.
    async fn list_indexes(&self, bucket: &BucketName, page: &NamePage) -> Result<Option<IndexNames>, StoreError>;

    /// The record of an index, strongly read.
    async fn read_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError>;

    /// Commits a write.
    async fn append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError>;

    /// Commits a fold or a compaction.
    async fn publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError>;

    /// Removes the dirty mark.
    async fn clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError>;

    /// Raises the floor, unless it is as high already, and answers the record of the same moment. `None`: gone, or
    /// another uuid.
    async fn raise_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError>;

    /// Takes, extends or gives back the lease.
    async fn set_lease(&self, path: &IndexPath, lease: &SetLease) -> Result<Commit, StoreError>;

    /// Every index with a dirty mark.
    async fn list_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError>;

    /// Every index.
    async fn list_all_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError>;

    /// Every tombstone; they stay.
    async fn list_tombstones(&self) -> Result<Vec<Tombstone>, StoreError>;

    /// An attachment and its revision.
    async fn read_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError>;

    /// Writes (`Some`) or removes (`None`) an attachment that is at the `expected` revision (`None`: absent).
    async fn write_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError>;
}
