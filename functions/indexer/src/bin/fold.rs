//! The Lambda function that folds the tails of indexes.

fn main() -> std::process::ExitCode {
    indexer::function::queue(storage::Work::Fold)
}
