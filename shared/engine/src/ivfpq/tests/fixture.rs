//! Rows, and indexes built from them as a builder would.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ivfpq::native::Native;
use crate::ivfpq::{Coarse, Code, Expected, Generation, Index, Metric, Shape, layout};

pub(super) const BOTH_METRICS: [Metric; 2] = [Metric::InnerProduct, Metric::L2];

/// Codes of all kinds with `m` sub-quantizers.
pub(super) fn all_codes(m: usize) -> [Code; 3] {
    [Code::Pq4 { m }, Code::Pq4Residual { m }, Code::Pq8 { m }]
}

pub(super) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// `rows` rows around 20 centres, none of them alike.
pub(super) fn clustered(rows: usize, dimension: usize, seed: u64) -> Vec<f32> {
    let mut random = random(seed);
    let centres: Vec<f32> = (0..20 * dimension).map(|_| random.random_range(-1.0..1.0)).collect();
    let mut out = Vec::with_capacity(rows * dimension);
    for _ in 0..rows {
        let centre = random.random_range(0..20) * dimension;
        out.extend((0..dimension).map(|i| centres[centre + i] + random.random_range(-0.3..0.3)));
    }
    out
}

/// Trains on the rows themselves.
pub(super) fn trained(shape: Shape, rows: &[f32], seed: u64) -> Generation {
    let coarse = Coarse::train(shape.dimension, shape.metric, shape.nlist, rows, seed).unwrap();
    Generation::train(&coarse, shape.code, rows, seed).unwrap()
}

/// Rows in the order of their lists, and where each list starts.
pub(super) struct Ordered {
    pub(super) rows: Vec<f32>,
    pub(super) starts: Vec<u32>,
}

pub(super) fn ordered(generation: &Generation, rows: &[f32]) -> Ordered {
    let shape = generation.shape();
    let lists = generation.assign(rows).unwrap();
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|&row| lists[row]);
    let mut starts = vec![0; shape.nlist + 1];
    for &list in &lists {
        starts[list as usize + 1] += 1;
    }
    for list in 0..shape.nlist {
        starts[list + 1] += starts[list];
    }
    let row = |&number: &usize| rows[number * shape.dimension..][..shape.dimension].iter().copied();
    Ordered {
        rows: order.iter().flat_map(row).collect(),
        starts,
    }
}

pub(super) fn index(generation: &Generation, ordered: &Ordered) -> Index {
    let codes = generation.encode(&ordered.rows).unwrap();
    generation.assemble(&ordered.starts, &codes).unwrap()
}

/// An index over `rows` rows, and the rows in its order.
pub(super) fn built(shape: Shape, rows: &[f32]) -> (Index, Vec<f32>) {
    let generation = trained(shape, rows, 7);
    let ordered = ordered(&generation, rows);
    (index(&generation, &ordered), ordered.rows)
}

pub(super) fn expected(index: &Index) -> Expected {
    let shape = index.shape();
    Expected {
        dimension: shape.dimension,
        metric: shape.metric,
        nlist: shape.nlist,
        rows: index.rows() as u32,
    }
}

pub(super) fn all_lists(index: &Index) -> Vec<u32> {
    (0..index.shape().nlist as u32).collect()
}

/// A selector of the rows for which `keep` is true.
pub(super) fn bitmap(rows: usize, keep: impl Fn(u32) -> bool) -> Vec<u8> {
    let mut bits = vec![0; rows.div_ceil(8)];
    for row in (0..rows as u32).filter(|&row| keep(row)) {
        bits[row as usize / 8] |= 1 << (row % 8);
    }
    bits
}

/// Rows in the middle between two centroids: the last bit decides which is nearer.
pub(super) fn midpoints(generation: &Generation) -> Vec<f32> {
    let bytes = generation.to_bytes();
    let centroids = floats(layout::parse(&bytes).unwrap().centroids);
    let mut out = Vec::new();
    for (number, a) in centroids.chunks(generation.shape().dimension).enumerate() {
        for b in centroids.chunks(a.len()).take(number) {
            out.extend(a.iter().zip(b).map(|(a, b)| (a + b) / 2.0));
        }
    }
    out
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, rest) = bytes.as_chunks();
    assert_eq!(rest.len(), 0);
    values.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

/// What FAISS approximates: the distance of the query to each decoded row, and how far FAISS may be off.
pub(super) struct Reference {
    pub(super) distances: Vec<f64>,
    pub(super) tolerance: f64,
}

/// Decodes every row from the index file, and compares it with the query in f64.
pub(super) fn reference(index: &Index, query: &[f32]) -> Reference {
    let bytes = index.to_bytes();
    let parsed = layout::parse(&bytes).unwrap();
    let (codebooks, centroids) = (floats(parsed.codebooks), floats(parsed.centroids));
    let Shape {
        dimension,
        metric,
        nlist,
        code,
    } = index.shape();
    let (m, values) = (code.m(), dimension / code.m());
    let codewords_of = |row: &[u8]| -> Vec<usize> {
        (0..m)
            .map(|quantizer| match code.bits() {
                4 => usize::from(row[quantizer / 2] >> (4 * (quantizer % 2)) & 15),
                _ => usize::from(row[quantizer]),
            })
            .collect()
    };
    // One term of the distance: the part of a sub-quantizer, with a codeword and in a list.
    let term = |list: usize, quantizer: usize, codeword: usize| -> f64 {
        let codeword = &codebooks[(quantizer * code.codewords() + codeword) * values..][..values];
        let centroid = &centroids[list * dimension + quantizer * values..][..values];
        let query = &query[quantizer * values..][..values];
        let one = |((&word, &centre), &query): ((&f32, &f32), &f32)| {
            let row = f64::from(word) + if code.is_residual() { f64::from(centre) } else { 0.0 };
            match metric {
                Metric::InnerProduct => -row * f64::from(query),
                Metric::L2 => (row - f64::from(query)).powi(2),
            }
        };
        codeword.iter().zip(centroid).zip(query).map(one).sum()
    };
    let (mut distances, mut least, mut most, mut widest) = (Vec::new(), f64::MAX, f64::MIN, 0.0_f64);
    for list in 0..nlist {
        // Without residuals all lists have the tables of the first.
        let tables: Vec<Vec<f64>> = (0..m)
            .map(|quantizer| (0..code.codewords()).map(|word| term(list, quantizer, word)).collect())
            .collect();
        let ends = |table: &Vec<f64>| {
            (
                table.iter().copied().fold(f64::MAX, f64::min),
                table.iter().copied().fold(f64::MIN, f64::max),
            )
        };
        let ends: Vec<(f64, f64)> = tables.iter().map(ends).collect();
        least = least.min(ends.iter().map(|ends| ends.0).sum());
        most = most.max(ends.iter().map(|ends| ends.1).sum());
        widest = ends.iter().map(|ends| ends.1 - ends.0).fold(widest, f64::max);
        for row in index.list_codes(list as u32).unwrap().chunks_exact(code.bytes()) {
            distances.push(
                codewords_of(row)
                    .iter()
                    .zip(&tables)
                    .map(|(&word, table)| table[word])
                    .sum(),
            );
        }
    }
    let step = (widest / 255.0).max((most - least) / 65535.0);
    let tolerance = match code.bits() {
        // Rounding each table entry, twice: for a row that is in and for one that is out.
        4 => step * (m as f64 * 1.5 + 2.0) + 1e-6,
        _ => 1e-5 * (1.0 + most - least),
    };
    Reference { distances, tolerance }
}

/// Checks an answer against the reference: no row twice, each as near as the reference's row of the same place.
pub(super) fn assert_nearest(index: &Index, query: &[f32], keep: impl Fn(u32) -> bool, found: &[u32]) {
    let Reference { distances, tolerance } = reference(index, query);
    let mut best: Vec<f64> = distances
        .iter()
        .zip(0..)
        .filter(|&(_, row)| keep(row))
        .map(|(&distance, _)| distance)
        .collect();
    best.sort_by(f64::total_cmp);
    let mut seen = vec![false; distances.len()];
    for (place, &row) in found.iter().enumerate() {
        assert!(keep(row), "row {row} was not selected");
        assert!(!std::mem::replace(&mut seen[row as usize], true), "row {row} twice");
        let (distance, best) = (distances[row as usize], best[place]);
        assert!(
            (distance - best).abs() <= tolerance,
            "place {place}: {distance} where {best} is best, +- {tolerance}"
        );
    }
}

/// The same generation through FAISS's own reader, add and writer.
pub(super) fn stock_add(generation: &Generation, rows: &[f32]) -> Vec<u8> {
    use std::ffi::CString;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.faiss");
    let name = CString::new(path.to_str().unwrap()).unwrap();
    std::fs::write(&path, generation.to_bytes()).unwrap();
    let count = rows.len() / generation.shape().dimension;
    let mut index = std::ptr::null_mut();
    // SAFETY: the path is a string with an end, `index` is set when reading succeeds, and freed once.
    unsafe {
        assert_eq!(faiss_sys::faiss_read_index_fname(name.as_ptr(), 0, &raw mut index), 0);
        assert_eq!(faiss_sys::faiss_Index_add(index, count as i64, rows.as_ptr()), 0);
        assert_eq!(faiss_sys::faiss_write_index_fname(index, name.as_ptr()), 0);
        faiss_sys::faiss_Index_free(index);
    }
    std::fs::read(path).unwrap()
}

/// Keeps the tests independent of how indexes are opened.
pub(super) fn reopened(index: &Index) -> Index {
    Index::open(&index.to_bytes(), &expected(index)).unwrap()
}

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Native>();
    shared::<Coarse>();
    shared::<Generation>();
    shared::<Index>();
};
