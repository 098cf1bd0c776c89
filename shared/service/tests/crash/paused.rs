//! A process that is paused right before its commit while another one does something else (I6), pair by pair: the
//! races of `races.rs`, each made to happen.

use std::sync::Arc;
use std::time::Duration;

use engine::pool::Pool;
use genai_vectors_service::Service;
use genai_vectors_service::indexing::{Outcome, collect, compact, fold, work};
use model::{ApiError, Ids, ManualClock, Operation, SeededRandom};
use rstest::rstest;
use serde_json::json;
use storage::layers::faults::{FaultPlan, FaultStore};
use storage::{MemoryStore, ObjectStore};

use super::api::{self, INDEX};
use super::inspect::inspect;
use super::model::{DIMENSION, Rows, State};
use super::play::put_body;
use super::script::{Step, config, delete, put};
use super::world::{self, Gate, Mortal};

const NOW_MS: u64 = 1_767_225_600_000;

/// Two processes over one store, and what the store must hold.
struct Pair {
    store: MemoryStore,
    clock: Arc<ManualClock>,
    gate: Arc<Gate>,
    slow: Service,
    other: Service,
    state: State,
}

impl Pair {
    /// Two shards, `a b c` and `a d` without a's older row; and in the tail a newer `b` and `e`.
    async fn new() -> Self {
        let (store, gate) = (MemoryStore::new(), Arc::<Gate>::default());
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let pool = Arc::new(Pool::new(1).unwrap());
        let faults = FaultStore::new(Arc::new(store.clone()), FaultPlan::new());
        let start = async |objects: Arc<dyn ObjectStore>, seed| {
            let ids = Ids::new(Arc::clone(&clock) as _, Arc::new(SeededRandom::new(seed)));
            world::open(objects, ids, Arc::clone(&pool), config(false)).await
        };
        let slow = start(Arc::new(Mortal::new(faults, &gate)), 1).await;
        let other = start(Arc::new(store.clone()), 2).await;
        let mut pair = Self {
            clock: Arc::clone(&clock),
            store,
            gate,
            slow,
            other,
            state: State::default(),
        };
        let script = [
            Step::CreateBucket,
            Step::CreateIndex,
            put(1, "a b c"),
            Step::Fold(8),
            put(2, "a d"),
            Step::Fold(8),
            put(3, "b e"),
        ];
        for step in script {
            pair.other(step).await;
        }
        pair
    }

    /// The other process takes a step, successfully.
    async fn other(&mut self, step: Step) {
        perform(&self.other, &self.clock, &step).await.unwrap();
        self.state = self.state.after(&step);
    }

    /// The other process takes these steps while the first one is paused before the commit of its own.
    async fn meanwhile(&mut self, slow: Step, others: Vec<Step>) -> Result<Outcome, ApiError> {
        self.gate.close();
        let (service, clock, gate) = (self.slow.clone(), Arc::clone(&self.clock), Arc::clone(&self.gate));
        let paused = perform(&service, &clock, &slow);
        let rest = async {
            gate.reached().await;
            for step in others {
                self.other(step).await;
            }
            gate.open();
        };
        futures::join!(paused, rest).0
    }

    /// The store holds the state, object by object, and both processes say so.
    async fn check(&self) {
        inspect(&self.store, &api::path(INDEX))
            .await
            .unwrap()
            .compare(&self.state)
            .unwrap();
        for service in [&self.slow, &self.other] {
            api::observe(service, &self.state).await.unwrap();
        }
    }
}

async fn perform(service: &Service, clock: &ManualClock, step: &Step) -> Result<Outcome, ApiError> {
    let (ctx, path) = (service.context(), api::path(INDEX));
    let (operation, body) = match step {
        Step::Fold(most) => return Ok(fold::fold_once(ctx, &path, *most).await.unwrap()),
        Step::Compact => return Ok(compact::compact_once(ctx, &path).await.unwrap()),
        Step::Work => {
            assert_eq!(work::folds(ctx, &path, "other").await, work::Next::Idle);
            return Ok(Outcome::Nothing);
        }
        Step::Collect => {
            let record = ctx.ports.catalog.read_record(&path).await.unwrap().unwrap();
            collect::collect_once(ctx, &path, record.uuid).await.unwrap();
            return Ok(Outcome::Nothing);
        }
        Step::Advance(seconds) => {
            clock.advance(Duration::from_secs(*seconds));
            return Ok(Outcome::Nothing);
        }
        Step::Put(rows) => (
            Operation::PutVectors,
            put_body(rows.iter().map(|(key, version)| (key.as_str(), *version))),
        ),
        Step::Delete(keys) => (Operation::DeleteVectors, json!({"keys": keys})),
        Step::DeleteBelow(version) => (
            Operation::DeleteVectors,
            json!({"filter": {"version": {"$lt": version}}}),
        ),
        Step::CreateBucket => (Operation::CreateVectorBucket, json!({})),
        Step::CreateIndex => (
            Operation::CreateIndex,
            json!({"dataType": "float32", "dimension": DIMENSION, "distanceMetric": "euclidean"}),
        ),
        Step::DeleteIndex => (Operation::DeleteIndex, json!({})),
        Step::Read | Step::Purge => panic!("not a step of these tests"),
    };
    api::call(service, operation, INDEX, body)
        .await
        .map(|_| Outcome::Nothing)
}

fn recreate() -> Vec<Step> {
    vec![Step::DeleteIndex, Step::CreateIndex]
}

/// What the collector does in two visits, an hour apart as it were.
fn collect_twice() -> Vec<Step> {
    use Step::{Advance, Collect};
    vec![Advance(10), Collect, Advance(10), Collect]
}

#[rstest]
// The shards that were searched for the fold's keys are gone: their rows are in the output now.
#[case::a_compaction(vec![Step::Compact], true)]
#[case::a_write_and_a_compaction(vec![put(4, "b"), Step::Compact], true)]
#[case::a_write(vec![put(4, "b f"), delete("e")], true)]
// The entries are no longer the first ones.
#[case::a_fold(vec![Step::Fold(8)], false)]
#[case::a_fold_of_more(vec![put(4, "b"), Step::Fold(8), put(5, "b g"), Step::Compact], false)]
#[case::all_work(vec![Step::Work], false)]
// What it would introduce may be on the collector's list.
#[case::the_collector(collect_twice(), false)]
#[tokio::test]
async fn a_paused_fold(#[case] others: Vec<Step>, #[case] commits: bool) {
    let mut pair = Pair::new().await;
    let outcome = pair.meanwhile(Step::Fold(8), others).await.unwrap();
    assert_eq!(matches!(outcome, Outcome::Committed { .. }), commits, "{outcome:?}");
    pair.check().await;
    pair.other(Step::Work).await;
    pair.other(Step::Compact).await;
    pair.check().await;
}

#[rstest]
// Rows of its inputs have died since, and are dead in its output.
#[case::a_fold(vec![Step::Fold(8)], true)]
#[case::folds_of_every_key(vec![Step::Fold(8), delete("a c d"), Step::Fold(8)], true)]
#[case::a_write(vec![put(4, "a b c d")], true)]
#[case::a_compaction(vec![Step::Compact], false)]
#[case::a_compaction_of_more(vec![Step::Fold(8), Step::Compact, put(4, "a c"), Step::Fold(8)], false)]
#[case::the_collector(collect_twice(), false)]
#[tokio::test]
async fn a_paused_compaction(#[case] others: Vec<Step>, #[case] commits: bool) {
    let mut pair = Pair::new().await;
    let outcome = pair.meanwhile(Step::Compact, others).await.unwrap();
    assert_eq!(matches!(outcome, Outcome::Committed { .. }), commits, "{outcome:?}");
    pair.check().await;
    pair.other(Step::Work).await;
    pair.other(Step::Compact).await;
    pair.check().await;
}

/// I7: nothing of the old life enters the new one.
#[rstest]
#[tokio::test]
async fn a_paused_indexer_of_a_deleted_index(#[values(Step::Fold(8), Step::Compact)] slow: Step) {
    let mut pair = Pair::new().await;
    let mut others = recreate();
    others.push(put(9, "a z"));
    let outcome = pair.meanwhile(slow, others).await.unwrap();
    assert_eq!(outcome, Outcome::Gone);
    pair.check().await;
}

/// A write that was paused counts as made when it is acknowledged: it is the newest.
#[rstest]
#[case::a_write(vec![put(4, "a x")])]
#[case::a_fold(vec![Step::Fold(8)])]
#[case::a_fold_and_a_compaction(vec![delete("c"), Step::Fold(8), Step::Compact])]
// Its object may be on the collector's list: it is written again.
#[case::the_collector(collect_twice())]
#[case::another_life(recreate())]
#[tokio::test]
async fn a_paused_write(#[case] others: Vec<Step>) {
    let mut pair = Pair::new().await;
    let write = put(7, "a c y");
    pair.meanwhile(write.clone(), others).await.unwrap();
    pair.state = pair.state.after(&write);
    pair.check().await;
    pair.other(Step::Fold(8)).await;
    pair.check().await;
}

/// A collector that was paused before it raises the floor deletes nothing that was introduced meanwhile.
#[rstest]
#[case::a_write(vec![put(4, "a x")])]
#[case::a_fold(vec![Step::Fold(8)])]
#[case::a_fold_and_a_compaction(vec![Step::Fold(8), Step::Compact, put(5, "a"), delete("b")])]
#[tokio::test]
async fn a_paused_collector(#[case] others: Vec<Step>) {
    let mut pair = Pair::new().await;
    pair.other(Step::Advance(10)).await;
    pair.meanwhile(Step::Collect, others).await.unwrap();
    for step in collect_twice() {
        pair.other(step).await;
    }
    pair.check().await;
}

/// A deletion that was paused: what was acknowledged meanwhile is deleted with the rest.
#[tokio::test]
async fn a_paused_deletion() {
    let mut pair = Pair::new().await;
    pair.meanwhile(Step::DeleteIndex, vec![put(4, "a x"), Step::Fold(8)])
        .await
        .unwrap();
    pair.state = pair.state.after(&Step::DeleteIndex);
    pair.check().await;
    pair.other(Step::CreateIndex).await;
    assert_eq!(pair.state.index.as_ref().map(|life| life.rows()), Some(&Rows::new()));
    pair.check().await;
}
