//! The Lambda function of ListVectors.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::ListVectors>()
}
