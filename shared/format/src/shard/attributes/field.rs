//! One field's block: the rows that have it, and its values with their rows.
//!
//! Four references (rows with the key, with an array, with true, with false), counts (strings u32, numbers u32),
//! numbers (f64, ascending) and a reference each, ends of the strings (u32), a reference each (u64), the strings
//! (bytewise ascending), the bitmaps. A reference is u64: all ones = no row; bit 63 = the one row in the low half;
//! else the offset of a portable roaring bitmap among the bitmaps.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::{corrupt, lower_bound};
use crate::FormatError;
use crate::binary::{u32_at, u64_at};

/// No rows.
pub(super) const NO_ROWS: u64 = u64::MAX;
/// Marks a reference that is itself the one row.
pub(super) const ONE_ROW: u64 = 1 << 63;
/// Bytes before the tables.
const HEAD: usize = 40;
/// A bitmap with fewer rows than this is cheaper to add to a list of rows than to unite with another.
const FEW: u64 = 64;

/// An opened block.
pub(super) struct Field<'a> {
    rows: u32,
    head: &'a [u8],
    numbers: &'a [u8],
    number_refs: &'a [u8],
    string_ends: &'a [u8],
    string_refs: &'a [u8],
    strings: &'a [u8],
    bitmaps: &'a [u8],
}

impl<'a> Field<'a> {
    pub(super) fn open(block: &'a [u8], rows: u32) -> Result<Self, FormatError> {
        Self::split(block, rows).ok_or_else(|| corrupt("a field's block is cut short"))
    }

    fn split(block: &'a [u8], rows: u32) -> Option<Self> {
        let (head, rest) = block.split_at_checked(HEAD)?;
        let (strings, numbers) = (u32_at(head, 8)? as usize, u32_at(head, 9)? as usize);
        let (number_table, rest) = rest.split_at_checked(8 * numbers)?;
        let (number_refs, rest) = rest.split_at_checked(8 * numbers)?;
        let (string_ends, rest) = rest.split_at_checked(4 * strings)?;
        let (string_refs, rest) = rest.split_at_checked(8 * strings)?;
        let string_bytes = if strings == 0 {
            0
        } else {
            u32_at(string_ends, strings - 1)? as usize
        };
        let (string_table, bitmaps) = rest.split_at_checked(string_bytes)?;
        Some(Self {
            rows,
            head,
            numbers: number_table,
            number_refs,
            string_ends,
            string_refs,
            strings: string_table,
            bitmaps,
        })
    }

    /// Rows that have the key.
    pub(super) fn present(&self) -> Result<RoaringBitmap, FormatError> {
        self.union(self.head, 0..1)
    }

    /// Rows whose value is an array.
    pub(super) fn arrays(&self) -> Result<RoaringBitmap, FormatError> {
        self.union(self.head, 1..2)
    }

    /// Rows whose value is this boolean.
    pub(super) fn bool(&self, value: bool) -> Result<RoaringBitmap, FormatError> {
        self.union(self.head, if value { 2..3 } else { 3..4 })
    }

    /// Rows whose value is this number, or an array with it.
    pub(super) fn number(&self, value: f64) -> Result<RoaringBitmap, FormatError> {
        self.numbers(self.number_bound(|number| number < value)..self.number_bound(|number| number <= value))
    }

    /// Rows with a number of these places in the dictionary, alone or in an array.
    pub(super) fn numbers(&self, places: Range<usize>) -> Result<RoaringBitmap, FormatError> {
        self.union(self.number_refs, places)
    }

    /// How many different numbers.
    pub(super) fn number_count(&self) -> usize {
        self.numbers.len() / 8
    }

    /// The first place in the dictionary of numbers for which `before` does not hold.
    pub(super) fn number_bound(&self, before: impl Fn(f64) -> bool) -> usize {
        lower_bound(self.number_count(), |place| {
            u64_at(self.numbers, place).is_some_and(|bits| before(f64::from_bits(bits)))
        })
    }

    /// Rows whose value is this string, or an array with it.
    pub(super) fn string(&self, value: &str) -> Result<RoaringBitmap, FormatError> {
        let value = value.as_bytes();
        let start = self.string_bound(|string| string < value);
        let end = if self.string_at(start) == Some(value) {
            start + 1
        } else {
            start
        };
        self.union(self.string_refs, start..end)
    }

    /// Rows with a string that begins so, alone or in an array.
    pub(super) fn starts_with(&self, prefix: &str) -> Result<RoaringBitmap, FormatError> {
        let prefix = prefix.as_bytes();
        let start = self.string_bound(|string| string < prefix);
        let end = self.string_bound(|string| string < prefix || string.starts_with(prefix));
        self.union(self.string_refs, start..end)
    }

    fn string_bound(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        lower_bound(self.string_ends.len() / 4, |place| {
            self.string_at(place).is_some_and(&before)
        })
    }

    fn string_at(&self, place: usize) -> Option<&'a [u8]> {
        let start = if place == 0 {
            0
        } else {
            u32_at(self.string_ends, place - 1)?
        };
        self.strings
            .get(start as usize..u32_at(self.string_ends, place)? as usize)
    }

    /// The rows of a stretch of references.
    fn union(&self, refs: &[u8], places: Range<usize>) -> Result<RoaringBitmap, FormatError> {
        let mut single = Vec::new();
        let mut union = RoaringBitmap::new();
        for place in places {
            match u64_at(refs, place).ok_or_else(|| corrupt("a reference is missing"))? {
                NO_ROWS => {}
                reference if reference & ONE_ROW != 0 => single.push(reference as u32),
                offset => {
                    let bitmap = self.bitmap(offset)?;
                    if bitmap.len() < FEW {
                        single.extend(bitmap);
                    } else {
                        union |= bitmap;
                    }
                }
            }
        }
        if !single.is_empty() {
            single.sort_unstable();
            single.dedup();
            union |= RoaringBitmap::from_sorted_iter(single).map_err(corrupt)?;
        }
        if union.max().is_some_and(|row| row >= self.rows) {
            return Err(corrupt("a row beyond the last one"));
        }
        Ok(union)
    }

    fn bitmap(&self, offset: u64) -> Result<RoaringBitmap, FormatError> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.bitmaps.get(offset..));
        let bytes = bytes.ok_or_else(|| corrupt("a bitmap lies outside its block"))?;
        RoaringBitmap::deserialize_from(bytes).map_err(corrupt)
    }
}
