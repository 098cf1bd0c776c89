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
        is_flat: false,
    }
}

fn flat(shards: Vec<ShardStat>) -> Vec<ShardStat> {
    let flat = |shard: ShardStat| ShardStat { is_flat: true, ..shard };
    shards.into_iter().map(flat).collect()
}

/// Shards numbered from 0: (rows, dead).
fn stats(shards: &[(u64, u64)]) -> Vec<ShardStat> {
    (0..)
        .zip(shards)
        .map(|(number, (rows, dead))| stat(number, *rows, *dead))
        .collect()
}

/// Folds leave them alone, so they must be merged, and what is merged they must leave alone.
#[rstest]
#[case::never_an_index(u64::MAX)]
#[case::late_an_index(100_000)]
#[case::by_default(20_000)]
fn flat_shards_are_either_absorbed_or_merged(#[case] flat_threshold: u64) {
    let config = PolicyConfig {
        flat_threshold,
        ..PolicyConfig::default()
    };
    let least = absorbed_below(&config);
    assert!(least <= 4_096);
    for rows in [least - 1, least] {
        let one = flat(stats(&[(rows, 0)]));
        let absorbed = absorb(
            1_000_000,
            1 << 30,
            &one,
            &PolicyConfig {
                max_output_bytes: 2 << 30,
                max_output_rows: 2_000_000,
                ..config
            },
        );
        assert_eq!(absorbed.len(), usize::from(rows < least), "{rows} rows");
        // As many as reach the threshold by default: small ones do not wait for an index that they cannot be part of.
        let ten = flat(stats(&[(rows, 0); 10]));
        let waits = rows >= least && 10 * rows >= flat_threshold;
        assert_eq!(plan(&ten, &config, false).is_some(), !waits, "{rows} rows");
        assert!(plan(&ten, &config, true).is_some(), "{rows} rows");
    }
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
    assert_eq!(plan(&stats(shards), &config, false), expected);
    let mut reversed = stats(shards);
    reversed.reverse();
    assert_eq!(
        plan(&reversed, &config, false),
        expected,
        "the order of the shards does not matter"
    );
}

#[rstest]
#[case::too_few(&[(9_000, 0), (9_000, 0)], &[], None)]
#[case::together_enough(&[(9_000, 0), (11_000, 0)], &[(90_000, 0)], Some(vec![1, 0]))]
#[case::dead_rows_do_not_count(&[(9_000, 0), (11_000, 100)], &[], None)]
#[case::one_is_enough(&[(25_000, 0)], &[], Some(vec![0]))]
#[case::no_more_than_fit(&[(700_000, 0), (400_000, 0)], &[], Some(vec![0]))]
#[case::small_ones_are_left_to_folds(&[(24_000, 0), (2_499, 0), (2_500, 0)], &[], Some(vec![0, 2]))]
fn flat_shards_get_an_index(
    #[case] flats: &[(u64, u64)],
    #[case] others: &[(u64, u64)],
    #[case] expected: Option<Vec<u64>>,
) {
    let mut shards = flat(stats(flats));
    let others = others
        .iter()
        .zip(100..)
        .map(|((rows, dead), number)| stat(number, *rows, *dead));
    shards.extend(others);
    let config = PolicyConfig {
        busy_factor: 1,
        ..PolicyConfig::default()
    };
    let inputs = plan(&shards, &config, false).map(|plan| plan.inputs);
    assert_eq!(inputs, expected.map(|inputs| inputs.into_iter().map(id).collect()));
}

#[rstest]
#[case::few(&[(25_000, 0), (30_000, 0)], false)]
#[case::less_than_it_could_be(&[(151_000, 0), (149_000, 0)], false)]
#[case::many_rows(&[(161_000, 0), (159_000, 0)], true)]
#[case::too_many_shards(&[(2_500, 0); 16], true)]
#[case::tiers_do_not_make_them_sooner(&[(17_000, 0); 8], false)]
#[case::wide(&[(335_600, 0)], true)]
fn a_load_in_progress_is_indexed_in_large_pieces(#[case] flats: &[(u64, u64)], #[case] due: bool) {
    let shards = flat(stats(flats));
    let config = PolicyConfig::default();
    assert_eq!(plan(&shards, &config, false).is_some(), due);
    assert!(plan(&shards, &config, true).is_some(), "once it has settled");
}

#[rstest]
#[case::alone(&[(5_000, 0)], None)]
#[case::a_quarter_is_worth_it(&[(400_000, 0), (100_000, 0)], Some(vec![1, 0]))]
#[case::less_is_not(&[(400_000, 0), (99_999, 0)], None)]
#[case::small_ones_add_up(&[(400_000, 0), (60_000, 0), (40_000, 0)], Some(vec![2, 1, 0]))]
#[case::only_the_small_ones(&[(400_000, 0), (6_000, 0), (4_000, 0)], Some(vec![2, 1]))]
#[case::never_more_than_fits(&[(800_000, 0), (300_000, 0), (200_000, 0)], Some(vec![2, 1]))]
fn settled_indexes_are_merged_further(#[case] shards: &[(u64, u64)], #[case] expected: Option<Vec<u64>>) {
    let config = PolicyConfig::default();
    assert_eq!(plan(&stats(shards), &config, false), None);
    let inputs = plan(&stats(shards), &config, true).map(|plan| plan.inputs);
    assert_eq!(inputs, expected.map(|inputs| inputs.into_iter().map(id).collect()));
}

#[test]
fn what_waits_for_an_index_gets_it_in_the_last_merge() {
    let mut shards = flat(stats(&[(60_000, 0), (50_000, 0), (3_000, 0)]));
    shards.push(stat(9, 230_000, 0));
    let merge = plan(&shards, &PolicyConfig::default(), true).unwrap();
    assert_eq!(merge.inputs, [2, 1, 0, 9].map(id));
}

#[test]
fn the_byte_limit_holds_for_wide_rows() {
    let wide = |number, rows| ShardStat {
        id: id(number),
        rows,
        dead: 0,
        bytes: rows * 16_384,
        is_flat: false,
    };
    // Four shards of 400 MiB: only two fit 1 GiB.
    let shards: Vec<_> = (0..4).map(|number| wide(number, 25_600)).collect();
    let compaction = plan(&shards, &PolicyConfig::default(), false).unwrap();
    assert_eq!(compaction.inputs, [id(0), id(1)]);
}

#[rstest]
#[case::nothing_there(100, &[], &[])]
#[case::a_tiny_fold_takes_tiny_shards(1, &[(1, 0), (2, 0), (5000, 0)], &[0, 1])]
#[case::a_fold_takes_as_much_as_itself(1000, &[(500, 0), (300, 0), (2000, 0)], &[1, 0])]
#[case::but_not_more(1000, &[(900, 0), (800, 0)], &[1])]
#[case::dead_rows_cost_nothing(1000, &[(4000, 3500)], &[0])]
#[case::what_waits_for_an_index_is_left_alone(90_000, &[(2_500, 0), (2_499, 0)], &[1])]
#[case::big_shards_are_left_to_compaction(500, &[(1000, 0), (100_000, 0)], &[])]
#[case::never_beyond_a_full_shard(999_900, &[(150, 0), (90, 0)], &[1])]
fn absorbs(#[case] fold_rows: u64, #[case] shards: &[(u64, u64)], #[case] expected: &[u64]) {
    let fold_bytes = SHARD_BYTES + fold_rows * ROW_BYTES;
    let absorbed = absorb(fold_rows, fold_bytes, &flat(stats(shards)), &PolicyConfig::default());
    let nothing = absorb(fold_rows, fold_bytes, &stats(shards), &PolicyConfig::default());
    assert_eq!(nothing, [], "a shard with an index is not absorbed");
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
        let rows = taken + more_rows;
        let output = ShardStat {
            // A fold never makes an index, a merge does from the threshold on.
            is_flat: more_rows > 0 || rows < self.config.flat_threshold,
            ..stat(self.next, rows, 0)
        };
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
            let Some(compaction) = plan(&self.shards, &self.config, false) else {
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
            // Absorbing may double a fold; each tier costs one rewrite, and so does the first index; dead rows cost at
            // most three more.
            let amplification = simulation.amplification();
            assert!(
                amplification <= 4.0 + tiers + 3.0 * overwrites,
                "{fold} folds: {amplification:.1}, {tiers:.1} tiers"
            );
            let full = 2.0 * simulation.live() as f64 / simulation.config.max_output_rows as f64;
            let bound = (simulation.config.fan_in - 1) as f64 * tiers + full + 2.0 + BUSY_SHARDS as f64 / 2.0;
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
