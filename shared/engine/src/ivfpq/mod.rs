//! FAISS IVF-PQ: trained quantizers, codes of rows, and the search that selects candidates.
//!
//! The only room that touches FAISS. It is called through `shim.cpp`, which wraps the few parts that are used: k-means,
//! the coarse quantizer, the product quantizer, and the scan of lists (`fast_scan.h` says what is wrong with FAISS's
//! own, and makes it right). The file is read and written here, in Rust (`layout`), byte for byte as FAISS would, so
//! that a damaged file is an error before FAISS sees any of it.
//!
//! What callers must know:
//! - Every call runs on the calling thread alone; FAISS's OpenMP is held to one thread. Parallelism is the caller's:
//!   all types are `Send + Sync`, rows may be assigned and encoded in chunks, and the result does not depend on the
//!   chunks. Only [`Generation::train`] spreads itself, over the rayon pool that it is called in.
//! - Training is deterministic: the same sample and seed give the same bytes.
//! - A row keeps its list and code for as long as its generation lives, so a merge copies codes, also those that code
//!   the difference from the list's centroid.
//! - Ids are row numbers, and rows are numbered in the order of the lists: list i holds `starts[i]..starts[i + 1]`.
//! - A search may return fewer rows than match: 4-bit distances have 65,536 steps, and the worst one means "none". With
//!   a zero query, or when all rows are alike, it can be all of them. Fewer than wanted means: scan exactly.
//! - Values above [`Shape::largest_value`] would overflow f32 inside FAISS, where k-means then never ends; they are
//!   [`IvfError::OutOfRange`].
//!
//! | module | what it does |
//! |---|---|
//! | `coarse` | the centroids of the lists |
//! | `codewords` | 4-bit codes of rows |
//! | `generation` | centroids and codebooks: assigns and encodes rows, assembles an index |
//! | `index` | a searchable index |
//! | `layout` | the bytes of both, as FAISS writes them |
//! | `native` | the calls into the shim, and nothing else: all the unsafe code but `blas` |
//! | `blas` | the matrix product, and the names that FAISS asks BLAS for |

mod blas;
mod coarse;
mod codewords;
mod generation;
mod index;
mod layout;
mod native;
#[cfg(test)]
mod tests;

pub(crate) use self::blas::products;
pub use self::coarse::Coarse;
pub use self::generation::Generation;
pub use self::index::{Expected, Index};

/// How rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// The largest inner product is nearest.
    InnerProduct,
    /// The smallest squared Euclidean distance is nearest.
    L2,
}

/// How a row is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// `m` sub-quantizers of 4 bits, scanned 32 rows at a time (FAISS: PQ{m}x4fs).
    Pq4 {
        /// Sub-quantizers; a divisor of the dimension.
        m: usize,
    },
    /// The same, of the difference between a row and its list's centroid (FAISS: PQ{m}x4fsr): tells rows of a tight
    /// cluster apart.
    Pq4Residual {
        /// Sub-quantizers; a divisor of the dimension.
        m: usize,
    },
    /// `m` sub-quantizers of 8 bits (FAISS: PQ{m}).
    Pq8 {
        /// Sub-quantizers; a divisor of the dimension.
        m: usize,
    },
}

impl Code {
    /// Sub-quantizers.
    pub fn m(self) -> usize {
        match self {
            Self::Pq4 { m } | Self::Pq4Residual { m } | Self::Pq8 { m } => m,
        }
    }

    /// Bits of one sub-quantizer.
    fn bits(self) -> usize {
        match self {
            Self::Pq4 { .. } | Self::Pq4Residual { .. } => 4,
            Self::Pq8 { .. } => 8,
        }
    }

    /// Whether rows are coded by their difference from the centroid of their list.
    pub fn is_residual(self) -> bool {
        matches!(self, Self::Pq4Residual { .. })
    }

    /// Codewords of one sub-quantizer: the fewest rows that train it.
    pub fn codewords(self) -> usize {
        1 << self.bits()
    }

    /// Bytes of one row's code.
    pub fn bytes(self) -> usize {
        (self.m() * self.bits()).div_ceil(8)
    }

    /// Bytes that the codes of a list of `rows` rows take: 4-bit codes are kept in blocks of 32.
    fn list_bytes(self, rows: usize) -> usize {
        match self {
            Self::Pq4 { .. } | Self::Pq4Residual { .. } => rows.next_multiple_of(BLOCK_ROWS) * self.bytes(),
            Self::Pq8 { .. } => rows * self.bytes(),
        }
    }
}

/// Rows in a block of 4-bit codes.
const BLOCK_ROWS: usize = 32;

/// What an index is made of; the same for all that share a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Values in a row; a multiple of the code's `m` (callers pad with zeros).
    pub dimension: usize,
    /// How rows are compared.
    pub metric: Metric,
    /// Lists.
    pub nlist: usize,
    /// How rows are coded.
    pub code: Code,
}

impl Shape {
    /// Most values in a row.
    pub const LARGEST_DIMENSION: usize = 1 << 16;
    /// Most lists.
    pub const MOST_LISTS: usize = 1 << 22;

    /// The largest absolute value that FAISS can compute with at this dimension: sums of `dimension` squares of
    /// differences stay below `f32::MAX`.
    pub fn largest_value(dimension: usize) -> f32 {
        (f32::MAX / 16.0 / dimension.max(1) as f32).sqrt()
    }

    fn check(&self) -> Result<(), IvfError> {
        check_lists(self.dimension, self.nlist)?;
        let m = self.code.m();
        if m == 0 || !self.dimension.is_multiple_of(m) {
            return Err(IvfError::input(format!(
                "dimension {} is not a multiple of m {m}",
                self.dimension
            )));
        }
        Ok(())
    }

    /// f32 values of all centroids.
    fn centroid_values(&self) -> usize {
        self.nlist * self.dimension
    }

    /// f32 values of all codebooks.
    fn codebook_values(&self) -> usize {
        self.code.codewords() * self.dimension
    }
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum IvfError {
    /// The caller's arguments contradict each other or the index.
    #[error("{0}")]
    Input(String),
    /// A value is NaN, infinite, or too large for f32 arithmetic. Such rows and queries need an exact scan.
    #[error("a value is not finite or above {largest:e}")]
    OutOfRange {
        /// The largest absolute value allowed.
        largest: f32,
    },
    /// The bytes are not an index file as this room writes them, or not the one expected.
    #[error("faiss file: {0}")]
    Corrupt(String),
    /// FAISS refused.
    #[error("faiss: {0}")]
    Faiss(String),
}

impl IvfError {
    fn input(what: impl Into<String>) -> Self {
        Self::Input(what.into())
    }
}

fn check_lists(dimension: usize, nlist: usize) -> Result<(), IvfError> {
    if dimension == 0 || dimension > Shape::LARGEST_DIMENSION {
        let most = Shape::LARGEST_DIMENSION;
        return Err(IvfError::input(format!(
            "dimension {dimension} is not between 1 and {most}"
        )));
    }
    if nlist == 0 || nlist > Shape::MOST_LISTS {
        let most = Shape::MOST_LISTS;
        return Err(IvfError::input(format!("nlist {nlist} is not between 1 and {most}")));
    }
    Ok(())
}

/// Checks that `rows` are whole rows of usable values, and counts them.
fn check_rows(dimension: usize, rows: &[f32]) -> Result<usize, IvfError> {
    if !rows.len().is_multiple_of(dimension) {
        let values = rows.len();
        return Err(IvfError::input(format!(
            "{values} values are not whole rows of dimension {dimension}"
        )));
    }
    let largest = Shape::largest_value(dimension);
    // Also false for NaN.
    if rows.iter().all(|value| value.abs() <= largest) {
        Ok(rows.len() / dimension)
    } else {
        Err(IvfError::OutOfRange { largest })
    }
}
