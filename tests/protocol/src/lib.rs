//! The commit protocol as small exhaustive models.
pub mod cas;
pub mod catalog;
pub mod collector;
pub mod commit;
pub mod compactor;
pub mod config;
pub mod deleter;
pub mod indexer;
pub mod invariants;
pub mod model;
pub mod reader;
pub mod record;
pub mod role;
pub mod setups;
pub mod state;
pub mod writer;
