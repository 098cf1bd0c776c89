//! The Lambda function of PutVectors.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::PutVectors>()
}
