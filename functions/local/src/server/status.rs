//! `/health`, `/metrics`, `/stats`: beside the API, never behind a signature.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use model::ApiError;
use serde_json::{Value, json};
use service::metrics::ServiceMetrics;
use service::status::{self, IndexStatus};
use wire::Route;

use super::exposition::Exposition;
use super::http::{Server, json_response};
use super::{cache, guard, process};

/// Answers a status route; an unknown path is an unknown operation.
pub(crate) async fn answer(
    server: &Server,
    route: &Route,
    headers: &HeaderMap,
    path: &str,
) -> Result<Response<Full<Bytes>>, ApiError> {
    if matches!(route, Route::Health) {
        return Ok(json_response(StatusCode::OK, br#"{"status":"ok"}"#.to_vec()));
    }
    let shown = server.status_endpoints && matches!(route, Route::Metrics | Route::Stats);
    if !shown {
        return Err(ApiError::UnknownOperation {
            message: format!("There is no operation at {path}"),
        });
    }
    if server.keys.is_none() {
        guard::check(headers, server.loopback)?;
    }
    let indexes = status::indexes(server.service.context()).await?;
    if matches!(route, Route::Metrics) {
        let openmetrics = server
            .metrics
            .openmetrics(&server.service, &server.budget, server.disk_cache.as_ref(), &indexes)
            .map_err(|_| service::errors::internal())?;
        let exposition = Exposition::asked(headers);
        let mut response = Response::new(Full::new(Bytes::from(exposition.of(openmetrics))));
        let kind = HeaderValue::from_static(exposition.content_type());
        response.headers_mut().insert(CONTENT_TYPE, kind);
        return Ok(response);
    }
    Ok(json_response(
        StatusCode::OK,
        stats(server, &indexes).to_string().into_bytes(),
    ))
}

fn stats(server: &Server, indexes: &[IndexStatus]) -> Value {
    let context = server.service.context();
    let metrics = &context.metrics;
    let indexes: Vec<Value> = indexes.iter().map(index_stats).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "indexes": indexes,
        "writes": {
            "commits": metrics.commits.get(),
            "requests": metrics.committed_requests.get(),
            "rows": metrics.committed_rows.get(),
            "retries": metrics.commit_retries.get(),
        },
        "indexer": {
            "folds": metrics.folds.get(),
            "foldedRows": metrics.folded_rows.get(),
            "foldFailures": metrics.fold_failures.get(),
            "compactions": metrics.compactions.get(),
            "compactedRows": metrics.compacted_rows.get(),
            "compactionFailures": metrics.compaction_failures.get(),
            "trainings": metrics.trainings.get(),
            "collectedObjects": metrics.collected_objects.get(),
        },
        "queries": {
            "exact": metrics.plans.exact.get(),
            "indexed": metrics.plans.indexed.get(),
            "filtered": metrics.plans.filtered.get(),
            "lists": metrics.plans.lists.get(),
            "candidates": metrics.plans.candidates.get(),
            "fallbacks": metrics.plans.fallbacks.get(),
            "scannedRows": metrics.scanned_rows.get(),
            "liveRecall": live_recall(metrics),
        },
        "caches": {
            "hits": metrics.cache_hits.get(),
            "misses": metrics.cache_misses.get(),
            "bytes": BTreeMap::from(service::query::cache_bytes(context)),
        },
        "diskCache": cache::stats(server.disk_cache.as_ref()),
        "process": {
            "residentBytes": process::resident_bytes(),
            "cpuSeconds": process::cpu_seconds(),
            "requestMemoryKiB": server.budget.used_kib(),
            "threads": context.pool.threads(),
        },
    })
}

/// Measured on a sample of queries; null before the first one.
fn live_recall(metrics: &ServiceMetrics) -> Value {
    let wanted = metrics.recall.wanted.get();
    let recall = (wanted > 0).then(|| metrics.recall.found.get() as f64 / wanted as f64);
    json!({"samples": metrics.recall.samples.get(), "recall": recall})
}

fn index_stats(status: &IndexStatus) -> Value {
    json!({
        "vectorBucketName": status.path.bucket.as_str(),
        "indexName": status.path.index.as_str(),
        "liveVectors": status.vectors,
        "bytes": status.bytes,
        "shards": status.shards,
        "indexedVectors": status.indexed,
        "measuredRecall": status.recall.map(|[ten, hundred]| json!({"at10": ten, "at100": hundred})),
        "tailEntries": status.tail_entries,
        "tailRows": status.unindexed,
        "tailAgeMs": status.tail_age_ms,
    })
}
