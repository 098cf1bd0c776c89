//! A training generation: the coarse quantizer and the codebooks that the shards of an index share.

use bytes::Bytes;
use format::{IvfCode, IvfCodeKind};
use model::{DistanceMetric, IndexConfig, TrainId};
use rayon::prelude::*;

use super::recall::Subject;
use super::{IvfConfig, Space, sample};
use crate::build::MergeSource;
use crate::error::EngineError;
use crate::ivfpq::{Coarse, Code, Generation, Metric};

/// A code is good enough when so many candidates hold [`TRIAL_RECALL`] of ten true answers among the trial's rows.
const TRIAL_DEPTH: u32 = 60;
const TRIAL_RECALL: f64 = 0.99;
/// Rows that a code is tried on.
const TRIAL_ROWS: usize = 32_768;
/// Codewords of a 4-bit sub-quantizer: the fewest rows that train it.
const LEAST_ROWS: usize = 16;
/// Rows that a thread encodes at a time.
const TRIAL_BATCH: usize = 1024;
/// Queries of a trial.
const TRIAL_QUERIES: usize = 64;

/// A generation, with what FAISS's file does not say.
#[derive(Debug)]
pub struct TrainedGeneration {
    /// Names `train/<id>.faiss`.
    pub id: TrainId,
    pub(super) space: Space,
    pub(super) code: IvfCode,
    pub(super) faiss: Generation,
}

impl TrainedGeneration {
    /// Reads `train/<id>.faiss`, whose checksum the caller has verified; `exponent` is the manifest's.
    ///
    /// # Errors
    /// When FAISS refuses it or it does not belong to an index of this configuration.
    pub fn open(id: TrainId, bytes: &[u8], config: &IndexConfig, exponent: i32) -> Result<Self, EngineError> {
        let faiss = Generation::open(bytes)?;
        let shape = faiss.shape();
        let (kind, m) = match shape.code {
            Code::Pq4 { m } => (IvfCodeKind::Pq4, m),
            Code::Pq4Residual { m } => (IvfCodeKind::Pq4r, m),
            Code::Pq8 { m } => (IvfCodeKind::Pq8, m),
        };
        let dimension = config.dimension.get();
        if shape.metric != METRIC || shape.dimension < dimension {
            let what = format!("training generation {id} is of another metric or dimension than its index");
            return Err(EngineError::Corrupt { what });
        }
        Ok(Self {
            id,
            space: Space::new(config.metric, dimension, shape.dimension, exponent),
            code: IvfCode {
                kind,
                m: u32::try_from(m).unwrap_or(u32::MAX),
            },
            faiss,
        })
    }

    /// Trains from a bounded sample of the live rows of `sources`. `index_rows` are the live rows of the whole index;
    /// the id is the seed. Call it on the [`crate::Pool`].
    ///
    /// Memory: the configured bytes for the rows, and what the trials need beside them (a code for each of
    /// [`TRIAL_ROWS`] rows).
    ///
    /// # Errors
    /// When there is no live row, or FAISS fails.
    pub fn train(
        config: &IndexConfig,
        ivf: &IvfConfig,
        sources: &[MergeSource<'_>],
        index_rows: u64,
        id: TrainId,
    ) -> Result<Self, EngineError> {
        let dimension = config.dimension.get();
        let row_bytes = (dimension as u64 + 8) * size_of::<f32>() as u64;
        let affordable = usize::try_from(ivf.sample_bytes / row_bytes).unwrap_or(usize::MAX);
        let available = usize::try_from(sample::live(sources))
            .unwrap_or(usize::MAX)
            .min(affordable);
        let lists = ivf.lists(index_rows, available);
        let seed = seed_of(id);
        let rows = sample::vectors(sources, available.min(lists.saturating_mul(ivf.sample_per_list)), seed);
        if rows.is_empty() {
            let what = "a training generation without rows".to_owned();
            return Err(EngineError::Corrupt { what });
        }
        // FAISS wants a row for each codeword; a handful of rows is taken several times.
        let wanted = rows.len().max(LEAST_ROWS);
        let rows: Vec<&[u8]> = rows.iter().copied().cycle().take(wanted).collect();
        let (padded, codes) = ivf.codes(dimension, rows.len());
        let exponent = match config.metric {
            DistanceMetric::Cosine => 0,
            DistanceMetric::Euclidean => Space::exponent_for(rows.iter().copied()),
        };
        let space = Space::new(config.metric, dimension, padded, exponent);
        let mut seen = Vec::with_capacity(rows.len() * padded);
        rows.iter().for_each(|row| space.append(row, &mut seen));
        let coarse = Coarse::train(padded, METRIC, lists, &seen, seed)?;
        let (code, faiss) = choose_code(&coarse, &codes, &rows, &seen, space, seed)?;
        Ok(Self { id, space, code, faiss })
    }

    /// `train/<id>.faiss`
    ///
    /// # Errors
    /// When FAISS fails.
    pub fn to_bytes(&self) -> Result<Bytes, EngineError> {
        Ok(self.faiss.to_bytes().into())
    }

    /// The exponent that the manifest keeps.
    pub fn exponent(&self) -> i32 {
        self.space.exponent()
    }
}

/// FAISS always compares by squared Euclidean distance: vectors of length one have the same order by it as by their
/// cosine, and an error of the code counts by how far the row is from the query, not by how long the query is. On tight
/// clusters inner products found nothing that L2 finds with the same code.
pub(crate) const METRIC: Metric = Metric::L2;

fn faiss_code(code: IvfCode) -> Code {
    let m = code.m as usize;
    match code.kind {
        IvfCodeKind::Pq4 => Code::Pq4 { m },
        IvfCodeKind::Pq4r => Code::Pq4Residual { m },
        IvfCodeKind::Pq8 => Code::Pq8 { m },
    }
}

fn seed_of(id: TrainId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = id.0.to_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The smallest code that orders the sample's rows well enough; the largest when none does.
fn choose_code(
    coarse: &Coarse,
    codes: &[IvfCode],
    rows: &[&[u8]],
    seen: &[f32],
    space: Space,
    seed: u64,
) -> Result<(IvfCode, Generation), EngineError> {
    let mut chosen = None;
    let mut trial: Option<Trial<'_>> = None;
    for (number, code) in codes.iter().enumerate() {
        let faiss = Generation::train(coarse, faiss_code(*code), seen, seed)?;
        let is_last = number + 1 == codes.len();
        if !is_last {
            let trial = match &trial {
                Some(trial) => trial,
                None => trial.insert(Trial::new(&faiss, rows, seen)?),
            };
            if !trial.is_good(&faiss, space, seed)? {
                continue;
            }
        }
        chosen = Some((*code, faiss));
        break;
    }
    chosen.ok_or_else(|| EngineError::Corrupt {
        what: "no product quantizer to choose from".to_owned(),
    })
}

/// Some of the sample's rows, as stored and as FAISS sees them, in the order of their lists, which are those of every
/// code.
struct Trial<'a> {
    rows: Vec<&'a [u8]>,
    seen: Vec<f32>,
    lists: Vec<u32>,
    list_starts: Vec<u32>,
}

impl<'a> Trial<'a> {
    fn new(faiss: &Generation, rows: &[&'a [u8]], seen: &[f32]) -> Result<Self, EngineError> {
        let step = rows.len().div_ceil(TRIAL_ROWS).max(1);
        let width = faiss.shape().dimension;
        let (rows, drawn): (Vec<&[u8]>, Vec<&[f32]>) =
            rows.iter().copied().zip(seen.chunks_exact(width)).step_by(step).unzip();
        let batches: Vec<Vec<u32>> = drawn
            .par_chunks(TRIAL_BATCH)
            .map(|batch| faiss.assign(&batch.concat()))
            .collect::<Result<_, _>>()?;
        let unordered = batches.concat();
        let order = super::assemble::by_list(&unordered, faiss.shape().nlist);
        let places = || order.rows.iter().map(|row| *row as usize);
        Ok(Self {
            rows: places().filter_map(|row| rows.get(row).copied()).collect(),
            seen: places()
                .filter_map(|row| drawn.get(row))
                .copied()
                .flatten()
                .copied()
                .collect(),
            lists: places().filter_map(|row| unordered.get(row).copied()).collect(),
            list_starts: order.list_starts,
        })
    }

    fn is_good(&self, faiss: &Generation, space: Space, seed: u64) -> Result<bool, EngineError> {
        let width = faiss.shape().dimension;
        let codes: Vec<Vec<u8>> = self
            .seen
            .par_chunks(TRIAL_BATCH * width)
            .zip(self.lists.par_chunks(TRIAL_BATCH))
            .map(|(seen, lists)| faiss.encode_assigned(seen, lists))
            .collect::<Result<_, _>>()?;
        let index = faiss.assemble(&self.list_starts, &codes.concat())?;
        let subject = Subject {
            index: &index,
            space,
            rows: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
            vector: |row: u32| self.rows.get(row as usize).copied().unwrap_or_default(),
        };
        let depth = subject.depth_of_code(TRIAL_RECALL, TRIAL_QUERIES, seed)?;
        Ok(depth.is_some_and(|depth| depth <= TRIAL_DEPTH))
    }
}
