//! The Lambda function of GetVectorBucket.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::GetVectorBucket>()
}
