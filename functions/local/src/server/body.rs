//! Reading a request body: bounded in bytes and in time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::ApiError;

/// 20 MiB, inclusive (API specification, section 10).
pub(crate) const MAX_BODY_BYTES: usize = 20 * 1024 * 1024;
/// How long a client may be silent in the middle of its body.
const FRAME_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of a body that is too large is read and thrown away, so that the client reads the answer instead of a
/// reset connection.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// The whole body, or what the client did wrong.
pub(crate) async fn read(mut body: Incoming, declared: Option<u64>) -> Result<Bytes, ApiError> {
    if declared.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        drain(body).await;
        return Err(ApiError::body_too_large());
    }
    let expected = declared.and_then(|length| usize::try_from(length).ok());
    let mut collected = BytesMut::with_capacity(expected.unwrap_or(0));
    loop {
        let frame = tokio::time::timeout(FRAME_TIMEOUT, body.frame())
            .await
            .map_err(|_| ApiError::RequestTimeout {
                message: "The request body did not arrive in time".to_owned(),
            })?;
        let Some(frame) = frame else {
            return Ok(collected.freeze());
        };
        let frame = frame.map_err(|_| ApiError::validation("The request body ended before its declared length"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if collected.len().saturating_add(data.len()) > MAX_BODY_BYTES {
            drop(collected);
            drain(body).await;
            return Err(ApiError::body_too_large());
        }
        collected.extend_from_slice(&data);
    }
}

async fn drain(mut body: Incoming) {
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
