//! Every variant gives the same bits, and the bits are right.

use model::DistanceMetric::{self, Cosine, Euclidean};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::PreparedQuery;
use super::kernel::Variant;

/// How the values of a test vector are drawn.
#[derive(Clone, Copy, Debug)]
enum Values {
    Ordinary,
    Denormal,
    Tiny,
    Huge,
    AnyFinite,
    MixedScales,
    Zero,
}

const ALL_VALUES: [Values; 7] = [
    Values::Ordinary,
    Values::Denormal,
    Values::Tiny,
    Values::Huge,
    Values::AnyFinite,
    Values::MixedScales,
    Values::Zero,
];

fn vector(random: &mut ChaCha8Rng, dimension: usize, values: Values) -> Vec<f32> {
    (0..dimension).map(|_| value(random, values)).collect()
}

fn value(random: &mut ChaCha8Rng, values: Values) -> f32 {
    let unit: f32 = random.random_range(-1.0..1.0);
    match values {
        Values::Ordinary => unit,
        Values::Denormal => f32::from_bits(random.next_u32() & 0x807f_ffff),
        Values::Tiny => unit * 1e-20,
        Values::Huge => unit * f32::MAX,
        Values::AnyFinite => loop {
            let any = f32::from_bits(random.next_u32());
            if any.is_finite() {
                break any;
            }
        },
        Values::MixedScales => unit * 10_f32.powi(random.random_range(-30..30)),
        Values::Zero => 0.0,
    }
}

/// The bytes of `rows` behind `shift` bytes, so that rows lie at any alignment.
fn bytes(rows: &[Vec<f32>], shift: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; shift];
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn exact(query: &[f32], row: &[f32], metric: DistanceMetric) -> f64 {
    let pairs = || {
        query
            .iter()
            .zip(row)
            .map(|(query, row)| (f64::from(*query), f64::from(*row)))
    };
    match metric {
        Euclidean => pairs().map(|(query, row)| (query - row).powi(2)).sum(),
        Cosine => {
            let dot: f64 = pairs().map(|(query, row)| query * row).sum();
            let squares: f64 = pairs().map(|(query, _)| query * query).sum::<f64>().sqrt()
                * pairs().map(|(_, row)| row * row).sum::<f64>().sqrt();
            if squares == 0.0 { 1.0 } else { 1.0 - dot / squares }
        }
    }
}

fn bits_of(query: &[f32], rows: &[u8], count: usize, metric: DistanceMetric, variant: Variant) -> Vec<u32> {
    let mut distances = vec![0.0; count];
    PreparedQuery::with_variant(query, metric, variant).distances(rows, &mut distances);
    distances.into_iter().map(f32::to_bits).collect()
}

fn assert_same_and_right(random: &mut ChaCha8Rng, dimension: usize, of_query: Values, of_rows: Values, shift: usize) {
    let query = vector(random, dimension, of_query);
    // Seven rows: whole groups of two and of four, and single ones.
    let mut rows: Vec<Vec<f32>> = (0..6).map(|_| vector(random, dimension, of_rows)).collect();
    rows.insert(2, query.clone());
    let bytes = bytes(&rows, shift);
    let bytes = &bytes[shift..];
    for metric in [Cosine, Euclidean] {
        let expected = bits_of(&query, bytes, rows.len(), metric, Variant::Portable);
        for variant in Variant::available() {
            let found = bits_of(&query, bytes, rows.len(), metric, variant);
            assert_eq!(
                found, expected,
                "{variant:?} {metric:?} {dimension} {of_query:?} {of_rows:?} {shift}"
            );
        }
        let one_by_one = PreparedQuery::new(&query, metric);
        for ((row, bits), vector) in bytes.chunks_exact(dimension * 4).zip(expected).zip(&rows) {
            let distance = f32::from_bits(bits);
            assert_eq!(one_by_one.distance(row).to_bits(), bits, "alone as among others");
            assert!(distance.is_finite() && distance.is_sign_positive(), "{distance}");
            assert_near(distance, exact(&query, vector, metric), metric, dimension);
        }
    }
}

fn assert_near(distance: f32, exact: f64, metric: DistanceMetric, dimension: usize) {
    let exact = exact.clamp(0.0, f64::from(f32::MAX));
    let error = (f64::from(distance) - exact).abs();
    let allowed = match metric {
        // A cosine's error is absolute: it is the rounding of the sums.
        Cosine => 1e-6 * (dimension as f64).sqrt(),
        Euclidean => 1e-6 * (dimension as f64).sqrt() * exact + f64::from(f32::from_bits(1)),
    };
    assert!(
        error <= allowed,
        "{metric:?} {dimension}: {distance} instead of {exact}"
    );
}

#[test]
fn this_machine_tests_something() {
    // The portable kernel is always there; on x86-64 machines of the last ten years there are more.
    assert!(Variant::available().contains(&Variant::Portable));
    println!("kernels of this cpu: {:?}", Variant::available());
}

#[test]
fn every_variant_gives_the_same_bits_in_every_dimension() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for dimension in (1..=130).chain([1536, 4096]) {
        for (number, of_query) in ALL_VALUES.into_iter().enumerate() {
            let of_rows = ALL_VALUES[(number + dimension) % ALL_VALUES.len()];
            assert_same_and_right(&mut random, dimension, of_query, of_query, dimension % 5);
            assert_same_and_right(&mut random, dimension, of_query, of_rows, (dimension + number) % 64);
        }
    }
}

#[test]
fn negative_zero_sums_do_not_depend_on_the_padding() {
    // fma(-tiny, tiny, 0) is -0; the padding of the last step must treat it the same way everywhere.
    for dimension in 1..40 {
        let query = vec![-1e-30_f32; dimension];
        let row = bytes(&[vec![1e-30_f32; dimension]], 0);
        let expected = bits_of(&query, &row, 1, Cosine, Variant::Portable);
        for variant in Variant::available() {
            assert_eq!(bits_of(&query, &row, 1, Cosine, variant), expected);
        }
        assert_eq!(expected, [2.0_f32.to_bits()]);
    }
}

#[test]
fn equal_vectors_are_at_distance_zero_exactly() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for values in ALL_VALUES.into_iter().filter(|values| !matches!(values, Values::Zero)) {
        for dimension in [1, 3, 16, 100, 769] {
            let query = vector(&mut random, dimension, values);
            let row = bytes(std::slice::from_ref(&query), 0);
            assert_eq!(
                PreparedQuery::new(&query, Euclidean).distance(&row),
                0.0,
                "{values:?} {dimension}"
            );
            let cosine = PreparedQuery::new(&query, Cosine).distance(&row);
            assert_eq!(cosine, 0.0, "{values:?} {dimension}");
        }
    }
}

#[test]
fn the_edges_of_f32() {
    let distance =
        |query: &[f32], row: &[f32], metric| PreparedQuery::new(query, metric).distance(&bytes(&[row.to_vec()], 0));
    let max = f32::MAX;
    assert_eq!(
        distance(&[max, max], &[-max, -max], Euclidean),
        max,
        "above f32::MAX is f32::MAX"
    );
    assert_eq!(distance(&[max, max], &[-max, -max], Cosine), 2.0);
    assert_eq!(distance(&[max, -max], &[max, max], Cosine), 1.0);
    assert_eq!(distance(&[1e-45, 0.0], &[1e-45, 0.0], Cosine), 0.0);
    assert_eq!(distance(&[1e-45, 0.0], &[0.0, 1e-45], Cosine), 1.0);
    assert_eq!(distance(&[1.0, 0.0], &[-1.0, 0.0], Cosine), 2.0);
    assert_eq!(distance(&[1.0, 2.0], &[0.0, 0.0], Cosine), 1.0, "no direction");
    assert_eq!(distance(&[1e-30], &[0.0], Euclidean), 0.0, "smaller than any f32");
    assert_eq!(distance(&[1e-20], &[0.0], Euclidean), 1e-20_f32 * 1e-20);
    assert_eq!(distance(&[0.0, 0.0], &[3.0, 4.0], Euclidean), 25.0);
}

#[test]
fn lengths_that_do_not_fit_are_far_away_and_never_panic() {
    for metric in [Cosine, Euclidean] {
        let query = PreparedQuery::new(&[1.0; 20], metric);
        let rows = bytes(&vec![vec![1.0; 20]; 3], 0);
        assert_eq!(query.distance(&rows[..79]), f32::MAX);
        assert_eq!(query.distance(&[]), f32::MAX);
        let mut distances = [7.0; 5];
        query.distances(&rows, &mut distances);
        assert_eq!(distances, [0.0, 0.0, 0.0, f32::MAX, f32::MAX]);
        let mut distances = [7.0; 2];
        query.distances(&rows[..239], &mut distances);
        assert_eq!(distances, [0.0, 0.0]);
        let empty = PreparedQuery::new(&[], metric);
        empty.distances(&rows, &mut distances);
        assert_eq!(distances, [f32::MAX; 2]);
    }
}

#[test]
fn many_rows_equal_one_row_at_a_time() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for metric in [Cosine, Euclidean] {
        for count in [1, 63, 64, 65, 200] {
            let query = vector(&mut random, 23, Values::Ordinary);
            let rows: Vec<_> = (0..count)
                .map(|_| vector(&mut random, 23, Values::MixedScales))
                .collect();
            let bytes = bytes(&rows, 0);
            let prepared = PreparedQuery::new(&query, metric);
            let mut distances = vec![0.0; count];
            prepared.distances(&bytes, &mut distances);
            let one_by_one: Vec<f32> = bytes.chunks_exact(92).map(|row| prepared.distance(row)).collect();
            assert_eq!(distances, one_by_one);
        }
    }
}

/// 1 - cos by Lagrange's identity: |q|^2 |r|^2 sin^2 is the sum of the squares of all 2 x 2 minors. Each product of two
/// f32 is exact in f64, so each minor is right to its last bit, and nothing cancels in a sum of squares.
fn one_minus_cos(query: &[f32], row: &[f32]) -> f64 {
    let square = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
    let mut minors = 0.0;
    for (i, (query_i, row_i)) in query.iter().zip(row).enumerate() {
        for (query_j, row_j) in query.iter().zip(row).skip(i + 1) {
            let minor = f64::from(*query_i) * f64::from(*row_j) - f64::from(*query_j) * f64::from(*row_i);
            minors += minor * minor;
        }
    }
    let sin_squared = minors / (square(query) * square(row));
    sin_squared / (1.0 + (1.0 - sin_squared).sqrt())
}

#[test]
fn small_cosines_have_all_their_digits() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut near = 0;
    for round in 0..3_000 {
        let dimension = random.random_range(2..70);
        let length = 10_f32.powi(random.random_range(-18..18));
        let spread = 10_f32.powf(random.random_range(-9.0..-0.5));
        let query: Vec<f32> = vector(&mut random, dimension, Values::Ordinary);
        let noise = vector(&mut random, dimension, Values::Ordinary);
        let moved = query
            .iter()
            .zip(&noise)
            .map(|(value, noise)| (value + spread * noise) * length);
        let row: Vec<f32> = moved.collect();
        let exact = one_minus_cos(&query, &row);
        let row_bytes = bytes(std::slice::from_ref(&row), 0);
        let expected = bits_of(&query, &row_bytes, 1, Cosine, Variant::Portable);
        for variant in Variant::available() {
            assert_eq!(bits_of(&query, &row_bytes, 1, Cosine, variant), expected, "{variant:?}");
        }
        let distance = f64::from(f32::from_bits(expected[0]));
        if exact < 9e-4 {
            near += 1;
            let error = (distance - exact).abs();
            assert!(
                error <= 1e-7 * exact,
                "round {round}: {distance:e} instead of {exact:e}"
            );
        } else {
            assert!(
                (distance - exact).abs() <= 1e-6 * (dimension as f64).sqrt(),
                "{distance} {exact}"
            );
        }
    }
    assert!(near > 1_000, "{near}");
}

#[test]
fn scaled_vectors_are_at_distance_zero_exactly() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for dimension in [1, 2, 7, 100, 1536, 4096] {
        // Small whole numbers: every multiple is exact in f32.
        let query: Vec<f32> = (0..dimension)
            .map(|_| random.random_range(-1000..1000) as f32 + 0.5)
            .collect();
        for factor in [2.0, 3.0, 7.0, 127.0, 0.25, 2_f32.powi(90)] {
            let row = bytes(&[query.iter().map(|value| value * factor).collect()], 0);
            assert_eq!(
                PreparedQuery::new(&query, Cosine).distance(&row),
                0.0,
                "{dimension} {factor}"
            );
        }
    }
}
