//! The tail overlay against a map, extended entry by entry as queries do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::build::ShardBuilder;
use engine::shard::{Shard, ShardBytes};
use format::record::WalEntry;
use format::wal::{WalObject, WalWriter};
use model::{Dimension, DistanceMetric, Encryption, Filter, IndexConfig, Strictness, Ulid, WalId};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::entry::TailEntry;
use super::hash::{RequestHash, segment_of};
use super::tail::TailView;

fn dimension() -> Dimension {
    Dimension::new(1).unwrap()
}

/// `None` deletes.
type Op = (u8, Option<u8>);

fn key(number: u8) -> String {
    format!("k{number}")
}

fn entry(ops: &[Op]) -> Arc<TailEntry> {
    let mut writer = WalWriter::new(dimension());
    for (number, value) in ops {
        match value {
            Some(value) => {
                let metadata = format!(r#"{{"v":{value}}}"#);
                writer.push_put(&key(*number), &[f32::from(*value)], Some(&metadata));
            }
            None => writer.push_delete(&key(*number)),
        }
    }
    let object = WalObject::decode(writer.finish().unwrap()).unwrap();
    Arc::new(TailEntry::new(Arc::new(object)))
}

fn id(position: usize) -> WalEntry {
    WalEntry {
        id: WalId(Ulid::from_parts(position as u64 + 1, 0)),
        rows: 1,
        kib: 1,
    }
}

fn shard(keys: impl Iterator<Item = u8>) -> Arc<Shard> {
    let mut builder = ShardBuilder::new(dimension());
    for number in keys {
        builder.push(&key(number), &1.0_f32.to_le_bytes(), None).unwrap();
    }
    let config = IndexConfig {
        dimension: dimension(),
        metric: DistanceMetric::Euclidean,
        non_filterable_keys: None,
        encryption: Encryption::Aes256,
    };
    let encoded = builder.finish(&config).unwrap().unwrap();
    let id = model::ShardId(Ulid::from_parts(1, 1));
    let bytes = ShardBytes {
        rows: Some(encoded.rows.clone()),
        keys: encoded.keys.clone(),
        fst: encoded.fst.clone(),
        attributes: encoded.attributes.clone(),
        head: encoded.head.clone(),
        index: None,
    };
    Arc::new(Shard::open(&encoded.entry(id), bytes).unwrap())
}

proptest! {
    #[test]
    fn the_overlay_shows_the_newest_version_of_every_key(
        commits in prop::collection::vec(prop::collection::vec((0..40_u8, prop::option::of(0..9_u8)), 1..12), 1..30),
        shared in 0..40_u8,
    ) {
        let shards = [shard(0..shared.max(1)), shard(20..40)];
        let mut view = TailView::over(vec![Arc::default(), Arc::new(RoaringBitmap::from_iter([0]))]);
        let mut newest: BTreeMap<String, Option<u8>> = BTreeMap::new();
        let mut kept = Vec::new();
        for (position, ops) in commits.iter().enumerate() {
            // What a running query still holds must not change under it.
            kept.push((view.clone(), newest.clone()));
            view.push(id(position), entry(ops), &shards);
            newest.extend(ops.iter().map(|(number, value)| (key(*number), *value)));
        }
        kept.push((view, newest));
        for (view, newest) in kept {
            check(&view, &newest, &shards);
        }
    }

    #[test]
    fn segments_are_disjoint_and_complete(key in ".{1,30}", count in 1..17_u32) {
        prop_assert!(segment_of(&key, count) < count);
        prop_assert_eq!(segment_of(&key, 1), 0);
    }
}

fn check(view: &TailView, newest: &BTreeMap<String, Option<u8>>, shards: &[Arc<Shard>]) {
    let mut live = 0;
    for number in 0..40 {
        let key = key(number);
        let found = view.find(&key);
        assert_eq!(found.is_some(), newest.contains_key(&key));
        if let (Some(row), Some(value)) = (found, newest.get(&key)) {
            assert_eq!(view.is_live(row), value.is_some());
            live += u64::from(value.is_some());
            if let Some(value) = value {
                let filter = Filter::parse(&format!(r#"{{"v":{value}}}"#), Strictness::Strict).unwrap();
                assert!(view.entry(row).unwrap().matches(row.row, &filter));
            }
        }
        for (position, shard) in shards.iter().enumerate() {
            if let Some(row) = shard.find(&key) {
                let dead = position == 1 && row == 0;
                assert_eq!(
                    view.excluded()[position].contains(row),
                    dead || newest.contains_key(&key)
                );
            }
        }
    }
    assert_eq!(view.slots().iter().map(|slot| slot.live.len()).sum::<u64>(), live);
    for run in view.runs() {
        assert!(
            run.windows(2).all(|pair| view.key(pair[0]) < view.key(pair[1])),
            "runs are sorted"
        );
    }
    assert!(
        view.runs().windows(2).all(|pair| pair[0].len() > 2 * pair[1].len()),
        "runs shrink by half"
    );
}

#[test]
fn hashes_tell_requests_apart() {
    let hash = |a: &str, b: Option<&str>| RequestHash::new("op").bytes(a.as_bytes()).optional(b).finish();
    let all = [
        hash("ab", None),
        hash("a", Some("b")),
        hash("ab", Some("")),
        hash("", Some("ab")),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all.iter().skip(at + 1).all(|other| one != other));
    }
}
