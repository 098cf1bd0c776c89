//! Writes generations and indexes of every kind, queries, and the rows that this engine finds, for
//! `tests/stock_faiss.py` to open with the faiss-cpu package.
//!
//!     cargo run --release -p genai-vectors-engine --features ivfpq --example ivfpq_files FOLDER

// Numbers are made up here: nothing is out of bounds.
#![allow(clippy::indexing_slicing)]

use std::error::Error;
use std::path::{Path, PathBuf};

use genai_vectors_engine::ivfpq::{Coarse, Code, Generation, Metric};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROWS: usize = 3_000;
const QUERIES: usize = 40;
const NLIST: usize = 30;
const NPROBE: usize = 7;
const K: usize = 25;
/// Every third row is selected.
const SELECTED: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: ivfpq_files FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    let mut cases = Vec::new();
    for (metric, metric_name) in [(Metric::InnerProduct, "ip"), (Metric::L2, "l2")] {
        for (dimension, code, code_name) in [
            (64, Code::Pq4 { m: 16 }, "pq4"),
            (35, Code::Pq4 { m: 7 }, "pq4-odd"),
            (64, Code::Pq4Residual { m: 16 }, "pq4r"),
            (64, Code::Pq8 { m: 16 }, "pq8"),
        ] {
            let name = format!("{metric_name}-{code_name}");
            cases.push(write_case(&folder, &name, dimension, metric, code)?);
        }
    }
    std::fs::write(folder.join("expected.json"), format!("[{}]\n", cases.join(",\n")))?;
    Ok(())
}

/// Writes the files of one kind of index and returns what is expected of them, as JSON.
fn write_case(
    folder: &Path,
    name: &str,
    dimension: usize,
    metric: Metric,
    code: Code,
) -> Result<String, Box<dyn Error>> {
    let mut random = ChaCha8Rng::seed_from_u64(dimension as u64);
    let mut values =
        |rows: usize| -> Vec<f32> { (0..rows * dimension).map(|_| random.random_range(-1.0..1.0)).collect() };
    let (rows, queries) = (values(ROWS), values(QUERIES));
    let coarse = Coarse::train(dimension, metric, NLIST, &rows, 1)?;
    let generation = Generation::train(&coarse, code, &rows, 1)?;

    let lists = generation.assign(&rows)?;
    let mut order: Vec<usize> = (0..ROWS).collect();
    order.sort_by_key(|&row| lists[row]);
    let rows: Vec<f32> = order
        .iter()
        .flat_map(|&row| rows[row * dimension..][..dimension].iter().copied())
        .collect();
    let starts: Vec<u32> = (0..=NLIST as u32)
        .map(|list| lists.iter().filter(|&&other| other < list).count() as u32)
        .collect();
    let index = generation.assemble(&starts, &generation.encode(&rows)?)?;

    std::fs::write(folder.join(format!("{name}.generation.faiss")), generation.to_bytes())?;
    std::fs::write(folder.join(format!("{name}.index.faiss")), index.to_bytes())?;
    for (what, values) in [("rows", &rows), ("queries", &queries)] {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{name}.{what}.f32")), bytes)?;
    }

    let mut selector = vec![0_u8; ROWS.div_ceil(8)];
    for row in (0..ROWS).step_by(SELECTED as usize) {
        selector[row / 8] |= 1 << (row % 8);
    }
    let (mut plain, mut filtered) = (Vec::new(), Vec::new());
    let mut distances = Vec::new();
    for query in queries.chunks_exact(dimension) {
        index.coarse_distances(query, &mut distances)?;
        let mut nearest: Vec<u32> = (0..NLIST as u32).collect();
        nearest.sort_by(|&a, &b| distances[a as usize].total_cmp(&distances[b as usize]));
        let probes = &nearest[..NPROBE];
        plain.push(index.search(query, probes, K, None)?);
        filtered.push(index.search(query, probes, K, Some(&selector))?);
    }
    Ok(format!(
        r#"{{"name": "{name}", "dimension": {dimension}, "rows": {ROWS}, "nlist": {NLIST}, "nprobe": {NPROBE}, "k": {K},
 "selected": {SELECTED}, "plain": {plain:?}, "filtered": {filtered:?}}}"#
    ))
}
