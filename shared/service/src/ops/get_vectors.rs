//! GetVectors: vectors by key, in the order asked, each once; keys that do not exist are left out.

use std::collections::HashSet;
use std::sync::Arc;

use model::{ApiError, Operation, limits};
use wire::{Constraints, JsonWriter, Members};

use super::target::IndexMembers;
use crate::access::{self, Ask};
use crate::query::answer::{Fields, Item};
use crate::query::Snapshot;
use crate::config::Bound;
use crate::{Context, Input, errors};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    let keys = constraints.keys(&members, "keys", limits::KEYS_PER_GET, true);
    let data = constraints.boolean(&members, "returnData").unwrap_or(false);
    let metadata = constraints.boolean(&members, "returnMetadata").unwrap_or(false);
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    let keys = keys.unwrap_or_default();
    let ask = Ask::index(ctx, input, Operation::GetVectors, &path);
    let snapshot = access::snapshot(ctx, &ask, &path, input.deadline_ms).await?;
    check_key_bytes(&keys)?;
    let fields = Fields {
        data,
        metadata,
        distance: false,
    };
    let bound = ctx.config.answer.bound(ctx.config.answer.get_bytes);
    let answer = ctx.pool.run(move || answer(&snapshot, keys, fields, bound)).await;
    answer.map_err(|error| errors::pool(&error))?
}

/// Keys may have 1,024 characters, but not more than 1,024 bytes.
pub(super) fn check_key_bytes(keys: &[String]) -> Result<(), ApiError> {
    match keys.iter().position(|key| key.len() > limits::KEY_MAX_BYTES) {
        Some(at) => Err(ApiError::key_too_long(format!("keys[{at}]"))),
        None => Ok(()),
    }
}

fn answer(snapshot: &Snapshot, keys: Vec<String>, fields: Fields, bound: Bound) -> Result<Vec<u8>, ApiError> {
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(keys.len());
    for key in keys {
        if !seen.insert(key.clone()) {
            continue;
        }
        if let Some(place) = snapshot.find(&key) {
            items.push(Item {
                key,
                place,
                distance: 0.0,
            });
        }
    }
    let mut out = JsonWriter::new();
    out.begin_object().name("vectors").begin_array();
    let written = snapshot
        .write_items(&mut out, &items, fields, bound)
        .map_err(|error| errors::engine(&error))?;
    if written < items.len() {
        return Err(too_large(written, items.len(), bound.bytes));
    }
    out.end_array().end_object();
    Ok(out.finish())
}

/// GetVectors has no pages, so it says how much fits instead.
fn too_large(fit: usize, found: usize, bytes: usize) -> ApiError {
    ApiError::validation_at(
        "keys",
        format!(
            "The answer would exceed {bytes} bytes: of the {found} vectors found, the first {fit} fit; \
             ask for at most {fit} keys at a time"
        ),
    )
}
