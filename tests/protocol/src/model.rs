//! The model itself: from every state, every role may do its next step, every request may arrive, get lost, be
//! repeated or come late.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::cas::Put;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::invariants;
use crate::record::Record;
use crate::role::Answer;
use crate::state::{Ghost, Manifest, Object, Objects, OpId, Request, Row, ShardRef, State, Ulid, World};

/// A configuration as a stateright model.
#[derive(Clone)]
pub struct Protocol {
    /// Which.
    pub config: Config,
}

/// What can happen next. Roles are numbered as in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A role makes its next storage call.
    Step(usize),
    /// The request of a waiting role is applied or refused, and it hears so.
    Answer(usize),
    /// The same, but a copy of the request stays in the network.
    AnswerAndRepeat(usize),
    /// A copy of the request is applied, and the role does not hear of it.
    RepeatAndAnswer(usize),
    /// A role stops waiting. Its request may be lost, or arrive later.
    TimeOut(usize),
    /// A request that nobody waits for arrives, and takes effect.
    Late(Request),
}

impl Protocol {
    /// The model of a configuration.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    fn first_state(&self) -> State {
        let start = &self.config.start;
        let mut objects = Objects::new();
        let mut ids = (0..).map(|by| Ulid { ms: 1, by: 240 + by });
        let mut draw = || ids.next().unwrap_or(Ulid { ms: 1, by: u8::MAX });
        let mut record = Record {
            dirty: start.marked || !start.tail.is_empty() || start.folds.len() > 1,
            ..Record::empty(1)
        };
        let mut manifest = Manifest::default();
        for fold in start.folds {
            self.add_fold(fold, &mut manifest, &mut objects, draw());
        }
        if manifest.wal_base > 0 {
            let ulid = draw();
            (record.manifest, record.wal_base) = (Some(ulid), manifest.wal_base);
            objects.insert((1, ulid), Object::Manifest(manifest).into());
        }
        for op in start.tail {
            let ulid = draw();
            record.wal.push(ulid);
            objects.insert((1, ulid), Object::Wal(*op).into());
        }
        let log = start.folds.iter().copied().flatten().chain(start.tail).copied();
        let ghost = Ghost {
            logs: [(1, log.collect())].into(),
            ..Ghost::default()
        };
        let catalog = Catalog::new((!start.nothing).then_some(record));
        let Config { timeouts, repeats, .. } = self.config;
        let world = World {
            catalog,
            objects,
            late: Vec::new(),
            timeouts,
            repeats,
            ghost,
        };
        State {
            world,
            roles: self.config.roles.clone(),
        }
    }

    /// A fold that happened before the model begins.
    fn add_fold(&self, ops: &[OpId], manifest: &mut Manifest, objects: &mut Objects, ulid: Ulid) {
        let written: Vec<_> = ops.iter().map(|op| self.config.key(*op)).collect();
        for shard in &mut manifest.shards {
            if let Some(Object::Shard(rows)) = objects.get(&(1, shard.ulid)).map(Arc::as_ref) {
                let overwritten = rows
                    .iter()
                    .enumerate()
                    .filter(|(_, row)| written.iter().any(|(k, _)| *k == row.key));
                shard.dead = overwritten.fold(shard.dead, |dead, (n, _)| dead | 1 << n);
            }
        }
        let rows: Vec<Row> = written
            .iter()
            .filter_map(|(key, version)| version.map(|op| Row { key: *key, op }))
            .collect();
        if !rows.is_empty() {
            manifest.shards.push(ShardRef { ulid, dead: 0 });
            objects.insert((1, ulid), Object::Shard(rows).into());
        }
        manifest.wal_base += u8::try_from(ops.len()).unwrap_or(u8::MAX);
    }

    /// The request of a waiting role is handled, and the role hears the answer.
    fn answer(&self, state: &mut State, role: usize, request: &Request) {
        let State { world, roles } = state;
        let Some(role) = roles.get_mut(role) else { return };
        let answer = if world.deliver(request, &self.config) {
            Answer::Applied(match &request.put {
                Some(Put::Index { doc, .. }) => doc.record.clone(),
                _ => world.catalog.live().cloned(),
            })
        } else {
            // A failed condition returns the old item; a 412 says nothing.
            Answer::Refused(request.put.is_none().then(|| world.catalog.read(0, &self.config)))
        };
        role.actor_mut().answered(answer, world, &self.config);
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first_state()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let world = &state.world;
        for (n, role) in state.roles.iter().enumerate() {
            let Some(request) = role.actor().request() else {
                if role.actor().can_step(world, &self.config) {
                    actions.push(Action::Step(n));
                }
                continue;
            };
            actions.push(Action::Answer(n));
            if world.timeouts > 0 {
                actions.push(Action::TimeOut(n));
            }
            if world.repeats > 0 {
                actions.push(Action::AnswerAndRepeat(n));
                if world.has_effect(request, &self.config) {
                    actions.push(Action::RepeatAndAnswer(n));
                }
            }
        }
        // A late request without effect is one that was lost.
        let late = world
            .late
            .iter()
            .filter(|request| world.has_effect(request, &self.config));
        actions.extend(late.cloned().map(Action::Late));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let request = |role: usize| state.roles.get(role).and_then(|role| role.actor().request()).cloned();
        match action {
            Action::Step(role) => next
                .roles
                .get_mut(role)?
                .actor_mut()
                .step(&mut next.world, &self.config),
            Action::Answer(role) => self.answer(&mut next, role, &request(role)?),
            Action::AnswerAndRepeat(role) => {
                next.world.repeats -= 1;
                next.world.keep_late(request(role)?);
                self.answer(&mut next, role, &request(role)?);
            }
            Action::RepeatAndAnswer(role) => {
                next.world.repeats -= 1;
                next.world.deliver(&request(role)?, &self.config);
            }
            Action::TimeOut(role) => {
                next.world.timeouts -= 1;
                next.world.keep_late(request(role)?);
                next.roles.get_mut(role)?.actor_mut().timed_out();
            }
            Action::Late(request) => {
                let at = next.world.late.iter().position(|other| *other == request)?;
                next.world.late.remove(at);
                next.world.deliver(&request, &self.config);
            }
        }
        // A step that changes nothing is no step.
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let milestones = self
            .config
            .milestones
            .iter()
            .map(|m| Property::sometimes(m.name, m.reached));
        invariants::always().into_iter().chain(milestones).collect()
    }
}
