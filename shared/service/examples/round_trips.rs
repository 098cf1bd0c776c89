//! What each operation sends to DynamoDB, S3 and SQS, and how long that takes when a request to DynamoDB or SQS takes
//! 5 ms and one to S3 30 ms: a Markdown table, or with `--json` the counts for machines. Nothing is measured in real
//! time, so the answer is always the same; `tests/round_trips.rs` asserts it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs
)]

#[path = "../tests/access/desk.rs"]
mod desk;
#[path = "../tests/trips/mod.rs"]
mod trips;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let measured = runtime.block_on(trips::measure_everything());
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", trips::report::json(&measured));
    } else {
        println!("{}", trips::report::table(&measured));
    }
}
