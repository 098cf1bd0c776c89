//! The servers that tests run against, started for one test and stopped with it.
//!
//! Each is installed and started by `infra/servers.py`, which is where versions are pinned. It ends when its standard
//! input does, so a test that is killed leaves no server behind. A server that cannot be had fails the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use storage::aws::{AccessKey, Aws, AwsSettings, Endpoints, Timeouts};

/// One running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    process: Child,
    at: Address,
}

/// What the script says of a server that answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    endpoint: String,
    access_key_id: String,
    secret_access_key: String,
}

impl Server {
    /// Starts `minio`, `seaweedfs`, `ministack`, `dynamodb-local`, `dynoxide` or `rclone`, and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be installed or does not come up.
    pub fn start(name: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/servers.py");
        let mut process = Command::new("python3")
            .arg(script)
            .args(["run", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let at = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("infra/servers.py run {name} failed; its standard error says why"));
        Self { process, at }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.at.endpoint
    }

    /// Settings that lead every client to it, with its keys.
    pub fn settings(&self) -> AwsSettings {
        let endpoint = Some(self.at.endpoint.clone());
        let endpoints = Endpoints {
            s3: endpoint.clone(),
            dynamodb: endpoint.clone(),
            sqs: endpoint.clone(),
            secrets: endpoint,
        };
        let key = AccessKey {
            id: self.at.access_key_id.clone(),
            secret: self.at.secret_access_key.clone(),
        };
        // Some take their time when many want the same object.
        let timeouts = Timeouts {
            answer: Duration::from_secs(60),
            ..Timeouts::default()
        };
        AwsSettings {
            region: Some("us-east-1".to_owned()),
            endpoints,
            timeouts,
            key: Some(key),
            ..AwsSettings::default()
        }
    }

    /// A client of it.
    pub async fn aws(&self) -> Aws {
        Aws::load(self.settings()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input is its sign to stop.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
