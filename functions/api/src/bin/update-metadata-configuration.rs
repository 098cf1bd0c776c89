//! The Lambda function of UpdateMetadataConfiguration.

fn main() -> std::process::ExitCode {
    lambda::serve::<service::ops::UpdateMetadataConfiguration>()
}
