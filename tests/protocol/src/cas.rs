//! The compare-and-swap catalog: documents that are replaced as a whole, if their ETag still is the one read.
//!
//! An ETag is a hash of the bytes. The bytes hold `rev` and a nonce; the model has one number for both, `rev`,
//! which no two versions of a document share. Two clients that replace the same version in the same way do produce
//! the same bytes here, so what holds in this model holds with `rev` alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::record::Record;
use crate::state::Uuid;

/// The hash of a document's bytes.
pub type Etag = u64;

/// The bucket's document, reduced to the one name of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameDoc {
    /// The index that the name points at.
    pub uuid: Option<Uuid>,
    /// Rises with every replacement.
    pub rev: u8,
}

/// An index's document. Documents are never deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexDoc {
    /// The record; `None` when the index is dead. (A conditional-update catalog: the tombstone.)
    pub record: Option<Record>,
    /// Rises with every replacement.
    pub rev: u8,
}

/// A conditional PUT of a document: `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Put {
    /// Replaces the bucket's document.
    Name {
        /// The ETag that it must have.
        if_match: Etag,
        /// The new document.
        doc: NameDoc,
    },
    /// Replaces an index's document.
    Index {
        /// Which one.
        uuid: Uuid,
        /// The ETag that it must have.
        if_match: Etag,
        /// The new document.
        doc: IndexDoc,
    },
}

/// The ETag of a document.
pub fn etag(doc: &impl Hash) -> Etag {
    let mut hasher = DefaultHasher::new();
    doc.hash(&mut hasher);
    hasher.finish()
}
