//! The Lambda function of DeleteVectorBucketPolicy.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::DeleteVectorBucketPolicy>()
}
