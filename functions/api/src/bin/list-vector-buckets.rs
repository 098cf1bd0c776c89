//! The Lambda function of ListVectorBuckets.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::ListVectorBuckets>()
}
