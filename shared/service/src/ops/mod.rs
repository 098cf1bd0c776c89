//! The operations: one file each, and the registry that names them all.

mod listing;
pub(crate) mod settings;
mod target;
mod text_search;

use std::sync::Arc;

use model::{ApiError, Operation};

use crate::{Context, Input};

/// The body of an operation that has nothing to say.
pub(crate) const EMPTY: &[u8] = b"{}";

/// Which ports an operation calls: a process that performs a single one opens only these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// The catalog.
    Records,
    /// The catalog and the objects.
    Objects,
    /// All three: it writes, and rings.
    Doorbell,
}

impl Needs {
    /// Whether it calls the objects.
    pub const fn objects(self) -> bool {
        !matches!(self, Self::Records)
    }

    /// Whether it rings.
    pub const fn doorbell(self) -> bool {
        matches!(self, Self::Doorbell)
    }
}

/// One operation as a type: whoever performs a single one links nothing of the others.
pub trait Perform: Send + Sync + 'static {
    /// Which one.
    const OPERATION: Operation;

    /// The ports that it calls.
    const NEEDS: Needs;

    /// Answers one request with the JSON body of a success.
    ///
    /// # Errors
    /// The error that the client sees.
    fn run(ctx: &Arc<Context>, input: &Input) -> impl Future<Output = Result<Vec<u8>, ApiError>> + Send;
}

/// Every operation, the file that performs it, and the ports that it calls.
macro_rules! registry {
    ($($operation:ident => $file:ident, $needs:ident;)+) => {
        $(mod $file;)+

        $(
            #[doc = concat!("`", stringify!($operation), "`")]
            #[derive(Debug, Clone, Copy)]
            pub struct $operation;

            impl Perform for $operation {
                const OPERATION: Operation = Operation::$operation;
                const NEEDS: Needs = Needs::$needs;

                fn run(ctx: &Arc<Context>, input: &Input) -> impl Future<Output = Result<Vec<u8>, ApiError>> + Send {
                    $file::run(ctx, input)
                }
            }
        )+

        const NEEDS_BY_OPERATION: &[(Operation, Needs)] = &[$((Operation::$operation, Needs::$needs),)+];

        /// Performs whichever operation is asked for.
        pub(crate) async fn dispatch(
            ctx: &Arc<Context>,
            operation: Operation,
            input: &Input,
        ) -> Result<Vec<u8>, ApiError> {
            match operation {
                $(Operation::$operation => $file::run(ctx, input).await,)+
            }
        }
    };
}

registry! {
    CreateIndex => create_index, Records;
    CreateVectorBucket => create_vector_bucket, Records;
    DeleteIndex => delete_index, Records;
    DeleteVectorBucket => delete_vector_bucket, Records;
    DeleteVectorBucketPolicy => delete_vector_bucket_policy, Records;
    DeleteVectors => delete_vectors, Doorbell;
    GetIndex => get_index, Objects;
    GetVectorBucket => get_vector_bucket, Records;
    GetVectorBucketPolicy => get_vector_bucket_policy, Records;
    GetVectors => get_vectors, Objects;
    ListIndexes => list_indexes, Records;
    ListTagsForResource => list_tags_for_resource, Records;
    ListVectorBuckets => list_vector_buckets, Records;
    ListVectors => list_vectors, Objects;
    PutVectorBucketDefaultIndexMode => put_vector_bucket_default_index_mode, Records;
    PutVectorBucketPolicy => put_vector_bucket_policy, Records;
    PutVectors => put_vectors, Doorbell;
    QueryVectors => query_vectors, Objects;
    TagResource => tag_resource, Records;
    UntagResource => untag_resource, Records;
    UpdateIndexMode => update_index_mode, Records;
    UpdateMetadataConfiguration => update_metadata_configuration, Records;
}

/// What an operation needs, by name.
pub fn needs(operation: Operation) -> Needs {
    NEEDS_BY_OPERATION
        .iter()
        .find(|(known, _)| *known == operation)
        .map_or(Needs::Doorbell, |(_, needs)| *needs)
}
