//! The functions behind the API: what rings wake (folds, compactions), and what a schedule does (the sweep, garbage
//! collection). What any of it means is in `service::indexing`; here is only how Lambda asks for it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`batch`] | a batch of a queue: which indexes, and which messages come back |
//! | [`function`] | the life of the four functions |

pub mod batch;
pub mod function;
