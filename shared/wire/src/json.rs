//! Writes answers: compact JSON straight into one buffer. Commas are the writer's business; that names and values
//! alternate inside objects is the caller's.

use crate::numbers::write_f32;
use crate::scan::plain_run;

/// JSON text under construction.
#[derive(Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    /// A value or member has just ended, so that the next one needs a comma.
    after_value: bool,
    /// Of so many bytes so many are quotes or backslashes.
    counted: (usize, usize),
}

impl JsonWriter {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empty, with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            after_value: false,
            counted: (0, 0),
        }
    }

    /// `{`
    pub fn begin_object(&mut self) -> &mut Self {
        self.begin(b'{')
    }

    /// `}`
    pub fn end_object(&mut self) -> &mut Self {
        self.end(b'}')
    }

    /// `[`
    pub fn begin_array(&mut self) -> &mut Self {
        self.begin(b'[')
    }

    /// `]`
    pub fn end_array(&mut self) -> &mut Self {
        self.end(b']')
    }

    /// A member's name; its value comes next.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.string(name);
        self.out.push(b':');
        self.after_value = false;
        self
    }

    /// A string.
    pub fn string(&mut self, value: &str) -> &mut Self {
        self.separate();
        write_string(&mut self.out, value);
        self
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_string())
    }

    /// An integer that is not negative.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_string())
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    /// A float as its shortest text.
    pub fn f32(&mut self, value: f32) -> &mut Self {
        self.separate();
        write_f32(&mut self.out, value);
        self
    }

    /// An array of floats.
    pub fn f32_array(&mut self, values: &[f32]) -> &mut Self {
        self.floats(values.len(), values.iter().copied())
    }

    /// An array of floats from their little-endian bytes.
    pub fn f32_array_le(&mut self, bytes: &[u8]) -> &mut Self {
        let (values, _) = bytes.as_chunks::<4>();
        self.floats(values.len(), values.iter().map(|value| f32::from_le_bytes(*value)))
    }

    fn floats(&mut self, count: usize, values: impl Iterator<Item = f32>) -> &mut Self {
        self.begin_array();
        self.out.reserve(count * 14);
        for (position, value) in values.enumerate() {
            if position > 0 {
                self.out.push(b',');
            }
            write_f32(&mut self.out, value);
        }
        self.end_array()
    }

    /// A value that is JSON text already.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.separate();
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    /// Milliseconds since 1970 as a number of seconds.
    pub fn epoch_ms(&mut self, ms: u64) -> &mut Self {
        let (seconds, fraction) = (ms / 1000, ms % 1000);
        match fraction {
            0 => self.unsigned(seconds),
            _ => self.raw(format!("{seconds}.{fraction:03}").trim_end_matches('0')),
        }
    }

    /// `name` with a string.
    pub fn string_member(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name).string(value)
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Bytes that the text written so far has inside a JSON string. Each call looks at what is new.
    pub fn quoted_len(&mut self) -> usize {
        let (seen, escapes) = self.counted;
        let new = self.out.get(seen..).unwrap_or_default();
        let more = new.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        self.counted = (self.out.len(), escapes + more);
        self.out.len() + escapes + more
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The text.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn begin(&mut self, bracket: u8) -> &mut Self {
        self.separate();
        self.out.push(bracket);
        self.after_value = false;
        self
    }

    fn end(&mut self, bracket: u8) -> &mut Self {
        self.out.push(bracket);
        self.after_value = true;
        self
    }

    fn separate(&mut self) {
        if self.after_value {
            self.out.push(b',');
        }
        self.after_value = true;
    }
}

/// Writes a string with the escapes JSON demands and no others.
fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut at = 0;
    loop {
        let end = plain_run(bytes, at);
        out.extend_from_slice(bytes.get(at..end).unwrap_or_default());
        match bytes.get(end) {
            None => break,
            Some(b'"') => out.extend_from_slice(b"\\\""),
            Some(b'\\') => out.extend_from_slice(b"\\\\"),
            Some(b'\n') => out.extend_from_slice(b"\\n"),
            Some(b'\r') => out.extend_from_slice(b"\\r"),
            Some(b'\t') => out.extend_from_slice(b"\\t"),
            Some(control) => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        at = end + 1;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_length_inside_a_string() {
        let mut json = JsonWriter::new();
        json.begin_object().string_member("a\"", "\\ é");
        for _ in 0..2 {
            json.name("b").f32(0.5);
            let text = String::from_utf8(json.out.clone()).unwrap();
            assert_eq!(json.quoted_len(), serde_json::to_string(&text).unwrap().len() - 2);
        }
    }

    #[test]
    fn an_answer() {
        let mut json = JsonWriter::new();
        json.begin_object().name("vectors").begin_array();
        for (key, distance) in [("a", 0.0), ("b\"", 0.25)] {
            json.begin_object()
                .string_member("key", key)
                .name("distance")
                .f32(distance);
            json.name("metadata").raw(r#"{"x":1.0}"#).name("data").begin_object();
            json.name("float32").f32_array(&[0.1, -1.0]).end_object().end_object();
        }
        json.end_array()
            .name("empty")
            .begin_array()
            .end_array()
            .name("none")
            .begin_object()
            .end_object();
        json.name("n")
            .integer(-5)
            .name("u")
            .unsigned(u64::MAX)
            .name("yes")
            .boolean(true)
            .end_object();
        let expected = concat!(
            r#"{"vectors":[{"key":"a","distance":0.0,"metadata":{"x":1.0},"data":{"float32":[0.1,-1.0]}},"#,
            r#"{"key":"b\"","distance":0.25,"metadata":{"x":1.0},"data":{"float32":[0.1,-1.0]}}],"#,
            r#""empty":[],"none":{},"n":-5,"u":18446744073709551615,"yes":true}"#
        );
        assert_eq!(json.len(), expected.len());
        assert!(!json.is_empty());
        assert_eq!(String::from_utf8(json.finish()).unwrap(), expected);
    }

    #[rstest]
    #[case(1_700_000_000_000, "1700000000")]
    #[case(1_700_000_000_120, "1700000000.12")]
    #[case(1_700_000_000_001, "1700000000.001")]
    #[case(0, "0")]
    fn times_are_seconds(#[case] ms: u64, #[case] text: &str) {
        let mut json = JsonWriter::new();
        json.epoch_ms(ms);
        assert_eq!(String::from_utf8(json.finish()).unwrap(), text);
    }

    #[test]
    fn floats_from_bytes() {
        let values = [0.1_f32, f32::MAX, -0.0, 1e-40];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (mut ours, mut theirs) = (JsonWriter::new(), JsonWriter::new());
        ours.f32_array_le(&bytes);
        theirs.f32_array(&values);
        let text = ours.finish();
        assert_eq!(text, theirs.finish());
        assert_eq!(serde_json::from_slice::<Vec<f32>>(&text).unwrap(), values);
    }

    proptest! {
        #[test]
        fn strings_read_back(text in "[\\x00-\\x7f\"\\\\é😀]{0,60}") {
            let mut json = JsonWriter::new();
            json.string(&text);
            prop_assert_eq!(serde_json::from_slice::<String>(&json.finish()).unwrap(), text);
        }
    }
}
