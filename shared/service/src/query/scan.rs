//! Keys in order over tail and shards, page by page: a merge of sorted streams that holds one key of each.
//!
//! Every live key lies in exactly one stream (I3 and the overlay see to that), so nothing has to be deduplicated: rows
//! that do not count are skipped in their own stream.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use engine::EngineError;
use engine::topk::Place;
use format::KeyRange;
use model::Filter;
use roaring::RoaringBitmap;

use super::hash::segment_of;
use super::snapshot::Snapshot;
use super::tail::TailRow;

/// Live keys that one page looks at before it ends, full or not: bounds the work of a page whatever it is looking for.
pub(crate) const SCANNED_KEYS: usize = 100_000;

/// Which keys are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScanRequest {
    /// Keys that sort after this one.
    pub after: Option<String>,
    /// Keys that begin with this.
    pub prefix: String,
    /// Keys whose metadata passes this.
    pub filter: Option<Filter>,
    /// Keys of this segment: index and count.
    pub segment: Option<(u32, u32)>,
    /// At most so many.
    pub limit: usize,
}

/// What a page found.
#[derive(Debug, Default)]
pub(crate) struct ScanPage {
    /// Keys and rows, in key order.
    pub rows: Vec<(String, Place)>,
    /// The last key looked at, when more may follow it.
    pub resume_after: Option<String>,
}

/// A stream's next live row.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    key: String,
    stream: usize,
    place: (usize, u32),
}

/// One sorted stream of live rows.
enum Stream<'a> {
    Shard {
        keys: KeyRange<'a>,
        excluded: &'a RoaringBitmap,
        selected: Option<RoaringBitmap>,
    },
    Tail {
        rows: std::slice::Iter<'a, TailRow>,
    },
}

/// One page. CPU work: called on the pool.
pub(crate) fn scan(snapshot: &Snapshot, request: &ScanRequest) -> Result<ScanPage, EngineError> {
    let mut streams = open_streams(snapshot, request)?;
    let mut heads = BinaryHeap::with_capacity(streams.len());
    for position in 0..streams.len() {
        heads.extend(next_head(snapshot, request, &mut streams, position).map(Reverse));
    }
    let mut page = ScanPage::default();
    let mut scanned = 0_usize;
    while let Some(Reverse(head)) = heads.pop() {
        heads.extend(next_head(snapshot, request, &mut streams, head.stream).map(Reverse));
        scanned += 1;
        let more = !heads.is_empty();
        let wanted = is_wanted(snapshot, request, &streams, &head);
        let full = scanned >= SCANNED_KEYS || (wanted && page.rows.len() + 1 >= request.limit);
        if full && more {
            page.resume_after = Some(head.key.clone());
        }
        if wanted {
            let (outer, row) = head.place;
            let place = match streams.get(head.stream) {
                Some(Stream::Shard { .. }) => Place::Shard { shard: outer, row },
                _ => Place::Tail { entry: outer, row },
            };
            page.rows.push((head.key, place));
        }
        if full {
            break;
        }
    }
    Ok(page)
}

/// Shards first, in the snapshot's order, then the runs of the tail.
fn open_streams<'a>(snapshot: &'a Snapshot, request: &'a ScanRequest) -> Result<Vec<Stream<'a>>, EngineError> {
    let after = request.after.as_deref();
    let mut streams = Vec::with_capacity(snapshot.shards.len() + snapshot.tail.runs().len());
    for (shard, excluded) in snapshot.shards.iter().zip(snapshot.tail.excluded()) {
        let selected = request.filter.as_ref().map(|filter| shard.select(filter)).transpose()?;
        streams.push(Stream::Shard {
            keys: shard.keys_after(after, &request.prefix),
            excluded,
            selected,
        });
    }
    for run in snapshot.tail.runs() {
        let start = run.partition_point(|row| {
            let key = snapshot.tail.key(*row);
            key < request.prefix.as_str() || after.is_some_and(|after| key <= after)
        });
        streams.push(Stream::Tail {
            rows: run.get(start..).unwrap_or_default().iter(),
        });
    }
    Ok(streams)
}

fn next_head(snapshot: &Snapshot, request: &ScanRequest, streams: &mut [Stream<'_>], position: usize) -> Option<Head> {
    match streams.get_mut(position)? {
        Stream::Shard { keys, excluded, .. } => {
            let (key, row) = keys.find(|(_, row)| !excluded.contains(*row))?;
            Some(Head {
                key,
                stream: position,
                place: (position, row),
            })
        }
        Stream::Tail { rows } => {
            // A row that a newer run overrides is not live; nor is a deletion.
            let row = rows.find(|row| snapshot.tail.is_live(**row))?;
            let key = snapshot.tail.key(*row);
            let place = (row.entry as usize, row.row);
            key.starts_with(&request.prefix).then(|| Head {
                key: key.to_owned(),
                stream: position,
                place,
            })
        }
    }
}

fn is_wanted(snapshot: &Snapshot, request: &ScanRequest, streams: &[Stream<'_>], head: &Head) -> bool {
    if let Some((index, count)) = request.segment
        && segment_of(&head.key, count) != index
    {
        return false;
    }
    let Some(filter) = &request.filter else {
        return true;
    };
    let (outer, row) = head.place;
    match streams.get(head.stream) {
        Some(Stream::Shard {
            selected: Some(selected),
            ..
        }) => selected.contains(row),
        Some(Stream::Tail { .. }) => snapshot
            .tail
            .slots()
            .get(outer)
            .is_some_and(|slot| slot.entry.matches(row, filter)),
        _ => false,
    }
}
