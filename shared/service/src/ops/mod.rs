//! The operations: one file each, and the registry that names them all.

mod listing;
pub(crate) mod settings;
mod target;

use std::sync::Arc;

use model::{ApiError, Operation};

use crate::{Context, Input};

/// The body of an operation that has nothing to say.
pub(crate) const EMPTY: &[u8] = b"{}";

/// One operation as a type: whoever performs a single one links nothing of the others.
pub trait Perform: Send + Sync + 'static {
    /// Which one.
    const OPERATION: Operation;

    /// Answers one request with the JSON body of a success.
    ///
    /// # Errors
    /// The error that the client sees.
    fn run(ctx: &Arc<Context>, input: &Input) -> impl Future<Output = Result<Vec<u8>, ApiError>> + Send;
}

/// Every operation and the file that performs it.
macro_rules! registry {
    ($($operation:ident => $file:ident,)+) => {
        $(mod $file;)+

        $(
            #[doc = concat!("`", stringify!($operation), "`")]
            #[derive(Debug, Clone, Copy)]
            pub struct $operation;

            impl Perform for $operation {
                const OPERATION: Operation = Operation::$operation;

                fn run(ctx: &Arc<Context>, input: &Input) -> impl Future<Output = Result<Vec<u8>, ApiError>> + Send {
                    $file::run(ctx, input)
                }
            }
        )+

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
    CreateIndex => create_index,
    CreateVectorBucket => create_vector_bucket,
    DeleteIndex => delete_index,
    DeleteVectorBucket => delete_vector_bucket,
    DeleteVectorBucketPolicy => delete_vector_bucket_policy,
    DeleteVectors => delete_vectors,
    GetIndex => get_index,
    GetVectorBucket => get_vector_bucket,
    GetVectorBucketPolicy => get_vector_bucket_policy,
    GetVectors => get_vectors,
    ListIndexes => list_indexes,
    ListTagsForResource => list_tags_for_resource,
    ListVectorBuckets => list_vector_buckets,
    ListVectors => list_vectors,
    PutVectorBucketDefaultIndexMode => put_vector_bucket_default_index_mode,
    PutVectorBucketPolicy => put_vector_bucket_policy,
    PutVectors => put_vectors,
    QueryVectors => query_vectors,
    TagResource => tag_resource,
    UntagResource => untag_resource,
    UpdateIndexMode => update_index_mode,
    UpdateMetadataConfiguration => update_metadata_configuration,
}
