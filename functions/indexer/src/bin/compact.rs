//! The Lambda function that merges shards.

fn main() -> std::process::ExitCode {
    indexer::function::queue(storage::Work::Compact)
}
