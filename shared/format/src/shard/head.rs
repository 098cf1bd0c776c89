//! `head.json`: what a reader needs to know of a shard before it reads anything else of it.

use bytes::Bytes;
use model::{Dimension, DistanceMetric, TrainId};
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

/// How `index.faiss` encodes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IvfCode {
    /// Bits per sub-quantizer.
    pub kind: IvfCodeKind,
    /// Sub-quantizers.
    pub m: u32,
}

/// The product quantizers that shards may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IvfCodeKind {
    /// 4 bits, fast scan.
    Pq4,
    /// The same, of the difference from the list's centroid.
    Pq4r,
    /// 8 bits.
    Pq8,
}

/// One measured way to search: so many lists, so many candidates compared exactly, so many true answers found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecallPoint {
    /// Lists visited.
    pub nprobe: u32,
    /// Candidates compared exactly.
    pub depth: u32,
    /// True answers that came back.
    pub found: u32,
}

/// Measured recall@k of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecallCurve {
    /// Nearest rows asked for.
    pub k: u32,
    /// Rows of the shard that served as queries, each without itself.
    pub queries: u32,
    /// The measurements.
    pub points: Vec<RecallPoint>,
}

impl RecallCurve {
    /// The recall of a point, 0 to 1.
    #[must_use]
    pub fn recall(&self, point: &RecallPoint) -> f64 {
        let wanted = f64::from(self.queries) * f64::from(self.k);
        if wanted > 0.0 {
            f64::from(point.found) / wanted
        } else {
            0.0
        }
    }
}

/// What belongs to `index.faiss`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IvfHead {
    /// The training generation.
    pub generation: TrainId,
    /// How vectors are compared.
    pub metric: DistanceMetric,
    /// Values per vector as FAISS sees it: the index's dimension, padded with zeros.
    pub dimension: u32,
    /// Euclidean: FAISS sees each value times two to this power.
    pub exponent: i32,
    /// The code.
    pub code: IvfCode,
    /// List i holds the rows `list_starts[i]..list_starts[i + 1]`; one element more than there are lists.
    pub list_starts: Vec<u32>,
    /// Measured recall.
    pub curves: Vec<RecallCurve>,
}

impl IvfHead {
    /// How many lists.
    #[must_use]
    pub fn nlist(&self) -> usize {
        self.list_starts.len().saturating_sub(1)
    }

    /// The rows of a list; empty for a list that does not exist.
    #[must_use]
    pub fn rows_of(&self, list: usize) -> std::ops::Range<u32> {
        match (self.list_starts.get(list), self.list_starts.get(list.saturating_add(1))) {
            (Some(start), Some(end)) => *start..*end,
            _ => 0..0,
        }
    }

    fn check(&self, rows: u32, dimension: Dimension) -> Result<(), &'static str> {
        let starts = &self.list_starts;
        if starts.len() < 2 || starts.first() != Some(&0) || starts.last() != Some(&rows) || !starts.is_sorted() {
            return Err("the inverted lists do not cover the rows");
        }
        if (self.dimension as usize) < dimension.get()
            || self.code.m == 0
            || !self.dimension.is_multiple_of(self.code.m)
        {
            return Err("the product quantizer does not fit the dimension");
        }
        Ok(())
    }
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
    /// What belongs to `index.faiss`; absent for flat shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ivf: Option<IvfHead>,
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

    pub(super) fn check(&self) -> Result<(), FormatError> {
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
        match &self.ivf {
            Some(ivf) => ivf.check(self.rows, self.dimension).or_else(corrupt),
            None => Ok(()),
        }
    }
}
