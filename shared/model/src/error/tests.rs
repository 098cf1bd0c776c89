use rstest::rstest;

use super::*;

#[rstest]
#[case(ApiError::validation("x"), "ValidationException", 400)]
#[case(ApiError::lone_surrogate(), "SerializationException", 400)]
#[case(ApiError::access_denied("x"), "AccessDeniedException", 403)]
#[case(ApiError::not_found_bucket(), "NotFoundException", 404)]
#[case(ApiError::bucket_exists(), "ConflictException", 409)]
#[case(ApiError::request_timeout(), "RequestTimeoutException", 408)]
#[case(ApiError::too_many_requests(), "TooManyRequestsException", 429)]
#[case(ApiError::too_many_indexes(), "ServiceQuotaExceededException", 402)]
#[case(ApiError::service_unavailable(Some(1)), "ServiceUnavailableException", 503)]
#[case(ApiError::unknown_operation(), "UnknownOperationException", 404)]
#[case(ApiError::internal(), "InternalServerException", 500)]
fn shapes_and_statuses(#[case] error: ApiError, #[case] shape: &str, #[case] status: u16) {
    assert_eq!((error.shape(), error.status()), (shape, status));
    assert_eq!(error.to_string(), format!("{shape}: {}", error.message()));
}

#[rstest]
#[case::length(
    Violation::length("/vectorBucketName", 2, 3..=63),
    "1 validation error detected. Value with length 2 at '/vectorBucketName' failed to satisfy constraint: \
     Member must have length between 3 and 63, inclusive"
)]
#[case::range(
    Violation::range("/dimension", 1..=4096),
    "1 validation error detected. Value at '/dimension' failed to satisfy constraint: \
     Member must be between 1 and 4096, inclusive"
)]
#[case::enumeration(
    Violation::enumeration("/distanceMetric", &crate::DistanceMetric::WORDS),
    "1 validation error detected. Value at '/distanceMetric' failed to satisfy constraint: \
     Member must satisfy enum value set: [euclidean, cosine]"
)]
#[case::pattern(
    Violation::pattern("/tags", "^a*$"),
    "1 validation error detected. Value at '/tags' failed to satisfy constraint: \
     Member must satisfy regular expression pattern: ^a*$"
)]
#[case::missing(
    Violation::missing("/topK"),
    "1 validation error detected. Value at '/topK' failed to satisfy constraint: Member must not be null"
)]
fn violation_messages(#[case] violation: Violation, #[case] message: &str) {
    let mut violations = Violations::default();
    violations.push(violation.clone());
    let error = violations.finish().unwrap_err();
    assert_eq!(error.message(), message);
    assert_eq!(
        error.fields(),
        [FieldFault {
            path: violation.path,
            message: violation.sentence
        }]
    );
}

#[rstest]
#[case::short_bucket(
    ApiError::from_bucket_name(&crate::BucketName::parse("ab").unwrap_err()),
    "1 validation error detected. Value with length 2 at '/vectorBucketName' failed to satisfy constraint: \
     Member must have length between 3 and 63, inclusive"
)]
#[case::bucket_characters(
    ApiError::from_bucket_name(&crate::BucketName::parse("a_b").unwrap_err()),
    "Invalid vector bucket name"
)]
#[case::index_characters(
    ApiError::from_index_name(&crate::IndexName::parse("a_b").unwrap_err()),
    "Invalid index name"
)]
#[case::long_key(
    ApiError::from_vector_key("/vectors/0/key", &crate::VectorKey::parse(&"a".repeat(1025)).unwrap_err()),
    "1 validation error detected. Value with length 1025 at '/vectors/0/key' failed to satisfy constraint: \
     Member must have length between 1 and 1024, inclusive"
)]
#[case::key_bytes(
    ApiError::from_vector_key("/keys/0", &crate::VectorKey::parse(&"\u{4e2d}".repeat(342)).unwrap_err()),
    "Record key length exceeds the maximum allowed"
)]
fn name_messages(#[case] error: ApiError, #[case] message: &str) {
    assert_eq!(error.message(), message);
}

#[test]
fn several_violations_are_one_message() {
    let mut violations = Violations::default();
    assert!(violations.is_empty());
    assert_eq!(violations.clone().finish(), Ok(()));
    violations.check_length("/indexName", 3, 3..=63);
    violations.check_length("/indexName", 2, 3..=63);
    violations.push(Violation::range("/dimension", 1..=4096));
    assert_eq!(violations.len(), 2);
    let error = violations.finish().unwrap_err();
    assert_eq!(
        error.message(),
        "2 validation errors detected. Value with length 2 at '/indexName' failed to satisfy constraint: Member must \
         have length between 3 and 63, inclusive; Value at '/dimension' failed to satisfy constraint: Member must be \
         between 1 and 4096, inclusive"
    );
    let paths: Vec<&str> = error.fields().iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["/indexName", "/dimension"]);
}

#[rstest]
#[case::zero_vector(
    ApiError::invalid_record_vector(0, "K", crate::VectorFault::ZeroNorm),
    "Invalid record for key 'K': cosine distance does not support vectors with zero norm",
    "vectors[0]",
    "cosine distance does not support vectors with zero norm"
)]
#[case::metadata(
    ApiError::invalid_record_metadata(3, "K", &crate::MetadataFault::FilterableSize { allowed: 2048, actual: 2049 }),
    "Invalid record for key 'K': Filterable metadata must have at most 2048 bytes",
    "vectors[3].metadata",
    "Filterable metadata must have at most 2048 bytes"
)]
#[case::query(
    ApiError::invalid_query_vector(crate::VectorFault::ZeroNorm),
    "Query vector contains invalid values or is invalid for this index",
    "vector",
    "Invalid input: cosine distance does not support vectors with zero norm"
)]
#[case::bucket_name(
    ApiError::invalid_bucket_name(),
    "Invalid vector bucket name",
    "vectorBucketName",
    "Invalid vector bucket name"
)]
fn field_lists(#[case] error: ApiError, #[case] message: &str, #[case] path: &str, #[case] detail: &str) {
    assert_eq!(error.message(), message);
    assert_eq!(
        error.fields(),
        [FieldFault {
            path: path.to_owned(),
            message: detail.to_owned()
        }]
    );
}
