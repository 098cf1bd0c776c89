//! The same distances in f64, for rows where f32 leaves its range. Rare, so plain: one accumulator in the order of the
//! values, no fused operations, hence the same bits everywhere without further care.

/// 1 - cos, in [0, 2]. A row without direction (all zero) is at right angles to everything: 1.
pub(super) fn cosine(query: &[f32], row: &[u8]) -> f32 {
    let (mut dot, mut query_square, mut row_square) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (query, row) in query.iter().zip(values(row)) {
        let (query, row) = (f64::from(*query), f64::from(row));
        dot += query * row;
        query_square += query * query;
        row_square += row * row;
    }
    let cos = dot / (query_square * row_square).sqrt();
    if cos.is_finite() {
        (1.0 - cos).clamp(0.0, 2.0) as f32
    } else {
        1.0
    }
}

/// The squared L2 distance, at most `f32::MAX`.
pub(super) fn squared_l2(query: &[f32], row: &[u8]) -> f32 {
    let mut sum = 0.0_f64;
    for (query, row) in query.iter().zip(values(row)) {
        let difference = f64::from(*query) - f64::from(row);
        sum += difference * difference;
    }
    // Not `min`: it would hide a NaN behind the other operand's sign rules.
    if sum <= f64::from(f32::MAX) {
        sum as f32
    } else {
        f32::MAX
    }
}

fn values(row: &[u8]) -> impl Iterator<Item = f32> {
    row.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}
