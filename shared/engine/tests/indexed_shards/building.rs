//! What is built: the same bytes every time, codes carried from shard to shard, damage that is noticed.

use genai_vectors_engine::ivf::TrainedGeneration;
use genai_vectors_engine::{Pool, Shard, ShardBytes};
use model::{DistanceMetric, ShardId, Ulid};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;

use super::world::{config, draw, flat, merge, open, ordinary, train};

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
