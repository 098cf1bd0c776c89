//! Choosing rows: evenly spread over the live rows of several shards, jittered by a seed, the same for the same input.

use crate::build::MergeSource;

/// A small mixing function (splitmix64): a stream of numbers from a seed, the same on every machine.
#[derive(Debug, Clone)]
pub(super) struct Mixer(u64);

impl Mixer {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// `count` of the numbers `0..total`, ascending, one from each of `count` equal stretches.
pub(super) fn spread(total: u64, count: usize, seed: u64) -> Vec<u64> {
    let count = u64::try_from(count).unwrap_or(u64::MAX).min(total);
    let mut mixer = Mixer::new(seed);
    let at = |place: u64| (u128::from(place) * u128::from(total) / u128::from(count.max(1))) as u64;
    (0..count)
        .map(|place| {
            let (start, end) = (at(place), at(place + 1));
            start + mixer.next() % (end - start).max(1)
        })
        .collect()
}

/// How many rows of the sources are alive.
pub fn live(sources: &[MergeSource<'_>]) -> u64 {
    let live = |source: &MergeSource<'_>| {
        let rows = source.shard.rows();
        u64::from(rows) - source.dead.range_cardinality(..rows)
    };
    sources.iter().map(live).sum()
}

/// The vectors of `count` live rows.
pub(super) fn vectors<'a>(sources: &[MergeSource<'a>], count: usize, seed: u64) -> Vec<&'a [u8]> {
    let mut chosen = spread(live(sources), count, seed).into_iter().peekable();
    let mut vectors = Vec::with_capacity(count);
    let mut number = 0_u64;
    for source in sources {
        let shard = source.shard;
        for row in (0..shard.rows()).filter(|row| !source.dead.contains(*row)) {
            if chosen.next_if_eq(&number).is_some() {
                vectors.push(shard.vector_bytes(row));
            }
            number += 1;
        }
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_ascending_and_without_repeats() {
        for (total, count) in [(0, 5), (1, 5), (10, 10), (1000, 7), (1_000_003, 999)] {
            let chosen = spread(total, count, 42);
            assert_eq!(chosen.len() as u64, total.min(count as u64));
            assert!(chosen.is_sorted_by(|left, right| left < right), "{total} {count}");
            assert!(chosen.iter().all(|number| *number < total));
            assert_eq!(chosen, spread(total, count, 42));
        }
        assert_ne!(spread(1000, 7, 1), spread(1000, 7, 2));
    }
}
