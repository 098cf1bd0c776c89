#![allow(unused, clippy::todo)]
//! Objects in an S3 bucket, or in that of a server that speaks S3.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;

use super::connection::Aws;
use super::failure::AwsError;
use crate::error::StoreError;
use crate::objects::{ETag, ObjectMeta, ObjectStore};
use crate::paths::ObjectName;

/// Where a store is: `s3://bucket` or `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with: empty, or ending with a slash.
    pub prefix: String,
}

/// When requests carry a checksum of their own, beside the ones inside every object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksums {
    /// As the SDKs find it (`AWS_REQUEST_CHECKSUM_CALCULATION`, profile): by default wherever S3 supports it.
    #[default]
    AsConfigured,
    /// Only where S3 insists: for servers that refuse the others.
    WhenRequired,
}

/// Settings of an S3 store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Checksums of requests.
    pub checksums: Checksums,
    /// Larger objects are sent in parts, and read in parts of this size, several at a time.
    pub part_bytes: usize,
    /// Parts of one object at a time.
    pub parallel_parts: usize,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            checksums: Checksums::default(),
            part_bytes: 8 * 1024 * 1024,
            parallel_parts: 8,
        }
    }
}

/// Objects in an S3 bucket. Clones share their connections.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    location: S3Location,
    settings: S3Settings,
}

impl S3Store {
    /// A store in this bucket. Sends nothing yet.
    pub fn new(aws: &Aws, location: S3Location, settings: S3Settings) -> Self {
        let config = aws_sdk_s3::config::Builder::from(&aws.sdk);
        Self {
            client: Client::from_conf(config.build()),
            location,
            settings,
        }
    }

    /// Finds out whether the bucket can be used, and creates it when it is missing and that is wanted.
    ///
    /// # Errors
    /// What is wrong, for an operator.
    pub async fn prepare(&self, create_missing: bool) -> Result<(), AwsError> {
        todo!("{create_missing}")
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Why a text is not an [`S3Location`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: expected s3://BUCKET or s3://BUCKET/PREFIX")]
pub struct NotAnS3Location(String);

impl FromStr for S3Location {
    type Err = NotAnS3Location;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnS3Location(text.to_owned());
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
        let is_bucket = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if bucket.is_empty() || !bucket.bytes().all(is_bucket) {
            return Err(wrong());
        }
        let prefix = parts.iter().map(|part| format!("{part}/")).collect();
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, _name: &ObjectName, _bytes: Bytes) -> Result<(), StoreError> {
        todo!()
    }
    async fn get(&self, _name: &ObjectName) -> Result<Bytes, StoreError> {
        todo!()
    }
    async fn get_range(&self, _name: &ObjectName, _range: Range<u64>) -> Result<Bytes, StoreError> {
        todo!()
    }
    async fn list(
        &self,
        _prefix: &str,
        _after: Option<&ObjectName>,
        _limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        todo!()
    }
    async fn delete(&self, _names: &[ObjectName]) -> Result<(), StoreError> {
        todo!()
    }
    async fn read_tagged(&self, _name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        todo!()
    }
    async fn create(&self, _name: &ObjectName, _bytes: Bytes) -> Result<ETag, StoreError> {
        todo!()
    }
    async fn replace(&self, _name: &ObjectName, _bytes: Bytes, _expected: &ETag) -> Result<ETag, StoreError> {
        todo!()
    }
}
