//! Answers, against the same distances computed plainly.

use rand::RngExt;

use super::fixture::*;
use crate::ivfpq::{Code, Index, IvfError, Metric, Shape};

/// Asks an index of this shape for the nearest of some of its own rows.
fn assert_finds_the_nearest(shape: Shape, count: usize) {
    let (index, rows) = built(shape, &clustered(count, shape.dimension, 2));
    for number in [0, count / 2] {
        let query = &rows[number * shape.dimension..][..shape.dimension];
        for k in [1, 10, 40] {
            let found = index.search(query, &all_lists(&index), k, None).unwrap();
            assert_nearest(&index, query, |_| true, &found);
            // What may be missing has the worst distance that there is: not with so few asked for.
            assert_eq!(found.len(), k, "{shape:?}");
        }
    }
}

#[test]
fn the_nearest_codes_are_found_at_every_dimension() {
    let dimensions: [(usize, &[usize]); 8] = [
        (1, &[1]),
        (2, &[1, 2]),
        (3, &[1, 3]),
        (5, &[1, 5]),
        (7, &[1, 7]),
        (16, &[4, 8, 16]),
        (97, &[1, 97]),
        (98, &[2, 7, 49]), // 97, padded
    ];
    for (dimension, ms) in dimensions {
        for metric in BOTH_METRICS {
            for code in ms.iter().flat_map(|&m| all_codes(m)) {
                let shape = Shape {
                    dimension,
                    metric,
                    nlist: 6,
                    code,
                };
                assert_finds_the_nearest(shape, 600);
            }
        }
    }
}

/// Several searches of some lists each, merged by their estimates, find what one search of all of them finds.
#[test]
fn estimates_of_different_lists_compare() {
    for code in all_codes(8) {
        let shape = Shape {
            dimension: 32,
            metric: Metric::L2,
            nlist: 12,
            code,
        };
        let (index, rows) = built(shape, &clustered(3_000, 32, 4));
        let lists = all_lists(&index);
        let (mut common, mut wanted) = (0, 0);
        for query in rows.chunks_exact(32).take(50) {
            let mut merged = Vec::new();
            for part in lists.chunks(5) {
                let mut estimates = Vec::new();
                let found = index.search_estimating(query, part, 60, &mut estimates).unwrap();
                assert_eq!(found, index.search(query, part, 60, None).unwrap());
                assert!(estimates.is_sorted() && estimates.len() == found.len(), "{code:?}");
                merged.extend(estimates.into_iter().zip(found));
            }
            merged.sort_by(|left, right| left.0.total_cmp(&right.0));
            let at_once = index.search(query, &lists, 60, None).unwrap();
            wanted += at_once.len();
            common += merged[..60].iter().filter(|(_, row)| at_once.contains(row)).count();
        }
        assert!(common * 100 >= wanted * 95, "{code:?}: {common} of {wanted}");
    }
}

#[test]
fn the_nearest_codes_are_found_at_dimension_4096() {
    for metric in BOTH_METRICS {
        for code in [
            Code::Pq4 { m: 256 },
            Code::Pq4 { m: 1024 },
            Code::Pq4 { m: 4096 },
            Code::Pq4Residual { m: 1024 },
            Code::Pq8 { m: 256 },
        ] {
            let shape = Shape {
                dimension: 4096,
                metric,
                nlist: 3,
                code,
            };
            assert_finds_the_nearest(shape, 260);
        }
    }
}

#[test]
fn only_the_given_lists_are_searched() {
    for code in all_codes(8) {
        let shape = Shape {
            dimension: 32,
            metric: Metric::InnerProduct,
            nlist: 40,
            code,
        };
        let (index, rows) = built(shape, &clustered(2_000, 32, 2));
        for lists in [&[3][..], &[39, 0, 7], &[10, 11, 12, 13, 14, 15]] {
            let inside = |row: u32| {
                lists.iter().any(|&list| {
                    (index.list_starts()[list as usize]..index.list_starts()[list as usize + 1]).contains(&row)
                })
            };
            let present = (0..2_000).filter(|&row| inside(row)).count();
            let found = index.search(&rows[..32], lists, 2_000, None).unwrap();
            assert_nearest(&index, &rows[..32], inside, &found);
            assert!(
                found.len() <= present && found.len() + 2 >= present,
                "{} of {present}",
                found.len()
            );
        }
    }
}

#[test]
fn only_selected_rows_are_found() {
    for (metric, code) in BOTH_METRICS
        .into_iter()
        .flat_map(|metric| all_codes(8).map(|code| (metric, code)))
    {
        let shape = Shape {
            dimension: 32,
            metric,
            nlist: 20,
            code,
        };
        let (index, rows) = built(shape, &clustered(1_003, 32, 2));
        let query = &rows[64..96];
        for modulus in [1, 2, 10, 100, 2_000] {
            let keep = |row: u32| row.is_multiple_of(modulus);
            for k in [1, 15, 80] {
                let found = index
                    .search(query, &all_lists(&index), k, Some(&bitmap(1_003, keep)))
                    .unwrap();
                assert_nearest(&index, query, keep, &found);
                assert_eq!(
                    found.len(),
                    k.min(1_003_usize.div_ceil(modulus as usize)),
                    "{modulus} {k}"
                );
            }
        }
        let none = index.search(query, &all_lists(&index), 10, Some(&[0; 126])).unwrap();
        assert_eq!(none, [] as [u32; 0]);
        assert!(matches!(
            index.search(query, &[0], 10, Some(&[0; 125])),
            Err(IvfError::Input(_))
        ));
        assert!(matches!(
            index.search(query, &[0], 10, Some(&[])),
            Err(IvfError::Input(_))
        ));
    }
}

#[test]
fn more_than_there_is_and_nothing_at_all() {
    for code in all_codes(4) {
        let shape = Shape {
            dimension: 8,
            metric: Metric::L2,
            nlist: 5,
            code,
        };
        let (index, rows) = built(shape, &clustered(300, 8, 2));
        let query = &rows[..8];
        let lists = all_lists(&index);
        for k in [300, 301, 10_000, usize::MAX] {
            let mut found = index.search(query, &lists, k, None).unwrap();
            found.sort_unstable();
            found.dedup();
            assert!((299..=300).contains(&found.len()), "{}", found.len());
        }
        assert_eq!(index.search(query, &lists, 0, None).unwrap(), [] as [u32; 0]);
        assert_eq!(index.search(query, &[], 10, None).unwrap(), [] as [u32; 0]);
        for lists in [&[5][..], &[0, u32::MAX], &[1, 2, 1]] {
            assert!(
                matches!(index.search(query, lists, 10, None), Err(IvfError::Input(_))),
                "{lists:?}"
            );
        }
        assert!(matches!(index.list_codes(5), Err(IvfError::Input(_))));
        for query in [&rows[..7], &rows[..16], &[]] {
            assert!(matches!(index.search(query, &lists, 10, None), Err(IvfError::Input(_))));
            assert!(matches!(
                index.coarse_distances(query, &mut Vec::new()),
                Err(IvfError::Input(_))
            ));
        }
    }
}

/// One query and its answer: row numbers.
type Asked = (Vec<f32>, Vec<u32>, usize, Option<Vec<u8>>);

fn questions(index: &Index, rows: &[f32]) -> Vec<Asked> {
    let mut random = random(3);
    let dimension = index.shape().dimension;
    let ask = |number: usize| {
        let query = rows[(number * 37 % index.rows()) * dimension..][..dimension].to_vec();
        let lists = all_lists(index)
            .into_iter()
            .filter(|_| random.random_bool(0.5))
            .collect();
        let selector = number
            .is_multiple_of(2)
            .then(|| bitmap(index.rows(), |row| row % 3 == number as u32 % 3));
        (query, lists, [1, 10, 50, 400][number % 4], selector)
    };
    (0..200).map(ask).collect()
}

#[test]
fn eight_threads_get_the_answers_of_one() {
    for code in all_codes(16) {
        let shape = Shape {
            dimension: 64,
            metric: Metric::InnerProduct,
            nlist: 60,
            code,
        };
        let (index, rows) = built(shape, &clustered(3_000, 64, 2));
        let questions = questions(&index, &rows);
        let answer = |(query, lists, k, selector): &Asked| {
            let mut coarse = Vec::new();
            index.coarse_distances(query, &mut coarse).unwrap();
            (index.search(query, lists, *k, selector.as_deref()).unwrap(), coarse)
        };
        let alone: Vec<_> = questions.iter().map(answer).collect();
        std::thread::scope(|scope| {
            for offset in 0..8 {
                let (alone, questions) = (&alone, &questions);
                scope.spawn(move || {
                    for number in 0..questions.len() {
                        let number = (number + offset * 25) % questions.len();
                        assert_eq!(answer(&questions[number]), alone[number]);
                    }
                });
            }
        });
    }
}

fn resident_kib() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4
}

#[cfg(target_os = "linux")]
#[test]
fn twenty_thousand_searches_leave_nothing_behind() {
    let index_of = |code| {
        let shape = Shape {
            dimension: 16,
            metric: Metric::L2,
            nlist: 8,
            code,
        };
        built(shape, &clustered(2_000, 16, 2))
    };
    for (index, rows) in all_codes(4).map(index_of) {
        let lists = all_lists(&index);
        let selector = bitmap(index.rows(), |row| row % 2 == 0);
        let mut coarse = Vec::new();
        let mut search = |times: usize| {
            for number in 0..times {
                let query = &rows[number % 2_000 * 16..][..16];
                index.coarse_distances(query, &mut coarse).unwrap();
                index.search(query, &lists[..4], 30, Some(&selector)).unwrap();
            }
        };
        search(1_000);
        let before = resident_kib();
        search(20_000);
        // A selector alone is 250 bytes: leaking it would be 5 MB. Other tests run beside this one, and allocate.
        let grown = resident_kib() - before;
        assert!(grown < 200_000, "{grown} KiB more");
    }
}
