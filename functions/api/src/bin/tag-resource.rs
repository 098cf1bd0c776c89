//! The Lambda function of TagResource.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::TagResource>()
}
