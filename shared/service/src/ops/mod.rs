//! The operations: one file each, and the registry that names them all.

mod listing;
mod settings;
mod target;
mod text_search;

mod create_index;
mod create_vector_bucket;
mod delete_index;
mod delete_vector_bucket;
mod delete_vector_bucket_policy;
mod delete_vectors;
mod get_index;
mod get_vector_bucket;
mod get_vector_bucket_policy;
mod get_vectors;
mod list_indexes;
mod list_tags_for_resource;
mod list_vector_buckets;
mod list_vectors;
mod put_vector_bucket_default_index_mode;
mod put_vector_bucket_policy;
mod put_vectors;
mod query_vectors;
mod tag_resource;
mod untag_resource;
mod update_index_mode;
mod update_metadata_configuration;

use std::sync::Arc;

use model::{ApiError, Operation};

use crate::{Context, Input};

/// The body of an operation that has nothing to say.
pub(crate) const EMPTY: &[u8] = b"{}";

/// The registry: every operation and the file that performs it.
pub(crate) async fn dispatch(ctx: &Arc<Context>, operation: Operation, input: &Input) -> Result<Vec<u8>, ApiError> {
    match operation {
        Operation::CreateVectorBucket => create_vector_bucket::run(ctx, input).await,
        Operation::GetVectorBucket => get_vector_bucket::run(ctx, input).await,
        Operation::ListVectorBuckets => list_vector_buckets::run(ctx, input).await,
        Operation::DeleteVectorBucket => delete_vector_bucket::run(ctx, input).await,
        Operation::PutVectorBucketDefaultIndexMode => put_vector_bucket_default_index_mode::run(ctx, input).await,
        Operation::PutVectorBucketPolicy => put_vector_bucket_policy::run(ctx, input).await,
        Operation::GetVectorBucketPolicy => get_vector_bucket_policy::run(ctx, input).await,
        Operation::DeleteVectorBucketPolicy => delete_vector_bucket_policy::run(ctx, input).await,
        Operation::CreateIndex => create_index::run(ctx, input).await,
        Operation::GetIndex => get_index::run(ctx, input).await,
        Operation::ListIndexes => list_indexes::run(ctx, input).await,
        Operation::DeleteIndex => delete_index::run(ctx, input).await,
        Operation::UpdateIndexMode => update_index_mode::run(ctx, input).await,
        Operation::UpdateMetadataConfiguration => update_metadata_configuration::run(ctx, input).await,
        Operation::PutVectors => put_vectors::run(ctx, input).await,
        Operation::GetVectors => get_vectors::run(ctx, input).await,
        Operation::ListVectors => list_vectors::run(ctx, input).await,
        Operation::DeleteVectors => delete_vectors::run(ctx, input).await,
        Operation::QueryVectors => query_vectors::run(ctx, input).await,
        Operation::TagResource => tag_resource::run(ctx, input).await,
        Operation::UntagResource => untag_resource::run(ctx, input).await,
        Operation::ListTagsForResource => list_tags_for_resource::run(ctx, input).await,
    }
}
