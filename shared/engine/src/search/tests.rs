//! The search against a sort of everything, on random worlds.

use std::collections::HashSet;

use format::{WalObject, WalWriter};
use model::{Dimension, DistanceMetric, Filter, Metadata, Strictness};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;

use super::{SearchAnswer, SearchRequest, ShardView, TailRows, check, run, search};
use crate::build::tests::{config, shard_of};
use crate::distance::PreparedQuery;
use crate::error::EngineError;
use crate::ivf::SearchTuning;
use crate::pool::Pool;
use crate::shard::Shard;
use crate::topk::{Cursor, Hit, Place};

const FILTERS: [&str; 7] = [
    r#"{"n": 3}"#,
    r#"{"n": {"$gte": 2, "$lt": 9}}"#,
    r#"{"tag": {"$in": ["a", "c"]}}"#,
    r#"{"tag": {"$ne": "b"}}"#,
    r#"{"n": {"$exists": false}}"#,
    r#"{"$or": [{"n": 1}, {"$and": [{"tag": "b"}, {"n": {"$gt": 50}}]}]}"#,
    r#"{"nobody": "has this"}"#,
];

/// How the vectors of a world are drawn.
#[derive(Debug, Clone, Copy)]
enum Vectors {
    Ordinary,
    /// Few different values: many ties and duplicates.
    Coarse,
    AllEqual,
    /// Zero, tiny and huge values among ordinary ones.
    Extreme,
}

#[derive(Debug, Clone)]
struct WorldSpec {
    seed: u64,
    dimension: u32,
    shard_rows: Vec<usize>,
    tail_rows: Vec<usize>,
    vectors: Vectors,
    excluded: f64,
    metric: DistanceMetric,
}

/// Rows as somebody might store them, and the truth about them.
struct World {
    query: Vec<f32>,
    metric: DistanceMetric,
    shards: Vec<(Shard, RoaringBitmap)>,
    tail: Vec<(WalObject, RoaringBitmap)>,
    /// Key, metadata and place of all live rows, with their distance.
    live: Vec<(f32, String, Option<String>, Place)>,
}

type Row = (String, Vec<f32>, Option<String>);

impl World {
    fn new(spec: &WorldSpec) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
        let dimension = spec.dimension as usize;
        let query = vector(&mut random, dimension, spec.vectors);
        let prepared = PreparedQuery::new(&query, spec.metric);
        let mut keys = HashSet::new();
        let mut live = Vec::new();
        let mut shards = Vec::new();
        for (number, count) in spec.shard_rows.iter().enumerate() {
            let mut rows = rows(&mut random, &mut keys, *count, dimension, spec.vectors);
            rows.sort_by(|left, right| left.0.cmp(&right.0));
            let Some(shard) = shard_of(number as u128, spec.dimension, &rows) else {
                continue;
            };
            let excluded = some_of(&mut random, rows.len(), spec.excluded);
            let shard_number = shards.len();
            note_live(&mut live, &prepared, &rows, |row| {
                (!excluded.contains(row)).then_some(Place::Shard {
                    shard: shard_number,
                    row,
                })
            });
            shards.push((shard, excluded));
        }
        let mut tail = Vec::new();
        for (entry, count) in spec.tail_rows.iter().enumerate() {
            let rows = rows(&mut random, &mut keys, *count, dimension, spec.vectors);
            let mut writer = WalWriter::new(Dimension::new(spec.dimension).unwrap());
            rows.iter()
                .for_each(|(key, vector, metadata)| writer.push_put(key, vector, metadata.as_deref()));
            writer.push_delete("deleted");
            let selected = some_of(&mut random, rows.len(), 1.0 - spec.excluded);
            note_live(&mut live, &prepared, &rows, |row| {
                selected.contains(row).then_some(Place::Tail { entry, row })
            });
            tail.push((WalObject::decode(writer.finish().unwrap()).unwrap(), selected));
        }
        Self {
            query,
            metric: spec.metric,
            shards,
            tail,
            live,
        }
    }

    fn truth(&self, k: usize, filter: Option<&Filter>) -> Vec<Hit> {
        let matches = |metadata: &Option<String>| {
            let metadata = Metadata::parse(metadata.as_deref().unwrap_or("{}")).unwrap();
            filter.is_none_or(|filter| filter.matches(&metadata))
        };
        let matching = self.live.iter().filter(|(_, _, metadata, _)| matches(metadata));
        let mut hits: Vec<Hit> = matching
            .map(|(distance, key, _, place)| Hit {
                distance: *distance,
                key: key.clone(),
                place: *place,
            })
            .collect();
        hits.sort_by(|left, right| {
            left.distance
                .total_cmp(&right.distance)
                .then_with(|| left.key.cmp(&right.key))
        });
        hits.truncate(k);
        hits
    }

    fn with_views<T>(&self, work: impl FnOnce(&[ShardView<'_>], &[TailRows<'_>]) -> T) -> T {
        let shards: Vec<_> = self
            .shards
            .iter()
            .map(|(shard, excluded)| ShardView { shard, excluded })
            .collect();
        let tail: Vec<_> = self
            .tail
            .iter()
            .map(|(object, selected)| TailRows { object, selected })
            .collect();
        work(&shards, &tail)
    }

    fn request<'a>(&'a self, k: usize, after: Option<&'a Cursor>, filter: Option<&'a Filter>) -> SearchRequest<'a> {
        SearchRequest {
            vector: &self.query,
            metric: self.metric,
            k,
            after,
            filter,
            reach: k,
            tuning: SearchTuning::default(),
        }
    }

    fn search(&self, request: &SearchRequest<'_>, pool: &Pool, piece_bytes: usize) -> SearchAnswer {
        self.with_views(|shards, tail| {
            check(request, shards, tail).unwrap();
            pool.scope(|| run(request, shards, tail, piece_bytes)).unwrap()
        })
    }
}

fn note_live(
    live: &mut Vec<(f32, String, Option<String>, Place)>,
    query: &PreparedQuery,
    rows: &[Row],
    place: impl Fn(u32) -> Option<Place>,
) {
    for (row, (key, vector, metadata)) in (0..).zip(rows) {
        if let Some(place) = place(row) {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            live.push((query.distance(&bytes), key.clone(), metadata.clone(), place));
        }
    }
}

fn rows(
    random: &mut ChaCha8Rng,
    keys: &mut HashSet<String>,
    count: usize,
    dimension: usize,
    vectors: Vectors,
) -> Vec<Row> {
    let row = |_| loop {
        let key = format!("{}é{}", random.random_range(0..3), random.random_range(0..1_000_000));
        if keys.insert(key.clone()) {
            break (key, vector(random, dimension, vectors), metadata(random));
        }
    };
    (0..count).map(row).collect()
}

fn metadata(random: &mut ChaCha8Rng) -> Option<String> {
    let tag = ["\"a\"", "\"b\"", "[\"b\", \"c\"]", "true"][random.random_range(0..4)];
    match random.random_range(0..4) {
        0 => None,
        1 => Some(format!(r#"{{"tag": {tag}}}"#)),
        2 => Some(format!(r#"{{"n": {}}}"#, random.random_range(0..100))),
        _ => Some(format!(r#"{{"n": {}, "tag": {tag}}}"#, random.random_range(0..5))),
    }
}

fn vector(random: &mut ChaCha8Rng, dimension: usize, vectors: Vectors) -> Vec<f32> {
    let scale = match random.random_range(0..6) {
        0 => 0.0,
        1 => f32::MAX,
        2 => 1e-40,
        3 => 1e25,
        _ => 1.0,
    };
    let value = |_| match vectors {
        Vectors::Ordinary => random.random_range(-1.0..1.0),
        Vectors::Coarse => random.random_range(0..2_u8).into(),
        Vectors::AllEqual => 0.25,
        Vectors::Extreme => random.random_range(-1.0..1.0_f32) * scale,
    };
    (0..dimension).map(value).collect()
}

fn some_of(random: &mut ChaCha8Rng, rows: usize, share: f64) -> RoaringBitmap {
    (0..rows as u32).filter(|_| random.random_bool(share)).collect()
}

fn world_spec() -> impl Strategy<Value = WorldSpec> {
    let vectors = prop_oneof![
        Just(Vectors::Ordinary),
        Just(Vectors::Coarse),
        Just(Vectors::AllEqual),
        Just(Vectors::Extreme)
    ];
    let metric = prop_oneof![Just(DistanceMetric::Cosine), Just(DistanceMetric::Euclidean)];
    let dimension = prop_oneof![1_u32..20, 20_u32..300];
    let shard_rows = prop::collection::vec(prop_oneof![8 => 0_usize..300, 1 => 1000_usize..5000], 0..4);
    let tail_rows = prop::collection::vec(0_usize..150, 0..3);
    let excluded = prop_oneof![Just(0.0), Just(0.02), Just(0.5), Just(0.98), Just(1.0)];
    (
        any::<u64>(),
        dimension,
        shard_rows,
        tail_rows,
        vectors,
        excluded,
        metric,
    )
        .prop_map(
            |(seed, dimension, shard_rows, tail_rows, vectors, excluded, metric)| WorldSpec {
                seed,
                dimension,
                shard_rows,
                tail_rows,
                vectors,
                excluded,
                metric,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn equals_a_sort_of_everything(spec in world_spec(), k in prop_oneof![1_usize..20, 20_usize..2000]) {
        let world = World::new(&spec);
        let pools = [Pool::new(1).unwrap(), Pool::new(3).unwrap()];
        for filter in std::iter::once(None).chain(FILTERS.map(Some)) {
            let filter = filter.map(|json| Filter::parse(json, Strictness::Strict).unwrap());
            let truth = world.truth(k, filter.as_ref());
            let request = world.request(k, None, filter.as_ref());
            for pool in &pools {
                for piece_bytes in [1, 40_000, 1 << 30] {
                    let answer = world.search(&request, pool, piece_bytes);
                    prop_assert_eq!(&answer.hits, &truth, "{} threads, pieces of {}", pool.threads(), piece_bytes);
                }
            }
        }
    }

    #[test]
    fn pages_concatenate_to_the_one_answer(spec in world_spec(), page in 1_usize..400, filtered in any::<bool>()) {
        let world = World::new(&spec);
        let pool = Pool::new(2).unwrap();
        let filter = filtered.then(|| Filter::parse(FILTERS[1], Strictness::Strict).unwrap());
        let truth = world.truth(usize::MAX, filter.as_ref());
        let page = page.max(truth.len() / 20);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let request = world.request(page, after.as_ref(), filter.as_ref());
            let hits = world.search(&request, &pool, 40_000).hits;
            let Some(last) = hits.last() else { break };
            after = Some(Cursor::after(last));
            paged.extend(hits);
        }
        prop_assert_eq!(paged, truth);
    }
}

fn small_world() -> World {
    World::new(&WorldSpec {
        seed: 5,
        dimension: 4,
        shard_rows: vec![200, 70],
        tail_rows: vec![30],
        vectors: Vectors::Ordinary,
        excluded: 0.5,
        metric: DistanceMetric::Euclidean,
    })
}

#[test]
fn the_plan_counts_live_rows() {
    let world = small_world();
    let pool = Pool::new(2).unwrap();
    let answer = world.search(&world.request(3, None, None), &pool, 64);
    let tail_rows = world.tail[0].1.len();
    assert_eq!(answer.scanned_rows, world.live.len() as u64);
    assert_eq!(answer.plan.tail_rows, tail_rows);
    assert_eq!(answer.plan.flat_rows, answer.scanned_rows - tail_rows);
    assert_eq!(answer.plan.filter_selected, None);

    let filter = Filter::parse(FILTERS[6], Strictness::Strict).unwrap();
    let answer = world.search(&world.request(3, None, Some(&filter)), &pool, 64);
    assert_eq!(answer.plan.filter_selected, Some(0));
    assert!(answer.hits.is_empty());
}

#[test]
fn wrong_dimensions_and_rows_are_refused() {
    let world = small_world();
    let pool = Pool::new(1).unwrap();
    world.with_views(|shards, tail| {
        let request = SearchRequest {
            vector: &[1.0; 5],
            ..world.request(1, None, None)
        };
        let error = search(&request, shards, tail, &pool).unwrap_err();
        assert!(
            matches!(error, EngineError::Dimension { expected: 5, actual: 4 }),
            "{error}"
        );
        let beyond = RoaringBitmap::from([40]);
        let tail = [TailRows {
            selected: &beyond,
            ..tail[0]
        }];
        let error = search(&world.request(1, None, None), shards, &tail, &pool).unwrap_err();
        assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
    });
}

#[test]
fn nothing_to_search_and_nothing_wanted() {
    let world = small_world();
    let pool = Pool::new(1).unwrap();
    assert!(
        search(&world.request(10, None, None), &[], &[], &pool)
            .unwrap()
            .hits
            .is_empty()
    );
    assert!(world.search(&world.request(0, None, None), &pool, 64).hits.is_empty());
    assert_eq!(config(4).dimension.get(), 4);
}
