use std::time::Duration;

use clap::Parser as _;
use model::{BucketName, IndexName};
use wire::{KeyRing, SignedRequest, verify};

use super::testing::{FakeServer, Fault};
use super::*;

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    client: ClientArgs,
}

fn client(endpoint: &str, flags: &[&str]) -> Result<Client, ClientError> {
    let flags = [&["test", "--endpoint", endpoint], flags].concat();
    Client::new(&Cli::try_parse_from(flags).unwrap().client)
}

fn target() -> Target {
    Target {
        bucket: BucketName::parse("bucket").unwrap(),
        index: IndexName::parse("index").unwrap(),
    }
}

const PUT: &str =
    r#"{"vectorBucketName":"bucket","indexName":"index","vectors":[{"key":"a","data":{"float32":[1.0]}}]}"#;

async fn put(client: &Client) -> Result<Bytes, ClientError> {
    client
        .call(Operation::PutVectors, Bytes::from_static(PUT.as_bytes()))
        .await
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let server = FakeServer::start();
    let faults = [
        Fault::Answer(
            503,
            Some("0"),
            "{\"__type\":\"ServiceUnavailableException\",\"message\":\"busy\"}",
        ),
        Fault::Answer(429, None, "{}"),
        Fault::Answer(500, None, "<html>"),
        Fault::LoseAnswer,
    ];
    server.state().puts.extend(faults);
    put(&client(&server.endpoint, &[]).unwrap()).await.unwrap();
    assert_eq!(server.state().log.len(), 5);
    assert_eq!(server.stored("bucket/index").len(), 1);
}

#[tokio::test]
async fn patience_ends() {
    let server = FakeServer::start();
    let busy = Fault::Answer(
        503,
        None,
        "{\"__type\":\"x#ServiceUnavailableException\",\"message\":\"busy\"}",
    );
    server.state().puts.extend(vec![busy; 9]);
    let error = put(&client(&server.endpoint, &["--retries", "2"]).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "PutVectors: ServiceUnavailableException (503): busy");
    assert_eq!(server.state().log.len(), 3);
}

#[tokio::test]
async fn a_slow_server_is_asked_again() {
    let server = FakeServer::start();
    server.state().puts.push_back(Fault::Delay(Duration::from_secs(30)));
    put(&client(&server.endpoint, &["--timeout-s", "1"]).unwrap())
        .await
        .unwrap();
    assert_eq!(server.state().log.len(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_reported_at_once() {
    let server = FakeServer::start();
    let body = r#"{"message":"no","fieldList":[{"path":"vectors[0]","message":"bad"}],"__type":"ValidationException"}"#;
    server.state().puts.push_back(Fault::Answer(400, None, body));
    let error = put(&client(&server.endpoint, &[]).unwrap()).await.unwrap_err();
    assert!(error.is("ValidationException"));
    let refusal = error.refusal().unwrap();
    assert_eq!(
        (
            refusal.status,
            refusal.message.as_str(),
            refusal.fields[0].path.as_str()
        ),
        (400, "no", "vectors[0]")
    );
    assert_eq!(server.state().log.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/prefix", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&endpoint, &[])
        .unwrap()
        .describe_index(&target())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!("cannot reach {endpoint}: ")) && error.contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn signed_as_sent() {
    let server = FakeServer::start().with_index("bucket/index", 3, "cosine");
    let keys = [
        "--access-key-id",
        "AKID",
        "--secret-access-key",
        "secret",
        "--region",
        "eu-west-1",
    ];
    let client = client(&format!("{}/stage/", server.endpoint), &keys).unwrap();
    let index = client.describe_index(&target()).await.unwrap().unwrap();
    assert_eq!(
        (index.dimension.get(), index.created.as_str(), index.vectors),
        (3, "1795342500.125", Some(0))
    );
    let (path, headers) = server.state().last.clone();
    assert_eq!(path, "/stage/GetIndex");
    let request = SignedRequest {
        method: "POST",
        raw_path: &path,
        base_path: "",
        raw_query: "",
        headers: &headers,
        body_sha256: wire::sigv4::body_sha256(br#"{"indexName":"index","vectorBucketName":"bucket"}"#),
    };
    let ring = r#"{"keys":[{"accessKeyId":"AKID","secretAccessKey":"secret","principal":"arn:aws:iam::123456789012:user/x","owner":true}]}"#;
    verify(
        &request,
        &KeyRing::from_json(ring).unwrap(),
        "eu-west-1",
        "s3vectors",
        SystemClock::new().now_ms(),
    )
    .unwrap();
}

#[tokio::test]
async fn creating_what_somebody_else_created() {
    let server = FakeServer::start().with_index("bucket/index", 3, "cosine");
    let client = client(&server.endpoint, &[]).unwrap();
    let new = NewIndex {
        dimension: model::Dimension::new(4).unwrap(),
        metric: model::DistanceMetric::Euclidean,
        non_filterable: vec!["text".to_owned()],
    };
    client.create(&target(), &new).await.unwrap();
    assert_eq!(
        client.describe_index(&target()).await.unwrap().unwrap().dimension.get(),
        3
    );
    let other = Target {
        index: IndexName::parse("other").unwrap(),
        ..target()
    };
    assert_eq!(client.describe_index(&other).await.unwrap(), None);
    client.create(&other, &new).await.unwrap();
    let created = client.describe_index(&other).await.unwrap().unwrap();
    let IndexInfo {
        dimension,
        metric,
        non_filterable,
        ..
    } = created;
    assert_eq!(
        NewIndex {
            dimension,
            metric,
            non_filterable
        },
        new
    );
}

#[test]
fn flags_that_cannot_work() {
    for (endpoint, flags, reason) in [
        ("127.0.0.1:8080", &[][..], "--endpoint 127.0.0.1:8080: "),
        ("ftp://localhost", &[], "must begin with http:// or https://"),
        (
            "https://localhost",
            &["--ca-bundle", "/no/such/file"],
            "--ca-bundle /no/such/file: ",
        ),
        (
            "https://localhost",
            &["--ca-bundle", "/dev/null"],
            "no certificate in it",
        ),
        (
            "http://localhost",
            &["--access-key-id", "AKID", "--secret-access-key", ""],
            "needed together",
        ),
    ] {
        let error = client(endpoint, flags).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let flags = ["test", "--secret-access-key", "visible"];
    assert!(!format!("{:?}", Cli::try_parse_from(flags).unwrap()).contains("visible"));
}
