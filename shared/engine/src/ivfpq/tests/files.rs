//! Bytes: round trips, FAISS's own bytes, damage.

use rstest::rstest;

use super::fixture::*;
use crate::ivfpq::{Code, Expected, Generation, Index, IvfError, Metric, Shape};

fn shape(metric: Metric, code: Code) -> Shape {
    Shape {
        dimension: 12,
        metric,
        nlist: 9,
        code,
    }
}

fn shapes() -> Vec<Shape> {
    let codes = [
        Code::Pq4 { m: 6 },
        Code::Pq4 { m: 3 },
        Code::Pq4Residual { m: 6 },
        Code::Pq8 { m: 4 },
    ];
    BOTH_METRICS
        .into_iter()
        .flat_map(|metric| codes.map(|code| shape(metric, code)))
        .collect()
}

#[test]
fn bytes_come_back() {
    for shape in shapes() {
        let rows = clustered(500, shape.dimension, 1);
        let generation = trained(shape, &rows, 3);
        let again = Generation::open(&generation.to_bytes()).unwrap();
        assert_eq!(again.shape(), shape);
        assert_eq!(again.to_bytes(), generation.to_bytes());
        assert_eq!(again.encode(&rows).unwrap(), generation.encode(&rows).unwrap());
        assert_eq!(again.assign(&rows).unwrap(), generation.assign(&rows).unwrap());

        let index = index(&generation, &ordered(&generation, &rows));
        let again = reopened(&index);
        assert_eq!(again.to_bytes(), index.to_bytes());
        assert_eq!((again.rows(), again.shape()), (500, shape));
        assert_eq!(again.list_starts(), index.list_starts());
        assert_eq!(again.resident_bytes(), index.resident_bytes());
    }
}

/// The same bytes, so the same lists, codes and packing, and a file that FAISS reads and writes.
#[test]
fn an_index_is_what_faiss_itself_builds() {
    for shape in shapes() {
        for count in [500, 40] {
            let rows = clustered(500, shape.dimension, 1);
            let generation = trained(shape, &rows, 3);
            let ordered = ordered(&generation, &rows[..count * shape.dimension]);
            let ours = index(&generation, &ordered).to_bytes();
            let stock = stock_add(&generation, &ordered.rows);
            assert!(ours == stock, "{shape:?}, {count} rows");
        }
    }
}

#[test]
fn an_empty_index_is_a_file_too() {
    for shape in shapes() {
        let generation = trained(shape, &clustered(500, shape.dimension, 1), 3);
        let empty = generation.assemble(&vec![0; shape.nlist + 1], &[]).unwrap();
        assert_eq!(empty.to_bytes(), generation.to_bytes());
        let empty = reopened(&empty);
        assert_eq!(empty.rows(), 0);
        assert_eq!(
            empty.search(&[0.5; 12], &all_lists(&empty), 10, None).unwrap(),
            [] as [u32; 0]
        );
        assert_eq!(empty.list_codes(0).unwrap(), [] as [u8; 0]);
    }
}

#[test]
fn other_files_than_the_expected_are_errors() {
    let (index, _) = built(shape(Metric::L2, Code::Pq4 { m: 6 }), &clustered(300, 12, 1));
    let bytes = index.to_bytes();
    let right = expected(&index);
    let wrong = [
        Expected { dimension: 6, ..right },
        Expected {
            metric: Metric::InnerProduct,
            ..right
        },
        Expected { nlist: 8, ..right },
        Expected { rows: 299, ..right },
    ];
    for expected in wrong {
        assert!(
            matches!(Index::open(&bytes, &expected), Err(IvfError::Corrupt(_))),
            "{expected:?}"
        );
    }
    assert!(
        matches!(Generation::open(&bytes), Err(IvfError::Corrupt(_))),
        "an index is not a generation"
    );
}

#[test]
fn every_cut_and_every_extension_is_an_error() {
    for shape in shapes() {
        let (index, _) = built(shape, &clustered(280, shape.dimension, 1));
        let expected = expected(&index);
        let mut bytes = index.to_bytes();
        for cut in 0..bytes.len() {
            assert!(
                matches!(Index::open(&bytes[..cut], &expected), Err(IvfError::Corrupt(_))),
                "cut at {cut}"
            );
        }
        for _ in 0..9 {
            bytes.push(0);
            assert!(matches!(Index::open(&bytes, &expected), Err(IvfError::Corrupt(_))));
        }
    }
}

/// A checksum stands before this in production. Still, no flipped bit may lead out of bounds: the file is an error, or
/// it is an index whose codes or centroids differ, and it can be searched.
#[rstest]
fn a_flipped_bit_is_an_error_or_another_code() {
    for shape in shapes() {
        let (index, rows) = built(shape, &clustered(280, shape.dimension, 1));
        let expected = expected(&index);
        let clean = index.to_bytes();
        let mut accepted = 0;
        for place in 0..clean.len() {
            let mut bytes = clean.clone();
            bytes[place] ^= 1 << (place % 8);
            if let Ok(flipped) = Index::open(&bytes, &expected) {
                accepted += 1;
                assert_eq!(flipped.to_bytes(), bytes);
                if place % 16 == 0 {
                    flipped
                        .search(&rows[..shape.dimension], &all_lists(&flipped), 30, None)
                        .unwrap();
                }
            }
        }
        let quantizers = (shape.nlist + shape.code.codewords()) * shape.dimension * 4;
        let codes = index
            .list_starts()
            .windows(2)
            .map(|at| shape.code.list_bytes((at[1] - at[0]) as usize));
        assert_eq!(accepted, quantizers + codes.sum::<usize>(), "{shape:?}");
    }
}

/// Every size in the file, replaced by sizes that would be allocated or multiplied.
#[test]
fn absurd_sizes_are_errors() {
    for shape in shapes() {
        let (index, _) = built(shape, &clustered(280, shape.dimension, 1));
        let expected = expected(&index);
        let clean = index.to_bytes();
        for absurd in [u64::MAX, 1 << 63, 1 << 40, 1 << 32, u64::from(u32::MAX)] {
            for place in 0..clean.len() - 8 {
                let mut bytes = clean.clone();
                bytes[place..place + 8].copy_from_slice(&absurd.to_le_bytes());
                if let Ok(index) = Index::open(&bytes, &expected) {
                    assert_eq!(index.to_bytes(), bytes);
                }
            }
        }
    }
}
