//! ListVectors: every vector, in key order, page by page; in up to 16 disjoint segments.

use std::sync::Arc;

use model::{ApiError, Filter, Operation, Strictness, limits};
use serde::{Deserialize, Serialize};
use wire::{Constraints, JsonWriter, Members, token};

use super::target::IndexMembers;
use crate::access::{self, Ask};
use crate::query::Snapshot;
use crate::query::answer::{Fields, Item, Writing};
use crate::query::filter::read_filter;
use crate::query::hash::RequestHash;
use crate::query::scan::{ScanRequest, scan};
use crate::query::work::{self, Fetched, Pause};
use crate::{Config, Context, Input, errors};

const TOKEN_KIND: &str = "list-vectors";

/// Where the next page begins: after the last key looked at.
#[derive(Debug, Serialize, Deserialize)]
struct ListCursor {
    request: u64,
    index: String,
    after: String,
}

/// A page that is being written.
#[derive(Debug)]
struct Page {
    /// The request's hash.
    request: u64,
    writing: Writing,
    /// The last key looked at, when more may follow it.
    resume_after: Option<String>,
}

/// A request, constraints already judged.
#[derive(Debug, Clone)]
struct ListRequest {
    limit: usize,
    segment: Option<(u32, u32)>,
    fields: Fields,
    filter: Option<String>,
    prefix: Option<String>,
    token: Option<String>,
}

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    let (request, segment) = ListRequest::read(&members, &mut constraints);
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    let request = ListRequest {
        segment: check_segment(segment)?,
        ..request
    };
    request.check_extensions(ctx.config.strictness)?;
    let ask = Ask::index(ctx, input, Operation::ListVectors, &path).also_if(request.shows_vectors(), Operation::GetVectors);
    let read = || access::snapshot(ctx, &ask, &path, input.deadline_ms);
    let begin = || {
        let (ctx, request) = (Arc::clone(ctx), request.clone());
        let mut page = None;
        move |snapshot: &Snapshot, fetched: &Fetched| request.answer(snapshot, &ctx.config, fetched, &mut page)
    };
    let (body, _) = work::run(ctx, input.deadline_ms, read, begin).await?;
    Ok(body)
}

/// `segmentCount` and `segmentIndex` come together, or not at all.
fn check_segment(segment: (Option<i64>, Option<i64>)) -> Result<Option<(u32, u32)>, ApiError> {
    let (count, index) = match segment {
        (None, None) => return Ok(None),
        (Some(count), Some(index)) => (count, index),
        _ => {
            return Err(ApiError::validation(
                "segmentCount and segmentIndex must be specified together",
            ));
        }
    };
    if index >= count {
        return Err(ApiError::validation_at(
            "segmentIndex",
            "segmentIndex must be less than segmentCount",
        ));
    }
    let small = |number: i64| u32::try_from(number).map_err(|_| errors::internal());
    Ok(Some((small(index)?, small(count)?)))
}

impl ListRequest {
    /// Whether the answer tells more of vectors than their keys (API.md section 12).
    fn shows_vectors(&self) -> bool {
        self.fields.data || self.fields.metadata || self.filter.is_some()
    }

    fn read(members: &Members<'_>, constraints: &mut Constraints) -> (Self, (Option<i64>, Option<i64>)) {
        let limit = constraints.integer(members, "maxResults", limits::LIST_VECTORS_RESULTS, false);
        let token = constraints.string(members, "nextToken", limits::LIST_VECTORS_TOKEN_LENGTH, false);
        let count = constraints.integer(members, "segmentCount", limits::SEGMENT_COUNT, false);
        let index = constraints.integer(members, "segmentIndex", limits::SEGMENT_INDEX, false);
        let data = constraints.boolean(members, "returnData").unwrap_or(false);
        let metadata = constraints.boolean(members, "returnMetadata").unwrap_or(false);
        let prefix = constraints.string(members, "keyPrefix", limits::KEY_LENGTH, false);
        let request = Self {
            limit: limit
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(limits::LIST_VECTORS_DEFAULT),
            segment: None,
            fields: Fields {
                data,
                metadata,
                distance: false,
            },
            filter: members.raw("filter").map(|filter| filter.get().to_owned()),
            prefix,
            token,
        };
        (request, (count, index))
    }

    fn check_extensions(&self, strictness: Strictness) -> Result<(), ApiError> {
        match (strictness, &self.filter, &self.prefix) {
            (Strictness::Strict, Some(_), _) => Err(ApiError::extension_refused("filter")),
            (Strictness::Strict, None, Some(_)) => Err(ApiError::extension_refused("keyPrefix")),
            _ => Ok(()),
        }
    }

    /// Everything that decides which vectors the pages hold. `maxResults` does not, nor does what is returned of each
    /// or the way in which the client writes the filter.
    fn hash(&self, filter: Option<&Filter>) -> u64 {
        let (index, count) = self.segment.unwrap_or((0, 1));
        RequestHash::new(TOKEN_KIND)
            .number(u64::from(index))
            .number(u64::from(count))
            .optional(filter.map(Filter::canonical).as_deref())
            .optional(self.prefix.as_deref())
            .finish()
    }

    /// The key that the page before ended with.
    fn after(&self, snapshot: &Snapshot, request: u64) -> Result<Option<String>, ApiError> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let cursor: ListCursor = token::decode(TOKEN_KIND, token)?;
        if cursor.request != request || cursor.index != snapshot.uuid.to_string() {
            return Err(ApiError::invalid_token());
        }
        Ok(Some(cursor.after))
    }

    fn answer(
        &self,
        snapshot: &Snapshot,
        config: &Config,
        fetched: &Fetched,
        page: &mut Option<Page>,
    ) -> Result<Vec<u8>, Pause> {
        let page = match page {
            Some(page) => page,
            None => page.insert(self.page(snapshot, config)?),
        };
        snapshot.write_items(&mut page.writing, fetched)?;
        let after = if page.writing.written < page.writing.items.len() {
            page.writing.last().map(|item| item.key.clone())
        } else {
            page.resume_after.clone()
        };
        let mut out = std::mem::take(&mut page.writing.out);
        out.end_array();
        if let Some(after) = after {
            let cursor = ListCursor {
                request: page.request,
                index: snapshot.uuid.to_string(),
                after,
            };
            out.string_member("nextToken", &token::encode(TOKEN_KIND, &cursor)?);
        }
        out.end_object();
        Ok(out.finish())
    }

    /// The page's keys, none of them written yet.
    fn page(&self, snapshot: &Snapshot, config: &Config) -> Result<Page, ApiError> {
        let filter = self.filter.as_deref();
        let filter = filter
            .map(|json| read_filter(json, &snapshot.config, config.strictness))
            .transpose()?;
        let request = self.hash(filter.as_ref());
        let wanted = ScanRequest {
            after: self.after(snapshot, request)?,
            prefix: self.prefix.clone().unwrap_or_default(),
            filter,
            segment: self.segment,
            limit: self.limit,
        };
        let page = scan(snapshot, &wanted).map_err(|error| errors::engine(&error))?;
        let item = |(key, place)| Item {
            key,
            place,
            distance: 0.0,
        };
        let items = page.rows.into_iter().map(item).collect();
        let mut out = JsonWriter::new();
        out.begin_object().name("vectors").begin_array();
        Ok(Page {
            request,
            writing: Writing::new(out, items, self.fields, config.answer.bound(config.answer.list_bytes)),
            resume_after: page.resume_after,
        })
    }
}
