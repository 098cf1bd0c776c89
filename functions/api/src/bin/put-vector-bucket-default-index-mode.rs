//! The Lambda function of PutVectorBucketDefaultIndexMode.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::PutVectorBucketDefaultIndexMode>()
}
