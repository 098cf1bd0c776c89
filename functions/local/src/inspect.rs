//! `genai-vectors inspect`: what an index is made of. Reads beside a running server.

use std::sync::Arc;

use clap::Args;
use model::{BucketName, IndexName};
use serde_json::Value;
use storage::IndexPath;

use crate::database;
use crate::place::{Place, PlaceArgs};

/// Flags of `genai-vectors inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Vector bucket.
    bucket: BucketName,
    /// Index in the bucket.
    index: IndexName,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Read every object of the index and compare its checksum; fails when one is wrong.
    #[arg(long)]
    verify: bool,
}

/// Prints the report.
///
/// # Errors
/// A sentence for the operator; with `--verify` also when anything is damaged.
pub(crate) fn run(args: &InspectArgs) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the async runtime: {error}"))?;
    let report = runtime.block_on(async {
        let place = Place::of(&args.place, crate::environment)?;
        let ctx = Arc::new(database::read_only(&place).await?);
        let path = IndexPath {
            bucket: args.bucket.clone(),
            index: args.index.clone(),
        };
        let report = service::inspect::inspect(&ctx, &path, args.verify).await;
        report.map_err(|error| error.message().to_owned())
    })?;
    let text = if args.json {
        format!("{report:#}")
    } else {
        tables(&report)
    };
    println!("{text}");
    let damage = at(&report, "/damage").as_array().map_or(0, Vec::len);
    match damage {
        0 => Ok(()),
        damage => Err(format!("{damage} objects of this index are damaged")),
    }
}

/// The report for people.
fn tables(report: &Value) -> String {
    let mut lines = vec![
        format!(
            "{}/{}  {}  dimension {}  {}",
            text(at(report, "/vectorBucketName")),
            text(at(report, "/indexName")),
            text(at(report, "/uuid")),
            at(report, "/dimension"),
            text(at(report, "/distanceMetric"))
        ),
        format!(
            "manifest {}: {} live rows, {} dead, {} bytes; tail: {} entries, {} rows, {} KiB",
            at(report, "/manifestVersion"),
            at(report, "/liveRows"),
            at(report, "/deadRows"),
            at(report, "/bytes"),
            at(report, "/tail/entries"),
            at(report, "/tail/rows"),
            at(report, "/tail/kib")
        ),
    ];
    let generation = at(report, "/generation");
    if !generation.is_null() {
        let (id, rows) = (text(at(generation, "/id")), at(generation, "/rowsWhenTrained"));
        lines.push(format!("generation {id}: trained at {rows} rows"));
    }
    let head = [
        "shard",
        "rows",
        "dead",
        "bytes/row",
        "index",
        "lists",
        "median",
        "largest",
        "recall@10",
        "nprobe",
        "depth",
        "recall@100",
        "generation",
    ];
    let shards = at(report, "/shards").as_array().map_or(&[] as &[Value], Vec::as_slice);
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(shards.iter().map(shard_row));
    lines.push(aligned(&rows));
    for damage in at(report, "/damage").as_array().into_iter().flatten() {
        lines.push(format!("DAMAGED {}", text(damage)));
    }
    if at(report, "/verified") == &Value::Bool(true) && at(report, "/damage").as_array().is_some_and(Vec::is_empty) {
        lines.push("every object was read, every checksum is right".to_owned());
    }
    lines.join("\n")
}

fn shard_row(shard: &Value) -> Vec<String> {
    let index = at(shard, "/index");
    let bytes = at(shard, "/bytesPerRow")
        .as_f64()
        .map_or("?".to_owned(), |bytes| format!("{bytes:.1}"));
    let mut row = vec![
        text(at(shard, "/id")),
        text(at(shard, "/rows")),
        text(at(shard, "/dead")),
        bytes,
    ];
    if index.is_null() {
        row.push("flat".to_owned());
        return row;
    }
    let chosen = at(index, "/curves/0/chosen");
    row.extend([
        format!("{}x{}", text(at(index, "/code/kind")), at(index, "/code/m")),
        text(at(index, "/nlist")),
        text(at(index, "/lists/median")),
        text(at(index, "/lists/largest")),
        text(at(index, "/recallAt10")),
        text(&chosen["nprobe"]),
        text(&chosen["depth"]),
        text(at(index, "/recallAt100")),
        text(at(index, "/generation")),
    ]);
    row
}

/// The member at a JSON pointer; null where there is none.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
