//! Shards with an index against a sort of everything: what is answered is always live, matching, exact, complete and in
//! order; what may be missing is only what the recall target allows.
#![cfg(feature = "ivfpq")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashSet;

use format::{EncodedShard, IvfCodeKind};
use genai_vectors_engine::ivf::TrainedGeneration;
use genai_vectors_engine::{
    Cursor, Hit, IvfBuild, IvfConfig, MergeSource, Pool, PreparedQuery, SearchAnswer, SearchRequest, SearchTuning,
    Shard, ShardBuilder, ShardBytes, ShardView, merge_ivf, search,
};
use model::{Dimension, DistanceMetric, Encryption, Filter, IndexConfig, ShardId, Strictness, TrainId, Ulid};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;

/// How the vectors of a world are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Vectors {
    /// Clusters of unlike size and width.
    Clusters,
    /// Few different values: many ties and duplicates.
    Coarse,
    AllEqual,
    /// Zero, tiny and huge values among ordinary ones.
    Extreme,
}

#[derive(Debug, Clone)]
struct Spec {
    seed: u64,
    dimension: usize,
    rows: usize,
    vectors: Vectors,
    metric: DistanceMetric,
    code: IvfCodeKind,
}

struct World {
    spec: Spec,
    rows: Vec<Vec<f32>>,
    shard: Shard,
}

fn config(dimension: usize, metric: DistanceMetric) -> IndexConfig {
    IndexConfig {
        dimension: Dimension::new(dimension as u32).unwrap(),
        metric,
        non_filterable_keys: None,
        encryption: Encryption::Aes256,
    }
}

fn open(id: u128, encoded: EncodedShard) -> Shard {
    let entry = encoded.entry(ShardId(Ulid::from_parts(1, id)));
    let bytes = ShardBytes {
        rows: encoded.rows,
        keys: encoded.keys,
        fst: encoded.fst,
        attributes: encoded.attributes,
        head: encoded.head,
        index: encoded.index,
    };
    Shard::open(&entry, bytes).unwrap()
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The metadata of row `number`: predicates of every selectivity.
fn metadata(number: usize) -> String {
    format!(
        r#"{{"half":{},"tenth":{},"hundredth":{},"rare":{}}}"#,
        number % 2,
        number % 10,
        number % 100,
        usize::from(number % 1000 == 7)
    )
}

fn draw(spec: &Spec, random: &mut ChaCha8Rng, rows: usize) -> Vec<Vec<f32>> {
    let mut normal = || (0..4).map(|_| random.random_range(-1.0..1.0_f32)).sum::<f32>();
    let centres: Vec<Vec<f32>> = (0..12)
        .map(|_| (0..spec.dimension).map(|_| 3.0 * normal()).collect())
        .collect();
    let mut row = |number: usize| -> Vec<f32> {
        match spec.vectors {
            Vectors::Clusters => {
                let centre = &centres[number % 97 % centres.len()];
                centre.iter().map(|centre| centre + normal()).collect()
            }
            Vectors::Coarse => (0..spec.dimension)
                .map(|_| normal().round().clamp(0.0, 1.0) + 0.5)
                .collect(),
            Vectors::AllEqual => vec![0.25; spec.dimension],
            Vectors::Extreme => {
                let scale = [0.0, f32::MAX / 4.0, 1e-40, 1e25, 1.0, 1.0][number % 6];
                (0..spec.dimension).map(|_| normal() * 0.2 * scale).collect()
            }
        }
    };
    (0..rows).map(&mut row).collect()
}

/// A flat shard of rows whose keys say their number.
fn flat(spec: &Spec, id: u128, rows: &[Vec<f32>], first: usize) -> Shard {
    let config = config(spec.dimension, spec.metric);
    let mut builder = ShardBuilder::new(config.dimension);
    for (number, row) in (first..).zip(rows) {
        builder
            .push(&format!("{number:06}"), &bytes(row), Some(&metadata(number)))
            .unwrap();
    }
    open(id, builder.finish(&config).unwrap().unwrap())
}

fn settings(spec: &Spec) -> IvfConfig {
    IvfConfig {
        code: spec.code,
        recall_queries: 64,
        ..IvfConfig::default()
    }
}

fn train(spec: &Spec, sources: &[&Shard], id: u128) -> TrainedGeneration {
    let none = RoaringBitmap::new();
    let sources: Vec<_> = sources.iter().map(|shard| MergeSource { shard, dead: &none }).collect();
    let rows = sources.iter().map(|source| u64::from(source.shard.rows())).sum();
    let config = config(spec.dimension, spec.metric);
    TrainedGeneration::train(
        &config,
        &settings(spec),
        &sources,
        rows,
        TrainId(Ulid::from_parts(1, id)),
    )
    .unwrap()
}

fn merge(spec: &Spec, generation: &TrainedGeneration, sources: &[(&Shard, &RoaringBitmap)]) -> EncodedShard {
    let sources: Vec<_> = sources
        .iter()
        .map(|(shard, dead)| MergeSource { shard, dead })
        .collect();
    let settings = settings(spec);
    let build = IvfBuild {
        generation,
        config: &settings,
    };
    merge_ivf(&config(spec.dimension, spec.metric), &sources, &build)
        .unwrap()
        .shard
        .unwrap()
}

impl World {
    fn new(spec: Spec) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
        let rows = draw(&spec, &mut random, spec.rows);
        let flat = flat(&spec, 1, &rows, 0);
        let generation = train(&spec, &[&flat], 3);
        let shard = open(2, merge(&spec, &generation, &[(&flat, &RoaringBitmap::new())]));
        Self { spec, rows, shard }
    }

    /// The row in the shard of row `number`.
    fn place(&self, number: usize) -> u32 {
        self.shard.find(&format!("{number:06}")).unwrap()
    }

    /// (distance, key) of all rows that count, nearest first.
    fn truth(&self, query: &[f32], excluded: &HashSet<usize>, matches: impl Fn(usize) -> bool) -> Vec<(f32, String)> {
        let prepared = PreparedQuery::new(query, self.spec.metric);
        let counting = (0..self.rows.len()).filter(|number| !excluded.contains(number) && matches(*number));
        let mut truth: Vec<(f32, String)> = counting
            .map(|number| (prepared.distance(&bytes(&self.rows[number])), format!("{number:06}")))
            .collect();
        truth.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
        truth
    }
}

struct Asked<'a> {
    query: &'a [f32],
    k: usize,
    filter: Option<&'a Filter>,
    after: Option<&'a Cursor>,
    reach: usize,
    tuning: SearchTuning,
}

impl<'a> Asked<'a> {
    fn plain(query: &'a [f32], k: usize) -> Self {
        Self {
            query,
            k,
            filter: None,
            after: None,
            reach: k,
            tuning: SearchTuning::default(),
        }
    }

    fn of(&self, world: &World, excluded: &RoaringBitmap, pool: &Pool) -> SearchAnswer {
        let request = SearchRequest {
            vector: self.query,
            metric: world.spec.metric,
            k: self.k,
            after: self.after,
            filter: self.filter,
            reach: self.reach,
            tuning: self.tuning,
        };
        let shards = [ShardView {
            shard: &world.shard,
            excluded,
        }];
        search(&request, &shards, &[], pool).unwrap()
    }
}

/// Everything but recall: complete, in order, exact, only what counts. Returns how many true answers are there.
fn check(hits: &[Hit], truth: &[(f32, String)], k: usize) -> usize {
    assert_eq!(hits.len(), k.min(truth.len()), "as many answers as there can be");
    let allowed: std::collections::HashMap<&str, f32> =
        truth.iter().map(|(distance, key)| (key.as_str(), *distance)).collect();
    for hit in hits {
        let distance = allowed
            .get(hit.key.as_str())
            .expect("an answer that is dead or does not match");
        assert_eq!(distance.to_bits(), hit.distance.to_bits(), "distances are exact");
    }
    let ordered = hits.is_sorted_by(|left, right| (left.distance, &left.key) < (right.distance, &right.key));
    assert!(ordered, "nearest first, ties by key, no key twice");
    let Some(farthest) = truth.get(hits.len().saturating_sub(1)).map(|(distance, _)| *distance) else {
        return 0;
    };
    hits.iter().filter(|hit| hit.distance <= farthest).count()
}

/// A filter, and the rows that it matches.
type Selection = (&'static str, fn(usize) -> bool);

const FILTERS: [Selection; 5] = [
    (r#"{"half":1}"#, |number| number % 2 == 1),
    (r#"{"tenth":3}"#, |number| number % 10 == 3),
    (r#"{"hundredth":{"$in":[42]}}"#, |number| number % 100 == 42),
    (r#"{"rare":1}"#, |number| number % 1000 == 7),
    (r#"{"nobody":1}"#, |_| false),
];

fn spec() -> impl Strategy<Value = Spec> {
    let vectors = prop_oneof![
        4 => Just(Vectors::Clusters),
        1 => Just(Vectors::Coarse),
        1 => Just(Vectors::AllEqual),
        1 => Just(Vectors::Extreme)
    ];
    let dimension = prop_oneof![1_usize..9, 9_usize..64, 64_usize..300];
    let rows = prop_oneof![1 => 1_usize..40, 3 => 40_usize..3_000, 1 => 3_000_usize..30_000];
    let metric = prop_oneof![Just(DistanceMetric::Cosine), Just(DistanceMetric::Euclidean)];
    let code = prop_oneof![3 => Just(IvfCodeKind::Pq4r), 1 => Just(IvfCodeKind::Pq4), 1 => Just(IvfCodeKind::Pq8)];
    (any::<u64>(), dimension, rows, vectors, metric, code).prop_map(|(seed, dimension, rows, vectors, metric, code)| {
        Spec {
            seed,
            dimension,
            // A case is to take a moment, not a minute.
            rows: rows.min(1_500_000 / dimension),
            vectors,
            metric,
            code,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_complete_exact_and_in_order(spec in spec(), excluded in prop_oneof![Just(0.0), Just(0.1), Just(0.9)]) {
        let world = World::new(spec);
        let mut random = ChaCha8Rng::seed_from_u64(world.spec.seed ^ 1);
        let dead: HashSet<usize> = (0..world.rows.len()).filter(|_| random.random_bool(excluded)).collect();
        let excluded: RoaringBitmap = dead.iter().map(|number| world.place(*number)).collect();
        let pools = [Pool::new(1).unwrap(), Pool::new(2).unwrap()];
        let (mut found, mut wanted) = (0, 0);
        for round in 0..6 {
            let stored = random.random_range(0..world.rows.len());
            // A stored row, or one between two.
            let other = &world.rows[random.random_range(0..world.rows.len())];
            let query: Vec<f32> = world.rows[stored].iter().zip(other).map(|(a, b)| if round % 2 == 0 { *a } else { a / 2.0 + b / 2.0 }).collect();
            for k in [1, 10, 100] {
                let truth = world.truth(&query, &dead, |_| true);
                let answers: Vec<SearchAnswer> = pools.iter().map(|pool| Asked::plain(&query, k).of(&world, &excluded, pool)).collect();
                prop_assert_eq!(&answers[0].hits, &answers[1].hits, "threads do not change the answer");
                found += check(&answers[0].hits, &truth, k);
                wanted += k.min(truth.len());
            }
            for (json, matches) in FILTERS {
                let filter = Filter::parse(json, Strictness::Strict).unwrap();
                let asked = Asked { filter: Some(&filter), ..Asked::plain(&query, 10) };
                let truth = world.truth(&query, &dead, matches);
                found += check(&asked.of(&world, &excluded, &pools[0]).hits, &truth, 10);
                wanted += 10.min(truth.len());
            }
        }
        // A lower bound; the recall suites demand the target on data that looks like somebody's. Between rows of wildly
        // different scales lies nothing that resembles a row, so the measured curves say nothing of such queries.
        if world.spec.vectors != Vectors::Extreme {
            prop_assert!(found as f64 >= 0.9 * wanted as f64, "{found} of {wanted}");
        }
    }
}

fn ordinary(rows: usize, dimension: usize, metric: DistanceMetric) -> Spec {
    Spec {
        seed: 11,
        dimension,
        rows,
        vectors: Vectors::Clusters,
        metric,
        code: IvfCodeKind::Pq4,
    }
}

#[test]
fn every_dimension_can_be_indexed() {
    for dimension in [1, 2, 3, 5, 7, 8, 31, 33, 97, 257, 1021, 4096] {
        for metric in [DistanceMetric::Cosine, DistanceMetric::Euclidean] {
            let world = World::new(ordinary(300, dimension, metric));
            let pool = Pool::new(1).unwrap();
            let query = world.rows[5].clone();
            let forced = SearchTuning {
                nprobe: Some(4),
                ..SearchTuning::default()
            };
            let asked = Asked {
                tuning: forced,
                ..Asked::plain(&query, 10)
            };
            let truth = world.truth(&query, &HashSet::new(), |_| true);
            check(&asked.of(&world, &RoaringBitmap::new(), &pool).hits, &truth, 10);
        }
    }
}

#[test]
fn the_index_is_used_and_reaches_the_target() {
    for metric in [DistanceMetric::Cosine, DistanceMetric::Euclidean] {
        let world = World::new(ordinary(30_000, 32, metric));
        let pool = Pool::new(2).unwrap();
        // Of the same clusters, and none of the rows.
        let mut random = ChaCha8Rng::seed_from_u64(world.spec.seed);
        let queries = draw(&world.spec, &mut random, 30_060).split_off(30_000);
        for k in [10, 100] {
            let (mut found, mut wanted, mut indexed) = (0, 0, 0);
            for query in &queries {
                let answer = Asked::plain(query, k).of(&world, &RoaringBitmap::new(), &pool);
                let truth = world.truth(query, &HashSet::new(), |_| true);
                found += check(&answer.hits, &truth, k);
                wanted += k;
                indexed += answer.plan.indexed_shards;
            }
            assert_eq!(indexed, queries.len(), "{metric:?}: every query asks the index");
            assert!(
                found as f64 >= 0.98 * f64::from(wanted as u32),
                "{metric:?} k {k}: {found} of {wanted}"
            );
        }
    }
}

#[test]
fn pages_concatenate_and_reach_ten_thousand() {
    let world = World::new(ordinary(15_000, 16, DistanceMetric::Euclidean));
    let pool = Pool::new(2).unwrap();
    let query = world.rows[77].clone();
    let whole = Asked::plain(&query, 10_000)
        .of(&world, &RoaringBitmap::new(), &pool)
        .hits;
    check(&whole, &world.truth(&query, &HashSet::new(), |_| true), 10_000);
    for (reach, page) in [(10_000, 1_900), (60, 7)] {
        let one = Asked::plain(&query, reach)
            .of(&world, &RoaringBitmap::new(), &pool)
            .hits;
        let mut paged: Vec<Hit> = Vec::new();
        while paged.len() < reach {
            let after = paged.last().map(Cursor::after);
            let asked = Asked {
                k: page.min(reach - paged.len()),
                after: after.as_ref(),
                reach,
                ..Asked::plain(&query, page)
            };
            paged.extend(asked.of(&world, &RoaringBitmap::new(), &pool).hits);
        }
        assert_eq!(paged, one, "pages of {page}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let spec = ordinary(2_000, 24, DistanceMetric::Cosine);
    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let rows = draw(&spec, &mut random, spec.rows);
    let flat = flat(&spec, 1, &rows, 0);
    let none = RoaringBitmap::new();
    let build = |threads: usize| {
        Pool::new(threads).unwrap().scope(|| {
            let generation = train(&spec, &[&flat], 3);
            let encoded = merge(&spec, &generation, &[(&flat, &none)]);
            (
                generation.to_bytes().unwrap(),
                encoded.index.unwrap(),
                encoded.rows,
                encoded.head,
            )
        })
    };
    assert!(build(1) == build(2), "whatever the threads");
}

#[test]
fn merging_one_generation_carries_codes_and_drops_dead_rows() {
    let spec = ordinary(6_000, 20, DistanceMetric::Euclidean);
    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let rows = draw(&spec, &mut random, spec.rows);
    let (first, second) = rows.split_at(4_000);
    let (left, right) = (flat(&spec, 1, first, 0), flat(&spec, 2, second, 4_000));
    let none = RoaringBitmap::new();
    let generation = train(&spec, &[&left, &right], 9);
    let indexed = open(3, merge(&spec, &generation, &[(&left, &none)]));
    let dead: RoaringBitmap = (0..4_000_usize)
        .step_by(3)
        .map(|number| indexed.find(&format!("{number:06}")).unwrap())
        .collect();
    let left_dead: RoaringBitmap = (0..4_000_u32).step_by(3).collect();

    let carried = merge(&spec, &generation, &[(&indexed, &dead), (&right, &none)]);
    let encoded = merge(&spec, &generation, &[(&left, &left_dead), (&right, &none)]);
    assert!(
        carried.index == encoded.index,
        "carried codes are those that encoding again gives"
    );
    assert!(carried.rows == encoded.rows && carried.keys == encoded.keys);

    // A generation of its own order survives being stored.
    let stored = generation.to_bytes().unwrap();
    let config = config(spec.dimension, spec.metric);
    let read = TrainedGeneration::open(generation.id, &stored, &config, generation.exponent()).unwrap();
    let again = merge(&spec, &read, &[(&indexed, &dead), (&right, &none)]);
    assert!(again.index == carried.index);
}

#[test]
fn many_threads_on_one_shard_answer_as_one_does() {
    let world = World::new(ordinary(12_000, 24, DistanceMetric::Cosine));
    let pool = Pool::new(2).unwrap();
    let excluded: RoaringBitmap = (0..12_000).step_by(5).collect();
    let filter = Filter::parse(FILTERS[0].0, Strictness::Strict).unwrap();
    let ask = |number: usize| {
        let query = &world.rows[number * 31];
        let filter = number.is_multiple_of(2).then_some(&filter);
        Asked {
            filter,
            ..Asked::plain(query, 10)
        }
        .of(&world, &excluded, &pool)
        .hits
    };
    let expected: Vec<Vec<Hit>> = (0..40).map(ask).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (ask, expected) = (&ask, &expected);
            scope.spawn(move || {
                for turn in 0..40 {
                    let number = (turn + thread * 5) % 40;
                    assert_eq!(ask(number), expected[number]);
                }
            });
        }
    });
}

#[test]
fn a_damaged_index_is_found_and_named() {
    let world_spec = ordinary(500, 8, DistanceMetric::Cosine);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let rows = draw(&world_spec, &mut random, 500);
    let flat = flat(&world_spec, 1, &rows, 0);
    let generation = train(&world_spec, &[&flat], 3);
    let encoded = merge(&world_spec, &generation, &[(&flat, &RoaringBitmap::new())]);
    let entry = encoded.entry(ShardId(Ulid::from_parts(1, 2)));
    let index = encoded.index.clone().unwrap();
    let open_with = |index: Option<Vec<u8>>| {
        let bytes = ShardBytes {
            rows: encoded.rows.clone(),
            keys: encoded.keys.clone(),
            fst: encoded.fst.clone(),
            attributes: encoded.attributes.clone(),
            head: encoded.head.clone(),
            index: index.map(Into::into),
        };
        Shard::open(&entry, bytes)
    };
    assert!(open_with(Some(index.to_vec())).is_ok());
    for place in (0..index.len()).step_by(index.len() / 50) {
        let mut flipped = index.to_vec();
        flipped[place] ^= 4;
        let error = open_with(Some(flipped)).unwrap_err().to_string();
        assert!(error.contains("index.faiss"), "{error}");
    }
    assert!(open_with(Some(index[..index.len() - 1].to_vec())).is_err());
    assert!(open_with(None).unwrap_err().to_string().contains("index.faiss"));
}
