//! Wrappers around the ports: they add a behaviour and leave the meaning alone.

pub mod faults;
pub mod metering;
