//! Vectors: how long, compared how, and which values are legal (API.md sections 2.3 and 4.3).

use serde::{Deserialize, Serialize};

use crate::error::messages;
use crate::limits;

/// How many values the vectors of an index have: 1 to 4,096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Dimension(u16);

impl Dimension {
    /// `None` outside 1 to 4,096.
    pub fn new(values: u32) -> Option<Self> {
        if limits::DIMENSION.contains(&values) {
            u16::try_from(values).ok().map(Self)
        } else {
            None
        }
    }

    /// The number of values.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<u32> for Dimension {
    type Error = String;

    fn try_from(values: u32) -> Result<Self, String> {
        Self::new(values).ok_or_else(|| format!("dimension {values} is outside 1 to 4096"))
    }
}

impl From<Dimension> for u32 {
    fn from(dimension: Dimension) -> Self {
        Self::from(dimension.0)
    }
}

impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How near two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistanceMetric {
    /// 1 - cos.
    Cosine,
    /// Squared L2.
    Euclidean,
}

impl DistanceMetric {
    /// The words of the API, in the order in which the service lists them.
    pub const WORDS: [&'static str; 2] = ["euclidean", "cosine"];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Euclidean => "euclidean",
        }
    }

    /// Reads the word exactly.
    pub fn parse_strict(word: &str) -> Option<Self> {
        [Self::Cosine, Self::Euclidean]
            .into_iter()
            .find(|metric| metric.as_str() == word)
    }

    /// Reads the word in any case (API.md section 16: the older guide writes `COSINE`).
    pub fn parse_lenient(word: &str) -> Option<Self> {
        [Self::Cosine, Self::Euclidean]
            .into_iter()
            .find(|metric| metric.as_str().eq_ignore_ascii_case(word))
    }
}

impl std::fmt::Display for DistanceMetric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a vector is not legal for an index; displays as the service's sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VectorFault {
    /// Too few or too many values.
    #[error("{}", messages::vector_length(*expected, *actual))]
    Length {
        /// The index's dimension.
        expected: usize,
        /// The values found.
        actual: usize,
    },
    /// A value is NaN or infinite, perhaps only since it became an f32.
    #[error("{}", messages::VECTOR_NOT_FINITE)]
    NotFinite,
    /// All values are zero and the metric is cosine.
    #[error("{}", messages::VECTOR_ZERO_NORM)]
    ZeroNorm,
}

/// Judges a vector, put or queried, after its values have become f32.
///
/// # Errors
/// The first fault, in the order length, finiteness, norm.
pub fn check_vector(values: &[f32], dimension: Dimension, metric: DistanceMetric) -> Result<(), VectorFault> {
    if values.len() != dimension.get() {
        return Err(VectorFault::Length {
            expected: dimension.get(),
            actual: values.len(),
        });
    }
    // No early exit: the plain fold is what the compiler turns into SIMD.
    let finite = values.iter().fold(true, |finite, value| finite & value.is_finite());
    if !finite {
        return Err(VectorFault::NotFinite);
    }
    // Not a computed norm, which would be zero for subnormal values too.
    if metric == DistanceMetric::Cosine && values.iter().all(|value| *value == 0.0) {
        return Err(VectorFault::ZeroNorm);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fine(&[1.0, 2.0], DistanceMetric::Cosine, None)]
    #[case::largest(&[f32::MAX, -f32::MAX], DistanceMetric::Cosine, None)]
    #[case::subnormal(&[0.0, f32::from_bits(1)], DistanceMetric::Cosine, None)]
    #[case::origin(&[0.0, -0.0], DistanceMetric::Euclidean, None)]
    #[case::zero(&[0.0, -0.0], DistanceMetric::Cosine, Some("cosine distance does not support vectors with zero norm"))]
    #[case::nan(&[0.0, f32::NAN], DistanceMetric::Euclidean, Some("vector contains NaNs or Infs"))]
    #[case::infinite(&[f32::NEG_INFINITY, 1.0], DistanceMetric::Cosine, Some("vector contains NaNs or Infs"))]
    #[case::short(&[f32::NAN], DistanceMetric::Cosine, Some("vector must have length 2, but has length 1"))]
    #[case::empty(&[], DistanceMetric::Cosine, Some("vector must have length 2, but has length 0"))]
    #[case::long(&[1.0; 3], DistanceMetric::Cosine, Some("vector must have length 2, but has length 3"))]
    fn vectors(#[case] values: &[f32], #[case] metric: DistanceMetric, #[case] fault: Option<&str>) {
        let found = check_vector(values, Dimension::new(2).unwrap(), metric)
            .err()
            .map(|fault| fault.to_string());
        assert_eq!(found.as_deref(), fault);
    }

    #[rstest]
    #[case(0, false)]
    #[case(1, true)]
    #[case(4096, true)]
    #[case(4097, false)]
    #[case(65_537, false)]
    fn dimensions(#[case] values: u32, #[case] legal: bool) {
        assert_eq!(Dimension::new(values).is_some(), legal);
        assert_eq!(serde_json::from_str::<Dimension>(&values.to_string()).is_ok(), legal);
    }

    #[rstest]
    #[case("cosine", Some(DistanceMetric::Cosine), Some(DistanceMetric::Cosine))]
    #[case("euclidean", Some(DistanceMetric::Euclidean), Some(DistanceMetric::Euclidean))]
    #[case("COSINE", None, Some(DistanceMetric::Cosine))]
    #[case("Euclidean", None, Some(DistanceMetric::Euclidean))]
    #[case("dotproduct", None, None)]
    #[case("", None, None)]
    fn metrics(#[case] word: &str, #[case] strict: Option<DistanceMetric>, #[case] lenient: Option<DistanceMetric>) {
        assert_eq!(DistanceMetric::parse_strict(word), strict);
        assert_eq!(DistanceMetric::parse_lenient(word), lenient);
        if let Some(metric) = strict {
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("\"{word}\""));
            assert_eq!(metric.to_string(), word);
        }
    }
}
