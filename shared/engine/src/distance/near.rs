//! The cosine distance of vectors that point nearly the same way. There 1 - cos is the small difference of two numbers
//! near 1 and loses its digits; |q/|q| - r/|r||^2 / 2 is the same number without that loss.
//!
//! In f64, in eight lanes that are added as a tree, without fused operations: the same bits everywhere. Both vectors
//! are scaled by norms that are rounded; what that makes of the lengths is taken out again, so only rounding of single
//! values is left: about 2^-53 of each, 2^-106 of the distance.

const LANES: usize = 8;
/// Distances below this are rounding: the directions are the same as far as f64 can tell.
const SMALLEST: f64 = f64::from_bits(0x39b0_0000_0000_0000); // 2^-100

/// A query's direction: its values over its norm.
#[derive(Debug, Clone)]
pub(super) struct Direction(Vec<f64>);

impl Direction {
    /// Of a query with at least one value that is not zero; of another one nothing is near.
    pub(super) fn of(query: &[f32]) -> Self {
        let bytes: Vec<u8> = query.iter().flat_map(|value| value.to_le_bytes()).collect();
        let values = bytes.as_chunks().0;
        let scale = 1.0 / sum_of_squares(values).sqrt();
        Self(values.iter().map(|value| number(value) * scale).collect())
    }

    /// The distance to a row that is known to be near.
    pub(super) fn distance(&self, row: &[u8]) -> f32 {
        let values = row.as_chunks().0;
        let scale = 1.0 / sum_of_squares(values).sqrt();
        // The squares of the differences, and what the one is longer than the other: |a|^2 - |b|^2.
        let (mut squares, mut lengths) = ([0.0; LANES], [0.0; LANES]);
        for (query, row) in self.0.chunks(LANES).zip(values.chunks(LANES)) {
            let lanes = squares.iter_mut().zip(&mut lengths);
            for ((square, length), (query, row)) in lanes.zip(query.iter().zip(row)) {
                let row = number(row) * scale;
                let difference = query - row;
                *square += difference * difference;
                *length += difference * (query + row);
            }
        }
        let longer = tree(lengths) / 2.0;
        let distance = (tree(squares) - longer * longer) / 2.0;
        if distance < SMALLEST { 0.0 } else { distance as f32 }
    }
}

fn sum_of_squares(values: &[[u8; 4]]) -> f64 {
    let mut sums = [0.0; LANES];
    for values in values.chunks(LANES) {
        for (sum, value) in sums.iter_mut().zip(values) {
            let value = number(value);
            *sum += value * value;
        }
    }
    tree(sums)
}

fn number(bytes: &[u8; 4]) -> f64 {
    f64::from(f32::from_le_bytes(*bytes))
}

fn tree(lanes: [f64; LANES]) -> f64 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
