//! The environment of a function, read once. The template (`infra/template.yaml`) sets it.

use std::path::PathBuf;
use std::time::Duration;

use model::{Region, Strictness};
use service::Config;
use service::config::{AnswerConfig, CacheConfig};
use storage::aws::{AccessKey, RoleKey};

const MIB: usize = 1024 * 1024;
/// Of an answer's most: what the response has around it (status, headers).
const RESPONSE_FRAME_BYTES: usize = 64 * 1024;

/// What the environment says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The deployment's name, in metrics.
    pub environment: String,
    /// The DynamoDB table of the catalog.
    pub table: String,
    /// Where the objects are: `s3://bucket` or `s3://bucket/prefix`.
    pub storage: String,
    /// The queue of folds; absent where nothing rings.
    pub fold_queue: Option<String>,
    /// The queue of compactions.
    pub compact_queue: Option<String>,
    /// Who may call.
    pub auth: AuthMode,
    /// The access keys as JSON.
    pub keys: Option<String>,
    /// The secret that holds them.
    pub keys_secret: Option<String>,
    /// The path in front of the API that clients sign.
    pub public_base_path: String,
    /// Where shard files are kept.
    pub cache_directory: PathBuf,
    /// How much of them.
    pub cache_bytes: u64,
    /// The key of the function's role.
    pub role: RoleKey,
    /// Servers that are not AWS's own.
    pub endpoints: storage::aws::Endpoints,
    /// What the service is to do.
    pub config: Config,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// Holders of an access key, verified here.
    Keys,
    /// Whom API Gateway's IAM authorizer lets through.
    Iam,
    /// Anybody on this machine: for development.
    None,
}

/// A variable that is missing or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: {reason}")]
pub struct SettingsError {
    name: &'static str,
    reason: String,
}

impl Settings {
    /// Reads this process's environment.
    ///
    /// # Errors
    /// The first variable that is missing or cannot be read.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::read(&|name| environment(name))
    }

    /// Reads variables; an empty one counts as missing.
    ///
    /// # Errors
    /// The first variable that is missing or cannot be read.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let variables = Variables(variable);
        let memory_mib: usize = variables.number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?.unwrap_or(1769);
        let cache_mib: u64 = variables.number("GENAI_VECTORS_CACHE_MIB")?.unwrap_or(384);
        let cache_bytes = cache_mib.saturating_mul(MIB as u64);
        let directory = variables.get("GENAI_VECTORS_CACHE_DIR");
        Ok(Self {
            environment: variables.or("GENAI_VECTORS_ENVIRONMENT", "default"),
            table: variables.must("GENAI_VECTORS_TABLE")?,
            storage: variables.must("GENAI_VECTORS_STORAGE")?,
            fold_queue: variables.get("GENAI_VECTORS_FOLD_QUEUE_URL"),
            compact_queue: variables.get("GENAI_VECTORS_COMPACT_QUEUE_URL"),
            auth: auth(&variables)?,
            keys: variables.get("GENAI_VECTORS_KEYS"),
            keys_secret: variables.get("GENAI_VECTORS_KEYS_SECRET"),
            public_base_path: variables.or("GENAI_VECTORS_PUBLIC_BASE_PATH", ""),
            cache_directory: directory.map_or_else(|| PathBuf::from("/tmp/genai-vectors"), PathBuf::from),
            cache_bytes,
            role: role(&variables)?,
            endpoints: storage::aws::Endpoints::from_variables(variable),
            config: config(&variables, memory_mib.saturating_mul(MIB), cache_bytes)?,
        })
    }
}

fn role(variables: &Variables<'_>) -> Result<RoleKey, SettingsError> {
    let key = AccessKey {
        id: variables.must("AWS_ACCESS_KEY_ID")?,
        secret: variables.must("AWS_SECRET_ACCESS_KEY")?,
    };
    let token = variables.get("AWS_SESSION_TOKEN");
    Ok(RoleKey { key, token })
}

fn auth(variables: &Variables<'_>) -> Result<AuthMode, SettingsError> {
    match variables.or("GENAI_VECTORS_AUTH", "keys").as_str() {
        "keys" => Ok(AuthMode::Keys),
        "iam" => Ok(AuthMode::Iam),
        "none" => Ok(AuthMode::None),
        other => Err(SettingsError {
            name: "GENAI_VECTORS_AUTH",
            reason: format!("{other:?} is none of keys, iam, none"),
        }),
    }
}

fn config(variables: &Variables<'_>, memory: usize, cache_bytes: u64) -> Result<Config, SettingsError> {
    let mut config = Config {
        region: Region {
            partition: variables.or("GENAI_VECTORS_PARTITION", "aws"),
            region: variables.or("AWS_REGION", "us-east-1"),
            account: variables.must("GENAI_VECTORS_ACCOUNT")?,
        },
        cache: CacheConfig {
            wal_bytes: memory / 8,
            manifest_bytes: memory / 32,
            // Maps of the files in the disk cache: address space, not memory.
            shard_bytes: usize::try_from(cache_bytes).unwrap_or(usize::MAX),
        },
        answer: answer_bounds(),
        ..Config::default()
    };
    if variables.flag("GENAI_VECTORS_STRICT")? {
        config.strictness = Strictness::Strict;
    }
    if let Some(recall) = variables.number::<f64>("GENAI_VECTORS_TARGET_RECALL")? {
        config.search.target_recall = recall;
        config.search.exact = recall >= 1.0;
    }
    if let Some(rows) = variables.number("GENAI_VECTORS_FLAT_THRESHOLD")? {
        config.compaction.flat_threshold = rows;
    }
    // A function is frozen once it has answered: nothing goes on behind an answer.
    config.ranged.read_ahead = false;
    config.ranged.memory_bytes = memory as u64 / 8;
    // A message has waited in its queue already: when it comes, its work is due.
    config.fold.due_age = Duration::from_millis(variables.number("GENAI_VECTORS_FOLD_AGE_MS")?.unwrap_or(0));
    if let Some(settle_ms) = variables.number("GENAI_VECTORS_SETTLE_MS")? {
        config.settle = Duration::from_millis(settle_ms);
    }
    if let Some(seconds) = variables.number("GENAI_VECTORS_COLLECT_FLOOR_AGE_S")? {
        config.collection.floor_age = Duration::from_secs(seconds);
    }
    if let Some(seconds) = variables.number("GENAI_VECTORS_COLLECT_LIST_AGE_S")? {
        config.collection.list_age = Duration::from_secs(seconds);
    }
    // What a merge may hold, its bookkeeping of about a third included; the rest is for its inputs and the process.
    let merge = memory as u64 / 2;
    config.compaction.max_output_bytes = merge / 4 * 3;
    config.ivf.sample_bytes = merge / 4;
    Ok(config)
}

/// An answer travels as a string inside JSON, where each of its quotes is two bytes.
fn answer_bounds() -> AnswerConfig {
    let bytes = crate::PAYLOAD_BYTES - RESPONSE_FRAME_BYTES;
    AnswerConfig {
        query_bytes: bytes,
        get_bytes: bytes,
        quoted: true,
        ..AnswerConfig::default()
    }
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn or(&self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or_else(|| default.to_owned())
    }

    fn must(&self, name: &'static str) -> Result<String, SettingsError> {
        self.get(name).ok_or_else(|| SettingsError {
            name,
            reason: "is missing".to_owned(),
        })
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, SettingsError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| SettingsError {
            name,
            reason: format!("{text:?} is not a number that fits"),
        })
    }

    fn flag(&self, name: &'static str) -> Result<bool, SettingsError> {
        match self.or(name, "false").as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(SettingsError {
                name,
                reason: format!("{other:?} is neither true nor false"),
            }),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "functions read the environment")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let needed = [
            ("GENAI_VECTORS_TABLE", "catalog"),
            ("GENAI_VECTORS_STORAGE", "s3://objects"),
            ("GENAI_VECTORS_ACCOUNT", "123456789012"),
            ("AWS_ACCESS_KEY_ID", "function"),
            ("AWS_SECRET_ACCESS_KEY", "role"),
        ];
        let find = |name: &str| {
            let found = variables.iter().chain(&needed).find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&find)
    }

    #[test]
    fn little_is_needed() {
        let settings = read(&[]).unwrap();
        assert_eq!(
            (settings.auth, settings.environment.as_str()),
            (AuthMode::Keys, "default")
        );
        assert_eq!(settings.config.strictness, Strictness::Lenient);
        assert!(settings.config.answer.quoted);
        assert_eq!(settings.config.fold.due_age, Duration::ZERO);
        assert!(!settings.config.ranged.read_ahead && settings.config.recall_sample == 0.0);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = |name: &'static str, value: &str| read(&[(name, value)]).unwrap_err().to_string();
        assert_eq!(
            refused("GENAI_VECTORS_TABLE", ""),
            "environment variable GENAI_VECTORS_TABLE: is missing"
        );
        let auth = refused("GENAI_VECTORS_AUTH", "open");
        assert_eq!(
            auth,
            "environment variable GENAI_VECTORS_AUTH: \"open\" is none of keys, iam, none"
        );
        let recall = refused("GENAI_VECTORS_TARGET_RECALL", "high");
        assert_eq!(
            recall,
            "environment variable GENAI_VECTORS_TARGET_RECALL: \"high\" is not a number that fits"
        );
        let strict = refused("GENAI_VECTORS_STRICT", "maybe");
        assert_eq!(
            strict,
            "environment variable GENAI_VECTORS_STRICT: \"maybe\" is neither true nor false"
        );
    }
}
