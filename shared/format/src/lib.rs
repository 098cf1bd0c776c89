//! Bytes to structs and back, for everything that is stored.
//!
//! This room knows every byte of every file, and nothing of where files live: it does no I/O, builds no object
//! names, keeps no caches and takes no decisions. What it writes is specified in its `README.md`, which was
//! written first; `golden/` holds files of every version that was ever written.
//!
//! | module | bytes of |
//! |---|---|
//! | [`wal`] | `wal/<ulid>.arrow`: one commit |
//! | [`record`] | the index record and its WAL entries |
//! | [`manifest`] | the list of shards and deletion vectors at one version |
//! | [`dead`] | deletion vectors |
//! | [`shard`] | the files of a shard: rows, keys, key index, attributes, head |
//! | [`gc`], [`tombstone`] | what garbage collection and DeleteIndex leave behind |
//! | [`catalog`] | the documents of the compare-and-swap catalog |
//! | [`checksum`], `sealed`, `binary` | CRC32C; JSON that carries its own; headers of our own binary files |
//! | [`error`] | what can be wrong with bytes |
#![doc = include_str!("../README.md")]

#[cfg(not(target_endian = "little"))]
compile_error!("stored vectors are handed out as they lie in memory: a little-endian machine is needed");

mod binary;
pub mod catalog;
pub mod checksum;
pub mod dead;
pub mod error;
pub mod gc;
pub mod manifest;
pub mod record;
mod sealed;
pub mod shard;
pub mod tombstone;
pub mod wal;

pub use catalog::{
    AttachmentDoc, BucketDoc, BucketLink, BucketState, CATALOG_SCHEMA, CatalogDocument, CatalogKind, CatalogMarker,
    IndexDoc, IndexLink, IndexState, RootDoc,
};
pub use checksum::{FileEntry, crc32c, crc32c_append, verify};
pub use dead::{decode_dead, encode_dead};
pub use error::{FileKind, FormatError};
pub use gc::{COLLECTION_SCHEMA, CollectionList};
pub use manifest::{
    DEAD_INLINE_BYTES, DeadRef, FOLDED_KEPT, HeadSummary, IvfSummary, MANIFEST_SCHEMA, Manifest, PARENTS_KEPT,
    ShardEntry, ShardFiles, TrainRef,
};
pub use record::{IndexRecord, Lease, ManifestRef, RECORD_SCHEMA, WAL_ENTRY_BYTES, WalEntry};
pub use shard::{
    Attributes, EncodedIvf, EncodedShard, IvfCode, IvfCodeKind, IvfHead, KeyIndex, KeyRange, KeysFile, RecallCurve,
    RecallPoint, RowsFile, ShardHead, ShardRow, encode_shard, key_hash,
};
pub use tombstone::{TOMBSTONE_SCHEMA, Tombstone};
pub use wal::{WalObject, WalWriter};
