//! `s3://bucket/prefix`.

use std::fmt;
use std::str::FromStr;

use crate::paths::ObjectName;

/// Where a store is: `s3://bucket` or `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with: empty, or ending with a slash.
    pub prefix: String,
}

impl S3Location {
    /// The key of an object, or of any text that names begin with.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The object of a key; `None`: the key is not below the prefix.
    pub(super) fn name(&self, key: &str) -> Option<ObjectName> {
        key.strip_prefix(&self.prefix).map(ObjectName::from_stored)
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bucket, prefix) = (&self.bucket, self.prefix.trim_end_matches('/'));
        if prefix.is_empty() {
            write!(f, "s3://{bucket}")
        } else {
            write!(f, "s3://{bucket}/{prefix}")
        }
    }
}

/// Why a text is not an [`S3Location`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected s3://BUCKET or s3://BUCKET/PREFIX")]
pub struct NotAnS3Location(String);

impl FromStr for S3Location {
    type Err = NotAnS3Location;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnS3Location(text.to_owned());
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        // Dots alone would be a path on its way up.
        let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
        let prefix = prefix.trim_end_matches('/');
        let parts: Vec<&str> = if prefix.is_empty() {
            Vec::new()
        } else {
            prefix.split('/').collect()
        };
        if bucket.is_empty() || !bucket.bytes().all(is_bucket) || !parts.iter().all(|part| is_part(part)) {
            return Err(wrong());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: parts.iter().map(|part| format!("{part}/")).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("s3://bucket", "bucket", "", "s3://bucket")]
    #[case("s3://bucket/", "bucket", "", "s3://bucket")]
    #[case("s3://my.bucket-1/a", "my.bucket-1", "a/", "s3://my.bucket-1/a")]
    #[case("s3://bucket/a b/c/", "bucket", "a b/c/", "s3://bucket/a b/c")]
    fn locations(#[case] text: &str, #[case] bucket: &str, #[case] prefix: &str, #[case] shown: &str) {
        let location: S3Location = text.parse().unwrap();
        assert_eq!((location.bucket.as_str(), location.prefix.as_str()), (bucket, prefix));
        assert_eq!(location.to_string(), shown);
        let name = ObjectName::from_stored("v1/x");
        assert_eq!(location.name(&location.key("v1/x")), Some(name));
    }

    #[rstest]
    #[case("bucket")]
    #[case("s3://")]
    #[case("s3:///a")]
    #[case("s3://bücket")]
    #[case("s3://bucket//a")]
    #[case("s3://bucket/a/../b")]
    #[case("http://bucket")]
    fn not_locations(#[case] text: &str) {
        assert!(
            text.parse::<S3Location>()
                .unwrap_err()
                .to_string()
                .contains("s3://BUCKET")
        );
    }
}
