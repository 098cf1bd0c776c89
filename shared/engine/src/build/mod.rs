//! Building shards: rows in any order to one flat shard, and several shards to one, flat or with an `index.faiss`.

mod merge;
mod row_map;
#[cfg(test)]
pub(crate) mod tests;

use format::{EncodedIvf, EncodedShard, ShardRow, encode_shard};
use model::{Dimension, IndexConfig};

#[cfg(feature = "ivfpq")]
pub(crate) use self::merge::Origin;
#[cfg(feature = "ivfpq")]
pub use self::merge::{IvfBuild, merge_ivf};
pub use self::merge::{MergeSource, Merged, merge};
pub use self::row_map::RowMap;
use crate::error::EngineError;

/// Collects rows for one flat shard.
///
/// Memory: the rows' own bytes, in three buffers, and 24 bytes a row; while [`Self::finish`] runs, 60 bytes a row more
/// and what [`encode_shard`] needs (about the rows' bytes again).
#[derive(Debug, Clone)]
pub struct ShardBuilder {
    dimension: Dimension,
    vectors: Vec<u8>,
    keys: String,
    metadata: String,
    rows: Vec<RowEnds>,
}

/// Where a row's texts end in their buffers; they begin where those of the row before end.
#[derive(Debug, Clone, Copy)]
struct RowEnds {
    key: usize,
    metadata: usize,
    has_metadata: bool,
}

impl ShardBuilder {
    /// An empty builder for vectors of this dimension.
    pub fn new(dimension: Dimension) -> Self {
        Self {
            dimension,
            vectors: Vec::new(),
            keys: String::new(),
            metadata: String::new(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: `vector` as little-endian f32 bytes, `metadata` as the JSON text that was put. A later row of the
    /// same key replaces an earlier one, as puts do.
    ///
    /// # Errors
    /// When the vector has another dimension.
    pub fn push(&mut self, key: &str, vector: &[u8], metadata: Option<&str>) -> Result<(), EngineError> {
        let expected = self.dimension.get();
        if vector.len() != expected * size_of::<f32>() {
            return Err(EngineError::Dimension {
                expected,
                actual: vector.len() / size_of::<f32>(),
            });
        }
        self.vectors.extend_from_slice(vector);
        self.keys.push_str(key);
        self.metadata.push_str(metadata.unwrap_or_default());
        let (key, has_metadata) = (self.keys.len(), metadata.is_some());
        self.rows.push(RowEnds {
            key,
            metadata: self.metadata.len(),
            has_metadata,
        });
        Ok(())
    }

    /// How many rows were pushed.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether none were.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes of the rows pushed.
    pub fn size_bytes(&self) -> usize {
        self.vectors.len() + self.keys.len() + self.metadata.len()
    }

    /// Sorts the rows by key and writes the shard; `None` without rows. The same rows in the same order give the same
    /// bytes.
    ///
    /// # Errors
    /// When the rows do not fit one shard.
    pub fn finish(self, config: &IndexConfig) -> Result<Option<EncodedShard>, EngineError> {
        merge(config, &[], Some(&self)).map(|merged| merged.shard)
    }

    /// The rows in the order they were pushed.
    fn iter(&self) -> impl Iterator<Item = ShardRow<'_>> {
        let vectors = self.vectors.chunks_exact(self.dimension.get() * size_of::<f32>());
        let starts = std::iter::once((0, 0)).chain(self.rows.iter().map(|row| (row.key, row.metadata)));
        vectors
            .zip(starts)
            .zip(&self.rows)
            .map(|((vector, (key, metadata)), end)| ShardRow {
                key: self.keys.get(key..end.key).unwrap_or_default(),
                vector,
                metadata: end
                    .has_metadata
                    .then(|| self.metadata.get(metadata..end.metadata).unwrap_or_default()),
            })
    }
}

/// `None` without rows.
fn encode(
    config: &IndexConfig,
    rows: &[ShardRow<'_>],
    ivf: Option<EncodedIvf>,
) -> Result<Option<EncodedShard>, EngineError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let encoded = encode_shard(config.dimension, config.non_filterable(), rows, ivf);
    encoded.map(Some).map_err(EngineError::Encode)
}
