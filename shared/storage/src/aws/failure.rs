//! What an SDK error means: for a caller, who decides by what became of a write, and for an operator, who reads one
//! line that names what is wrong and what to do.

use std::error::Error;
use std::fmt;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::error::StoreError;

/// Whom a request goes to, and for what: the operator's half of an error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The service and where it is: `S3 at http://127.0.0.1:9000`.
    pub server: String,
    /// The permission that the request needs: `s3:PutObject`.
    pub action: &'static str,
    /// What it works on: `bucket genai-vectors`.
    pub resource: String,
}

/// Why a request failed, for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// No answer.
    #[error("cannot reach {server} ({reason}): is it running, and is the endpoint right?")]
    Unreachable {
        /// The service and where it is.
        server: String,
        /// What the connection said.
        reason: String,
    },
    /// There are no keys to sign with.
    #[error("no access key for {server}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE ({reason})")]
    NoKeys {
        /// The service and where it is.
        server: String,
        /// What the search for keys said.
        reason: String,
    },
    /// Nobody says in which region it is.
    #[error("no region for {server}: set AWS_REGION")]
    NoRegion {
        /// The service.
        server: String,
    },
    /// The key is not one that the server knows.
    #[error("{server} does not know the access key: check AWS_ACCESS_KEY_ID")]
    UnknownKey {
        /// The service and where it is.
        server: String,
    },
    /// The signature is wrong.
    #[error("{server} refuses the signature: check AWS_SECRET_ACCESS_KEY")]
    WrongSecret {
        /// The service and where it is.
        server: String,
    },
    /// The keys were only good for a time.
    #[error("the session of the access key for {server} has expired: get new keys")]
    ExpiredKeys {
        /// The service and where it is.
        server: String,
    },
    /// The clocks differ.
    #[error("this machine's clock and that of {server} differ by more than 15 minutes: set it")]
    Clock {
        /// The service and where it is.
        server: String,
    },
    /// A permission is missing.
    #[error("the access key may not call {action} on {resource}: allow it")]
    Forbidden {
        /// The permission.
        action: &'static str,
        /// On what.
        resource: String,
    },
    /// The bucket, table or queue is missing.
    #[error("{resource} does not exist on {server}")]
    Missing {
        /// The service and where it is.
        server: String,
        /// What is missing.
        resource: String,
    },
    /// The bucket lies elsewhere.
    #[error("{resource} is in another region{}: set AWS_REGION", hint(.region))]
    OtherRegion {
        /// The bucket.
        resource: String,
        /// Where it is, if the server says.
        region: Option<String>,
    },
    /// Anything else.
    #[error("{server} answered {action} on {resource} with {reason}")]
    Other {
        /// The service and where it is.
        server: String,
        /// The permission that the request needs.
        action: &'static str,
        /// What it works on.
        resource: String,
        /// Status, code and message.
        reason: String,
    },
}

fn hint(region: &Option<String>) -> String {
    region
        .as_ref()
        .map_or_else(String::new, |region| format!(" ({region})"))
}

impl AwsError {
    /// The operator's half of an error, if a request is among its causes.
    pub fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The object is missing, and its bucket is not.
    NotFound,
    /// A condition did not hold, or another conditional write was going on: nothing was written.
    Refused,
    /// Refused for now: nothing was written.
    Throttled,
    /// No space: nothing was written.
    Full,
    /// Nobody knows.
    Unknown,
    /// Refused for good: nothing was written.
    Rejected,
}

/// One failed request.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) error: AwsError,
}

/// Codes that say: later, and nothing was done. The last two: another write of the item was going on.
const THROTTLED: [&str; 10] = [
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestLimitExceeded",
    "ProvisionedThroughputExceededException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "ReplicatedWriteConflictException",
];

impl Failure {
    pub(crate) fn new<E>(error: &SdkError<E, HttpResponse>, request: Request) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let response = error.raw_response();
        let status = response.map(|response| response.status().as_u16());
        let code = error.code().map(str::to_owned);
        let region = response.and_then(|response| response.headers().get("x-amz-bucket-region").map(str::to_owned));
        let answered = matches!(error, SdkError::ServiceError(_));
        let kind = if answered {
            kind(status, code.as_deref())
        } else {
            unanswered(error)
        };
        let text = reason(status, code.as_deref(), error.message(), error);
        let error = explain(kind, answered, code.as_deref(), region, text, request);
        Self {
            kind,
            status,
            code,
            error,
        }
    }

    /// For the caller of a port. `name`: the object or record.
    pub(crate) fn into_store_error(self, name: impl fmt::Display) -> StoreError {
        match self.kind {
            Kind::NotFound => StoreError::not_found(name),
            Kind::Refused => StoreError::conflict(name),
            Kind::Throttled => StoreError::throttled(name),
            Kind::Full => StoreError::full(name),
            Kind::Unknown => StoreError::unknown_because(name, self.error),
            Kind::Rejected => StoreError::other_because(name, self.error),
        }
    }
}

fn kind(status: Option<u16>, code: Option<&str>) -> Kind {
    match code {
        Some("NoSuchBucket" | "NoSuchUpload" | "ResourceNotFoundException") => return Kind::Rejected,
        Some("PreconditionFailed" | "ConditionalRequestConflict" | "ConditionalCheckFailedException") => {
            return Kind::Refused;
        }
        Some("XMinioStorageFull" | "InsufficientStorage") => return Kind::Full,
        Some(code) if THROTTLED.contains(&code) => return Kind::Throttled,
        _ => {}
    }
    match status {
        Some(404) => Kind::NotFound,
        Some(409 | 412) => Kind::Refused,
        Some(429) => Kind::Throttled,
        Some(507) => Kind::Full,
        // The server gave up waiting for the request.
        Some(408) => Kind::Unknown,
        Some(300..=499) if code != Some("RequestTimeout") => Kind::Rejected,
        _ => Kind::Unknown,
    }
}

/// A request without a usable answer: unknown, unless it was never sent.
fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> Kind {
    match error {
        SdkError::ConstructionFailure(_) => Kind::Rejected,
        SdkError::DispatchFailure(failure) if is_about_keys(failure.as_connector_error()) => Kind::Rejected,
        _ => Kind::Unknown,
    }
}

/// The search for keys failed: the SDK reports it as if it had been on the way.
fn is_about_keys(error: Option<&(impl Error + 'static)>) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.map(|error| error as _);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("credential") || text.contains("identity") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Status, code and message; without an answer the innermost cause, which says the most.
fn reason(status: Option<u16>, code: Option<&str>, message: Option<&str>, error: &(dyn Error + 'static)) -> String {
    if let Some(code) = code {
        let status = status.map_or_else(String::new, |status| format!("{status} "));
        let message = message.map_or_else(String::new, |message| format!(": {message}"));
        return format!("{status}{code}{message}");
    }
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    match status {
        // Not even an error of the protocol.
        Some(status) => format!("status {status} and no error code: is it the right server?"),
        None => last.to_string(),
    }
}

fn explain(
    kind: Kind,
    answered: bool,
    code: Option<&str>,
    region: Option<String>,
    reason: String,
    request: Request,
) -> AwsError {
    let Request {
        server,
        action,
        resource,
    } = request;
    if !answered {
        return match kind {
            Kind::Rejected if reason.to_ascii_lowercase().contains("region") => AwsError::NoRegion { server },
            Kind::Rejected => AwsError::NoKeys { server, reason },
            _ => AwsError::Unreachable { server, reason },
        };
    }
    match code {
        Some("InvalidAccessKeyId" | "UnrecognizedClientException" | "InvalidClientTokenId") => {
            AwsError::UnknownKey { server }
        }
        Some("SignatureDoesNotMatch" | "InvalidSignatureException") => AwsError::WrongSecret { server },
        Some("ExpiredToken" | "ExpiredTokenException") => AwsError::ExpiredKeys { server },
        Some("RequestTimeTooSkewed") => AwsError::Clock { server },
        Some("AccessDenied" | "AccessDeniedException" | "AllAccessDisabled") => {
            AwsError::Forbidden { action, resource }
        }
        Some("NoSuchBucket" | "ResourceNotFoundException" | "QueueDoesNotExist") => {
            AwsError::Missing { server, resource }
        }
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            AwsError::OtherRegion { resource, region }
        }
        _ => AwsError::Other {
            server,
            action,
            resource,
            reason,
        },
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::primitives::SdkBody;
    use rstest::rstest;

    use super::*;

    fn failure(status: u16, code: Option<&str>) -> Failure {
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code).message("the message");
        }
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        let request = Request {
            server: "S3 at http://here".to_owned(),
            action: "s3:PutObject",
            resource: "bucket b".to_owned(),
        };
        Failure::new(&SdkError::service_error(metadata.build(), response), request)
    }

    #[rstest]
    #[case::a_missing_object(404, Some("NoSuchKey"), Kind::NotFound)]
    #[case::a_missing_object_without_a_body(404, None, Kind::NotFound)]
    #[case::a_missing_bucket_is_no_missing_object(404, Some("NoSuchBucket"), Kind::Rejected)]
    #[case::a_condition(412, Some("PreconditionFailed"), Kind::Refused)]
    #[case::another_conditional_write(409, Some("ConditionalRequestConflict"), Kind::Refused)]
    #[case::dynamodb_condition(400, Some("ConditionalCheckFailedException"), Kind::Refused)]
    #[case::slow_down(503, Some("SlowDown"), Kind::Throttled)]
    #[case::dynamodb_throttled(400, Some("ProvisionedThroughputExceededException"), Kind::Throttled)]
    #[case::a_transaction_on_the_item(400, Some("TransactionConflictException"), Kind::Throttled)]
    #[case::too_many(429, None, Kind::Throttled)]
    #[case::minio_lost_its_quorum(503, Some("SlowDownWrite"), Kind::Unknown)]
    #[case::internal(500, Some("InternalError"), Kind::Unknown)]
    #[case::an_error_inside_a_success(200, Some("InternalError"), Kind::Unknown)]
    #[case::unavailable(503, None, Kind::Unknown)]
    #[case::the_body_came_too_slowly(400, Some("RequestTimeout"), Kind::Unknown)]
    #[case::minio_is_full(507, Some("XMinioStorageFull"), Kind::Full)]
    #[case::forbidden(403, Some("AccessDenied"), Kind::Rejected)]
    #[case::invalid(400, Some("ValidationException"), Kind::Rejected)]
    fn what_became_of_a_request(#[case] status: u16, #[case] code: Option<&str>, #[case] kind: Kind) {
        assert_eq!(failure(status, code).kind, kind);
    }

    #[rstest]
    #[case(403, Some("InvalidAccessKeyId"), "check AWS_ACCESS_KEY_ID")]
    #[case(403, Some("SignatureDoesNotMatch"), "check AWS_SECRET_ACCESS_KEY")]
    #[case(403, Some("AccessDenied"), "may not call s3:PutObject on bucket b")]
    #[case(404, Some("NoSuchBucket"), "bucket b does not exist on S3 at http://here")]
    #[case(400, Some("MalformedXML"), "400 MalformedXML: the message")]
    #[case(404, None, "is it the right server?")]
    fn operators_read_what_to_do(#[case] status: u16, #[case] code: Option<&str>, #[case] hint: &str) {
        let error = failure(status, code).into_store_error("v1/x");
        let shown = AwsError::of(&error).map_or_else(|| failure(status, code).error.to_string(), ToString::to_string);
        assert!(shown.contains(hint), "{shown}");
        assert!(!shown.contains('\n'), "{shown}");
    }

    #[test]
    fn without_an_answer_nobody_knows() {
        let request = || Request {
            server: "S3 at http://here".to_owned(),
            action: "s3:PutObject",
            resource: "bucket b".to_owned(),
        };
        let late: SdkError<ErrorMetadata, HttpResponse> = SdkError::timeout_error("too late");
        let failure = Failure::new(&late, request());
        assert_eq!(failure.kind, Kind::Unknown);
        assert!(
            failure
                .error
                .to_string()
                .contains("cannot reach S3 at http://here (too late)")
        );
        let unsigned: SdkError<ErrorMetadata, HttpResponse> = SdkError::construction_failure("no credentials");
        let failure = Failure::new(&unsigned, request());
        assert_eq!(failure.kind, Kind::Rejected);
        assert!(failure.error.to_string().contains("set AWS_ACCESS_KEY_ID"));
        let nowhere: SdkError<ErrorMetadata, HttpResponse> = SdkError::construction_failure("Missing Region");
        let failure = Failure::new(&nowhere, request());
        assert!(failure.error.to_string().contains("set AWS_REGION"));
    }
}
