//! Shards of drawn vectors, with an index, and the sort of everything that they are compared with.

use std::collections::{HashMap, HashSet};

use format::{EncodedShard, IvfCodeKind};
use genai_vectors_engine::ivf::TrainedGeneration;
use genai_vectors_engine::{
    Cursor, Hit, IvfBuild, IvfConfig, MergeSource, Pool, PreparedQuery, SearchAnswer, SearchRequest, SearchTuning,
    Shard, ShardBuilder, ShardBytes, ShardView, merge_ivf, search,
};
use model::{Dimension, DistanceMetric, Encryption, Filter, IndexConfig, ShardId, TrainId, Ulid};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;

/// How the vectors of a world are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Vectors {
    /// Clusters of unlike size and width.
    Clusters,
    /// Few different values: many ties and duplicates.
    Coarse,
    AllEqual,
    /// Zero, tiny and huge values among ordinary ones.
    Extreme,
}

#[derive(Debug, Clone)]
pub struct Spec {
    pub seed: u64,
    pub dimension: usize,
    pub rows: usize,
    pub vectors: Vectors,
    pub metric: DistanceMetric,
    pub code: IvfCodeKind,
}

pub struct World {
    pub spec: Spec,
    pub rows: Vec<Vec<f32>>,
    pub shard: Shard,
}

pub fn config(dimension: usize, metric: DistanceMetric) -> IndexConfig {
    IndexConfig {
        dimension: Dimension::new(dimension as u32).unwrap(),
        metric,
        non_filterable_keys: None,
        encryption: Encryption::Aes256,
    }
}

pub fn open(id: u128, encoded: EncodedShard) -> Shard {
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

pub fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The metadata of row `number`: predicates of every selectivity.
pub fn metadata(number: usize) -> String {
    format!(
        r#"{{"half":{},"tenth":{},"hundredth":{},"rare":{}}}"#,
        number % 2,
        number % 10,
        number % 100,
        usize::from(number % 1000 == 7)
    )
}

pub fn draw(spec: &Spec, random: &mut ChaCha8Rng, rows: usize) -> Vec<Vec<f32>> {
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
pub fn flat(spec: &Spec, id: u128, rows: &[Vec<f32>], first: usize) -> Shard {
    let config = config(spec.dimension, spec.metric);
    let mut builder = ShardBuilder::new(config.dimension);
    for (number, row) in (first..).zip(rows) {
        builder
            .push(&format!("{number:06}"), &bytes(row), Some(&metadata(number)))
            .unwrap();
    }
    open(id, builder.finish(&config).unwrap().unwrap())
}

pub fn settings(spec: &Spec) -> IvfConfig {
    IvfConfig {
        code: spec.code,
        recall_queries: 64,
        ..IvfConfig::default()
    }
}

pub fn train(spec: &Spec, sources: &[&Shard], id: u128) -> TrainedGeneration {
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

pub fn merge(spec: &Spec, generation: &TrainedGeneration, sources: &[(&Shard, &RoaringBitmap)]) -> EncodedShard {
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
    pub fn new(spec: Spec) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
        let rows = draw(&spec, &mut random, spec.rows);
        let flat = flat(&spec, 1, &rows, 0);
        let generation = train(&spec, &[&flat], 3);
        let shard = open(2, merge(&spec, &generation, &[(&flat, &RoaringBitmap::new())]));
        Self { spec, rows, shard }
    }

    /// The row in the shard of row `number`.
    pub fn place(&self, number: usize) -> u32 {
        self.shard.find(&format!("{number:06}")).unwrap()
    }

    /// (distance, key) of all rows that count, nearest first.
    pub fn truth(
        &self,
        query: &[f32],
        excluded: &HashSet<usize>,
        matches: impl Fn(usize) -> bool,
    ) -> Vec<(f32, String)> {
        let prepared = PreparedQuery::new(query, self.spec.metric);
        let counting = (0..self.rows.len()).filter(|number| !excluded.contains(number) && matches(*number));
        let mut truth: Vec<(f32, String)> = counting
            .map(|number| (prepared.distance(&bytes(&self.rows[number])), format!("{number:06}")))
            .collect();
        truth.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
        truth
    }
}

pub struct Asked<'a> {
    pub query: &'a [f32],
    pub k: usize,
    pub filter: Option<&'a Filter>,
    pub after: Option<&'a Cursor>,
    pub reach: usize,
    pub tuning: SearchTuning,
}

impl<'a> Asked<'a> {
    pub fn plain(query: &'a [f32], k: usize) -> Self {
        Self {
            query,
            k,
            filter: None,
            after: None,
            reach: k,
            tuning: SearchTuning::default(),
        }
    }

    pub fn of(&self, world: &World, excluded: &RoaringBitmap, pool: &Pool) -> SearchAnswer {
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
pub fn check(hits: &[Hit], truth: &[(f32, String)], k: usize) -> usize {
    assert_eq!(hits.len(), k.min(truth.len()), "as many answers as there can be");
    let allowed: HashMap<&str, f32> = truth.iter().map(|(distance, key)| (key.as_str(), *distance)).collect();
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
pub type Selection = (&'static str, fn(usize) -> bool);

pub const FILTERS: [Selection; 5] = [
    (r#"{"half":1}"#, |number| number % 2 == 1),
    (r#"{"tenth":3}"#, |number| number % 10 == 3),
    (r#"{"hundredth":{"$in":[42]}}"#, |number| number % 100 == 42),
    (r#"{"rare":1}"#, |number| number % 1000 == 7),
    (r#"{"nobody":1}"#, |_| false),
];

/// Clusters, coded as by default.
pub fn ordinary(rows: usize, dimension: usize, metric: DistanceMetric) -> Spec {
    Spec {
        seed: 11,
        dimension,
        rows,
        vectors: Vectors::Clusters,
        metric,
        code: IvfCodeKind::Pq4,
    }
}
