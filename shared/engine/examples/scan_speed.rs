//! How near the flat scan comes to what this machine's memory can deliver.
//!
//!     cargo run --release -p genai-vectors-engine --example scan_speed [rows] [dimension] [rounds]
//!
//! Builds a shard in memory (350,000 rows of 100 values unless told otherwise) and times three things over the same
//! bytes, with one thread and with all: a plain vectorised sum of every word (the reading speed), the distances alone,
//! and the whole search (top 10 and 100). Rounds are interleaved and the best counts. Two clocks: the wall, and the CPU
//! time of all threads divided by their number, which stays honest when other programs share the cores. The search is to
//! reach 60 % of the plain sum's speed.
// Measuring needs a clock, and the plain sum needs loads that the compiler does not make by itself.
#![allow(clippy::disallowed_methods, clippy::expect_used, unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use genai_vectors_engine::{Pool, PreparedQuery, SearchRequest, Shard, ShardBuilder, ShardBytes, ShardView, search};
use model::{Dimension, DistanceMetric, Encryption, IndexConfig, ShardId, Ulid};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use roaring::RoaringBitmap;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|word| word.parse::<u32>().expect("a number"));
    let mut argument = |default| arguments.next().unwrap_or(default);
    let (rows, dimension, rounds) = (argument(350_000), argument(100), argument(15));
    let shard = shard(rows, dimension);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let query: Vec<f32> = (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect();
    let bytes = f64::from(rows) * f64::from(dimension) * 4.0;
    println!(
        "{rows} x {dimension}: {:.1} MB of vectors, best of {rounds} rounds",
        bytes / 1e6
    );
    println!(
        "{:32} {:>9} {:>6} {:>6}   {:>9} {:>6} {:>6}",
        "", "wall ms", "GB/s", "%", "cpu ms", "GB/s", "%"
    );
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if all > 1 { vec![1, all] } else { vec![1] };
    // All pools live to the end: the CPU time of a thread that ends would be missing from the next sum.
    let pools: Vec<Pool> = threads
        .into_iter()
        .map(|threads| Pool::new(threads).expect("threads"))
        .collect();
    pools
        .iter()
        .for_each(|pool| measure(pool, &shard, &query, bytes, rounds));
}

fn measure(pool: &Pool, shard: &Shard, query: &[f32], bytes: f64, rounds: u32) {
    let none = RoaringBitmap::new();
    let views = [ShardView { shard, excluded: &none }];
    let mut best = [Times {
        wall: f64::INFINITY,
        cpu: f64::INFINITY,
    }; 7];
    for _ in 0..rounds {
        let mut times = vec![time(pool, || plain_sum(shard))];
        for metric in [DistanceMetric::Cosine, DistanceMetric::Euclidean] {
            times.push(time(pool, || distances(shard, query, metric)));
            for k in [10, 100] {
                let request = SearchRequest {
                    vector: query,
                    metric,
                    k,
                    after: None,
                    filter: None,
                    reach: k,
                    tuning: genai_vectors_engine::SearchTuning::default(),
                };
                times.push(time(pool, || {
                    search(&request, &views, &[], pool).expect("a search").hits.len()
                }));
            }
        }
        for (best, time) in best.iter_mut().zip(times) {
            *best = Times {
                wall: best.wall.min(time.wall),
                cpu: best.cpu.min(time.cpu),
            };
        }
    }
    let names = ["plain sum", "cosine distances", "cosine top 10", "cosine top 100"];
    let names = names
        .into_iter()
        .chain(["euclidean distances", "euclidean top 10", "euclidean top 100"]);
    let [plain, ..] = best;
    for (name, Times { wall, cpu }) in names.zip(best) {
        let columns = |seconds: f64, plain: f64| {
            let speed = bytes / seconds / 1e9;
            format!("{:9.2} {speed:6.2} {:6.0}", seconds * 1e3, 100.0 * plain / seconds)
        };
        let threads = pool.threads() as f64;
        let (wall, cpu) = (columns(wall, plain.wall), columns(cpu / threads, plain.cpu / threads));
        println!("{threads:2} thread(s) {name:20} {wall}   {cpu}");
    }
}

#[derive(Clone, Copy)]
struct Times {
    wall: f64,
    cpu: f64,
}

fn time<T: Send>(pool: &Pool, work: impl FnOnce() -> T + Send) -> Times {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    black_box(pool.scope(work));
    let wall = start.elapsed().as_secs_f64();
    Times {
        wall,
        cpu: cpu.zip(cpu_seconds()).map_or(wall, |(before, after)| after - before),
    }
}

/// CPU time of all threads of this process, to the nanosecond, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| {
        let line = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<f64>().ok()
    };
    let tasks = std::fs::read_dir("/proc/self/task").ok()?.map(nanoseconds);
    tasks.sum::<Option<f64>>().map(|sum| sum / 1e9)
}

fn pieces(shard: &Shard) -> Vec<&[u8]> {
    let row = shard.dimension() * 4;
    let piece = (1 << 20) / row * row;
    shard.vector_runs().flat_map(|(_, run)| run.chunks(piece)).collect()
}

fn distances(shard: &Shard, query: &[f32], metric: DistanceMetric) -> f32 {
    let query = PreparedQuery::new(query, metric);
    let nearest = |piece: &&[u8]| {
        let mut distances = [0.0; 64];
        let blocks = piece.chunks(64 * query.row_bytes());
        blocks.fold(f32::MAX, |nearest, rows| {
            query.distances(rows, &mut distances);
            distances
                .iter()
                .fold(nearest, |nearest, distance| nearest.min(*distance))
        })
    };
    pieces(shard).par_iter().map(nearest).reduce(|| f32::MAX, f32::min)
}

fn plain_sum(shard: &Shard) -> u64 {
    pieces(shard)
        .par_iter()
        .map(|piece| sum(piece))
        .reduce(|| 0, u64::wrapping_add)
}

fn sum(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has the feature.
            return unsafe { x86::sum_avx512(bytes) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has the feature.
            return unsafe { x86::sum_avx2(bytes) };
        }
    }
    bytes
        .as_chunks()
        .0
        .iter()
        .fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
}

/// Four accumulators of the widest register: only reading takes time.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub fn sum_avx512(bytes: &[u8]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); 4];
        for block in bytes.as_chunks::<256>().0 {
            for (sum, part) in sums.iter_mut().zip(block.as_chunks::<64>().0) {
                // SAFETY: a part is as long as the register.
                *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_si512(part.as_ptr().cast()) });
            }
        }
        let [a, b, c, d] = sums;
        _mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d))) as u64
    }

    #[target_feature(enable = "avx2")]
    pub fn sum_avx2(bytes: &[u8]) -> u64 {
        let mut sums = [_mm256_setzero_si256(); 4];
        for block in bytes.as_chunks::<128>().0 {
            for (sum, part) in sums.iter_mut().zip(block.as_chunks::<32>().0) {
                // SAFETY: a part is as long as the register.
                *sum = _mm256_add_epi64(*sum, unsafe { _mm256_loadu_si256(part.as_ptr().cast()) });
            }
        }
        let [a, b, c, d] = sums;
        let sum = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
        _mm256_extract_epi64::<0>(sum) as u64 ^ _mm256_extract_epi64::<3>(sum) as u64
    }
}

fn shard(rows: u32, dimension: u32) -> Shard {
    let dimension = Dimension::new(dimension).expect("1 to 4096");
    let config = IndexConfig {
        dimension,
        metric: DistanceMetric::Cosine,
        non_filterable_keys: None,
        encryption: Encryption::Aes256,
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut builder = ShardBuilder::new(dimension);
    let mut vector = Vec::new();
    for row in 0..rows {
        vector.clear();
        (0..dimension.get()).for_each(|_| vector.extend(random.random_range(-1.0_f32..1.0).to_le_bytes()));
        builder.push(&format!("key-{row:08}"), &vector, None).expect("a row");
    }
    let start = Instant::now();
    let encoded = builder.finish(&config).expect("a shard").expect("rows");
    println!("built in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let entry = encoded.entry(ShardId(Ulid::from_parts(1, 1)));
    let (rows, keys, fst) = (encoded.rows, encoded.keys, encoded.fst);
    let bytes = ShardBytes {
        rows: Some(rows),
        keys,
        fst,
        attributes: encoded.attributes,
        head: encoded.head,
        index: None,
    };
    let start = Instant::now();
    let shard = Shard::open(&entry, bytes).expect("a valid shard");
    println!("verified and opened in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    shard
}
