//! The access keys, from the environment or from Secrets Manager.
//!
//! A secret is read once a minute at most, so that keys are rotated without redeploying. A key id that is not in it
//! stays unknown until then: asking for unknown keys costs us nothing.

use std::sync::Arc;
use std::time::Duration;

use model::{ApiError, Clock};
use storage::aws::{Aws, Secrets};
use tokio::sync::Mutex;
use wire::{KeyRing, KeyRingError};

use crate::settings::Settings;

/// How long keys are used without looking at the secret again.
const FRESH_MS: u64 = 60_000;
/// How long they are used when the secret cannot be read: a failure of another service must not be ours at once.
const STALE_MS: u64 = 10 * 60_000;
/// How long a failed read is not repeated while there are keys to go on with.
const PAUSE_MS: u64 = 5_000;
/// How long a request waits for the secret.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// They never change.
    Fixed(Arc<KeyRing>),
    /// They are what a secret holds.
    Secret(SecretKeys),
}

/// Keys that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Neither variable is set.
    #[error(
        "GENAI_VECTORS_AUTH=keys needs GENAI_VECTORS_KEYS_SECRET (the ARN of a secret) or GENAI_VECTORS_KEYS (JSON)"
    )]
    Missing,
    /// The text is no list of keys.
    #[error("access keys: {0}")]
    Unreadable(#[from] KeyRingError),
}

/// The keys of a secret.
#[derive(Debug)]
pub struct SecretKeys {
    secrets: Secrets,
    name: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Option<Arc<KeyRing>>,
    /// When they were read.
    read_ms: u64,
    /// When reading was last tried.
    tried_ms: u64,
}

impl KeySource {
    /// As the settings say; reads nothing yet.
    ///
    /// # Errors
    /// No keys are named, or those in the environment cannot be read.
    pub fn new(settings: &Settings, aws: &Aws) -> Result<Self, KeysError> {
        if let Some(name) = &settings.keys_secret {
            return Ok(Self::Secret(SecretKeys {
                secrets: Secrets::new(aws),
                name: name.clone(),
                known: Mutex::default(),
            }));
        }
        let text = settings.keys.as_ref().ok_or(KeysError::Missing)?;
        Ok(Self::Fixed(Arc::new(KeyRing::from_json(text)?)))
    }

    /// The keys as of now.
    ///
    /// # Errors
    /// 503 when they cannot be read.
    pub async fn ring(&self, clock: &dyn Clock) -> Result<Arc<KeyRing>, ApiError> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Secret(secret) => secret.ring(clock.now_ms()).await,
        }
    }
}

impl SecretKeys {
    async fn ring(&self, now_ms: u64) -> Result<Arc<KeyRing>, ApiError> {
        let mut known = self.known.lock().await;
        if known.is_due(now_ms) {
            known.tried_ms = now_ms;
            match self.read().await {
                Ok(keys) => (known.keys, known.read_ms) = (Some(Arc::new(keys)), now_ms),
                Err(reason) => tracing::error!(secret = self.name, reason, "access keys cannot be read"),
            }
        }
        let usable = known
            .keys
            .as_ref()
            .filter(|_| now_ms.saturating_sub(known.read_ms) <= STALE_MS);
        let keys = usable.ok_or_else(|| service::errors::unavailable("Currently unable to handle the request"))?;
        Ok(Arc::clone(keys))
    }

    /// What is wrong is said without what is there.
    async fn read(&self) -> Result<KeyRing, String> {
        let reading = tokio::time::timeout(PATIENCE, self.secrets.read(&self.name)).await;
        let text = reading
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| with_causes(&error))?;
        KeyRing::from_json(&text).map_err(|error| error.to_string())
    }
}

/// Whether it is the role, the region or the secret: the cause knows.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Known {
    fn is_due(&self, now_ms: u64) -> bool {
        if self.keys.is_none() {
            return true;
        }
        let is_fresh = now_ms.saturating_sub(self.read_ms) <= FRESH_MS;
        let just_tried = now_ms.saturating_sub(self.tried_ms) < PAUSE_MS;
        !is_fresh && !just_tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_secret_is_read() {
        let key = r#"{"keys":[{"accessKeyId":"a","secretAccessKey":"s","principal":"p"}]}"#;
        let keys = Some(Arc::new(KeyRing::from_json(key).unwrap()));
        let known = |keys: &Option<Arc<KeyRing>>, read_ms, tried_ms| Known {
            keys: keys.clone(),
            read_ms,
            tried_ms,
        };
        assert!(Known::default().is_due(1_000_000), "at first");
        assert!(
            !known(&keys, 1_000_000, 1_000_000).is_due(1_000_000 + FRESH_MS),
            "fresh"
        );
        assert!(known(&keys, 1_000_000, 1_000_000).is_due(1_000_001 + FRESH_MS), "old");
        let tried = 2_000_000;
        assert!(
            !known(&keys, 1_000_000, tried).is_due(tried + PAUSE_MS - 1),
            "failed just now"
        );
        assert!(
            known(&keys, 1_000_000, tried).is_due(tried + PAUSE_MS),
            "failed some time ago"
        );
        assert!(
            known(&None, 0, tried).is_due(tried + 1),
            "failed at first: nothing can be answered without"
        );
    }
}
