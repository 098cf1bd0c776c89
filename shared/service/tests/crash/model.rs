//! What a client may rely on: the states that the database may be in, given what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::script::Step;

/// Components of every vector.
pub const DIMENSION: usize = 3;

/// Key -> version.
pub type Rows = BTreeMap<String, u32>;

/// One life of the index: its rows after each commit, the empty ones first.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    states: Vec<Arc<Rows>>,
}

impl Life {
    /// A life with nothing written yet.
    pub fn new() -> Self {
        Self {
            states: vec![Arc::default()],
        }
    }

    /// A life whose past nobody knows.
    pub fn of(rows: Rows) -> Self {
        Self {
            states: vec![Arc::new(rows)],
        }
    }

    /// How many writes were committed.
    pub fn commits(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// The rows as of now.
    pub fn rows(&self) -> &Rows {
        self.states.last().expect("a life has a first state")
    }

    /// The rows after so many commits.
    pub fn rows_at(&self, commits: u64) -> Option<&Rows> {
        self.states.get(usize::try_from(commits).ok()?).map(|rows| &**rows)
    }

    fn commit(&self, change: impl FnOnce(&mut Rows)) -> Self {
        let mut rows = self.rows().clone();
        change(&mut rows);
        let mut states = self.states.clone();
        states.push(Arc::new(rows));
        Self { states }
    }
}

/// The database.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Whether the bucket exists.
    pub bucket: bool,
    /// The index, while it exists.
    pub index: Option<Life>,
}

impl State {
    /// The state after a step has taken effect.
    #[must_use]
    pub fn after(&self, step: &Step) -> Self {
        let mut next = self.clone();
        match step {
            Step::CreateBucket => next.bucket = true,
            // A second creation is refused.
            Step::CreateIndex => next.index = Some(next.index.unwrap_or_else(Life::new)),
            Step::DeleteIndex => next.index = None,
            Step::Put(puts) => {
                next.index = next
                    .index
                    .map(|life| life.commit(|rows| rows.extend(puts.iter().cloned())));
            }
            Step::Delete(keys) => {
                next.index = next
                    .index
                    .map(|life| life.commit(|rows| rows.retain(|key, _| !keys.contains(key))));
            }
            // Nothing is committed when nothing matches.
            Step::DeleteBelow(version) => {
                let matches = |life: &Life| life.rows().values().any(|found| found < version);
                next.index = next.index.map(|life| match matches(&life) {
                    true => life.commit(|rows| rows.retain(|_, found| *found >= *version)),
                    false => life,
                });
            }
            Step::Read | Step::Advance(_) | Step::Collect | Step::Purge => {}
            Step::Fold(_) | Step::Compact | Step::Work => {}
        }
        next
    }
}

/// The vector of one version of a key: whole numbers, so that they survive any rounding.
pub fn vector(key: &str, version: u32) -> [f32; DIMENSION] {
    let sum: u32 = key.bytes().map(u32::from).sum();
    [version as f32, (sum % 251) as f32, (version % 7 + sum % 5) as f32]
}

/// The metadata of one version of a key.
pub fn metadata(key: &str, version: u32) -> Value {
    json!({"name": key, "version": version})
}

/// The version that a stored vector and its metadata belong to; an error when they belong to none, or to two.
pub fn version_of(key: &str, found: &[f32], stored: Option<&str>) -> Result<u32, String> {
    let version = found.first().copied().unwrap_or_default() as u32;
    let stored: Value = serde_json::from_str(stored.unwrap_or("null")).map_err(|error| error.to_string())?;
    if found != vector(key, version) || stored != metadata(key, version) {
        return Err(format!("I1: {key} holds {found:?} with {stored}, which nobody wrote"));
    }
    Ok(version)
}
