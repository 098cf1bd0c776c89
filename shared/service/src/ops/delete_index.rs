//! DeleteIndex: gone at once for every reader; its objects are purged by the indexer, for the tombstone this writes (I7).

use std::sync::Arc;

use model::{ApiError, Operation};
use storage::DeleteIndex;
use wire::{Constraints, Members};

use super::target::IndexMembers;
use super::EMPTY;
use crate::access::{self, Ask};
use crate::{Context, Input, errors};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    let ask = Ask::index(ctx, input, Operation::DeleteIndex, &path);
    let record = access::index(ctx, &ask, &path).await?;
    let deleted = ctx
        .ports
        .catalog
        .delete_index(&path, record.uuid, ctx.now_ms())
        .await
        .map_err(|error| errors::store(&error))?;
    match deleted {
        DeleteIndex::Deleted => {
            ctx.reads.forget(record.uuid);
            ctx.deleted.add(record.uuid);
            Ok(EMPTY.to_vec())
        }
        DeleteIndex::Missing => Err(ApiError::not_found_index()),
    }
}
