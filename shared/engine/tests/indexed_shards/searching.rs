//! The index is used, at any dimension, by pages and by many threads at once.

use std::collections::HashSet;

use genai_vectors_engine::{Cursor, Hit, Pool, SearchTuning};
use model::{DistanceMetric, Filter, Strictness};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;

use super::world::{Asked, FILTERS, World, check, draw, ordinary};

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
