//! The Lambda function of ListIndexes.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::ListIndexes>()
}
