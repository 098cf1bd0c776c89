//! The Lambda function of ListTagsForResource.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::ListTagsForResource>()
}
