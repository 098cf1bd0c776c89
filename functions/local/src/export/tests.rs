use std::path::Path;
use std::time::Duration;

use clap::Parser as _;

use super::*;
use crate::client::testing::{FakeServer, Fault, Stored};
use crate::import::{self, ImportArgs};

#[derive(Debug, clap::Parser)]
enum Cli {
    Import(Box<ImportArgs>),
    Export(ExportArgs),
}

fn export_to(server: &FakeServer, output: &Path, flags: &[&str]) -> Result<(), ExportError> {
    let output = output.to_str().unwrap();
    let always = [
        "test",
        "export",
        "--endpoint",
        &server.endpoint,
        "--bucket",
        "bucket",
        "--output",
        output,
    ];
    let Cli::Export(args) = Cli::try_parse_from([&always, flags].concat()).unwrap() else {
        panic!()
    };
    run(args)
}

fn import_from(server: &FakeServer, file: &Path, flags: &[&str]) {
    let file = file.to_str().unwrap();
    let always = [
        "test",
        "import",
        file,
        "--endpoint",
        &server.endpoint,
        "--bucket",
        "bucket",
    ];
    let Cli::Import(args) = Cli::try_parse_from([&always, flags].concat()).unwrap() else {
        panic!()
    };
    import::run(*args).unwrap();
}

fn bits<'a>(stored: &'a Stored) -> Vec<(&'a str, Vec<u32>, Option<&'a str>)> {
    let row = |(key, (vector, metadata)): (&'a String, &'a (Vec<f32>, Option<String>))| {
        (
            key.as_str(),
            vector.iter().map(|value| value.to_bits()).collect(),
            metadata.as_deref(),
        )
    };
    stored.iter().map(row).collect()
}

/// All kinds of floats, keys and metadata.
fn odd_vectors() -> Stored {
    let mut stored = Stored::new();
    for row in 0..500_u32 {
        let spread = row.wrapping_mul(0x9E37_79B9);
        let value = f32::from_bits(if spread & 0x7F80_0000 == 0x7F80_0000 {
            row
        } else {
            spread
        });
        let metadata =
            (row % 3 > 0).then(|| format!("{{\"n\":{row}.50,\"big\":12345678901234567890,\"t\":[\"é\\n\"]}}"));
        stored.insert(format!("key {row} \"é\""), (vec![value, -0.0, f32::MAX], metadata));
    }
    stored
}

#[test]
fn a_round_trip_is_identical() {
    let server = FakeServer::start().with_index("bucket/one", 3, "euclidean");
    server.state().indexes.get_mut("bucket/one").unwrap()["metadataConfiguration"] =
        serde_json::json!({"nonFilterableMetadataKeys": ["t", "n"]});
    server.state().vectors.insert("bucket/one".to_owned(), odd_vectors());
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("one.parquet");
    std::fs::write(&output, "an older file").unwrap();
    export_to(&server, &output, &["--index", "one", "--segments", "3"]).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    import_from(&server, &output, &["--index", "two", "--create"]);
    let (one, two) = (server.stored("bucket/one"), server.stored("bucket/two"));
    assert_eq!(two.len(), 500);
    assert_eq!(bits(&one), bits(&two));
    let state = server.state();
    for member in ["dimension", "distanceMetric", "metadataConfiguration"] {
        assert_eq!(state.indexes["bucket/one"][member], state.indexes["bucket/two"][member]);
    }
}

#[test]
fn an_empty_index() {
    let server = FakeServer::start().with_index("bucket/one", 3, "cosine");
    server.state().vectors.insert("bucket/one".to_owned(), Stored::new());
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("one.parquet");
    export_to(&server, &output, &["--index", "one"]).unwrap();
    import_from(&server, &output, &["--index", "one"]);
    assert!(server.stored("bucket/one").is_empty());
    import_from(&server, &output, &["--index", "two", "--create"]);
    let state = server.state();
    for member in ["dimension", "distanceMetric"] {
        assert_eq!(state.indexes["bucket/one"][member], state.indexes["bucket/two"][member]);
    }
}

#[test]
fn a_failed_export_leaves_what_was_there() {
    let server = FakeServer::start().with_index("bucket/one", 3, "cosine");
    server.state().vectors.insert("bucket/one".to_owned(), odd_vectors());
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("one.parquet");
    std::fs::write(&output, "an older file").unwrap();
    let missing = export_to(&server, &output, &["--index", "missing"]).unwrap_err();
    assert_eq!(missing.to_string(), "index bucket/missing does not exist");
    let no = Fault::Answer(403, None, "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}");
    server.state().lists.extend([
        Fault::None,
        Fault::Delay(Duration::from_millis(5)),
        Fault::None,
        Fault::None,
        no,
    ]);
    let refused = export_to(&server, &output, &["--index", "one"]).unwrap_err();
    assert_eq!(refused.to_string(), "ListVectors: AccessDeniedException (403): no");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "an older file");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let nowhere = directory.path().join("missing").join("one.parquet");
    assert!(
        export_to(&server, &nowhere, &["--index", "one"])
            .unwrap_err()
            .to_string()
            .contains("cannot write")
    );
}

#[test]
fn busy_servers_are_asked_again() {
    let server = FakeServer::start().with_index("bucket/one", 3, "cosine");
    server.state().vectors.insert("bucket/one".to_owned(), odd_vectors());
    server.state().lists.extend([
        Fault::Answer(503, Some("0"), "{}"),
        Fault::LoseAnswer,
        Fault::Answer(429, None, ""),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("one.parquet");
    export_to(&server, &output, &["--index", "one", "--segments", "1"]).unwrap();
    import_from(&server, &output, &["--index", "two", "--create"]);
    assert_eq!(bits(&server.stored("bucket/one")), bits(&server.stored("bucket/two")));
}
