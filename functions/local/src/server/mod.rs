//! `genai-vectors api`: HTTP in front of the service.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | flags and environment |
//! | `tuning` | flags of the search engine |
//! | `startup` | what is opened and refused before the first request; the banner |
//! | `cache` | the disk cache and the measuring delay in front of the storage |
//! | `http` | one request: route, body, signature, memory to work on it, service, answer |
//! | `body` | reading a body: bounded in bytes, time and memory |
//! | `guard` | what a server without keys refuses |
//! | `budget` | the memory that requests in flight may hold |
//! | `metrics`, `exposition` | metric families; the text forms of `/metrics` |
//! | `status` | `/metrics`, `/stats`, `/health` |
//! | `connections` | accepting, slow clients, shutdown |
//! | `stream` | a connection whose client must take what it asked for |

mod args;
mod body;
mod budget;
mod cache;
mod connections;
mod exposition;
mod guard;
mod http;
mod metrics;
mod process;
mod startup;
mod status;
mod stream;
mod tuning;

pub(crate) use args::ApiArgs;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A sentence for the operator: why the server did not start.
pub(crate) fn run(args: ApiArgs) -> Result<(), String> {
    startup::init_logging(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("http")
        .build()
        .map_err(|error| format!("cannot start the async runtime: {error}"))?;
    runtime.block_on(startup::serve(args))
}
