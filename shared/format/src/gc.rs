//! What a garbage collection found, to be deleted by a later one (DESIGN section 4).

use bytes::Bytes;
use model::{CollectionId, IndexUuid, Ulid};
use serde::{Deserialize, Serialize};

use crate::{FileKind, FormatError, sealed};

/// The newest schema of the list that this program reads and the one that it writes.
pub const COLLECTION_SCHEMA: u32 = 1;

/// `gc/<id>.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionList {
    /// `COLLECTION_SCHEMA` of the writer.
    pub schema: u32,
    /// The index it belongs to.
    pub index: IndexUuid,
    /// Names the list.
    pub id: CollectionId,
    /// When the objects were found unreachable (unix milliseconds).
    pub created_ms: u64,
    /// The floor that the record had then: every listed object is below it.
    pub floor: Ulid,
    /// Full object names.
    pub names: Vec<String>,
}

impl CollectionList {
    /// The stored form: sealed JSON.
    pub fn encode(&self) -> Result<Bytes, FormatError> {
        sealed::seal(FileKind::Collection, self)
    }

    /// Reads and checks the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        sealed::unseal(FileKind::Collection, COLLECTION_SCHEMA, bytes)
    }
}
