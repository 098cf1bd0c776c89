//! Reading a request body: bounded in bytes, in time and in the memory that it holds.
//!
//! Whoever sends it is not known yet. What has not arrived costs nothing; from [`FREE_BYTES`] on a body takes what is
//! left of it from the budget at once, so that a few bodies end instead of many stopping half-way, and while others
//! wait for that memory it must keep coming.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use model::ApiError;
use tokio::time::Instant;

use super::budget::{FREE_BYTES, MemoryBudget, Share};

/// 20 MiB, inclusive (API specification, section 10).
pub(crate) const MAX_BODY_BYTES: usize = 20 * 1024 * 1024;
/// How long a body may take: the largest one at 3 Mbit/s.
const BODY_TIME: Duration = Duration::from_secs(60);
/// How long a client may be silent in the middle of its body.
const SILENCE: Duration = Duration::from_secs(20);
/// How often a body that does not come is looked at, and how much must have come since the last look while others
/// wait for the memory that it holds. Shorter than they wait.
const PACE_TIME: Duration = Duration::from_millis(500);
const PACE_BYTES: usize = 64 * 1024;
/// How much of a body that is too large is read and thrown away, so that the client reads the answer instead of a
/// reset connection.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A body that has arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// Commas in it: what it holds once it is parsed depends on them.
    pub(crate) commas: usize,
    /// Its memory.
    _share: Share,
}

/// The whole body, or what the client did wrong.
pub(crate) async fn read<B>(body: B, declared: Option<u64>, budget: &MemoryBudget) -> Result<Received, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = body;
    if declared.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        drain(body).await;
        return Err(ApiError::body_too_large());
    }
    let expected = declared.and_then(|length| usize::try_from(length).ok());
    let mut arriving = Arriving {
        share: budget.arrival(),
        expected: expected.unwrap_or(MAX_BODY_BYTES),
        bytes: BytesMut::with_capacity(expected.unwrap_or(0).min(FREE_BYTES)),
        commas: 0,
        pace: Pace::new(),
    };
    let arrived = tokio::time::timeout(BODY_TIME, arriving.collect(&mut body)).await;
    match arrived.unwrap_or_else(|_| Err(too_slow())) {
        Ok(()) => Ok(Received {
            bytes: arriving.bytes.freeze(),
            commas: arriving.commas,
            _share: arriving.share,
        }),
        Err(error) => {
            drop(arriving);
            if error == ApiError::body_too_large() {
                drain(body).await;
            }
            Err(error)
        }
    }
}

struct Arriving {
    share: Share,
    /// Bytes that it may become.
    expected: usize,
    bytes: BytesMut,
    commas: usize,
    pace: Pace,
}

impl Arriving {
    async fn collect<B>(&mut self, body: &mut B) -> Result<(), ApiError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        while let Some(frame) = self.next_frame(body).await? {
            let frame = frame.map_err(|_| ApiError::validation("The request body ended before its declared length"))?;
            if let Ok(data) = frame.into_data() {
                self.add(&data).await?;
            }
        }
        Ok(())
    }

    async fn next_frame<B>(&self, body: &mut B) -> Result<Option<Result<Frame<Bytes>, B::Error>>, ApiError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let silent_since = Instant::now();
        loop {
            if let Ok(frame) = tokio::time::timeout(PACE_TIME, body.frame()).await {
                return Ok(frame);
            }
            if self.share.is_wanted() || silent_since.elapsed() >= SILENCE {
                return Err(too_slow());
            }
        }
    }

    async fn add(&mut self, data: &Bytes) -> Result<(), ApiError> {
        let length = self.bytes.len().saturating_add(data.len());
        if length > MAX_BODY_BYTES {
            return Err(ApiError::body_too_large());
        }
        if length > FREE_BYTES && self.bytes.len() <= FREE_BYTES {
            self.share.grow_to(self.expected.max(length)).await?;
            self.bytes.reserve(self.expected.saturating_sub(self.bytes.len()));
            self.pace = Pace::new();
        }
        if self.pace.is_slow(data.len()) && self.share.is_wanted() {
            return Err(too_slow());
        }
        self.bytes.extend_from_slice(data);
        self.commas += commas(data);
        Ok(())
    }
}

/// How much has come since the last look.
struct Pace {
    since: Instant,
    bytes: usize,
}

impl Pace {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    fn is_slow(&mut self, more: usize) -> bool {
        self.bytes = self.bytes.saturating_add(more);
        if self.since.elapsed() < PACE_TIME {
            return false;
        }
        let is_slow = self.bytes < PACE_BYTES;
        *self = Self::new();
        is_slow
    }
}

/// How many commas there are.
pub(crate) fn commas(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b',').count()
}

fn too_slow() -> ApiError {
    ApiError::RequestTimeout {
        message: "The request body did not arrive in time".to_owned(),
    }
}

async fn drain<B>(body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = body;
    let mut drained = 0_usize;
    let reading = async {
        while drained < DRAIN_BYTES {
            let Some(Ok(frame)) = body.frame().await else {
                return;
            };
            drained = drained.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    // A client that goes on for longer is cut off.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

#[cfg(test)]
mod tests;
