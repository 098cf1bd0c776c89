//! Writing: conditional puts that are sent once; large objects in parts, of which only the last step is conditional.

use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::S3Store;
use crate::aws::failure::{Failure, Kind};
use crate::error::StoreError;
use crate::objects::ETag;
use crate::paths::ObjectName;

const ACTION: &str = "s3:PutObject";
/// Bodies from here on get the time of large ones.
const LARGE: usize = 256 * 1024;
/// S3 takes no more parts.
const MOST_PARTS: usize = 10_000;
/// Times that a put may meet another one of the same name that then has not written anything.
const ROUNDS: usize = 3;

/// The condition of a write.
enum Condition<'a> {
    Missing,
    Matches(&'a ETag),
}

impl S3Store {
    /// S1: an object is created, and never replaced.
    pub(super) async fn put_once(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let written = if bytes.len() > self.settings.part_bytes {
                self.send_in_parts(name, &bytes).await
            } else {
                self.send(name, bytes.clone(), Condition::Missing).await.map(|_| ())
            };
            match written {
                Ok(()) => return Ok(()),
                Err(failure) if failure.kind == Kind::Refused => {}
                Err(failure) => return Err(failure.into_store_error(name)),
            }
            // Somebody was there first: with the same bytes it was this put, sent before.
            match self.read_whole(name).await {
                Ok(stored) if stored == bytes => return Ok(()),
                Ok(_) => return Err(StoreError::conflict(name)),
                // The other one was refused as well, or is still on its way.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::throttled(format!("writing {name}")))
    }

    /// One version of a document: the first one, or one in the place of the expected one.
    pub(super) async fn write_document(
        &self,
        name: &ObjectName,
        bytes: Bytes,
        expected: Option<&ETag>,
    ) -> Result<ETag, StoreError> {
        let condition = expected.map_or(Condition::Missing, Condition::Matches);
        let written = self.send(name, bytes, condition).await;
        let output = written.map_err(|failure| failure.into_store_error(name))?;
        let etag = output.e_tag.map(ETag);
        etag.ok_or_else(|| StoreError::unknown(format!("writing {name}: the server gave no ETag")))
    }

    async fn send(
        &self,
        name: &ObjectName,
        bytes: Bytes,
        condition: Condition<'_>,
    ) -> Result<PutObjectOutput, Failure> {
        let client = if bytes.len() < LARGE {
            &self.clients.once
        } else {
            &self.clients.once_large
        };
        let request = client
            .put_object()
            .bucket(&self.location.bucket)
            .key(self.location.key(name.as_str()))
            .body(bytes.into());
        let request = match condition {
            Condition::Missing => request.if_none_match("*"),
            Condition::Matches(etag) => request.if_match(&etag.0),
        };
        request.send().await.map_err(|error| self.failure(&error, ACTION))
    }

    async fn send_in_parts(&self, name: &ObjectName, bytes: &Bytes) -> Result<(), Failure> {
        let upload = self.begin_upload(name).await?;
        let completed = match self.send_parts(name, &upload, bytes).await {
            Ok(parts) => self.complete_upload(name, &upload, parts).await,
            Err(failure) => Err(failure),
        };
        // After a lost answer the parts may have become an object, or still do.
        if let Err(failure) = &completed
            && failure.kind != Kind::Unknown
        {
            self.abort_upload(name, &upload).await;
        }
        completed
    }

    async fn begin_upload(&self, name: &ObjectName) -> Result<String, Failure> {
        // S3 refuses parts with checksums of a kind that the upload was not begun with, and the other way round.
        let calculation = self.clients.parts.config().request_checksum_calculation();
        let is_bare = calculation == Some(&RequestChecksumCalculation::WhenRequired);
        let answer = self
            .clients
            .again
            .create_multipart_upload()
            .bucket(&self.location.bucket)
            .key(self.location.key(name.as_str()))
            .set_checksum_algorithm((!is_bare).then_some(ChecksumAlgorithm::Crc32))
            .send()
            .await;
        let output = answer.map_err(|error| self.failure(&error, ACTION))?;
        Ok(output.upload_id.unwrap_or_default())
    }

    async fn send_parts(&self, name: &ObjectName, upload: &str, bytes: &Bytes) -> Result<Vec<CompletedPart>, Failure> {
        let size = self.settings.part_bytes.max(bytes.len().div_ceil(MOST_PARTS)).max(1);
        futures::stream::iter((0..bytes.len()).step_by(size).zip(1..))
            .map(|(start, number)| {
                let part = bytes.slice(start..bytes.len().min(start + size));
                self.send_part(name, upload, number, part)
            })
            .buffered(self.settings.parallel_parts.max(1))
            .try_collect()
            .await
    }

    async fn send_part(
        &self,
        name: &ObjectName,
        upload: &str,
        number: i32,
        part: Bytes,
    ) -> Result<CompletedPart, Failure> {
        let answer = self
            .clients
            .parts
            .upload_part()
            .bucket(&self.location.bucket)
            .key(self.location.key(name.as_str()))
            .upload_id(upload)
            .part_number(number)
            .body(part.into())
            .send()
            .await;
        let output = answer.map_err(|error| self.failure(&error, ACTION))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(output.e_tag)
            .set_checksum_crc32(output.checksum_crc32)
            .build())
    }

    /// The one step that makes the object, if nobody has made it before.
    async fn complete_upload(&self, name: &ObjectName, upload: &str, parts: Vec<CompletedPart>) -> Result<(), Failure> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let answer = self
            .clients
            .once_large
            .complete_multipart_upload()
            .bucket(&self.location.bucket)
            .key(self.location.key(name.as_str()))
            .upload_id(upload)
            .multipart_upload(parts)
            .if_none_match("*")
            .send()
            .await;
        answer.map(|_| ()).map_err(|error| self.failure(&error, ACTION))
    }

    /// Best effort: what stays is for the bucket's lifecycle rule.
    async fn abort_upload(&self, name: &ObjectName, upload: &str) {
        let answer = self
            .clients
            .again
            .abort_multipart_upload()
            .bucket(&self.location.bucket)
            .key(self.location.key(name.as_str()))
            .upload_id(upload)
            .send()
            .await;
        if let Err(error) = answer {
            let failure = self.failure(&error, "s3:AbortMultipartUpload");
            tracing::debug!(error = %failure.error, %name, "the parts of an upload stay");
        }
    }
}
