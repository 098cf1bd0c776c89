//! Flags of the search engine: when shards get an index, how it is built, how it is searched.

use std::time::Duration;

use clap::{Args, ValueEnum};
use format::IvfCodeKind;
use service::Config;

use super::args::{DAY_MS, MAX_DISK_MIB};

/// The largest numbers that flags take: larger ones are mistakes.
const MAX_ROWS: u64 = 1_000_000_000_000;
const MAX_LISTS: i64 = 16_384;
const MAX_BATCH_ROWS: i64 = 1 << 20;
const MAX_DEPTH: i64 = 10_000;

/// Tuning of the search engine; the defaults suit most, and follow from each index's rows and dimension.
#[derive(Debug, Args)]
#[command(next_help_heading = "Search engine")]
pub(crate) struct EngineArgs {
    /// Rows from which a shard gets an IVF-PQ index; smaller ones are scanned exactly.
    #[arg(long, env = "GENAI_VECTORS_FLAT_THRESHOLD", value_parser = clap::value_parser!(u64).range(1..=MAX_ROWS))]
    pub(crate) flat_threshold: Option<u64>,
    /// Inverted lists of an index, instead of about twice the root of its rows.
    #[arg(long, env = "GENAI_VECTORS_NLIST", value_parser = clap::value_parser!(u32).range(1..=MAX_LISTS))]
    pub(crate) nlist: Option<u32>,
    /// Sub-quantizers of the product quantizer, instead of what the dimension and a trial say.
    #[arg(long, env = "GENAI_VECTORS_M", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) m: Option<u32>,
    /// How rows are coded.
    #[arg(long, env = "GENAI_VECTORS_CODE", value_enum, default_value_t = CodeArg::Pq4)]
    pub(crate) code: CodeArg,
    /// Rows handed to FAISS at a time while an index is built.
    #[arg(long, env = "GENAI_VECTORS_BATCH_SIZE", value_parser = clap::value_parser!(u32).range(1..=MAX_BATCH_ROWS))]
    pub(crate) batch_size: Option<u32>,
    /// MiB that one merge of shards may hold; larger shards are not made.
    #[arg(long, env = "GENAI_VECTORS_INDEX_MEMORY_MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=MAX_DISK_MIB))]
    pub(crate) index_memory_mib: u64,
    /// Milliseconds without new writes after which shards are merged further.
    #[arg(long, env = "GENAI_VECTORS_SETTLE_MS", value_parser = clap::value_parser!(u64).range(..=DAY_MS))]
    pub(crate) settle_ms: Option<u64>,
    /// Recall that queries aim for, above 0 and at most 1; 1 scans everything.
    #[arg(long, env = "GENAI_VECTORS_TARGET_RECALL", default_value_t = 0.98, value_parser = recall)]
    pub(crate) target_recall: f64,
    /// Inverted lists that a query visits, instead of what the measured recall says.
    #[arg(long, env = "GENAI_VECTORS_NPROBE", value_parser = clap::value_parser!(u32).range(1..=MAX_LISTS))]
    pub(crate) nprobe: Option<u32>,
    /// Candidates compared exactly for each answer, instead of what the measured recall says.
    #[arg(long, env = "GENAI_VECTORS_RERANK_DEPTH", value_parser = clap::value_parser!(u32).range(1..=MAX_DEPTH))]
    pub(crate) rerank_depth: Option<u32>,
    /// Share of queries, 0 to 1, that are run again exactly in the background to measure live recall.
    #[arg(long, env = "GENAI_VECTORS_RECALL_SAMPLE", default_value_t = 0.0, value_parser = share)]
    pub(crate) recall_sample: f64,
}

/// How rows are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodeArg {
    /// 4 bits a sub-quantizer, scanned 32 rows at a time; as pq4r where a trial finds that too coarse.
    Pq4,
    /// The same, of the difference from the list's centroid: tells rows of tight clusters apart.
    Pq4r,
    /// 8 bits a sub-quantizer.
    Pq8,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1".to_owned()),
    }
}

fn recall(text: &str) -> Result<f64, String> {
    share(text).and_then(|recall| {
        if recall > 0.0 {
            Ok(recall)
        } else {
            Err("a number above 0".to_owned())
        }
    })
}

impl EngineArgs {
    /// Writes what was said into the configuration.
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some(rows) = self.flat_threshold {
            config.compaction.flat_threshold = rows;
        }
        // A merge holds its output, and beside it codes, metadata texts and bookkeeping: about a third more.
        let memory = self.index_memory_mib.saturating_mul(1 << 20);
        config.compaction.max_output_bytes = memory / 4 * 3;
        config.ivf.sample_bytes = memory / 4;
        config.ivf.nlist = self.nlist.map(|nlist| nlist as usize);
        config.ivf.m = self.m.map(|m| m as usize);
        config.ivf.code = match self.code {
            CodeArg::Pq4 => IvfCodeKind::Pq4,
            CodeArg::Pq4r => IvfCodeKind::Pq4r,
            CodeArg::Pq8 => IvfCodeKind::Pq8,
        };
        if let Some(rows) = self.batch_size {
            config.ivf.batch_size = rows as usize;
        }
        if let Some(settle_ms) = self.settle_ms {
            config.settle = Duration::from_millis(settle_ms);
        }
        config.search.target_recall = self.target_recall;
        config.search.exact = self.target_recall >= 1.0;
        config.search.nprobe = self.nprobe;
        config.search.rerank_depth = self.rerank_depth;
        config.recall_sample = self.recall_sample;
    }
}
