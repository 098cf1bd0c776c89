//! Which bucket or index a request names: by name or by ARN, exactly one of the two.
//!
//! Reading is split from resolving, because every model constraint is collected into one message before the
//! combination of identifiers is judged (order of checks: constraints, combination, policy, existence).

use model::arn::{ArnError, ResourceArn};
use model::{ApiError, BucketName, IndexName};
use storage::IndexPath;
use wire::{Constraints, Members};

use crate::Context;

const NAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=63;
const BUCKET_ARN_PATTERN: &str =
    "arn:aws[-a-z0-9]*:s3vectors:[a-z0-9-]+:[0-9]{12}:bucket/[a-z0-9][a-z0-9-.]{1,61}[a-z0-9]";
const INDEX_ARN_PATTERN: &str = "arn:aws[-a-z0-9]*:s3vectors:[a-z0-9-]+:[0-9]{12}:bucket/[a-z0-9][a-z0-9-.]{1,61}[a-z0-9]/index/[a-z0-9][a-z0-9-.]{1,61}[a-z0-9]";

/// The identifying members of a request on a vector bucket, as sent.
#[derive(Debug)]
pub(crate) struct BucketMembers {
    name: Option<String>,
    arn: Option<String>,
}

impl BucketMembers {
    /// Reads `vectorBucketName` and `vectorBucketArn`.
    pub(crate) fn read(members: &Members<'_>, constraints: &mut Constraints) -> Self {
        let name = constraints.string(members, "vectorBucketName", NAME_LENGTH, false);
        let arn = read_arn(members, constraints, "vectorBucketArn", BUCKET_ARN_PATTERN, false);
        Self { name, arn }
    }

    /// The one bucket that is named.
    pub(crate) fn resolve(self, ctx: &Context) -> Result<BucketName, ApiError> {
        match (self.name, self.arn) {
            (Some(name), None) => parse_bucket(&name),
            (None, Some(arn)) => {
                let arn = parse_arn(&arn, "vectorBucketArn", ApiError::not_found_bucket)?;
                if !arn.is_ours(&ctx.config.region) {
                    return Err(ApiError::not_found_bucket());
                }
                Ok(arn.bucket)
            }
            _ => Err(ApiError::bucket_identifiers()),
        }
    }
}

/// The identifying members of a request on a vector index, as sent.
#[derive(Debug)]
pub(crate) struct IndexMembers {
    bucket: Option<String>,
    index: Option<String>,
    arn: Option<String>,
}

impl IndexMembers {
    /// Reads `vectorBucketName`, `indexName` and `indexArn`.
    pub(crate) fn read(members: &Members<'_>, constraints: &mut Constraints) -> Self {
        let bucket = constraints.string(members, "vectorBucketName", NAME_LENGTH, false);
        let index = constraints.string(members, "indexName", NAME_LENGTH, false);
        let arn = read_arn(members, constraints, "indexArn", INDEX_ARN_PATTERN, true);
        Self { bucket, index, arn }
    }

    /// The one index that is named.
    pub(crate) fn resolve(self, ctx: &Context) -> Result<IndexPath, ApiError> {
        match (self.bucket, self.index, self.arn) {
            (Some(bucket), Some(index), None) => Ok(IndexPath {
                bucket: parse_bucket(&bucket)?,
                index: parse_index(&index)?,
            }),
            (None, None, Some(arn)) => {
                let arn = parse_arn(&arn, "indexArn", ApiError::not_found_index)?;
                let ours = arn.is_ours(&ctx.config.region);
                match arn.index {
                    Some(index) if ours => Ok(IndexPath {
                        bucket: arn.bucket,
                        index,
                    }),
                    _ => Err(ApiError::not_found_index()),
                }
            }
            _ => Err(ApiError::index_identifiers()),
        }
    }
}

/// What a tagging operation is about.
#[derive(Debug)]
pub(crate) enum Tagged {
    /// A vector bucket.
    Bucket(BucketName),
    /// A vector index.
    Index(IndexPath),
}

/// The resource that a tagging route's ARN names.
pub(crate) fn tagged(ctx: &Context, resource_arn: Option<&str>) -> Result<Tagged, ApiError> {
    let text = resource_arn.unwrap_or_default();
    let arn = parse_arn(text, "resourceArn", ApiError::not_found_resource)?;
    if !arn.is_ours(&ctx.config.region) {
        return Err(ApiError::not_found_resource());
    }
    Ok(match arn.index {
        None => Tagged::Bucket(arn.bucket),
        Some(index) => Tagged::Index(IndexPath {
            bucket: arn.bucket,
            index,
        }),
    })
}

/// The name of the index that CreateIndex makes.
pub(crate) fn parse_index(name: &str) -> Result<IndexName, ApiError> {
    IndexName::parse(name).map_err(|_| ApiError::invalid_index_name())
}

/// A bucket's name.
pub(crate) fn parse_bucket(name: &str) -> Result<BucketName, ApiError> {
    BucketName::parse(name).map_err(|_| ApiError::invalid_bucket_name())
}

/// Length bounds of bucket and index names.
pub(crate) const fn name_length() -> std::ops::RangeInclusive<usize> {
    NAME_LENGTH
}

/// An ARN as sent, of an index (`of_index`) or of a bucket.
fn read_arn(
    members: &Members<'_>,
    constraints: &mut Constraints,
    member: &str,
    pattern: &str,
    of_index: bool,
) -> Option<String> {
    let text = constraints.string(members, member, 0..=usize::MAX, false)?;
    let matches = match ResourceArn::parse(&text) {
        Ok(arn) => arn.index.is_some() == of_index,
        Err(ArnError::DottedBucket { of_index: found }) => found == of_index,
        Err(ArnError::Malformed { .. }) => false,
    };
    if !matches {
        constraints.pattern(&format!("/{member}"), pattern);
    }
    Some(text)
}

/// A bucket whose name has dots satisfies the pattern and does not exist.
fn parse_arn(text: &str, member: &str, not_found: fn() -> ApiError) -> Result<ResourceArn, ApiError> {
    ResourceArn::parse(text).map_err(|fault| match fault {
        ArnError::DottedBucket { .. } => not_found(),
        ArnError::Malformed { .. } => ApiError::invalid_arn(member),
    })
}
