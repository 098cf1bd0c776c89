//! The Lambda function that rings again for indexes that have work.

fn main() -> std::process::ExitCode {
    indexer::function::sweep()
}
