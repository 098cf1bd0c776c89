//! A shard without its `rows.parquet` answers with the same bits, from the bytes that it asks for.

use format::EncodedShard;
use genai_vectors_engine::{
    Cursor, EngineError, Hit, Missing, PickedVectors, Pool, SearchAnswer, SearchRequest, SearchTuning, Shard,
    ShardView, compare, search, select,
};
use model::{DistanceMetric, Filter, Strictness};
use roaring::RoaringBitmap;

use super::world::{Asked, FILTERS, World, ordinary};

fn read(encoded: &EncodedShard, shard: &Shard, rows: &[u32]) -> PickedVectors {
    let vector = |row: &u32| {
        let range = shard.vector_range(*row).unwrap();
        (*row, encoded.rows.slice(range.start as usize..range.end as usize))
    };
    PickedVectors::new(shard, rows.iter().map(vector).collect()).unwrap()
}

/// What was missing, in rows; `None`: the file.
type Read = Option<usize>;

fn by_ranges(
    world: &World,
    request: &SearchRequest<'_>,
    excluded: &RoaringBitmap,
    pool: &Pool,
) -> (SearchAnswer, Read) {
    let shard = world.without_rows();
    let views = [ShardView {
        shard: &shard,
        excluded,
    }];
    let selection = select(request, &views, &[], pool).unwrap();
    let (picked, read) = match selection.missing(0, &shard) {
        Missing::Nothing => (PickedVectors::default(), Some(0)),
        Missing::Vectors(rows) => (read(&world.encoded, &shard, rows), Some(rows.len())),
        Missing::File => {
            let error = compare(request, &views, &[], &selection, &[], pool).unwrap_err();
            assert!(matches!(error, EngineError::NoRows { .. }), "{error}");
            shard.attach_rows(world.encoded.rows.clone()).unwrap();
            (PickedVectors::default(), None)
        }
    };
    let answer = compare(request, &views, &[], &selection, &[picked], pool).unwrap();
    (answer, read)
}

fn same(whole: &SearchAnswer, ranged: &SearchAnswer) {
    let bits = |hits: &[Hit]| -> Vec<_> {
        let hits = hits.iter();
        hits.map(|hit| (hit.distance.to_bits(), hit.key.clone(), hit.place))
            .collect()
    };
    assert_eq!(bits(&whole.hits), bits(&ranged.hits));
    assert_eq!(whole.scanned_rows, ranged.scanned_rows);
    let mut plan = ranged.plan;
    // However the work is cut.
    plan.pieces = whole.plan.pieces;
    assert_eq!(whole.plan, plan);
}

#[test]
fn the_same_bits_with_and_without_the_file() {
    let world = World::new(ordinary(30_000, 24, DistanceMetric::Cosine));
    let pool = Pool::new(2).unwrap();
    let dead: RoaringBitmap = (0..30_000).filter(|row| row % 7 == 2).collect();
    let exactly = SearchTuning {
        exact: true,
        ..SearchTuning::default()
    };
    let (mut picked, mut files) = (0, 0);
    for excluded in [&RoaringBitmap::new(), &dead] {
        for k in [1, 10, 300, 10_000] {
            for filter in std::iter::once(None).chain(FILTERS.map(|(json, _)| Some(json))) {
                let filter = filter.map(|json| Filter::parse(json, Strictness::Strict).unwrap());
                for tuning in [SearchTuning::default(), exactly] {
                    let asked = Asked {
                        filter: filter.as_ref(),
                        tuning,
                        ..Asked::plain(&world.rows[k], k)
                    };
                    let whole = asked.of(&world, excluded, &pool);
                    let (ranged, read) = by_ranges(&world, &asked.request(&world), excluded, &pool);
                    same(&whole, &ranged);
                    match read {
                        Some(rows) => picked += usize::from(rows > 0),
                        None => files += 1,
                    }
                }
            }
        }
    }
    assert!(picked > 20 && files > 5, "{picked} were read by ranges, {files} whole");
}

#[test]
fn pages_continue_the_same_way() {
    let world = World::new(ordinary(30_000, 32, DistanceMetric::Euclidean));
    let pool = Pool::new(2).unwrap();
    let none = RoaringBitmap::new();
    let mut after: Option<Cursor> = None;
    for _ in 0..5 {
        let asked = Asked {
            after: after.as_ref(),
            reach: 60,
            ..Asked::plain(&world.rows[5], 12)
        };
        let whole = asked.of(&world, &none, &pool);
        let (ranged, read) = by_ranges(&world, &asked.request(&world), &none, &pool);
        same(&whole, &ranged);
        assert!(read.is_some_and(|rows| rows >= 60), "{read:?}");
        after = whole.hits.last().map(Cursor::after);
    }
}

#[test]
fn every_damaged_vector_is_found_and_named() {
    let world = World::new(ordinary(300, 8, DistanceMetric::Cosine));
    let shard = world.without_rows();
    let row = 17;
    let range = shard.vector_range(row).unwrap();
    let sound = world.encoded.rows.slice(range.start as usize..range.end as usize);
    for place in 0..sound.len() {
        for bit in 0..8 {
            let mut bad = sound.to_vec();
            bad[place] ^= 1 << bit;
            let error = PickedVectors::new(&shard, vec![(row, bad.into())]).unwrap_err();
            assert!(error.to_string().contains("rows.parquet: row 17"), "{error}");
        }
        shard.check_vector(row, &sound[..place]).unwrap_err();
    }
    shard.check_vector(row, &sound).unwrap();
    // Another row's bytes, and a row that does not exist.
    shard.check_vector(row + 1, &sound).unwrap_err();
    shard.check_vector(300, &[0; 32]).unwrap_err();
}

#[test]
fn nothing_is_answered_without_the_rows() {
    let world = World::new(ordinary(3_000, 8, DistanceMetric::Cosine));
    let pool = Pool::new(1).unwrap();
    let (shard, none) = (world.without_rows(), RoaringBitmap::new());
    let views = [ShardView {
        shard: &shard,
        excluded: &none,
    }];
    let request = Asked::plain(&world.rows[1], 3).request(&world);
    let no_rows = |answer: Result<SearchAnswer, EngineError>| matches!(answer, Err(EngineError::NoRows { .. }));
    assert!(no_rows(search(&request, &views, &[], &pool)));
    let selection = select(&request, &views, &[], &pool).unwrap();
    assert!(no_rows(compare(&request, &views, &[], &selection, &[], &pool)));
    assert!(matches!(shard.metadata(&[1]), Err(EngineError::NoRows { .. })));
    assert!(shard.vector_bytes(1).is_empty() && shard.vector_runs().next().is_none());
}

#[test]
fn picked_vectors_merge() {
    let world = World::new(ordinary(300, 8, DistanceMetric::Cosine));
    let shard = world.without_rows();
    let read = |rows: &[u32]| read(&world.encoded, &shard, rows);
    let merged = read(&[9, 2, 2]).merge(read(&[5, 9])).merge(PickedVectors::default());
    assert_eq!((merged.len(), merged.is_empty()), (3, false));
    for row in [2, 5, 9] {
        assert_eq!(merged.get(row).unwrap(), world.shard.vector_bytes(row));
    }
    assert_eq!(merged.get(3), None);
}
