//! Crash enumeration: a scenario is run once to count its storage calls, then again for each of them with a process
//! that dies there, before or after the call's effect. Whatever the next process finds must be one whole step, and
//! the invariants I1-I7 of DESIGN.md must hold: at once, and again after ordinary work.
//!
//! | module | what it holds |
//! |---|---|
//! | `script` | the scenarios |
//! | `model` | what a client may rely on |
//! | `world` | the store, the processes, their deaths |
//! | `play` | plays a script and checks what is left |
//! | `inspect` | the invariants, on the stored objects |
//! | `api` | the invariants, as a client sees them |
//! | `remote`, `mortal` | a database on real servers instead, and the way to its catalog (`servers.rs`) |
//! | `paused` | processes that are paused before a commit instead of dying |
//! | `planted` | mistakes that the checks must find |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs
)]

mod crash {
    pub mod api;
    pub mod inspect;
    pub mod model;
    pub mod mortal;
    mod paused;
    mod planted;
    pub mod play;
    pub mod remote;
    pub mod script;
    pub mod world;
}

use std::sync::Arc;

use crash::play::{Progress, check, deliver_late, finish, play};
use crash::script::{Step, config, settle, whole_life, wide_prelude, wide_steps};
use crash::world::{Died, Image, World};
use engine::pool::Pool;
use genai_vectors_service::Config;
use model::{Randomness, SeededRandom};
use rstest::rstest;
use storage::layers::faults::{Call, Fault, When};

/// A script from a given moment on.
struct Scenario {
    config: Config,
    pool: Arc<Pool>,
    start: Image,
    before: Progress,
    script: Vec<Step>,
}

/// Second crashes for each first one, near and far.
const SECOND_CRASHES: usize = if cfg!(debug_assertions) { 1 } else { 4 };

/// A crash of the process at one storage call.
type Crash = (u64, When);

impl Scenario {
    fn new(config: Config, prelude: &[Step], script: Vec<Step>) -> Self {
        let pool = Arc::new(Pool::new(1).unwrap());
        let mut world = World::new(&config, &pool);
        let mut before = Progress::new(true);
        if !prelude.is_empty() {
            play(&mut world, &mut before, prelude).unwrap().unwrap();
            check(&world, &mut before).unwrap();
        }
        Self {
            start: world.image(),
            before: before.rewound(),
            config,
            pool,
            script,
        }
    }

    fn world(&self) -> World {
        World::restored(&self.start, &self.config, &self.pool)
    }

    fn progress(&self, number: u64) -> Progress {
        // Half of the clients send a write of unknown outcome again.
        let mut progress = Progress::new(number.is_multiple_of(2));
        progress.possible.clone_from(&self.before.possible);
        progress
    }

    /// The storage calls of the script when nothing fails.
    fn calls(&self) -> Vec<Call> {
        let mut world = self.world();
        let mut progress = self.progress(0);
        play(&mut world, &mut progress, &self.script).unwrap().unwrap();
        let calls = world.plan().calls();
        finish(&mut world, &mut progress, &self.script).unwrap();
        calls
    }

    /// Plays until the crash; the world as the dead process leaves it, checked.
    fn crash(&self, (number, when): Crash) -> Result<(World, Progress), String> {
        let mut world = self.world();
        let mut progress = self.progress(number);
        world.plan().crash_at(number, when);
        if play(&mut world, &mut progress, &self.script)? == Ok(()) {
            return Err("nobody died".to_owned());
        }
        world.revive();
        check(&world, &mut progress).map_err(|error| format!("reopened: {error}"))?;
        Ok((world, progress))
    }

    /// Every call of the script, on one side of its effect.
    fn crash_everywhere(&self, when: When) {
        for call in self.calls() {
            let outcome = self.crash((call.number, when)).and_then(|(mut world, mut progress)| {
                // The run up to here was the one that was counted.
                let same = world.plan().calls().get(call.number as usize - 1) == Some(&call);
                if same {
                    finish(&mut world, &mut progress, &self.script)
                } else {
                    Err("another call".to_owned())
                }
            });
            outcome.unwrap_or_else(|error| panic!("died {when:?} call {call}: {error}"));
        }
    }

    /// Crashes again inside the recovery from `first`, at `pick`'s calls of it, and recovers from that.
    fn crash_again(&self, first: Crash, pick: impl Fn(u64) -> Vec<Crash>) -> usize {
        let place = |error: String| -> String { format!("died {first:?}: {error}") };
        let (world, progress) = self.crash(first).map_err(place).unwrap();
        let image = world.image();
        let restored = || World::restored(&image, &self.config, &self.pool);
        let mut sound = restored();
        finish(&mut sound, &mut progress.clone(), &self.script)
            .map_err(place)
            .unwrap();
        let picked = pick(sound.plan().count());
        for second in &picked {
            let outcome = self.recover_twice(restored(), progress.clone(), *second);
            outcome.unwrap_or_else(|error| panic!("died {first:?}, then {second:?} of the recovery: {error}"));
        }
        picked.len()
    }

    fn recover_twice(&self, mut world: World, mut progress: Progress, (number, when): Crash) -> Result<(), String> {
        world.plan().crash_at(number, when);
        let mut settling = None;
        if play(&mut world, &mut progress, &self.script)? == Ok(()) {
            // The second death lies in the work that follows the script.
            let mut rest = progress.settling();
            if play(&mut world, &mut rest, &settle())? == Ok(()) {
                return Err("nobody died again".to_owned());
            }
            settling = Some(rest);
        }
        world.revive();
        let progress = settling.as_mut().unwrap_or(&mut progress);
        check(&world, progress).map_err(|error| format!("reopened: {error}"))?;
        let script = if progress.is_settling() {
            settle()
        } else {
            self.script.clone()
        };
        finish(&mut world, progress, &script)
    }

    /// Something else than a crash goes wrong at a call: the process lives on, and whoever is told of a failure asks
    /// again.
    fn disturb(&self, call: &Call, what: &str, order: impl Fn(&World)) {
        let mut world = self.world();
        let mut progress = self.progress(call.number);
        progress.tolerant = true;
        order(&world);
        let outcome = play(&mut world, &mut progress, &self.script).and_then(|_| {
            deliver_late(&world, &mut progress);
            finish(&mut world, &mut progress, &self.script)
        });
        outcome.unwrap_or_else(|error| panic!("{what} at call {call}: {error}"));
    }

    /// The process dies right after it has sent a request, which arrives while the next process is at work.
    fn die_with_a_request_on_its_way(&self, call: &Call, arrives_after: u64) -> Result<(), String> {
        let mut world = self.world();
        let mut progress = self.progress(call.number);
        world.plan().delay_at(call.number, arrives_after);
        world.plan().crash_at(call.number + 1, When::Before);
        progress.in_flight = true;
        progress.tolerant = true;
        if play(&mut world, &mut progress, &self.script)? == Err(Died) {
            world.revive();
            check(&world, &mut progress).map_err(|error| format!("reopened: {error}"))?;
        }
        finish(&mut world, &mut progress, &self.script)
    }
}

fn is_write(call: &Call) -> bool {
    ["put", "create", "replace", "delete"].contains(&call.method)
}

/// The scenarios: shards kept apart until a compaction, shards absorbed by folds, deletion vectors as objects.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Apart,
    Absorbing,
    Wide,
}

impl Kind {
    fn scenario(self) -> Scenario {
        match self {
            Self::Apart => Scenario::new(config(false), &[], whole_life()),
            Self::Absorbing => Scenario::new(config(true), &[], whole_life()),
            Self::Wide => Scenario::new(config(false), &wide_prelude(), wide_steps()),
        }
    }
}

/// What the scenarios are about does happen in them.
#[test]
fn the_scenarios_reach_every_kind_of_object() {
    let calls = Kind::Apart.scenario().calls();
    let wide = Kind::Wide.scenario().calls();
    let happens = |calls: &[Call], method: &str, part: &str| {
        calls
            .iter()
            .any(|call| call.method == method && call.arguments.contains(part))
    };
    for part in ["/wal/", "/shard/", "/manifest/", "/gc/"] {
        assert!(happens(&calls, "put", part), "put {part}");
        assert!(happens(&calls, "delete", part), "delete {part}");
    }
    for part in ["/train/", "/index.faiss"] {
        assert!(happens(&calls, "put", part), "put {part}");
        assert!(happens(&calls, "delete", part), "delete {part}");
    }
    assert!(happens(&calls, "put", "/tombstone/"));
    assert!(happens(&wide, "put", "/dead/") && happens(&wide, "delete", "/dead/"));
}

#[rstest]
fn a_crash_leaves_nothing_to_repair(
    #[values(Kind::Apart, Kind::Absorbing, Kind::Wide)] kind: Kind,
    #[values(When::Before, When::After)] when: When,
) {
    kind.scenario().crash_everywhere(when);
}

/// A seeded choice among all pairs of crashes: every first one, and for each some of the calls of its recovery, half
/// of them soon after the database was opened again.
#[rstest]
fn a_crash_inside_the_recovery_leaves_nothing_to_repair(#[values(When::Before, When::After)] when: When) {
    let scenario = Kind::Apart.scenario();
    let random = SeededRandom::new(11);
    let draw = |below: u64| (random.next_u128() % u128::from(below.max(1))) as u64 + 1;
    let side = || {
        if random.next_u128().is_multiple_of(2) {
            When::Before
        } else {
            When::After
        }
    };
    let mut pairs = 0;
    for call in scenario.calls() {
        let pick = |calls: u64| -> Vec<Crash> {
            let near = (0..SECOND_CRASHES).map(|_| (draw(calls.min(40)), side()));
            let far = (0..SECOND_CRASHES).map(|_| (draw(calls), side()));
            near.chain(far).collect()
        };
        pairs += scenario.crash_again((call.number, when), pick);
    }
    println!("{pairs} pairs");
}

/// A request fails once, or its answer is lost, and the process goes on.
#[rstest]
fn a_failed_call_is_made_good_by_those_who_made_it(
    #[values(Kind::Apart, Kind::Absorbing)] kind: Kind,
    #[values((When::Before, Fault::Unknown), (When::After, Fault::Unknown), (When::Before, Fault::Throttled),
        (When::Before, Fault::Full))]
    (when, fault): (When, Fault),
) {
    let scenario = kind.scenario();
    for call in scenario.calls() {
        scenario.disturb(&call, &format!("{when:?} {fault:?}"), |world| {
            world.plan().fail_at(call.number, when, fault)
        });
    }
}

/// The answer is lost, the caller tries again, and the network delivers the first request once more, later.
#[rstest]
fn a_late_duplicate_has_no_effect(#[values(1, 2, 3, 9)] later: u64) {
    let scenario = Kind::Apart.scenario();
    for call in scenario.calls().iter().filter(|call| is_write(call)) {
        scenario.disturb(call, "a duplicate", |world| {
            world.plan().duplicate_at(call.number, later)
        });
        scenario.disturb(call, "a late arrival", |world| {
            world.plan().delay_at(call.number, later)
        });
    }
}

#[rstest]
fn a_request_of_a_dead_process_is_whole_or_nothing(#[values(3, 12, 25, 60)] later: u64) {
    let scenario = Kind::Apart.scenario();
    for call in scenario.calls().iter().filter(|call| is_write(call)) {
        let outcome = scenario.die_with_a_request_on_its_way(call, later);
        outcome.unwrap_or_else(|error| panic!("died after {call} was sent, {later} calls before it arrived: {error}"));
    }
}
