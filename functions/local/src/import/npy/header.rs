//! The header of a `.npy` file: magic, version, and a Python dictionary with the type, the order and the shape
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::io::Read;

use arrow_array::types::{ArrowPrimitiveType, Float16Type};

use crate::import::record::SourceError;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Headers hold a few dozen bytes; the format would allow 4 GiB.
const MAX_DICTIONARY: u32 = 1 << 16;

/// What the file holds and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) item: Item,
    pub(super) rows: u64,
    pub(super) columns: usize,
    /// Offset of the first row.
    pub(super) start: u64,
}

/// The type of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    width: Width,
    big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    F2,
    F4,
    F8,
}

impl Header {
    pub(super) fn read(file: &mut impl Read) -> Result<Self, String> {
        let mut fixed = [0; 8];
        let short = |_| "not a .npy file: too short".to_owned();
        file.read_exact(&mut fixed).map_err(short)?;
        let [magic @ .., major, _minor] = &fixed;
        if magic != MAGIC {
            return Err("not a .npy file: it does not begin with the magic string".to_owned());
        }
        let (length_bytes, length) = match major {
            1 => {
                let mut length = [0; 2];
                file.read_exact(&mut length).map_err(short)?;
                (2, u32::from(u16::from_le_bytes(length)))
            }
            2 | 3 => {
                let mut length = [0; 4];
                file.read_exact(&mut length).map_err(short)?;
                (4, u32::from_le_bytes(length))
            }
            other => return Err(format!("version {other} of the .npy format is not known")),
        };
        if length > MAX_DICTIONARY {
            return Err(format!("its header would have {length} bytes"));
        }
        let mut dictionary = vec![0; length as usize];
        file.read_exact(&mut dictionary).map_err(short)?;
        let dictionary = String::from_utf8_lossy(&dictionary);
        Self::parse(&dictionary, 8 + length_bytes + u64::from(length))
    }

    fn parse(dictionary: &str, start: u64) -> Result<Self, String> {
        let entry = |name: &str| value(dictionary, name).ok_or_else(|| format!("its header has no {name}"));
        let item = Item::parse(entry("descr")?)?;
        if entry("fortran_order")?.starts_with("True") {
            return Err("the array is in column order; save numpy.ascontiguousarray(array)".to_owned());
        }
        let shape = entry("shape")?;
        let numbers = shape
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map(|(inside, _)| inside);
        let numbers = numbers.ok_or_else(|| format!("its header has the shape {}", shown(shape)))?;
        let numbers: Vec<u64> = numbers
            .split(',')
            .map(str::trim)
            .filter(|number| !number.is_empty())
            .map(|number| {
                number
                    .parse()
                    .map_err(|_| format!("its header has the shape ({numbers})"))
            })
            .collect::<Result<_, _>>()?;
        match numbers.as_slice() {
            [rows, columns] => {
                let columns = usize::try_from(*columns).map_err(|_| format!("its rows have {columns} values"))?;
                Ok(Self {
                    item,
                    rows: *rows,
                    columns,
                    start,
                })
            }
            other => Err(format!(
                "the array has {} dimensions instead of 2 (rows, values)",
                other.len()
            )),
        }
    }

    pub(super) fn row_bytes(&self) -> usize {
        self.columns.saturating_mul(self.item.bytes())
    }

    /// Offset after the last row.
    pub(super) fn end(&self) -> Result<u64, SourceError> {
        let data = self.rows.checked_mul(self.row_bytes() as u64);
        data.and_then(|data| data.checked_add(self.start))
            .ok_or_else(|| SourceError::file("its shape is too large"))
    }
}

/// The longest part of a header that a message shows.
const SHOWN: usize = 60;

/// The Python value that the text begins with, as it is written there; a long one is cut.
fn shown(text: &str) -> String {
    let mut quote = None;
    let mut depth = 0_u32;
    let end = text.char_indices().find(|(_, character)| {
        match (quote, character) {
            (Some(open), character) if open == *character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(*character),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, ',' | '}') => return depth == 0,
            (None, _) => {}
        }
        false
    });
    let value = text.get(..end.map_or(text.len(), |(at, _)| at)).unwrap_or_default();
    match value.char_indices().nth(SHOWN) {
        None => value.trim_end().to_owned(),
        Some((at, _)) => format!("{}...", value.get(..at).unwrap_or_default()),
    }
}

/// What follows `'name':` in the dictionary.
fn value<'a>(dictionary: &'a str, name: &str) -> Option<&'a str> {
    let quoted = [format!("'{name}'"), format!("\"{name}\"")];
    let after = quoted
        .iter()
        .find_map(|quoted| dictionary.split_once(quoted.as_str()))?
        .1;
    after.trim_start().strip_prefix(':').map(str::trim_start)
}

impl Item {
    fn parse(descr: &str) -> Result<Self, String> {
        let refused = || {
            let shown = shown(descr);
            format!("the array's dtype is {shown}; vectors are f2, f4 or f8: save array.astype('float32')")
        };
        let quote = descr
            .chars()
            .next()
            .filter(|quote| matches!(quote, '\'' | '"'))
            .ok_or_else(refused)?;
        let descr = descr.trim_start_matches(quote).split(quote).next().unwrap_or_default();
        let (order, kind) = descr.split_at_checked(1).ok_or_else(refused)?;
        let big_endian = match order {
            "<" => false,
            ">" => true,
            "=" => cfg!(target_endian = "big"),
            _ => return Err(refused()),
        };
        let width = match kind {
            "f2" => Width::F2,
            "f4" => Width::F4,
            "f8" => Width::F8,
            _ => return Err(refused()),
        };
        Ok(Self { width, big_endian })
    }

    fn bytes(self) -> usize {
        match self.width {
            Width::F2 => 2,
            Width::F4 => 4,
            Width::F8 => 8,
        }
    }

    /// Appends the numbers that `bytes` hold.
    pub(super) fn append(self, bytes: &[u8], values: &mut Vec<f32>) {
        match (self.width, self.big_endian) {
            (Width::F4, false) => values.extend(bytes.as_chunks().0.iter().map(|item| f32::from_le_bytes(*item))),
            (Width::F4, true) => values.extend(bytes.as_chunks().0.iter().map(|item| f32::from_be_bytes(*item))),
            (Width::F8, false) => {
                values.extend(bytes.as_chunks().0.iter().map(|item| f64::from_le_bytes(*item) as f32))
            }
            (Width::F8, true) => values.extend(bytes.as_chunks().0.iter().map(|item| f64::from_be_bytes(*item) as f32)),
            (Width::F2, false) => values.extend(bytes.as_chunks().0.iter().map(|item| half(u16::from_le_bytes(*item)))),
            (Width::F2, true) => values.extend(bytes.as_chunks().0.iter().map(|item| half(u16::from_be_bytes(*item)))),
        }
    }
}

fn half(bits: u16) -> f32 {
    <Float16Type as ArrowPrimitiveType>::Native::from_bits(bits).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, dictionary: &str) -> Result<Header, String> {
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&[version, 0]);
        match version {
            1 => file.extend_from_slice(&(dictionary.len() as u16).to_le_bytes()),
            _ => file.extend_from_slice(&(dictionary.len() as u32).to_le_bytes()),
        }
        file.extend_from_slice(dictionary.as_bytes());
        Header::read(&mut file.as_slice())
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (350000, 100), }          \n";
        let one = header(1, dictionary).unwrap();
        assert_eq!(
            (one.rows, one.columns, one.start),
            (350_000, 100, 10 + dictionary.len() as u64)
        );
        assert_eq!((one.row_bytes(), one.end().unwrap()), (400, one.start + 140_000_000));
        for version in [2, 3] {
            assert_eq!(
                header(version, dictionary).unwrap(),
                Header {
                    start: one.start + 2,
                    ..one.clone()
                }
            );
        }
        let other = "{\"shape\": (2,3), \"fortran_order\":False, \"descr\":\">f8\"}";
        let other = header(1, other).unwrap();
        assert_eq!((other.rows, other.columns, other.row_bytes()), (2, 3, 24));
    }

    #[test]
    fn headers_that_are_refused() {
        let order = |descr: &str, fortran: &str, shape: &str| {
            header(
                1,
                &format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"),
            )
            .unwrap_err()
        };
        let wanted = "vectors are f2, f4 or f8: save array.astype('float32')";
        let long = "[('a', '<f4'), ('b', '<f4'), ('c', '<f4'), ('d', '<f4'), ('e', '<f4')]";
        for (dtype, named) in [
            ("'<i8'", "'<i8'"),
            ("'|O'", "'|O'"),
            ("\"<c8\"", "\"<c8\""),
            ("[('a', '<f4')]", "[('a', '<f4')]"),
            ("[('a,}]', '<f4', (2,))]", "[('a,}]', '<f4', (2,))]"),
            (long, "[('a', '<f4'), ('b', '<f4'), ('c', '<f4'), ('d', '<f4'), ('e..."),
        ] {
            let message = format!("the array's dtype is {named}; {wanted}");
            assert_eq!(order(dtype, "False", "(1, 2)"), message);
        }
        assert!(order("'<f4'", "True", "(1, 2)").contains("ascontiguousarray"));
        assert_eq!(
            order("'<f4'", "False", "(7,)"),
            "the array has 1 dimensions instead of 2 (rows, values)"
        );
        assert_eq!(
            order("'<f4'", "False", "(1, 2, 3)"),
            "the array has 3 dimensions instead of 2 (rows, values)"
        );
        assert!(order("'<f4'", "False", "(-1, 2)").contains("shape"));
        assert_eq!(order("'<f4'", "False", "7"), "its header has the shape 7");
        assert!(header(1, "{}").unwrap_err().contains("no descr"));
        assert!(header(4, "{}").unwrap_err().contains("version 4"));
        assert!(Header::read(&mut b"PAR1....".as_slice()).unwrap_err().contains("magic"));
        assert!(Header::read(&mut b"\x93NUM".as_slice()).unwrap_err().contains("short"));
        let huge = [MAGIC.as_slice(), &[2, 0], &u32::MAX.to_le_bytes()].concat();
        assert!(
            Header::read(&mut huge.as_slice())
                .unwrap_err()
                .contains("4294967295 bytes")
        );
        assert!(
            header(
                1,
                "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551615, 9), }"
            )
            .unwrap()
            .end()
            .is_err()
        );
    }

    #[test]
    fn numbers_of_all_widths() {
        let values = [1.5_f32, -0.0, 65504.0];
        let expect = |width: Width, big_endian: bool, bytes: Vec<u8>| {
            let mut read = Vec::new();
            Item { width, big_endian }.append(&bytes, &mut read);
            assert_eq!(
                read.iter().map(|value| value.to_bits()).collect::<Vec<_>>(),
                values.map(f32::to_bits)
            );
        };
        expect(
            Width::F4,
            false,
            values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        );
        expect(
            Width::F4,
            true,
            values.iter().flat_map(|value| value.to_be_bytes()).collect(),
        );
        expect(
            Width::F8,
            false,
            values
                .iter()
                .flat_map(|value| f64::from(*value).to_le_bytes())
                .collect(),
        );
        expect(
            Width::F8,
            true,
            values
                .iter()
                .flat_map(|value| f64::from(*value).to_be_bytes())
                .collect(),
        );
        let halves = [0x3E00_u16, 0x8000, 0x7BFF];
        expect(
            Width::F2,
            false,
            halves.iter().flat_map(|value| value.to_le_bytes()).collect(),
        );
        expect(
            Width::F2,
            true,
            halves.iter().flat_map(|value| value.to_be_bytes()).collect(),
        );
    }
}
