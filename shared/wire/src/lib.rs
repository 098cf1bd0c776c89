//! The HTTP contract of S3 Vectors without a web framework: routes, request bodies, signatures, answers.
//!
//! What this room is for: turning the bytes a client sent into checked values and values into the bytes a client
//! reads, so that the Lambda functions and the local server behave the same.
//! What it must not know: storage, search, what an operation does, which web framework or runtime carries the bytes.
//! It knows `model` only, reads no clock (the caller gives the time) and never panics, whatever the bytes.
//!
//! Map:
//! * [`mod@route`]: method + raw path + raw query -> operation
//! * [`sigv4`], [`canonical`], [`keys`]: who signed the request (AWS Signature Version 4, header form)
//! * [`guard`]: what is refused where nobody has to sign
//! * [`body`]: gzip request bodies, bounded
//! * [`members`], [`constraints`]: request members and the "N validation errors detected" message
//! * [`put_body`], [`numbers`]: the one big body, `PutVectors`, at the speed of the wire
//! * `scan`: the strict JSON scanner under all of them
//! * [`json`], [`error_body`], [`token`]: answers, errors, page tokens

pub mod body;
pub mod canonical;
pub mod constraints;
pub mod error_body;
pub mod guard;
pub mod json;
pub mod keys;
pub mod members;
pub mod numbers;
pub mod put_body;
pub mod route;
mod scan;
pub mod sigv4;
pub mod token;

pub use constraints::Constraints;
pub use error_body::{ErrorAnswer, error_answer};
pub use json::JsonWriter;
pub use keys::{AccessKey, KeyRing, KeyRingError, Secret};
pub use members::{Kind, Members, RawJson};
pub use put_body::{PutBody, PutRecord, RecordFault, parse_put_vectors};
pub use route::{Route, route};
pub use sigv4::{Caller, SignedRequest, is_secure_transport, verify};
