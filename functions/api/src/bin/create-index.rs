//! The Lambda function of CreateIndex.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::CreateIndex>()
}
