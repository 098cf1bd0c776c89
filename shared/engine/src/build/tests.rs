//! Builders and merges against what they were given.

use std::collections::BTreeMap;

use format::EncodedShard;
use model::{Dimension, DistanceMetric, Encryption, IndexConfig, ShardId, Ulid};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::{MergeSource, ShardBuilder, merge};
use crate::error::EngineError;
use crate::shard::{Shard, ShardBytes};

type Row = (String, Vec<f32>, Option<String>);

pub(crate) fn config(dimension: u32) -> IndexConfig {
    IndexConfig {
        dimension: Dimension::new(dimension).unwrap(),
        metric: DistanceMetric::Cosine,
        non_filterable_keys: None,
        encryption: Encryption::Aes256,
    }
}

fn le_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn builder_of(dimension: u32, rows: &[Row]) -> ShardBuilder {
    let mut builder = ShardBuilder::new(Dimension::new(dimension).unwrap());
    for (key, vector, metadata) in rows {
        builder.push(key, &le_bytes(vector), metadata.as_deref()).unwrap();
    }
    builder
}

pub(crate) fn open(id: u128, encoded: EncodedShard) -> Shard {
    let entry = encoded.entry(ShardId(Ulid::from_parts(1, id)));
    Shard::open(&entry, bytes_of(encoded)).unwrap()
}

pub(crate) fn bytes_of(encoded: EncodedShard) -> ShardBytes {
    let EncodedShard {
        rows,
        keys,
        fst,
        attributes,
        head,
        index,
        ..
    } = encoded;
    ShardBytes {
        rows: Some(rows),
        keys,
        fst,
        attributes,
        head,
        index,
    }
}

pub(crate) fn shard_of(id: u128, dimension: u32, rows: &[Row]) -> Option<Shard> {
    let encoded = builder_of(dimension, rows).finish(&config(dimension)).unwrap();
    encoded.map(|encoded| open(id, encoded))
}

/// Everything a shard says about its rows.
fn contents(shard: &Shard) -> Vec<(String, Vec<u8>, Option<String>)> {
    let rows: Vec<u32> = (0..shard.rows()).collect();
    let metadata = shard.metadata(&rows).unwrap();
    let row = |(row, metadata)| (shard.key(row).to_owned(), shard.vector_bytes(row).to_vec(), metadata);
    rows.into_iter().zip(metadata).map(row).collect()
}

fn row(key: &str, value: f32) -> Row {
    let metadata = (value >= 0.0).then(|| format!(r#"{{"value":{value}}}"#));
    (key.to_owned(), vec![value, 1.0], metadata)
}

#[test]
fn rows_come_out_sorted_and_the_last_put_wins() {
    let rows = [
        row("m", 1.0),
        row("z", -2.0),
        row("a", 3.0),
        row("m", -4.0),
        row("é", 5.0),
        row("m", 6.0),
    ];
    let builder = builder_of(2, &rows);
    assert_eq!((builder.rows(), builder.is_empty()), (6, false));
    assert!(builder.size_bytes() >= 6 * 8);
    let shard = open(1, builder.finish(&config(2)).unwrap().unwrap());
    let expected: Vec<_> = [row("a", 3.0), row("m", 6.0), row("z", -2.0), row("é", 5.0)]
        .into_iter()
        .map(|(key, vector, metadata)| (key, le_bytes(&vector), metadata))
        .collect();
    assert_eq!(contents(&shard), expected);
    assert_eq!(shard.find("z"), Some(2));
    assert_eq!(shard.find("b"), None);
    let keys: Vec<_> = shard.keys_after(Some("a"), "").collect();
    assert_eq!(keys, [("m".to_owned(), 1), ("z".to_owned(), 2), ("é".to_owned(), 3)]);
}

#[test]
fn no_rows_make_no_shard() {
    assert!(
        ShardBuilder::new(Dimension::new(3).unwrap())
            .finish(&config(3))
            .unwrap()
            .is_none()
    );
    let source = shard_of(1, 2, &[row("a", 1.0)]).unwrap();
    let all = RoaringBitmap::from([0]);
    let merged = merge(
        &config(2),
        &[MergeSource {
            shard: &source,
            dead: &all,
        }],
        None,
    )
    .unwrap();
    assert!(merged.shard.is_none());
    assert_eq!(merged.maps[0].get(0), None);
}

#[test]
fn wrong_dimensions_are_refused() {
    let mut builder = ShardBuilder::new(Dimension::new(3).unwrap());
    let error = builder.push("k", &[0; 8], None).unwrap_err();
    assert!(
        matches!(error, EngineError::Dimension { expected: 3, actual: 2 }),
        "{error}"
    );
    assert!(builder.is_empty());
    let source = shard_of(1, 2, &[row("a", 1.0)]).unwrap();
    let none = RoaringBitmap::new();
    let error = merge(
        &config(3),
        &[MergeSource {
            shard: &source,
            dead: &none,
        }],
        None,
    )
    .unwrap_err();
    assert!(
        matches!(error, EngineError::Dimension { expected: 3, actual: 2 }),
        "{error}"
    );
}

#[test]
fn i3_two_live_rows_of_one_key_are_not_merged() {
    let shards = [
        shard_of(1, 2, &[row("a", 1.0), row("k", 1.0)]),
        shard_of(2, 2, &[row("k", 2.0)]),
    ]
    .map(Option::unwrap);
    let none = RoaringBitmap::new();
    let sources = [
        MergeSource {
            shard: &shards[0],
            dead: &none,
        },
        MergeSource {
            shard: &shards[1],
            dead: &none,
        },
    ];
    for newer in [None, Some(builder_of(2, &[row("k", 3.0)]))] {
        let error = merge(&config(2), &sources, newer.as_ref()).unwrap_err();
        assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
    }
    let dead = RoaringBitmap::from([1]);
    let sources = [
        MergeSource {
            shard: &shards[0],
            dead: &dead,
        },
        sources[1],
    ];
    let merged = merge(&config(2), &sources, None).unwrap();
    assert_eq!(
        merged
            .maps
            .iter()
            .map(|map| [map.get(0), map.get(1)])
            .collect::<Vec<_>>(),
        [[Some(0), None], [Some(1), None]]
    );
}

#[test]
fn opening_finds_every_damaged_file() {
    let encoded = builder_of(2, &[row("a", 1.0), row("b", 2.0)])
        .finish(&config(2))
        .unwrap()
        .unwrap();
    let entry = encoded.entry(ShardId(Ulid::from_parts(1, 1)));
    let whole = bytes_of(encoded);
    assert!(Shard::open(&entry, whole.clone()).is_ok());
    for file in 0..5 {
        for damage in ["flip", "cut"] {
            let mut damaged = whole.clone();
            let ShardBytes {
                rows,
                keys,
                fst,
                attributes,
                head,
                ..
            } = &mut damaged;
            let rows = rows.as_mut().unwrap();
            let bytes = [rows, keys, fst, attributes, head].into_iter().nth(file).unwrap();
            let mut copy = bytes.to_vec();
            if damage == "cut" {
                copy.pop();
            } else {
                let middle = copy.len() / 2;
                copy[middle] ^= 0x10;
            }
            *bytes = copy.into();
            let error = Shard::open(&entry, damaged).unwrap_err();
            assert!(matches!(error, EngineError::Shard { .. }), "{error}");
        }
    }
    let mut other = entry;
    other.rows = 3;
    assert!(matches!(Shard::open(&other, whole), Err(EngineError::Corrupt { .. })));
}

#[test]
fn a_big_file_is_verified_in_pieces() {
    let dimension = 4096;
    let rows: Vec<Row> = (0..1200)
        .map(|row| (format!("{row:05}"), vec![row as f32; dimension], None))
        .collect();
    let encoded = builder_of(dimension as u32, &rows)
        .finish(&config(dimension as u32))
        .unwrap()
        .unwrap();
    let entry = encoded.entry(ShardId(Ulid::from_parts(1, 1)));
    let mut bytes = bytes_of(encoded);
    let rows = bytes.rows.clone().unwrap();
    assert!(rows.len() > 2 << 23, "two whole pieces and a rest");
    assert!(Shard::open(&entry, bytes.clone()).is_ok());
    let mut copy = rows.to_vec();
    copy[1 << 24] ^= 1;
    bytes.rows = Some(copy.clone().into());
    let error = Shard::open(&entry, bytes.clone()).unwrap_err().to_string();
    assert!(error.contains("rows.parquet: checksum"), "{error}");

    bytes.rows = None;
    let shard = Shard::open(&entry, bytes).unwrap();
    let error = shard.attach_rows(copy.into()).unwrap_err().to_string();
    assert!(error.contains("rows.parquet: checksum") && !shard.has_rows(), "{error}");
    let before = shard.size_bytes();
    shard.attach_rows(rows.clone()).unwrap();
    assert!(shard.has_rows() && shard.size_bytes() == before + rows.len() as u64);
    assert!(shard.vector_bytes(1_000) == 1_000_f32.to_le_bytes().repeat(dimension));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Puts in several generations, each a shard; older versions die; a merge with the newest generation still in a
    /// builder holds exactly the newest versions, and its maps say where each row went.
    #[test]
    fn a_merge_holds_the_newest_of_everything(
        generations in prop::collection::vec(prop::collection::btree_set(0_u32..60, 0..40), 1..5),
        in_builder in any::<bool>(),
    ) {
        let mut newest = BTreeMap::new();
        let mut shards: Vec<(Shard, RoaringBitmap)> = Vec::new();
        let mut builder = None;
        for (generation, keys) in generations.iter().enumerate() {
            let rows: Vec<Row> =
                keys.iter().map(|key| row(&format!("{key:03}"), (generation * 100) as f32 + *key as f32)).collect();
            newest.extend(rows.iter().map(|row| (row.0.clone(), row.clone())));
            let is_last = generation + 1 == generations.len();
            if is_last && in_builder {
                // The merge itself lets newer rows win: nothing is marked dead for them.
                builder = Some(builder_of(2, &rows));
                break;
            }
            for (shard, dead) in &mut shards {
                dead.extend(rows.iter().filter_map(|row| shard.find(&row.0)));
            }
            shards.extend(shard_of(generation as u128, 2, &rows).map(|shard| (shard, RoaringBitmap::new())));
        }
        let sources: Vec<_> = shards.iter().map(|(shard, dead)| MergeSource { shard, dead }).collect();
        let merged = merge(&config(2), &sources, builder.as_ref()).unwrap();
        let again = merge(&config(2), &sources, builder.as_ref()).unwrap();
        let output = merged.shard.map(|encoded| {
            assert_eq!(encoded.rows, again.shard.as_ref().unwrap().rows, "the same input gives the same bytes");
            assert_eq!(encoded.head, again.shard.as_ref().unwrap().head);
            open(99, encoded)
        });
        let expected: Vec<_> =
            newest.into_values().map(|(key, vector, metadata)| (key, le_bytes(&vector), metadata)).collect();
        let found = output.as_ref().map(contents).unwrap_or_default();
        prop_assert_eq!(&found, &expected);

        for ((shard, _), map) in shards.iter().zip(&merged.maps) {
            for row in 0..shard.rows() {
                let key = shard.key(row);
                let version_is_newest = expected.iter().any(|(k, vector, _)| k == key && vector == shard.vector_bytes(row));
                let to = map.get(row);
                prop_assert_eq!(to.is_some(), version_is_newest);
                if let Some(to) = to {
                    prop_assert_eq!(output.as_ref().unwrap().key(to), key);
                }
            }
            let all: RoaringBitmap = (0..shard.rows()).collect();
            let mapped = map.map(&all);
            prop_assert_eq!(mapped.len(), (0..shard.rows()).filter(|row| map.get(*row).is_some()).count() as u64);
        }
    }
}
