//! The centroids of the lists.

use super::native::{self, Native};
use super::{Code, IvfError, Metric, Shape, check_lists, check_rows};

/// Rounds of k-means. FAISS's own choice for the lists; for codebooks 25 rounds cost twice as much and find no more. After
/// 6 the lists of a small shard may be so unlike in size that scanning everything is cheaper than searching it.
pub(super) const TRAINING_ROUNDS: u32 = 10;

/// Trained centroids.
#[derive(Debug, Clone)]
pub struct Coarse {
    pub(super) dimension: usize,
    pub(super) metric: Metric,
    pub(super) nlist: usize,
    pub(super) centroids: Vec<f32>,
}

impl Coarse {
    /// Trains `nlist` centroids on `sample`, n rows of `dimension` values with n >= `nlist`. For inner products the
    /// centroids are normalized, as FAISS's own IVF training does.
    pub fn train(dimension: usize, metric: Metric, nlist: usize, sample: &[f32], seed: u64) -> Result<Self, IvfError> {
        check_lists(dimension, nlist)?;
        let rows = check_rows(dimension, sample)?;
        if rows < nlist {
            return Err(IvfError::input(format!("{rows} rows cannot train {nlist} lists")));
        }
        let clusters = native::Clusters {
            dimension,
            count: nlist,
            metric,
            rounds: TRAINING_ROUNDS,
            seed,
        };
        Ok(Self {
            dimension,
            metric,
            nlist,
            centroids: native::cluster(clusters, sample)?,
        })
    }

    /// The list of each row.
    pub(super) fn assign(&self, rows: &[f32]) -> Result<Vec<u32>, IvfError> {
        let shape = Shape {
            dimension: self.dimension,
            metric: self.metric,
            nlist: self.nlist,
            code: Code::Pq4 { m: 1 },
        };
        check_rows(self.dimension, rows)?;
        let unused = vec![0.0; shape.codebook_values()];
        let native = Native::new(shape, native::bytes_of(&self.centroids), native::bytes_of(&unused))?;
        native.assign(rows)
    }

    /// Values in a row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How rows are compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Lists.
    pub fn nlist(&self) -> usize {
        self.nlist
    }
}
