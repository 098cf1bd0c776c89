//! The Lambda function of DeleteIndex.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::DeleteIndex>()
}
