//! What all clients share: where keys and region come from, endpoints, time-outs, one pool of connections.

use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::Builder as HttpClientBuilder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use futures::future::BoxFuture;

/// Where servers are when they are not AWS's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// S3, or MinIO and the like. Buckets are then named in the path, not in the host.
    pub s3: Option<String>,
    /// DynamoDB.
    pub dynamodb: Option<String>,
    /// SQS.
    pub sqs: Option<String>,
    /// Secrets Manager.
    pub secrets: Option<String>,
}

impl Endpoints {
    /// From the SDKs' variables: one service's own (`AWS_ENDPOINT_URL_S3`), else `AWS_ENDPOINT_URL`. `read` is the
    /// environment, which only functions may read.
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Self {
        let of = |service: &str| {
            let own = read(&format!("AWS_ENDPOINT_URL_{service}")).filter(|url| !url.is_empty());
            own.or_else(|| read("AWS_ENDPOINT_URL").filter(|url| !url.is_empty()))
        };
        Self {
            s3: of("S3"),
            dynamodb: of("DYNAMODB"),
            sqs: of("SQS"),
            secrets: of("SECRETS_MANAGER"),
        }
    }
}

/// How long one attempt may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// From a small request to its answer.
    pub answer: Duration,
    /// To send a large body and get its answer; a body that is received may take as long as it does not stall.
    pub transfer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(8),
            transfer: Duration::from_secs(30),
        }
    }
}

/// A key that does not come from where the SDKs look.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret; never shown.
    pub secret: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The key of a role that somebody else has assumed, as Lambda has for its functions.
#[derive(Clone, PartialEq, Eq)]
pub struct RoleKey {
    /// The key.
    pub key: AccessKey,
    /// Its session token; never shown.
    pub token: Option<String>,
}

impl fmt::Debug for RoleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Settings of all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    /// The region; `None`: as the SDKs find it (environment, profile).
    pub region: Option<String>,
    /// The key to sign with; `None`: as the SDKs find it.
    pub key: Option<AccessKey>,
    /// Servers that are not AWS's own.
    pub endpoints: Endpoints,
    /// Time-outs of one attempt.
    pub timeouts: Timeouts,
    /// Attempts at a read, or at a write that may be repeated.
    pub attempts: u32,
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            region: None,
            key: None,
            endpoints: Endpoints::default(),
            timeouts: Timeouts::default(),
            attempts: 4,
        }
    }
}

/// Keys, region and connections, from which the adapters make their clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    /// For every client; retries are each client's own.
    pub(crate) sdk: SdkConfig,
    pub(crate) settings: AwsSettings,
}

impl Aws {
    /// Finds keys and region as every AWS SDK does: environment, profile, web identity, container, instance. Keys are
    /// fetched with the first request that needs them.
    pub fn load(settings: AwsSettings) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let mut loader = aws_config::defaults(BehaviorVersion::latest())
                .http_client(http_client())
                .retry_config(RetryConfig::disabled())
                .stalled_stream_protection(stalled(&settings));
            if let Some(region) = &settings.region {
                loader = loader.region(Region::new(region.clone()));
            }
            if let Some(AccessKey { id, secret }) = &settings.key {
                loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "settings"));
            }
            Self {
                sdk: loader.load().await,
                settings,
            }
        })
    }

    /// With a region and a key that are known. It looks nowhere else, so that all the places where the SDKs would look
    /// are not linked.
    pub fn with_role(settings: AwsSettings, region: &str, role: &RoleKey) -> Self {
        let AccessKey { id, secret } = &role.key;
        let credentials = Credentials::new(id, secret, role.token.clone(), None, "settings");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(stalled(&settings))
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Self { sdk, settings }
    }

    /// The region, if there is one.
    pub fn region(&self) -> Option<&str> {
        self.sdk.region().map(Region::as_ref)
    }

    /// A service and where it is, for messages.
    pub(crate) fn server(&self, service: &str, endpoint: Option<&str>) -> String {
        match (endpoint, self.region()) {
            (Some(endpoint), _) => format!("{service} at {endpoint}"),
            (None, Some(region)) => format!("{service} in {region}"),
            (None, None) => service.to_owned(),
        }
    }

    /// For reads and writes that may be repeated: standard retries, which share a budget, so that a store that is
    /// down is not asked ever more.
    pub(crate) fn retries(&self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(self.settings.attempts)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(Duration::from_secs(2))
    }

    /// Time-outs of small requests.
    pub(crate) fn answer_timeouts(&self) -> TimeoutConfig {
        self.timeouts(self.settings.timeouts.answer)
    }

    /// Time-outs of large ones.
    pub(crate) fn transfer_timeouts(&self) -> TimeoutConfig {
        self.timeouts(self.settings.timeouts.transfer)
    }

    fn timeouts(&self, attempt: Duration) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.settings.timeouts.connect)
            .operation_attempt_timeout(attempt)
            .build()
    }
}

/// One pool of connections for all clients.
fn http_client() -> SharedHttpClient {
    HttpClientBuilder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

fn stalled(settings: &AwsSettings) -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::enabled()
        .grace_period(settings.timeouts.answer)
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_services_own_endpoint_beats_the_common_one() {
        let variables = HashMap::from([
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000"),
            ("AWS_ENDPOINT_URL_SQS", ""),
        ]);
        let endpoints = Endpoints::from_variables(|name| variables.get(name).map(|url| (*url).to_owned()));
        let common = Some("http://127.0.0.1:9000".to_owned());
        let expected = Endpoints {
            s3: common.clone(),
            dynamodb: Some("http://127.0.0.1:8000".to_owned()),
            sqs: common.clone(),
            secrets: common,
        };
        assert_eq!(endpoints, expected);
        assert_eq!(Endpoints::from_variables(|_| None), Endpoints::default());
    }
}
