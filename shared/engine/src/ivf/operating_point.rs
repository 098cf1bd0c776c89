//! From measured recall curves to the cheapest way of searching a shard that reaches a target recall.

use format::{IvfHead, RecallCurve, RecallPoint};

use super::SearchTuning;

/// The curves are measured on a sample of rows: the point that is chosen must lie above the target by this share of
/// what the target leaves open.
const MARGIN: f64 = 0.4;
/// The same when only a share of the rows may be answers: what is left may lie anywhere, also where the query is not, and
/// the curves say nothing of that.
const SHARE_MARGIN: f64 = 0.7;
/// How much the lists to visit grow when only a share of the rows may be answers: share^-WIDENING. Ten times fewer rows
/// want about twice the lists when they are drawn at random, and three times when they are drawn by place.
const WIDENING: f64 = 0.5;
/// Below this share the rows left are a selection, not the shard with a few dead rows.
const SELECTION: f64 = 0.75;
/// A selection is compared this much deeper.
const SELECTION_DEPTH: f64 = 1.5;
/// Beyond the largest measured k, lists grow with this power of k.
const GROWTH_WITH_K: f64 = 0.5;

/// How to search one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatingPoint {
    /// Lists to visit.
    pub nprobe: usize,
    /// Candidates to compare exactly.
    pub depth: usize,
}

/// What a search of one shard costs, in nanoseconds of one core. The constants are rounded from times of the examples
/// `scan_speed`, `ann_speed` and `ivfpq_speed` on one machine, not fitted; only their ratios matter.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// A row's bytes in the flat scan, for each byte.
    pub scan_byte: f64,
    /// Visiting a single row somewhere in the shard.
    pub visit: f64,
    /// A row's code, for each sub-quantizer.
    pub code: f64,
    /// A centroid, for each value.
    pub centroid: f64,
    /// Visiting a list.
    pub list: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            scan_byte: 0.1,
            visit: 120.0,
            code: 0.12,
            centroid: 0.15,
            list: 150.0,
        }
    }
}

impl Costs {
    /// The exact scan of `live` of `rows` rows.
    pub fn scan(&self, rows: u64, live: u64, row_bytes: usize) -> f64 {
        let row = row_bytes as f64 * self.scan_byte;
        let whole = rows as f64 * row;
        whole.min(live as f64 * (self.visit + row))
    }

    /// A search of `head`'s index at `point`.
    pub fn ivf(&self, head: &IvfHead, rows: u64, row_bytes: usize, point: &OperatingPoint) -> f64 {
        let nlist = head.nlist().max(1) as f64;
        let nprobe = point.nprobe as f64;
        let code_rows = rows as f64 * (nprobe / nlist).min(1.0);
        let codes = code_rows * f64::from(head.code.m) * self.code;
        let coarse = nlist * f64::from(head.dimension) * self.centroid;
        let exact = point.depth as f64 * (self.visit + row_bytes as f64 * self.scan_byte);
        coarse + codes + nprobe * self.list + exact
    }
}

/// The cheapest point that finds the `k` nearest of the `live` rows among `rows` with the tuning's recall; `None`
/// when no measured point does: then only the exact scan is good enough.
pub fn choose(
    head: &IvfHead,
    tuning: &SearchTuning,
    costs: &Costs,
    rows: u64,
    live: u64,
    row_bytes: usize,
    k: usize,
) -> Option<OperatingPoint> {
    let nlist = head.nlist();
    let share = (live as f64 / (rows as f64).max(1.0)).clamp(f64::MIN_POSITIVE, 1.0);
    let is_selection = share < SELECTION;
    let margin = if is_selection { SHARE_MARGIN } else { MARGIN };
    let measured = measured(head, tuning, costs, rows, row_bytes, k, margin)
        .or_else(|| measured(head, tuning, costs, rows, row_bytes, k, MARGIN));
    let overridden = tuning.nprobe.is_some() && tuning.rerank_depth.is_some();
    let base = match measured {
        Some(point) => point,
        None if overridden => OperatingPoint { nprobe: 1, depth: k },
        None => return None,
    };
    let widened = base.nprobe as f64 * share.powf(-WIDENING);
    let nprobe = tuning.nprobe.map_or(widened.ceil() as usize, |nprobe| nprobe as usize);
    let deeper = if is_selection { SELECTION_DEPTH } else { 1.0 };
    let deepened = (base.depth as f64 * deeper).ceil() as usize;
    let depth = tuning
        .rerank_depth
        .map_or(deepened, |each| k.saturating_mul(each as usize));
    Some(OperatingPoint {
        nprobe: nprobe.clamp(1, nlist.max(1)),
        depth: depth.max(k),
    })
}

fn measured(
    head: &IvfHead,
    tuning: &SearchTuning,
    costs: &Costs,
    rows: u64,
    row_bytes: usize,
    k: usize,
    margin: f64,
) -> Option<OperatingPoint> {
    // The smallest measured k that is not below the one asked for, else the largest.
    let by_k = |curve: &&RecallCurve| curve.k;
    let fitting = head
        .curves
        .iter()
        .filter(|curve| curve.k as usize >= k)
        .min_by_key(by_k);
    let curve = fitting.or_else(|| head.curves.iter().max_by_key(by_k))?;
    let wanted = tuning.target_recall + (1.0 - tuning.target_recall) * margin;
    let good = curve.points.iter().filter(|point| curve.recall(point) >= wanted);
    let cost = |point: &RecallPoint| costs.ivf(head, rows, row_bytes, &scaled(curve, point, k));
    let best = good.min_by(|left, right| cost(left).total_cmp(&cost(right)))?;
    Some(scaled(curve, best, k))
}

/// A point measured for the curve's k, for another k.
fn scaled(curve: &RecallCurve, point: &RecallPoint, k: usize) -> OperatingPoint {
    let ratio = k as f64 / f64::from(curve.k.max(1));
    let depth = (f64::from(point.depth) * ratio).ceil() as usize;
    if ratio <= 1.0 {
        // Fewer answers want fewer candidates each, but the few must be the right ones: never below half.
        return OperatingPoint {
            nprobe: point.nprobe as usize,
            depth: depth.max(point.depth as usize / 2),
        };
    }
    OperatingPoint {
        nprobe: (f64::from(point.nprobe) * ratio.powf(GROWTH_WITH_K)).ceil() as usize,
        depth,
    }
}

/// The recall that the chosen point was measured with, in parts of 10,000; 10,000 when only the exact scan will do.
pub fn expected_recall(head: &IvfHead, costs: &Costs, rows: u64, row_bytes: usize, k: u32) -> u32 {
    let tuning = SearchTuning::default();
    let curve = head.curves.iter().find(|curve| curve.k == k);
    let point = measured(head, &tuning, costs, rows, row_bytes, k as usize, MARGIN);
    let (Some(curve), Some(point)) = (curve, point) else {
        return 10_000;
    };
    let found = curve
        .points
        .iter()
        .find(|candidate| candidate.nprobe as usize == point.nprobe && candidate.depth as usize == point.depth);
    found.map_or(10_000, |point| (curve.recall(point) * 10_000.0).floor() as u32)
}

#[cfg(test)]
mod tests {
    use format::{IvfCode, IvfCodeKind};
    use model::{DistanceMetric, TrainId, Ulid};

    use super::*;

    fn head() -> IvfHead {
        let point = |nprobe, depth, found| RecallPoint { nprobe, depth, found };
        IvfHead {
            generation: TrainId(Ulid::NIL),
            metric: DistanceMetric::Cosine,
            dimension: 100,
            exponent: 0,
            code: IvfCode {
                kind: IvfCodeKind::Pq4,
                m: 50,
            },
            list_starts: (0..=512).map(|list| list * 200).collect(),
            curves: vec![
                RecallCurve {
                    k: 10,
                    queries: 100,
                    points: vec![
                        point(16, 40, 950),
                        point(32, 40, 989),
                        point(64, 40, 993),
                        point(32, 320, 991),
                    ],
                },
                RecallCurve {
                    k: 100,
                    queries: 100,
                    points: vec![point(32, 200, 9_500), point(64, 400, 9_890)],
                },
            ],
        }
    }

    fn point(tuning: SearchTuning, live: u64, k: usize) -> Option<OperatingPoint> {
        choose(&head(), &tuning, &Costs::default(), 102_400, live, 400, k)
    }

    #[test]
    fn the_cheapest_point_above_the_target_is_taken() {
        let tuning = SearchTuning::default();
        assert_eq!(
            point(tuning, 102_400, 10),
            Some(OperatingPoint { nprobe: 32, depth: 40 })
        );
        assert_eq!(
            point(tuning, 102_400, 100),
            Some(OperatingPoint { nprobe: 64, depth: 400 })
        );
        assert_eq!(expected_recall(&head(), &Costs::default(), 102_400, 400, 10), 9_890);
    }

    #[test]
    fn no_point_means_the_exact_scan() {
        let tuning = SearchTuning {
            target_recall: 0.999,
            ..SearchTuning::default()
        };
        assert_eq!(point(tuning, 102_400, 10), None);
    }

    #[test]
    fn fewer_matching_rows_and_more_answers_widen() {
        let tuning = SearchTuning::default();
        let all = point(tuning, 102_400, 10).unwrap();
        let tenth = point(tuning, 10_240, 10).unwrap();
        assert!(tenth.nprobe >= 2 * all.nprobe && tenth.depth > all.depth);
        let many = point(tuning, 102_400, 1_000).unwrap();
        assert!(many.nprobe > 64 && many.depth == 4_000);
    }

    #[test]
    fn what_is_configured_wins() {
        let tuning = SearchTuning {
            target_recall: 1.0,
            nprobe: Some(5),
            rerank_depth: Some(3),
            exact: false,
        };
        assert_eq!(
            point(tuning, 102_400, 10),
            Some(OperatingPoint { nprobe: 5, depth: 30 })
        );
    }
}
