//! Search over shards: which stored vectors are nearest to a query, exactly and with the same answer on every machine.
//!
//! This room is for everything that is CPU work on vectors: distances, top-k, the flat scan, opening a shard, building
//! one and merging several, and the policy that says when to merge. It knows storage only as "these bytes": no object
//! names, no network, no clock, no manifest protocol, no requests. It never looks at who asks or why.
//!
//! | module | what it does |
//! |---|---|
//! | [`distance`] | the one distance kernel (portable, AVX2, AVX-512: the same bits) |
//! | [`topk`] | the k nearest by (distance, key), and the cursor that continues after them |
//! | [`mod@search`] | the search over shards and tail rows, in parallel |
//! | [`shard`] | an opened, verified shard |
//! | [`build`] | rows to shard; several shards to one, with the map from old rows to new ones |
//! | [`ivf`] | shards with an index: parameters, training, codes, measured recall |
//! | `ivfpq` | FAISS, and nothing else (feature `ivfpq`: without it every shard is scanned) |
//! | [`compaction_policy`] | which shards to merge, and when (pure functions) |
//! | [`pool`] | the bounded CPU pool that all of this runs on |

pub mod build;
pub mod compaction_policy;
pub mod distance;
pub mod error;
pub mod ivf;
#[cfg(feature = "ivfpq")]
pub mod ivfpq;
pub mod pool;
pub mod search;
pub mod shard;
pub mod topk;

#[cfg(feature = "ivfpq")]
pub use build::{IvfBuild, merge_ivf};
pub use build::{MergeSource, Merged, RowMap, ShardBuilder, merge};
pub use compaction_policy::{Compaction, PolicyConfig, ShardStat};
pub use distance::PreparedQuery;
pub use error::EngineError;
pub use ivf::{IvfConfig, SearchTuning};
pub use pool::{Pool, PoolError};
pub use search::{
    Missing, PickedVectors, PlanSummary, SearchAnswer, SearchRequest, Selection, ShardView, TailRows, compare, search,
    select,
};
pub use shard::{Shard, ShardBytes};
pub use topk::{Cursor, Hit, Place, TopK};
