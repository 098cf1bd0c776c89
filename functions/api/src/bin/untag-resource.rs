//! The Lambda function of UntagResource.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::UntagResource>()
}
