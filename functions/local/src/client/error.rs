//! What can go wrong with a call, as a person wants to read it.

use std::time::Duration;

use model::{FieldFault, Operation};
use serde::Deserialize;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The endpoint is not one.
    #[error("--endpoint {endpoint}: {reason}")]
    Endpoint { endpoint: String, reason: String },
    /// The authorities to trust cannot be read.
    #[error("--ca-bundle {file}: {reason}")]
    CaBundle { file: String, reason: String },
    /// Half of a key is no key.
    #[error("an access key id and a secret access key are needed together (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)")]
    HalfKey,
    /// No answer.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable { endpoint: String, reason: String },
    /// The server said no.
    #[error("{}: {refusal}", operation.name())]
    Refused {
        operation: Operation,
        refusal: Box<Refusal>,
    },
    /// The server said something else than the API says.
    #[error("{}: the answer is not what the API promises: {what}", operation.name())]
    Answer { operation: Operation, what: String },
}

impl ClientError {
    pub(crate) fn endpoint(endpoint: &str, reason: &str) -> Self {
        Self::Endpoint {
            endpoint: endpoint.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(crate) fn answer(operation: Operation, what: impl Into<String>) -> Self {
        Self::Answer {
            operation,
            what: what.into(),
        }
    }

    /// The server's refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Refused with this exception.
    pub(crate) fn is(&self, shape: &str) -> bool {
        self.refusal().is_some_and(|refusal| refusal.shape == shape)
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shape} ({status}): {message}")]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The exception's name; empty when the answer comes from something that does not speak the API.
    pub(crate) shape: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<FieldFault>,
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(rename = "__type", default)]
    shape: Option<String>,
    #[serde(alias = "Message", default)]
    message: Option<String>,
    #[serde(rename = "fieldList", default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    path: String,
    message: String,
}

impl Refusal {
    pub(crate) fn read(status: u16, error_type: Option<&str>, retry_after: Option<&str>, body: &[u8]) -> Self {
        let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
        // `namespace#Name` and `Name:uri` are both about Name.
        let shape = error_type.map(ToOwned::to_owned).or(parsed.shape).unwrap_or_default();
        let shape = shape.split(':').next().unwrap_or_default();
        let shape = shape.rsplit('#').next().unwrap_or_default().to_owned();
        let text = || String::from_utf8_lossy(body).chars().take(200).collect();
        let fields = parsed
            .fields
            .into_iter()
            .map(|Field { path, message }| FieldFault { path, message });
        Self {
            status,
            shape,
            message: parsed.message.unwrap_or_else(text),
            fields: fields.collect(),
            retry_after: retry_after
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        }
    }
}

/// An error with its causes: the outermost alone often says only that something went wrong.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
