//! How fast metadata is parsed, in nanoseconds a document on one core, beside serde_json's own document type:
//! `cargo run --release -p genai-vectors-model --example metadata_speed`

use std::hint::black_box;
use std::time::Duration;

use model::{Clock as _, Metadata, MetadataLimits, SystemClock};

const DOCUMENT: &str =
    r#"{"title":"The Old Man and the Sea","year":1952,"genres":["novella","sea"],"read":true,"rating":4.25}"#;
const ROUNDS: u32 = 200_000;
/// Of several runs the best one: what the machine can do when nobody else uses it.
const RUNS: usize = 5;

fn main() {
    let limits = MetadataLimits::default();
    println!("{} bytes", DOCUMENT.len());
    report("parse", || Metadata::parse(black_box(DOCUMENT)).is_ok());
    report("parse and check", || {
        Metadata::parse(black_box(DOCUMENT)).is_ok_and(|metadata| metadata.check(&[], &limits).is_ok())
    });
    report("serde_json::Value", || {
        serde_json::from_str::<serde_json::Value>(black_box(DOCUMENT)).is_ok_and(|value| value.is_object())
    });
}

fn report(what: &str, run: impl Fn() -> bool) {
    let clock = SystemClock::new();
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = clock.monotonic();
        assert!((0..ROUNDS).all(|_| run()));
        best = best.min(clock.monotonic() - start);
    }
    println!("{what:<20} {:>6} ns", (best / ROUNDS).as_nanos());
}
