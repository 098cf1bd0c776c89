//! Centroids and codebooks: what the shards of a generation share.

use rayon::prelude::*;

use super::coarse::TRAINING_ROUNDS;
use super::native::{self, Native};
use super::{Coarse, Code, Index, IvfError, Metric, Shape, check_rows, layout};

/// Training rows for each codeword of a sub-quantizer, at most.
const ROWS_PER_CODEWORD: usize = 256;

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
        // A sub-quantizer has few codewords: more rows make training slower and nothing else.
        let enough = (code.codewords() * ROWS_PER_CODEWORD).min(rows) * shape.dimension;
        let sample = sample.get(..enough).unwrap_or(sample);
        let codebooks = if code.is_residual() {
            let lists = coarse.assign(sample)?;
            train_codebooks(&shape, &residuals(&shape, &coarse.centroids, sample, &lists), seed)?
        } else {
            train_codebooks(&shape, sample, seed)?
        };
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
        check_rows(self.shape().dimension, rows)?;
        self.native.assign(rows)
    }

    /// The code of each row, [`Self::code_size`] bytes each.
    pub fn encode(&self, rows: &[f32]) -> Result<Vec<u8>, IvfError> {
        let lists = if self.shape().code.is_residual() {
            self.assign(rows)?
        } else {
            Vec::new()
        };
        self.encode_assigned(rows, &lists)
    }

    /// [`Self::encode`] for rows whose lists are known: those that [`Self::assign`] gives.
    pub fn encode_assigned(&self, rows: &[f32], lists: &[u32]) -> Result<Vec<u8>, IvfError> {
        let shape = self.shape();
        let count = check_rows(shape.dimension, rows)?;
        if !shape.code.is_residual() {
            return self.native.encode(rows);
        }
        if lists.len() != count {
            return Err(IvfError::input(format!("{} lists for {count} rows", lists.len())));
        }
        if let Some(list) = lists.iter().find(|&&list| list as usize >= shape.nlist) {
            return Err(IvfError::input(format!("list {list} of {}", shape.nlist)));
        }
        let centroids: Vec<f32> = native::values_of(self.native.centroid_bytes());
        self.native.encode(&residuals(&shape, &centroids, rows, lists))
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

/// Each row less the centroid of its list.
fn residuals(shape: &Shape, centroids: &[f32], rows: &[f32], lists: &[u32]) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for (row, list) in rows.chunks_exact(shape.dimension).zip(lists) {
        let start = *list as usize * shape.dimension;
        let centroid = centroids.get(start..start + shape.dimension).unwrap_or_default();
        out.extend(row.iter().zip(centroid).map(|(value, centre)| value - centre));
    }
    out
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
    let train = |quantizer: usize| {
        let mut part = Vec::with_capacity(sample.len() / shape.code.m());
        for row in sample.chunks_exact(shape.dimension) {
            part.extend(row.iter().skip(quantizer * sub_dimension).take(sub_dimension));
        }
        native::cluster(clusters, &part)
    };
    let codebooks: Vec<Vec<f32>> = (0..shape.code.m())
        .into_par_iter()
        .map(train)
        .collect::<Result<_, _>>()?;
    Ok(codebooks.concat())
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
