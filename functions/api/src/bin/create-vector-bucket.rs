//! The Lambda function of CreateVectorBucket.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::CreateVectorBucket>()
}
