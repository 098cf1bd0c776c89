//! A database on MinIO and DynamoDB Local, behind proxies that log each request as it passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{Clock, Ids, OsRandom, Randomness as _, SystemClock};
use servers::Server;
use storage::aws::{Aws, AwsSettings, DynamoCatalog, DynamoSettings, Endpoints, S3Settings, S3Store};
use storage::layers::requests::{RequestKind, RequestLog};
use storage::{Catalog, ObjectStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::trips::stage::Place;

/// Longer than what tells of a request: a request that is read in two pieces is found in the second.
const KEPT: usize = 4096;

/// The servers of the test.
pub struct OnServers {
    minio: Server,
    dynamodb: Server,
    databases: AtomicU64,
    run: u64,
}

impl OnServers {
    pub async fn start() -> Self {
        Self {
            minio: Server::start("minio"),
            dynamodb: Server::start("dynamodb-local"),
            databases: AtomicU64::new(0),
            run: OsRandom::new().next_u128() as u64,
        }
    }

    /// A new database.
    pub fn database(&self) -> Database {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        Database {
            s3: self.minio.settings(),
            dynamodb: self.dynamodb.settings(),
            location: format!("s3://trips-{:016x}/{number}", self.run),
            table: format!("trips-{number}"),
        }
    }
}

/// A database of its own.
pub struct Database {
    s3: AwsSettings,
    dynamodb: AwsSettings,
    location: String,
    table: String,
}

#[async_trait]
impl Place for Database {
    async fn connect(&self, ids: &Ids, log: &RequestLog) -> (Arc<dyn ObjectStore>, Arc<dyn Catalog>) {
        let s3 = through(&self.s3, s3_request, log).await;
        let objects = S3Store::new(&s3, self.location.parse().unwrap(), S3Settings::default());
        objects.prepare(true).await.unwrap();
        let dynamodb = through(&self.dynamodb, dynamodb_request, log).await;
        let catalog = DynamoCatalog::new(&dynamodb, &self.table, ids.clone(), DynamoSettings::default());
        catalog.verify(&objects, true).await.unwrap();
        (Arc::new(objects), Arc::new(catalog))
    }

    fn queue(&self) -> Duration {
        Duration::ZERO
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }
}

/// Finds the first request in what was sent, and where its telling part ends.
type Find = fn(&str) -> Option<(RequestKind, usize)>;

/// Connections to the same servers by way of a proxy.
async fn through(settings: &AwsSettings, find: Find, log: &RequestLog) -> Aws {
    // The same server is behind all of them.
    let server = settings.endpoints.s3.clone().unwrap();
    let server = server.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(proxy(listener, server, find, log.clone()));
    let endpoints = Endpoints {
        s3: endpoint.clone(),
        dynamodb: endpoint,
        ..Endpoints::default()
    };
    Aws::load(AwsSettings {
        endpoints,
        ..settings.clone()
    })
    .await
}

async fn proxy(listener: TcpListener, server: String, find: Find, log: RequestLog) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, log) = (server.clone(), log.clone());
        tokio::spawn(async move {
            let Ok(upstream) = TcpStream::connect(server).await else {
                return;
            };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            let answers = tokio::io::copy(&mut from_server, &mut to_client);
            let requests = async {
                let (mut buffer, mut seen) = (vec![0; 64 * 1024], Vec::new());
                while let Ok(count) = from_client.read(&mut buffer).await {
                    if count == 0 || to_server.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                    seen.extend_from_slice(&buffer[..count]);
                    note(&mut seen, find, &log);
                }
                let _ = to_server.shutdown().await;
            };
            let _ = tokio::join!(answers, requests);
        });
    }
}

/// Notes the requests in what has passed, and forgets what is of no use any more.
fn note(seen: &mut Vec<u8>, find: Find, log: &RequestLog) {
    // One byte, one letter: places in the text are places in the bytes.
    let text: String = seen
        .iter()
        .map(|byte| if byte.is_ascii() { *byte as char } else { '?' })
        .collect();
    let mut at = 0;
    while let Some((kind, end)) = find(&text[at..]) {
        log.note(kind, "");
        at += end;
    }
    let keep = at.max(seen.len().saturating_sub(KEPT));
    seen.drain(..keep);
}

fn dynamodb_request(text: &str) -> Option<(RequestKind, usize)> {
    const TARGET: &str = "DynamoDB_20120810.";
    let start = text.find(TARGET)? + TARGET.len();
    let end = start + text[start..].find('\r')?;
    let kind = match &text[start..end] {
        "GetItem" => RequestKind::GetItem,
        "Query" => RequestKind::Query,
        "Scan" => RequestKind::Scan,
        "UpdateItem" => RequestKind::UpdateItem,
        "TransactWriteItems" => RequestKind::TransactWriteItems,
        // What makes the table ready comes before anything is measured.
        "PutItem" | "CreateTable" | "DescribeTable" => RequestKind::UpdateItem,
        other => panic!("an unexpected request: {other}"),
    };
    Some((kind, end))
}

fn s3_request(text: &str) -> Option<(RequestKind, usize)> {
    let end = text.find(" HTTP/1.1\r\n")?;
    let line = &text[..end];
    let methods = ["GET /", "PUT /", "POST /", "DELETE /", "HEAD /"];
    let start = methods.iter().filter_map(|method| line.rfind(method)).max()?;
    let kind = match line[start..].split_once(' ')? {
        ("GET", target) if target.contains("list-type=2") => RequestKind::ListObjects,
        ("GET", _) => RequestKind::GetObject,
        ("PUT", _) => RequestKind::PutObject,
        ("POST", target) if target.contains("delete") => RequestKind::DeleteObjects,
        (method, target) => {
            assert!(
                target.matches('/').count() < 3,
                "an unexpected request: {method} {target}"
            );
            RequestKind::GetObject
        }
    };
    Some((kind, end + 1))
}
