//! GetVectors: vectors by key, in the order asked, each once; keys that do not exist are left out.

use std::collections::HashSet;
use std::sync::Arc;

use model::{ApiError, Operation, limits};
use wire::{Constraints, JsonWriter, Members};

use super::target::IndexMembers;
use crate::access::{self, Ask};
use crate::config::Bound;
use crate::query::Snapshot;
use crate::query::answer::{Fields, Item, Writing};
use crate::query::work::{self, Fetched, Pause};
use crate::{Context, Input};

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
    let fields = Fields {
        data,
        metadata,
        distance: false,
    };
    let bound = ctx.config.answer.bound(ctx.config.answer.get_bytes);
    let ask = Ask::index(ctx, input, Operation::GetVectors, &path);
    let read = || access::snapshot(ctx, &ask, &path, input.deadline_ms);
    let begin = || {
        let keys = keys.clone();
        let mut writing = None;
        move |snapshot: &Snapshot, fetched: &Fetched| answer(snapshot, &keys, fields, bound, fetched, &mut writing)
    };
    let (body, _) = work::run(ctx, input.deadline_ms, read, begin).await?;
    Ok(body)
}

/// Keys may have 1,024 characters, but not more than 1,024 bytes.
pub(super) fn check_key_bytes(keys: &[String]) -> Result<(), ApiError> {
    match keys.iter().position(|key| key.len() > limits::KEY_MAX_BYTES) {
        Some(at) => Err(ApiError::key_too_long(format!("keys[{at}]"))),
        None => Ok(()),
    }
}

fn answer(
    snapshot: &Snapshot,
    keys: &[String],
    fields: Fields,
    bound: Bound,
    fetched: &Fetched,
    writing: &mut Option<Writing>,
) -> Result<Vec<u8>, Pause> {
    let writing = match writing {
        Some(writing) => writing,
        None => {
            // An index that does not exist is reported before a key that cannot.
            check_key_bytes(keys)?;
            let mut out = JsonWriter::new();
            out.begin_object().name("vectors").begin_array();
            writing.insert(Writing::new(out, found(snapshot, keys), fields, bound))
        }
    };
    snapshot.write_items(writing, fetched)?;
    if writing.written < writing.items.len() {
        return Err(too_large(writing.written, writing.items.len(), bound.bytes).into());
    }
    let mut out = std::mem::take(&mut writing.out);
    out.end_array().end_object();
    Ok(out.finish())
}

fn found(snapshot: &Snapshot, keys: &[String]) -> Vec<Item> {
    let mut seen = HashSet::new();
    let distinct = keys.iter().filter(|key| seen.insert(key.as_str()));
    let item = |key: &String| {
        Some(Item {
            key: key.clone(),
            place: snapshot.find(key)?,
            distance: 0.0,
        })
    };
    distinct.filter_map(item).collect()
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
