//! Every sentence a client can be told (API.md section 2.3), and the errors that say them. Sentences marked "ours" are
//! for situations in which the service's own words are unknown or do not exist.

use std::ops::RangeInclusive;

use super::{ApiError, FieldFault, Violation};
use crate::filter::FilterFault;
use crate::limits;
use crate::metadata::MetadataFault;
use crate::names::NameError;
use crate::vector::VectorFault;

/// A value became NaN or infinite as f32.
pub const VECTOR_NOT_FINITE: &str = "vector contains NaNs or Infs";
/// A zero vector under cosine.
pub const VECTOR_ZERO_NORM: &str = "cosine distance does not support vectors with zero norm";
/// Null or an object as a metadata value.
pub const METADATA_VALUE_TYPE: &str = "Metadata values must be strings, numbers, booleans, or arrays";
/// Booleans, objects, nulls, arrays or a mixture in a metadata array.
pub const METADATA_ARRAY_TYPE: &str = "Metadata array values must be strings or numbers";
/// `[]` as a metadata value.
pub const METADATA_EMPTY_ARRAY: &str = "Empty arrays are not allowed in metadata";
/// Metadata that is no JSON object at all (ours).
pub const METADATA_NOT_OBJECT: &str = "Metadata must be a JSON object";
/// A metadata number beyond f64 (ours).
pub const METADATA_NUMBER_RANGE: &str = "Metadata numbers must be finite in double precision";
/// A malformed filter, at least its beginning.
pub const INVALID_FILTER: &str = "Invalid filter";

/// Too few or too many values.
pub fn vector_length(expected: usize, actual: usize) -> String {
    format!("vector must have length {expected}, but has length {actual}")
}

/// Too much filterable metadata.
pub fn filterable_metadata_size(allowed: usize) -> String {
    format!("Filterable metadata must have at most {allowed} bytes")
}

/// Too much metadata.
pub fn metadata_size(allowed: usize) -> String {
    format!("Metadata object must have at most {allowed} bytes")
}

/// Too many metadata keys.
pub fn metadata_keys(allowed: usize) -> String {
    format!("Metadata object must have at most {allowed} keys")
}

/// The sentence about a wrong length.
pub fn length_violation(path: &str, actual: usize, allowed: &RangeInclusive<usize>) -> String {
    let (least, most) = (allowed.start(), allowed.end());
    format!(
        "Value with length {actual} at '{path}' failed to satisfy constraint: \
         Member must have length between {least} and {most}, inclusive"
    )
}

/// The sentence about a number out of range.
pub fn range_violation(path: &str, allowed: &RangeInclusive<i64>) -> String {
    let (least, most) = (allowed.start(), allowed.end());
    format!("Value at '{path}' failed to satisfy constraint: Member must be between {least} and {most}, inclusive")
}

/// The sentence about a word that the enum does not have.
pub fn enum_violation(path: &str, words: &[&str]) -> String {
    let words = words.join(", ");
    format!("Value at '{path}' failed to satisfy constraint: Member must satisfy enum value set: [{words}]")
}

/// The sentence about a text that does not match.
pub fn pattern_violation(path: &str, pattern: &str) -> String {
    format!("Value at '{path}' failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}")
}

/// The sentence about a required member that is absent.
pub fn missing_violation(path: &str) -> String {
    format!("Value at '{path}' failed to satisfy constraint: Member must not be null")
}

/// All sentences about violated constraints as one message.
pub fn violations<'a>(sentences: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = sentences.len();
    let noun = if count == 1 { "error" } else { "errors" };
    let joined = sentences.collect::<Vec<_>>().join("; ");
    format!("{count} validation {noun} detected. {joined}")
}

/// Input that breaks a rule.
impl ApiError {
    /// A ValidationException about the request as a whole.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::Validation {
            message: message.into(),
            fields: Vec::new(),
        }
    }

    /// A ValidationException about one member; the field says the same as the message.
    pub fn validation_at(path: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::validation_detail(path, message.clone(), message)
    }

    /// A ValidationException about one member, whose field says more than the message.
    pub fn validation_detail(path: impl Into<String>, message: impl Into<String>, detail: impl Into<String>) -> Self {
        let field = FieldFault {
            path: path.into(),
            message: detail.into(),
        };
        Self::Validation {
            message: message.into(),
            fields: vec![field],
        }
    }

    /// A bucket name with characters it cannot have.
    pub fn invalid_bucket_name() -> Self {
        Self::validation_at("vectorBucketName", "Invalid vector bucket name")
    }

    /// An index name with characters it cannot have (ours).
    pub fn invalid_index_name() -> Self {
        Self::validation_at("indexName", "Invalid index name")
    }

    /// A text that is no bucket name: the length has the template's sentence, characters have their own.
    pub fn from_bucket_name(fault: &NameError) -> Self {
        Self::from_name("/vectorBucketName", fault, Self::invalid_bucket_name)
    }

    /// A text that is no index name.
    pub fn from_index_name(fault: &NameError) -> Self {
        Self::from_name("/indexName", fault, Self::invalid_index_name)
    }

    /// A text that is no vector key, at this JSON pointer (`/vectors/0/key`, `/keys/0`).
    pub fn from_vector_key(pointer: &str, fault: &NameError) -> Self {
        Self::from_name(pointer, fault, || Self::key_too_long(pointer))
    }

    fn from_name(pointer: &str, fault: &NameError, otherwise: impl FnOnce() -> Self) -> Self {
        match fault {
            NameError::Length { actual, allowed } => Violation::length(pointer, *actual, allowed.clone()).into(),
            NameError::Characters | NameError::Bytes => otherwise(),
        }
    }

    /// An ARN that names neither bucket nor index of the kind wanted (ours).
    pub fn invalid_arn(member: &str) -> Self {
        Self::validation_at(member, format!("Invalid {member}"))
    }

    /// Both or neither of a bucket's identifiers.
    pub fn bucket_identifiers() -> Self {
        Self::validation("Must specify either vectorBucketName or vectorBucketArn but not both")
    }

    /// A wrong combination of an index's identifiers.
    pub fn index_identifiers() -> Self {
        Self::validation("Must specify either indexArn or both vectorBucketName and indexName")
    }

    /// A vector key with few enough characters but too many bytes.
    pub fn key_too_long(path: impl Into<String>) -> Self {
        Self::validation_at(path, "Record key length exceeds the maximum allowed")
    }

    /// A put record whose vector is not legal for the index.
    pub fn invalid_record_vector(position: usize, key: &str, fault: VectorFault) -> Self {
        Self::invalid_record(format!("vectors[{position}]"), key, &fault.to_string())
    }

    /// A put record whose metadata is not legal.
    pub fn invalid_record_metadata(position: usize, key: &str, fault: &MetadataFault) -> Self {
        Self::invalid_record(format!("vectors[{position}].metadata"), key, &fault.to_string())
    }

    fn invalid_record(path: String, key: &str, sentence: &str) -> Self {
        Self::validation_detail(path, format!("Invalid record for key '{key}': {sentence}"), sentence)
    }

    /// One key twice in one put, which only strict mode refuses.
    pub fn duplicate_keys() -> Self {
        Self::validation_at("vectors", "Request must not contain duplicate keys")
    }

    /// A query vector that is not legal for the index.
    pub fn invalid_query_vector(fault: VectorFault) -> Self {
        let message = "Query vector contains invalid values or is invalid for this index";
        Self::validation_detail("vector", message, format!("Invalid input: {fault}"))
    }

    /// A malformed filter.
    pub fn invalid_filter(fault: &FilterFault) -> Self {
        Self::validation_detail("filter", fault.to_string(), fault.detail())
    }

    /// A filter over a key that the index keeps out of filters.
    pub fn non_filterable_key(key: &str) -> Self {
        let message = "Invalid use of non-filterable metadata in filter";
        Self::validation_detail("filter", message, format!("{message}: '{key}'"))
    }

    /// A body above 20 MiB, as sent or as inflated.
    pub fn body_too_large() -> Self {
        Self::validation("Request body exceeds max allowed size")
    }

    /// A page token that is not ours, or belongs to another request (ours).
    pub fn invalid_token() -> Self {
        Self::validation_at("nextToken", "Invalid nextToken")
    }

    /// A KMS key where there is nothing to encrypt with it.
    pub fn kms_key_unexpected() -> Self {
        let message = "kmsKeyArn must not be specified when sseType is AES256.";
        Self::validation_at("encryptionConfiguration", message)
    }

    /// No KMS key where one is needed.
    pub fn kms_key_missing() -> Self {
        let message = "kmsKeyArn must be specified when sseType is set to aws:kms";
        Self::validation_at("encryptionConfiguration", message)
    }

    /// More tags than a resource can have.
    pub fn too_many_tags() -> Self {
        Self::validation_at("tags", "Too many tags specified")
    }

    /// A tag key under the reserved prefix.
    pub fn system_tags() -> Self {
        Self::validation_at("tags", "System tags cannot be added/updated by requester")
    }

    /// A tag key under the reserved prefix, not in lower case.
    pub fn system_tag_in_upper_case(key: &str) -> Self {
        Self::validation_at(
            "tags",
            format!("Invalid System Tag: {key} must be prefixed with \"aws:\" in lowercase."),
        )
    }

    /// `queryMode: CLASSIC`.
    pub fn query_mode_classic() -> Self {
        Self::validation_at("queryMode", "queryMode cannot be CLASSIC when indexMode is ENHANCED")
    }

    /// `indexMode: CLASSIC`.
    pub fn index_mode_classic() -> Self {
        let message = "indexMode cannot be set to CLASSIC because the vector bucket does not support CLASSIC mode";
        Self::validation_at("indexMode", message)
    }

    /// `defaultIndexMode: CLASSIC`.
    pub fn default_index_mode_classic() -> Self {
        let message =
            "defaultIndexMode cannot be set to CLASSIC because this vector bucket does not support CLASSIC mode";
        Self::validation_at("defaultIndexMode", message)
    }

    /// UpdateMetadataConfiguration without a change, or with two (the wording is ours).
    pub fn metadata_configuration_change() -> Self {
        Self::validation("Must specify either add or delete but not both")
    }

    /// A member that only full-text search could honour (ours).
    pub fn text_search_unsupported(member: &str) -> Self {
        Self::validation_at(
            member,
            format!("{member} cannot be used: full-text search is not supported yet"),
        )
    }

    /// A member beyond the service's model, which strict mode refuses (ours).
    pub fn extension_refused(member: &str) -> Self {
        Self::validation_at(
            member,
            format!("{member} is an extension of the API, which strict mode refuses"),
        )
    }

    /// Malformed JSON, lone surrogates or a member of the wrong JSON type.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::Serialization {
            message: message.into(),
        }
    }

    /// A lone surrogate: the service says no more than this.
    pub fn lone_surrogate() -> Self {
        Self::serialization("UnknownError")
    }
}

/// What is missing, taken or in the way.
impl ApiError {
    /// The bucket does not exist, on operations on buckets.
    pub fn not_found_bucket() -> Self {
        Self::NotFound {
            message: "The specified vector bucket could not be found".to_owned(),
        }
    }

    /// The index, or the bucket it would be in, does not exist.
    pub fn not_found_index() -> Self {
        Self::NotFound {
            message: "The specified index could not be found".to_owned(),
        }
    }

    /// The bucket has no policy.
    pub fn not_found_policy() -> Self {
        Self::NotFound {
            message: "The specified vector bucket policy could not be found".to_owned(),
        }
    }

    /// What the tags would belong to does not exist.
    pub fn not_found_resource() -> Self {
        Self::NotFound {
            message: "The specified resource could not be found".to_owned(),
        }
    }

    /// The bucket's name is taken.
    pub fn bucket_exists() -> Self {
        Self::Conflict {
            message: "A vector bucket with the specified name already exists".to_owned(),
        }
    }

    /// The index's name is taken.
    pub fn index_exists() -> Self {
        Self::Conflict {
            message: "An index with the specified name already exists".to_owned(),
        }
    }

    /// The bucket still has indexes.
    pub fn bucket_not_empty() -> Self {
        Self::Conflict {
            message: "The specified vector bucket is not empty".to_owned(),
        }
    }

    /// Somebody else changed the same thing again and again (ours).
    pub fn concurrent_change() -> Self {
        Self::Conflict {
            message: "The resource was changed by another request at the same time".to_owned(),
        }
    }

    /// No room for another bucket (ours).
    pub fn too_many_buckets() -> Self {
        let most = limits::BUCKETS_PER_ACCOUNT;
        Self::ServiceQuotaExceeded {
            message: format!("The account can have at most {most} vector buckets"),
        }
    }

    /// No room for another index (ours).
    pub fn too_many_indexes() -> Self {
        let most = limits::INDEXES_PER_BUCKET;
        Self::ServiceQuotaExceeded {
            message: format!("A vector bucket can have at most {most} indexes"),
        }
    }
}

/// Who may not, what is too much, what went wrong.
impl ApiError {
    /// No permission, or no valid signature.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::AccessDenied {
            message: message.into(),
        }
    }

    /// More work than this index can take now (ours).
    pub fn too_many_requests() -> Self {
        Self::TooManyRequests {
            message: "Too many requests for this index, reduce the request rate".to_owned(),
        }
    }

    /// The deadline passed (ours).
    pub fn request_timeout() -> Self {
        Self::RequestTimeout {
            message: "The request was not completed in time".to_owned(),
        }
    }

    /// Over capacity.
    pub fn service_unavailable(retry_after_s: Option<u32>) -> Self {
        Self::ServiceUnavailable {
            message: "Currently unable to handle the request".to_owned(),
            retry_after_s,
        }
    }

    /// No operation is there (ours).
    pub fn unknown_operation() -> Self {
        Self::UnknownOperation {
            message: "The requested operation could not be found".to_owned(),
        }
    }

    /// Our fault; details belong into the log.
    pub fn internal() -> Self {
        Self::Internal {
            message: "An internal error occurred".to_owned(),
        }
    }
}
