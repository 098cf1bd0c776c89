//! The life of a function: start, invocations, panics, time.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lambda_runtime::{LambdaEvent, service_fn};
use service::ops::Perform;
use storage::aws::Aws;

use crate::event::HttpEvent;
use crate::front::{Door, Front};
use crate::keys::KeySource;
use crate::open;
use crate::performer::Performer;
use crate::response::HttpResponse;
use crate::settings::{AuthMode, Settings};
use crate::telemetry::{self, Counted, Metric};

/// Why a function does not start.
type StartError = Box<dyn std::error::Error + Send + Sync>;

/// The main function of a binary that performs one operation.
pub fn serve<O: Perform>() -> ExitCode {
    serve_with(Performer::of::<O>())
}

fn serve_with(performer: Performer) -> ExitCode {
    start(async move |settings| {
        let function = Arc::new(Function::open(settings, performer).await?);
        let handler = service_fn(move |event: LambdaEvent<HttpEvent>| {
            let function = Arc::clone(&function);
            async move { Ok::<_, StartError>(function.invoke(event).await) }
        });
        lambda_runtime::run(handler).await
    })
}

/// Runs `function` over the settings on an async runtime, and says why it has ended.
pub fn start(function: impl AsyncFnOnce(Settings) -> Result<(), StartError>) -> ExitCode {
    telemetry::init_logging();
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(error) => return failed(&error),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(function(settings)),
        Err(error) => return failed(&error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn Display) -> ExitCode {
    tracing::error!(%error, "the function does not start");
    ExitCode::FAILURE
}

/// The longest invocation that Lambda knows, and some difference between its clock and ours.
const LONGEST_MS: u64 = 16 * 60_000;

/// When Lambda ends the invocation. What is no time of ours is how long it may take: that is what `cargo lambda watch`
/// says.
pub fn ends_ms(deadline: u64, now_ms: u64) -> u64 {
    if deadline.abs_diff(now_ms) <= LONGEST_MS {
        return deadline;
    }
    now_ms.saturating_add(deadline.min(LONGEST_MS))
}

/// Whether this is the first invocation of this process.
#[derive(Debug)]
pub struct Cold(AtomicBool);

impl Default for Cold {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Cold {
    /// Once.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

struct Function {
    performer: Performer,
    front: Front,
    environment: String,
    cold: Cold,
}

impl Function {
    async fn open(settings: Settings, performer: Performer) -> Result<Self, StartError> {
        let aws = open::aws(&settings, open::request_timeouts());
        let objects = (performer.open_objects)(&settings, &aws).await?;
        let doorbell = (performer.open_doorbell)(&settings, &aws)?;
        let context = open::context(&settings, &aws, objects, doorbell, settings.config.clone())?;
        let front = Front {
            context: Arc::new(context),
            door: door(&settings, &aws)?,
            public_base_path: settings.public_base_path,
        };
        if let Door::Keys(keys) = &front.door {
            // While the function starts, not with its first request; if it fails, that one tries again.
            let _ = keys.ring(front.context.ids.clock().as_ref()).await;
        }
        Ok(Self {
            performer,
            front,
            environment: settings.environment,
            cold: Cold::default(),
        })
    }

    async fn invoke(&self, event: LambdaEvent<HttpEvent>) -> HttpResponse {
        let LambdaEvent { payload, context } = event;
        let service = &self.front.context;
        let clock = service.ids.clock();
        let (started, before) = (clock.monotonic(), Counted::of(&service.metrics));
        let ends_ms = ends_ms(context.deadline, service.now_ms());
        let answered = self
            .front
            .answer(&self.performer, payload, &context.request_id, ends_ms)
            .await;
        let elapsed = clock.monotonic().saturating_sub(started);
        let operation = self.performer.operation.name();
        let code = answered.response.status_code;
        let is_cold = self.cold.take();
        tracing::info!(
            operation,
            status = code,
            error = answered.error,
            duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            bytes_in = answered.received,
            bytes_out = answered.response.bytes(),
            request_id = context.request_id,
            trace_id = context.xray_trace_id.as_deref().unwrap_or_default(),
            cold = is_cold,
            "S3 Vectors API request"
        );
        let mut metrics = vec![
            Metric::count("Requests", 1),
            Metric::milliseconds("Duration", elapsed),
            Metric::count("ColdStarts", u64::from(is_cold)),
            Metric::count("Faults", u64::from(code >= 500)),
            Metric::count("Refusals", u64::from((400..500).contains(&code))),
            Metric::count("Throttles", u64::from(code == 429)),
        ];
        metrics.extend(Counted::of(&service.metrics).since(before));
        telemetry::emit(&self.environment, operation, service.now_ms(), &metrics);
        answered.response
    }
}

fn door(settings: &Settings, aws: &Aws) -> Result<Door, StartError> {
    Ok(match settings.auth {
        AuthMode::Keys => Door::Keys(KeySource::new(settings, aws)?),
        AuthMode::Iam => Door::Iam,
        AuthMode::None => Door::Open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_invocation() {
        let now_ms = 1_795_342_500_000;
        assert_eq!(ends_ms(now_ms + 30_000, now_ms), now_ms + 30_000, "Lambda");
        assert_eq!(ends_ms(now_ms - 20, now_ms), now_ms - 20, "it has just ended");
        assert_eq!(ends_ms(600_000, now_ms), now_ms + 600_000, "cargo lambda watch");
        assert_eq!(ends_ms(u64::MAX, now_ms), now_ms + LONGEST_MS);
    }
}
