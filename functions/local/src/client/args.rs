//! Flags and environment that every tool shares: where the server is, who calls, which index is meant.

use std::path::PathBuf;

use clap::Args;
use model::{BucketName, IndexName};
use reqwest::Url;

use super::error::ClientError;
use super::sign::SecretKey;

/// Where the server is and who calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ClientArgs {
    /// The server, http:// or https://, with its path prefix if it has one.
    #[arg(long, env = "GENAI_VECTORS_ENDPOINT", default_value = "http://127.0.0.1:8080")]
    pub(crate) endpoint: String,
    /// PEM file with the certificate authorities to trust for https, instead of this machine's (which SSL_CERT_FILE
    /// replaces as well).
    #[arg(long, env = "AWS_CA_BUNDLE")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Region in signatures.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub(crate) region: String,
    /// Signs requests, together with the secret access key; without both, requests are not signed.
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    pub(crate) access_key_id: Option<String>,
    /// Better given by the environment: flags can be seen by other users of the machine.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub(crate) secret_access_key: Option<SecretKey>,
    /// Seconds that one request may take.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout_s: u64,
    /// How often a request is repeated when the server is busy, failing or unreachable; 20 times take some two minutes.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub(crate) retries: u32,
}

/// The index that is read or written.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Vector bucket.
    #[arg(long)]
    pub(crate) bucket: BucketName,
    /// Index in the bucket.
    #[arg(long)]
    pub(crate) index: IndexName,
}

impl ClientArgs {
    pub(crate) fn endpoint(&self) -> Result<Url, ClientError> {
        let refused = |reason: &str| ClientError::endpoint(&self.endpoint, reason);
        let url = Url::parse(&self.endpoint).map_err(|error| refused(&error.to_string()))?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            _ => Err(refused("must begin with http:// or https://")),
        }
    }

    /// Both halves of the key, or neither.
    pub(crate) fn keys(&self) -> Result<Option<(String, SecretKey)>, ClientError> {
        let id = self.access_key_id.clone().filter(|id| !id.is_empty());
        let secret = self.secret_access_key.clone().filter(|secret| !secret.is_empty());
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Some((id, secret))),
            (None, None) => Ok(None),
            _ => Err(ClientError::HalfKey),
        }
    }
}
