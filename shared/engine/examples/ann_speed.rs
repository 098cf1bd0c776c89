//! How long the engine itself takes, to be compared with peers that read the same files: builds one IVF-PQ shard from
//! a `.npy` file of f32 rows, measures single-thread search latency and recall, and prints one JSON object.
//!
//! `cargo run --release -p genai-vectors-engine --features ivfpq --example ann_speed -- ROWS.npy QUERIES.npy [cosine|euclidean] [k] [target] [pq4|pq4r|pq8]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs
)]

use std::time::Instant;

use format::{EncodedShard, IvfCodeKind};
use genai_vectors_engine::ivf::{IvfConfig, SearchTuning, TrainedGeneration};
use genai_vectors_engine::{
    IvfBuild, MergeSource, Pool, SearchRequest, Shard, ShardBuilder, ShardBytes, ShardView, merge_ivf, search,
};
use model::{Dimension, DistanceMetric, Encryption, IndexConfig, ShardId, TrainId, Ulid};
use roaring::RoaringBitmap;

struct Matrix {
    width: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// A `.npy` file of little-endian f32 in C order.
    fn read(path: &str) -> Self {
        let bytes = std::fs::read(path).expect("a readable file");
        let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        let text = String::from_utf8_lossy(&bytes[10..10 + header]).into_owned();
        assert!(text.contains("'<f4'"), "{text}");
        let shape = text.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
        let width = shape.split(',').nth(1).unwrap().trim().parse().unwrap();
        let values = bytes[10 + header..]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Self {
            width,
            values: values.collect(),
        }
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }
}

fn open(id: u128, encoded: EncodedShard) -> Shard {
    let entry = encoded.entry(ShardId(Ulid::from_parts(1, id)));
    let bytes = ShardBytes {
        rows: Some(encoded.rows),
        keys: encoded.keys,
        fst: encoded.fst,
        attributes: encoded.attributes,
        head: encoded.head,
        index: encoded.index,
    };
    Shard::open(&entry, bytes).expect("a valid shard")
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = Matrix::read(&arguments[0]);
    let queries = Matrix::read(&arguments[1]);
    let metric = match arguments.get(2).map(String::as_str) {
        Some("euclidean") => DistanceMetric::Euclidean,
        _ => DistanceMetric::Cosine,
    };
    let k: usize = arguments.get(3).map_or(10, |k| k.parse().unwrap());
    let target_recall = arguments.get(4).map_or(0.98, |target| target.parse().unwrap());
    let dimension = Dimension::new(rows.width as u32).unwrap();
    let config = IndexConfig {
        dimension,
        metric,
        non_filterable_keys: None,
        encryption: Encryption::Aes256,
    };
    let pool = Pool::new(std::thread::available_parallelism().map_or(2, |n| n.get())).unwrap();
    let mut builder = ShardBuilder::new(dimension);
    for (number, row) in rows.rows().enumerate() {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        builder.push(&format!("{number:08}"), &bytes, None).unwrap();
    }
    let flat = open(1, pool.scope(|| builder.finish(&config)).unwrap().unwrap());
    let none = RoaringBitmap::new();
    let sources = [MergeSource {
        shard: &flat,
        dead: &none,
    }];

    let code = match arguments.get(5).map(String::as_str) {
        Some("pq4r") => IvfCodeKind::Pq4r,
        Some("pq8") => IvfCodeKind::Pq8,
        _ => IvfCodeKind::Pq4,
    };
    let ivf = IvfConfig {
        code,
        ..IvfConfig::default()
    };
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let id = TrainId(Ulid::from_parts(1, 7));
    let generation = pool
        .scope(|| TrainedGeneration::train(&config, &ivf, &sources, u64::from(flat.rows()), id))
        .unwrap();
    let (trained, trained_cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let build = IvfBuild {
        generation: &generation,
        config: &ivf,
    };
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let merged = pool.scope(|| merge_ivf(&config, &sources, &build)).unwrap();
    let (built, built_cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let encoded = merged.shard.unwrap();
    let index_bytes = encoded.index.as_ref().unwrap().len();
    let shard = open(2, encoded);
    let head = shard.head().ivf.clone().unwrap();

    let single = Pool::new(1).unwrap();
    let views = [ShardView {
        shard: &shard,
        excluded: &none,
    }];
    let run = |query: &[f32], exact: bool| {
        let request = SearchRequest {
            vector: query,
            metric,
            k,
            after: None,
            filter: None,
            reach: k,
            tuning: SearchTuning {
                target_recall,
                exact,
                ..SearchTuning::default()
            },
        };
        let start = Instant::now();
        let answer = single.scope(|| search(&request, &views, &[], &single)).unwrap();
        (start.elapsed().as_secs_f64() * 1e3, answer)
    };
    let mut latencies = Vec::new();
    let (mut found, mut wanted) = (0, 0);
    let mut plan = None;
    let mut exact_latencies = Vec::new();
    for round in 0..4 {
        for (number, query) in queries.rows().take(500).enumerate() {
            let (latency, answer) = run(query, false);
            if round > 0 {
                latencies.push(latency);
                continue;
            }
            plan = Some(answer.plan);
            if number < 200 {
                let (latency, truth) = run(query, true);
                exact_latencies.push(latency);
                let farthest = truth.hits.last().unwrap().distance;
                wanted += truth.hits.len();
                found += answer.hits.iter().filter(|hit| hit.distance <= farthest).count();
            }
        }
    }
    latencies.sort_by(f64::total_cmp);
    exact_latencies.sort_by(f64::total_cmp);
    let plan = plan.unwrap();
    println!(
        "{{\"rows\": {}, \"dimension\": {}, \"nlist\": {}, \"code\": \"{:?}\", \"nprobe\": {}, \"depth\": {}, \
         \"train_s\": {trained:.3}, \"train_cpu_s\": {trained_cpu:.3}, \"build_s\": {built:.3}, \"build_cpu_s\": {built_cpu:.3}, \
         \"index_bytes\": {index_bytes}, \"k\": {k}, \"recall\": {:.4}, \"p50_ms\": {:.4}, \"p99_ms\": {:.4}, \"exact_p50_ms\": {:.4}}}",
        flat.rows(),
        rows.width,
        head.nlist(),
        head.code,
        plan.lists,
        plan.candidates,
        f64::from(found as u32) / f64::from(wanted as u32),
        percentile(&latencies, 0.5),
        percentile(&latencies, 0.99),
        percentile(&exact_latencies, 0.5),
    );
}
