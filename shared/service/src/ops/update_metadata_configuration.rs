//! UpdateMetadataConfiguration: it only ever changes text search configurations, which are not supported yet, so
//! a well-formed request on an existing index is refused and says so.

use std::sync::Arc;

use model::{ApiError, Operation};
use wire::{Constraints, Members};

use super::target::IndexMembers;
use super::text_search;
use crate::access::{self, Ask};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    let add = constraints.object(&members, "add", false);
    if let Some(add) = &add {
        text_search::configurations(add, &mut constraints);
    }
    let delete = constraints.object(&members, "delete", false);
    if let Some(delete) = &delete {
        text_search::removals(delete, &mut constraints);
    }
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    let change = match (add, delete) {
        (Some(_), None) => "add",
        (None, Some(_)) => "delete",
        _ => return Err(ApiError::metadata_configuration_change()),
    };
    let ask = Ask::index(ctx, input, Operation::UpdateMetadataConfiguration, &path);
    access::index(ctx, &ask, &path).await?;
    Err(ApiError::text_search_unsupported(change))
}
