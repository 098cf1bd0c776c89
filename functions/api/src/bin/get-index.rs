//! The Lambda function of GetIndex.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::GetIndex>()
}
