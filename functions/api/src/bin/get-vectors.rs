//! The Lambda function of GetVectors.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::GetVectors>()
}
