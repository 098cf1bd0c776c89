//! A JSON value in few bytes: one tag byte, then the content; lengths are two bytes, texts are their UTF-8 bytes.

use serde_json::{Map, Value};

/// Levels a state may have; bounds recursion.
const MAX_DEPTH: u32 = 8;

pub(super) fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(b'n'),
        Value::Bool(false) => out.push(b'f'),
        Value::Bool(true) => out.push(b't'),
        Value::Number(number) => write_text(out, b'#', &number.to_string()),
        Value::String(text) => write_text(out, b'"', text),
        Value::Array(items) => {
            write_length(out, b'[', items.len());
            items.iter().for_each(|item| write(out, item));
        }
        Value::Object(members) => {
            write_length(out, b'{', members.len());
            for (name, member) in members {
                write_text(out, b'"', name);
                write(out, member);
            }
        }
    }
}

fn write_length(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    // A longer state would be refused as a token anyway.
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}

fn write_text(out: &mut Vec<u8>, tag: u8, text: &str) {
    write_length(out, tag, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// The value of exactly these bytes.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let value = read_value(&mut rest, 0)?;
    rest.is_empty().then_some(value)
}

fn read_value(rest: &mut &[u8], depth: u32) -> Option<Value> {
    if depth == MAX_DEPTH {
        return None;
    }
    Some(match rest.split_off_first()? {
        b'n' => Value::Null,
        b'f' => Value::Bool(false),
        b't' => Value::Bool(true),
        b'#' => Value::Number(read_text(rest)?.parse().ok()?),
        b'"' => Value::String(read_text(rest)?.to_owned()),
        b'[' => {
            let count = read_length(rest)?;
            let items: Option<Vec<Value>> = (0..count).map(|_| read_value(rest, depth + 1)).collect();
            Value::Array(items?)
        }
        b'{' => {
            let mut members = Map::new();
            for _ in 0..read_length(rest)? {
                rest.split_off_first().filter(|tag| **tag == b'"')?;
                let name = read_text(rest)?.to_owned();
                members.insert(name, read_value(rest, depth + 1)?);
            }
            Value::Object(members)
        }
        _ => return None,
    })
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    *rest = after;
    Some(usize::from(u16::from_be_bytes(*length)))
}

fn read_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = read_length(rest)?;
    std::str::from_utf8(rest.split_off(..length)?).ok()
}
