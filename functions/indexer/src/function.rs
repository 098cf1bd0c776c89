//! The life of the four functions: two that queues wake, two on a schedule.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use lambda::run::Cold;
use lambda::telemetry::{self, Counted, Metric};
use lambda::{Settings, open};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};
use service::Context;
use service::indexing::purge::Purger;
use service::indexing::work::{self, Next};
use service::indexing::{collect, lease, sweep};
use storage::aws::Timeouts;
use storage::{IndexPath, Work};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::batch::{Batch, BatchResponse, QueueEvent};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is left of an invocation for leases to be given back and the messages to be sorted out.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Indexes of one batch that are worked on at a time. One fold reads and writes while another computes; a merge may take
/// all of the function's memory (`settings::config`).
const fn lanes(kind: Work) -> usize {
    match kind {
        Work::Fold => 2,
        Work::Compact => 1,
    }
}

struct Function {
    context: Arc<Context>,
    environment: String,
    name: &'static str,
    cold: Cold,
    /// Of this process: an index that is worked on elsewhere is left alone.
    holder: String,
    purger: Mutex<Purger>,
}

/// The main function of the binary that folds, or of the one that compacts.
pub fn queue(kind: Work) -> ExitCode {
    let name = match kind {
        Work::Fold => "Fold",
        Work::Compact => "Compact",
    };
    lambda::start(async move |settings| {
        let function = Arc::new(Function::open(settings, name, true, true).await?);
        let handler = service_fn(move |event: LambdaEvent<QueueEvent>| {
            let function = Arc::clone(&function);
            async move { Ok::<_, Error>(function.batch(event, kind).await) }
        });
        lambda_runtime::run(handler).await
    })
}

/// The main function of the binary that sweeps.
pub fn sweep() -> ExitCode {
    lambda::start(async |settings| {
        let function = Arc::new(Function::open(settings, "Sweep", false, true).await?);
        let handler = service_fn(move |_: LambdaEvent<Value>| {
            let function = Arc::clone(&function);
            async move { function.sweep().await }
        });
        lambda_runtime::run(handler).await
    })
}

/// The main function of the binary that collects garbage.
pub fn collect() -> ExitCode {
    lambda::start(async |settings| {
        let places = Arc::new(settings.clone());
        let function = Arc::new(Function::open(settings, "Collect", true, false).await?);
        let handler = service_fn(move |_: LambdaEvent<Value>| {
            let (function, places) = (Arc::clone(&function), Arc::clone(&places));
            async move {
                // Never deletes from a bucket that belongs to another table.
                open::adopt(&places).await?;
                function.collect().await
            }
        });
        lambda_runtime::run(handler).await
    })
}

impl Function {
    async fn open(settings: Settings, name: &'static str, objects: bool, rings: bool) -> Result<Self, Error> {
        let aws = open::aws(&settings, Timeouts::default());
        let objects = if objects {
            open::objects(&settings, &aws).await?
        } else {
            open::no_objects()
        };
        let doorbell = if rings {
            open::doorbell(&settings, &aws)?
        } else {
            open::no_doorbell()
        };
        let context = open::context(&settings, &aws, objects, doorbell, settings.config.clone())?;
        Ok(Self::over(context, settings.environment, name))
    }

    fn over(context: Context, environment: String, name: &'static str) -> Self {
        let holder = format!("{}:{}", name.to_lowercase(), context.ids.uuid());
        Self {
            context: Arc::new(context),
            environment,
            name,
            cold: Cold::default(),
            holder,
            purger: Mutex::default(),
        }
    }

    async fn batch(&self, event: LambdaEvent<QueueEvent>, kind: Work) -> BatchResponse {
        let run = Run::begin(self);
        let now_ms = self.context.now_ms();
        let left = Duration::from_millis(lambda::ends_ms(event.context.deadline, now_ms).saturating_sub(now_ms));
        let ends = Instant::now() + left;
        let messages = event.payload.records.len();
        let batch = Batch::of(event.payload);
        let indexes = batch.indexes.len();
        let works = batch.indexes.into_iter().map(|(path, ids)| async move {
            let is_done = self.work(kind, &path, ends).await;
            if is_done { Vec::new() } else { ids }
        });
        let unfinished: Vec<Vec<String>> = stream::iter(works).buffer_unordered(lanes(kind)).collect().await;
        let failed = batch.foreign.into_iter().chain(unfinished.into_iter().flatten());
        let response = BatchResponse::failed(failed.collect());
        let failures = response.failures();
        let trace_id = event.context.xray_trace_id.unwrap_or_default();
        tracing::info!(function = self.name, messages, indexes, failures, trace_id, "indexed");
        run.end(&[Metric::count("FailedMessages", failures as u64)]);
        response
    }

    /// Whether the messages are done with. Work that is not due yet, or that another process does, is found by the sweep
    /// when it is. A fold that time runs out for is done in parts, and the sweep finds the rest; a merge begins anew, so its
    /// message comes back, and ends where somebody is told of it.
    async fn work(&self, kind: Work, path: &IndexPath, ends: Instant) -> bool {
        let until = ends.checked_sub(LAST_WORDS).unwrap_or(ends);
        if Instant::now() >= until {
            return kind == Work::Fold;
        }
        let working = async {
            match kind {
                Work::Fold => work::folds(&self.context, path, &self.holder).await,
                Work::Compact => work::compactions(&self.context, path, &self.holder).await,
            }
        };
        let next = tokio::time::timeout_at(until, working).await;
        // A lease that is not given back in time runs out by itself.
        let released =
            tokio::time::timeout_at(ends - LAST_WORDS / 2, lease::release(&self.context, path, &self.holder));
        let is_released = released.await.is_ok();
        match next {
            Ok(Next::Idle | Next::At(_)) => true,
            Ok(Next::NotBefore(_)) => false,
            Err(_) => {
                tracing::warn!(bucket = %path.bucket, index = %path.index, is_released, "time is up");
                kind == Work::Fold
            }
        }
    }

    async fn sweep(&self) -> Result<Value, Error> {
        let run = Run::begin(self);
        let swept = sweep::sweep_once(&self.context).await;
        let dirty = swept.as_ref().map_or(0, |rung| *rung);
        run.end(&[
            Metric::count("DirtyIndexes", dirty as u64),
            Metric::count("Faults", u64::from(swept.is_err())),
        ]);
        tracing::info!(function = self.name, dirty, "swept");
        swept?;
        Ok(json!({"dirty": dirty}))
    }

    async fn collect(&self) -> Result<Value, Error> {
        let run = Run::begin(self);
        let mut purger = self.purger.lock().await;
        let collected = collect::collect_all(&self.context, &mut purger).await;
        run.end(&[Metric::count("Faults", u64::from(collected.is_err()))]);
        tracing::info!(function = self.name, complete = collected.is_ok(), "collected garbage");
        collected?;
        Ok(json!({"complete": true}))
    }
}

/// One invocation, measured.
struct Run<'a> {
    function: &'a Function,
    started: Duration,
    before: Counted,
}

impl<'a> Run<'a> {
    fn begin(function: &'a Function) -> Self {
        Self {
            function,
            started: function.context.ids.clock().monotonic(),
            before: Counted::of(&function.context.metrics),
        }
    }

    fn end(self, more: &[Metric]) {
        let context = &self.function.context;
        let elapsed = context.ids.clock().monotonic().saturating_sub(self.started);
        let mut metrics = vec![
            Metric::count("Requests", 1),
            Metric::milliseconds("Duration", elapsed),
            Metric::count("ColdStarts", u64::from(self.function.cold.take())),
        ];
        metrics.extend_from_slice(more);
        metrics.extend(Counted::of(&context.metrics).since(self.before));
        telemetry::emit(
            &self.function.environment,
            self.function.name,
            context.now_ms(),
            &metrics,
        );
    }
}

#[cfg(test)]
mod tests;
