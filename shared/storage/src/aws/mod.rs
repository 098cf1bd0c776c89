//! The ports on AWS, and on servers that speak its protocols: objects in S3, the catalog in DynamoDB, the doorbell in
//! SQS. Types of the AWS SDK never leave this module.
//!
//! * Reads are retried below the port, a bounded number of times and from a budget that failures use up.
//! * Conditional writes are sent once: a lost answer is [`StoreError::Unknown`](crate::StoreError::Unknown), and the
//!   loops above, which know what a repeated write means, decide.
//!
//! | module | what it holds |
//! |---|---|
//! | `connection` | keys, region, endpoints, time-outs: what all clients share |
//! | `failure` | what an SDK error means for a caller, and for an operator at the start |
//! | [`s3`] | objects |
//! | [`dynamodb`] | the catalog |
//! | [`sqs`] | the doorbell |
//! | `secrets` | texts of Secrets Manager (feature `secrets`) |

mod connection;
pub mod dynamodb;
mod failure;
pub mod s3;
#[cfg(feature = "secrets")]
mod secrets;
pub mod sqs;

pub use connection::{AccessKey, Aws, AwsSettings, Endpoints, RoleKey, Timeouts};
pub use dynamodb::{DynamoCatalog, DynamoSettings, OpenDynamoError};
pub use failure::AwsError;
pub use s3::{Checksums, S3Location, S3Settings, S3Store};
#[cfg(feature = "secrets")]
pub use secrets::Secrets;
pub use sqs::{QueueUrls, SqsDoorbell};
