//! Shards with an index against a sort of everything: what is answered is always live, matching, exact, complete and in
//! order; what may be missing is only what the recall target allows.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | drawn shards, and the sort of everything |
//! | `searching` | the index is used, and pages and threads do not change the answer |
//! | `building` | what is built and merged |
#![cfg(feature = "ivfpq")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod indexed_shards {
    mod building;
    mod searching;
    pub mod world;
}

use std::collections::HashSet;

use format::IvfCodeKind;
use genai_vectors_engine::{Pool, SearchAnswer};
use indexed_shards::world::{Asked, FILTERS, Spec, Vectors, World, check};
use model::{DistanceMetric, Filter, Strictness};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;

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
