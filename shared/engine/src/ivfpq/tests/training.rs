//! Training, assignment, codes, packing and merging.

use rand::RngExt;

use super::fixture::*;
use crate::ivfpq::{Coarse, Code, Generation, IvfError, Metric, Shape};

#[test]
fn the_same_sample_and_seed_give_the_same_bytes() {
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
        let rows = clustered(1_000, 32, 5);
        let bytes = trained(shape, &rows, 11).to_bytes();
        assert_eq!(bytes, trained(shape, &rows, 11).to_bytes());
        assert_eq!(
            bytes,
            std::thread::spawn({
                let rows = rows.clone();
                move || trained(shape, &rows, 11).to_bytes()
            })
            .join()
            .unwrap()
        );
        assert_ne!(bytes, trained(shape, &rows, 12).to_bytes());
    }
}

#[test]
fn a_row_is_assigned_and_encoded_alike_in_any_company() {
    // 4 values per sub-quantizer, and 16, where FAISS itself would take another way for a batch.
    for (dimension, m) in [(100, 25), (96, 6), (7, 7), (4, 2)] {
        for (metric, code) in BOTH_METRICS
            .into_iter()
            .flat_map(|metric| all_codes(m).map(|code| (metric, code)))
        {
            let shape = Shape {
                dimension,
                metric,
                nlist: 40,
                code,
            };
            let mut rows = clustered(500, dimension, 5);
            let generation = trained(shape, &rows, 1);
            rows.extend(midpoints(&generation));
            let lists = generation.assign(&rows).unwrap();
            let codes = generation.encode(&rows).unwrap();
            for chunk in [1, 19, 333] {
                let chunks = || rows.chunks(chunk * dimension);
                assert_eq!(
                    lists,
                    chunks()
                        .flat_map(|rows| generation.assign(rows).unwrap())
                        .collect::<Vec<_>>()
                );
                assert_eq!(
                    codes,
                    chunks()
                        .flat_map(|rows| generation.encode(rows).unwrap())
                        .collect::<Vec<_>>()
                );
            }
        }
    }
}

#[test]
fn a_row_goes_to_the_list_that_a_query_visits_first() {
    for metric in BOTH_METRICS {
        let shape = Shape {
            dimension: 24,
            metric,
            nlist: 50,
            code: Code::Pq4 { m: 6 },
        };
        let rows = clustered(2_000, 24, 9);
        let generation = trained(shape, &rows, 1);
        let ordered = ordered(&generation, &rows);
        let index = index(&generation, &ordered);
        let mut distances = Vec::new();
        for (number, row) in ordered.rows.chunks(24).enumerate() {
            let list = index.list_starts().partition_point(|&start| start as usize <= number) - 1;
            index.coarse_distances(row, &mut distances).unwrap();
            assert_eq!(distances.len(), 50);
            let nearest = distances.iter().copied().fold(f32::INFINITY, f32::min);
            assert!(distances[list] - nearest < 1e-4, "{} {nearest}", distances[list]);
        }
    }
}

#[test]
fn packed_codes_come_back() {
    let sizes = [0, 1, 31, 32, 33, 0, 64, 65, 100, 0];
    for m in [1, 2, 3, 5, 8, 97] {
        for code in all_codes(m) {
            let shape = Shape {
                dimension: m * 2,
                metric: Metric::L2,
                nlist: sizes.len(),
                code,
            };
            let generation = trained(shape, &clustered(256, shape.dimension, 1), 1);
            let mut starts = vec![0];
            starts.extend(sizes.iter().scan(0, |sum, size| {
                *sum += size;
                Some(*sum)
            }));
            let mut random = random(m as u64);
            let mut codes: Vec<u8> = (0..starts[sizes.len()] as usize * code.bytes())
                .map(|_| random.random())
                .collect();
            if matches!(code, Code::Pq4 { .. }) && m % 2 == 1 {
                // The upper half of the last byte belongs to no sub-quantizer.
                codes.chunks_mut(code.bytes()).for_each(|code| code[m / 2] &= 15);
            }
            let index = generation.assemble(&starts, &codes).unwrap();
            for index in [&index, &reopened(&index)] {
                let unpacked = all_lists(index)
                    .into_iter()
                    .flat_map(|list| index.list_codes(list).unwrap());
                assert_eq!(unpacked.collect::<Vec<_>>(), codes, "{code:?}");
            }
        }
    }
}

#[test]
fn merging_codes_is_building_anew() {
    for (metric, code) in BOTH_METRICS
        .into_iter()
        .flat_map(|metric| all_codes(5).map(|code| (metric, code)))
    {
        let shape = Shape {
            dimension: 20,
            metric,
            nlist: 30,
            code,
        };
        let rows = clustered(1_500, 20, 4);
        let generation = trained(shape, &rows, 1);
        let (first, second) = rows.split_at(700 * 20);
        let parts = [first, second].map(|rows| {
            let ordered = ordered(&generation, rows);
            (index(&generation, &ordered), ordered)
        });
        let (mut starts, mut codes, mut merged) = (vec![0], Vec::new(), Vec::new());
        for list in 0..shape.nlist {
            for (index, ordered) in &parts {
                let (start, end) = (
                    index.list_starts()[list] as usize,
                    index.list_starts()[list + 1] as usize,
                );
                codes.extend(index.list_codes(list as u32).unwrap());
                merged.extend_from_slice(&ordered.rows[start * 20..end * 20]);
            }
            starts.push((merged.len() / 20) as u32);
        }
        let copied = generation.assemble(&starts, &codes).unwrap();
        let anew = ordered(&generation, &merged);
        assert_eq!(anew.starts, starts);
        assert_eq!(copied.to_bytes(), index(&generation, &anew).to_bytes());
    }
}

#[test]
fn impossible_training_is_an_error() {
    let rows = clustered(100, 8, 1);
    let coarse = |dimension, nlist| Coarse::train(dimension, Metric::L2, nlist, &rows, 1);
    assert!(
        matches!(coarse(8, 101), Err(IvfError::Input(_))),
        "fewer rows than lists"
    );
    assert!(matches!(coarse(8, 0), Err(IvfError::Input(_))));
    assert!(matches!(coarse(0, 4), Err(IvfError::Input(_))));
    assert!(matches!(coarse(7, 4), Err(IvfError::Input(_))), "not whole rows");
    let coarse = coarse(8, 100).unwrap();
    let train = |code, rows: &[f32]| Generation::train(&coarse, code, rows, 1);
    assert!(
        matches!(train(Code::Pq4 { m: 3 }, &rows), Err(IvfError::Input(_))),
        "8 is no multiple of 3"
    );
    assert!(matches!(train(Code::Pq4 { m: 0 }, &rows), Err(IvfError::Input(_))));
    assert!(
        matches!(train(Code::Pq8 { m: 4 }, &rows), Err(IvfError::Input(_))),
        "256 codewords of 100 rows"
    );
    assert!(matches!(
        train(Code::Pq4 { m: 4 }, &rows[..15 * 8]),
        Err(IvfError::Input(_))
    ));
    assert!(
        train(Code::Pq4 { m: 4 }, &rows[..16 * 8]).is_ok(),
        "one row for each codeword"
    );
}

#[test]
fn residuals_want_the_list_of_each_row() {
    let shape = Shape {
        dimension: 8,
        metric: Metric::L2,
        nlist: 3,
        code: Code::Pq4Residual { m: 4 },
    };
    let rows = clustered(100, 8, 1);
    let generation = trained(shape, &rows, 1);
    let lists = generation.assign(&rows).unwrap();
    assert_eq!(
        generation.encode_assigned(&rows, &lists).unwrap(),
        generation.encode(&rows).unwrap()
    );
    for lists in [&lists[1..], &[], &[3; 100], &[u32::MAX; 100]] {
        assert!(matches!(
            generation.encode_assigned(&rows, lists),
            Err(IvfError::Input(_))
        ));
    }
}

#[test]
fn impossible_assemblies_are_errors() {
    let shape = Shape {
        dimension: 8,
        metric: Metric::L2,
        nlist: 3,
        code: Code::Pq4 { m: 4 },
    };
    let generation = trained(shape, &clustered(100, 8, 1), 1);
    assert_eq!(generation.code_size(), 2);
    assert!(generation.assemble(&[0, 1, 1, 2], &[0; 4]).is_ok());
    for starts in [&[0, 1, 2][..], &[0, 1, 1, 2, 2], &[1, 1, 1, 2], &[0, 2, 1, 2], &[]] {
        assert!(
            matches!(generation.assemble(starts, &[0; 4]), Err(IvfError::Input(_))),
            "{starts:?}"
        );
    }
    assert!(matches!(
        generation.assemble(&[0, 1, 1, 2], &[0; 5]),
        Err(IvfError::Input(_))
    ));
    assert!(matches!(generation.assign(&[0.0; 9]), Err(IvfError::Input(_))));
    assert!(matches!(generation.encode(&[0.0; 9]), Err(IvfError::Input(_))));
    assert_eq!(generation.assign(&[]).unwrap(), [] as [u32; 0]);
    assert_eq!(generation.encode(&[]).unwrap(), [] as [u8; 0]);
}
