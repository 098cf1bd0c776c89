//! What all Lambda functions share: the environment becomes settings and a context, an event becomes a request, an
//! answer becomes a response, and what happened becomes log events and metrics.
//!
//! This room is wiring between the Lambda runtime and the service. It must not know what an operation does, and no
//! function decides anything for itself: each is a line that names its operation.
//!
//! | module | what it holds |
//! |---|---|
//! | [`settings`] | the environment, read once |
//! | [`open`] | the ports on AWS, and the context over them |
//! | [`performer`] | an operation as a value, with the ports that it calls |
//! | [`run`] | the life of a function: start, invocations, panics, time |
//! | [`event`] | the HTTP API's event (payload version 2.0), and the request as the client signed it |
//! | [`response`] | the answer that API Gateway takes, within what Lambda lets through |
//! | [`front`] | one request: who asks, the body, the operation, its answer |
//! | [`keys`] | the access keys, from the environment or from Secrets Manager |
//! | [`telemetry`] | JSON log events, metrics in the embedded metric format |

pub mod event;
pub mod front;
pub mod keys;
pub mod open;
pub mod performer;
pub mod response;
pub mod run;
pub mod settings;
pub mod telemetry;

pub use run::{ends_ms, serve, start};
pub use settings::Settings;

/// The most that Lambda takes or gives at once, in bytes: the whole event or answer as JSON.
pub const PAYLOAD_BYTES: usize = 6 * 1024 * 1024;
