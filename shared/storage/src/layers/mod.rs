//! Wrappers around the ports: they add a behaviour and leave the meaning alone.

pub mod delay;
pub mod disk_cache;
pub mod faults;
pub mod metering;
pub mod requests;
