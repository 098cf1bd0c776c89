//! Reading: whole objects, ranges, documents. Large ones in parts, several at a time.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};

use super::S3Store;
use crate::aws::failure::{AwsError, Kind};
use crate::error::StoreError;
use crate::objects::ETag;
use crate::paths::ObjectName;

/// Before a body that broke off is asked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// One answer to a GET.
struct Received {
    bytes: Bytes,
    etag: Option<String>,
    /// The object's length, when the answer is a part of it.
    total: Option<u64>,
}

impl S3Store {
    pub(super) async fn read_whole(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        let part = self.settings.part_bytes as u64;
        // The first part says how many there are; most objects are no longer.
        let Some(first) = self.receive(name, Some(0..part), None).await? else {
            // Nothing has no first byte: the object is empty.
            return self.read_document(name).await.map(|(bytes, _)| bytes);
        };
        let total = first.total.unwrap_or(first.bytes.len() as u64);
        let have = first.bytes.len() as u64;
        if have >= total {
            return Ok(first.bytes);
        }
        let rest = have..total;
        self.receive_parts(name, rest, first.etag.as_deref(), Some(first.bytes))
            .await
    }

    pub(super) async fn read_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.start >= range.end {
            return self.read_nothing(name, range).await;
        }
        if range.end - range.start <= self.settings.part_bytes as u64 {
            return self.receive_part(name, range, None).await;
        }
        self.receive_parts(name, range, None, None).await
    }

    /// S3 has no empty ranges: the object's length says whether this one lies inside.
    async fn read_nothing(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let answer = self
            .clients
            .again
            .head_object()
            .bucket(&self.location.bucket)
            .key(self.location.key(name.as_str()))
            .send()
            .await;
        let head = answer.map_err(|error| self.failure(&error, "s3:GetObject").into_store_error(name))?;
        let length = u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0);
        if range.start == range.end && range.end <= length {
            return Ok(Bytes::new());
        }
        Err(outside(name, &range))
    }

    /// The parts of a range, behind what was received already.
    async fn receive_parts(
        &self,
        name: &ObjectName,
        range: Range<u64>,
        etag: Option<&str>,
        received: Option<Bytes>,
    ) -> Result<Bytes, StoreError> {
        let have = received.as_ref().map_or(0, Bytes::len);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut whole = BytesMut::with_capacity(have.saturating_add(length));
        if let Some(received) = received {
            whole.extend_from_slice(&received);
        }
        let size = self.settings.part_bytes.max(1) as u64;
        let count = (range.end - range.start).div_ceil(size);
        let mut parts = futures::stream::iter(0..count)
            .map(|number| {
                let start = range.start + number * size;
                self.receive_part(name, start..range.end.min(start + size), etag)
            })
            .buffered(self.settings.parallel_parts.max(1));
        while let Some(part) = parts.try_next().await? {
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// Exactly this range.
    async fn receive_part(
        &self,
        name: &ObjectName,
        range: Range<u64>,
        etag: Option<&str>,
    ) -> Result<Bytes, StoreError> {
        let received = self.receive(name, Some(range.clone()), etag).await?;
        received
            .map(|received| received.bytes)
            .filter(|bytes| bytes.len() as u64 == range.end - range.start)
            .ok_or_else(|| outside(name, &range))
    }

    pub(super) async fn read_document(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        let received = self.receive(name, None, None).await?;
        let Some((bytes, etag)) = received.and_then(|received| Some((received.bytes, received.etag?))) else {
            return Err(StoreError::other(format!("reading {name}, which has no ETag")));
        };
        Ok((bytes, ETag(etag)))
    }

    /// One GET, again when the body breaks off. `None`: the range begins at or behind the object's end.
    async fn receive(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<Option<Received>, StoreError> {
        let mut attempt = 1;
        loop {
            let Some(output) = self.ask(name, range.clone(), etag).await? else {
                return Ok(None);
            };
            let (etag, total) = (output.e_tag().map(str::to_owned), total(&output));
            match output.body.collect().await {
                Ok(body) => {
                    let bytes = body.into_bytes();
                    return Ok(Some(Received { bytes, etag, total }));
                }
                Err(error) if attempt >= self.attempts => {
                    let server = self.server.clone();
                    let cause = AwsError::Unreachable {
                        server,
                        reason: error.to_string(),
                    };
                    return Err(StoreError::unknown_because(format!("reading {name}"), cause));
                }
                Err(error) => tracing::debug!(%error, %name, "a body broke off"),
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    async fn ask(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<Option<GetObjectOutput>, StoreError> {
        let answer = self
            .clients
            .again
            .get_object()
            .bucket(&self.location.bucket)
            .key(self.location.key(name.as_str()))
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1))))
            .set_if_match(etag.map(str::to_owned))
            .send()
            .await;
        let failure = match answer {
            Ok(output) => return Ok(Some(output)),
            Err(error) => self.failure(&error, "s3:GetObject"),
        };
        match (failure.status, failure.kind) {
            (Some(416), _) => Ok(None),
            // Another version of a document between two parts: read it again.
            (_, Kind::Refused) => Err(StoreError::unknown_because(format!("reading {name}"), failure.error)),
            _ => Err(failure.into_store_error(name)),
        }
    }
}

/// The object's length out of `bytes 0-99/1234`.
fn total(output: &GetObjectOutput) -> Option<u64> {
    output.content_range()?.rsplit_once('/')?.1.parse().ok()
}

fn outside(name: &ObjectName, range: &Range<u64>) -> StoreError {
    StoreError::corrupt(name, format!("it does not have the bytes {range:?}"))
}
