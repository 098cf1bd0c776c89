//! The WAL object: one commit as an Arrow IPC file.
//!
//! Columns `op`, `key`, `vector`, `metadata`, one record batch, one row per put or delete in the order in which
//! they take effect. The footer's metadata carries the CRC32C of the whole file; see the README.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use model::Dimension;

pub use decode::WalObject;
pub use encode::WalWriter;

/// Key of the schema metadata that names the format, its version and the dimension.
const FORMAT_KEY: &str = "genai-vectors";
/// Its value: this, the version, a space, `dimension=` and the number.
const FORMAT_PREFIX: &str = "wal/";
/// The version that this program writes and reads.
const VERSION: u32 = 1;
/// Key of the footer metadata that holds the checksum: eight lower-case hex digits.
const CHECKSUM_KEY: &str = "genai-vectors.crc32c";
/// What the digits are while the checksum is computed.
const ZEROS: &str = "00000000";

const PUT: u8 = 0;
const DELETE: u8 = 1;

fn schema(dimension: Dimension) -> Schema {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let fields = vec![
        Field::new("op", DataType::UInt8, false),
        Field::new("key", DataType::Utf8, false),
        Field::new("vector", DataType::List(item), true),
        Field::new("metadata", DataType::Utf8, true),
    ];
    // One entry only: the order of several would depend on a hash map, and the bytes with it.
    let format = format!("{FORMAT_PREFIX}{VERSION} dimension={}", dimension.get());
    Schema::new_with_metadata(fields, HashMap::from([(FORMAT_KEY.to_owned(), format)]))
}
