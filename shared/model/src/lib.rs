//! The domain words of genai-vectors: what a name, a vector, a metadata object, a filter, a limit and an error *are*.
//!
//! This room is for rules that hold wherever a request comes from and wherever its data ends up. It does no I/O and
//! knows neither HTTP, nor the shapes of requests and answers, nor how anything is stored.
//!
//! | module | what it defines |
//! |---|---|
//! | [`ids`], [`clock`] | ULIDs, uuids, randomness and time: the only sources of either in the whole workspace |
//! | [`names`], [`arn`] | bucket names, index names, vector keys, resource ARNs |
//! | [`vector`] | dimension, distance metric, what a legal vector is |
//! | [`metadata`] | metadata objects: JSON text in, JSON text out, size accounting |
//! | [`filter`] | the filter language: tree, parser, evaluator, canonical text |
//! | [`index_config`], [`encryption`], [`mode`] | what never changes about an index |
//! | [`tags`] | rules for resource tags |
//! | [`policy`] | access policies: text in, verdict on a request out |
//! | [`limits`] | every number of the API, with its source |
//! | [`operation`] | the 22 operations |
//! | [`error`] | what a client can be told, and every sentence it can be told in |

pub mod arn;
pub mod clock;
pub mod encryption;
pub mod error;
pub mod filter;
pub mod ids;
pub mod index_config;
mod json;
pub mod limits;
pub mod metadata;
pub mod mode;
pub mod names;
pub mod operation;
pub mod policy;
pub mod tags;
pub mod vector;

pub use arn::{ArnError, Region, ResourceArn};
pub use clock::{Clock, ManualClock, SystemClock};
pub use encryption::Encryption;
pub use error::{ApiError, FieldFault};
pub use filter::{Condition, Filter, FilterFault, MISSING_KEY_MATCHES_NEGATION, Scalar, Strictness};
pub use ids::{
    BucketUuid, CollectionId, DeadId, Ids, IndexUuid, ManifestId, ManifestVersion, OsRandom, OwnerUuid, Randomness,
    RowId, SeededRandom, ShardId, TrainId, Ulid, WalId,
};
pub use index_config::IndexConfig;
pub use limits::MetadataLimits;
pub use metadata::{Metadata, MetadataFault, MetadataValue, Number};
pub use mode::IndexMode;
pub use names::{BucketName, IndexName, NameError, VectorKey};
pub use operation::Operation;
pub use policy::{Effect, Policy};
pub use vector::{Dimension, DistanceMetric, VectorFault, check_vector};
