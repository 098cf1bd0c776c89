//! Tables for single decisions; a simulation for what ten thousand of them add up to.

use model::Ulid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rstest::rstest;

use super::*;

/// Files of a shard: 400 bytes a row and some that every shard costs.
const ROW_BYTES: u64 = 400;
const SHARD_BYTES: u64 = 16 << 10;

fn id(number: u64) -> ShardId {
    ShardId(Ulid::from_parts(1, u128::from(number)))
}

fn stat(number: u64, rows: u64, dead: u64) -> ShardStat {
    ShardStat {
        id: id(number),
        rows,
        dead,
        bytes: SHARD_BYTES + rows * ROW_BYTES,
    }
}

/// Shards numbered from 0: (rows, dead).
fn stats(shards: &[(u64, u64)]) -> Vec<ShardStat> {
    (0..)
        .zip(shards)
        .map(|(number, (rows, dead))| stat(number, *rows, *dead))
        .collect()
}

#[rstest]
#[case::nothing(&[], None)]
#[case::few_of_a_tier(&[(1000, 0), (900, 0), (800, 0)], None)]
#[case::four_of_a_tier(&[(1000, 0), (900, 0), (800, 0), (700, 0)], Some(vec![3, 2, 1, 0]))]
#[case::four_of_different_tiers(&[(100, 0), (900, 0), (3000, 0), (20_000, 0)], None)]
#[case::the_lowest_tier_first(
    &[(9000, 0), (300, 0), (9000, 0), (300, 0), (9000, 0), (300, 0), (9000, 0), (300, 0)],
    Some(vec![1, 3, 5, 7])
)]
#[case::live_rows_make_the_tier(&[(1000, 0), (900, 0), (800, 0), (9000, 8300)], Some(vec![3, 2, 1, 0]))]
#[case::too_dead(&[(1000, 251), (5000, 1250)], Some(vec![0]))]
#[case::a_quarter_dead_is_not_too_dead(&[(1000, 250)], None)]
#[case::the_most_dead_first(&[(1000, 600), (5000, 3000)], Some(vec![1]))]
#[case::all_dead(&[(1000, 1000)], Some(vec![0]))]
#[case::full_ones_stay(&[(900_000, 0), (800_000, 0), (700_000, 0), (600_000, 0)], None)]
#[case::what_fits_is_merged(&[(900_000, 0), (400_000, 0), (300_000, 0), (600_000, 0)], Some(vec![2, 1]))]
#[case::no_more_than_max_inputs(&[(300, 0); 12], Some((0..10).collect()))]
fn plans(#[case] shards: &[(u64, u64)], #[case] expected: Option<Vec<u64>>) {
    let config = PolicyConfig::default();
    let expected = expected.map(|inputs| Compaction {
        inputs: inputs.into_iter().map(id).collect(),
    });
    assert_eq!(plan(&stats(shards), &config), expected);
    let mut reversed = stats(shards);
    reversed.reverse();
    assert_eq!(
        plan(&reversed, &config),
        expected,
        "the order of the shards does not matter"
    );
}

#[test]
fn the_byte_limit_holds_for_wide_rows() {
    let wide = |number, rows| ShardStat {
        id: id(number),
        rows,
        dead: 0,
        bytes: rows * 16_384,
    };
    // Four shards of 400 MiB: only two fit 1 GiB.
    let shards: Vec<_> = (0..4).map(|number| wide(number, 25_600)).collect();
    let compaction = plan(&shards, &PolicyConfig::default()).unwrap();
    assert_eq!(compaction.inputs, [id(0), id(1)]);
}

#[rstest]
#[case::nothing_there(100, &[], &[])]
#[case::a_tiny_fold_takes_tiny_shards(1, &[(1, 0), (2, 0), (5000, 0)], &[0, 1])]
#[case::a_fold_takes_as_much_as_itself(1000, &[(500, 0), (300, 0), (2000, 0)], &[1, 0])]
#[case::but_not_more(1000, &[(900, 0), (800, 0)], &[1])]
#[case::dead_rows_cost_nothing(1000, &[(4000, 3500)], &[0])]
#[case::big_shards_are_left_to_compaction(500, &[(1000, 0), (100_000, 0)], &[])]
#[case::never_beyond_a_full_shard(999_900, &[(150, 0), (90, 0)], &[1])]
fn absorbs(#[case] fold_rows: u64, #[case] shards: &[(u64, u64)], #[case] expected: &[u64]) {
    let fold_bytes = SHARD_BYTES + fold_rows * ROW_BYTES;
    let absorbed = absorb(fold_rows, fold_bytes, &stats(shards), &PolicyConfig::default());
    assert_eq!(absorbed, expected.iter().copied().map(id).collect::<Vec<_>>());
}

/// An index as the policy sees it, and what its upkeep has cost.
struct Simulation {
    shards: Vec<ShardStat>,
    config: PolicyConfig,
    next: u64,
    put_bytes: u64,
    written_bytes: u64,
    most_shards: usize,
}

impl Simulation {
    fn new() -> Self {
        let config = PolicyConfig::default();
        Self {
            shards: Vec::new(),
            config,
            next: 0,
            put_bytes: 0,
            written_bytes: 0,
            most_shards: 0,
        }
    }

    fn live(&self) -> u64 {
        self.shards.iter().map(ShardStat::live).sum()
    }

    fn replace(&mut self, inputs: &[ShardId], more_rows: u64) {
        let taken: u64 = self
            .shards
            .iter()
            .filter(|shard| inputs.contains(&shard.id))
            .map(ShardStat::live)
            .sum();
        self.shards.retain(|shard| !inputs.contains(&shard.id));
        let output = stat(self.next, taken + more_rows, 0);
        self.next += 1;
        if output.rows > 0 {
            self.written_bytes += output.bytes;
            self.shards.push(output);
        }
    }

    /// A fold of `rows` rows, `overwrites` of which replace rows anywhere in the index; then all compactions due.
    fn fold(&mut self, rows: u64, overwrites: u64) {
        let live = self.live().max(1);
        for shard in &mut self.shards {
            shard.dead += (overwrites * shard.live()).div_ceil(live).min(shard.live());
        }
        let bytes = SHARD_BYTES + rows * ROW_BYTES;
        self.put_bytes += bytes;
        let absorbed = absorb(rows, bytes, &self.shards, &self.config);
        self.replace(&absorbed, rows);
        self.most_shards = self.most_shards.max(self.shards.len());
        for round in 0.. {
            let Some(compaction) = plan(&self.shards, &self.config) else {
                break;
            };
            assert!(round < 1000, "compactions come to an end");
            self.replace(&compaction.inputs, 0);
            let last = self.shards.last().map_or(0, |shard| shard.rows);
            assert!(last <= self.config.max_output_rows);
        }
    }

    fn amplification(&self) -> f64 {
        self.written_bytes as f64 / self.put_bytes as f64
    }
}

#[rstest]
#[case::single_rows(1..2, 0.0)]
#[case::small_folds(1..200, 0.0)]
#[case::usual_folds(500..1500, 0.0)]
#[case::sizes_of_every_order(1..50_000, 0.0)]
#[case::half_overwrites(500..1500, 0.5)]
#[case::only_overwrites(500..1500, 1.0)]
fn ten_thousand_folds_stay_cheap_and_few(#[case] sizes: std::ops::Range<u64>, #[case] overwrites: f64) {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut simulation = Simulation::new();
    for fold in 1_u64..=10_000 {
        // "Every order": a row, or ten, or ten thousand.
        let size = (sizes.end as f64 / sizes.start as f64).powf(random.random_range(0.0..1.0)) * sizes.start as f64;
        simulation.fold(size as u64, (size * overwrites) as u64);
        if fold % 1000 == 0 {
            let tiers = (simulation.live() as f64 / LOWEST_TIER_ROWS as f64)
                .max(1.0)
                .log(TIER_RATIO as f64)
                + 2.0;
            // Absorbing may double a fold; each tier costs one rewrite, dead rows at most three more.
            let amplification = simulation.amplification();
            assert!(
                amplification <= 3.0 + tiers + 3.0 * overwrites,
                "{fold} folds: {amplification:.1}, {tiers:.1} tiers"
            );
            let full = 2.0 * simulation.live() as f64 / simulation.config.max_output_rows as f64;
            let bound = (simulation.config.fan_in - 1) as f64 * tiers + full + 2.0;
            assert!(
                simulation.most_shards as f64 <= bound,
                "{fold} folds: {} shards",
                simulation.most_shards
            );
        }
    }
    println!(
        "{sizes:?}: {:.2} x, {} shards",
        simulation.amplification(),
        simulation.most_shards
    );
}
