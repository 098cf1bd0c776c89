//! What each operation of the S3 Vectors API does.
//!
//! This room turns one parsed request into one answer: it validates, reads and writes through the ports of
//! `storage`, searches through `engine`, and runs the indexer that folds the write-ahead log into shards. It is
//! the same code behind a Lambda function and behind the local server.
//!
//! It must not know HTTP frameworks, the environment, signatures, object names or how any port is implemented.
//! Protocol code cites the invariant it keeps (`// I3: ...`); the invariants are listed in `ARCHITECTURE.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`context`] | what every operation shares: ports, clock and ids, CPU pool, configuration, caches |
//! | [`config`] | every number that may be tuned, with its default |
//! | [`metrics`] | plain counters that the functions export |
//! | [`errors`] | the one conversion from the lower rooms' errors to `ApiError` |
//! | [`ops`] | one file per operation: shapes, validation, behaviour |
//! | `access` | who may do what: bucket policies, keys' own policies |
//! | `write` | the write commit: grouping, WAL object, conditional append |
//! | [`query`] | the read protocol: snapshot, tail, search, pages |
//! | [`indexing`] | fold, compaction, collection, sweep, the runner |
//! | [`inspect`] | what one index is made of, for its operator |
//! | [`status`] | what the status endpoints show of every index |

mod access;
pub mod config;
pub mod context;
pub mod errors;
pub mod indexing;
pub mod inspect;
pub mod metrics;
pub mod ops;
pub mod query;
pub mod status;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use model::{ApiError, Operation};
use wire::Caller;

pub use config::Config;
pub use context::{Context, Ports};

/// One request, after routing and authentication.
#[derive(Debug, Clone)]
pub struct Input {
    /// The JSON body as received and inflated; empty for `GET` and `DELETE`.
    pub body: Bytes,
    /// The decoded ARN of a tagging route.
    pub resource_arn: Option<String>,
    /// The `tagKeys` of UntagResource.
    pub tag_keys: Vec<String>,
    /// Who asks; checked against policies.
    pub caller: Caller,
    /// When the answer must be out, on [`model::Clock::now_ms`]'s scale.
    pub deadline_ms: u64,
}

/// An answer to be. Boxed here, as are the indexing tasks: the code of a future that is not boxed is compiled again in
/// every binary that awaits it.
pub type Answer<'a> = BoxFuture<'a, Result<Vec<u8>, ApiError>>;

/// The service: cheap to clone, shared by all requests.
#[derive(Debug, Clone)]
pub struct Service(Arc<Context>);

impl Service {
    /// A service over these ports.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self(Arc::new(context))
    }

    /// What the operations share; the indexer runs on the same context.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.0
    }

    /// Answers one request with the JSON body of a success.
    ///
    /// # Errors
    /// The error that the client sees.
    pub fn call<'a>(&'a self, operation: Operation, input: &'a Input) -> Answer<'a> {
        ops::dispatch(&self.0, operation, input)
    }
}
