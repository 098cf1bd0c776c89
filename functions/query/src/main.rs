//! The Lambda function of QueryVectors.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::QueryVectors>()
}
