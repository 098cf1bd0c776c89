//! What has to hold in every state: I1-I4 and I7 of DESIGN section 4, under all interleavings (I6), with roles
//! that may stop for ever at any call (I5).

use stateright::Property;

use crate::config::Config;
use crate::model::Protocol;
use crate::reader::{self, truth, view};
use crate::record::Record;
use crate::role::Role;
use crate::state::{Manifest, OpId, State, is_dead};
use crate::{deleter, writer};

/// I1, the promise.
pub const I1_KEPT: &str = "I1 an acknowledged write is in its index's log";
/// I1, the reading.
pub const I1_READ: &str = "I1 the record reads as its log says";
/// I1, as a client sees it.
pub const I1_READER: &str = "I1 a reader returns what was committed when it read the record";
/// I2.
pub const I2: &str = "I2 a write takes effect at most once";
/// I3.
pub const I3: &str = "I3 a shard row is the newest version below wal_base, or dead";
/// I4.
pub const I4: &str = "I4 what the record reaches exists";
/// I7.
pub const I7: &str = "I7 a deleted index never comes back";
/// Names.
pub const CREATED: &str = "a created index exists until it is deleted";
/// Errors that promise something.
pub const REFUSED: &str = "what was refused has no effect";
/// The dirty mark.
pub const DIRTY: &str = "an index with work to do is marked dirty";
/// The manifest.
pub const WAL_BASE: &str = "the manifest's wal_base is the record's";

/// The properties of every model.
pub fn always() -> Vec<Property<Protocol>> {
    vec![
        Property::always(I1_KEPT, |_, state| acknowledged_writes_are_kept(state)),
        Property::always(I1_READ, |model, state| record_reads_as_its_log(&model.config, state)),
        Property::always(I1_READER, |_, state| readers_are_right(state)),
        Property::always(I2, |_, state| writes_take_effect_once(state)),
        Property::always(I3, |model, state| rows_are_newest_or_dead(&model.config, state)),
        Property::always(I4, |_, state| reachable_objects_exist(state)),
        Property::always(I7, |_, state| deleted_indexes_stay_deleted(state)),
        Property::always(CREATED, |_, state| created_indexes_exist(state)),
        Property::always(REFUSED, |_, state| refusals_have_no_effect(state)),
        Property::always(DIRTY, |_, state| work_is_marked(state)),
        Property::always(WAL_BASE, |_, state| bases_agree(state)),
    ]
}

/// The live record and its manifest, if both are there.
fn current(state: &State) -> Option<(&Record, &Manifest)> {
    let record = state.world.catalog.live()?;
    Some((record, state.world.manifest(record.uuid, record.manifest).ok()?))
}

fn log(state: &State, uuid: u8) -> &[OpId] {
    state.world.ghost.logs.get(&uuid).map_or(&[], Vec::as_slice)
}

fn acknowledged_writes_are_kept(state: &State) -> bool {
    writers(state).all(|writer| {
        writer.outcomes.iter().all(|(op, uuid, outcome)| {
            !matches!(outcome, writer::Outcome::Acked(_))
                || state.world.ghost.deleted.contains(uuid)
                || log(state, *uuid).contains(op)
        })
    })
}

fn record_reads_as_its_log(config: &Config, state: &State) -> bool {
    current(state).is_none_or(|(record, manifest)| {
        // A missing object is I4's business.
        view(record, manifest, &state.world, config).is_ok_and(|view| view == truth(log(state, record.uuid), config))
            || !reachable_objects_exist(state)
    })
}

fn readers_are_right(state: &State) -> bool {
    state.roles.iter().all(|role| match role {
        Role::Reader(reader) => !matches!(
            reader.outcome(),
            Some(reader::Outcome::Wrong | reader::Outcome::Corrupt)
        ),
        _ => true,
    })
}

/// Each entry is one operation's, under whatever ULID, so this covers "each WAL ULID at most once" too.
fn writes_take_effect_once(state: &State) -> bool {
    state
        .world
        .ghost
        .logs
        .values()
        .all(|log| (1..log.len()).all(|n| !log.iter().take(n).any(|op| Some(op) == log.get(n))))
}

fn rows_are_newest_or_dead(config: &Config, state: &State) -> bool {
    let Some((record, manifest)) = current(state) else {
        return true;
    };
    let log = log(state, record.uuid);
    let newest = truth(log.get(..usize::from(record.wal_base)).unwrap_or(log), config);
    let mut seen = Vec::new();
    for shard in &manifest.shards {
        let rows = state
            .world
            .shard(record.uuid, shard.ulid)
            .unwrap_or(&[])
            .iter()
            .enumerate();
        seen.extend(rows.filter(|(n, _)| !is_dead(shard.dead, *n)).map(|(_, row)| *row));
    }
    // Live rows are newest, and there is one for each key that has a newest.
    seen.iter()
        .all(|row| newest.get(usize::from(row.key)) == Some(&Some(row.op)))
        && seen.len() == newest.iter().flatten().count()
}

fn reachable_objects_exist(state: &State) -> bool {
    let world = &state.world;
    world.catalog.live().is_none_or(|record| {
        let uuid = record.uuid;
        world.manifest(uuid, record.manifest).is_ok_and(|manifest| {
            record.wal.iter().all(|ulid| world.wal(uuid, *ulid).is_ok())
                && manifest
                    .shards
                    .iter()
                    .all(|shard| world.shard(uuid, shard.ulid).is_ok())
        })
    })
}

fn deleted_indexes_stay_deleted(state: &State) -> bool {
    state
        .world
        .catalog
        .live()
        .is_none_or(|record| !state.world.ghost.deleted.contains(&record.uuid))
}

fn created_indexes_exist(state: &State) -> bool {
    let live = state.world.catalog.live().map(|record| record.uuid);
    owners(state)
        .flat_map(|owner| &owner.outcomes)
        .all(|outcome| match outcome {
            deleter::Outcome::Created(uuid) => live == Some(*uuid) || state.world.ghost.deleted.contains(uuid),
            _ => true,
        })
}

fn refusals_have_no_effect(state: &State) -> bool {
    let live = state.world.catalog.live().map(|record| record.uuid);
    let names = owners(state)
        .flat_map(|owner| &owner.outcomes)
        .all(|outcome| match outcome {
            deleter::Outcome::Conflict(uuid) => live != Some(*uuid),
            _ => true,
        });
    let writes = writers(state)
        .flat_map(|writer| &writer.outcomes)
        .all(|(op, uuid, outcome)| *outcome != writer::Outcome::Full || !log(state, *uuid).contains(op));
    names && writes
}

fn work_is_marked(state: &State) -> bool {
    current(state)
        .is_none_or(|(record, manifest)| record.dirty || (record.wal.is_empty() && !manifest.compaction_due()))
}

fn bases_agree(state: &State) -> bool {
    current(state).is_none_or(|(record, manifest)| record.wal_base == manifest.wal_base)
}

fn writers(state: &State) -> impl Iterator<Item = &writer::Writer> {
    state.roles.iter().filter_map(|role| {
        if let Role::Writer(writer) = role {
            Some(writer)
        } else {
            None
        }
    })
}

fn owners(state: &State) -> impl Iterator<Item = &deleter::Owner> {
    state.roles.iter().filter_map(|role| {
        if let Role::Owner(owner) = role {
            Some(owner)
        } else {
            None
        }
    })
}
