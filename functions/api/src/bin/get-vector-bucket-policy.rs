//! The Lambda function of GetVectorBucketPolicy.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::GetVectorBucketPolicy>()
}
