//! UpdateIndexMode: every index of ours is ENHANCED; CLASSIC is refused as AWS refuses it in new buckets.

use std::sync::Arc;

use model::{ApiError, Operation};
use wire::{Constraints, Members};

use super::target::IndexMembers;
use super::EMPTY;
use crate::access::{self, Ask};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    let mode = constraints.enumeration(&members, "indexMode", &["CLASSIC", "ENHANCED"], true);
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    let ask = Ask::index(ctx, input, Operation::UpdateIndexMode, &path);
    access::index(ctx, &ask, &path).await?;
    if mode.as_deref() == Some("CLASSIC") {
        return Err(ApiError::index_mode_classic());
    }
    Ok(EMPTY.to_vec())
}
