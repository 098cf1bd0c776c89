//! IVF-PQ shards: choosing their parameters, training a generation, ordering and encoding rows, measuring recall.
//!
//! FAISS itself is behind the `ivfpq` room; this module decides what it is asked. Everything stored in a shard of its
//! kind is decided by its input and its seed, so that the same input gives the same bytes.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | what may be tuned, and the numbers that follow from rows and dimension |
//! | [`space`] | vectors as FAISS sees them: normalised or scaled, padded |
//! | [`operating_point`] | measured curves to lists and depth for a target recall |
//! | [`train`] | rows of several shards to a generation (coarse quantizer and codebooks) |
//! | [`assemble`] | rows and a generation to the order of the rows, their codes, and `index.faiss` |
//! | [`recall`] | how well an index finds what the exact scan finds |
//! | [`truth`] | what the exact scan finds, for many queries at once |

#[cfg(feature = "ivfpq")]
pub mod assemble;
pub mod config;
pub mod operating_point;
#[cfg(feature = "ivfpq")]
mod recall;
#[cfg(feature = "ivfpq")]
pub mod sample;
pub mod space;
#[cfg(feature = "ivfpq")]
pub mod train;
#[cfg(feature = "ivfpq")]
mod truth;

pub use self::config::{IvfConfig, SearchTuning};
pub use self::operating_point::OperatingPoint;
pub use self::space::Space;
#[cfg(feature = "ivfpq")]
pub use self::train::TrainedGeneration;
