//! Resource ARNs (API.md section 3): `arn:<partition>:s3vectors:<region>:<account>:bucket/<name>[/index/<name>]`.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::json::string_serde;
use crate::names::{BucketName, IndexName};

const SERVICE: &str = "s3vectors";

/// Where this deployment is: the parts of an ARN that all its resources share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region {
    /// `aws`, `aws-cn`, ...
    pub partition: String,
    /// `us-east-1`, ...
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

/// A text that is the ARN of no vector bucket and no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// It has not the form of one.
    #[error("not the ARN of a vector bucket or an index: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It has the form of one, since the service model's pattern admits dots in a bucket's name; but no bucket has such
    /// a name.
    #[error("no vector bucket has a name with dots")]
    DottedBucket {
        /// Whether it is the ARN of an index.
        of_index: bool,
    },
}

/// A vector bucket or an index, of any account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceArn {
    /// The bucket, or the index's bucket.
    pub bucket: BucketName,
    /// The index; `None` when the bucket itself is meant.
    pub index: Option<IndexName>,
    /// `aws`, `aws-cn`, ...
    pub partition: String,
    /// `us-east-1`, ...
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

impl ResourceArn {
    /// The ARN of a bucket of this deployment.
    pub fn bucket(region: &Region, bucket: &BucketName) -> Self {
        Self {
            bucket: bucket.clone(),
            index: None,
            partition: region.partition.clone(),
            region: region.region.clone(),
            account: region.account.clone(),
        }
    }

    /// The ARN of an index of this deployment.
    pub fn index(region: &Region, bucket: &BucketName, index: &IndexName) -> Self {
        Self {
            index: Some(index.clone()),
            ..Self::bucket(region, bucket)
        }
    }

    /// Reads an ARN. `vector-bucket/` is taken for `bucket/`: an older guide writes it so (API.md section 16).
    ///
    /// # Errors
    /// When the text is not the ARN of a bucket or an index, or a name in it is not a legal name.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let refused = |reason| ArnError::Malformed { reason };
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or(refused("fewer than six parts"));
        let (arn, partition, service, region, account, resource) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if arn != "arn" || service != SERVICE {
            return Err(refused("does not begin with arn:<partition>:s3vectors"));
        }
        if !partition.starts_with("aws") || !partition.bytes().all(lower) {
            return Err(refused("partition is malformed"));
        }
        if region.is_empty() || !region.bytes().all(lower) {
            return Err(refused("region is malformed"));
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused("account is not twelve digits"));
        }
        let names = resource
            .strip_prefix("vector-bucket/")
            .or_else(|| resource.strip_prefix("bucket/"));
        let names = names.ok_or(refused("resource does not begin with bucket/"))?;
        let (bucket, index) = match names.split_once("/index/") {
            Some((bucket, index)) => (bucket, Some(index)),
            None => (names, None),
        };
        let index = index
            .map(IndexName::parse)
            .transpose()
            .map_err(|_| refused("index name is malformed"))?;
        let bucket = BucketName::parse(bucket).map_err(|_| {
            // An index's name may have dots: what passes for one has the pattern's form.
            match IndexName::parse(bucket) {
                Ok(_) => ArnError::DottedBucket {
                    of_index: index.is_some(),
                },
                Err(_) => refused("bucket name is malformed"),
            }
        })?;
        Ok(Self {
            bucket,
            index,
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
        })
    }

    /// Whether it names something of this deployment: account and region are the same. The partition is not compared,
    /// since a client may have been set up for another one.
    pub fn is_ours(&self, region: &Region) -> bool {
        self.account == region.account && self.region == region.region
    }
}

impl Display for ResourceArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bucket,
            index,
            partition,
            region,
            account,
        } = self;
        write!(f, "arn:{partition}:{SERVICE}:{region}:{account}:bucket/{bucket}")?;
        match index {
            Some(index) => write!(f, "/index/{index}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ResourceArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        Self::parse(text)
    }
}

string_serde!(ResourceArn);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bucket("arn:aws:s3vectors:us-east-1:123456789012:bucket/books")]
    #[case::index("arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/a.b-c")]
    #[case::partition("arn:aws-us-gov:s3vectors:us-gov-west-1:000000000000:bucket/books")]
    #[case::index_called_index("arn:aws:s3vectors:us-east-1:123456789012:bucket/index/index/index")]
    fn round_trips(#[case] text: &str) {
        assert_eq!(ResourceArn::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn older_form_is_read_and_the_real_one_written() {
        let arn = ResourceArn::parse("arn:aws:s3vectors:us-east-1:123456789012:vector-bucket/books/index/all").unwrap();
        assert_eq!(
            arn.to_string(),
            "arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/all"
        );
    }

    #[rstest]
    #[case::empty("")]
    #[case::name("books")]
    #[case::service("arn:aws:s3:us-east-1:123456789012:bucket/books")]
    #[case::partition("arn:azure:s3vectors:us-east-1:123456789012:bucket/books")]
    #[case::partition_upper("arn:awsX:s3vectors:us-east-1:123456789012:bucket/books")]
    #[case::no_region("arn:aws:s3vectors::123456789012:bucket/books")]
    #[case::short_account("arn:aws:s3vectors:us-east-1:12345678901:bucket/books")]
    #[case::letters_in_account("arn:aws:s3vectors:us-east-1:12345678901a:bucket/books")]
    #[case::table("arn:aws:s3vectors:us-east-1:123456789012:table/books")]
    #[case::bad_name("arn:aws:s3vectors:us-east-1:123456789012:bucket/Books")]
    #[case::short_index("arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/a")]
    #[case::trailing("arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/all/more")]
    #[case::slash("arn:aws:s3vectors:us-east-1:123456789012:bucket/books/")]
    #[case::dotted_bucket_of_bad_index("arn:aws:s3vectors:us-east-1:123456789012:bucket/a.b/index/a")]
    #[case::bucket_ends_in_a_dot("arn:aws:s3vectors:us-east-1:123456789012:bucket/ab.")]
    fn refused(#[case] text: &str) {
        let fault = ResourceArn::parse(text).unwrap_err();
        assert!(matches!(fault, ArnError::Malformed { .. }), "{fault:?}");
    }

    #[rstest]
    #[case::bucket("arn:aws:s3vectors:us-east-1:123456789012:bucket/a.b", false)]
    #[case::index("arn:aws:s3vectors:us-east-1:123456789012:bucket/a.b/index/all", true)]
    fn dots_in_a_bucket_have_the_form_of_an_arn(#[case] text: &str, #[case] of_index: bool) {
        assert_eq!(ResourceArn::parse(text), Err(ArnError::DottedBucket { of_index }));
    }

    #[test]
    fn ours_is_account_and_region() {
        let here = Region {
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
        };
        let ours = |text: &str| ResourceArn::parse(text).unwrap().is_ours(&here);
        assert!(ours("arn:aws:s3vectors:us-east-1:123456789012:bucket/books"));
        assert!(ours("arn:aws-cn:s3vectors:us-east-1:123456789012:bucket/books"));
        assert!(!ours("arn:aws:s3vectors:us-east-2:123456789012:bucket/books"));
        assert!(!ours("arn:aws:s3vectors:us-east-1:123456789013:bucket/books"));
        let bucket = BucketName::parse("books").unwrap();
        let index = IndexName::parse("all").unwrap();
        let arn = ResourceArn::index(&here, &bucket, &index);
        assert_eq!(
            arn.to_string(),
            "arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/all"
        );
    }
}
