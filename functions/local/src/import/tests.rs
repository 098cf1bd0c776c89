use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser as _;
use tempfile::TempDir;

use super::*;
use crate::client::testing::{FakeServer, Fault};

const INDEX: &str = "bucket/index";

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    import: ImportArgs,
}

struct Bench {
    server: FakeServer,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            server: FakeServer::start().with_index(INDEX, 2, "euclidean"),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn without_index() -> Self {
        Self {
            server: FakeServer::start(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// `rows` lines, keys `k0`, `k1`, ...
    fn lines(&self, rows: usize) -> PathBuf {
        let mut text = String::new();
        for row in 0..rows {
            writeln!(text, "{{\"key\":\"k{row}\",\"vector\":[{row},0.1],\"n\":{row}}}").unwrap();
        }
        self.file("a.jsonl", &text)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn import(&self, file: &Path, flags: &[&str]) -> Result<(), ImportError> {
        self.import_until(file, flags, std::future::pending())
    }

    fn import_until(
        &self,
        file: &Path,
        flags: &[&str],
        interrupted: impl Future<Output = ()>,
    ) -> Result<(), ImportError> {
        let file = file.to_str().unwrap();
        let always = [
            "test",
            file,
            "--endpoint",
            &self.server.endpoint,
            "--bucket",
            "bucket",
            "--index",
            "index",
        ];
        let args = Cli::try_parse_from([&always, flags].concat()).unwrap().import;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let outcome = runtime.block_on(import(&args, interrupted));
        runtime.shutdown_background();
        outcome
    }

    fn progress(&self) -> Option<String> {
        std::fs::read_to_string(self.directory.path().join("a.jsonl.import-progress.json")).ok()
    }

    fn expect(&self, rows: usize) {
        let stored = self.server.stored(INDEX);
        assert_eq!(stored.len(), rows);
        for row in 0..rows {
            let expected = (vec![row as f32, 0.1], Some(format!("{{\"n\":{row}}}")));
            assert_eq!(stored[&format!("k{row}")], expected);
        }
    }
}

fn refuse(body: &'static str) -> Fault {
    Fault::Answer(400, None, body)
}

#[test]
fn everything_arrives_once() {
    let bench = Bench::new();
    bench.import(&bench.lines(1234), &["--batch", "100"]).unwrap();
    bench.expect(1234);
    assert_eq!(bench.server.state().put_keys.iter().map(Vec::len).sum::<usize>(), 1234);
    assert_eq!(bench.server.state().put_keys.len(), 13);
    assert_eq!(bench.progress(), None);
}

#[test]
fn bucket_and_index_are_created() {
    let bench = Bench::without_index();
    let file = bench.lines(3);
    let error = bench.import(&file, &[]).unwrap_err().to_string();
    assert_eq!(error, "index bucket/index does not exist; --create creates it");
    let error = bench.import(&file, &["--create"]).unwrap_err().to_string();
    assert!(error.contains("--metric cosine"), "{error}");
    bench
        .import(&file, &["--create", "--metric", "Euclidean", "--non-filterable", "a,b"])
        .unwrap();
    bench.expect(3);
    let index = bench.server.state().indexes[INDEX].clone();
    assert_eq!(
        (index["dimension"].as_u64(), index["distanceMetric"].as_str()),
        (Some(2), Some("euclidean"))
    );
    assert_eq!(
        index["metadataConfiguration"]["nonFilterableMetadataKeys"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    bench
        .import(&file, &["--create", "--metric", "euclidean", "--non-filterable", "b,a"])
        .unwrap();
}

#[test]
fn an_index_that_does_not_fit_is_refused() {
    let bench = Bench::new();
    let file = bench.file("three.jsonl", "{\"key\":\"a\",\"vector\":[1,2,3]}\n");
    let refused = |file: &Path, flags: &[&str]| bench.import(file, flags).unwrap_err().to_string();
    assert_eq!(
        refused(&file, &[]),
        "index bucket/index has dimension 2, but the file's vectors have 3 values"
    );
    let fitting = bench.lines(1);
    assert!(refused(&fitting, &["--create", "--metric", "cosine"]).contains("compares by euclidean, not by cosine"));
    assert!(refused(&fitting, &["--non-filterable", "a"]).contains("non-filterable"));
    let wide = format!("{{\"key\":\"a\",\"vector\":[1{}]}}", ",1".repeat(4096));
    let wide = bench.file("wide.jsonl", &wide);
    let create = ["--create", "--metric", "cosine"];
    let elsewhere = Bench::without_index();
    let error = elsewhere.import(&wide, &create).unwrap_err().to_string();
    assert!(error.contains("4097 values"), "{error}");
    let empty = elsewhere.file("empty.jsonl", "\n");
    assert!(
        elsewhere
            .import(&empty, &create)
            .unwrap_err()
            .to_string()
            .contains("without records")
    );
    bench.import(&empty, &[]).unwrap();
    assert_eq!(bench.server.state().put_keys.len(), 0);
}

#[test]
fn lost_answers_and_busy_servers_change_nothing() {
    let bench = Bench::new();
    let busy = Fault::Answer(503, Some("0"), "{}");
    bench
        .server
        .state()
        .puts
        .extend([Fault::LoseAnswer, busy.clone(), Fault::None, Fault::LoseAnswer, busy]);
    bench.import(&bench.lines(50), &["--batch", "5"]).unwrap();
    bench.expect(50);
}

#[test]
fn an_import_goes_on_where_it_was() {
    let bench = Bench::new();
    let file = bench.lines(100);
    let faults = [
        Fault::None,
        Fault::None,
        Fault::None,
        refuse("{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}"),
    ];
    bench.server.state().puts.extend(faults);
    let flags = ["--batch", "10", "--concurrency", "1"];
    let error = bench.import(&file, &flags).unwrap_err().to_string();
    let expected =
        "PutVectors: AccessDeniedException (400): no; 30 rows are in the index, the same command goes on from there";
    assert_eq!(error, expected);
    assert!(bench.progress().unwrap().contains("\"rowsDone\": 30"));
    bench.server.state().put_keys.clear();
    bench.import(&file, &flags).unwrap();
    bench.expect(100);
    let sent = bench.server.state().put_keys.clone();
    assert_eq!((sent.len(), sent[0][0].as_str()), (7, "k30"));
    assert_eq!(bench.progress(), None);
}

#[test]
fn a_changed_file_begins_at_the_start() {
    let bench = Bench::new();
    let no = refuse("{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}");
    let flags = ["--batch", "10", "--concurrency", "1"];
    for (rows, restart) in [(100, &[][..]), (50, &["--restart"])] {
        bench.server.state().puts.extend([Fault::None, no.clone()]);
        bench.import(&bench.lines(rows), &flags).unwrap_err();
        let file = if restart.is_empty() {
            bench.lines(99)
        } else {
            bench.directory.path().join("a.jsonl")
        };
        bench.server.state().put_keys.clear();
        bench.import(&file, &[&flags, restart].concat()).unwrap();
        assert_eq!(bench.server.state().put_keys[0][0], "k0");
    }
}

#[test]
fn an_interruption_loses_nothing() {
    let bench = Bench::new();
    let file = bench.lines(2000);
    let flags = ["--batch", "10"];
    bench
        .server
        .state()
        .puts
        .extend(vec![Fault::Delay(Duration::from_millis(3)); 100]);
    let server = bench.server.clone();
    let interrupted = async move {
        while server.state().put_keys.len() < 40 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ImportError::Interrupted { done } = bench.import_until(&file, &flags, interrupted).unwrap_err() else {
        panic!()
    };
    assert!((300..2000).contains(&done), "{done}");
    assert!(bench.progress().unwrap().contains(&format!("\"rowsDone\": {done}")));
    let sent_before: usize = bench.server.state().put_keys.iter().map(Vec::len).sum();
    bench.import(&file, &flags).unwrap();
    bench.expect(2000);
    let sent: usize = bench.server.state().put_keys.iter().map(Vec::len).sum();
    assert_eq!(sent - sent_before, 2000 - done as usize);
}

#[test]
fn the_last_row_of_a_key_wins() {
    let bench = Bench::new();
    let mut text = String::new();
    for row in 0..200 {
        writeln!(text, "{{\"key\":\"k{}\",\"vector\":[{row},0]}}", row % 7).unwrap();
    }
    let slow_and_fast = (0..200).map(|put| Fault::Delay(Duration::from_millis(if put % 3 == 0 { 9 } else { 0 })));
    bench.server.state().puts.extend(slow_and_fast);
    bench.import(&bench.file("a.jsonl", &text), &["--batch", "5"]).unwrap();
    let stored = bench.server.stored(INDEX);
    for row in 193..200 {
        assert_eq!(stored[&format!("k{}", row % 7)].0[0], row as f32);
    }
    let sent = bench.server.state().put_keys.clone();
    for keys in sent {
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}

#[test]
fn a_bad_record_is_named() {
    let bench = Bench::new();
    let file = bench.lines(25);
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("\n{\"key\":\"bad\",\"vector\":[1]}\n{\"key\":\"after\",\"vector\":[1,2]}\n");
    let file = bench.file("a.jsonl", &text);
    let error = bench.import(&file, &["--batch", "10"]).unwrap_err().to_string();
    let expected = "a.jsonl, line 27: key \"bad\": vector must have length 2, but has length 1";
    assert!(error.ends_with(expected), "{error}");
    // What comes before it is in the index, what comes after is not.
    bench.expect(25);
    assert!(bench.progress().unwrap().contains("\"rowsDone\": 25"));
}

#[test]
fn a_refused_record_is_named() {
    let bench = Bench::new();
    let large = format!(
        "\n{{\"key\":\"it's large\",\"vector\":[1,2],\"text\":\"{}\"}}\n",
        "x".repeat(3000)
    );
    let file = bench.lines(25);
    let text = std::fs::read_to_string(&file).unwrap() + &large;
    let file = bench.file("a.jsonl", &text);
    let error = bench.import(&file, &[]).unwrap_err().to_string();
    assert!(
        error.contains("a.jsonl, line 27: PutVectors: ValidationException (400): Invalid record for key 'it's large'"),
        "{error}"
    );
    // Without a path, the key in the message says which one it is.
    let file = bench.lines(5);
    for message in [
        "{\"__type\":\"ValidationException\",\"message\":\"Invalid record for key 'k3': no\"}",
        "{\"message\":\"1 validation error\",\"fieldList\":[{\"path\":\"/vectors/3/key\",\"message\":\"\"}]}",
    ] {
        bench.server.state().puts.push_back(refuse(message));
        let error = bench.import(&file, &[]).unwrap_err().to_string();
        assert!(error.contains("a.jsonl, line 4: "), "{error}");
    }
}

#[test]
fn arrays_with_keys() {
    let bench = Bench::new();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&(header.len() as u16).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file.extend(
        [0.1_f32, f32::MAX, 1e-45, -0.0]
            .iter()
            .flat_map(|value| value.to_le_bytes()),
    );
    let path = bench.directory.path().join("v.npy");
    std::fs::write(&path, file).unwrap();
    let keys = bench.file("keys.txt", "sea\noak\n");
    bench.import(&path, &["--keys-file", keys.to_str().unwrap()]).unwrap();
    bench.import(&path, &[]).unwrap();
    let stored = bench.server.stored(INDEX);
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["0", "1", "oak", "sea"]);
    assert_eq!(stored["sea"], (vec![0.1, f32::MAX], None));
    assert_eq!(stored["1"].0[0].to_bits(), 1);
    assert!(stored["oak"].0[1].is_sign_negative());
}

#[test]
fn formats_by_extension() {
    let bench = Bench::new();
    let file = bench.file("words.txt", "{\"key\":\"a\",\"vector\":[1,2]}");
    assert!(
        bench
            .import(&file, &[])
            .unwrap_err()
            .to_string()
            .contains("give --format")
    );
    bench.import(&file, &["--format", "jsonl"]).unwrap();
    let missing = bench.directory.path().join("missing.parquet");
    assert!(
        bench
            .import(&missing, &[])
            .unwrap_err()
            .to_string()
            .contains("No such file")
    );
}

/// Reads for ever.
#[derive(Debug)]
struct Endless(u64, Arc<AtomicU64>);

impl RecordSource for Endless {
    fn dimension(&self) -> Option<usize> {
        Some(2)
    }

    fn size(&self) -> meter::Size {
        meter::Size::Unknown
    }

    fn position(&self) -> u64 {
        self.0
    }

    fn skip(&mut self, _: u64) -> Result<(), SourceError> {
        Ok(())
    }

    fn next(&mut self, record: &mut record::Record) -> Result<bool, SourceError> {
        self.1.store(self.0, Ordering::Relaxed);
        record.row = self.0;
        record.key = self.0.to_string();
        record.vector = vec![1.0, 2.0];
        self.0 += 1;
        Ok(true)
    }
}

#[test]
fn a_slow_server_slows_the_reader() {
    let bench = Bench::new();
    bench
        .server
        .state()
        .puts
        .extend(vec![Fault::Delay(Duration::from_secs(60)); 100]);
    let flags = [
        "test",
        "x.npy",
        "--endpoint",
        &bench.server.endpoint,
        "--bucket",
        "bucket",
        "--index",
        "index",
    ];
    let args = Cli::try_parse_from(flags).unwrap().import;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let read = Arc::new(AtomicU64::new(0));
    let outcome = runtime.block_on(async {
        let client = Client::new(&args.client).unwrap();
        let index = client.describe_index(&args.target).await.unwrap().unwrap();
        let path = bench.directory.path().join("p.json");
        let progress = ProgressFile::new(path, progress_file::tests::fingerprint());
        let meter = Meter::start("vectors", meter::Size::Unknown, 0);
        let reader = reader(&args, Box::new(Endless(0, Arc::clone(&read))), &index, 0);
        let pipeline = Pipeline {
            client,
            progress,
            concurrency: 2,
            meter,
        };
        pipeline
            .run(reader, tokio::time::sleep(Duration::from_millis(500)))
            .await
            .unwrap()
    });
    runtime.shutdown_background();
    assert!(matches!(outcome, Outcome::Interrupted { done: 0 }));
    // Two in flight, two ready, one that waits for room.
    assert_eq!(read.load(Ordering::Relaxed), 5 * 500 - 1);
}
