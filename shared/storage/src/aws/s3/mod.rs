//! Objects in an S3 bucket, or in that of a server that speaks S3.
//!
//! * A conditional write is sent once. Reads, parts of a large object and deletions, which may be repeated, are
//!   retried a bounded number of times.
//! * 404 and 412 both mean that a condition did not hold: servers differ for one on a missing key. 409 (another
//!   conditional write is going on) is a lost race too: nothing was written.
//! * Listings are in the server's order: that of bytes, for all names that [`paths`](crate::paths) makes. Servers that
//!   keep directories differ where a directory lies beside a file that begins like it.
//!
//! | module | what it holds |
//! |---|---|
//! | `location` | `s3://bucket/prefix` |
//! | `read` | whole objects, ranges, documents |
//! | `write` | conditional puts; large objects in parts |
//! | `list` | listings, deletions |
//! | `prepare` | can the bucket be used? |

mod list;
mod location;
mod prepare;
mod read;
mod write;

use std::ops::Range;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use bytes::Bytes;

use super::connection::Aws;
use super::failure::{Failure, Request};
use crate::error::StoreError;
use crate::objects::{ETag, ObjectMeta, ObjectStore};
use crate::paths::ObjectName;

pub use location::{NotAnS3Location, S3Location};

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
    /// Larger objects are sent in parts, and read in parts of this size, several at a time. S3 wants 5 MiB at least.
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
    clients: Clients,
    location: S3Location,
    settings: S3Settings,
    attempts: u32,
    /// The service and where it is, for messages.
    server: String,
    region: Option<String>,
}

/// One set of connections, used in several ways.
#[derive(Debug, Clone)]
struct Clients {
    /// Small requests that may be repeated.
    again: Client,
    /// Large ones that may be repeated: parts of an upload.
    parts: Client,
    /// Small requests that are sent once.
    once: Client,
    /// Large ones that are sent once.
    once_large: Client,
}

impl S3Store {
    /// A store in this bucket. Sends nothing yet.
    pub fn new(aws: &Aws, location: S3Location, settings: S3Settings) -> Self {
        let client = |retries: RetryConfig, timeouts: TimeoutConfig| {
            let config = config(aws, &settings).retry_config(retries).timeout_config(timeouts);
            Client::from_conf(config.build())
        };
        let clients = Clients {
            again: client(aws.retries(), aws.answer_timeouts()),
            parts: client(aws.retries(), aws.transfer_timeouts()),
            once: client(RetryConfig::disabled(), aws.answer_timeouts()),
            once_large: client(RetryConfig::disabled(), aws.transfer_timeouts()),
        };
        Self {
            clients,
            location,
            settings,
            attempts: aws.settings.attempts,
            server: aws.server("S3", aws.settings.endpoints.s3.as_deref()),
            region: aws.region().map(str::to_owned),
        }
    }

    /// Where it is.
    pub fn location(&self) -> &S3Location {
        &self.location
    }

    fn failure<E>(&self, error: &SdkError<E, HttpResponse>, action: &'static str) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let request = Request {
            server: self.server.clone(),
            action,
            resource: format!("bucket {}", self.location.bucket),
        };
        Failure::new(error, request)
    }
}

fn config(aws: &Aws, settings: &S3Settings) -> Builder {
    let mut config = Builder::from(&aws.sdk);
    if let Some(endpoint) = &aws.settings.endpoints.s3 {
        config = config.endpoint_url(endpoint);
    }
    // `bucket.localhost` leads nowhere.
    let is_elsewhere = aws.settings.endpoints.s3.is_some() || aws.sdk.endpoint_url().is_some();
    config = config.force_path_style(is_elsewhere);
    if settings.checksums == Checksums::WhenRequired {
        config = config
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    config
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.put_once(name, bytes).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.read_whole(name).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.read_range(name, range).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.list_names(prefix, after, limit).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.delete_names(names).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.read_document(name).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.write_document(name, bytes, None).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.write_document(name, bytes, Some(expected)).await
    }
}
