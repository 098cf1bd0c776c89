//! The sweep of a deployment whose indexer is woken by messages: whoever has work is rung for again, so that a message
//! that was lost, or that came before its work was due, costs a minute and nothing else.

use std::sync::Arc;

use futures::future::BoxFuture;
use storage::{Ring, Work};

use super::IndexingError;
use crate::Context;

/// Rings for every index with a dirty mark, unless its last fold failed not long ago; answers for how many.
///
/// # Errors
/// The indexes cannot be listed, or the last failure of ringing.
pub fn sweep_once<'a>(ctx: &'a Arc<Context>) -> BoxFuture<'a, Result<usize, IndexingError>> {
    Box::pin(async move {
        let now_ms = ctx.now_ms();
        let (mut rung, mut failed) = (0, None);
        for index in ctx.ports.catalog.list_dirty().await? {
            if index.retry_at_ms > now_ms {
                continue;
            }
            rung += 1;
            for kind in [Work::Fold, Work::Compact] {
                let ring = Ring {
                    path: index.path.clone(),
                    uuid: index.uuid,
                    kind,
                };
                if let Err(error) = ctx.ports.doorbell.ring(&ring).await {
                    tracing::warn!(%error, bucket = %ring.path.bucket, index = %ring.path.index, "the sweep cannot ring");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(rung), |error| Err(error.into()))
    })
}
