//! What was acknowledged by when, and what was on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genai_vectors_service::Service;
use model::{ApiError, Operation};
use rand::RngExt;
use serde_json::json;
use tokio::time::sleep;

use crate::crash::api::{self, INDEX};
use crate::crash::model::Rows;
use crate::crash::play::put_body;
use crate::race::arena::Arena;

const KEYS: u32 = 8;

/// One write: every key gets the version, or goes.
#[derive(Debug, Clone)]
struct Write {
    keys: BTreeSet<String>,
    version: Option<u32>,
}

impl Write {
    fn apply(&self, rows: &mut Rows) {
        for key in &self.keys {
            match self.version {
                Some(version) => rows.insert(key.clone(), version),
                None => rows.remove(key),
            };
        }
    }
}

/// What one writer knows.
#[derive(Debug, Clone, Default)]
struct Account {
    acknowledged: Rows,
    on_its_way: Option<Write>,
}

/// What all writers know at one moment.
#[derive(Debug, Clone, Default)]
pub struct Ledger(BTreeMap<usize, Account>);

impl Ledger {
    /// Each writer's rows are those of its acknowledged writes, with or without the whole of the one that was on its
    /// way.
    pub fn check(&self, found: &Rows) -> Result<(), String> {
        for (writer, account) in &self.0 {
            let mine = |(key, _): &(&String, &u32)| owner_of(key) == Some(*writer);
            let own: Rows = found
                .iter()
                .filter(mine)
                .map(|(key, version)| (key.clone(), *version))
                .collect();
            let without = account.acknowledged.clone();
            let mut with = without.clone();
            if let Some(write) = &account.on_its_way {
                write.apply(&mut with);
            }
            if own != without && own != with {
                return Err(format!(
                    "I1: writer {writer} finds {own:?}, not {without:?} nor {with:?}"
                ));
            }
        }
        Ok(())
    }

    /// How many keys must be there, or gone, for certain.
    pub fn acknowledged(&self) -> usize {
        self.0.values().map(|account| account.acknowledged.len()).sum()
    }
}

fn owner_of(key: &str) -> Option<usize> {
    key.strip_prefix('l')?.split_once('-')?.0.parse().ok()
}

/// The ledger that writers share.
pub type Shared = Arc<Mutex<Ledger>>;

/// Until somebody has made the index.
pub async fn wait_for_index(arena: &Arena) {
    while api::call(&arena.services[0], Operation::GetIndex, INDEX, json!({}))
        .await
        .is_err()
    {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Writes keys of its own until the race is over, and notes what it knows as soon as it knows it.
pub async fn writer(arena: Arc<Arena>, ledger: Shared, number: usize) {
    let mut random = arena.random(300 + number as u64);
    wait_for_index(&arena).await;
    for version in 1.. {
        if arena.is_over() {
            return;
        }
        let keys: BTreeSet<String> = (0..random.random_range(1..5))
            .map(|_| format!("l{number}-{}", random.random_range(0..KEYS)))
            .collect();
        let deletes = random.random_range(0..4) == 0;
        let write = Write {
            keys,
            version: (!deletes).then_some(version),
        };
        let note = |change: &dyn Fn(&mut Account)| change(ledger.lock().unwrap().0.entry(number).or_default());
        note(&|account| account.on_its_way = Some(write.clone()));
        send(&arena.services[random.random_range(0..2)], &write).await;
        note(&|account| {
            write.apply(&mut account.acknowledged);
            account.on_its_way = None;
        });
        sleep(Duration::from_millis(random.random_range(0..20))).await;
    }
}

async fn send(service: &Service, write: &Write) {
    let (operation, body) = match write.version {
        Some(version) => {
            let rows = write.keys.iter().map(|key| (key.as_str(), version));
            (Operation::PutVectors, put_body(rows))
        }
        None => (Operation::DeleteVectors, json!({"keys": write.keys})),
    };
    loop {
        match api::call(service, operation, INDEX, body.clone()).await {
            Ok(_) => return,
            Err(
                ApiError::ServiceUnavailable { .. }
                | ApiError::TooManyRequests { .. }
                | ApiError::RequestTimeout { .. },
            ) => sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
