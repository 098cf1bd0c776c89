//! The AWS adapters against a server that fails on purpose: what is sent again and what is sent once, and what a lost
//! answer is called.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use genai_vectors_storage as storage;
use model::{BucketName, BucketUuid, Encryption, Ids, IndexName, IndexUuid, OsRandom, SystemClock, Ulid, WalId};
use storage::aws::{
    AccessKey, Aws, AwsSettings, DynamoCatalog, DynamoSettings, Endpoints, S3Settings, S3Store, Timeouts,
};
use storage::{
    Append, BucketInfo, Catalog, CreateBucket, DeleteBucket, ETag, IndexPath, ObjectName, ObjectStore, StoreError,
    paths,
};

/// What the server does about one request.
#[derive(Debug, Clone)]
enum Reply {
    /// Status, header lines, body.
    Answer(u16, &'static str, String),
    /// The answer never comes.
    Silence,
    /// The connection ends in the middle of the body.
    Cut,
}

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "ETag: \"tag\"\r\n", body.to_owned())
}

fn s3_error(status: u16, code: &str) -> Reply {
    answer(
        status,
        &format!("<Error><Code>{code}</Code><Message>said so</Message></Error>"),
    )
}

fn dynamodb_error(code: &str, more: &str) -> Reply {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}"{more}}}"#);
    Reply::Answer(400, "Content-Type: application/x-amz-json-1.0\r\n", body)
}

/// A server that answers from a list; its last reply stays. Each request is noted: method or operation, and condition.
struct Script {
    endpoint: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (replies, noted) = (replies.clone(), Arc::clone(&noted));
                std::thread::spawn(move || serve(&stream.unwrap(), &replies, &noted));
            }
        });
        Self { endpoint, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    async fn aws(&self) -> Aws {
        let endpoint = Some(self.endpoint.clone());
        Aws::load(AwsSettings {
            region: Some("us-east-1".to_owned()),
            key: Some(AccessKey {
                id: "id".to_owned(),
                secret: "secret".to_owned(),
            }),
            endpoints: Endpoints {
                s3: endpoint.clone(),
                dynamodb: endpoint.clone(),
                sqs: endpoint,
                secrets: None,
            },
            timeouts: Timeouts {
                answer: Duration::from_millis(300),
                transfer: Duration::from_millis(600),
                ..Timeouts::default()
            },
            attempts: 3,
        })
        .await
    }

    async fn s3(&self) -> S3Store {
        S3Store::new(&self.aws().await, "s3://bucket".parse().unwrap(), S3Settings::default())
    }

    async fn dynamodb(&self) -> DynamoCatalog {
        let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
        DynamoCatalog::new(&self.aws().await, "table", ids, DynamoSettings::default())
    }
}

/// One request per connection.
fn serve(stream: &TcpStream, replies: &[Reply], seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut note) = (String::new(), 0, String::new());
    reader.read_line(&mut line).unwrap();
    note += line.split(' ').next().unwrap_or_default();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "if-match" | "if-none-match" => note += &format!(" {} {value}", name.to_ascii_lowercase()),
            "x-amz-target" => note = value.rsplit('.').next().unwrap().to_owned(),
            _ => {}
        }
    }
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).unwrap();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(note);
        seen.len() - 1
    };
    let mut out = stream;
    match replies.get(number).or(replies.last()).unwrap() {
        Reply::Silence => {
            // Until the client gives up.
            let _ = reader.read(&mut [0]);
        }
        Reply::Cut => {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\nETag: \"tag\"\r\nContent-Length: 100\r\n\r\nhalf");
        }
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} -\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = out.write_all((head + body).as_bytes());
        }
    }
}

fn name() -> ObjectName {
    paths::catalog_root()
}

fn bytes() -> Bytes {
    Bytes::from_static(b"bytes")
}

fn etag() -> ETag {
    ETag("\"old\"".to_owned())
}

/// A conditional write is sent once, whatever becomes of it.
#[tokio::test]
async fn conditional_writes_are_sent_once() {
    for lost in [
        Reply::Silence,
        s3_error(500, "InternalError"),
        s3_error(503, "ServiceUnavailable"),
    ] {
        let script = Script::new(vec![lost.clone()]);
        let error = script.s3().await.replace(&name(), bytes(), &etag()).await.unwrap_err();
        assert!(error.is_unknown(), "{lost:?}: {error}");
        assert_eq!(script.seen(), ["PUT if-match \"old\""], "{lost:?}");
        let script = Script::new(vec![lost.clone()]);
        let error = script.s3().await.put(&name(), bytes()).await.unwrap_err();
        assert!(error.is_unknown(), "{lost:?}: {error}");
        assert_eq!(script.seen(), ["PUT if-none-match *"], "{lost:?}");
    }
    let script = Script::new(vec![s3_error(503, "SlowDown")]);
    let error = script.s3().await.create(&name(), bytes()).await.unwrap_err();
    assert!(matches!(error, StoreError::Throttled { .. }), "{error}");
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test]
async fn reads_are_sent_again_a_few_times() {
    let script = Script::new(vec![
        s3_error(500, "InternalError"),
        Reply::Silence,
        answer(200, "bytes"),
    ]);
    assert_eq!(script.s3().await.get(&name()).await.unwrap(), "bytes");
    assert_eq!(script.seen().len(), 3);
    let script = Script::new(vec![Reply::Cut, Reply::Cut, answer(200, "bytes")]);
    assert_eq!(script.s3().await.get(&name()).await.unwrap(), "bytes");
    let script = Script::new(vec![s3_error(503, "SlowDown")]);
    let error = script.s3().await.get(&name()).await.unwrap_err();
    assert!(matches!(error, StoreError::Throttled { .. }), "{error}");
    assert_eq!(script.seen().len(), 3);
    let script = Script::new(vec![Reply::Cut]);
    assert!(script.s3().await.get(&name()).await.unwrap_err().is_unknown());
    assert_eq!(script.seen().len(), 3);
}

/// A store that is down is not asked ever more: failures use up a budget.
#[tokio::test]
async fn retries_have_a_budget() {
    let script = Script::new(vec![s3_error(500, "InternalError")]);
    let store = script.s3().await;
    for _ in 0..80 {
        assert!(store.get(&name()).await.unwrap_err().is_unknown());
    }
    let sent = script.seen().len();
    assert!((80..=80 + 110).contains(&sent), "{sent} requests for 80 reads");
}

/// Somebody was there first: the bytes say who.
#[tokio::test]
async fn a_refused_put_looks_at_what_is_there() {
    let refused = || s3_error(412, "PreconditionFailed");
    let script = Script::new(vec![refused(), answer(200, "bytes")]);
    script.s3().await.put(&name(), bytes()).await.unwrap();
    let script = Script::new(vec![refused(), answer(200, "other")]);
    assert!(script.s3().await.put(&name(), bytes()).await.unwrap_err().is_conflict());
    // Both were refused, as S3 does with writes at the same time: nobody was there.
    let busy = || s3_error(409, "ConditionalRequestConflict");
    let script = Script::new(vec![busy(), s3_error(404, "NoSuchKey"), answer(200, "")]);
    script.s3().await.put(&name(), bytes()).await.unwrap();
    assert_eq!(script.seen(), ["PUT if-none-match *", "GET", "PUT if-none-match *"]);
}

fn path() -> IndexPath {
    IndexPath {
        bucket: BucketName::parse("bucket").unwrap(),
        index: IndexName::parse("index").unwrap(),
    }
}

fn append() -> Append {
    let entry = format::WalEntry {
        id: WalId(Ulid::from_parts(1, 1)),
        rows: 1,
        kib: 1,
    };
    Append {
        uuid: IndexUuid(uuid::Uuid::from_u128(7)),
        base: 0,
        end: None,
        entry,
        now_ms: 1,
    }
}

#[tokio::test]
async fn commits_are_sent_once() {
    for (reply, is_unknown) in [
        (Reply::Silence, true),
        (
            Reply::Answer(500, "", r#"{"__type":"InternalServerError"}"#.to_owned()),
            true,
        ),
        (dynamodb_error("ProvisionedThroughputExceededException", ""), false),
        (dynamodb_error("TransactionConflictException", ""), false),
    ] {
        let script = Script::new(vec![reply.clone()]);
        let error = script.dynamodb().await.append(&path(), &append()).await.unwrap_err();
        let is_throttled = matches!(error, StoreError::Throttled { .. });
        assert_eq!(
            (error.is_unknown(), is_throttled),
            (is_unknown, !is_unknown),
            "{reply:?}: {error}"
        );
        assert_eq!(script.seen(), ["UpdateItem"], "{reply:?}");
    }
}

const REFUSED: &str = r#","CancellationReasons":[{"Code":"ConditionalCheckFailed"},{"Code":"None"}]"#;

fn bucket() -> BucketInfo {
    BucketInfo {
        name: path().bucket,
        uuid: BucketUuid(uuid::Uuid::from_u128(1)),
        created_ms: 5,
        encryption: Encryption::Aes256,
    }
}

fn stored_bucket(uuid: BucketUuid, indexes: u32) -> Reply {
    let item = format!(
        r#"{{"Item":{{"uuid":{{"S":"{uuid}"}},"created":{{"N":"5"}},"index_count":{{"N":"{indexes}"}},
        "encryption":{{"S":"{{\"sseType\":\"AES256\"}}"}}}}}}"#
    );
    answer(200, &item)
}

/// After a lost attempt a "no" could become wrong later: nobody knows, and the caller's own retry has another uuid.
#[tokio::test]
async fn a_creation_that_may_still_land_is_never_denied() {
    let other = BucketUuid(uuid::Uuid::from_u128(2));
    let cancelled = || dynamodb_error("TransactionCanceledException", REFUSED);
    let nothing = || answer(200, "{}");
    let sound = Script::new(vec![cancelled(), stored_bucket(other, 0), nothing()]);
    assert_eq!(
        sound.dynamodb().await.create_bucket(&bucket()).await.unwrap(),
        CreateBucket::Exists
    );
    for lost in [Reply::Silence, Reply::Answer(500, "", "{}".to_owned())] {
        let script = Script::new(vec![lost.clone(), stored_bucket(other, 0), nothing()]);
        let error = script.dynamodb().await.create_bucket(&bucket()).await.unwrap_err();
        assert!(error.is_unknown(), "{lost:?}: {error}");
        // It was made after all.
        let script = Script::new(vec![lost.clone(), stored_bucket(bucket().uuid, 0)]);
        assert_eq!(
            script.dynamodb().await.create_bucket(&bucket()).await.unwrap(),
            CreateBucket::Created
        );
        // It may still be deleted, once it is empty.
        let script = Script::new(vec![lost, stored_bucket(bucket().uuid, 1)]);
        let deleted = script
            .dynamodb()
            .await
            .delete_bucket(&path().bucket, bucket().uuid)
            .await;
        assert!(deleted.unwrap_err().is_unknown());
    }
    let sound = Script::new(vec![cancelled(), stored_bucket(bucket().uuid, 1)]);
    let deleted = sound
        .dynamodb()
        .await
        .delete_bucket(&path().bucket, bucket().uuid)
        .await;
    assert_eq!(deleted.unwrap(), DeleteBucket::NotEmpty);
}
