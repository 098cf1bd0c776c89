//! Vectors of a shard that were read one by one.

use bytes::Bytes;

use crate::error::EngineError;
use crate::shard::Shard;

/// Vectors of some rows of one shard, each of them checked.
#[derive(Debug, Clone, Default)]
pub struct PickedVectors {
    /// Ascending.
    rows: Vec<u32>,
    /// Their vectors, one after the other: what was read around them is let go.
    vectors: Vec<u8>,
    width: usize,
}

impl PickedVectors {
    /// Vectors of rows of `shard`, in any order, with the bytes that were read where [`Shard::vector_range`] says. CPU
    /// work.
    ///
    /// # Errors
    /// Names the first row whose bytes are not its vector.
    pub fn new(shard: &Shard, mut read: Vec<(u32, Bytes)>) -> Result<Self, EngineError> {
        read.sort_unstable_by_key(|(row, _)| *row);
        read.dedup_by_key(|(row, _)| *row);
        let width = shard.head().vector_width();
        let mut picked = Self {
            rows: Vec::with_capacity(read.len()),
            vectors: Vec::with_capacity(read.len() * width),
            width,
        };
        for (row, bytes) in read {
            shard.check_vector(row, &bytes)?;
            picked.rows.push(row);
            picked.vectors.extend_from_slice(&bytes);
        }
        Ok(picked)
    }

    /// The row's vector, when it was picked.
    pub fn get(&self, row: u32) -> Option<&[u8]> {
        let start = self.rows.binary_search(&row).ok()? * self.width;
        self.vectors.get(start..start + self.width)
    }

    /// Takes over what `other` of the same shard holds. CPU work: all is copied when both hold something.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.rows.is_empty() {
            return other;
        }
        if other.rows.is_empty() {
            return self;
        }
        let mut rows: Vec<u32> = self.rows.iter().chain(&other.rows).copied().collect();
        rows.sort_unstable();
        rows.dedup();
        let mut vectors = Vec::with_capacity(rows.len() * self.width);
        for row in &rows {
            vectors.extend_from_slice(self.get(*row).or_else(|| other.get(*row)).unwrap_or_default());
        }
        let width = self.width;
        Self { rows, vectors, width }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
