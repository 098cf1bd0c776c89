//! Faults on demand: fail the n-th storage call before or after its effect, die there, lose an answer and let the
//! request arrive once more later, fill the disk, take time.
//!
//! A [`FaultPlan`] is shared by any number of wrappers ([`FaultStore`], [`FaultCatalog`]): all their calls are counted
//! together, from 1. Crash-point enumeration runs a scenario once to count the calls, then again for each of them.
//! A [`FaultQueue`] loses, doubles, delays and reorders the doorbell's messages.

mod catalog;
mod plan;
mod queue;
mod store;

pub use catalog::FaultCatalog;
pub use plan::{Call, Fault, FaultPlan, When};
pub use queue::{FaultQueue, Message, QueueCounts, QueueFaults};
pub use store::FaultStore;

#[cfg(test)]
mod tests;
