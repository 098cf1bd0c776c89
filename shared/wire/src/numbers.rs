//! Floats in and out of JSON. In: text -> f64 -> f32, each step correctly rounded, because that is what a service does
//! that parses doubles and stores floats. Out: the shortest text that reads back as the same f32.

use crate::scan::{ScanFault, Scanner};

/// Why an array of floats is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at item {item}")]
pub struct NumberFault {
    /// What is wrong.
    pub what: &'static str,
    /// Position in the array.
    pub item: usize,
}

/// The same inside a larger text, where syntax and type are answered differently.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArrayFault {
    Scan(ScanFault),
    /// An item that is neither a number nor one of the three words.
    WrongType {
        item: usize,
    },
}

/// A JSON array of numbers or `"NaN"`, `"Infinity"`, `"-Infinity"` (as SDKs write them).
///
/// # Errors
/// Anything else, with its position.
pub fn parse_f32_array(raw: &str) -> Result<Vec<f32>, NumberFault> {
    let mut scanner = Scanner::new(raw);
    let mut values = Vec::with_capacity(raw.len() / 16);
    if scanner.peek() != Some(b'[') {
        return Err(NumberFault {
            what: "not an array",
            item: 0,
        });
    }
    match scan_array(&mut scanner, &mut values, usize::MAX) {
        Ok(_) if scanner.end().is_ok() => Ok(values),
        Err(ArrayFault::WrongType { item }) => Err(NumberFault {
            what: "not a number",
            item,
        }),
        _ => Err(NumberFault {
            what: "not valid JSON",
            item: values.len(),
        }),
    }
}

/// Appends the array that is next to `values`, but not more than `most` items, and answers how many there were.
pub(crate) fn scan_array(scanner: &mut Scanner<'_>, values: &mut Vec<f32>, most: usize) -> Result<usize, ArrayFault> {
    let mut count = 0;
    let mut more = scanner.open_array()?;
    while more {
        let value = match scanner.peek() {
            Some(b'-' | b'0'..=b'9') => match number(scanner.rest()) {
                Some((value, length)) => {
                    scanner.advance(length);
                    value
                }
                None => return scanner.fault("a number").map_err(ArrayFault::Scan),
            },
            _ => word(scanner)?.ok_or(ArrayFault::WrongType { item: count })?,
        };
        if count < most {
            values.push(value);
        }
        count += 1;
        more = scanner.more_items()?;
    }
    Ok(count)
}

impl From<ScanFault> for ArrayFault {
    fn from(fault: ScanFault) -> Self {
        Self::Scan(fault)
    }
}

fn word(scanner: &mut Scanner<'_>) -> Result<Option<f32>, ScanFault> {
    Ok(match scanner.skip_value()? {
        "\"NaN\"" => Some(f32::NAN),
        "\"Infinity\"" => Some(f32::INFINITY),
        "\"-Infinity\"" => Some(f32::NEG_INFINITY),
        _ => None,
    })
}

/// Powers of ten that are exact in f64.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The JSON number at the start of `text` and its length; `None` when there is none.
#[inline]
fn number(text: &[u8]) -> Option<(f32, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let whole = digits(text, start, 0);
    let leading_zero = text.get(start) == Some(&b'0');
    if whole.end == start || (leading_zero && whole.end != start + 1) {
        return None;
    }
    let mut significant = if leading_zero { 0 } else { whole.end - start };
    let (mut mantissa, mut end) = (whole.value, whole.end);
    let mut exponent = 0;
    if text.get(end) == Some(&b'.') {
        let from = end + 1;
        let fraction = digits(text, from, mantissa);
        if fraction.end == from {
            return None;
        }
        let zeros = if mantissa == 0 {
            text.get(from..)?.iter().take_while(|byte| **byte == b'0').count()
        } else {
            0
        };
        significant += fraction.end - from - zeros.min(fraction.end - from);
        exponent = -i32::try_from(fraction.end - from).unwrap_or(i32::MAX);
        (mantissa, end) = (fraction.value, fraction.end);
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let (power, after) = exponent_part(text, end + 1)?;
        exponent = exponent.saturating_add(power);
        end = after;
    }
    // More than 19 digits may have overflowed the mantissa.
    let quick = if significant <= 19 {
        nearest(mantissa, exponent)
    } else {
        None
    };
    let value = match quick {
        Some(magnitude) if negative => -magnitude,
        Some(magnitude) => magnitude,
        None => fast_float2::parse::<f64, _>(text.get(..end)?).ok()? as f32,
    };
    Some((value, end))
}

struct Digits {
    value: u64,
    end: usize,
}

/// Reads digits from `at` on and appends them to `value` (wrapping).
#[inline]
fn digits(text: &[u8], mut at: usize, mut value: u64) -> Digits {
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        if !eight_digits(word) {
            break;
        }
        value = value.wrapping_mul(100_000_000).wrapping_add(eight_digit_value(word));
        at += 8;
    }
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    Digits { value, end: at }
}

fn eight_digits(word: u64) -> bool {
    let above = word.wrapping_add(0x0606_0606_0606_0606);
    (word & 0xF0F0_F0F0_F0F0_F0F0) | ((above & 0xF0F0_F0F0_F0F0_F0F0) >> 4) == 0x3333_3333_3333_3333
}

/// Pairs, then fours, then all eight digits, each step one multiplication.
fn eight_digit_value(word: u64) -> u64 {
    let ones = word & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (ones.wrapping_mul(1 + (10 << 8)) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(1 + (100 << 16)) >> 16) & 0x0000_FFFF_0000_FFFF;
    fours.wrapping_mul(1 + (10_000 << 32)) >> 32
}

fn exponent_part(text: &[u8], at: usize) -> Option<(i32, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let from = at + usize::from(matches!(text.get(at), Some(b'-' | b'+')));
    let mut power: i32 = 0;
    let mut end = from;
    while let Some(digit @ b'0'..=b'9') = text.get(end) {
        power = power.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
        end += 1;
    }
    (end > from).then_some((if negative { -power } else { power }, end))
}

/// `mantissa * 10^exponent` as f64 as f32, when cheap arithmetic can prove the result; else `None`.
///
/// The product below is off by less than 8 units in the last place of f64. The f32 is the same for everything in that
/// distance, unless a boundary between two f32s (a f64 whose low 29 bits are 1 followed by zeros) lies in it. Numbers
/// that were printed from f32s lie in the middle between two boundaries, so nearly all take this way.
#[inline]
fn nearest(mantissa: u64, exponent: i32) -> Option<f32> {
    const SLACK: u64 = 16;
    if mantissa == 0 {
        return Some(0.0);
    }
    let mantissa = mantissa as f64;
    let value = match exponent {
        0..=22 => mantissa * POWERS.get(exponent as usize)?,
        -22..=-1 => mantissa / POWERS.get(-exponent as usize)?,
        -44..=-23 => mantissa / 1e22 / POWERS.get((-exponent - 22) as usize)?,
        _ => return None,
    };
    let low = value.to_bits() & 0x1FFF_FFFF;
    // Outside this range f32 is subnormal or may overflow, and the boundaries are elsewhere.
    let normal = (1e-37..1e38).contains(&value);
    (normal && low.abs_diff(0x1000_0000) > SLACK).then_some(value as f32)
}

/// Writes the shortest text that reads back as `value`; what is not finite as the word SDKs read, in quotes.
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value > 0.0 {
        out.extend_from_slice(b"\"Infinity\"");
    } else {
        out.extend_from_slice(b"\"-Infinity\"");
    }
}

#[cfg(test)]
mod tests;
