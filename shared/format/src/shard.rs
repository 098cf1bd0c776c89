//! The files of a shard (DESIGN section 3): written together, in one go; read each on its own.
//!
//! The readers trust bytes that passed [`crate::verify`]; they still check every structure that an access relies on.

pub mod attributes;
mod encode;
pub mod head;
mod key_filter;
pub mod key_index;
pub mod keys;
pub mod rows_file;
mod rows_parquet;
mod rows_ranges;
#[cfg(test)]
mod tests;

pub use attributes::Attributes;
pub use encode::{EncodedIvf, EncodedShard, ShardRow, encode_shard};
pub use head::{IvfCode, IvfCodeKind, IvfHead, MetadataPages, RecallCurve, RecallPoint, ShardHead, VectorPages};
pub use key_filter::key_hash;
pub use key_index::{KeyIndex, KeyRange};
pub use keys::KeysFile;
pub use rows_file::RowsFile;
