//! Distances between a query and stored rows (DESIGN section 5): cosine = 1 - cos, euclidean = squared L2.
//!
//! There is one definition of what is computed, in `kernel`: 16 lanes of f32, one fused multiply-add per value, a fixed
//! reduction tree. `simd` computes the same bits with AVX2 and AVX-512, chosen once per query at run time. Page cursors
//! compare bits, so tail, flat scan and re-rank must all come through here.
//!
//! Where f32 leaves its range (overflow, or sums so small that they lose digits) the row is computed again in f64
//! (`wide`), and so is the cosine of a row that points nearly where the query does, by the difference of the two
//! directions (`near`): equal and scaled vectors are at 0, and small distances have as many digits as large ones. A
//! distance is never NaN, never negative, never infinite: above `f32::MAX` it is `f32::MAX`.

mod kernel;
mod near;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(test)]
mod tests;
mod wide;

use model::DistanceMetric;

use self::kernel::{BLOCK_ROWS, Lanes, Variant};
use self::near::Direction;

/// Sums of squares below this have lost digits to underflow: the values behind them are below 1e-15.
const SMALLEST_SAFE_SUM: f32 = f32::from_bits(0x0d80_0000); // 2^-100

/// Cosine distances below this are computed in f64: the sums of f32 are good to about 2^-22, so above it at least
/// twelve bits of a distance are right.
const NEAR: f32 = 1.0 / 1024.0;

/// A query vector, ready to be compared with many rows.
#[derive(Debug, Clone)]
pub struct PreparedQuery {
    metric: DistanceMetric,
    values: Vec<f32>,
    lanes: Vec<Lanes>,
    /// |q|^2 as the kernel computes it for a row.
    square: f32,
    /// For the cosine of rows that are near.
    direction: Option<Direction>,
    variant: Variant,
}

impl PreparedQuery {
    /// Prepares `query` for the fastest kernel of this CPU.
    pub fn new(query: &[f32], metric: DistanceMetric) -> Self {
        Self::with_variant(query, metric, Variant::detect())
    }

    fn with_variant(query: &[f32], metric: DistanceMetric, variant: Variant) -> Self {
        let lanes = kernel::padded(query);
        Self {
            metric,
            values: query.to_vec(),
            square: kernel::square(&lanes),
            direction: (metric == DistanceMetric::Cosine).then(|| Direction::of(query)),
            lanes,
            variant,
        }
    }

    /// Values per vector.
    pub fn dimension(&self) -> usize {
        self.values.len()
    }

    /// Bytes per row.
    pub fn row_bytes(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }

    /// The distance to one row: `row_bytes` little-endian f32 bytes at any alignment. A row of another length is as far
    /// away as can be.
    pub fn distance(&self, row: &[u8]) -> f32 {
        if row.len() != self.row_bytes() {
            return f32::MAX;
        }
        let mut distance = [f32::MAX];
        self.distances(row, &mut distance);
        let [distance] = distance;
        distance
    }

    /// The distances to rows that lie one behind the other: as many as both `rows` and `distances` hold. Further places
    /// of `distances` become `f32::MAX`.
    pub fn distances(&self, rows: &[u8], distances: &mut [f32]) {
        distances.fill(f32::MAX);
        let row_bytes = self.row_bytes();
        if row_bytes == 0 {
            return;
        }
        // Only places that a whole row stands behind; the others stay as they are.
        let whole = (rows.len() / row_bytes).min(distances.len());
        let distances = distances.split_at_mut(whole).0;
        for (rows, distances) in rows
            .chunks(BLOCK_ROWS * row_bytes)
            .zip(distances.chunks_mut(BLOCK_ROWS))
        {
            match self.metric {
                DistanceMetric::Cosine => self.cosine(rows, distances),
                DistanceMetric::Euclidean => self.euclidean(rows, distances),
            }
        }
    }

    /// At most [`BLOCK_ROWS`] rows.
    fn cosine(&self, rows: &[u8], distances: &mut [f32]) {
        let mut dots = [0.0; BLOCK_ROWS];
        let mut squares = [0.0; BLOCK_ROWS];
        self.variant
            .dots_and_squares(&self.lanes, self.row_bytes(), rows, &mut dots, &mut squares);
        let query_is_safe = is_safe(self.square);
        let mut all_plain = query_is_safe;
        for ((distance, &dot), &square) in distances.iter_mut().zip(&dots).zip(&squares) {
            // The product of two f32 is exact in f64.
            let cos = f64::from(dot) / (f64::from(self.square) * f64::from(square)).sqrt();
            *distance = (1.0 - cos).clamp(0.0, 2.0) as f32;
            all_plain &= is_safe(square) & dot.is_finite() & (*distance >= NEAR);
        }
        if all_plain {
            return;
        }
        let rows = rows.chunks_exact(self.row_bytes());
        for (((distance, &dot), &square), row) in distances.iter_mut().zip(&dots).zip(&squares).zip(rows) {
            if !(query_is_safe && is_safe(square) && dot.is_finite()) {
                *distance = wide::cosine(&self.values, row);
            }
            if let Some(direction) = &self.direction
                && *distance < NEAR
            {
                *distance = direction.distance(row);
            }
        }
    }

    /// At most [`BLOCK_ROWS`] rows.
    fn euclidean(&self, rows: &[u8], distances: &mut [f32]) {
        let mut sums = [0.0; BLOCK_ROWS];
        self.variant
            .squared_differences(&self.lanes, self.row_bytes(), rows, &mut sums);
        let rows = rows.chunks_exact(self.row_bytes());
        for ((distance, &sum), row) in distances.iter_mut().zip(&sums).zip(rows) {
            *distance = if is_safe(sum) {
                sum
            } else {
                wide::squared_l2(&self.values, row)
            };
        }
    }
}

fn is_safe(sum_of_squares: f32) -> bool {
    (SMALLEST_SAFE_SUM..=f32::MAX).contains(&sum_of_squares)
}
