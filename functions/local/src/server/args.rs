//! Flags and environment of `genai-vectors api`, and the decisions that follow from them.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::tuning::EngineArgs;
use crate::place::PlaceArgs;

/// The largest numbers that flags take: larger ones are mistakes.
pub(super) const DAY_MS: u64 = 24 * 3600 * 1000;
const YEAR_S: u64 = 366 * 24 * 3600;
const MAX_THREADS: i64 = 1024;
const MAX_MEMORY_MIB: i64 = 1 << 20;
pub(super) const MAX_DISK_MIB: u64 = 1 << 24;
/// A tail that is as large is full.
const FULL_TAIL_KIB: u64 = 128 * 1024;
const FULL_TAIL_ENTRIES: i64 = 512;

/// Flags of `genai-vectors api`; each may come from the environment.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    /// Address to listen on.
    #[arg(long, env = "SERVER_HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port to listen on; 0 takes a free one and prints it.
    #[arg(long, env = "SERVER_PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Who may call: `none` (default on a loopback address) or `keys` (SigV4; default elsewhere).
    #[arg(long, env = "GENAI_VECTORS_AUTH", value_enum)]
    pub(crate) auth: Option<AuthMode>,
    /// JSON file with the access keys of `--auth keys`; without it, `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY` are the one key.
    #[arg(long, env = "GENAI_VECTORS_KEYS_FILE")]
    pub(crate) keys_file: Option<PathBuf>,
    /// Behave as AWS does where AWS is stricter.
    #[arg(long, env = "GENAI_VECTORS_STRICT", num_args = 0..=1, default_missing_value = "true", default_value_t = false, value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) strict: bool,
    /// Serve `/metrics` and `/stats`; by default only on a loopback address without keys.
    #[arg(long, env = "GENAI_VECTORS_STATUS", num_args = 0..=1, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) status_endpoints: Option<bool>,
    /// Whether the indexer folds and compacts in this process.
    #[arg(long, env = "GENAI_VECTORS_INDEXER", value_enum, default_value_t = IndexerMode::On)]
    pub(crate) indexer: IndexerMode,
    /// Region in ARNs and in signatures.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1", value_parser = region)]
    pub(crate) region: String,
    /// Account in ARNs.
    #[arg(long, env = "GENAI_VECTORS_ACCOUNT", default_value = "123456789012", value_parser = account)]
    pub(crate) account: String,
    /// error, warn, info, debug, trace, or a tracing filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: String,
    /// `text` (default on a terminal) or `json`.
    #[arg(long, env = "LOG_FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,
    /// Threads for searching and indexing; by default one per core.
    #[arg(long, env = "GENAI_VECTORS_THREADS", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    pub(crate) threads: Option<u16>,
    /// MiB that requests in flight may hold together, 64 or more: a quarter for bodies that arrive, a half to work on them, a
    /// quarter for answers; beyond it the answer is 503.
    #[arg(long, env = "GENAI_VECTORS_REQUEST_MEMORY_MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..=MAX_MEMORY_MIB))]
    pub(crate) request_memory_mib: u32,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) indexing: IndexingArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// The disk cache in front of a bucket; a directory needs none, since its files are mapped as they are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Disk cache")]
pub(crate) struct CacheArgs {
    /// Directory that keeps copies of shard files, checked and bounded. Without it: genai-vectors in the user's cache
    /// directory for a database in a bucket, else no disk cache.
    #[arg(long, env = "GENAI_VECTORS_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// MiB that the disk cache may take; what was used longest ago goes first. 0: no disk cache.
    #[arg(long, env = "GENAI_VECTORS_CACHE_MIB", default_value_t = 10_240, value_parser = clap::value_parser!(u64).range(..=MAX_DISK_MIB))]
    pub(crate) cache_mib: u64,
    /// Milliseconds added to every call of the storage, for measuring what a network does.
    #[arg(long, default_value_t = 0, hide = true, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub(crate) object_delay_ms: u64,
}

/// Tuning of the indexer; the defaults suit most.
#[derive(Debug, Args)]
#[command(next_help_heading = "Indexing")]
pub(crate) struct IndexingArgs {
    /// Fold the tail into a shard when it has this many KiB.
    #[arg(long, env = "GENAI_VECTORS_FOLD_KIB", value_parser = clap::value_parser!(u64).range(1..=FULL_TAIL_KIB))]
    pub(crate) fold_kib: Option<u64>,
    /// Fold the tail into a shard when it has this many entries.
    #[arg(long, env = "GENAI_VECTORS_FOLD_ENTRIES", value_parser = clap::value_parser!(u16).range(1..=FULL_TAIL_ENTRIES))]
    pub(crate) fold_entries: Option<u16>,
    /// Fold the tail into a shard when it is this many milliseconds old.
    #[arg(long, env = "GENAI_VECTORS_FOLD_AGE_MS", value_parser = clap::value_parser!(u64).range(1..=DAY_MS))]
    pub(crate) fold_age_ms: Option<u64>,
    /// Seconds that an unreachable object stays before a collection may list it.
    #[arg(long, env = "GENAI_VECTORS_COLLECT_FLOOR_AGE_S", value_parser = clap::value_parser!(u64).range(..=YEAR_S))]
    pub(crate) collect_floor_age_s: Option<u64>,
    /// Seconds between listing an unreachable object and deleting it.
    #[arg(long, env = "GENAI_VECTORS_COLLECT_LIST_AGE_S", value_parser = clap::value_parser!(u64).range(..=YEAR_S))]
    pub(crate) collect_list_age_s: Option<u64>,
    /// Seconds between collections.
    #[arg(long, env = "GENAI_VECTORS_COLLECT_INTERVAL_S", value_parser = clap::value_parser!(u64).range(1..=YEAR_S))]
    pub(crate) collect_interval_s: Option<u64>,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthMode {
    /// Anybody who reaches the address.
    None,
    /// Holders of an access key, by SigV4.
    Keys,
}

/// Whether the indexer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IndexerMode {
    /// Folds, compacts and collects.
    On,
    /// Leaves everything in the tail.
    Paused,
}

/// How log events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// An AWS account: ARNs of another form would be refused by every client.
fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("an account is 12 digits".to_owned())
}

/// A region: ARNs and signatures carry it, so a word of another form would fit neither.
fn region(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("a region is lower-case letters, digits and hyphens".to_owned())
}

impl ApiArgs {
    /// Whether only this machine reaches the server.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost",
        }
    }

    /// The authentication that applies: none on loopback, keys elsewhere, unless said.
    pub(crate) fn auth_mode(&self) -> AuthMode {
        let default = if self.is_loopback() && self.keys_file.is_none() {
            AuthMode::None
        } else {
            AuthMode::Keys
        };
        self.auth.unwrap_or(default)
    }

    /// Whether `/metrics` and `/stats` answer.
    pub(crate) fn status_endpoints(&self) -> bool {
        let default = self.is_loopback() && self.auth_mode() == AuthMode::None;
        self.status_endpoints.unwrap_or(default)
    }
}
