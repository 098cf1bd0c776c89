//! ListTagsForResource: `{}` as the tags of a resource that has none.

use std::sync::Arc;

use model::{ApiError, Operation};
use serde_json::json;

use super::{settings, tag_resource};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let owner = tag_resource::owner(ctx, input, Operation::ListTagsForResource, |ask| ask).await?;
    let (tags, _) = settings::read_tags(ctx, owner).await?;
    Ok(json!({"tags": tags}).to_string().into_bytes())
}
