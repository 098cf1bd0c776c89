//! What a scenario does, step by step, through the public interface.

use std::time::Duration;

use engine::compaction_policy::PolicyConfig;
use genai_vectors_service::Config;

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    CreateBucket,
    CreateIndex,
    DeleteIndex,
    /// Key and version of each row: one request.
    Put(Vec<(String, u32)>),
    /// One request.
    Delete(Vec<String>),
    /// One request by filter: what has an older version than this.
    DeleteBelow(u32),
    /// Everything is read and compared, by the process that has been running so far.
    Read,
    /// One fold of so many entries at most.
    Fold(usize),
    Compact,
    /// Folds and compactions as the sweep starts them, until nothing is due.
    Work,
    /// Seconds pass.
    Advance(u64),
    /// One run of the collector.
    Collect,
    /// One run of the purge.
    Purge,
}

/// Versions are told apart by their number: no two steps write the same one.
pub fn put(version: u32, keys: &str) -> Step {
    Step::Put(keys.split(' ').map(|key| (key.to_owned(), version)).collect())
}

pub fn delete(keys: &str) -> Step {
    Step::Delete(keys.split(' ').map(str::to_owned).collect())
}

/// Put, overwrite, delete, fold, compact, collect, delete index and re-create it.
pub fn whole_life() -> Vec<Step> {
    use Step::{
        Advance, Collect, Compact, CreateBucket, CreateIndex, DeleteBelow, DeleteIndex, Fold, Purge, Read, Work,
    };
    vec![
        CreateBucket,
        CreateIndex,
        put(1, "a b c"),
        put(2, "d e"),
        Read,
        Fold(2),
        put(3, "a f"),
        delete("b e"),
        Fold(1),
        put(4, "c g"),
        Read,
        Compact,
        put(5, "b"),
        Fold(8),
        DeleteBelow(3),
        Read,
        delete("g"),
        put(6, "d h"),
        Fold(2),
        Advance(10),
        Collect,
        put(7, "a"),
        Compact,
        Advance(10),
        Collect,
        Read,
        Work,
        put(8, "h i"),
        delete("a"),
        DeleteIndex,
        CreateIndex,
        Read,
        put(9, "a z"),
        Fold(4),
        Advance(10),
        Purge,
        put(10, "z"),
        Fold(1),
        Collect,
        Read,
        Work,
        Read,
    ]
}

/// Each kind of storage call of [`whole_life`], in fewer steps.
pub fn short_life() -> Vec<Step> {
    use Step::{Advance, Collect, Compact, CreateBucket, CreateIndex, DeleteIndex, Fold, Purge, Read, Work};
    vec![
        CreateBucket,
        CreateIndex,
        put(1, "a b c"),
        put(2, "d e"),
        Fold(2),
        put(3, "a f"),
        delete("b"),
        Fold(8),
        Compact,
        Advance(10),
        Collect,
        Advance(10),
        Collect,
        Work,
        DeleteIndex,
        CreateIndex,
        put(4, "a z"),
        Fold(4),
        Advance(10),
        Purge,
        Read,
    ]
}

/// What every recovery ends with: the ordinary work of an indexer that found the database at rest.
pub fn settle() -> Vec<Step> {
    use Step::{Advance, Collect, Purge, Work};
    vec![
        Advance(100),
        Work,
        Advance(10),
        Collect,
        Advance(10),
        Collect,
        Purge,
        Advance(10),
        Collect,
        Purge,
    ]
}

/// Rows of the shard whose deletion vector is too large for the manifest.
const WIDE_ROWS: u32 = 6_300;
const BATCH: usize = 500;

fn wide_key(row: u32) -> String {
    format!("row-{row:05}")
}

fn wide_batches(keep: fn(&u32) -> bool) -> Vec<Vec<String>> {
    let keys: Vec<String> = (0..WIDE_ROWS).filter(keep).map(wide_key).collect();
    keys.chunks(BATCH).map(<[String]>::to_vec).collect()
}

/// One big shard and, in the tail, deletions of most of its rows.
pub fn wide_prelude() -> Vec<Step> {
    let mut steps = vec![Step::CreateBucket, Step::CreateIndex];
    let puts = wide_batches(|_| true).into_iter();
    steps.extend(puts.map(|keys| Step::Put(keys.into_iter().map(|key| (key, 1)).collect())));
    steps.push(Step::Fold(64));
    // Scattered, so that neither runs nor a list of them is short.
    steps.extend(wide_batches(|row| row % 3 != 0).into_iter().map(Step::Delete));
    steps.push(put(2, "row-00001 row-00003"));
    steps
}

/// Folds that write deletion vectors as objects, then replace them, and leave the old ones to the collector.
pub fn wide_steps() -> Vec<Step> {
    use Step::{Advance, Collect, Compact, Fold, Read};
    vec![
        Fold(64),
        Read,
        delete("row-00006"),
        put(3, "row-00004 row-00009"),
        Fold(64),
        Advance(10),
        Collect,
        Advance(10),
        Collect,
        Read,
        Compact,
        Read,
    ]
}

/// Small enough that a handful of rows goes through everything: compactions of four rows train a generation and make a
/// shard with an index, and queries ask it for all it has, so that answers stay exact.
pub fn config(absorbing: bool) -> Config {
    let mut config = Config {
        compaction: PolicyConfig {
            fan_in: 2,
            flat_threshold: 4,
            busy_factor: 1,
            dead_fraction: 0.95,
            ..PolicyConfig::default()
        },
        ..Config::default()
    };
    if !absorbing {
        config.compaction.absorb_ratio = 0;
        config.compaction.absorb_free_bytes = 0;
    }
    config.search.nprobe = Some(u32::MAX);
    config.search.rerank_depth = Some(10_000);
    config.write.retry_pause = Duration::from_micros(10);
    config.fold.due_entries = 1;
    config.fold.lease = Duration::from_secs(2);
    config.fold.retry_first = Duration::from_millis(10);
    config.collection.floor_age = Duration::from_secs(5);
    config.collection.list_age = Duration::from_secs(5);
    config.collection.purge_age = Duration::from_secs(5);
    config
}
