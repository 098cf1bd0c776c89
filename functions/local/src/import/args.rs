//! Flags of `genai-vectors import`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use model::DistanceMetric;

use super::error::ImportError;
use super::record::Mapping;
use crate::client::{ClientArgs, Target};

/// Flags of `genai-vectors import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Parquet, .npy or JSON lines.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) target: Target,
    /// By default, what the file's name ends with says it: .parquet, .npy, .jsonl, .ndjson.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Keys of the rows of a .npy file, one a line; by default the row numbers, counted from 0.
    #[arg(long)]
    pub(crate) keys_file: Option<PathBuf>,
    /// Vectors per request.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) batch: u16,
    /// Requests in flight.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) concurrency: u16,
    /// Remembers what is done, so that the same command goes on after an interruption; removed at the end. By
    /// default the file's name with .import-progress.json added.
    #[arg(long)]
    progress_file: Option<PathBuf>,
    /// Begin at the first row, whatever the progress file says.
    #[arg(long)]
    pub(crate) restart: bool,
    // Groups come last: what follows a group would be shown under its heading.
    #[command(flatten)]
    pub(crate) create: CreateArgs,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Whether and how to create what is missing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Creating the index")]
pub(crate) struct CreateArgs {
    /// Create the bucket and the index when they are missing; the dimension is the file's.
    #[arg(long)]
    pub(crate) create: bool,
    /// How vectors are compared: cosine or euclidean. Of an existing index it is verified.
    #[arg(long, value_parser = parse_metric)]
    pub(crate) metric: Option<DistanceMetric>,
    /// Metadata keys that filters will not use and that may be large. Of an existing index they are verified.
    #[arg(long, value_delimiter = ',')]
    pub(crate) non_filterable: Option<Vec<String>>,
}

/// Which columns make a record.
#[derive(Debug, Args)]
#[command(next_help_heading = "Columns of Parquet and JSON lines")]
struct ColumnArgs {
    /// Column with the keys: text or integers.
    #[arg(long, default_value = "key")]
    key_column: String,
    /// Column with the vectors: lists of numbers. JSON lines may also have them as in PutVectors,
    /// {"data": {"float32": [...]}}.
    #[arg(long, default_value = "vector")]
    vector_column: String,
    /// Columns that become metadata; by default all others, and empty for none. A column named `metadata` holds
    /// whole JSON objects, into which the other columns are merged.
    #[arg(long, value_delimiter = ',')]
    metadata_columns: Option<Vec<String>>,
}

/// File formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Apache Parquet.
    Parquet,
    /// A two-dimensional NumPy array.
    Npy,
    /// One JSON object a line.
    Jsonl,
}

fn parse_metric(word: &str) -> Result<DistanceMetric, String> {
    DistanceMetric::parse_lenient(word).ok_or_else(|| "cosine or euclidean".to_owned())
}

impl ImportArgs {
    /// The format said, or that of the file's extension.
    pub(crate) fn format(&self) -> Result<Format, ImportError> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let extension = self
            .file
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Ok(Format::Parquet),
            "npy" => Ok(Format::Npy),
            "jsonl" | "ndjson" | "json" => Ok(Format::Jsonl),
            _ => Err(ImportError::Format {
                file: self.file.display().to_string(),
            }),
        }
    }

    pub(crate) fn mapping(&self) -> Mapping {
        let columns = &self.columns;
        let named = |columns: &Vec<String>| columns.iter().filter(|name| !name.is_empty()).cloned().collect();
        Mapping {
            key: columns.key_column.clone(),
            vector: columns.vector_column.clone(),
            metadata: columns.metadata_columns.as_ref().map(named),
        }
    }

    pub(crate) fn progress_path(&self) -> PathBuf {
        self.progress_file
            .clone()
            .unwrap_or_else(|| with_suffix(&self.file, ".import-progress.json"))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
