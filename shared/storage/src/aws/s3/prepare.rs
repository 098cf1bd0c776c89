//! Can the bucket be used? Asked once, before the first request, so that an operator reads one line that says what to
//! do.

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use futures::future::BoxFuture;

use super::S3Store;
use crate::aws::failure::{AwsError, Failure};

/// The one region that is not named when a bucket is created.
const UNNAMED_REGION: &str = "us-east-1";

impl S3Store {
    /// Finds out whether the bucket can be used, and creates it when it is missing and that is wanted.
    ///
    /// # Errors
    /// What is wrong, for an operator.
    pub fn prepare<'a>(&'a self, create_missing: bool) -> BoxFuture<'a, Result<(), AwsError>> {
        Box::pin(async move {
            match self.look().await {
                Err(failure) if create_missing && failure.code.as_deref() == Some("NoSuchBucket") => {}
                looked => return looked.map_err(|failure| failure.error),
            }
            match self.create_bucket().await {
                Ok(()) => {
                    tracing::info!(bucket = %self.location.bucket, "created the bucket");
                    Ok(())
                }
                // Another process may have created it just now.
                Err(created) => self.look().await.map_err(|_| created.error),
            }
        })
    }

    async fn look(&self) -> Result<(), Failure> {
        let answer = self
            .clients
            .again
            .list_objects_v2()
            .bucket(&self.location.bucket)
            .prefix(self.location.key(""))
            .max_keys(1)
            .send()
            .await;
        answer
            .map(|_| ())
            .map_err(|error| self.failure(&error, "s3:ListBucket"))
    }

    async fn create_bucket(&self) -> Result<(), Failure> {
        let place = self.region.as_deref().filter(|region| *region != UNNAMED_REGION);
        let place = place.map(|region| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        let answer = self
            .clients
            .again
            .create_bucket()
            .bucket(&self.location.bucket)
            .set_create_bucket_configuration(place)
            .send()
            .await;
        answer
            .map(|_| ())
            .map_err(|error| self.failure(&error, "s3:CreateBucket"))
    }
}
