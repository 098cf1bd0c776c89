//! `genai-vectors export`: an index into a Parquet file that `import` takes back, vectors bit for bit and metadata text
//! as it was. Writes during an export may or may not be in the file.
//!
//! | module | what it holds |
//! |---|---|
//! | `list` | ListVectors, page by page, several segments at a time |
//! | `file` | the Parquet file, which appears when it is whole |

mod file;
mod list;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use crate::client::{Client, ClientArgs, ClientError, Target};
use crate::import::meter::{Meter, Size, Summary};
use file::ExportFile;
use list::{Page, Segments};

/// Flags of `genai-vectors export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    target: Target,
    /// The Parquet file; one that is there is replaced at the end.
    #[arg(long, short)]
    output: PathBuf,
    /// Parts of the index that are read at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    segments: u8,
    // Groups come last: what follows a group would be shown under its heading.
    #[command(flatten)]
    client: ClientArgs,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// A call failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is nothing to export.
    #[error("index {0} does not exist")]
    NoIndex(String),
    /// The file cannot be written.
    #[error("{file}: cannot write: {reason}")]
    File { file: String, reason: String },
    /// Something of ours broke.
    #[error("{0}")]
    Internal(String),
    /// Somebody wanted it to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

/// Runs an export to its end.
pub(crate) fn run(args: ExportArgs) -> Result<(), ExportError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ExportError::Internal(format!("cannot start the runtime: {error}")))?;
    let summary = runtime.block_on(async {
        tokio::select! {
            summary = export(&args) => summary,
            () = crate::import::interruption() => Err(ExportError::Interrupted),
        }
    });
    // The writer ends with its channel and takes its unfinished file away.
    drop(runtime);
    println!("exported to {}: {}", args.output.display(), summary?);
    Ok(())
}

async fn export(args: &ExportArgs) -> Result<Summary, ExportError> {
    let client = Client::new(&args.client)?;
    let missing = || ExportError::NoIndex(format!("{}/{}", args.target.bucket, args.target.index));
    let index = client.describe_index(&args.target).await?.ok_or_else(missing)?;
    let mut file = ExportFile::create(&args.output, &index)?;
    let size = index.vectors.map_or(Size::Unknown, Size::Rows);
    let mut meter = Meter::start("vectors", size, 0);
    let (sender, mut pages) = mpsc::channel::<Page>(usize::from(args.segments));
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(page) = pages.blocking_recv() {
            let rows = page.keys.len() as u64;
            file.write(page)?;
            meter.advance(rows, file.rows());
        }
        Ok::<_, ExportError>((file, meter))
    });
    let listed = Segments::new(&client, args, &index).send_all(sender).await;
    let written = writer
        .await
        .map_err(|error| ExportError::Internal(format!("the writer failed: {error}")))?;
    // A writer that failed is why nobody took the pages.
    let (file, meter) = written?;
    listed?;
    file.finish()?;
    Ok(meter.finish())
}
