//! The indexer: folds the tail into shards, merges shards, deletes what nothing reaches.
//!
//! | module | what it holds |
//! |---|---|
//! | [`fold`] | the oldest tail entries become a flat shard |
//! | [`compact`] | several shards become one |
//! | `generation` | compaction to a shard with an index: training, and which generation serves |
//! | [`change`] | what a fold or a compaction wants of a manifest, and how it is rebased |
//! | [`publish`] | the commit that both share, and what a failed one means |
//! | [`upload`] | a built shard's files |
//! | [`collect`] | garbage collection of one index |
//! | [`purge`] | deletion of everything under a deleted index's uuid |
//! | [`quarantine`] | the operator's way past an entry that cannot be read |
//! | [`lease`] | who works on an index, for a while |
//! | [`work`] | one index until nothing is due: lease, folds, compactions, dirty mark |
//! | [`sweep`] | rings again for whoever has work |
//! | [`runner`] | the task that runs all of this in a resident process |
//!
//! Nothing here repairs anything: after a crash at any point the record still says what is true (I5), and the work
//! is simply done again.

mod change;
pub mod collect;
pub mod compact;
mod error;
pub mod fold;
#[cfg(feature = "ivfpq")]
mod generation;
pub mod lease;
mod publish;
pub mod purge;
pub mod quarantine;
pub mod runner;
pub mod sweep;
mod upload;
pub mod work;

pub use error::IndexingError;

/// How a fold or a compaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do.
    Nothing,
    /// Committed: so many rows were written into shards.
    Committed {
        /// Rows of the new shard.
        rows: u64,
    },
    /// Somebody else changed what the work was based on: it is done again from the start, its objects are garbage.
    Dropped,
    /// The index does not exist any more.
    Gone,
}
