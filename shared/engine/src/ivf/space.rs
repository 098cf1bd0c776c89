//! Vectors as FAISS sees them. FAISS only selects candidates, so what it sees may differ from what is stored, as long
//! as it is finite and near rows stay near: cosine vectors are divided by their length, euclidean ones multiplied by a
//! power of two that brings their values near one, and both are padded with zeros to whole sub-quantizers.

use model::DistanceMetric;

/// Scaled values are limited to this: squares and their sums stay far inside f32.
const LIMIT: f32 = 1_048_576.0; // 2^20
/// Exponents beyond this change nothing: f32 has no such values.
const MOST_EXPONENT: i32 = 200;

/// How a stored vector becomes FAISS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    metric: DistanceMetric,
    dimension: usize,
    padded: usize,
    exponent: i32,
}

impl Space {
    /// The space of an index; `padded` is at least `dimension`, `exponent` counts for euclidean only.
    pub fn new(metric: DistanceMetric, dimension: usize, padded: usize, exponent: i32) -> Self {
        let exponent = match metric {
            DistanceMetric::Cosine => 0,
            DistanceMetric::Euclidean => exponent.clamp(-MOST_EXPONENT, MOST_EXPONENT),
        };
        Self {
            metric,
            dimension,
            padded: padded.max(dimension),
            exponent,
        }
    }

    /// How vectors are compared.
    pub fn metric(&self) -> DistanceMetric {
        self.metric
    }

    /// Values per vector as stored.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Values per vector as FAISS sees it.
    pub fn padded(&self) -> usize {
        self.padded
    }

    /// The power of two that values are multiplied with.
    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The same vectors for another code.
    pub fn with_padded(&self, padded: usize) -> Self {
        Self::new(self.metric, self.dimension, padded, self.exponent)
    }

    /// The exponent that brings the middle one of some rows' largest values near one. `rows` are little-endian f32
    /// bytes, one vector each.
    pub fn exponent_for<'a>(rows: impl Iterator<Item = &'a [u8]>) -> i32 {
        let mut largest: Vec<f32> = rows.map(largest_value).filter(|value| *value > 0.0).collect();
        let middle = largest.len() / 2;
        if largest.is_empty() {
            return 0;
        }
        let (_, median, _) = largest.select_nth_unstable_by(middle, f32::total_cmp);
        let exponent = f64::from(*median).log2().floor() as i32;
        -exponent
    }

    /// Appends a stored row (little-endian f32 bytes) to `out`.
    pub fn append(&self, row: &[u8], out: &mut Vec<f32>) {
        let values = values(row);
        match self.metric {
            DistanceMetric::Cosine => {
                let square: f64 = values.clone().map(|value| f64::from(value) * f64::from(value)).sum();
                let factor = if square > 0.0 { square.sqrt().recip() } else { 0.0 };
                out.extend(values.map(|value| (f64::from(value) * factor) as f32));
            }
            DistanceMetric::Euclidean => {
                let factor = f64::from(self.exponent).exp2();
                out.extend(values.map(|value| ((f64::from(value) * factor) as f32).clamp(-LIMIT, LIMIT)));
            }
        }
        out.resize(out.len() + self.padded - self.dimension, 0.0);
    }

    /// A query as FAISS sees it.
    pub fn query(&self, query: &[f32]) -> Vec<f32> {
        let bytes: Vec<u8> = query.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut out = Vec::with_capacity(self.padded);
        self.append(&bytes, &mut out);
        out
    }
}

fn values(row: &[u8]) -> impl Iterator<Item = f32> + Clone {
    row.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

fn largest_value(row: &[u8]) -> f32 {
    values(row).fold(0.0, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn cosine_vectors_have_length_one_whatever_their_size() {
        let space = Space::new(DistanceMetric::Cosine, 3, 4, 17);
        for scale in [1e-40_f32, 1.0, 1e38] {
            let seen = space.query(&[scale, -scale, scale]);
            assert_eq!(seen.len(), 4);
            let length: f32 = seen.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-5, "{scale}: {seen:?}");
            assert_eq!(seen[3], 0.0);
        }
        assert_eq!(space.query(&[0.0; 3]), [0.0; 4]);
    }

    #[test]
    fn euclidean_values_come_near_one_and_stay_finite() {
        for scale in [1e-44_f32, 1e-3, 1.0, 1e30, f32::MAX] {
            let rows = [bytes(&[scale, 0.0]), bytes(&[scale / 2.0, scale]), bytes(&[0.0, 0.0])];
            let exponent = Space::exponent_for(rows.iter().map(Vec::as_slice));
            let space = Space::new(DistanceMetric::Euclidean, 2, 2, exponent);
            let seen = space.query(&[scale, f32::MAX]);
            assert!((0.5..=2.0).contains(&seen[0]), "{scale}: {seen:?}");
            assert!(seen[1].is_finite() && seen[1] <= LIMIT);
        }
        assert_eq!(Space::exponent_for(std::iter::empty()), 0);
    }
}
