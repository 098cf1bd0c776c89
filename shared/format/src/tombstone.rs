//! What DeleteIndex leaves: the only permission to purge a prefix. Tombstones stay.

use bytes::Bytes;
use model::{BucketName, IndexName, IndexUuid};
use serde::{Deserialize, Serialize};

use crate::{FileKind, FormatError, sealed};

/// The newest schema of the tombstone that this program reads and the one that it writes.
pub const TOMBSTONE_SCHEMA: u32 = 1;

/// A deleted index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// `TOMBSTONE_SCHEMA` of the writer.
    pub schema: u32,
    /// The uuid whose prefix may be purged.
    pub uuid: IndexUuid,
    /// The bucket's name, for people.
    pub bucket: BucketName,
    /// The index's name, for people.
    pub index: IndexName,
    /// When it was deleted (unix milliseconds).
    pub deleted_ms: u64,
}

impl Tombstone {
    /// The stored form: sealed JSON.
    pub fn encode(&self) -> Result<Bytes, FormatError> {
        sealed::seal(FileKind::Tombstone, self)
    }

    /// Reads and checks the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        sealed::unseal(FileKind::Tombstone, TOMBSTONE_SCHEMA, bytes)
    }
}
