//! What FAISS costs here, one thread, in CPU time (the wall clock is shared with whatever else the machine does):
//!
//!     cargo run --release -p genai-vectors-engine --features ivfpq --example ivfpq_speed [rows] [dimension] [lists]
//!
//! Rows are made, seeded: a mixture of 400 clusters of intrinsic dimension 30, normalized.
// Measuring needs a clock.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Instant;

use genai_vectors_engine::ivfpq::{Coarse, Code, Expected, Generation, Index, Metric};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLUSTERS: usize = 400;
const INTRINSIC: usize = 30;
const PROBES: usize = 96;
const QUERIES: usize = 500;
const SAMPLE_PER_LIST: usize = 64;

fn main() {
    // All of rayon is this thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().expect("a pool");
    let mut arguments = std::env::args()
        .skip(1)
        .map(|word| word.parse::<usize>().expect("a number"));
    let mut argument = |default| arguments.next().unwrap_or(default);
    let (rows, dimension, nlist) = (argument(117_000), argument(384), argument(512));
    let (values, queries) = mixture(rows, dimension);
    println!("{rows} x {dimension}, {nlist} lists, CPU time of this thread");
    let sample = &values[..values.len().min(nlist * SAMPLE_PER_LIST * dimension)];
    for metric in [Metric::InnerProduct, Metric::L2] {
        let coarse = timed("train the lists, s", 1.0, || {
            Coarse::train(dimension, metric, nlist, sample, 1).expect("lists")
        });
        for (code, k) in [
            (Code::Pq4 { m: dimension / 4 }, 80),
            (Code::Pq4Residual { m: dimension / 4 }, 80),
            (Code::Pq8 { m: dimension / 8 }, 200),
        ] {
            println!("{metric:?} {code:?}");
            measure(&coarse, code, k, sample, &values, &queries);
        }
    }
}

fn measure(coarse: &Coarse, code: Code, k: usize, sample: &[f32], values: &[f32], queries: &[f32]) {
    let (dimension, nlist) = (coarse.dimension(), coarse.nlist());
    let rows = values.len() / dimension;
    let generation = timed("train the codebooks, s", 1.0, || {
        Generation::train(coarse, code, sample, 1).expect("codebooks")
    });
    let batches = || values.chunks(4_096 * dimension);
    let lists: Vec<u32> = timed("assign a row, us", 1e6 / rows as f64, || {
        batches()
            .flat_map(|rows| generation.assign(rows).expect("lists"))
            .collect()
    });
    let codes: Vec<u8> = timed("encode a row, us", 1e6 / rows as f64, || {
        batches()
            .zip(lists.chunks(4_096))
            .flat_map(|(rows, lists)| generation.encode_assigned(rows, lists).expect("codes"))
            .collect()
    });
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_key(|&row| lists[row]);
    let mut starts = vec![0_u32; nlist + 1];
    lists.iter().for_each(|&list| starts[list as usize + 1] += 1);
    (0..nlist).for_each(|list| starts[list + 1] += starts[list]);
    let size = generation.code_size();
    let codes: Vec<u8> = order
        .iter()
        .flat_map(|&row| codes[row * size..][..size].iter().copied())
        .collect();
    let index = timed("assemble, ms", 1e3, || {
        generation.assemble(&starts, &codes).expect("an index")
    });
    let bytes = timed("to bytes, ms", 1e3, || index.to_bytes());
    let expected = Expected {
        dimension,
        metric: coarse.metric(),
        nlist,
        rows: rows as u32,
    };
    let index = timed("open, ms", 1e3, || Index::open(&bytes, &expected).expect("an index"));
    timed("unpack all codes, ms", 1e3, || {
        (0..nlist as u32)
            .map(|list| index.list_codes(list).expect("codes").len())
            .sum::<usize>()
    });
    let per_row = [bytes.len(), index.resident_bytes()].map(|bytes| bytes as f64 / rows as f64);
    println!(
        "  {:32} {:10.1} {:.1}",
        "bytes a row: file, resident", per_row[0], per_row[1]
    );
    searches(&index, k, queries);
}

fn searches(index: &Index, k: usize, queries: &[f32]) {
    let shape = index.shape();
    let selector: Vec<u8> = vec![0b0101_0101; index.rows().div_ceil(8)];
    let mut distances = Vec::new();
    let mut times: [Vec<f64>; 4] = Default::default();
    for query in queries.chunks_exact(shape.dimension) {
        let mut time = |which: usize, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            times[which].push(start.elapsed().as_secs_f64() * 1e6);
        };
        time(0, &mut || {
            index.coarse_distances(query, &mut distances).expect("distances")
        });
        let mut lists: Vec<u32> = (0..shape.nlist as u32).collect();
        lists.sort_by(|&a, &b| distances[a as usize].total_cmp(&distances[b as usize]));
        let probes = &lists[..PROBES.min(shape.nlist)];
        let search = |lists: &[u32], selector: Option<&[u8]>| {
            assert_eq!(index.search(query, lists, k, selector).expect("rows").len(), k);
        };
        time(1, &mut || search(probes, None));
        time(2, &mut || search(probes, Some(&selector)));
        time(3, &mut || search(&lists, None));
    }
    let names = [
        "coarse distances",
        "search",
        "search half of the rows",
        "search all lists",
    ];
    for (name, mut times) in names.into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let (name, middle, late) = (
            format!("{name}, us: p50, p99"),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
        );
        println!("  {name:32} {middle:10.1} {late:.1}");
    }
}

fn timed<T>(what: &str, scale: f64, work: impl FnOnce() -> T) -> T {
    let start = cpu_seconds();
    let result = work();
    println!("  {what:32} {:10.2}", (cpu_seconds() - start) * scale);
    result
}

fn cpu_seconds() -> f64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    line.split(' ')
        .next()
        .and_then(|word| word.parse::<f64>().ok())
        .expect("nanoseconds")
        / 1e9
}

/// Rows, and queries from the same mixture.
fn mixture(rows: usize, dimension: usize) -> (Vec<f32>, Vec<f32>) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut gaussian = |count: usize| -> Vec<f32> {
        // Close enough to a normal distribution: the sum of four uniform ones.
        (0..count)
            .map(|_| (0..4).map(|_| random.random_range(-1.0_f32..1.0)).sum::<f32>())
            .collect()
    };
    let centres = gaussian(CLUSTERS * dimension);
    let directions = gaussian(INTRINSIC * dimension);
    let mut all = Vec::with_capacity((rows + QUERIES) * dimension);
    for number in 0..rows + QUERIES {
        let centre = &centres[number * 7_919 % CLUSTERS * dimension..][..dimension];
        let mut row = centre.to_vec();
        for (direction, weight) in directions.chunks_exact(dimension).zip(gaussian(INTRINSIC)) {
            row.iter_mut()
                .zip(direction)
                .for_each(|(value, along)| *value += 0.3 * weight * along);
        }
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        all.extend(row.iter().map(|value| value / length));
    }
    let queries = all.split_off(rows * dimension);
    (all, queries)
}
