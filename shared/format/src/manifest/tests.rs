//! Manifests: how far back they remember, and what they refuse.

use super::*;

fn wal(number: u64) -> WalId {
    WalId(Ulid::from_parts(number, 1))
}

fn manifest_id(number: u64) -> ManifestId {
    ManifestId(Ulid::from_parts(number, 2))
}

fn empty() -> Manifest {
    Manifest::empty("0a0b0c0d-0000-4000-8000-000000000001".parse().unwrap())
}

fn shard(number: u64, rows: u32) -> ShardEntry {
    let file = FileEntry {
        size: number,
        crc32c: u32::MAX,
    };
    ShardEntry {
        id: ShardId(Ulid::from_parts(number, 3)),
        rows,
        dimension: Dimension::new(3).unwrap(),
        files: ShardFiles {
            rows: file,
            keys: file,
            fst: file,
            attributes: file,
            head: file,
            index: None,
        },
        min_key: "a\"".into(),
        max_key: "\u{1f600}".into(),
        head: HeadSummary {
            vector_bytes: 12,
            key_bytes: 3,
            metadata_bytes: 0,
        },
        ivf: None,
    }
}

fn summary() -> IvfSummary {
    IvfSummary {
        generation: TrainId(Ulid::from_parts(4, 4)),
        nlist: 256,
        recall10: 9_870,
        recall100: 9_910,
    }
}

#[test]
fn a_shard_with_an_index_keeps_its_summary() {
    let mut with_index = shard(1, 100_000);
    with_index.files.index = Some(FileEntry { size: 7, crc32c: 7 });
    with_index.ivf = Some(summary());
    let mut manifest = empty().child(manifest_id(1));
    manifest.shards = vec![shard(2, 9), with_index];
    round_trip(&manifest);
}

fn round_trip(manifest: &Manifest) {
    let bytes = manifest.encode().unwrap();
    assert_eq!(&Manifest::decode(&bytes).unwrap(), manifest);
}

#[test]
fn folded_remembers_the_last_thousand() {
    let mut manifest = empty();
    assert!(manifest.folded_reaches(0));
    manifest.note_folded((0..600).map(wal));
    assert_eq!((manifest.wal_base, manifest.folded_from), (600, 0));
    manifest.note_folded((600..1256).map(wal));
    assert_eq!(
        (manifest.wal_base, manifest.folded_from, manifest.folded.len()),
        (1256, 256, FOLDED_KEPT)
    );
    assert!(manifest.has_folded(wal(256)) && manifest.has_folded(wal(1255)) && !manifest.has_folded(wal(255)));
    assert!(manifest.folded_reaches(256) && !manifest.folded_reaches(255));
    manifest.note_folded([]);
    assert_eq!(manifest.wal_base, 1256);
    round_trip(&manifest);
}

#[test]
fn parents_remember_the_last_hundred() {
    let mut manifest = empty();
    for number in 1..=150 {
        manifest = manifest.child(manifest_id(number));
    }
    assert_eq!(manifest.version, ManifestVersion(150));
    assert_eq!(manifest.parents.len(), PARENTS_KEPT);
    assert!(manifest.descends_from(manifest_id(150)) && manifest.descends_from(manifest_id(50)));
    assert!(!manifest.descends_from(manifest_id(49)));
    round_trip(&manifest);
}

#[test]
fn the_first_manifest_has_no_parent() {
    assert!(empty().child(manifest_id(1)).parents.is_empty());
}

#[test]
fn deletion_vectors_inside_and_outside() {
    let mut manifest = empty().child(manifest_id(1));
    manifest.shards = vec![shard(1, 100_000), shard(2, 100_000)];
    let small = RoaringBitmap::from_iter([3, 99_999]);
    let large: RoaringBitmap = (0..100_000).filter(|row| row % 3 == 0).collect();
    assert!(DeadRef::is_small(&small) && !DeadRef::is_small(&large));
    let object = crate::encode_dead(&large).unwrap();
    let outside = DeadRef::object(DeadId(Ulid::from_parts(9, 9)), &large, &object);
    assert_eq!(outside.dead(), large.len());
    manifest.dead.insert(manifest.shards[0].id, DeadRef::Inline(small));
    manifest.dead.insert(manifest.shards[1].id, outside);
    manifest.train = Some(TrainRef {
        id: TrainId(Ulid::NIL),
        size: 1,
        crc32c: 2,
        rows: 100_000,
        exponent: -4,
    });
    manifest.quarantined.push(wal(7));
    round_trip(&manifest);
    assert_eq!(manifest.shard(manifest.shards[1].id).unwrap().files.size(), 10);
}

#[test]
fn contradictions_are_refused() {
    let good = Manifest {
        shards: vec![shard(1, 10)],
        ..empty().child(manifest_id(1))
    };
    let id = good.shards[0].id;
    let with_dead = |shard, dead| Manifest {
        dead: BTreeMap::from([(shard, dead)]),
        ..good.clone()
    };
    let wrong = [
        Manifest {
            wal_base: 1,
            ..good.clone()
        },
        Manifest {
            shards: vec![shard(1, 10), shard(1, 10)],
            ..good.clone()
        },
        Manifest {
            shards: vec![ShardEntry {
                ivf: Some(summary()),
                ..shard(1, 10)
            }],
            ..good.clone()
        },
        with_dead(id, DeadRef::Inline(RoaringBitmap::from_iter([10]))),
        with_dead(ShardId(Ulid::NIL), DeadRef::Inline(RoaringBitmap::new())),
        with_dead(
            id,
            DeadRef::Object {
                id: DeadId(Ulid::NIL),
                size: 1,
                crc32c: 1,
                dead: 11,
            },
        ),
    ];
    assert!(good.encode().is_ok());
    for manifest in wrong {
        assert!(
            matches!(
                manifest.encode(),
                Err(FormatError::Corrupt {
                    file: FileKind::Manifest,
                    ..
                })
            ),
            "{manifest:?}"
        );
    }
}
