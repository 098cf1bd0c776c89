//! Per shard: is the index cheaper than the exact scan, and how must it be asked for the recall that is wanted?

use super::SearchRequest;
use super::scan::Live;
use crate::ivf::operating_point::{Costs, OperatingPoint, choose};
use crate::shard::Shard;

/// How to ask the shard's index; `None`: the exact scan of the live rows is cheaper, or the only thing good enough.
pub(super) fn point(request: &SearchRequest<'_>, shard: &Shard, live: &Live<'_>) -> Option<OperatingPoint> {
    shard.ivf()?;
    let head = shard.head().ivf.as_ref()?;
    let (rows, live) = (u64::from(shard.rows()), live.count(shard.rows()));
    if request.tuning.exact || live == 0 {
        return None;
    }
    let costs = Costs::default();
    let row_bytes = shard.dimension() * size_of::<f32>();
    let reach = request.reach.max(request.k);
    let point = choose(head, &request.tuning, &costs, rows, live, row_bytes, reach)?;
    let is_forced = request.tuning.nprobe.is_some();
    let is_cheaper = costs.ivf(head, rows, row_bytes, &point) < costs.scan(rows, live, row_bytes);
    (is_forced || is_cheaper).then_some(point)
}
