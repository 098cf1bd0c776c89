//! What was requested so far.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// A kind of request, as AWS names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are AWS's, described in its references
pub enum RequestKind {
    GetItem,
    Query,
    Scan,
    UpdateItem,
    TransactWriteItems,
    PutObject,
    GetObject,
    ListObjects,
    DeleteObjects,
    SendMessage,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// When it was sent, after the log was made. On a paused runtime requests that do not wait for each other are sent
    /// at the same time.
    pub sent: Duration,
    /// Which request.
    pub kind: RequestKind,
    /// Of what, in a word.
    pub of: String,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        if self.of.is_empty() {
            return Ok(());
        }
        write!(f, " {}", self.of)
    }
}

/// The log; clones are the same log.
#[derive(Debug, Clone)]
pub struct RequestLog {
    since: Instant,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestLog {
    /// An empty log that begins now.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            requests: Arc::default(),
        }
    }

    /// Notes a request that is sent now.
    pub fn note(&self, kind: RequestKind, of: impl Into<String>) {
        let request = Request {
            sent: self.since.elapsed(),
            kind,
            of: of.into(),
        };
        self.lock().push(request);
    }

    /// What was noted since the last call of this, by time and kind.
    pub fn take(&self) -> Vec<Request> {
        let mut requests = std::mem::take(&mut *self.lock());
        requests.sort();
        requests
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
