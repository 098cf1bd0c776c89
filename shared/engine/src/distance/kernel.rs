//! What is computed, to the bit. Every other implementation must equal the portable one here.
//!
//! Query and row are padded with zeros to a multiple of 16 values. Lane `l` of 16 accumulates values `l`, `l + 16`, ...
//! in this order with `fma(a, b, lane)`, starting at +0. The lanes are added as a tree: `l + (l + 8)`, then 4, 2, 1
//! apart. (Zeros are added, not skipped: -0 + 0 is +0, so skipping would be another definition.)

#[cfg(target_arch = "x86_64")]
use super::simd;

/// How many accumulators a sum has.
pub(super) const LANES: usize = 16;
/// At most this many rows are handed to a kernel at a time.
pub(super) const BLOCK_ROWS: usize = 64;

/// Sixteen values of a padded vector, aligned so that no load crosses a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

const ZERO: Lanes = Lanes([0.0; LANES]);

/// `values` padded with zeros.
pub(super) fn padded(values: &[f32]) -> Vec<Lanes> {
    let lanes = |chunk: &[f32]| {
        let mut lanes = ZERO;
        for (lane, value) in lanes.0.iter_mut().zip(chunk) {
            *lane = *value;
        }
        lanes
    };
    values.chunks(LANES).map(lanes).collect()
}

/// |v|^2 of a padded vector.
pub(super) fn square(lanes: &[Lanes]) -> f32 {
    let mut sum = ZERO;
    for values in lanes {
        fma(&mut sum, values, values);
    }
    reduce(sum)
}

/// Which implementation of the kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    #[cfg(target_arch = "x86_64")]
    Avx512(simd::HasAvx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(simd::HasAvx2),
    Portable,
}

impl Variant {
    /// The fastest one of this CPU (the standard library remembers what it found out).
    pub(super) fn detect() -> Self {
        Self::available().into_iter().next().unwrap_or(Self::Portable)
    }

    /// All that this CPU can run, fastest first.
    pub(super) fn available() -> Vec<Self> {
        let mut variants = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            variants.extend(simd::HasAvx512::detect().map(Self::Avx512));
            variants.extend(simd::HasAvx2::detect().map(Self::Avx2));
        }
        variants.push(Self::Portable);
        variants
    }

    /// q.r and |r|^2 of each row in one pass. Fills as many as there are whole rows and places.
    pub(super) fn dots_and_squares(
        self,
        query: &[Lanes],
        row_bytes: usize,
        rows: &[u8],
        dots: &mut [f32],
        squares: &mut [f32],
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(cpu) => cpu.dots_and_squares(query, row_bytes, rows, dots, squares),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(cpu) => cpu.dots_and_squares(query, row_bytes, rows, dots, squares),
            Self::Portable => {
                for ((row, dot), square) in rows.chunks_exact(row_bytes).zip(dots).zip(squares) {
                    (*dot, *square) = dot_and_square(query, row);
                }
            }
        }
    }

    /// Sum of (q - r)^2 of each row.
    pub(super) fn squared_differences(self, query: &[Lanes], row_bytes: usize, rows: &[u8], sums: &mut [f32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(cpu) => cpu.squared_differences(query, row_bytes, rows, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(cpu) => cpu.squared_differences(query, row_bytes, rows, sums),
            Self::Portable => {
                for (row, sum) in rows.chunks_exact(row_bytes).zip(sums) {
                    *sum = squared_difference(query, row);
                }
            }
        }
    }
}

fn dot_and_square(query: &[Lanes], row: &[u8]) -> (f32, f32) {
    let (mut dot, mut square) = (ZERO, ZERO);
    for (query, row) in query.iter().zip(row_lanes(row)) {
        fma(&mut dot, query, &row);
        fma(&mut square, &row, &row);
    }
    (reduce(dot), reduce(square))
}

fn squared_difference(query: &[Lanes], row: &[u8]) -> f32 {
    let mut sum = ZERO;
    for (query, row) in query.iter().zip(row_lanes(row)) {
        let mut difference = *query;
        for (difference, row) in difference.0.iter_mut().zip(&row.0) {
            *difference -= row;
        }
        fma(&mut sum, &difference, &difference);
    }
    reduce(sum)
}

fn fma(sum: &mut Lanes, left: &Lanes, right: &Lanes) {
    for ((sum, left), right) in sum.0.iter_mut().zip(&left.0).zip(&right.0) {
        *sum = left.mul_add(*right, *sum);
    }
}

fn row_lanes(row: &[u8]) -> impl Iterator<Item = Lanes> {
    row.chunks(LANES * size_of::<f32>()).map(|chunk| {
        let mut lanes = ZERO;
        for (lane, bytes) in lanes.0.iter_mut().zip(chunk.as_chunks().0) {
            *lane = f32::from_le_bytes(*bytes);
        }
        lanes
    })
}

fn reduce(lanes: Lanes) -> f32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = lanes.0;
    let [a, b, c, d, e, f, g, h] = [a + i, b + j, c + k, d + l, e + m, f + n, g + o, h + p];
    let [a, b, c, d] = [a + e, b + f, c + g, d + h];
    (a + c) + (b + d)
}
