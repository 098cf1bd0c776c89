//! QueryVectors: the nearest vectors, with filters and pages.

use std::sync::Arc;

use engine::{Cursor, Hit, SearchAnswer, Selection};
use model::{ApiError, Filter, Operation, Strictness, check_vector, limits};
use serde::{Deserialize, Serialize};
use wire::{Constraints, JsonWriter, Members, token};

use super::target::IndexMembers;
use crate::access::{self, Ask};
use crate::query::Snapshot;
use crate::query::answer::{Fields, Item, Writing};
use crate::query::execute::{Search, execute};
use crate::query::filter::read_filter;
use crate::query::hash::RequestHash;
use crate::query::live_recall::Sample;
use crate::query::work::{self, Fetched, Pause};
use crate::{Context, Input};

const TOKEN_KIND: &str = "query-vectors";
const QUERY_MODES: [&str; 2] = ["CLASSIC", "ENHANCED"];

/// Where the next page begins: after this distance and key.
#[derive(Debug, Serialize, Deserialize)]
struct QueryCursor {
    request: u64,
    index: String,
    distance_bits: u32,
    key: String,
    /// Answers on the pages so far.
    count: usize,
}

/// A request, constraints already judged.
#[derive(Debug, Clone)]
struct Query {
    top_k: usize,
    vector: Vec<f32>,
    filter: Option<String>,
    fields: Fields,
    token: Option<String>,
    classic: bool,
}

/// What a page is to search for.
struct Prepared {
    search: Search,
    /// The request's hash.
    request: u64,
    /// Answers on the pages before it.
    before: usize,
    /// Answers that the client may still get.
    left: usize,
}

/// A page that is being written.
#[derive(Debug)]
struct Page {
    /// The request's hash.
    request: u64,
    /// Answers on the pages before it.
    before: usize,
    /// There are no further answers than those found for it.
    exhausted: bool,
    writing: Writing,
    /// What live recall may measure.
    sample: Option<Sample>,
}

/// How far a query has come, when it pauses for rows.
#[derive(Debug, Default)]
struct Progress {
    selected: Option<Selection>,
    page: Option<Page>,
}

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    let scores = constraints.boolean(&members, "returnScores").unwrap_or(false);
    let query = Query::read(&members, &mut constraints, ctx.config.strictness);
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    check_supported(ctx, &members, scores)?;
    let ask = Ask::index(ctx, input, Operation::QueryVectors, &path).also_if(query.shows_vectors(), Operation::GetVectors);
    let read = || access::snapshot(ctx, &ask, &path, input.deadline_ms);
    let begin = || {
        let (ctx, query) = (Arc::clone(ctx), query.clone());
        let mut progress = Progress::default();
        move |snapshot: &Snapshot, fetched: &Fetched| query.answer(&ctx, snapshot, fetched, &mut progress)
    };
    let ((body, sample), snapshot) = work::run(ctx, input.deadline_ms, read, begin).await?;
    if let Some(sample) = sample {
        tokio::spawn(sample.measure(Arc::clone(ctx), snapshot));
    }
    Ok(body)
}

/// Never answers as if a part of the request had not been there.
fn check_supported(ctx: &Context, members: &Members<'_>, scores: bool) -> Result<(), ApiError> {
    if members.has("queryTexts") {
        return Err(ApiError::text_search_unsupported("queryTexts"));
    }
    if scores {
        return Err(ApiError::text_search_unsupported("returnScores"));
    }
    if ctx.config.strictness == Strictness::Strict && members.has("returnData") {
        return Err(ApiError::extension_refused("returnData"));
    }
    Ok(())
}

impl Query {
    /// Whether the answer tells more of vectors than their keys and distances (API.md section 12).
    fn shows_vectors(&self) -> bool {
        self.fields.data || self.fields.metadata || self.filter.is_some()
    }

    fn read(members: &Members<'_>, constraints: &mut Constraints, strictness: Strictness) -> Self {
        let top_k = constraints.integer(members, "topK", limits::TOP_K, true);
        // With queryTexts the request is refused by its name, not for the vector that it may lack.
        let vector = constraints.vector(members, "queryVector", !members.has("queryTexts"));
        let metadata = constraints.boolean(members, "returnMetadata").unwrap_or(false);
        let distance = constraints.boolean(members, "returnDistance").unwrap_or(false);
        let data = constraints.boolean(members, "returnData").unwrap_or(false);
        let token = constraints.string(members, "nextToken", limits::QUERY_TOKEN_LENGTH, false);
        let mode = match strictness {
            Strictness::Strict => constraints.enumeration(members, "queryMode", &QUERY_MODES, false),
            Strictness::Lenient => constraints.enumeration_any_case(members, "queryMode", &QUERY_MODES, false),
        };
        Self {
            top_k: top_k.and_then(|top_k| usize::try_from(top_k).ok()).unwrap_or_default(),
            vector: vector.unwrap_or_default(),
            filter: members.raw("filter").map(|filter| filter.get().to_owned()),
            fields: Fields {
                data,
                metadata,
                distance,
            },
            token,
            classic: mode.as_deref() == Some("CLASSIC"),
        }
    }

    /// Everything that decides which vectors the pages hold, and in which order. What is returned of each is not part
    /// of it, nor is the way in which the client writes the filter.
    fn hash(&self, filter: Option<&Filter>) -> u64 {
        let vector: Vec<u8> = self.vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        RequestHash::new(TOKEN_KIND)
            .number(self.top_k as u64)
            .bytes(&vector)
            .optional(filter.map(Filter::canonical).as_deref())
            .finish()
    }

    fn cursor(&self, snapshot: &Snapshot, request: u64) -> Result<Option<QueryCursor>, ApiError> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let cursor: QueryCursor = token::decode(TOKEN_KIND, token)?;
        if cursor.request != request || cursor.index != snapshot.uuid.to_string() || cursor.count >= self.top_k {
            return Err(ApiError::invalid_token());
        }
        Ok(Some(cursor))
    }

    /// The body, and what live recall may measure.
    fn answer(
        &self,
        ctx: &Context,
        snapshot: &Snapshot,
        fetched: &Fetched,
        progress: &mut Progress,
    ) -> Result<(Vec<u8>, Option<Sample>), Pause> {
        let page = match &mut progress.page {
            Some(page) => page,
            None => {
                let page = self.search(ctx, snapshot, fetched, &mut progress.selected)?;
                progress.page.insert(page)
            }
        };
        snapshot.write_items(&mut page.writing, fetched)?;
        let body = finish(snapshot, page)?;
        Ok((body, page.sample.take()))
    }

    /// What this page is to search for, if the index lets it.
    fn prepare(&self, ctx: &Context, snapshot: &Snapshot) -> Result<Prepared, ApiError> {
        let config = &snapshot.config;
        if self.classic {
            return Err(ApiError::query_mode_classic());
        }
        check_vector(&self.vector, config.dimension, config.metric).map_err(ApiError::invalid_query_vector)?;
        let filter = self.filter.as_deref();
        let filter = filter
            .map(|json| read_filter(json, config, ctx.config.strictness))
            .transpose()?;
        let request = self.hash(filter.as_ref());
        let cursor = self.cursor(snapshot, request)?;
        let before = cursor.as_ref().map_or(0, |cursor| cursor.count);
        let left = self.top_k.saturating_sub(before);
        let size = match ctx.config.strictness {
            Strictness::Strict => left.min(limits::STRICT_QUERY_PAGE),
            Strictness::Lenient => left,
        };
        let search = Search {
            vector: self.vector.clone(),
            k: size,
            after: cursor.map(|cursor| Cursor {
                distance_bits: cursor.distance_bits,
                key: cursor.key,
            }),
            filter,
            reach: self.top_k,
            tuning: ctx.config.search,
        };
        Ok(Prepared {
            search,
            request,
            before,
            left,
        })
    }

    /// The page's answers, none of them written yet.
    fn search(
        &self,
        ctx: &Context,
        snapshot: &Snapshot,
        fetched: &Fetched,
        selected: &mut Option<Selection>,
    ) -> Result<Page, Pause> {
        let Prepared {
            search,
            request,
            before,
            left,
        } = self.prepare(ctx, snapshot)?;
        let SearchAnswer {
            hits,
            scanned_rows,
            plan,
        } = execute(snapshot, &search, &ctx.pool, fetched, selected)?;
        ctx.metrics.scanned_rows.add(scanned_rows);
        ctx.metrics.plans.note(&plan);
        tracing::debug!(?plan, k = search.k, "searched");
        let sample = (plan.indexed_shards > 0)
            .then(|| Sample::take(ctx, &search, &hits))
            .flatten();
        // A page that is not full has found all there is.
        let exhausted = hits.len() < search.k || hits.len() == left;
        let item = |hit: Hit| Item {
            key: hit.key,
            place: hit.place,
            distance: hit.distance,
        };
        let items = hits.into_iter().map(item).collect();
        let mut out = JsonWriter::new();
        out.begin_object().name("vectors").begin_array();
        Ok(Page {
            request,
            before,
            exhausted,
            writing: Writing::new(out, items, self.fields, ctx.config.answer.bound(ctx.config.answer.query_bytes)),
            sample,
        })
    }
}

/// The body of a page whose items are written.
fn finish(snapshot: &Snapshot, page: &mut Page) -> Result<Vec<u8>, ApiError> {
    let writing = &mut page.writing;
    let mut out = std::mem::take(&mut writing.out);
    out.end_array()
        .string_member("distanceMetric", snapshot.config.metric.as_str());
    if let Some(last) = writing.last()
        && (writing.written < writing.items.len() || !page.exhausted)
    {
        let cursor = QueryCursor {
            request: page.request,
            index: snapshot.uuid.to_string(),
            distance_bits: last.distance.to_bits(),
            key: last.key.clone(),
            count: page.before + writing.written,
        };
        out.string_member("nextToken", &token::encode(TOKEN_KIND, &cursor)?);
    }
    out.end_object();
    Ok(out.finish())
}
