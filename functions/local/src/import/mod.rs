//! `genai-vectors import`: a file into an index, over the API. A reader thread turns rows into finished request bodies,
//! a handful of requests are in flight, and what is acknowledged without a gap is remembered for the next run.
//!
//! | module | what it holds |
//! |---|---|
//! | `args`, `error` | flags; what can go wrong, with the file and the row |
//! | `record` | a record, where records come from, which columns they are made of |
//! | `parquet`, `columns`, `npy`, `jsonl` | the formats |
//! | `batch`, `duplicates` | records -> request bodies; keys that occur twice |
//! | `target` | bucket and index: created or verified |
//! | `pipeline` | reader thread, requests in flight, interruption |
//! | `progress_file` | what is done, across runs |
//! | `meter` | what is done, for people |

mod args;
mod batch;
mod columns;
mod duplicates;
mod error;
mod jsonl;
pub(crate) mod meter;
mod npy;
mod parquet;
mod pipeline;
mod progress_file;
mod record;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use args::ImportArgs;
pub(crate) use error::ImportError;
pub(crate) use parquet::{INDEX_NOTE, IndexNote};
pub(crate) use pipeline::interruption;

use args::Format;
use batch::{BatchBuilder, BatchLimits};
use meter::{Meter, Unit};
use pipeline::{Outcome, Pipeline};
use progress_file::{Fingerprint, ProgressFile};
use record::{RecordSource, Rules, SourceError};

use crate::client::{Client, IndexInfo};

/// Runs an import to its end.
pub(crate) fn run(args: ImportArgs) -> Result<(), ImportError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ImportError::file("the runtime", "start", &error))?;
    let outcome = runtime.block_on(import(&args, interruption()));
    // A reader that still waits for its disk must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn import(args: &ImportArgs, interrupted: impl Future<Output = ()>) -> Result<(), ImportError> {
    let format = args.format()?;
    let bad = |error: SourceError| error.in_file(&args.file, format.unit());
    let client = Client::new(&args.client).map_err(ImportError::Client)?;
    let mut source = open(args, format).map_err(bad)?;
    let index = target::prepare(&client, args, source.dimension(), source.hints()).await?;
    let progress = ProgressFile::new(args.progress_path(), Fingerprint::of(args, &client, &index)?);
    let (done, note) = if args.restart { (0, None) } else { progress.load() };
    if let Some(note) = note {
        eprintln!("{note}");
    }
    source.skip(done).map_err(bad)?;
    let meter = Meter::start("vectors", source.size(), done);
    let pipeline = Pipeline {
        client,
        progress,
        concurrency: args.concurrency,
        meter,
    };
    let outcome = pipeline.run(reader(args, source, &index, done), interrupted).await?;
    match outcome {
        Outcome::Finished(summary) => println!("imported into {}/{}: {summary}", args.target.bucket, args.target.index),
        Outcome::Interrupted { done } => return Err(ImportError::Interrupted { done }),
        Outcome::Stopped { error, done } => return Err(error.explain(&args.file, format.unit(), done)),
    }
    Ok(())
}

fn open(args: &ImportArgs, format: Format) -> Result<Box<dyn RecordSource>, SourceError> {
    let mapping = args.mapping();
    Ok(match format {
        Format::Parquet => Box::new(parquet::ParquetSource::open(&args.file, &mapping)?),
        Format::Npy => Box::new(npy::NpySource::open(&args.file, args.keys_file.as_deref())?),
        Format::Jsonl => Box::new(jsonl::JsonLines::open(&args.file, mapping)?),
    })
}

fn reader(args: &ImportArgs, source: Box<dyn RecordSource>, index: &IndexInfo, done: u64) -> pipeline::Reader {
    let limits = BatchLimits {
        records: args.batch,
        ..BatchLimits::default()
    };
    pipeline::Reader {
        source,
        rules: Rules {
            dimension: index.dimension,
            metric: index.metric,
        },
        builder: BatchBuilder::new(&args.target, limits, done),
    }
}

impl Format {
    fn unit(self) -> Unit {
        if self == Self::Jsonl { Unit::Line } else { Unit::Row }
    }
}
