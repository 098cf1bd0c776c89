//! Rows of a snapshot as the JSON items of an answer.

use std::ops::Range;

use engine::topk::Place;
use wire::JsonWriter;

use super::snapshot::Snapshot;
use super::work::{Fetched, Pause, Wanted};
use crate::config::Bound;

/// Rows whose metadata is fetched at a time: an answer that ends early has not fetched much in vain.
const CHUNK: usize = 100;
/// What is read at a time of shards without their `rows.parquet`: rows, and about how many bytes as stored.
const READ_ROWS: usize = 1000;
const READ_STORED: u64 = 8 << 20;

/// Which optional members an item has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fields {
    /// `data`
    pub data: bool,
    /// `metadata`
    pub metadata: bool,
    /// `distance`
    pub distance: bool,
}

/// One item to be.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The key.
    pub key: String,
    /// Where the row is.
    pub place: Place,
    /// The distance to the query, 0 when there is none.
    pub distance: f32,
}

/// Items that are being written.
#[derive(Debug)]
pub(crate) struct Writing {
    /// The text so far.
    pub out: JsonWriter,
    /// All items.
    pub items: Vec<Item>,
    /// How many of them are in the text.
    pub written: usize,
    fields: Fields,
    /// The text ends here, but has one item at least.
    bound: Bound,
}

impl Writing {
    /// Of `items`, as many as the bound lets into a text that begins with `out`.
    pub(crate) fn new(out: JsonWriter, items: Vec<Item>, fields: Fields, bound: Bound) -> Self {
        Self {
            out,
            items,
            written: 0,
            fields,
            bound,
        }
    }

    fn among(&self, positions: &Range<usize>) -> &[Item] {
        self.items.get(positions.clone()).unwrap_or_default()
    }

    /// The last item in the text.
    pub(crate) fn last(&self) -> Option<&Item> {
        self.items.get(..self.written)?.last()
    }
}

/// Whether an item of this size goes beyond the bound of the text.
fn is_full_for(out: &mut JsonWriter, bound: Bound, size: usize) -> bool {
    let after = if bound.quoted {
        // At worst all of what is not a number is quotes.
        out.quoted_len() + 2 * size
    } else {
        out.len() + size
    };
    after > bound.bytes
}

impl Snapshot {
    /// Writes items until the text is full. Pauses for rows of shards that are without their `rows.parquet`, and goes on
    /// where it was.
    pub(crate) fn write_items(&self, writing: &mut Writing, fetched: &Fetched) -> Result<(), Pause> {
        let fields = writing.fields;
        while writing.written < writing.items.len() {
            let chunk = self.fitting(writing, CHUNK);
            if chunk.is_empty() {
                return Ok(());
            }
            if self.lacks(writing.among(&chunk), fields, fetched) {
                let wanted = self.fitting(writing, READ_ROWS);
                return Err(Pause::Missing(self.wanted(writing.among(&wanted), fields, fetched)));
            }
            let metadata = if fields.metadata {
                let places: Vec<Place> = writing.among(&chunk).iter().map(|item| item.place).collect();
                self.metadata(&places, fetched)?
            } else {
                vec![None; chunk.len()]
            };
            let Writing { out, items, bound, .. } = &mut *writing;
            let items = items.get(chunk.clone()).unwrap_or_default();
            let mut written = chunk.start;
            for (item, metadata) in items.iter().zip(metadata) {
                let size = self.item_size(item, metadata.as_deref(), fields);
                if written > 0 && is_full_for(out, *bound, size) {
                    writing.written = written;
                    return Ok(());
                }
                self.write_item(out, item, metadata.as_deref(), fields, fetched);
                written += 1;
            }
            writing.written = written;
        }
        Ok(())
    }

    /// Which of the items that are left, one after the other, have room in the text without their metadata, which nobody
    /// has seen yet; so many at most. None: the text is full.
    fn fitting(&self, writing: &mut Writing, most: usize) -> Range<usize> {
        let (start, end) = (
            writing.written,
            writing.items.len().min(writing.written.saturating_add(most)),
        );
        let Writing {
            out,
            items,
            bound,
            fields,
            ..
        } = writing;
        let left = items.get(start..end).unwrap_or_default();
        let mut text = 0;
        for (position, item) in (start..end).zip(left) {
            text += self.item_size(item, None, *fields);
            if position > 0 && is_full_for(out, *bound, text) {
                return start..position;
            }
        }
        start..end
    }

    /// Whether something of the items is neither there nor fetched.
    fn lacks(&self, items: &[Item], fields: Fields, fetched: &Fetched) -> bool {
        let mut places = items.iter().filter_map(|item| self.unattached(item.place));
        places.any(|(shard, row)| {
            let lacks_metadata = fields.metadata && fetched.metadata(shard, row).is_none();
            lacks_metadata || (fields.data && fetched.vector(shard, row).is_none())
        })
    }

    /// What is to be read for the first of these items: a chunk at least, and more while it is little.
    fn wanted(&self, items: &[Item], fields: Fields, fetched: &Fetched) -> Wanted {
        let mut wanted = Wanted::default();
        let mut bytes = 0;
        for (number, item) in items.iter().enumerate() {
            let Some((position, row)) = self.unattached(item.place) else {
                continue;
            };
            if number >= CHUNK && bytes > READ_STORED {
                break;
            }
            let rows = wanted.of(position);
            let shard = self.shards.get(position);
            // Those of candidates have been read to be compared.
            if fields.data && fetched.vector(position, row).is_none() {
                rows.vectors.push(row);
                bytes += shard.map_or(0, |shard| shard.head().vector_width() as u64);
            }
            if fields.metadata {
                rows.metadata.push(row);
                let page = shard.and_then(|shard| shard.metadata_page(row));
                bytes += page.map_or(0, |(_, range)| range.end - range.start);
            }
        }
        wanted
    }

    fn write_item(&self, out: &mut JsonWriter, item: &Item, metadata: Option<&str>, fields: Fields, fetched: &Fetched) {
        out.begin_object().string_member("key", &item.key);
        if fields.data {
            out.name("data").begin_object().name("float32");
            // Never missing: the chunk has been looked at.
            let vector = self.vector_bytes(item.place, fetched).unwrap_or_default();
            out.f32_array_le(vector).end_object();
        }
        if fields.metadata {
            out.name("metadata").raw(metadata.unwrap_or("{}"));
        }
        if fields.distance {
            out.name("distance").f32(item.distance);
        }
        out.end_object();
    }

    /// About how long the item's text is, rather more than less.
    fn item_size(&self, item: &Item, metadata: Option<&str>, fields: Fields) -> usize {
        const FRAME: usize = 96;
        const PER_VALUE: usize = 13;
        let values = if fields.data { self.config.dimension.get() } else { 0 };
        FRAME + item.key.len() + metadata.map_or(0, str::len) + values * PER_VALUE
    }
}
