//! `genai-vectors`: every operation and the indexer in one process, and the tools around it.
//!
//! This is a deployable: it reads the environment and wires the rooms together; what an operation does is in
//! `service`.
//!
//! | module | what it holds |
//! |---|---|
//! | `server` | `genai-vectors api`: HTTP in front of the service, status endpoints, shutdown |
//! | `place` | where the database is: flags and environment |
//! | `database` | the database, in a directory or a bucket, opened |
//! | `quarantine` | the operator's way past a write that cannot be read back |
//! | `client` | a small signed HTTP client for the tools |
//! | `import`, `export` | files into an index and back |
//! | `inspect` | what an index is made of |

mod client;
mod database;
mod export;
mod import;
mod inspect;
mod place;
mod quarantine;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tikv_jemallocator::Jemalloc;

/// How soon freed memory goes back to the system is set where it is built (`.cargo/config.toml`).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A vector database that speaks the Amazon S3 Vectors API.
#[derive(Debug, Parser)]
#[command(name = "genai-vectors", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the S3 Vectors API over a data directory, MinIO or S3.
    Api(Box<server::ApiArgs>),
    /// Load a Parquet, .npy or JSON lines file into an index, over the API.
    Import(Box<import::ImportArgs>),
    /// Write an index to a Parquet file that `import` takes back.
    Export(Box<export::ExportArgs>),
    /// Show what an index is made of: shards, lists, measured recall, sizes.
    Inspect(Box<inspect::InspectArgs>),
    /// Give up a write that cannot be read back, so that its index answers again; a directory's server must be stopped.
    Quarantine(quarantine::QuarantineArgs),
}

/// A variable of the environment that is set to something.
#[expect(clippy::disallowed_methods, reason = "functions read the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Api(args) => server::run(*args),
        Command::Import(args) => import::run(*args).map_err(|error| error.to_string()),
        Command::Export(args) => export::run(*args).map_err(|error| error.to_string()),
        Command::Inspect(args) => inspect::run(&args),
        Command::Quarantine(args) => quarantine::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("genai-vectors: {message}");
            ExitCode::FAILURE
        }
    }
}
