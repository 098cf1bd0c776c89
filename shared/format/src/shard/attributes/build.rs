//! Writing `attributes.bin`.

use std::collections::HashMap;

use bytes::Bytes;
use model::{Metadata, MetadataValue};
use roaring::RoaringBitmap;

use super::super::ShardRow;
use super::field::{NO_ROWS, ONE_ROW};
use super::{BLOCKS, ENTRY, MAGIC};
use crate::dead::encode_roaring;
use crate::{FileKind, FormatError};

fn input(what: impl std::fmt::Display) -> FormatError {
    FormatError::input(FileKind::Attributes, what)
}

/// The rows of one value: most values of an id-like field have one row.
enum Rows {
    One(u32),
    Many(RoaringBitmap),
}

impl Rows {
    fn insert(&mut self, row: u32) {
        match self {
            Self::One(first) if *first == row => {}
            Self::One(first) => *self = Self::Many(RoaringBitmap::from_iter([*first, row])),
            Self::Many(rows) => {
                rows.insert(row);
            }
        }
    }
}

#[derive(Default)]
struct FieldBuilder {
    present: RoaringBitmap,
    arrays: RoaringBitmap,
    trues: RoaringBitmap,
    falses: RoaringBitmap,
    strings: HashMap<String, Rows>,
    numbers: HashMap<u64, Rows>,
}

impl FieldBuilder {
    fn add(&mut self, row: u32, value: &MetadataValue) {
        self.present.insert(row);
        match value {
            MetadataValue::String(text) => self.add_string(row, text),
            MetadataValue::Number(number) => self.add_number(row, number.value()),
            MetadataValue::Bool(true) => _ = self.trues.insert(row),
            MetadataValue::Bool(false) => _ = self.falses.insert(row),
            MetadataValue::Strings(texts) => {
                self.arrays.insert(row);
                texts.iter().for_each(|text| self.add_string(row, text));
            }
            MetadataValue::Numbers(numbers) => {
                self.arrays.insert(row);
                numbers.iter().for_each(|number| self.add_number(row, number.value()));
            }
        }
    }

    fn add_string(&mut self, row: u32, text: &str) {
        if let Some(rows) = self.strings.get_mut(text) {
            rows.insert(row);
        } else {
            self.strings.insert(text.to_owned(), Rows::One(row));
        }
    }

    fn add_number(&mut self, row: u32, number: f64) {
        let number = number + 0.0; // -0.0 equals 0.0, so both are one entry of the dictionary
        self.numbers
            .entry(number.to_bits())
            .or_insert(Rows::One(row))
            .insert(row);
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let mut numbers: Vec<(f64, Rows)> = self
            .numbers
            .into_iter()
            .map(|(bits, rows)| (f64::from_bits(bits), rows))
            .collect();
        numbers.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut strings: Vec<(String, Rows)> = self.strings.into_iter().collect();
        strings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut bitmaps = Vec::new();
        for rows in [self.present, self.arrays, self.trues, self.falses] {
            push_u64(out, reference(&Rows::Many(rows), &mut bitmaps)?);
        }
        push_u32(out, strings.len())?;
        push_u32(out, numbers.len())?;
        numbers.iter().for_each(|(number, _)| push_u64(out, number.to_bits()));
        for (_, rows) in &numbers {
            push_u64(out, reference(rows, &mut bitmaps)?);
        }
        let mut end = 0;
        for (string, _) in &strings {
            end += string.len();
            push_u32(out, end)?;
        }
        for (_, rows) in &strings {
            push_u64(out, reference(rows, &mut bitmaps)?);
        }
        strings
            .iter()
            .for_each(|(string, _)| out.extend_from_slice(string.as_bytes()));
        out.extend_from_slice(&bitmaps);
        Ok(())
    }
}

fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn push_u32(out: &mut Vec<u8>, value: usize) -> Result<(), FormatError> {
    let value = u32::try_from(value).map_err(|_| input("4 GiB of strings under one metadata key"))?;
    out.extend_from_slice(&value.to_le_bytes());
    Ok(())
}

fn reference(rows: &Rows, bitmaps: &mut Vec<u8>) -> Result<u64, FormatError> {
    let bitmap = match rows {
        Rows::One(row) => return Ok(ONE_ROW | u64::from(*row)),
        Rows::Many(rows) => rows,
    };
    match (bitmap.len(), bitmap.min()) {
        (1, Some(row)) => Ok(ONE_ROW | u64::from(row)),
        (0, _) => Ok(NO_ROWS),
        _ => {
            let offset = bitmaps.len() as u64;
            bitmaps.extend_from_slice(&encode_roaring(FileKind::Attributes, bitmap)?);
            Ok(offset)
        }
    }
}

fn collect(non_filterable: &[String], rows: &[ShardRow<'_>]) -> Result<Vec<(String, FieldBuilder)>, FormatError> {
    let mut fields: HashMap<String, FieldBuilder> = HashMap::new();
    for (number, row) in (0u32..).zip(rows) {
        let Some(json) = row.metadata else { continue };
        let metadata = Metadata::parse(json).map_err(|e| input(format!("row {number}: {e}")))?;
        for (key, value) in metadata.iter() {
            if non_filterable.iter().any(|name| name == key) {
                continue;
            }
            if let Some(field) = fields.get_mut(key) {
                field.add(number, value);
            } else {
                fields.entry(key.to_owned()).or_default().add(number, value);
            }
        }
    }
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(fields)
}

/// Writes `attributes.bin`.
pub(in super::super) fn encode(non_filterable: &[String], rows: &[ShardRow<'_>]) -> Result<Bytes, FormatError> {
    let fields = collect(non_filterable, rows)?;
    let count = fields.len();
    let mut out = Vec::new();
    MAGIC.write(&mut out);
    push_u32(&mut out, rows.len())?;
    push_u32(&mut out, count)?;
    push_u64(&mut out, 0); // the directory's offset, known at the end
    let mut directory = Vec::with_capacity(count * ENTRY);
    let mut names = String::new();
    for (name, field) in fields {
        let start = out.len();
        field.write(&mut out)?;
        names.push_str(&name);
        push_u64(&mut directory, start as u64);
        push_u64(&mut directory, (out.len() - start) as u64);
        push_u32(&mut directory, names.len())?;
    }
    let directory_at = out.len() as u64;
    if let Some(place) = out.get_mut(BLOCKS - 8..BLOCKS) {
        place.copy_from_slice(&directory_at.to_le_bytes());
    }
    out.extend_from_slice(&directory);
    out.extend_from_slice(names.as_bytes());
    Ok(out.into())
}
