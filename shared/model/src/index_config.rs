//! What CreateIndex decides once and for all.

use serde::{Deserialize, Serialize};

use crate::encryption::Encryption;
use crate::vector::{Dimension, DistanceMetric};

/// The configuration of an index; immutable for the index's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexConfig {
    /// Values per vector.
    pub dimension: Dimension,
    /// How vectors are compared.
    pub metric: DistanceMetric,
    /// Metadata keys that filters may not name; `None` when no `metadataConfiguration` was given, which GetIndex
    /// tells apart from an empty list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_filterable_keys: Option<Vec<String>>,
    /// The effective encryption: the index's own, or the bucket's at creation.
    pub encryption: Encryption,
}

impl IndexConfig {
    /// The non-filterable keys, none when none were given.
    pub fn non_filterable(&self) -> &[String] {
        self.non_filterable_keys.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_key_lists_stay_apart() {
        let none = IndexConfig {
            dimension: Dimension::new(3).unwrap(),
            metric: DistanceMetric::Cosine,
            non_filterable_keys: None,
            encryption: Encryption::Aes256,
        };
        let empty = IndexConfig {
            non_filterable_keys: Some(Vec::new()),
            ..none.clone()
        };
        let json = serde_json::to_string(&none).unwrap();
        assert_eq!(
            json,
            r#"{"dimension":3,"metric":"cosine","encryption":{"sseType":"AES256"}}"#
        );
        assert_eq!(serde_json::from_str::<IndexConfig>(&json).unwrap(), none);
        let json = serde_json::to_string(&empty).unwrap();
        assert_eq!(serde_json::from_str::<IndexConfig>(&json).unwrap(), empty);
        assert!(none.non_filterable().is_empty());
    }
}
