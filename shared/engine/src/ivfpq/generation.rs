//! Centroids and codebooks: what the shards of a generation share.

use super::coarse::TRAINING_ROUNDS;
use super::native::{self, Native};
use super::{Coarse, Code, Index, IvfError, Metric, Shape, check_rows, layout};

/// A trained and empty index: assigns rows to lists, encodes them, and assembles the result.
#[derive(Debug)]
pub struct Generation {
    native: Native,
}

impl Generation {
    /// Trains the codebooks on `sample`, n rows with n >= 16 (`Pq4`) or 256 (`Pq8`).
    pub fn train(coarse: &Coarse, code: Code, sample: &[f32], seed: u64) -> Result<Self, IvfError> {
        let shape = Shape {
            dimension: coarse.dimension,
            metric: coarse.metric,
            nlist: coarse.nlist,
            code,
        };
        shape.check()?;
        let rows = check_rows(shape.dimension, sample)?;
        if rows < code.codewords() {
            let codewords = code.codewords();
            return Err(IvfError::input(format!(
                "{rows} rows cannot train {codewords} codewords"
            )));
        }
        let codebooks = train_codebooks(&shape, sample, seed)?;
        Ok(Self {
            native: Native::new(shape, native::bytes_of(&coarse.centroids), native::bytes_of(&codebooks))?,
        })
    }

    /// Reads what [`Self::to_bytes`] wrote. Refuses anything else, with or without bytes missing or left over.
    pub fn open(bytes: &[u8]) -> Result<Self, IvfError> {
        let parsed = layout::parse(bytes)?;
        if parsed.rows() != 0 {
            return Err(IvfError::Corrupt(format!(
                "{} rows in a trained and empty index",
                parsed.rows()
            )));
        }
        Ok(Self {
            native: Native::new(parsed.shape, parsed.centroids, parsed.codebooks)?,
        })
    }

    /// A FAISS index file without rows (IndexIVFPQFastScan or IndexIVFPQ).
    pub fn to_bytes(&self) -> Vec<u8> {
        layout::write(&self.native)
    }

    /// What the index is made of.
    pub fn shape(&self) -> Shape {
        self.native.shape()
    }

    /// Bytes of one row's code.
    pub fn code_size(&self) -> usize {
        self.shape().code.bytes()
    }

    /// The list of each row.
    pub fn assign(&self, rows: &[f32]) -> Result<Vec<u32>, IvfError> {
        let count = check_rows(self.shape().dimension, rows)?;
        self.native.assign(rows, count)
    }

    /// The code of each row, [`Self::code_size`] bytes each.
    pub fn encode(&self, rows: &[f32]) -> Result<Vec<u8>, IvfError> {
        let count = check_rows(self.shape().dimension, rows)?;
        self.native.encode(rows, count)
    }

    /// The index of rows that are numbered in the order of their lists: list i holds the rows
    /// `list_starts[i]..list_starts[i + 1]`, and `codes` are all codes in the order of the rows.
    pub fn assemble(&self, list_starts: &[u32], codes: &[u8]) -> Result<Index, IvfError> {
        let shape = self.shape();
        let starts = ListStarts::new(list_starts.to_vec(), shape.nlist).map_err(IvfError::Input)?;
        let expected = starts.rows() * shape.code.bytes();
        if codes.len() != expected {
            let actual = codes.len();
            return Err(IvfError::input(format!(
                "{actual} bytes of codes where the rows have {expected}"
            )));
        }
        let mut native = Native::new(shape, self.native.centroid_bytes(), self.native.codebook_bytes())?;
        native.allocate_lists(starts)?;
        native.pack(codes)?;
        Ok(Index::from_native(native))
    }
}

/// Sub-quantizers are independent: each is a k-means of its own values, whatever the metric (codes approximate rows).
fn train_codebooks(shape: &Shape, sample: &[f32], seed: u64) -> Result<Vec<f32>, IvfError> {
    let sub_dimension = shape.dimension / shape.code.m();
    let clusters = native::Clusters {
        dimension: sub_dimension,
        count: shape.code.codewords(),
        metric: Metric::L2,
        rounds: TRAINING_ROUNDS,
        seed,
    };
    let mut codebooks = Vec::with_capacity(shape.codebook_values());
    let mut part = Vec::with_capacity(sample.len() / shape.code.m());
    for first in (0..shape.dimension).step_by(sub_dimension) {
        part.clear();
        for row in sample.chunks_exact(shape.dimension) {
            part.extend(row.iter().skip(first).take(sub_dimension));
        }
        codebooks.extend(native::cluster(clusters, &part)?);
    }
    Ok(codebooks)
}

/// Where each list starts: `nlist` + 1 row numbers, ascending from 0, the last one being the number of rows.
#[derive(Debug, Clone)]
pub(super) struct ListStarts(Vec<u32>);

impl ListStarts {
    pub(super) fn new(starts: Vec<u32>, nlist: usize) -> Result<Self, String> {
        if starts.len() != nlist + 1 {
            return Err(format!("{} list starts for {nlist} lists", starts.len()));
        }
        if starts.first() != Some(&0) || !starts.is_sorted() {
            return Err("list starts do not ascend from 0".to_owned());
        }
        Ok(Self(starts))
    }

    pub(super) fn empty(nlist: usize) -> Self {
        Self(vec![0; nlist + 1])
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.0
    }

    pub(super) fn rows(&self) -> usize {
        self.0.last().map_or(0, |&rows| rows as usize)
    }

    /// The rows in each list.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.0
            .iter()
            .zip(self.0.iter().skip(1))
            .map(|(start, end)| (end - start) as usize)
    }

    /// The rows in one list; none beyond the last list.
    pub(super) fn size(&self, list: u32) -> usize {
        self.sizes().nth(list as usize).unwrap_or(0)
    }
}
