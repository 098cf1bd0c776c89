//! What the status endpoints show of every index: from records and manifests alone, no shard is opened.

use futures::future::BoxFuture;
use model::ApiError;
use storage::IndexPath;

use crate::{Context, errors, query};

/// One index at a glance.
#[derive(Debug, Clone)]
pub struct IndexStatus {
    /// Its bucket and name.
    pub path: IndexPath,
    /// Live rows of its shards.
    pub vectors: u64,
    /// Rows of the tail's entries.
    pub unindexed: u64,
    /// Bytes of its shards.
    pub bytes: u64,
    /// Shards of its manifest.
    pub shards: u64,
    /// Rows of its shards with an index.
    pub indexed: u64,
    /// Recall@10 and recall@100 that were measured when these were built.
    pub recall: Option<[f64; 2]>,
    /// Entries of its tail.
    pub tail_entries: u64,
    /// Milliseconds since the oldest entry of the tail was made; 0 without a tail.
    pub tail_age_ms: u64,
}

/// Every index of every bucket. An index deleted meanwhile is left out, and so is one whose manifest cannot be read; the
/// log names it.
///
/// # Errors
/// The error that the client sees when the catalog cannot be read.
pub fn indexes<'a>(ctx: &'a Context) -> BoxFuture<'a, Result<Vec<IndexStatus>, ApiError>> {
    Box::pin(async move {
        let all = ctx
            .ports
            .catalog
            .list_all_indexes()
            .await
            .map_err(|error| errors::store(&error))?;
        let mut statuses = Vec::with_capacity(all.len());
        for (path, _) in all {
            match query::index_size(ctx, &path).await {
                Ok((record, size)) => {
                    let oldest_ms = record.wal.first().map(|entry| entry.id.0.timestamp_ms());
                    statuses.push(IndexStatus {
                        path,
                        vectors: size.vectors,
                        unindexed: size.unindexed,
                        bytes: size.bytes,
                        shards: size.shards,
                        indexed: size.indexed,
                        recall: size.recall,
                        tail_entries: record.wal.len() as u64,
                        tail_age_ms: oldest_ms.map_or(0, |ms| ctx.now_ms().saturating_sub(ms)),
                    });
                }
                Err(ApiError::NotFound { .. }) => {}
                // One damaged index must not hide all the others.
                Err(error) => {
                    tracing::error!(%error, bucket = %path.bucket, index = %path.index, "an index has no status");
                }
            }
        }
        Ok(statuses)
    })
}
