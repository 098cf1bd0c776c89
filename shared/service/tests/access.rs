//! Who may do what: bucket policies and keys' own policies, behind every operation; and what judging costs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "access/desk.rs"]
mod desk;

use model::{ApiError, Operation};
use rstest::rstest;
use serde_json::{Value, json};
use wire::Caller;

use desk::{ARN, Desk, body_of, call, caller, guest, make, owner, remove, set_policy, statement};

fn is_denied<T: std::fmt::Debug>(outcome: &Result<T, ApiError>) -> bool {
    matches!(outcome, Err(ApiError::AccessDenied { .. }))
}

/// Operations on the account, about which no bucket's policy says anything.
const OF_THE_ACCOUNT: [Operation; 2] = [Operation::ListVectorBuckets, Operation::CreateVectorBucket];

#[tokio::test]
async fn each_operation_needs_its_own_permission() {
    for operation in Operation::ALL {
        let desk = Desk::new().await;
        let tried = desk.call(&guest(), operation, body_of(operation)).await;
        assert!(is_denied(&tried), "{operation} without any policy: {tried:?}");
        let others: Vec<String> = Operation::ALL
            .iter()
            .filter(|other| **other != operation)
            .map(|other| other.permission())
            .collect();
        desk.set_policy(statement("Allow", &json!(others))).await;
        let tried = desk.call(&guest(), operation, body_of(operation)).await;
        assert!(is_denied(&tried), "{operation} with every other permission: {tried:?}");
        desk.set_policy(statement("Allow", &json!(operation.permission())))
            .await;
        let tried = desk.call(&guest(), operation, body_of(operation)).await;
        let of_the_account = OF_THE_ACCOUNT.contains(&operation);
        assert_eq!(
            is_denied(&tried),
            of_the_account,
            "{operation} by the bucket's policy: {tried:?}"
        );
    }
}

#[tokio::test]
async fn each_operation_is_allowed_and_denied_by_a_keys_own_policy() {
    let desk = Desk::new().await;
    for operation in Operation::ALL {
        let own = json!([{"Effect": "Allow", "Action": operation.permission(), "Resource": "*"}]);
        let tried = desk
            .call(&caller("guest", false, Some(own)), operation, body_of(operation))
            .await;
        assert!(!is_denied(&tried), "{operation}: {tried:?}");
        let own = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": operation.permission(), "Resource": "*"}]);
        for is_owner in [false, true] {
            let tried = desk
                .call(
                    &caller("guest", is_owner, Some(own.clone())),
                    operation,
                    body_of(operation),
                )
                .await;
            assert!(is_denied(&tried), "{operation}, owner: {is_owner}: {tried:?}");
        }
        if operation == Operation::DeleteIndex {
            let index = json!({"dataType": "float32", "dimension": 2, "distanceMetric": "euclidean"});
            desk.call(&owner(), Operation::CreateIndex, index).await.unwrap();
        }
        if operation == Operation::DeleteVectorBucket {
            desk.call(&owner(), Operation::CreateVectorBucket, json!({})).await.ok();
        }
    }
}

#[tokio::test]
async fn an_owner_is_denied_by_a_bucket_but_never_locked_out() {
    let desk = Desk::new().await;
    desk.set_policy(json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}))
        .await;
    for operation in Operation::ALL
        .into_iter()
        .filter(|operation| !OF_THE_ACCOUNT.contains(operation))
    {
        if operation == Operation::DeleteVectorBucketPolicy {
            continue;
        }
        let tried = desk.call(&owner(), operation, body_of(operation)).await;
        let is_policy = operation.name().ends_with("VectorBucketPolicy");
        assert_eq!(is_denied(&tried), !is_policy, "{operation}: {tried:?}");
        if operation == Operation::PutVectorBucketPolicy {
            desk.set_policy(json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}))
                .await;
        }
    }
    desk.call(&owner(), Operation::DeleteVectorBucketPolicy, json!({}))
        .await
        .unwrap();
    desk.call(&owner(), Operation::GetIndex, json!({})).await.unwrap();
}

#[tokio::test]
async fn who_may_not_ask_does_not_learn_what_exists() {
    let desk = Desk::new().await;
    let reader = caller(
        "guest",
        false,
        Some(json!({"Effect": "Allow", "Action": "*", "Resource": "*"})),
    );
    for operation in Operation::ALL
        .into_iter()
        .filter(|operation| !OF_THE_ACCOUNT.contains(operation))
    {
        let mut absent = body_of(operation);
        absent["vectorBucketName"] = json!("absent");
        absent["arn"] = json!("arn:aws:s3vectors:us-east-1:123456789012:bucket/absent");
        let tried = desk.call(&guest(), operation, absent.clone()).await;
        assert!(is_denied(&tried), "{operation}: {tried:?}");
        let tried = desk.call(&reader, operation, absent).await;
        assert!(
            matches!(tried, Err(ApiError::NotFound { .. })),
            "{operation}: {tried:?}"
        );
    }
    // Nor does whoever may do something else learn whether an index is there.
    desk.set_policy(statement("Allow", &json!("s3vectors:GetIndex"))).await;
    for index in ["all", "absent"] {
        let tried = desk
            .call(
                &guest(),
                Operation::GetVectors,
                json!({"indexName": index, "keys": ["a"]}),
            )
            .await;
        assert!(is_denied(&tried), "{index}: {tried:?}");
    }
    let tried = desk
        .call(&guest(), Operation::GetIndex, json!({"indexName": "absent"}))
        .await;
    assert!(matches!(tried, Err(ApiError::NotFound { .. })), "{tried:?}");
    // The permission comes before the index's own rules.
    let bad = json!({"vectors": [{"key": "a", "data": {"float32": [1, 2, 3]}}]});
    assert!(is_denied(&desk.call(&guest(), Operation::PutVectors, bad).await));
}

#[rstest]
#[case::plain_query(Operation::QueryVectors, json!({"topK": 1, "queryVector": {"float32": [1, 2]}, "returnDistance": true}), false)]
#[case::query_filter(Operation::QueryVectors, json!({"topK": 1, "queryVector": {"float32": [1, 2]}, "filter": {"a": 1}}), true)]
#[case::query_metadata(Operation::QueryVectors, json!({"topK": 1, "queryVector": {"float32": [1, 2]}, "returnMetadata": true}), true)]
#[case::query_data(Operation::QueryVectors, json!({"topK": 1, "queryVector": {"float32": [1, 2]}, "returnData": true}), true)]
#[case::plain_list(Operation::ListVectors, json!({}), false)]
#[case::list_data(Operation::ListVectors, json!({"returnData": true}), true)]
#[case::list_metadata(Operation::ListVectors, json!({"returnMetadata": true}), true)]
#[case::list_filter(Operation::ListVectors, json!({"filter": {"a": 1}}), true)]
#[case::delete_keys(Operation::DeleteVectors, json!({"keys": ["a"]}), false)]
#[case::delete_filter(Operation::DeleteVectors, json!({"filter": {"a": 1}}), true)]
#[tokio::test]
async fn what_shows_vectors_needs_get_vectors(#[case] operation: Operation, #[case] body: Value, #[case] needs: bool) {
    let desk = Desk::new().await;
    desk.set_policy(statement("Allow", &json!(operation.permission())))
        .await;
    let tried = desk.call(&guest(), operation, body.clone()).await;
    assert_eq!(is_denied(&tried), needs, "{tried:?}");
    desk.set_policy(statement(
        "Allow",
        &json!([operation.permission(), "s3vectors:GetVectors"]),
    ))
    .await;
    desk.call(&guest(), operation, body).await.unwrap();
}

#[tokio::test]
async fn creating_with_tags_needs_tag_resource() {
    let desk = Desk::new().await;
    let mut body = body_of(Operation::CreateIndex);
    body["tags"] = json!({"team": "search"});
    desk.set_policy(statement("Allow", &json!("s3vectors:CreateIndex")))
        .await;
    assert!(is_denied(
        &desk.call(&guest(), Operation::CreateIndex, body.clone()).await
    ));
    desk.set_policy(statement(
        "Allow",
        &json!(["s3vectors:CreateIndex", "s3vectors:TagResource"]),
    ))
    .await;
    desk.call(&guest(), Operation::CreateIndex, body).await.unwrap();
    let own = |actions: Value| Some(json!({"Effect": "Allow", "Action": actions, "Resource": "*"}));
    let films = json!({"vectorBucketName": "films", "tags": {"team": "search"}});
    let creator = caller("guest", false, own(json!("s3vectors:CreateVectorBucket")));
    assert!(is_denied(
        &desk.call(&creator, Operation::CreateVectorBucket, films.clone()).await
    ));
    let creator = caller(
        "guest",
        false,
        own(json!(["s3vectors:CreateVectorBucket", "s3vectors:TagResource"])),
    );
    desk.call(&creator, Operation::CreateVectorBucket, films).await.unwrap();
}

#[tokio::test]
async fn conditions_see_tags_and_encryption() {
    let desk = Desk::new().await;
    let on = |key: &str, value: &str| {
        let mut allow = statement("Allow", &json!("s3vectors:*"));
        allow["Condition"] = json!({"StringEquals": {key: value}});
        allow
    };
    let index_arn = format!("{ARN}/index/all");
    let may_query = async |desk: &Desk| {
        !is_denied(
            &desk
                .call(&guest(), Operation::QueryVectors, body_of(Operation::QueryVectors))
                .await,
        )
    };
    desk.set_policy(on("aws:ResourceTag/team", "search")).await;
    assert!(!may_query(&desk).await);
    let tags = json!({"arn": index_arn, "tags": {"team": "search"}});
    desk.call(&owner(), Operation::TagResource, tags).await.unwrap();
    assert!(may_query(&desk).await, "the index's tag");
    assert!(
        is_denied(&desk.call(&guest(), Operation::GetVectorBucket, json!({})).await),
        "the bucket has none"
    );
    desk.set_policy(on("s3vectors:VectorBucketTag/team", "search")).await;
    assert!(!may_query(&desk).await);
    desk.call(&owner(), Operation::TagResource, json!({"tags": {"team": "search"}}))
        .await
        .unwrap();
    assert!(may_query(&desk).await, "the bucket's tag");
    desk.set_policy(on("aws:RequestTag/cost", "12")).await;
    let tag = |cost: &str| json!({"tags": {"cost": cost}});
    assert!(is_denied(&desk.call(&guest(), Operation::TagResource, tag("13")).await));
    desk.call(&guest(), Operation::TagResource, tag("12")).await.unwrap();
    desk.set_policy(on("s3vectors:sseType", "aws:kms")).await;
    let mut create = body_of(Operation::CreateIndex);
    assert!(is_denied(
        &desk.call(&guest(), Operation::CreateIndex, create.clone()).await
    ));
    create["encryptionConfiguration"] =
        json!({"sseType": "aws:kms", "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1"});
    desk.call(&guest(), Operation::CreateIndex, create).await.unwrap();
}

#[tokio::test]
async fn a_warm_request_costs_one_read_more() {
    let desk = Desk::new().await;
    desk.set_policy(statement("Allow", &json!("s3vectors:*"))).await;
    for caller in [guest(), owner()] {
        for operation in [Operation::PutVectors, Operation::QueryVectors] {
            desk.call(&caller, operation, body_of(operation)).await.unwrap();
        }
        let put = desk.call(&caller, Operation::PutVectors, body_of(Operation::PutVectors));
        assert_eq!(
            desk.calls_of(put).await,
            (vec!["append", "read_attachment", "read_record"], vec!["put"])
        );
        let query = || desk.call(&caller, Operation::QueryVectors, body_of(Operation::QueryVectors));
        query().await.unwrap();
        assert_eq!(
            desk.calls_of(query()).await,
            (vec!["read_attachment", "read_record"], vec![])
        );
    }
    let anonymous = Caller::anonymous_owner();
    let query = desk.call(&anonymous, Operation::QueryVectors, body_of(Operation::QueryVectors));
    assert_eq!(desk.calls_of(query).await, (vec!["read_record"], vec![]));
}

/// Whoever was never allowed makes nothing be stored; whoever was allowed until now stores one object that is never
/// committed.
#[tokio::test]
async fn a_refused_write_has_no_effect() {
    let desk = Desk::new().await;
    let put = |caller: Caller, key: &str| {
        let body = json!({"vectors": [{"key": key, "data": {"float32": [1, 2]}}]});
        let service = desk.service.clone();
        async move { call(&service, &caller, Operation::PutVectors, body).await }
    };
    let refused = async |caller: Caller, key: &str| assert!(is_denied(&put(caller, key).await));
    let (_, objects) = desk.calls_of(refused(guest(), "never")).await;
    assert_eq!(objects, Vec::<&str>::new());
    desk.set_policy(statement("Allow", &json!("s3vectors:*"))).await;
    put(guest(), "allowed").await.unwrap();
    // Another process takes the permission away: this one learns it while it writes.
    set_policy(&desk.second().await, statement("Allow", &json!("s3vectors:GetIndex"))).await;
    let (catalog, objects) = desk.calls_of(refused(guest(), "late")).await;
    assert_eq!((catalog.contains(&"append"), objects), (false, vec!["put"]));
    let (_, objects) = desk.calls_of(refused(guest(), "later")).await;
    assert_eq!(objects, Vec::<&str>::new(), "learnt");
    // Of writes that share an object only the permitted ones take effect.
    desk.set_policy(statement("Allow", &json!("s3vectors:*"))).await;
    put(guest(), "allowed").await.unwrap();
    set_policy(&desk.second().await, statement("Allow", &json!("s3vectors:GetIndex"))).await;
    put(owner(), "warm").await.unwrap();
    let writes = (0..8).map(|n| {
        put(
            if n % 2 == 0 { owner() } else { guest() },
            ["a", "b", "c", "d", "e", "f", "g", "h"][n],
        )
    });
    let outcomes = futures::future::join_all(writes).await;
    let written: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(
        written,
        [true, false, true, false, true, false, true, false],
        "{outcomes:?}"
    );
    let list = desk.call(&owner(), Operation::ListVectors, json!({})).await.unwrap();
    let keys: Vec<&str> = list["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["a", "allowed", "c", "e", "g", "warm"]);
}

/// A name that another process has given to another bucket: neither its permissions nor its refusals are the old one's.
#[tokio::test]
async fn a_verdict_stands_on_the_bucket_that_is_there() {
    let desk = Desk::new().await;
    let other = desk.second().await;
    let allow = statement("Allow", &json!("s3vectors:*"));
    let deny_guest = statement("Deny", &json!("s3vectors:*"));
    let own = caller(
        "guest",
        false,
        Some(json!({"Effect": "Allow", "Action": "*", "Resource": "*"})),
    );
    for operation in [
        Operation::PutVectors,
        Operation::QueryVectors,
        Operation::GetVectors,
        Operation::DeleteVectors,
    ] {
        desk.set_policy(allow.clone()).await;
        desk.call(&guest(), operation, body_of(operation)).await.unwrap();
        desk.call(&own, operation, body_of(operation)).await.unwrap();
        remove(&other).await;
        make(&other).await;
        let tried = desk.call(&guest(), operation, body_of(operation)).await;
        assert!(
            is_denied(&tried),
            "{operation}: the new bucket has no policy: {tried:?}"
        );
        remove(&other).await;
        make(&other).await;
        set_policy(&other, allow.clone()).await;
        let tried = desk.call(&guest(), operation, body_of(operation)).await;
        assert!(tried.is_ok(), "{operation}: the new bucket allows it: {tried:?}");
        remove(&other).await;
        make(&other).await;
        set_policy(&other, deny_guest.clone()).await;
        let tried = desk.call(&own, operation, body_of(operation)).await;
        assert!(is_denied(&tried), "{operation}: the new bucket denies it: {tried:?}");
    }
}

#[tokio::test]
async fn messages_say_who_may_not_do_what() {
    let desk = Desk::new().await;
    let said = async |caller: &Caller| {
        desk.call(caller, Operation::GetVectorBucket, json!({}))
            .await
            .unwrap_err()
    };
    let start = format!(
        "User: arn:aws:iam::123456789012:user/guest is not authorized to perform: s3vectors:GetVectorBucket on resource: {ARN} "
    );
    let expected = |reason: &str| ApiError::access_denied(format!("{start}{reason}"));
    assert_eq!(
        said(&guest()).await,
        expected("because no identity-based policy allows the s3vectors:GetVectorBucket action")
    );
    desk.set_policy(statement("Deny", &json!("*"))).await;
    assert_eq!(
        said(&guest()).await,
        expected("with an explicit deny in a resource-based policy")
    );
    let own = Some(json!({"Effect": "Deny", "Action": "*", "Resource": "*"}));
    assert_eq!(
        said(&caller("guest", true, own)).await,
        expected("with an explicit deny in an identity-based policy")
    );
}
