//! The Lambda function of DeleteVectors.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::DeleteVectors>()
}
