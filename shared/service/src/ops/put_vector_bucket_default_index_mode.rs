//! PutVectorBucketDefaultIndexMode: every index of ours filters before it searches, so ENHANCED is what a bucket
//! has already, and CLASSIC is refused as AWS refuses it on new buckets.

use std::sync::Arc;

use model::{ApiError, Operation};
use wire::{Constraints, Members};

use super::target::BucketMembers;
use super::EMPTY;
use crate::access::{self, Ask};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    let mode = constraints.enumeration(&members, "defaultIndexMode", &["CLASSIC", "ENHANCED"], true);
    constraints.finish()?;
    let name = target.resolve(ctx)?;
    let ask = Ask::bucket(ctx, input, Operation::PutVectorBucketDefaultIndexMode, &name);
    access::bucket(ctx, &ask, &name).await?;
    if mode.as_deref() == Some("CLASSIC") {
        return Err(ApiError::default_index_mode_classic());
    }
    Ok(EMPTY.to_vec())
}
