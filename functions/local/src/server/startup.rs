//! What is opened and refused before the first request, and the banner.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{Region, Strictness};
use service::{Config, Service};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use wire::KeyRing;

use super::args::{ApiArgs, AuthMode, IndexerMode, LogFormat};
use super::budget::MemoryBudget;
use super::cache;
use super::connections;
use super::http::Server;
use super::metrics::RequestMetrics;
use crate::database::Store;
use crate::environment;
use crate::place::{BucketPlace, Place};

/// Log events to standard error; standard output belongs to the banner.
pub(crate) fn init_logging(args: &ApiArgs) -> Result<(), String> {
    check_level(&args.log_level)?;
    let filter =
        EnvFilter::try_new(&args.log_level).map_err(|error| format!("--log-level {:?}: {error}", args.log_level))?;
    let terminal = std::io::stderr().is_terminal();
    let format = args
        .log_format
        .unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let installed = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| format!("cannot start logging: {error}"))
}

/// A misspelt level would be taken for the name of a module, and every event would be silent; so it would be if nothing
/// were said. A module is named with its level.
fn check_level(text: &str) -> Result<(), String> {
    let is_known = |part: &str| {
        let is_level = || part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
        part.contains(['=', '[']) || (!part.is_empty() && is_level())
    };
    if text.split(',').map(str::trim).all(is_known) {
        return Ok(());
    }
    Err(format!(
        "--log-level {text:?}: expected error, warn, info, debug, trace or off, or a filter such as genai_vectors=debug"
    ))
}

/// Opens the database, listens, prints the banner, serves until told to stop.
pub(crate) async fn serve(args: ApiArgs) -> Result<(), String> {
    let keys = keys(&args)?;
    let place = Place::of(&args.place, environment)?;
    place.refuse_own_address(&args.host, args.port)?;
    let mut store = Store::open(&place).await.map_err(|error| error.to_string())?;
    store.objects = cache::delayed(store.objects, &args.cache);
    let cache_directory = cache::directory(&place, &args.cache);
    let disk_cache = cache::open(&store.objects, cache_directory.as_ref(), &args.cache).await;
    let objects = cache::in_front(&disk_cache, Arc::clone(&store.objects));
    let (context, rings) = store
        .serve(objects, args.threads.map(usize::from), config(&args))
        .await?;
    let service = Service::new(context);
    let listener = TcpListener::bind((args.host.as_str(), args.port))
        .await
        .map_err(|error| format!("cannot listen on {}:{}: {error}", args.host, args.port))?;
    let server = Arc::new(Server {
        service: service.clone(),
        keys: keys.map(Arc::new),
        loopback: args.is_loopback(),
        status_endpoints: args.status_endpoints(),
        budget: MemoryBudget::new(args.request_memory_mib),
        metrics: RequestMetrics::default(),
        disk_cache,
    });
    let paused = args.indexer == IndexerMode::Paused;
    let indexer = service::indexing::runner::start(Arc::clone(service.context()), rings, paused);
    banner(&args, &place, cache_directory.as_deref(), &listener)?;
    let stop = stop_signal()?;
    connections::serve(listener, server, stop).await;
    indexer.stop().await;
    tracing::info!("stopped");
    Ok(())
}

fn config(args: &ApiArgs) -> Config {
    let mut config = Config {
        region: Region {
            partition: "aws".to_owned(),
            region: args.region.clone(),
            account: args.account.clone(),
        },
        ..Config::default()
    };
    if args.strict {
        config.strictness = Strictness::Strict;
    }
    let indexing = &args.indexing;
    if let Some(kib) = indexing.fold_kib {
        config.fold.due_kib = kib;
    }
    if let Some(entries) = indexing.fold_entries {
        config.fold.due_entries = usize::from(entries);
    }
    if let Some(age_ms) = indexing.fold_age_ms {
        config.fold.due_age = Duration::from_millis(age_ms);
    }
    if let Some(seconds) = indexing.collect_floor_age_s {
        config.collection.floor_age = Duration::from_secs(seconds);
    }
    if let Some(seconds) = indexing.collect_list_age_s {
        config.collection.list_age = Duration::from_secs(seconds);
    }
    if let Some(seconds) = indexing.collect_interval_s {
        config.collection.interval = Duration::from_secs(seconds);
    }
    args.engine.apply(&mut config);
    config
}

/// The keys of `--auth keys`; refuses to listen beyond this machine without them unless told otherwise.
fn keys(args: &ApiArgs) -> Result<Option<KeyRing>, String> {
    if args.auth_mode() == AuthMode::None {
        if !args.is_loopback() {
            eprintln!(
                "genai-vectors: warning: --auth none on {}: anybody who reaches this address may read and delete everything",
                args.host
            );
        }
        return Ok(None);
    }
    if let Some(file) = &args.keys_file {
        let text = std::fs::read_to_string(file).map_err(|error| format!("--keys-file {}: {error}", file.display()))?;
        let keys = KeyRing::from_json(&text).map_err(|error| format!("--keys-file {}: {error}", file.display()))?;
        return Ok(Some(keys));
    }
    environment_key(args).map(Some)
}

fn environment_key(args: &ApiArgs) -> Result<KeyRing, String> {
    let id = environment("AWS_ACCESS_KEY_ID");
    let secret = environment("AWS_SECRET_ACCESS_KEY");
    let (Some(id), Some(secret)) = (id, secret) else {
        return Err(missing_keys(args));
    };
    let document = serde_json::json!({"keys": [{
        "accessKeyId": id,
        "secretAccessKey": secret,
        "principal": format!("arn:aws:iam::{}:user/owner", args.account),
        "owner": true,
    }]});
    KeyRing::from_json(&document.to_string())
        .map_err(|error| format!("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: {error}"))
}

/// Keys were asked for, or an address was given that demands them: the two are told apart.
fn missing_keys(args: &ApiArgs) -> String {
    let (why, way_out) = match args.auth {
        Some(_) => (String::new(), ""),
        None => (
            format!(" (the default on {}, which other machines may reach)", args.host),
            ", or say --auth none to let anybody in",
        ),
    };
    format!(
        "--auth keys{why} needs keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --keys-file FILE{way_out}"
    )
}

fn banner(args: &ApiArgs, place: &Place, cache: Option<&Path>, listener: &TcpListener) -> Result<(), String> {
    let address = listener
        .local_addr()
        .map_err(|error| format!("cannot read the listening address: {error}"))?;
    let host = if address.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        args.host.clone()
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let endpoint = format!("http://{host}:{}", address.port());
    let storage = shown(place);
    let cache = cache.map_or_else(String::new, |cache| format!("cache: {}\n", cache.display()));
    let region = &args.region;
    let (auth, credentials) = match args.auth_mode() {
        AuthMode::None => (
            if args.is_loopback() {
                "none (anybody on this machine)"
            } else {
                "none (anybody who reaches this address)"
            },
            ",\n    aws_access_key_id=\"any\", aws_secret_access_key=\"any\"",
        ),
        AuthMode::Keys => ("keys (SigV4)", ""),
    };
    println!(
        r#"genai-vectors {version}
endpoint: {endpoint}
data: {storage}
{cache}auth: {auth}
indexer: {indexer:?}

import boto3
s3vectors = boto3.client("s3vectors", endpoint_url="{endpoint}", region_name="{region}"{credentials})
s3vectors.create_vector_bucket(vectorBucketName="demo")
s3vectors.create_index(vectorBucketName="demo", indexName="words", dataType="float32", dimension=3, distanceMetric="cosine")
s3vectors.put_vectors(vectorBucketName="demo", indexName="words", vectors=[
    {{"key": "sea", "data": {{"float32": [0.9, 0.1, 0.0]}}, "metadata": {{"kind": "water"}}}},
    {{"key": "oak", "data": {{"float32": [0.0, 0.2, 0.9]}}, "metadata": {{"kind": "tree"}}}}])
print(s3vectors.query_vectors(vectorBucketName="demo", indexName="words", topK=1, returnDistance=True, returnMetadata=True,
    queryVector={{"float32": [1.0, 0.0, 0.0]}}, filter={{"kind": "water"}})["vectors"])
"#,
        version = env!("CARGO_PKG_VERSION"),
        indexer = args.indexer,
    );
    use std::io::Write as _;
    // A closed standard output must not stop the server.
    let _ = std::io::stdout().flush();
    Ok(())
}

/// Where the data is, in full.
fn shown(place: &Place) -> String {
    match place {
        Place::Directory(directory) => {
            let path = std::fs::canonicalize(directory).unwrap_or_else(|_| PathBuf::from(directory));
            path.display().to_string()
        }
        Place::Bucket(BucketPlace { location, table, aws }) => {
            let at = aws
                .endpoints
                .s3
                .as_ref()
                .map_or_else(String::new, |url| format!(" at {url}"));
            let table = table
                .as_ref()
                .map_or_else(String::new, |table| format!(", catalog in table {table}"));
            format!("{location}{at}{table}")
        }
    }
}

fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let hook = |kind: SignalKind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let mut terminate = hook(SignalKind::terminate())?;
    let mut interrupt = hook(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests in flight finish first");
    })
}
