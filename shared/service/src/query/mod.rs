//! The read path: one strong read of the record, then immutable objects, then CPU work over them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cache`] | a byte-bounded cache of immutable things |
//! | [`objects`] | manifests, WAL objects and deletion vectors, fetched and checked once |
//! | [`shards`] | opened shards, whole or without their `rows.parquet` |
//! | [`attaching`] | who fetches the rows of which open shard |
//! | [`ranges`] | rows of a shard without its `rows.parquet`, by coalesced ranged reads |
//! | [`work`] | CPU work over a snapshot that pauses while rows are read |
//! | [`snapshot`] | the read protocol of DESIGN section 4: a consistent view of one index |
//! | [`tail`] | the tail as an overlay: which rows of tail and shards are the newest of their keys |
//! | [`entry`] | one WAL object of the tail, with what is derived from it once |
//! | [`rows`] | point lookups, vectors and metadata of rows, wherever they are |
//! | [`scan`] | keys in order over tail and shards, page by page |
//! | [`matched`] | keys that a filter selected, and whether they still pass it |
//! | [`execute`] | the nearest rows of a snapshot |
//! | [`live_recall`] | a share of the queries is run again exactly |
//! | [`size`] | how much an index holds, from record and manifest alone |
//! | [`answer`] | rows as the JSON items of an answer |
//! | [`filter`] | a request's filter, judged against the index |
//! | [`hash`] | what ties a page token to its request |
//!
//! I1, I2: the newest tail entry of a key hides every older version, in the tail and in the shards, before any filter
//! is looked at.

pub(crate) mod answer;
mod attaching;
mod cache;
mod entry;
pub(crate) mod execute;
pub(crate) mod filter;
pub(crate) mod hash;
pub(crate) mod live_recall;
pub(crate) mod matched;
pub(crate) mod objects;
mod ranges;
pub(crate) mod rows;
pub(crate) mod scan;
pub(crate) mod shards;
mod size;
pub(crate) mod snapshot;
mod tail;
#[cfg(test)]
mod tests;
pub(crate) mod work;

pub(crate) use objects::ReadCaches;
pub(crate) use size::index_size;
pub(crate) use snapshot::{Snapshot, read};

/// Bytes that the caches of immutable things hold, by what they hold: for the status endpoints.
pub fn cache_bytes(ctx: &crate::Context) -> [(&'static str, usize); 3] {
    ctx.reads.bytes()
}
