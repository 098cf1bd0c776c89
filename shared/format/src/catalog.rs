//! The documents of the compare-and-swap catalog (DESIGN section 4), and the marker of a store's catalog.
//!
//! Every document carries `rev`, which rises with each swap, and a random `nonce`: no two writes of a document
//! have the same bytes, so no two have the same ETag.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{BucketName, BucketUuid, Encryption, IndexName, IndexUuid, OwnerUuid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{FileKind, FormatError, IndexRecord, RECORD_SCHEMA, Tombstone, sealed};

/// The newest schema of these documents that this program reads and the one that it writes.
pub const CATALOG_SCHEMA: u32 = 1;

/// A document of the catalog: sealed JSON.
pub trait CatalogDocument: Serialize + DeserializeOwned {
    /// Checks beyond the JSON's shape.
    fn check(&self) -> Result<(), FormatError> {
        Ok(())
    }

    /// The stored form.
    fn encode(&self) -> Result<Bytes, FormatError> {
        self.check()?;
        sealed::seal(FileKind::Catalog, self)
    }

    /// Reads and checks the stored form.
    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let document: Self = sealed::unseal(FileKind::Catalog, CATALOG_SCHEMA, bytes)?;
        document.check()?;
        Ok(document)
    }
}

/// A bucket in the root document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketLink {
    /// Its document.
    pub uuid: BucketUuid,
    /// When it was created (unix milliseconds).
    pub created_ms: u64,
}

/// An index in a bucket's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexLink {
    /// Its document.
    pub uuid: IndexUuid,
    /// When it was created (unix milliseconds).
    pub created_ms: u64,
}

/// The root: bucket names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDoc {
    /// `CATALOG_SCHEMA` of the writer.
    pub schema: u32,
    /// Rises with each swap.
    pub rev: u64,
    /// Random.
    pub nonce: u64,
    /// Every bucket by name.
    pub buckets: BTreeMap<BucketName, BucketLink>,
}

/// One bucket: its index names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketDoc {
    /// `CATALOG_SCHEMA` of the writer.
    pub schema: u32,
    /// Rises with each swap.
    pub rev: u64,
    /// Random.
    pub nonce: u64,
    /// The bucket.
    pub uuid: BucketUuid,
    /// Its name.
    pub name: BucketName,
    /// Live, or deleted.
    pub state: BucketState,
}

/// Is the bucket there?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BucketState {
    /// It is.
    Live {
        /// When it was created (unix milliseconds).
        created_ms: u64,
        /// What CreateVectorBucket fixed.
        encryption: Encryption,
        /// Every index by name.
        indexes: BTreeMap<IndexName, IndexLink>,
    },
    /// It was deleted; a name that still points here does not exist.
    Dead {
        /// When it was deleted (unix milliseconds).
        deleted_ms: u64,
    },
}

/// One index: its record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexDoc {
    /// `CATALOG_SCHEMA` of the writer.
    pub schema: u32,
    /// Rises with each swap.
    pub rev: u64,
    /// Random.
    pub nonce: u64,
    /// Live, or deleted.
    pub state: IndexState,
}

/// Is the index there?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexState {
    /// It is.
    Live(Box<IndexRecord>),
    /// It was deleted; a name that still points here does not exist.
    Dead(Tombstone),
}

/// Tags or a policy of a bucket or an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentDoc {
    /// `CATALOG_SCHEMA` of the writer.
    pub schema: u32,
    /// Rises with each swap.
    pub rev: u64,
    /// Random.
    pub nonce: u64,
    /// Whose it is.
    pub owner: OwnerUuid,
    /// `None`: removed, or never there.
    pub text: Option<String>,
}

/// Which kind of catalog belongs to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogKind {
    /// Compare-and-swap documents in the store itself.
    Documents,
    /// A DynamoDB table.
    Dynamodb,
}

/// `v1/catalog.json`, created once: a store must never be served with another catalog than its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogMarker {
    /// `CATALOG_SCHEMA` of the writer.
    pub schema: u32,
    /// Which kind of catalog.
    pub kind: CatalogKind,
    /// Which one of this kind: a uuid, or the table's name.
    pub id: String,
    /// When the store was first used (unix milliseconds).
    pub created_ms: u64,
}

impl CatalogDocument for RootDoc {}
impl CatalogDocument for BucketDoc {}
impl CatalogDocument for AttachmentDoc {}
impl CatalogDocument for CatalogMarker {}

impl CatalogDocument for IndexDoc {
    fn check(&self) -> Result<(), FormatError> {
        let IndexState::Live(record) = &self.state else {
            return Ok(());
        };
        if record.schema == 0 || record.schema > RECORD_SCHEMA {
            return Err(FormatError::Version {
                file: FileKind::Record,
                found: record.schema,
                supported: RECORD_SCHEMA,
            });
        }
        record.check()
    }
}
