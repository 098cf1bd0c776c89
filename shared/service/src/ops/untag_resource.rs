//! UntagResource: removes tags; absent keys are fine.

use std::sync::Arc;

use model::{ApiError, Operation};
use model::tags::{Tags, check_tag_keys};
use wire::Constraints;

use super::{EMPTY, settings, tag_resource};
use crate::access::Ask;
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    if input.tag_keys.is_empty() {
        let mut constraints = Constraints::new();
        constraints.missing("/tagKeys");
        constraints.finish()?;
    }
    check_tag_keys(&input.tag_keys)?;
    let wish = |ask: Ask| ask.with_tag_keys(&input.tag_keys);
    let owner = tag_resource::owner(ctx, input, Operation::UntagResource, wish).await?;
    settings::change_tags(ctx, owner, &Tags::new(), &input.tag_keys).await?;
    Ok(EMPTY.to_vec())
}
