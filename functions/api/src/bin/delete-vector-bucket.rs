//! The Lambda function of DeleteVectorBucket.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::DeleteVectorBucket>()
}
