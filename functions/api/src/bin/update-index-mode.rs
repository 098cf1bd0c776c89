//! The Lambda function of UpdateIndexMode.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::UpdateIndexMode>()
}
