//! The Lambda function of PutVectorBucketPolicy.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::PutVectorBucketPolicy>()
}
