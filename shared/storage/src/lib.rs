//! The three ports of genai-vectors and their adapters: objects, catalog, doorbell.
//!
//! This room turns "write this once", "commit this if the record still says so" and "wake the indexer" into calls of
//! a real store. It knows the form of the index record and of the catalog's documents, since it must judge their
//! conditions; it must not know what an operation does, how a search works, HTTP, or the environment.
//!
//! | module | what it holds |
//! |---|---|
//! | [`objects`], [`catalog`], [`doorbell`] | the ports |
//! | [`error`] | the few ways in which a call can fail |
//! | [`paths`] | every object name, built and taken apart |
//! | [`conditions`] | the conditional updates of the index record, as pure functions |
//! | [`cas`] | a catalog of compare-and-swap documents over any object store |
//! | `aws` | the ports on S3, DynamoDB and SQS (feature `aws`) |
//! | [`local`] | objects in a directory, the doorbell inside one process |
//! | [`memory`] | objects in memory, for tests |
//! | [`absent`] | ports that a process was not given |
//! | [`layers`] | wrappers: a bounded disk cache, metering, a log of requests, fault injection, a fixed delay |
//! | `conformance` | the suite that every adapter must pass (feature `conformance`) |

pub mod absent;
#[cfg(feature = "aws")]
pub mod aws;
pub mod cas;
pub mod catalog;
pub mod conditions;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod doorbell;
pub mod error;
mod etag;
mod file_bytes;
pub mod layers;
pub mod local;
mod locks;
pub mod memory;
pub mod objects;
pub mod paths;

pub use cas::CasCatalog;
pub use catalog::{
    Append, Attachment, BucketInfo, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex,
    DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Publish, Revision, SetLease, Tombstone, WriteAttachment,
};
pub use doorbell::{Doorbell, Ring, Work};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use objects::{ETag, ObjectMeta, ObjectStore, Reach};
pub use paths::{ObjectKind, ObjectName, ShardFile};
