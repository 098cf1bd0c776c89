//! What a filter means (API.md section 6.2). The bitmap evaluation over a shard's attributes must agree with this for every row.

use super::{Condition, Filter, Scalar};
use crate::metadata::{Metadata, MetadataValue};

/// Whether `$ne` and `$nin` hold for a vector that lacks the key (API.md section 17, point 2). The service's own
/// behaviour is unknown; this is the one place that decides.
pub const MISSING_KEY_MATCHES_NEGATION: bool = true;

impl Filter {
    /// Whether the filter holds for this metadata; a vector without metadata is asked with an empty object.
    pub fn matches(&self, metadata: &Metadata) -> bool {
        match self {
            Self::And(filters) => filters.iter().all(|filter| filter.matches(metadata)),
            Self::Or(filters) => filters.iter().any(|filter| filter.matches(metadata)),
            Self::Field { key, condition } => condition.matches(metadata.get(key)),
        }
    }
}

impl Condition {
    /// Whether the condition holds for a value, or for the absence of one. A value of another type is no error: it
    /// equals nothing and is in no range. An array equals, or begins with, what one of its elements does, and is in no range.
    pub fn matches(&self, value: Option<&MetadataValue>) -> bool {
        let Some(value) = value else {
            return match self {
                Self::Ne(_) | Self::Nin(_) => MISSING_KEY_MATCHES_NEGATION,
                Self::Exists(wanted) => !wanted,
                _ => false,
            };
        };
        match self {
            Self::Eq(wanted) => equals(value, wanted),
            Self::Ne(unwanted) => !equals(value, unwanted),
            Self::In(wanted) => wanted.iter().any(|wanted| equals(value, wanted)),
            Self::Nin(unwanted) => !unwanted.iter().any(|unwanted| equals(value, unwanted)),
            Self::Gt(bound) => number(value).is_some_and(|number| number > *bound),
            Self::Gte(bound) => number(value).is_some_and(|number| number >= *bound),
            Self::Lt(bound) => number(value).is_some_and(|number| number < *bound),
            Self::Lte(bound) => number(value).is_some_and(|number| number <= *bound),
            Self::Exists(wanted) => *wanted,
            Self::StartsWith(prefix) => match value {
                MetadataValue::String(text) => text.starts_with(prefix),
                MetadataValue::Strings(texts) => texts.iter().any(|text| text.starts_with(prefix)),
                _ => false,
            },
        }
    }
}

fn equals(value: &MetadataValue, wanted: &Scalar) -> bool {
    match (value, wanted) {
        (MetadataValue::String(text), Scalar::String(wanted)) => text == wanted,
        (MetadataValue::Number(number), Scalar::Number(wanted)) => number.value() == *wanted,
        (MetadataValue::Bool(truth), Scalar::Bool(wanted)) => truth == wanted,
        (MetadataValue::Strings(texts), Scalar::String(wanted)) => texts.contains(wanted),
        (MetadataValue::Numbers(numbers), Scalar::Number(wanted)) => {
            numbers.iter().any(|number| number.value() == *wanted)
        }
        _ => false,
    }
}

fn number(value: &MetadataValue) -> Option<f64> {
    match value {
        MetadataValue::Number(number) => Some(number.value()),
        _ => None,
    }
}
