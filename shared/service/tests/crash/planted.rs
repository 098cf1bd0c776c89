//! Mistakes planted in a sound database: the checks of this suite must find each of them.

use std::sync::Arc;

use bytes::Bytes;
use engine::pool::Pool;
use format::manifest::{DeadRef, Manifest};
use format::record::IndexRecord;
use model::{Ids, ManualClock, SeededRandom, Ulid, WalId};
use roaring::RoaringBitmap;
use storage::paths::{self, ShardFile};
use storage::{Append, CasCatalog, Catalog, Commit, ObjectName, ObjectStore};

use super::api::{self, INDEX};
use super::model::State;
use super::play::{Progress, check, finish, play};
use super::script::{Step, config, delete, put};
use super::world::{self, World};

/// A sound database: two shards, a dead row in the first, one entry in the tail. And what to change in it.
struct Sound {
    world: World,
    progress: Progress,
    catalog: CasCatalog,
}

impl Sound {
    fn new() -> Self {
        let pool = Arc::new(Pool::new(1).unwrap());
        let mut world = World::new(&config(false), &pool);
        let mut progress = Progress::new(true);
        let fold = || Step::Fold(8);
        let script = [
            Step::CreateBucket,
            Step::CreateIndex,
            put(1, "a b c"),
            fold(),
            put(2, "a d"),
            fold(),
            put(3, "b e"),
        ];
        play(&mut world, &mut progress, &script).unwrap().unwrap();
        check(&world, &mut progress).unwrap();
        let ids = Ids::new(Arc::new(ManualClock::new(0)), Arc::new(SeededRandom::new(5)));
        let opened = CasCatalog::open_read_only(Arc::new(world.store.clone()), ids);
        let catalog = world::runtime().block_on(opened).unwrap();
        Self {
            world,
            progress,
            catalog,
        }
    }

    fn record(&self) -> IndexRecord {
        world::runtime()
            .block_on(self.catalog.read_record(&api::path(INDEX)))
            .unwrap()
            .unwrap()
    }

    fn manifest_name(&self) -> ObjectName {
        let record = self.record();
        paths::manifest(record.uuid, &record.manifest.unwrap())
    }

    fn manifest(&self) -> Manifest {
        let bytes = world::runtime()
            .block_on(self.world.store.get(&self.manifest_name()))
            .unwrap();
        Manifest::decode(&bytes).unwrap()
    }

    /// The same manifest, with something wrong in it and a right checksum.
    fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) {
        let mut manifest = self.manifest();
        change(&mut manifest);
        let name = self.manifest_name();
        world::runtime().block_on(async {
            self.world.store.delete(std::slice::from_ref(&name)).await.unwrap();
            self.world.store.put(&name, manifest.encode().unwrap()).await.unwrap();
        });
    }

    fn put(&self, name: &ObjectName) {
        world::runtime()
            .block_on(self.world.store.put(name, Bytes::from_static(b"left over")))
            .unwrap();
    }

    /// What the checks say.
    fn verdict(mut self) -> String {
        check(&self.world, &mut self.progress).expect_err("the planted mistake was not found")
    }

    fn tidy_verdict(mut self) -> String {
        finish(&mut self.world, &mut self.progress.rewound(), &[]).expect_err("the planted mistake was not found")
    }
}

#[test]
fn a_manifest_that_forgets_a_dead_row() {
    let sound = Sound::new();
    assert_eq!(sound.manifest().dead.len(), 1);
    sound.change_manifest(|manifest| manifest.dead.clear());
    // And a client would see it, too.
    let Sound { world, progress, .. } = &sound;
    let seen = world::runtime().block_on(super::play::reopen_and_observe(world, &progress.possible[0]));
    assert!(seen.is_err_and(|error| error.contains("I2")));
    assert_eq!(sound.verdict(), "I3: a lives twice in the shards, as 1 and 2");
}

#[test]
fn a_manifest_that_kills_a_row_too_many() {
    let sound = Sound::new();
    let shard = sound.manifest().shards[1].id;
    sound.change_manifest(|manifest| {
        manifest
            .dead
            .insert(shard, DeadRef::Inline(RoaringBitmap::from_iter([1])));
    });
    assert_eq!(sound.verdict(), "I1, I2: rows: d: None instead of Some(2)");
}

/// The tail hides it from every reader, until the key is deleted: only the shards themselves tell.
#[test]
fn a_dead_row_that_the_tail_hides() {
    let sound = Sound::new();
    let shard = sound.manifest().shards[0].id;
    sound.change_manifest(|manifest| {
        manifest
            .dead
            .insert(shard, DeadRef::Inline(RoaringBitmap::from_iter([0, 1])));
    });
    assert_eq!(
        sound.verdict(),
        "I3: live rows of the shards: b: None instead of Some(1)"
    );
}

#[test]
fn an_entry_that_is_appended_again_after_its_fold() {
    let sound = Sound::new();
    let record = sound.record();
    let id = sound.manifest().folded[0];
    let append = Append {
        uuid: record.uuid,
        base: record.wal_base,
        end: None,
        entry: format::record::WalEntry { id, rows: 3, kib: 1 },
        now_ms: 0,
    };
    let path = api::path(INDEX);
    let appended = world::runtime().block_on(sound.catalog.append(&path, &append)).unwrap();
    assert_eq!(appended, Commit::Done);
    assert!(sound.verdict().starts_with("I2: an entry counts twice"));
}

#[test]
fn a_shard_file_that_was_collected_too_early() {
    let sound = Sound::new();
    let (uuid, shard) = (sound.record().uuid, sound.manifest().shards[0].id);
    let name = paths::shard_file(uuid, shard, ShardFile::Attributes);
    world::runtime().block_on(sound.world.store.delete(&[name])).unwrap();
    assert!(sound.verdict().starts_with("I4"));
}

#[test]
fn a_flipped_bit() {
    let sound = Sound::new();
    let (uuid, shard) = (sound.record().uuid, sound.manifest().shards[1].id);
    assert!(
        sound
            .world
            .store
            .flip_bit(&paths::shard_file(uuid, shard, ShardFile::Rows), 999)
    );
    assert!(sound.verdict().starts_with("I4"));
}

#[test]
fn half_of_a_request() {
    let mut sound = Sound::new();
    // The process died over a request of two keys, and one of them is there.
    let before = sound.progress.possible[0].clone();
    play(&mut sound.world, &mut sound.progress.rewound(), &[put(4, "x")])
        .unwrap()
        .unwrap();
    sound.progress.possible = vec![before.clone(), before.after(&put(4, "x y"))];
    assert!(sound.verdict().contains("y: None instead of Some(4)"));
}

#[test]
fn a_delete_that_does_not_last() {
    let mut sound = Sound::new();
    let deleted: Vec<State> = sound
        .progress
        .possible
        .iter()
        .map(|state| state.after(&delete("c")))
        .collect();
    play(&mut sound.world, &mut sound.progress.rewound(), &[put(5, "q")])
        .unwrap()
        .unwrap();
    sound.progress.possible = deleted;
    assert!(sound.verdict().contains("c: Some(1) instead of None"));
}

#[test]
fn garbage_that_nobody_collects() {
    let sound = Sound::new();
    let record = sound.record();
    // Later than every floor.
    sound.put(&paths::wal(record.uuid, WalId(Ulid::from_parts(1 << 47, 0))));
    assert!(sound.tidy_verdict().starts_with("I5: garbage stays"));
}

#[test]
fn an_object_of_a_life_that_nobody_purges() {
    let sound = Sound::new();
    let stranger = model::IndexUuid(Ids::new(Arc::new(ManualClock::new(0)), Arc::new(SeededRandom::new(9))).uuid());
    sound.put(&paths::wal(stranger, WalId(Ulid::NIL)));
    assert!(sound.tidy_verdict().starts_with("I7: objects of deleted lives stay"));
}
