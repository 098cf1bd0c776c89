//! Encryption configuration: stored, checked and reported, never acted upon here (API.md sections 2.3 and 4.2).

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// How a bucket or an index is said to be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(tag = "sseType")]
pub enum Encryption {
    /// With the store's own key: what you get when nothing is said.
    #[default]
    #[serde(rename = "AES256")]
    Aes256,
    /// With a customer's KMS key.
    #[serde(rename = "aws:kms")]
    Kms {
        /// The key's ARN.
        #[serde(rename = "kmsKeyArn")]
        key_arn: String,
    },
}

impl Encryption {
    /// The words of `sseType`.
    pub const SSE_TYPES: [&'static str; 2] = ["AES256", "aws:kms"];

    /// The pair of request members as an encryption. `sse_type` absent means AES256; its word is one of
    /// [`Encryption::SSE_TYPES`] (another one is a violated enum constraint, judged before).
    ///
    /// # Errors
    /// When the members do not belong together, in the service's words.
    pub fn from_members(sse_type: Option<&str>, key_arn: Option<&str>) -> Result<Self, ApiError> {
        match (sse_type.unwrap_or("AES256"), key_arn) {
            ("aws:kms", Some(key_arn)) => Ok(Self::Kms {
                key_arn: key_arn.to_owned(),
            }),
            ("aws:kms", None) => Err(ApiError::kms_key_missing()),
            (_, None) => Ok(Self::Aes256),
            (_, Some(_)) => Err(ApiError::kms_key_unexpected()),
        }
    }

    /// The word of `sseType`.
    pub fn sse_type(&self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms { .. } => "aws:kms",
        }
    }

    /// The KMS key's ARN, if there is one.
    pub fn key_arn(&self) -> Option<&str> {
        match self {
            Self::Aes256 => None,
            Self::Kms { key_arn } => Some(key_arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(None, None, Ok(r#"{"sseType":"AES256"}"#))]
    #[case::aes(Some("AES256"), None, Ok(r#"{"sseType":"AES256"}"#))]
    #[case::kms(Some("aws:kms"), Some("arn:k"), Ok(r#"{"sseType":"aws:kms","kmsKeyArn":"arn:k"}"#))]
    #[case::aes_and_key(
        Some("AES256"),
        Some("k"),
        Err("kmsKeyArn must not be specified when sseType is AES256.")
    )]
    #[case::key_alone(None, Some("k"), Err("kmsKeyArn must not be specified when sseType is AES256."))]
    #[case::no_key(
        Some("aws:kms"),
        None,
        Err("kmsKeyArn must be specified when sseType is set to aws:kms")
    )]
    fn members(#[case] sse_type: Option<&str>, #[case] key_arn: Option<&str>, #[case] expected: Result<&str, &str>) {
        let found = Encryption::from_members(sse_type, key_arn);
        match expected {
            Ok(json) => {
                let encryption = found.unwrap();
                assert_eq!(serde_json::to_string(&encryption).unwrap(), json);
                assert_eq!(serde_json::from_str::<Encryption>(json).unwrap(), encryption);
                assert_eq!(encryption.sse_type(), sse_type.unwrap_or("AES256"));
                assert_eq!(encryption.key_arn(), key_arn);
            }
            Err(message) => assert_eq!(found.unwrap_err().message(), message),
        }
    }
}
