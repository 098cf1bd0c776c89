//! 4-bit codes of rows: for each sub-quantizer the nearest of its 16 codewords.
//!
//! FAISS's own loop takes one codeword after the other; here all 16 are compared at once, twice as fast, and
//! without fused operations, so that a row's code is the same on every CPU.

/// Codewords of a sub-quantizer.
const CODEWORDS: usize = 16;

/// Codebooks turned so that the same value of all codewords lies together: for each sub-quantizer as many columns as it
/// has values.
pub(super) struct Columns {
    columns: Vec<[f32; CODEWORDS]>,
    /// Values of a sub-quantizer.
    each: usize,
}

impl Columns {
    /// Of FAISS's codebooks: m x 16 x `each` values.
    pub(super) fn new(codebooks: &[f32], each: usize) -> Self {
        let mut columns = Vec::with_capacity(codebooks.len() / CODEWORDS);
        for codewords in codebooks.chunks_exact((CODEWORDS * each).max(1)) {
            for value in 0..each {
                let mut column = [0.0; CODEWORDS];
                for (place, codeword) in column.iter_mut().zip(codewords.chunks_exact(each)) {
                    *place = codeword.get(value).copied().unwrap_or(0.0);
                }
                columns.push(column);
            }
        }
        Self { columns, each }
    }

    /// Appends a row's code: two sub-quantizers to a byte, the first in the low half.
    pub(super) fn encode(&self, row: &[f32], codes: &mut Vec<u8>) {
        let each = self.each.max(1);
        let mut halves = row
            .chunks_exact(each)
            .zip(self.columns.chunks_exact(each))
            .map(|(values, columns)| nearest(values, columns));
        while let Some(low) = halves.next() {
            codes.push(low | (halves.next().unwrap_or(0) << 4));
        }
    }
}

/// The codeword nearest to `values`, the first of equals.
fn nearest(values: &[f32], columns: &[[f32; CODEWORDS]]) -> u8 {
    let mut distances = [0.0_f32; CODEWORDS];
    for (value, column) in values.iter().zip(columns) {
        for (distance, codeword) in distances.iter_mut().zip(column) {
            let difference = value - codeword;
            *distance += difference * difference;
        }
    }
    let smaller = |left: f32, right: f32| if left < right { left } else { right };
    let (quarters, _) = distances.as_chunks::<4>();
    let mut least = [f32::MAX; 4];
    for quarter in quarters {
        for (least, distance) in least.iter_mut().zip(quarter) {
            *least = smaller(*distance, *least);
        }
    }
    let [a, b, c, d] = least;
    let least = smaller(smaller(a, b), smaller(c, d));
    let mut equal = 0_u16;
    for (bit, distance) in distances.iter().enumerate() {
        equal |= u16::from(*distance == least) << bit;
    }
    // Never 16: one of them is the least.
    (equal.trailing_zeros() & 15) as u8
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn it_is_the_first_of_the_nearest() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for (m, each) in [(1, 1), (5, 1), (8, 2), (3, 4), (7, 3)] {
            // Few different values, so that there are ties.
            let mut value = || random.random_range(-4_i8..4) as f32;
            let codebooks: Vec<f32> = (0..m * CODEWORDS * each).map(|_| value()).collect();
            let columns = Columns::new(&codebooks, each);
            for _ in 0..100 {
                let row: Vec<f32> = (0..m * each).map(|_| value() + 0.5).collect();
                let mut code = Vec::new();
                columns.encode(&row, &mut code);
                assert_eq!(code.len(), m.div_ceil(2));
                for quantizer in 0..m {
                    let values = &row[quantizer * each..][..each];
                    let of = |codeword: usize| -> f32 {
                        let codeword = &codebooks[(quantizer * CODEWORDS + codeword) * each..][..each];
                        values.iter().zip(codeword).map(|(a, b)| (a - b) * (a - b)).sum()
                    };
                    let expected = (0..CODEWORDS).min_by(|a, b| of(*a).total_cmp(&of(*b))).unwrap();
                    let found = code[quantizer / 2] >> (quantizer % 2 * 4) & 15;
                    assert_eq!(usize::from(found), expected, "{m} x {each}");
                }
            }
        }
    }
}
