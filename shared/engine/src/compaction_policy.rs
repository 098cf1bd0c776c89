//! Which shards to merge, and when: size tiers over live rows. Pure functions.
//!
//! Tiers are powers of [`TIER_RATIO`]; a tier that holds [`PolicyConfig::fan_in`] shards is merged, smallest first, the
//! lowest such tier first. A row that takes part in a merge climbs about one tier, so each row is rewritten about
//! log4(rows) times, and at most `fan_in - 1` shards stay per tier, plus the full ones. A shard with too many dead rows is
//! rewritten alone: it costs at most three live rows for each dead one that made it due.
//!
//! Flat shards are scanned whole by every query, so they are merged into a shard with an index when their live rows
//! together reach [`PolicyConfig::flat_threshold`] and nothing has been written for a while (*settled*). While the index
//! is being loaded, only many times as many are: training, encoding and measuring cost less in few large pieces, and a
//! scan of [`BUSY_BYTES`] takes some milliseconds. A settled index is also merged further, as long as no row is
//! rewritten for the sake of less than a quarter of its shard's rows: fewer shards answer faster.
//!
//! Folds absorb what is small beside them, so that a trickle of tiny folds does not leave a trail of tiny shards:
//! bounded by the fold's own bytes, and never more than a small constant beyond. Flat shards are either small enough to
//! be absorbed or large enough to wait for an index, so that a fold never takes away what is being indexed.

#[cfg(test)]
mod tests;

use model::ShardId;

/// From one tier to the next, rows grow by this factor.
pub const TIER_RATIO: u64 = 4;
/// The lowest tier holds shards of fewer live rows than this.
pub const LOWEST_TIER_ROWS: u64 = 256;

/// Flat shards of this many bytes get an index at once: scanning them takes milliseconds.
pub const BUSY_BYTES: u64 = 128 << 20;
/// So many flat shards get one at once too: each costs a query something, and a cold process several reads.
const BUSY_SHARDS: usize = 16;
/// Flat shards of fewer live rows than this share of [`PolicyConfig::flat_threshold`] are absorbed by folds, larger
/// ones get an index.
const ABSORBED_SHARE: u64 = 8;
/// Nor are shards of this many live rows absorbed where nothing ever gets an index: what is being merged would be taken
/// away by the folds beside it.
const MOST_ABSORBED_ROWS: u64 = 4_096;

/// What the policy knows of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardStat {
    /// The shard.
    pub id: ShardId,
    /// Its rows, dead ones included.
    pub rows: u64,
    /// Its dead rows.
    pub dead: u64,
    /// The length of its files.
    pub bytes: u64,
    /// It has no index: every query scans it.
    pub is_flat: bool,
}

impl ShardStat {
    /// Rows that a merge would take along.
    pub fn live(&self) -> u64 {
        self.rows.saturating_sub(self.dead)
    }

    /// About how many bytes they are.
    pub fn live_bytes(&self) -> u64 {
        let share = u128::from(self.bytes) * u128::from(self.live()) / u128::from(self.rows.max(1));
        u64::try_from(share).unwrap_or(self.bytes)
    }

    fn tier(&self) -> u32 {
        (self.live() / LOWEST_TIER_ROWS)
            .checked_ilog(TIER_RATIO)
            .map_or(0, |tier| tier + 1)
    }
}

/// The policy's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolicyConfig {
    /// Flat shards get an index when they have this many live rows together and the index has settled ...
    pub flat_threshold: u64,
    /// ... or this many times as many, or many bytes, or are many: a load in progress is not indexed in small pieces.
    pub busy_factor: u64,
    /// A tier with this many shards is merged (at least 2).
    pub fan_in: usize,
    /// At most this many shards go into one merge.
    pub max_inputs: usize,
    /// A shard with a larger share of dead rows is rewritten.
    pub dead_fraction: f64,
    /// No merge makes a shard of more live rows.
    pub max_output_rows: u64,
    /// No merge makes a shard of more bytes.
    pub max_output_bytes: u64,
    /// A fold absorbs at most this multiple of its own bytes ...
    pub absorb_ratio: u64,
    /// ... but always this much: less than a shard's five files cost anyway.
    pub absorb_free_bytes: u64,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            flat_threshold: 20_000,
            busy_factor: 16,
            fan_in: 4,
            max_inputs: 10,
            dead_fraction: 0.25,
            max_output_rows: 1_000_000,
            max_output_bytes: 1 << 30,
            absorb_ratio: 1,
            absorb_free_bytes: 128 << 10,
        }
    }
}

/// A merge that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// The shards to replace by one (or by none, when nothing in them is alive).
    pub inputs: Vec<ShardId>,
}

/// The next compaction, if one is due. Plan again after it: one merge may make another due. `settled`: nothing has
/// been written for a while.
pub fn plan(shards: &[ShardStat], config: &PolicyConfig, settled: bool) -> Option<Compaction> {
    // What a settled index would be merged to in the end is made in one go.
    let inputs = settled
        .then(|| small_beside(shards, config))
        .flatten()
        .or_else(|| flat_shards(shards, config, settled))
        .or_else(|| full_tier(shards, config))
        .or_else(|| too_dead(shards, config));
    inputs.map(|inputs| Compaction { inputs })
}

/// Flat shards that together are large enough for an index; the largest first when they do not all fit.
fn flat_shards(shards: &[ShardStat], config: &PolicyConfig, settled: bool) -> Option<Vec<ShardId>> {
    let waits = |shard: &&ShardStat| shard.is_flat && shard.live() >= absorbed_below(config);
    let mut flat: Vec<&ShardStat> = shards.iter().filter(waits).collect();
    flat.sort_by_key(|shard| (std::cmp::Reverse(shard.live()), shard.id));
    let chosen = fitting(
        flat.iter().copied(),
        config.max_output_rows,
        config.max_output_bytes,
        BUSY_SHARDS,
    );
    let is_chosen = |shard: &&&ShardStat| chosen.contains(&shard.id);
    let live: u64 = flat.iter().filter(is_chosen).map(|shard| shard.live()).sum();
    let bytes: u64 = flat.iter().filter(is_chosen).map(|shard| shard.live_bytes()).sum();
    let is_worth_it = live >= config.flat_threshold;
    let is_pressing = live >= config.flat_threshold.saturating_mul(config.busy_factor)
        || bytes >= BUSY_BYTES
        || chosen.len() >= BUSY_SHARDS;
    (!chosen.is_empty() && is_worth_it && (settled || is_pressing)).then_some(chosen)
}

fn absorbed_below(config: &PolicyConfig) -> u64 {
    (config.flat_threshold / ABSORBED_SHARE).min(MOST_ABSORBED_ROWS)
}

/// The lowest tier that is full, its smallest shards first. Not flat ones that would get an index: see [`flat_shards`].
fn full_tier(shards: &[ShardStat], config: &PolicyConfig) -> Option<Vec<ShardId>> {
    let by_size = by_size(shards);
    by_size
        .chunk_by(|left, right| left.tier() == right.tier())
        .find_map(|tier| {
            let fitting = fitting(
                tier.iter().copied(),
                config.max_output_rows,
                config.max_output_bytes,
                config.max_inputs,
            );
            let inputs = tier.iter().filter(|shard| fitting.contains(&shard.id));
            let live: u64 = inputs.clone().map(|shard| shard.live()).sum();
            let may_wait = |shard: &&ShardStat| shard.is_flat && shard.live() >= absorbed_below(config);
            let waits = live >= config.flat_threshold && inputs.clone().all(may_wait);
            (tier.len() >= config.fan_in.max(2) && fitting.len() > 1 && !waits).then_some(fitting)
        })
}

/// The shard with the most dead rows, if they are too many.
fn too_dead(shards: &[ShardStat], config: &PolicyConfig) -> Option<Vec<ShardId>> {
    let too_dead = |shard: &&ShardStat| shard.dead as f64 > shard.rows as f64 * config.dead_fraction;
    let most_dead = shards
        .iter()
        .filter(too_dead)
        .max_by_key(|shard| (shard.dead, shard.id));
    most_dead.map(|shard| vec![shard.id])
}

/// The smallest shards, as many as possible, none of them larger than [`TIER_RATIO`] times the smaller ones together.
fn small_beside(shards: &[ShardStat], config: &PolicyConfig) -> Option<Vec<ShardId>> {
    let by_size = by_size(shards);
    let fitting = fitting(
        by_size.iter().copied(),
        config.max_output_rows,
        config.max_output_bytes,
        config.max_inputs,
    );
    let mut smaller = 0_u64;
    let mut count = 0;
    for (number, shard) in by_size.iter().take(fitting.len()).enumerate() {
        if number > 0 && shard.live() <= smaller.saturating_mul(TIER_RATIO) {
            count = number + 1;
        }
        smaller = smaller.saturating_add(shard.live());
    }
    (count > 1).then(|| fitting.into_iter().take(count).collect())
}

fn by_size(shards: &[ShardStat]) -> Vec<&ShardStat> {
    let mut by_size: Vec<&ShardStat> = shards.iter().collect();
    by_size.sort_by_key(|shard| (shard.live(), shard.id));
    by_size
}

/// Which flat shards a fold of `fold_rows` rows and `fold_bytes` bytes should take in: the smallest ones, as long as
/// all of them together stay small beside the fold.
pub fn absorb(fold_rows: u64, fold_bytes: u64, shards: &[ShardStat], config: &PolicyConfig) -> Vec<ShardId> {
    let absorbed = |shard: &&ShardStat| shard.is_flat && shard.live() < absorbed_below(config);
    let mut by_size: Vec<&ShardStat> = shards.iter().filter(absorbed).collect();
    by_size.sort_by_key(|shard| (shard.live_bytes(), shard.id));
    let budget = fold_bytes
        .saturating_mul(config.absorb_ratio)
        .max(config.absorb_free_bytes);
    let rows = config.max_output_rows.saturating_sub(fold_rows);
    let bytes = config.max_output_bytes.saturating_sub(fold_bytes).min(budget);
    fitting(by_size.into_iter(), rows, bytes, config.max_inputs)
}

/// The first shards that stay within all three bounds together.
fn fitting<'a>(shards: impl Iterator<Item = &'a ShardStat>, rows: u64, bytes: u64, count: usize) -> Vec<ShardId> {
    let mut total_rows = 0_u64;
    let mut total_bytes = 0_u64;
    let within = shards.take(count).take_while(|shard| {
        total_rows = total_rows.saturating_add(shard.live());
        total_bytes = total_bytes.saturating_add(shard.live_bytes());
        total_rows <= rows && total_bytes <= bytes
    });
    within.map(|shard| shard.id).collect()
}
