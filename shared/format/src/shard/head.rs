//! `head.json`: what a reader needs to know of a shard before it reads anything else of it.

use bytes::Bytes;
use model::Dimension;
use serde::{Deserialize, Serialize};

use crate::{FileKind, FormatError, HeadSummary, sealed};

/// The newest schema of the head that this program reads and the one that it writes.
pub const HEAD_SCHEMA: u32 = 1;

/// Where the vectors are in `rows.parquet`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorPages {
    /// Rows in each page but the last: a power of two.
    pub rows_per_page: u32,
    /// Per page: offset in the file of its first value.
    pub offsets: Vec<u64>,
}

/// The pages of the metadata column in `rows.parquet`, column-wise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataPages {
    /// Per page: its first row.
    pub first_rows: Vec<u32>,
    /// Per page: offset in the file of its header.
    pub offsets: Vec<u64>,
    /// Per page: length, header included.
    pub sizes: Vec<u32>,
    /// Per page: CRC32C of these bytes, for ranged reads.
    pub crc32c: Vec<u32>,
}

/// `head.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardHead {
    /// `HEAD_SCHEMA` of the writer.
    pub schema: u32,
    /// Rows in the shard.
    pub rows: u32,
    /// Values per vector.
    pub dimension: Dimension,
    /// The smallest key.
    pub min_key: String,
    /// The largest key.
    pub max_key: String,
    /// Totals, as in the manifest.
    pub summary: HeadSummary,
    /// The pages of the vector column.
    pub vectors: VectorPages,
    /// The pages of the metadata column.
    pub metadata: MetadataPages,
}

impl ShardHead {
    /// The stored form: sealed JSON.
    pub fn encode(&self) -> Result<Bytes, FormatError> {
        sealed::seal(FileKind::Head, self)
    }

    /// Reads and checks the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let head: Self = sealed::unseal(FileKind::Head, HEAD_SCHEMA, bytes)?;
        head.check()?;
        Ok(head)
    }

    fn check(&self) -> Result<(), FormatError> {
        let corrupt = |what| Err(FormatError::corrupt(FileKind::Head, what));
        let per_page = self.vectors.rows_per_page;
        if !per_page.is_power_of_two() || self.rows == 0 {
            return corrupt("rows_per_page is not a power of two, or no rows");
        }
        if self.vectors.offsets.len() as u64 != u64::from(self.rows.div_ceil(per_page)) {
            return corrupt("not one offset per page of vectors");
        }
        let MetadataPages {
            first_rows,
            offsets,
            sizes,
            crc32c,
        } = &self.metadata;
        let pages = first_rows.len();
        if offsets.len() != pages || sizes.len() != pages || crc32c.len() != pages {
            return corrupt("the columns of the metadata page table differ in length");
        }
        let rising = first_rows.is_sorted_by(|a, b| a < b);
        if first_rows.first() != Some(&0) || !rising || first_rows.last() >= Some(&self.rows) {
            return corrupt("the metadata pages do not cover the rows");
        }
        Ok(())
    }
}
