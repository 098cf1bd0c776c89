//! Rows of a snapshot as the JSON items of an answer.

use engine::EngineError;
use engine::topk::Place;
use wire::JsonWriter;

use super::snapshot::Snapshot;
use crate::config::Bound;

/// Rows whose metadata is fetched at a time: an answer that ends early has not fetched much in vain.
const CHUNK: usize = 100;

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

impl Snapshot {
    /// Writes items until the text is as long as the bound, at least one; answers how many it wrote.
    pub(crate) fn write_items(
        &self,
        out: &mut JsonWriter,
        items: &[Item],
        fields: Fields,
        bound: Bound,
    ) -> Result<usize, EngineError> {
        let mut written = 0;
        for chunk in items.chunks(CHUNK) {
            let metadata = if fields.metadata {
                let places: Vec<Place> = chunk.iter().map(|item| item.place).collect();
                self.metadata(&places)?
            } else {
                vec![None; chunk.len()]
            };
            for (item, metadata) in chunk.iter().zip(metadata) {
                let size = self.item_size(item, metadata.as_deref(), fields);
                let after = if bound.quoted {
                    // At worst all of what is not a number is quotes.
                    out.quoted_len() + 2 * size
                } else {
                    out.len() + size
                };
                if written > 0 && after > bound.bytes {
                    return Ok(written);
                }
                self.write_item(out, item, metadata.as_deref(), fields);
                written += 1;
            }
        }
        Ok(written)
    }

    fn write_item(&self, out: &mut JsonWriter, item: &Item, metadata: Option<&str>, fields: Fields) {
        out.begin_object().string_member("key", &item.key);
        if fields.data {
            out.name("data").begin_object().name("float32");
            out.f32_array_le(self.vector_bytes(item.place)).end_object();
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
