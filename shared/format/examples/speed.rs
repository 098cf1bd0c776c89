//! How fast the formats are on this machine: `cargo run --release -p genai-vectors-format --example speed`.
//! Times are this thread's CPU time, so that a busy machine does not matter.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use format::{Attributes, KeyIndex, KeysFile, RowsFile, ShardHead, ShardRow, WalObject, WalWriter, encode_shard};
use model::{Dimension, Filter, Strictness};

const ROWS: usize = 350_000;
const DIMENSION: usize = 100;

/// Nanoseconds that this thread has had a processor (Linux).
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, f64) {
    let start = cpu_ns();
    let result = work();
    let seconds = (cpu_ns() - start) as f64 / 1e9;
    println!("{what:<48} {:>10.3} ms", seconds * 1e3);
    (result, seconds)
}

fn main() {
    let dimension = Dimension::new(DIMENSION as u32).unwrap();
    let values: Vec<f32> = (0..ROWS * DIMENSION)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761) as f32 / 4e9)
        .collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut keys: Vec<String> = (0..ROWS)
        .map(|i| format!("word-{:08x}", (i as u32).wrapping_mul(2_654_435_761)))
        .collect();
    keys.sort();
    let metadata: Vec<String> = (0..ROWS)
        .map(|i| {
            format!(
                r#"{{"word":"w{i}","rank":{i},"group":"g{}","even":{},"text":"some text of row {i}"}}"#,
                i % 17,
                i % 2 == 0
            )
        })
        .collect();
    wal(dimension, &values, &keys);
    let row = |i: usize, with: bool| ShardRow {
        key: &keys[i],
        vector: &bytes[i * DIMENSION * 4..(i + 1) * DIMENSION * 4],
        metadata: with.then(|| metadata[i].as_str()),
    };
    let plain: Vec<ShardRow> = (0..ROWS).map(|i| row(i, false)).collect();
    let full: Vec<ShardRow> = (0..ROWS).map(|i| row(i, true)).collect();
    timed("encode_shard 350k x 100, no metadata", || {
        encode_shard(dimension, &[], &plain, None).unwrap()
    });
    let (shard, _) = timed("encode_shard 350k x 100, 5 metadata fields", || {
        encode_shard(dimension, &["text".to_owned()], &full, None).unwrap()
    });
    println!(
        "   rows {} keys {} fst {} attributes {} head {}",
        shard.rows.len(),
        shard.keys.len(),
        shard.fst.len(),
        shard.attributes.len(),
        shard.head.len()
    );
    read(&shard, &keys);
}

fn wal(dimension: Dimension, values: &[f32], keys: &[String]) {
    let (object, seconds) = timed("wal: push and finish 350k x 100", || {
        let mut writer = WalWriter::new(dimension);
        for (key, vector) in keys.iter().zip(values.chunks(DIMENSION)) {
            writer.push_put(key, vector, Some(r#"{"a":1}"#));
        }
        writer.finish().unwrap()
    });
    println!(
        "   {:.2} GB/s of vector bytes",
        (values.len() * 4) as f64 / seconds / 1e9
    );
    let (object, seconds) = timed("wal: decode", || WalObject::decode(object).unwrap());
    println!(
        "   {:.2} GB/s of vector bytes",
        (values.len() * 4) as f64 / seconds / 1e9
    );
    timed("wal: read every row", || {
        (0..object.rows())
            .map(|row| object.key(row).len() + object.vector_bytes(row).len())
            .sum::<usize>()
    });
    let (_, seconds) = timed("wal: 700 objects of 500 x 100", || {
        for (keys, vectors) in keys.chunks(500).zip(values.chunks(500 * DIMENSION)) {
            let mut writer = WalWriter::new(dimension);
            for (key, vector) in keys.iter().zip(vectors.chunks(DIMENSION)) {
                writer.push_put(key, vector, Some(r#"{"a":1}"#));
            }
            writer.finish().unwrap();
        }
    });
    println!(
        "   {:.2} GB/s of vector bytes",
        (values.len() * 4) as f64 / seconds / 1e9
    );
    timed("wal: one put of 100 values, 1000 times", || {
        for _ in 0..1000 {
            let mut writer = WalWriter::new(dimension);
            writer.push_put("key", &values[..DIMENSION], None);
            WalObject::decode(writer.finish().unwrap()).unwrap();
        }
    });
}

fn read(shard: &format::EncodedShard, keys: &[String]) {
    let (head, _) = timed("head decode", || ShardHead::decode(&shard.head).unwrap());
    timed("verify rows.parquet", || {
        format::verify(format::FileKind::Rows, &shard.files.rows, &shard.rows).unwrap()
    });
    let (rows, _) = timed("rows open", || RowsFile::open(shard.rows.clone(), &head).unwrap());
    let (sum, seconds) = timed("scan: first byte of each cache line", || {
        rows.vector_runs()
            .map(|(_, run)| run.iter().step_by(64).map(|byte| u64::from(*byte)).sum::<u64>())
            .sum::<u64>()
    });
    println!(
        "   {:.1} GB/s (sum {sum})",
        head.summary.vector_bytes as f64 / seconds / 1e9
    );
    let random: Vec<u32> = (0..10).map(|i| i * 34_567 + 3).collect();
    for _ in 0..3 {
        timed("metadata of 10 random rows", || rows.metadata(&random).unwrap());
    }
    let consecutive: Vec<u32> = (100_000..101_000).collect();
    timed("metadata of 1000 consecutive rows", || {
        rows.metadata(&consecutive).unwrap()
    });
    let spread: Vec<u32> = (0..1000).map(|i| i * 350).collect();
    timed("metadata of 1000 spread rows", || rows.metadata(&spread).unwrap());
    let every: Vec<u32> = (0..rows.rows()).collect();
    timed("metadata of every row", || rows.metadata(&every).unwrap());
    timed("keys open", || KeysFile::open(shard.keys.clone()).unwrap());
    let index = KeyIndex::open(shard.fst.clone()).unwrap();
    timed("fst: find 350k keys that are there", || {
        keys.iter().filter(|key| index.find(key).is_some()).count()
    });
    let (hits, _) = timed("fst: 350k filter misses", || {
        keys.iter()
            .filter(|key| index.may_contain(format::key_hash(&format!("{key}x"))))
            .count()
    });
    println!("   {:.2} % false", hits as f64 / keys.len() as f64 * 100.0);
    timed("fst: list all keys", || index.range(None, "").count());
    let (attributes, _) = timed("attributes open", || {
        Attributes::open(shard.attributes.clone()).unwrap()
    });
    for json in [
        r#"{"group":"g3"}"#,
        r#"{"word":"w777"}"#,
        r#"{"rank":{"$gte":1000,"$lt":200000}}"#,
        r#"{"word":{"$startsWith":"w1"}}"#,
        r#"{"$and":[{"even":true},{"group":{"$in":["g1","g2"]}}]}"#,
    ] {
        let filter = Filter::parse(json, Strictness::Lenient).unwrap();
        let (rows, _) = timed(json, || attributes.evaluate(&filter).unwrap());
        println!("   {} rows", rows.len());
    }
}
