//! `attributes.bin`: filterable metadata -> typed values -> rows.
//!
//! Header (`GVAT`), rows (u32), fields (u32), offset of the directory (u64), one block per field, the directory
//! (block offset u64, block length u64, end of the name u32; in order of the names), the names. See the README for
//! the blocks. Nothing but the directory is looked at before a filter asks for it.

mod build;
mod evaluate;
mod field;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use bytes::Bytes;
use model::Filter;
use roaring::RoaringBitmap;

use crate::binary::{HEADER, Magic, slice_at, u32_at, u64_at};
use crate::{FileKind, FormatError};
use field::Field;

pub(super) use build::encode;

const MAGIC: Magic = Magic {
    file: FileKind::Attributes,
    bytes: *b"GVAT",
    major: 1,
};
/// Where the first block begins.
const BLOCKS: usize = HEADER + 16;
/// Bytes of a directory entry.
const ENTRY: usize = 20;

fn corrupt(what: impl std::fmt::Display) -> FormatError {
    FormatError::corrupt(FileKind::Attributes, what)
}

/// `attributes.bin` of one shard.
#[derive(Clone, Debug)]
pub struct Attributes {
    file: Bytes,
    rows: u32,
    fields: usize,
    directory: usize,
}

impl Attributes {
    /// Reads the directory of fields; dictionaries and bitmaps are decoded when a filter asks for them.
    pub fn open(file: Bytes) -> Result<Self, FormatError> {
        let rest = MAGIC.read(&file)?;
        let counts = (u32_at(rest, 0), u32_at(rest, 1), u64_at(rest, 1));
        let (Some(rows), Some(fields), Some(directory)) = counts else {
            return Err(corrupt("cut short"));
        };
        let directory = usize::try_from(directory).map_err(corrupt)?;
        let attributes = Self {
            rows,
            fields: fields as usize,
            directory,
            file,
        };
        attributes.check()?;
        Ok(attributes)
    }

    fn check(&self) -> Result<(), FormatError> {
        let mut before: Option<&str> = None;
        for number in 0..self.fields {
            let name = self.name(number).ok_or_else(|| corrupt("a field's name is wrong"))?;
            if before.is_some_and(|before| before >= name) || self.block(number).is_none() {
                return Err(corrupt(format!("the directory is wrong at field {number}")));
            }
            before = Some(name);
        }
        Ok(())
    }

    fn entry(&self, number: usize) -> Option<&[u8]> {
        let start = self.directory.checked_add(number.checked_mul(ENTRY)?)?;
        self.file.get(start..start.checked_add(ENTRY)?)
    }

    fn name(&self, number: usize) -> Option<&str> {
        let names = self
            .file
            .get(self.directory.checked_add(self.fields.checked_mul(ENTRY)?)?..)?;
        let start = if number == 0 {
            0
        } else {
            u32_at(self.entry(number - 1)?, 4)?
        };
        let end = u32_at(self.entry(number)?, 4)?;
        std::str::from_utf8(names.get(start as usize..end as usize)?).ok()
    }

    fn block(&self, number: usize) -> Option<&[u8]> {
        let entry = self.entry(number)?;
        slice_at(&self.file, u64_at(entry, 0)?, u64_at(entry, 1)?)
    }

    fn field(&self, key: &str) -> Result<Option<Field<'_>>, FormatError> {
        let at = |number| self.name(number).unwrap_or_default();
        let number = lower_bound(self.fields, |number| at(number).cmp(key) == Ordering::Less);
        if number == self.fields || at(number) != key {
            return Ok(None);
        }
        let block = self
            .block(number)
            .ok_or_else(|| corrupt("a field's block is missing"))?;
        Field::open(block, self.rows).map(Some)
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The filterable metadata keys that occur, in bytewise order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        (0..self.fields).filter_map(|number| self.name(number))
    }

    /// The rows whose metadata the filter matches: exactly those for which `Filter::matches` says so.
    pub fn evaluate(&self, filter: &Filter) -> Result<RoaringBitmap, FormatError> {
        evaluate::filter(self, filter)
    }
}

/// The first of `0..count` for which `before` does not hold; it holds for none after that.
fn lower_bound(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
