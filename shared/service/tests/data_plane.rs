//! The five operations on vectors, through the service: shapes, messages, limits, pages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use genai_vectors_service::Config;
use model::{ApiError, Operation, Operation::*};
use rstest::rstest;
use serde_json::{Value, json};
use support::{World, call, path, with_index};

/// A world with index `idx` of dimension 2.
async fn world(metric: &str) -> World {
    let world = World::new(Config::default()).await;
    world.create_index("idx", 2, metric, &["text"]).await;
    world
}

fn put(key: &str, vector: &[f32]) -> Value {
    json!({"vectors": [{"key": key, "data": {"float32": vector}}]})
}

fn put_all(rows: impl IntoIterator<Item = (String, [f32; 2])>) -> Value {
    let rows = rows
        .into_iter()
        .map(|(key, vector)| json!({"key": key, "data": {"float32": vector}}));
    json!({"vectors": rows.collect::<Vec<_>>()})
}

fn keys(answer: &Value) -> Vec<&str> {
    answer["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect()
}

async fn refusal(world: &World, operation: Operation, body: Value) -> (String, Vec<String>) {
    match world.on("idx", operation, body).await {
        Err(ApiError::Validation { message, fields }) => {
            (message, fields.into_iter().map(|field| field.path).collect())
        }
        other => panic!("not a ValidationException: {other:?}"),
    }
}

#[tokio::test]
async fn put_get_overwrite_delete() {
    let world = world("euclidean").await;
    let metadata = json!({"title": "Moby", "year": 1851, "tags": ["a", "b"], "text": "Call me"});
    let body = json!({"vectors": [
        {"key": "a", "data": {"float32": [1.0, 2.5]}, "metadata": metadata},
        {"key": "b", "data": {"float32": [0.1, 3e38]}, "metadata": null},
    ]});
    assert_eq!(world.on("idx", PutVectors, body).await, Ok(json!({})));
    let ask = json!({"keys": ["b", "none", "a", "b"], "returnData": true, "returnMetadata": true});
    let answer = world.on("idx", GetVectors, ask.clone()).await.unwrap();
    // Request order, duplicates once, missing keys left out, no metadata = {}.
    assert_eq!(answer["vectors"][0]["key"], "b");
    assert_eq!(answer["vectors"][0]["metadata"], json!({}));
    assert_eq!(answer["vectors"][0]["data"]["float32"][0], json!(0.1));
    assert_eq!(
        answer["vectors"][1],
        json!({"key": "a", "data": {"float32": [1.0, 2.5]}, "metadata": metadata})
    );
    assert_eq!(answer["vectors"].as_array().unwrap().len(), 2);
    // A put replaces data and metadata wholly.
    world.on("idx", PutVectors, put("a", &[7.0, 8.0])).await.unwrap();
    let answer = world.on("idx", GetVectors, ask.clone()).await.unwrap();
    assert_eq!(
        answer["vectors"][1],
        json!({"key": "a", "data": {"float32": [7.0, 8.0]}, "metadata": {}})
    );
    assert_eq!(
        world.on("idx", DeleteVectors, json!({"keys": ["a", "nobody"]})).await,
        Ok(json!({}))
    );
    assert_eq!(keys(&world.on("idx", GetVectors, ask).await.unwrap()), ["b"]);
    let bare = world.on("idx", GetVectors, json!({"keys": ["b"]})).await.unwrap();
    assert_eq!(bare, json!({"vectors": [{"key": "b"}]}));
}

#[rstest]
#[case::length(json!([{"key": "a", "data": {"float32": [1, 2]}}, {"key": "K", "data": {"float32": [1]}}]),
    "Invalid record for key 'K': vector must have length 2, but has length 1", "vectors[1]")]
#[case::zero(json!([{"key": "K", "data": {"float32": [0, 0]}}]),
    "Invalid record for key 'K': cosine distance does not support vectors with zero norm", "vectors[0]")]
#[case::not_finite(json!([{"key": "K", "data": {"float32": ["NaN", 0]}}]),
    "Invalid record for key 'K': vector contains NaNs or Infs", "vectors[0]")]
#[case::overflow(json!([{"key": "K", "data": {"float32": [1e39, 0]}}]),
    "Invalid record for key 'K': vector contains NaNs or Infs", "vectors[0]")]
#[case::null(json!([{"key": "K", "data": {"float32": [1, 2]}, "metadata": {"a": null}}]),
    "Invalid record for key 'K': Metadata values must be strings, numbers, booleans, or arrays", "vectors[0].metadata")]
#[case::filterable(json!([{"key": "K", "data": {"float32": [1, 2]}, "metadata": {"a": "x".repeat(2048)}}]),
    "Invalid record for key 'K': Filterable metadata must have at most 2048 bytes", "vectors[0].metadata")]
#[case::total(json!([{"key": "K", "data": {"float32": [1, 2]}, "metadata": {"text": "x".repeat(40_960)}}]),
    "Invalid record for key 'K': Metadata object must have at most 40960 bytes", "vectors[0].metadata")]
#[case::key_bytes(json!([{"key": "\u{20ac}".repeat(400), "data": {"float32": [1, 2]}}]),
    "Record key length exceeds the maximum allowed", "vectors[0].key")]
#[case::first_bad_one(json!([{"key": "A", "data": {"float32": [1]}}, {"key": "B", "data": {"float32": [1]}}]),
    "Invalid record for key 'A': vector must have length 2, but has length 1", "vectors[0]")]
#[tokio::test]
async fn bad_records_are_named_and_nothing_is_stored(
    #[case] vectors: Value,
    #[case] message: &str,
    #[case] field: &str,
) {
    let world = world("cosine").await;
    let (found, fields) = refusal(&world, PutVectors, json!({"vectors": vectors})).await;
    assert_eq!((found.as_str(), fields), (message, vec![field.to_owned()]));
    assert_eq!(
        world.on("idx", ListVectors, json!({})).await,
        Ok(json!({"vectors": []}))
    );
}

#[rstest]
#[case::none(PutVectors, json!({"vectors": []}), "/vectors")]
#[case::too_many(PutVectors, put_all((0..501).map(|n| (n.to_string(), [1.0, 1.0]))), "/vectors")]
#[case::empty_key(PutVectors, put("", &[1.0, 1.0]), "/vectors/0/key")]
#[case::long_key(PutVectors, put(&"k".repeat(1025), &[1.0, 1.0]), "/vectors/0/key")]
#[case::no_keys(GetVectors, json!({"keys": []}), "/keys")]
#[case::many_keys(GetVectors, json!({"keys": vec!["k"; 101]}), "/keys")]
#[case::many_deletes(DeleteVectors, json!({"keys": vec!["k"; 501]}), "/keys")]
#[case::no_deletes(DeleteVectors, json!({}), "/keys")]
#[case::long_get_key(GetVectors, json!({"keys": ["k".repeat(1025)]}), "/keys/0")]
#[case::page_0(ListVectors, json!({"maxResults": 0}), "/maxResults")]
#[case::page_1001(ListVectors, json!({"maxResults": 1001}), "/maxResults")]
#[case::segments(ListVectors, json!({"segmentCount": 17, "segmentIndex": 0}), "/segmentCount")]
#[case::top_0(QueryVectors, json!({"topK": 0, "queryVector": {"float32": [1, 1]}}), "/topK")]
#[case::top_10001(QueryVectors, json!({"topK": 10_001, "queryVector": {"float32": [1, 1]}}), "/topK")]
#[case::no_top(QueryVectors, json!({"queryVector": {"float32": [1, 1]}}), "/topK")]
#[case::no_vector(QueryVectors, json!({"topK": 1}), "/queryVector")]
#[case::mode(QueryVectors, json!({"topK": 1, "queryVector": {"float32": [1, 1]}, "queryMode": "FAST"}), "/queryMode")]
#[tokio::test]
async fn constraints_name_the_member(#[case] operation: Operation, #[case] body: Value, #[case] field: &str) {
    let world = world("euclidean").await;
    let (message, fields) = refusal(&world, operation, body).await;
    assert!(message.starts_with("1 validation error detected. Value "), "{message}");
    assert_eq!(fields, [field]);
}

#[rstest]
#[case(json!({"queryVector": {"float32": [1]}}),
    "Query vector contains invalid values or is invalid for this index", "vector")]
#[case(json!({"queryVector": {"float32": [0, 0]}}),
    "Query vector contains invalid values or is invalid for this index", "vector")]
#[case(json!({"queryMode": "CLASSIC"}), "queryMode cannot be CLASSIC when indexMode is ENHANCED", "queryMode")]
#[case(json!({"queryTexts": [{"text": "x", "metadataKey": "text"}]}),
    "queryTexts cannot be used: full-text search is not supported yet", "queryTexts")]
#[case(json!({"returnScores": true}), "returnScores cannot be used: full-text search is not supported yet", "returnScores")]
#[case(json!({"filter": {"text": "x"}}), "Invalid use of non-filterable metadata in filter", "filter")]
#[case(json!({"filter": {}}), "Invalid filter", "filter")]
#[case(json!({"nextToken": "garbage"}), "Invalid nextToken", "nextToken")]
#[tokio::test]
async fn what_a_query_may_not_ask(#[case] extra: Value, #[case] message: &str, #[case] field: &str) {
    let world = world("cosine").await;
    let mut body = json!({"topK": 1, "queryVector": {"float32": [1, 1]}});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let (found, fields) = refusal(&world, QueryVectors, body).await;
    assert!(found.starts_with(message), "{found}");
    assert_eq!(fields, [field]);
}

#[tokio::test]
async fn a_query_orders_filters_and_always_names_the_metric() {
    let world = world("cosine").await;
    let ask = |extra: Value| {
        let mut body = json!({"topK": 10, "queryVector": {"float32": [1, 0]}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let empty = world.on("idx", QueryVectors, ask(json!({}))).await;
    assert_eq!(empty, Ok(json!({"vectors": [], "distanceMetric": "cosine"})));
    let rows = [
        ("same", [2.0, 0.0], 1),
        ("turned", [0.0, 3.0], 2),
        ("away", [-1.0, 0.0], 3),
    ];
    let vectors: Vec<Value> = rows
        .iter()
        .map(|(key, vector, n)| json!({"key": key, "data": {"float32": vector}, "metadata": {"n": n}}))
        .collect();
    world.on("idx", PutVectors, json!({"vectors": vectors})).await.unwrap();
    let answer = world
        .on("idx", QueryVectors, ask(json!({"returnDistance": true})))
        .await
        .unwrap();
    assert_eq!(keys(&answer), ["same", "turned", "away"]);
    let distances = [0.0, 1.0, 2.0];
    for (item, wanted) in answer["vectors"].as_array().unwrap().iter().zip(distances) {
        assert!((item["distance"].as_f64().unwrap() - wanted).abs() < 1e-6);
        assert!(item.get("metadata").is_none());
    }
    let filtered = ask(json!({"filter": {"n": {"$gte": 2}}, "returnMetadata": true, "returnData": true}));
    let answer = world.on("idx", QueryVectors, filtered).await.unwrap();
    assert_eq!(
        answer["vectors"][0],
        json!({"key": "turned", "data": {"float32": [0.0, 3.0]}, "metadata": {"n": 2}})
    );
    // A newest version that fails the filter still hides the older one that passed.
    let hidden = json!({"vectors": [{"key": "turned", "data": {"float32": [0, 3]}, "metadata": {"n": 0}}]});
    world.on("idx", PutVectors, hidden).await.unwrap();
    let answer = world
        .on("idx", QueryVectors, ask(json!({"filter": {"n": {"$gte": 2}}})))
        .await
        .unwrap();
    assert_eq!(keys(&answer), ["away"]);
}

#[tokio::test]
async fn query_pages_concatenate_and_tokens_belong_to_their_request() {
    let world = World::strict().await;
    world.create_index("idx", 2, "euclidean", &[]).await;
    // Ties in plenty: three keys per distance.
    let rows = (0..250_u16).map(|n| (format!("k{n:03}"), [f32::from(n / 3), 0.0]));
    world.on("idx", PutVectors, put_all(rows)).await.unwrap();
    let mut body = json!({"topK": 230, "queryVector": {"float32": [0, 0]}});
    let mut found: Vec<String> = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let answer = world.on("idx", QueryVectors, body.clone()).await.unwrap();
        sizes.push(keys(&answer).len());
        found.extend(keys(&answer).into_iter().map(str::to_owned));
        let Some(token) = answer.get("nextToken") else { break };
        assert_ne!(body.get("nextToken"), Some(token));
        let mut other = body.clone();
        other["nextToken"] = token.clone();
        other["topK"] = json!(229);
        assert_eq!(refusal(&world, QueryVectors, other).await.0, "Invalid nextToken");
        body["nextToken"] = token.clone();
    }
    assert_eq!(sizes, [100, 100, 30]);
    let wanted: Vec<String> = (0..230).map(|n| format!("k{n:03}")).collect();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn a_lenient_page_holds_all_that_fits() {
    let mut config = Config::default();
    config.answer.query_bytes = 2_000;
    let world = World::new(config).await;
    world.create_index("idx", 2, "euclidean", &[]).await;
    let rows = (0..300_u16).map(|n| (format!("k{n:03}"), [f32::from(n), 0.0]));
    world.on("idx", PutVectors, put_all(rows)).await.unwrap();
    let mut body = json!({"topK": 300, "queryVector": {"float32": [0, 0]}});
    let (mut found, mut pages) = (0, 0);
    loop {
        let answer = world.on("idx", QueryVectors, body.clone()).await.unwrap();
        assert!(answer.to_string().len() < 2_300);
        found += keys(&answer).len();
        pages += 1;
        let Some(token) = answer.get("nextToken") else { break };
        body["nextToken"] = token.clone();
    }
    assert_eq!(found, 300);
    assert!(pages > 2);
}

#[tokio::test]
async fn lists_by_prefix_filter_and_bytes() {
    let mut config = Config::default();
    config.answer.list_bytes = 2_000;
    let world = World::new(config).await;
    world.create_index("idx", 2, "euclidean", &["text"]).await;
    let rows = ["b/2", "a/1", "b/1", "b/3", "c", "\u{e9}"].map(|key| (key.to_owned(), [1.0, 1.0]));
    world.on("idx", PutVectors, put_all(rows)).await.unwrap();
    let all = world.on("idx", ListVectors, json!({})).await.unwrap();
    assert_eq!(keys(&all), ["a/1", "b/1", "b/2", "b/3", "c", "\u{e9}"]);
    let page = world
        .on("idx", ListVectors, json!({"keyPrefix": "b/", "maxResults": 2}))
        .await
        .unwrap();
    assert_eq!(keys(&page), ["b/1", "b/2"]);
    // The token survives another page size, but not another prefix.
    let token = page["nextToken"].clone();
    let next = json!({"keyPrefix": "b/", "maxResults": 9, "nextToken": token});
    assert_eq!(
        world.on("idx", ListVectors, next).await.unwrap(),
        json!({"vectors": [{"key": "b/3"}]})
    );
    let other = json!({"keyPrefix": "a/", "nextToken": token});
    assert_eq!(refusal(&world, ListVectors, other).await.0, "Invalid nextToken");
    let alone = refusal(&world, ListVectors, json!({"segmentIndex": 0})).await.0;
    assert_eq!(alone, "segmentCount and segmentIndex must be specified together");
    let large = (0..10).map(|n| {
        let text = json!({"text": "x".repeat(600), "n": n});
        json!({"key": format!("large-{n}"), "data": {"float32": [1, 1]}, "metadata": text})
    });
    world
        .on("idx", PutVectors, json!({"vectors": large.collect::<Vec<_>>()}))
        .await
        .unwrap();
    let page = json!({"keyPrefix": "large", "returnMetadata": true, "filter": {"n": {"$gt": 1}}});
    let page = world.on("idx", ListVectors, page).await.unwrap();
    assert_eq!(keys(&page), ["large-2", "large-3"], "2,000 bytes hold two of them");
    assert!(page["nextToken"].is_string());
}

#[tokio::test]
async fn delete_by_filter_counts_and_deletes() {
    let world = world("euclidean").await;
    let rows = (0..20).map(|n| json!({"key": format!("k{n}"), "data": {"float32": [1, n]}, "metadata": {"n": n}}));
    world
        .on("idx", PutVectors, json!({"vectors": rows.collect::<Vec<_>>()}))
        .await
        .unwrap();
    let some = json!({"filter": {"n": {"$lt": 15}}, "dryRun": true});
    assert_eq!(
        world.on("idx", DeleteVectors, some).await,
        Ok(json!({"deletedCount": 15}))
    );
    let some = json!({"filter": {"n": {"$lt": 15}}});
    assert_eq!(
        world.on("idx", DeleteVectors, some.clone()).await,
        Ok(json!({"deletedCount": 15}))
    );
    assert_eq!(
        world.on("idx", DeleteVectors, some).await,
        Ok(json!({"deletedCount": 0}))
    );
    assert_eq!(keys(&world.on("idx", ListVectors, json!({})).await.unwrap()).len(), 5);
    let both = refusal(&world, DeleteVectors, json!({"keys": ["a"], "filter": {"n": 1}}))
        .await
        .0;
    assert_eq!(both, "Must specify either keys or filter but not both");
    refusal(&world, DeleteVectors, json!({"keys": ["a"], "dryRun": true})).await;
    let kept_out = refusal(&world, DeleteVectors, json!({"filter": {"text": "x"}})).await.0;
    assert_eq!(kept_out, "Invalid use of non-filterable metadata in filter");
}

#[rstest]
#[case(PutVectors, json!({"vectors": [{"key": "a", "data": {"float32": [1, 1]}}, {"key": "a", "data": {"float32": [2, 2]}}]}),
    "Request must not contain duplicate keys")]
#[case(ListVectors, json!({"keyPrefix": "a"}), "keyPrefix is an extension")]
#[case(ListVectors, json!({"filter": {"a": 1}}), "filter is an extension")]
#[case(DeleteVectors, json!({"filter": {"a": 1}}), "filter is an extension")]
#[case(QueryVectors, json!({"topK": 1, "queryVector": {"float32": [1, 1]}, "returnData": true}), "returnData is an extension")]
#[tokio::test]
async fn strict_mode_refuses_extensions(#[case] operation: Operation, #[case] body: Value, #[case] message: &str) {
    let world = World::strict().await;
    world.create_index("idx", 2, "euclidean", &[]).await;
    let (found, _) = refusal(&world, operation, body.clone()).await;
    assert!(found.starts_with(message), "{found}");
}

#[tokio::test]
async fn the_last_of_duplicate_keys_wins_in_lenient_mode() {
    let world = world("euclidean").await;
    let rows = [("a", 1.0), ("b", 2.0), ("a", 3.0)].map(|(key, x)| (key.to_owned(), [x, x]));
    world.on("idx", PutVectors, put_all(rows)).await.unwrap();
    let answer = world.on("idx", ListVectors, json!({"returnData": true})).await.unwrap();
    assert_eq!(
        answer["vectors"][0],
        json!({"key": "a", "data": {"float32": [3.0, 3.0]}})
    );
    let record = world
        .ctx()
        .ports
        .catalog
        .read_record(&path("idx"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.wal[0].rows, 2);
}

#[tokio::test]
async fn get_says_how_many_keys_fit() {
    let mut config = Config::default();
    config.answer.get_bytes = 1_000;
    let world = World::new(config).await;
    world.create_index("idx", 2, "euclidean", &["text"]).await;
    let rows = (0..5)
        .map(|n| json!({"key": format!("k{n}"), "data": {"float32": [1, 1]}, "metadata": {"text": "x".repeat(300)}}));
    world
        .on("idx", PutVectors, json!({"vectors": rows.collect::<Vec<_>>()}))
        .await
        .unwrap();
    let ask = |count: usize| json!({"keys": (&["k0", "k1", "k2", "k3", "k4"][..count]), "returnMetadata": true});
    let (message, _) = refusal(&world, GetVectors, ask(5)).await;
    assert!(message.contains("the first 2 fit"), "{message}");
    assert_eq!(keys(&world.on("idx", GetVectors, ask(2)).await.unwrap()).len(), 2);
}

#[rstest]
#[case(PutVectors, put("a", &[1.0, 1.0]))]
#[case(GetVectors, json!({"keys": ["a"]}))]
#[case(ListVectors, json!({}))]
#[case(DeleteVectors, json!({"keys": ["a"]}))]
#[case(QueryVectors, json!({"topK": 1, "queryVector": {"float32": [1, 1]}}))]
#[tokio::test]
async fn an_index_that_does_not_exist(#[case] operation: Operation, #[case] body: Value) {
    let world = world("euclidean").await;
    let missing = world.on("nowhere", operation, body.clone()).await;
    assert_eq!(missing, Err(ApiError::not_found_index()));
    // Also when it existed a moment ago, and this process knew it.
    world.on("idx", operation, body.clone()).await.unwrap();
    world.on("idx", DeleteIndex, json!({})).await.unwrap();
    assert_eq!(world.on("idx", operation, body).await, Err(ApiError::not_found_index()));
}

#[tokio::test]
async fn another_process_replaces_the_index_unseen() {
    // I7: delete and create of a name by another process; what this process remembers must not matter.
    let world = world("euclidean").await;
    world.on("idx", PutVectors, put("old", &[1.0, 1.0])).await.unwrap();
    let other = world.second().await;
    call(&other, DeleteIndex, &with_index("idx", json!({}))).await.unwrap();
    let again = json!({"dataType": "float32", "dimension": 3, "distanceMetric": "cosine"});
    call(&other, CreateIndex, &with_index("idx", again)).await.unwrap();
    // Legal only for the old index, then only for the new one.
    let (message, _) = refusal(&world, PutVectors, put("x", &[1.0, 1.0])).await;
    assert_eq!(
        message,
        "Invalid record for key 'x': vector must have length 3, but has length 2"
    );
    assert_eq!(
        world.on("idx", PutVectors, put("new", &[1.0, 1.0, 1.0])).await,
        Ok(json!({}))
    );
    assert_eq!(keys(&world.on("idx", ListVectors, json!({})).await.unwrap()), ["new"]);
}

#[tokio::test]
async fn a_full_tail_is_429_and_a_full_disk_503() {
    let world = world("euclidean").await;
    world.plan.set_disk_full(true);
    let full = world.on("idx", PutVectors, put("a", &[1.0, 1.0])).await;
    assert!(matches!(full, Err(ApiError::ServiceUnavailable { .. })), "{full:?}");
    assert_eq!(
        world.on("idx", ListVectors, json!({})).await,
        Ok(json!({"vectors": []})),
        "reads go on"
    );
    world.plan.set_disk_full(false);
    for n in 0..512_u16 {
        world
            .on("idx", PutVectors, put(&format!("k{n}"), &[f32::from(n), 0.0]))
            .await
            .unwrap();
    }
    let full = world.on("idx", PutVectors, put("one more", &[1.0, 1.0])).await;
    assert!(matches!(full, Err(ApiError::TooManyRequests { .. })), "{full:?}");
    genai_vectors_service::indexing::fold::fold_once(world.ctx(), &path("idx"), 256)
        .await
        .unwrap();
    assert_eq!(
        world.on("idx", PutVectors, put("one more", &[1.0, 1.0])).await,
        Ok(json!({}))
    );
}

#[tokio::test]
async fn an_unreadable_wal_object_is_said_so_and_nothing_more() {
    let mut world = world("euclidean").await;
    world.on("idx", PutVectors, put("a", &[1.0, 1.0])).await.unwrap();
    let wal = world
        .store
        .names()
        .into_iter()
        .find(|name| name.as_str().contains("/wal/"))
        .unwrap();
    assert!(world.store.flip_bit(&wal, 4_000));
    world.restart().await;
    let error = world.on("idx", ListVectors, json!({})).await.unwrap_err();
    assert_eq!(error.status(), 500);
    assert!(error.message().contains("quarantine"), "{error}");
    assert!(!error.message().contains("v1/"), "object names stay in the log");
}
