//! One machine: objects in a directory, a doorbell inside the process.

pub mod directory;
pub mod doorbell;

pub use directory::{Directory, OpenError};
pub use doorbell::{InProcessDoorbell, RingReceiver};
