//! Violated model constraints, collected so that one answer names them all:
//! `2 validation errors detected. Value with length 2 at '/vectorBucketName' failed to satisfy constraint: ...; ...`

use std::ops::RangeInclusive;

use super::{ApiError, FieldFault, messages};

/// One violated constraint: where, and the whole sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer of the member.
    pub path: String,
    /// The sentence, `Value at '<path>' failed to satisfy constraint: ...`.
    pub sentence: String,
}

impl Violation {
    /// A string, list or map of the wrong length.
    pub fn length(path: impl Into<String>, actual: usize, allowed: RangeInclusive<usize>) -> Self {
        Self::of(path, |path| messages::length_violation(path, actual, &allowed))
    }

    /// A number out of range.
    pub fn range(path: impl Into<String>, allowed: RangeInclusive<i64>) -> Self {
        Self::of(path, |path| messages::range_violation(path, &allowed))
    }

    /// A word that is not one of the enum's.
    pub fn enumeration(path: impl Into<String>, words: &[&str]) -> Self {
        Self::of(path, |path| messages::enum_violation(path, words))
    }

    /// A text that does not match its pattern.
    pub fn pattern(path: impl Into<String>, pattern: &str) -> Self {
        Self::of(path, |path| messages::pattern_violation(path, pattern))
    }

    /// A required member that is absent.
    pub fn missing(path: impl Into<String>) -> Self {
        Self::of(path, messages::missing_violation)
    }

    fn of(path: impl Into<String>, sentence: impl FnOnce(&str) -> String) -> Self {
        let path = path.into();
        let sentence = sentence(&path);
        Self { path, sentence }
    }
}

/// The error of a request with this one violation.
impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        let message = messages::violations(std::iter::once(violation.sentence.as_str()));
        let field = FieldFault {
            path: violation.path,
            message: violation.sentence,
        };
        Self::Validation {
            message,
            fields: vec![field],
        }
    }
}

/// The violated constraints of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one.
    pub fn push(&mut self, violation: Violation) {
        self.0.push(violation);
    }

    /// Adds one if the length is not allowed.
    pub fn check_length(&mut self, path: &str, actual: usize, allowed: RangeInclusive<usize>) {
        if !allowed.contains(&actual) {
            self.push(Violation::length(path, actual, allowed));
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// # Errors
    /// All violations in one ValidationException, if there is any.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = messages::violations(self.0.iter().map(|violation| violation.sentence.as_str()));
        let fields = self.0.into_iter().map(|violation| FieldFault {
            path: violation.path,
            message: violation.sentence,
        });
        Err(ApiError::Validation {
            message,
            fields: fields.collect(),
        })
    }
}
