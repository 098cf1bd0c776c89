//! How fast the big bodies are read and written, in MB/s on one core:
//! `cargo run --release -p genai-vectors-wire --example put_body_speed`

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use genai_vectors_wire::{JsonWriter, Members, parse_put_vectors};

/// Of several runs the best one: what the machine can do when nobody else uses it.
const RUNS: usize = 5;

fn main() {
    for (records, dimension) in [(500, 100), (500, 768), (200, 1536), (100, 4096)] {
        let vectors = vectors(records, dimension);
        let body = put_body(&vectors);
        let label = format!("{records} x {dimension}");
        report(&format!("read  PutVectors {label}"), body.len(), || {
            let parsed = parse_put_vectors(black_box(body.as_bytes()));
            black_box(parsed.is_ok_and(|parsed| parsed.record_count == records))
        });
        report(&format!("scan  PutVectors {label}"), body.len(), || {
            black_box(Members::parse(black_box(body.as_bytes())).is_ok())
        });
        let written = get_answer(&vectors).len();
        report(&format!("write GetVectors {label}"), written, || {
            black_box(get_answer(black_box(&vectors)).len() == written)
        });
    }
}

fn report(what: &str, bytes: usize, run: impl Fn() -> bool) {
    // Enough for the coarse steps in which the system counts.
    let rounds = 100_000_000 / bytes;
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = cpu_time();
        assert!((0..rounds).all(|_| run()));
        best = best.min(cpu_time() - start);
    }
    let speed = (bytes * rounds) as f64 / best.as_secs_f64() / 1e6;
    println!("{what:<32} {:>7.2} MB {speed:>8.0} MB/s", bytes as f64 / 1e6);
}

/// What this thread has used, where the system says so, so that a busy machine does not blur the numbers.
#[allow(clippy::disallowed_methods, reason = "an example has no clock to be given")]
fn cpu_time() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let used = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    match used.and_then(|used| used.split(' ').next()?.parse().ok()) {
        Some(nanos) => Duration::from_nanos(nanos),
        None => START.get_or_init(Instant::now).elapsed(),
    }
}

/// Vectors of length one, from a small generator with a fixed seed.
fn vectors(records: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let scale = (12.0 / dimension as f64).sqrt();
    (0..records)
        .map(|_| (0..dimension).map(|_| (next() * scale) as f32).collect())
        .collect()
}

/// As boto3 sends it: the repr of doubles that hold floats, `, ` and `: ` between.
fn put_body(vectors: &[Vec<f32>]) -> String {
    let records: Vec<String> = vectors
        .iter()
        .enumerate()
        .map(|(position, values)| {
            let values: Vec<String> = values.iter().map(|value| format!("{:?}", f64::from(*value))).collect();
            format!(
                r#"{{"key": "document-{position}", "data": {{"float32": [{}]}}, "metadata": {{"genre": "sci-fi", "year": {position}, "tags": ["a", "b"]}}}}"#,
                values.join(", ")
            )
        })
        .collect();
    format!(
        r#"{{"vectorBucketName": "media", "indexName": "movies", "vectors": [{}]}}"#,
        records.join(", ")
    )
}

fn get_answer(vectors: &[Vec<f32>]) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(vectors.len() * 1024);
    json.begin_object().name("vectors").begin_array();
    for (position, values) in vectors.iter().enumerate() {
        json.begin_object()
            .string_member("key", &format!("document-{position}"));
        json.name("data")
            .begin_object()
            .name("float32")
            .f32_array(values)
            .end_object();
        json.name("metadata").raw(r#"{"genre":"sci-fi"}"#).end_object();
    }
    json.end_array().end_object();
    json.finish()
}
