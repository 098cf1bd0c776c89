//! The closed set of errors a client can see. Conversions from the errors of lower rooms live in the service; the
//! sentences live in [`messages`].

pub mod messages;
mod violations;

pub use violations::{Violation, Violations};

/// One entry of a ValidationException's `fieldList`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Which member: a JSON pointer for violated constraints (`/vectors/0/key`), else `vectors[0].metadata`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The request breaks a rule.
    Validation {
        /// The sentence.
        message: String,
        /// Where, when it can be said.
        fields: Vec<FieldFault>,
    },
    /// The body is not the JSON it should be.
    Serialization {
        /// The sentence.
        message: String,
    },
    /// No valid signature, or no permission.
    AccessDenied {
        /// The sentence.
        message: String,
    },
    /// The bucket, index, policy or tagged resource does not exist.
    NotFound {
        /// The sentence.
        message: String,
    },
    /// The name is taken, the bucket is not empty, or somebody else changed it at the same time.
    Conflict {
        /// The sentence.
        message: String,
    },
    /// The request took too long.
    RequestTimeout {
        /// The sentence.
        message: String,
    },
    /// Come back more slowly.
    TooManyRequests {
        /// The sentence.
        message: String,
    },
    /// A quota is used up.
    ServiceQuotaExceeded {
        /// The sentence.
        message: String,
    },
    /// Come back later.
    ServiceUnavailable {
        /// The sentence.
        message: String,
        /// How much later, if that can be said.
        retry_after_s: Option<u32>,
    },
    /// No operation has this path or method.
    UnknownOperation {
        /// The sentence.
        message: String,
    },
    /// Our fault.
    Internal {
        /// The sentence.
        message: String,
    },
}

impl ApiError {
    /// The name of the exception on the wire.
    pub fn shape(&self) -> &'static str {
        self.kind().0
    }

    /// The HTTP status (API.md section 2.2; 402 for quotas is the service's own).
    pub fn status(&self) -> u16 {
        self.kind().1
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        match self {
            Self::Validation { message, .. }
            | Self::Serialization { message }
            | Self::AccessDenied { message }
            | Self::NotFound { message }
            | Self::Conflict { message }
            | Self::RequestTimeout { message }
            | Self::TooManyRequests { message }
            | Self::ServiceQuotaExceeded { message }
            | Self::ServiceUnavailable { message, .. }
            | Self::UnknownOperation { message }
            | Self::Internal { message } => message,
        }
    }

    /// The `fieldList`; empty for everything but a ValidationException.
    pub fn fields(&self) -> &[FieldFault] {
        match self {
            Self::Validation { fields, .. } => fields,
            _ => &[],
        }
    }

    fn kind(&self) -> (&'static str, u16) {
        match self {
            Self::Validation { .. } => ("ValidationException", 400),
            Self::Serialization { .. } => ("SerializationException", 400),
            Self::AccessDenied { .. } => ("AccessDeniedException", 403),
            Self::NotFound { .. } => ("NotFoundException", 404),
            Self::Conflict { .. } => ("ConflictException", 409),
            Self::RequestTimeout { .. } => ("RequestTimeoutException", 408),
            Self::TooManyRequests { .. } => ("TooManyRequestsException", 429),
            Self::ServiceQuotaExceeded { .. } => ("ServiceQuotaExceededException", 402),
            Self::ServiceUnavailable { .. } => ("ServiceUnavailableException", 503),
            Self::UnknownOperation { .. } => ("UnknownOperationException", 404),
            Self::Internal { .. } => ("InternalServerException", 500),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.shape(), self.message())
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests;
