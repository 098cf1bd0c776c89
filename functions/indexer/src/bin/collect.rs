//! The Lambda function that deletes what nothing reaches.

fn main() -> std::process::ExitCode {
    indexer::function::collect()
}
