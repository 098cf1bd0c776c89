//! Plays a script until its end or until the process dies, and knows what must be true afterwards.

use std::sync::Arc;

use genai_vectors_service::Context;
use genai_vectors_service::indexing::{collect, compact, fold, purge::Purger, work};
use model::{ApiError, Ids, ManualClock, Operation, SeededRandom};
use serde_json::{Value, json};

use super::api::{self, INDEX, Seen};
use super::inspect;
use super::model::{DIMENSION, State, metadata, vector};
use super::script::{Step, settle};
use super::world::{self, Died, Process, World};

/// Rounds of the sweep before it counts as endless.
const SWEEPS: usize = 64;

/// How a step ended.
enum Ended {
    Acknowledged,
    /// The caller was told that it failed, or that nobody knows.
    Refused(String),
    /// It claims something that cannot be.
    Wrong(String),
}

/// How far a script has come.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The next step.
    at: usize,
    /// The states that the database may be in: two after a step of unknown outcome.
    pub possible: Vec<State>,
    /// What a client does about a write of unknown outcome: send it again, or not.
    again: bool,
    /// A request may still be on its way: what is seen now need not be what stays.
    pub in_flight: bool,
    /// Steps may fail without the process dying.
    pub tolerant: bool,
    /// The script is done; what follows is [`settle`].
    settling: bool,
}

impl Progress {
    pub fn new(again: bool) -> Self {
        Self {
            at: 0,
            possible: vec![State::default()],
            again,
            in_flight: false,
            tolerant: false,
            settling: false,
        }
    }

    /// The same database, another script.
    #[must_use]
    pub fn rewound(&self) -> Self {
        Self { at: 0, ..self.clone() }
    }

    /// Whether the script itself is done.
    pub fn is_settling(&self) -> bool {
        self.settling
    }

    /// On to the work that follows a script.
    #[must_use]
    pub fn settling(&self) -> Self {
        Self {
            settling: true,
            ..self.rewound()
        }
    }

    fn acknowledge(&mut self, step: &Step) {
        for state in &mut self.possible {
            *state = state.after(step);
        }
        self.possible.dedup();
        self.at += 1;
    }

    /// The step may or may not have taken effect, as a whole.
    fn doubt(&mut self, step: &Step) {
        let after: Vec<State> = self.possible.iter().map(|state| state.after(step)).collect();
        for state in after {
            if !self.possible.contains(&state) {
                self.possible.push(state);
            }
        }
        let is_write = matches!(step, Step::Put(_) | Step::Delete(_) | Step::DeleteBelow(_));
        if is_write && !self.again {
            self.at += 1;
        }
    }

    /// Whether a name that is taken, or gone, is what an earlier attempt of this step has left.
    fn explains(&self, step: &Step, error: &ApiError) -> bool {
        let some = |test: fn(&State) -> bool| self.possible.iter().any(test);
        match (step, error) {
            (Step::CreateBucket, ApiError::Conflict { .. }) => some(|state| state.bucket),
            (Step::CreateIndex, ApiError::Conflict { .. }) => some(|state| state.index.is_some()),
            (Step::DeleteIndex, ApiError::NotFound { .. }) => some(|state| state.index.is_none()),
            _ => false,
        }
    }
}

/// Plays the rest of the script. `Ok(Err(Died))`: up to the death of the process.
pub fn play(world: &mut World, progress: &mut Progress, script: &[Step]) -> Result<Result<(), Died>, String> {
    let Ok(process) = world.boot() else {
        return Ok(Err(Died));
    };
    let mut attempts = 0;
    while let Some(step) = script.get(progress.at) {
        let told = |error: String| format!("step {} {step:?}: {error}", progress.at);
        match perform(&process, progress, step) {
            Err(Died) => {
                progress.doubt(step);
                return Ok(Err(Died));
            }
            Ok(Ended::Acknowledged) => {
                progress.acknowledge(step);
                attempts = 0;
            }
            Ok(Ended::Wrong(error)) => return Err(told(error)),
            Ok(Ended::Refused(error)) if !progress.tolerant || attempts == 3 => return Err(told(error)),
            Ok(Ended::Refused(_)) => {
                attempts += 1;
                progress.doubt(step);
                deliver_late(world, progress);
                check(world, progress).map_err(told_after(step))?;
            }
        }
    }
    Ok(if world.plan().is_dead() { Err(Died) } else { Ok(()) })
}

fn told_after(step: &Step) -> impl Fn(String) -> String {
    move |error| format!("after {step:?} failed: {error}")
}

/// Whatever is on its way arrives now; after this nothing is open.
pub fn deliver_late(world: &World, progress: &mut Progress) {
    world::runtime().block_on(world.faults.deliver_late());
    progress.in_flight = false;
}

fn perform(process: &Process, progress: &Progress, step: &Step) -> Result<Ended, Died> {
    let service = &process.service;
    let (operation, body) = match step {
        Step::CreateBucket => (Operation::CreateVectorBucket, json!({})),
        Step::CreateIndex => (
            Operation::CreateIndex,
            json!({"dataType": "float32", "dimension": DIMENSION, "distanceMetric": "euclidean"}),
        ),
        Step::DeleteIndex => (Operation::DeleteIndex, json!({})),
        Step::Put(rows) => (
            Operation::PutVectors,
            put_body(rows.iter().map(|(key, version)| (key.as_str(), *version))),
        ),
        Step::Delete(keys) => (Operation::DeleteVectors, json!({"keys": keys})),
        Step::DeleteBelow(version) => (
            Operation::DeleteVectors,
            json!({"filter": {"version": {"$lt": version}}}),
        ),
        Step::Read => return process.run(read(process, progress)),
        Step::Advance(seconds) => {
            process.clock.advance(std::time::Duration::from_secs(*seconds));
            return Ok(Ended::Acknowledged);
        }
        Step::Fold(_) | Step::Compact | Step::Work | Step::Collect | Step::Purge => {
            return process.run(index(process, step));
        }
    };
    Ok(match process.run(api::call(service, operation, INDEX, body))? {
        Ok(_) => Ended::Acknowledged,
        Err(error) if progress.explains(step, &error) => Ended::Acknowledged,
        Err(error) => Ended::Refused(error.to_string()),
    })
}

/// A PutVectors request of these keys and versions.
pub fn put_body<'a>(rows: impl Iterator<Item = (&'a str, u32)>) -> Value {
    let record = |(key, version)| json!({"key": key, "data": {"float32": vector(key, version)}, "metadata": metadata(key, version)});
    json!({"vectors": rows.map(record).collect::<Vec<_>>()})
}

/// All reads agree with one of the possible states.
async fn read(process: &Process, progress: &Progress) -> Ended {
    let mut wrong = Vec::new();
    for state in &progress.possible {
        match api::observe(&process.service, state).await {
            Ok(()) => return Ended::Acknowledged,
            Err(Seen::Wrong(error)) => wrong.push(error),
            Err(Seen::Failed(error)) => return Ended::Refused(error.to_string()),
        }
    }
    Ended::Wrong(wrong.join("; or "))
}

async fn index(process: &Process, step: &Step) -> Ended {
    let ctx = process.service.context();
    let path = api::path(INDEX);
    let outcome = match step {
        Step::Fold(most) => fold::fold_once(ctx, &path, *most)
            .await
            .map(|_| ())
            .map_err(|error| error.to_string()),
        Step::Compact => compact::compact_once(ctx, &path)
            .await
            .map(|_| ())
            .map_err(|error| error.to_string()),
        Step::Collect => collect_all(ctx).await,
        Step::Purge => Purger::default()
            .run(ctx)
            .await
            .map(|_| ())
            .map_err(|error| error.to_string()),
        _ => sweep(ctx, &process.clock, &format!("process {}", process.number)).await,
    };
    match outcome {
        Ok(()) => Ended::Acknowledged,
        Err(error) => Ended::Refused(error),
    }
}

async fn collect_all(ctx: &Arc<Context>) -> Result<(), String> {
    for (path, uuid) in ctx
        .ports
        .catalog
        .list_all_indexes()
        .await
        .map_err(|error| error.to_string())?
    {
        collect::collect_once(ctx, &path, uuid)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the indexer does about every index with a dirty mark, until there is none; leases run out meanwhile.
pub async fn sweep(ctx: &Arc<Context>, clock: &ManualClock, holder: &str) -> Result<(), String> {
    for _ in 0..SWEEPS {
        let dirty = ctx
            .ports
            .catalog
            .list_dirty()
            .await
            .map_err(|error| error.to_string())?;
        if dirty.is_empty() {
            return Ok(());
        }
        for index in dirty {
            let folded = work::folds(ctx, &index.path, holder).await;
            let compacted = work::compactions(ctx, &index.path, holder).await;
            for next in [folded, compacted] {
                if let work::Next::At(at_ms) | work::Next::NotBefore(at_ms) = next {
                    clock.set(at_ms.max(ctx.now_ms()) + 1);
                }
            }
        }
    }
    Err("the dirty mark stays".to_owned())
}

/// One of the possible states is what the store holds, down to its objects, and what a process that opens it now
/// answers. That one is the truth from here on, unless a request is still on its way.
pub fn check(world: &World, progress: &mut Progress) -> Result<(), String> {
    world::runtime().block_on(async {
        // A store that was never opened to the end holds nothing yet.
        let found = match look_into(world).await {
            Ok(found) => found,
            Err(_) if progress.possible == [State::default()] => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut wrong = Vec::new();
        for state in &progress.possible {
            match found.compare(state) {
                Err(error) => wrong.push(error),
                Ok(()) => {
                    let state = state.clone();
                    reopen_and_observe(world, &state).await?;
                    if !progress.in_flight {
                        progress.possible = vec![state];
                    }
                    return Ok(());
                }
            }
        }
        Err(wrong.join("; or "))
    })
}

/// What the store holds.
async fn look_into(world: &World) -> Result<inspect::Found, String> {
    let (store, catalog) = world.photograph().await?;
    inspect::inspect_with(catalog.as_ref(), &store, &api::path(INDEX)).await
}

pub async fn reopen_and_observe(world: &World, state: &State) -> Result<(), String> {
    let ids = Ids::new(Arc::clone(&world.clock) as _, Arc::new(SeededRandom::new(u64::MAX / 3)));
    let service = world.reopen(ids).await?;
    match api::observe(&service, state).await {
        Ok(()) => Ok(()),
        Err(Seen::Wrong(error)) => Err(format!("reopened: {error}")),
        Err(Seen::Failed(error)) => Err(format!("reopened: {error}")),
    }
}

/// The rest of the script, the ordinary work after it, and the last look.
pub fn finish(world: &mut World, progress: &mut Progress, script: &[Step]) -> Result<(), String> {
    if play(world, progress, script)? == Err(Died) {
        return Err("a process died that nobody killed".to_owned());
    }
    deliver_late(world, progress);
    check(world, progress).map_err(|error| format!("at the end: {error}"))?;
    let mut settling = progress.settling();
    if play(world, &mut settling, &settle())? == Err(Died) {
        return Err("a process died that nobody killed".to_owned());
    }
    check(world, &mut settling).map_err(|error| format!("settled: {error}"))?;
    world::runtime().block_on(look_into(world))?.check_tidy()
}
