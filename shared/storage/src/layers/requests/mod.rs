//! A log of the requests that calls of the ports are on AWS, one line each and with its time: what an operation costs,
//! and which of its requests wait for which.
//!
//! Objects: a call is a request, as long as the object is no longer than one part. The catalog: what the DynamoDB adapter
//! sends, for any catalog below (tests against the real adapter hold it to that). The doorbell: a ring is a message.
//!
//! | module | what it holds |
//! |---|---|
//! | `log` | the log |
//! | `objects`, `catalog`, `doorbell` | the ports, logged |

mod catalog;
mod doorbell;
mod log;
mod objects;

pub use catalog::LoggedCatalog;
pub use doorbell::LoggedDoorbell;
pub use log::{Request, RequestKind, RequestLog};
pub use objects::LoggedStore;
