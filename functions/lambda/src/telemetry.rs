//! Log events as JSON lines, and metrics in the embedded metric format, from which CloudWatch makes metrics without
//! being called.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};
use service::metrics::ServiceMetrics;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::settings::environment;

const NAMESPACE: &str = "GenaiVectors";
/// What logs at `info` at the most, unless it is named.
const FOREIGN: [&str; 11] = [
    "lambda_runtime",
    "lambda_runtime_api_client",
    "aws_config",
    "aws_runtime",
    "aws_sdk_dynamodb",
    "aws_sdk_s3",
    "aws_smithy_http_client",
    "aws_smithy_runtime",
    "h2",
    "hyper",
    "hyper_util",
];

/// JSON log events to standard output, which Lambda keeps; the level by `LOG_LEVEL`.
pub fn init_logging() {
    let level = environment("LOG_LEVEL").filter(|level| !level.is_empty());
    let filter = filter(level.as_deref().unwrap_or("info"));
    let builder = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter);
    // A second subscriber would mean that this runs twice: the first one goes on.
    let _ = builder.with_current_span(false).with_span_list(false).try_init();
}

/// The level is ours: what we are built on would log whole requests at the finest ones, vectors and keys included. Who
/// wants that names it, as in `debug,lambda_runtime=trace`.
fn filter(level: &str) -> EnvFilter {
    let asked = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    if asked.max_level_hint().is_some_and(|finest| finest <= LevelFilter::INFO) {
        return asked;
    }
    let quiet: String = FOREIGN.iter().map(|name| format!("{name}=info,")).collect();
    EnvFilter::try_new(format!("{quiet}{level}")).unwrap_or(asked)
}

/// One metric of one invocation.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    name: &'static str,
    unit: &'static str,
    value: f64,
}

impl Metric {
    /// How many.
    #[expect(clippy::cast_precision_loss, reason = "metrics are counted in doubles")]
    pub fn count(name: &'static str, value: u64) -> Self {
        Self {
            name,
            unit: "Count",
            value: value as f64,
        }
    }

    /// How long.
    pub fn milliseconds(name: &'static str, value: Duration) -> Self {
        Self {
            name,
            unit: "Milliseconds",
            value: value.as_secs_f64() * 1000.0,
        }
    }
}

/// Prints the metrics of one invocation.
pub fn emit(environment: &str, operation: &str, now_ms: u64, metrics: &[Metric]) {
    let line = embedded(environment, operation, now_ms, metrics).to_string();
    // Nobody reads standard output any more: then nobody misses the metrics.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Only what is not zero, but for the first, is a metric: dashboards take a missing one for zero.
fn embedded(environment: &str, operation: &str, now_ms: u64, metrics: &[Metric]) -> Value {
    let mut names = Vec::new();
    let mut values = Map::new();
    for (position, metric) in metrics.iter().enumerate() {
        if position > 0 && metric.value == 0.0 {
            continue;
        }
        names.push(json!({"Name": metric.name, "Unit": metric.unit}));
        values.insert(metric.name.to_owned(), json!(metric.value));
    }
    let mut line = json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Environment", "Operation"], ["Environment"]],
                "Metrics": names,
            }],
        },
        "Environment": environment,
        "Operation": operation,
    });
    if let Some(object) = line.as_object_mut() {
        object.extend(values);
    }
    line
}

/// What the service has counted so far, to be told apart per invocation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    rows: u64,
    retries: u64,
    scanned: u64,
    folds: u64,
    fold_failures: u64,
    compactions: u64,
    compaction_failures: u64,
    collected: u64,
}

impl Counted {
    /// As of now.
    pub fn of(metrics: &ServiceMetrics) -> Self {
        Self {
            rows: metrics.committed_rows.get(),
            retries: metrics.commit_retries.get(),
            scanned: metrics.scanned_rows.get(),
            folds: metrics.folds.get(),
            fold_failures: metrics.fold_failures.get(),
            compactions: metrics.compactions.get(),
            compaction_failures: metrics.compaction_failures.get(),
            collected: metrics.collected_objects.get(),
        }
    }

    /// What was counted since.
    pub fn since(self, before: Self) -> [Metric; 8] {
        [
            Metric::count("CommittedRows", self.rows - before.rows),
            Metric::count("CommitRetries", self.retries - before.retries),
            Metric::count("ScannedRows", self.scanned - before.scanned),
            Metric::count("Folds", self.folds - before.folds),
            Metric::count("FoldFailures", self.fold_failures - before.fold_failures),
            Metric::count("Compactions", self.compactions - before.compactions),
            Metric::count(
                "CompactionFailures",
                self.compaction_failures - before.compaction_failures,
            ),
            Metric::count("CollectedObjects", self.collected - before.collected),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_are_built_on_is_quiet_unless_it_is_named() {
        let enabled = |level: &str| {
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter(level)).finish();
            tracing::subscriber::with_default(subscriber, || {
                let information = tracing::enabled!(target: "lambda_runtime::layers", tracing::Level::INFO);
                assert_eq!(information, level != "warn");
                let theirs = tracing::enabled!(target: "lambda_runtime::layers", tracing::Level::TRACE);
                let ours = tracing::enabled!(target: "genai_vectors_service::write", tracing::Level::TRACE);
                (theirs, ours)
            })
        };
        assert_eq!(enabled("trace"), (false, true));
        assert_eq!(enabled("trace,lambda_runtime=trace"), (true, true));
        assert_eq!(enabled("info"), (false, false));
        assert_eq!(enabled("warn"), (false, false));
        assert_eq!(enabled("no=level=at=all"), (false, false));
    }

    #[test]
    fn the_embedded_metric_format() {
        let metrics = [
            Metric::count("Requests", 1),
            Metric::milliseconds("Duration", Duration::from_micros(1500)),
            Metric::count("Faults", 0),
        ];
        let line = embedded("prod", "PutVectors", 1_795_342_500_000, &metrics);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "GenaiVectors");
        let expected = json!([{"Name": "Requests", "Unit": "Count"}, {"Name": "Duration", "Unit": "Milliseconds"}]);
        assert_eq!(directive["Metrics"], expected);
        assert_eq!(line["_aws"]["Timestamp"], 1_795_342_500_000_u64);
        assert_eq!(
            (&line["Duration"], &line["Operation"]),
            (&json!(1.5), &json!("PutVectors"))
        );
        for dimension in ["Environment", "Operation"] {
            assert!(line[dimension].is_string(), "each dimension is a member");
        }
    }
}
