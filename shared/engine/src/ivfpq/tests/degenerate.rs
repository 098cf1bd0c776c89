//! Rows that are all alike, zero, huge or binary.

use rand::RngExt;

use super::fixture::*;
use crate::ivfpq::{Coarse, Code, IvfError, Metric, Shape};

fn shape(metric: Metric, code: Code) -> Shape {
    Shape {
        dimension: 16,
        metric,
        nlist: 10,
        code,
    }
}

#[test]
fn rows_that_are_all_alike() {
    for (metric, code) in BOTH_METRICS
        .into_iter()
        .flat_map(|metric| all_codes(4).map(|code| (metric, code)))
    {
        for value in [0.0, 0.25, -3.0, 1e-30, 1e15] {
            let (index, rows) = built(shape(metric, code), &vec![value; 400 * 16]);
            let index = reopened(&index);
            let found = index.search(&rows[..16], &all_lists(&index), 50, None).unwrap();
            assert_nearest(&index, &rows[..16], |_| true, &found);
            // 4-bit inner products that are all alike are all the worst one: the documented exception.
            let certain = metric == Metric::L2 || matches!(code, Code::Pq8 { .. });
            assert!(
                found.len() == 50 || !certain,
                "{metric:?} {code:?} {value}: {}",
                found.len()
            );
        }
    }
}

#[test]
fn a_zero_query() {
    for (metric, code) in BOTH_METRICS
        .into_iter()
        .flat_map(|metric| all_codes(4).map(|code| (metric, code)))
    {
        let (index, _) = built(shape(metric, code), &clustered(400, 16, 1));
        let found = index.search(&[0.0; 16], &all_lists(&index), 50, None).unwrap();
        assert_nearest(&index, &[0.0; 16], |_| true, &found);
        let certain = metric == Metric::L2 || matches!(code, Code::Pq8 { .. });
        assert!(found.len() == 50 || !certain, "{metric:?} {code:?}: {}", found.len());
    }
}

#[test]
fn a_few_rows_many_times() {
    for (metric, code) in BOTH_METRICS
        .into_iter()
        .flat_map(|metric| all_codes(4).map(|code| (metric, code)))
    {
        let few = clustered(3, 16, 8);
        let (index, rows) = built(shape(metric, code), &few.repeat(200));
        for query in rows.chunks(16).step_by(97) {
            let found = index.search(query, &all_lists(&index), 150, None).unwrap();
            assert_nearest(&index, query, |_| true, &found);
            if metric == Metric::L2 {
                assert_eq!(found.len(), 150);
                assert!(found.iter().all(|&row| rows[row as usize * 16..][..16] == *query));
            }
        }
    }
}

/// Sums of more than 257 rounded distances can pass 16 bits (see `FastScan` in the shim). With rows of +1 and -1, and
/// 16 codewords for 4 such values, a row is its own best match in every sub-quantizer: the sum is the largest possible.
#[test]
fn a_stored_row_of_ones_finds_itself() {
    let mut random = random(6);
    for dimension in [1_032, 1_536, 2_048, 4_096] {
        for metric in BOTH_METRICS {
            let shape = Shape {
                dimension,
                metric,
                nlist: 2,
                code: Code::Pq4 { m: dimension / 4 },
            };
            let rows: Vec<f32> = (0..300 * dimension)
                .map(|_| if random.random_bool(0.5) { 1.0 } else { -1.0 })
                .collect();
            let (index, rows) = built(shape, &rows);
            for (number, query) in rows.chunks(dimension).enumerate().step_by(30) {
                let found = index.search(query, &all_lists(&index), 10, None).unwrap();
                assert_eq!(found.first(), Some(&(number as u32)), "{dimension} {metric:?}");
                assert_nearest(&index, query, |_| true, &found);
            }
            // The opposite of a row is as far from it as can be.
            let opposite: Vec<f32> = rows[..dimension].iter().map(|value| -value).collect();
            let found = index.search(&opposite, &all_lists(&index), 290, None).unwrap();
            assert!(!found[..200].contains(&0), "{dimension} {metric:?}");
        }
    }
}

/// Beyond f32's range FAISS's k-means never returns, and its searches answer with NaN.
#[test]
fn values_out_of_range_are_errors() {
    let largest = Shape::largest_value(16);
    for metric in BOTH_METRICS {
        let rows: Vec<f32> = clustered(300, 16, 1)
            .iter()
            .map(|value| value * largest / 2.0)
            .collect();
        for code in all_codes(4) {
            let (index, rows) = built(shape(metric, code), &rows);
            let found = index.search(&rows[..16], &all_lists(&index), 10, None).unwrap();
            assert_nearest(&index, &rows[..16], |_| true, &found);
        }
        let generation = trained(shape(metric, Code::Pq4 { m: 4 }), &rows, 1);
        let index = index(&generation, &ordered(&generation, &rows));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -largest * 1.01] {
            let mut bad = rows.clone();
            bad[4_007] = wrong;
            assert!(matches!(
                Coarse::train(16, metric, 10, &bad, 1),
                Err(IvfError::OutOfRange { .. })
            ));
            assert!(matches!(generation.assign(&bad), Err(IvfError::OutOfRange { .. })));
            assert!(matches!(generation.encode(&bad), Err(IvfError::OutOfRange { .. })));
            let query = &bad[4_000..4_016];
            assert!(matches!(
                index.search(query, &[0], 1, None),
                Err(IvfError::OutOfRange { .. })
            ));
            assert!(matches!(
                index.coarse_distances(query, &mut Vec::new()),
                Err(IvfError::OutOfRange { .. })
            ));
        }
    }
}

/// Clusters whose rows differ by a thousandth of what lies between clusters. FAISS's own tables would pass 16 bits
/// here, and far rows come back as the nearest.
#[test]
fn rows_in_tight_clusters_are_told_apart() {
    let mut random = random(6);
    for (spread, (dimension, m)) in [0.1, 0.01, 0.001]
        .into_iter()
        .flat_map(|spread| [(spread, (32, 8)), (spread, (64, 64))])
    {
        for metric in BOTH_METRICS {
            let centres: Vec<f32> = (0..12 * dimension).map(|_| random.random_range(-1.0..1.0)).collect();
            let mut rows = Vec::new();
            for number in 0..1_200 {
                let centre = &centres[number % 12 * dimension..][..dimension];
                let row: Vec<f32> = centre
                    .iter()
                    .map(|value| value + random.random_range(-spread..spread))
                    .collect();
                let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                rows.extend(row.iter().map(|value| value / length));
            }
            let shape = Shape {
                dimension,
                metric,
                nlist: 24,
                code: Code::Pq4Residual { m },
            };
            let (index, rows) = built(shape, &rows);
            let (mut near, mut all) = (0, 0);
            for query in rows.chunks(dimension).step_by(50) {
                let distances = reference(&index, query).distances;
                let mut sorted = distances.clone();
                sorted.sort_by(f64::total_cmp);
                // Rows of the same code are as good as each other; the query's cluster has 100 rows.
                let (enough, cluster) = (sorted[19] + 1e-6 * sorted[19].abs(), sorted[99]);
                for k in [1, 20, 60] {
                    let found = index.search(query, &all_lists(&index), k, None).unwrap();
                    assert_eq!(found.len(), k);
                    assert!(
                        found.iter().all(|&row| distances[row as usize] <= cluster),
                        "{metric:?} {spread} {m}"
                    );
                    if k == 20 {
                        near += found.iter().filter(|&&row| distances[row as usize] <= enough).count();
                        all += k;
                    }
                }
            }
            let recall = near as f64 / all as f64;
            println!("{metric:?} {spread} {m}: {recall}");
            // Inner products of rows of length 1 differ by the square of what the rows differ by: too little for 8
            // bits.
            if metric == Metric::L2 || spread >= 0.1 {
                assert!(recall >= 0.9, "{metric:?} {spread} {m}: {recall}");
            }
        }
    }
}
