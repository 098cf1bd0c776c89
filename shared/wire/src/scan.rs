//! A strict JSON scanner over one borrowed text. It validates everything it passes over: RFC 8259 grammar, no lone
//! surrogates, at most [`MAX_DEPTH`] open containers. It never recurses and never allocates, except for strings with
//! escapes. `serde_json` is not used here because it re-reads what it hands out raw and lets lone surrogates pass.

use std::borrow::Cow;

use model::ApiError;

/// Containers that may be open at once: serde_json's own limit, so that what passes here is readable there.
pub(crate) const MAX_DEPTH: u32 = 127;

/// Why a text is not taken as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanFault {
    /// Not JSON at this byte.
    Syntax { at: usize, expected: &'static str },
    /// A `\uD800`-style escape without its other half.
    LoneSurrogate,
}

impl From<ScanFault> for ApiError {
    fn from(fault: ScanFault) -> Self {
        match fault {
            ScanFault::Syntax { at, expected } => Self::Serialization {
                message: format!("Request body is not valid JSON: expected {expected} at byte {at}"),
            },
            // The service's own words (API.md section 5.1).
            ScanFault::LoneSurrogate => Self::Serialization {
                message: "UnknownError".to_owned(),
            },
        }
    }
}

/// What a JSON value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The kind of a value that starts with `byte`; `None` when no value does.
    pub(crate) fn of(byte: u8) -> Option<Self> {
        match byte {
            b'n' => Some(Self::Null),
            b't' | b'f' => Some(Self::Boolean),
            b'-' | b'0'..=b'9' => Some(Self::Number),
            b'"' => Some(Self::String),
            b'[' => Some(Self::Array),
            b'{' => Some(Self::Object),
            _ => None,
        }
    }
}

/// A position in a JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// A scanner over bytes that must be UTF-8.
    pub(crate) fn over(body: &'a [u8]) -> Result<Self, ScanFault> {
        match std::str::from_utf8(body) {
            Ok(text) => Ok(Self::new(text)),
            Err(error) => Err(ScanFault::Syntax {
                at: error.valid_up_to(),
                expected: "UTF-8",
            }),
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The text from the current position on, as bytes.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The text between `start` and the current position.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn fault<T>(&self, expected: &'static str) -> Result<T, ScanFault> {
        Err(ScanFault::Syntax { at: self.at, expected })
    }

    /// The next byte that is not white space, left in place.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// The kind of the next value.
    pub(crate) fn peek_kind(&mut self) -> Result<Kind, ScanFault> {
        match self.peek().and_then(Kind::of) {
            Some(kind) => Ok(kind),
            None => self.fault("a value"),
        }
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ScanFault> {
        if self.take(byte) { Ok(()) } else { self.fault(expected) }
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(&mut self) -> Result<(), ScanFault> {
        if self.peek().is_none() {
            Ok(())
        } else {
            self.fault("the end")
        }
    }

    fn deepen(&mut self) -> Result<(), ScanFault> {
        if self.depth == MAX_DEPTH {
            return self.fault("less than 128 levels of nesting");
        }
        self.depth += 1;
        Ok(())
    }

    /// Enters the object that is next; false when it is empty (and already left).
    pub(crate) fn open_object(&mut self) -> Result<bool, ScanFault> {
        self.expect(b'{', "`{`")?;
        self.deepen()?;
        Ok(!self.close(b'}'))
    }

    /// Enters the array that is next; false when it is empty (and already left).
    pub(crate) fn open_array(&mut self) -> Result<bool, ScanFault> {
        self.expect(b'[', "`[`")?;
        self.deepen()?;
        Ok(!self.close(b']'))
    }

    fn close(&mut self, byte: u8) -> bool {
        let closed = self.take(byte);
        self.depth -= u32::from(closed);
        closed
    }

    /// After a member's value: true when another member follows.
    pub(crate) fn more_members(&mut self) -> Result<bool, ScanFault> {
        if self.take(b',') {
            return Ok(true);
        }
        if self.close(b'}') {
            Ok(false)
        } else {
            self.fault("`,` or `}`")
        }
    }

    /// After an item: true when another item follows.
    pub(crate) fn more_items(&mut self) -> Result<bool, ScanFault> {
        if self.take(b',') {
            return Ok(true);
        }
        if self.close(b']') {
            Ok(false)
        } else {
            self.fault("`,` or `]`")
        }
    }

    /// A member's name and its colon.
    pub(crate) fn member_name(&mut self) -> Result<Cow<'a, str>, ScanFault> {
        if self.peek() != Some(b'"') {
            return self.fault("a member name");
        }
        let name = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(name)
    }

    /// The string that is next, decoded.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, ScanFault> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        self.at = plain_run(self.text.as_bytes(), self.at);
        if self.byte() == Some(b'"') {
            let text = self.since(start);
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut decoded = self.since(start).to_owned();
        while let Some(character) = self.escape_or_end()? {
            decoded.push(character);
            let plain = self.at;
            self.at = plain_run(self.text.as_bytes(), self.at);
            decoded.push_str(self.since(plain));
        }
        Ok(Cow::Owned(decoded))
    }

    fn skip_string(&mut self) -> Result<(), ScanFault> {
        self.expect(b'"', "a string")?;
        loop {
            self.at = plain_run(self.text.as_bytes(), self.at);
            if self.escape_or_end()?.is_none() {
                return Ok(());
            }
        }
    }

    /// Inside a string, at a byte that is not plain: the escaped character, or `None` at the closing quote.
    fn escape_or_end(&mut self) -> Result<Option<char>, ScanFault> {
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b'\\') => self.at += 1,
            Some(_) => return self.fault("no control character in a string"),
            None => return self.fault("the end of a string"),
        }
        let character = match self.byte() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape().map(Some),
            _ => return self.fault("an escape"),
        };
        self.at += 1;
        Ok(Some(character))
    }

    /// At the `u` of `\uXXXX`, with its second half where it needs one.
    fn unicode_escape(&mut self) -> Result<char, ScanFault> {
        let first = self.hex_unit()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        if first >= 0xDC00 || !self.rest().starts_with(b"\\u") {
            return Err(ScanFault::LoneSurrogate);
        }
        self.at += 1;
        let second = self.hex_unit()?;
        if !(0xDC00..=0xDFFF).contains(&second) {
            return Err(ScanFault::LoneSurrogate);
        }
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or(ScanFault::LoneSurrogate)
    }

    fn hex_unit(&mut self) -> Result<u32, ScanFault> {
        let Some([_, digits @ ..]) = self.rest().first_chunk::<5>() else {
            return self.fault("four hexadecimal digits");
        };
        let mut unit = 0;
        for digit in digits {
            match char::from(*digit).to_digit(16) {
                Some(value) => unit = unit * 16 + value,
                None => return self.fault("four hexadecimal digits"),
            }
        }
        self.at += 5;
        Ok(unit)
    }

    fn skip_digits(&mut self) -> Result<(), ScanFault> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            self.fault("a digit")
        } else {
            Ok(())
        }
    }

    fn skip_number(&mut self) -> Result<(), ScanFault> {
        self.at += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.skip_digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_word(&mut self, word: &'static str) -> Result<(), ScanFault> {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        self.fault("a value")
    }

    /// Passes over the value that is next and answers its text.
    pub(crate) fn skip_value(&mut self) -> Result<&'a str, ScanFault> {
        let kind = self.peek_kind()?;
        let start = self.at;
        match kind {
            Kind::Array | Kind::Object => self.skip_container()?,
            scalar => self.skip_scalar(scalar)?,
        }
        Ok(self.since(start))
    }

    fn skip_scalar(&mut self, kind: Kind) -> Result<(), ScanFault> {
        match kind {
            Kind::String => self.skip_string(),
            Kind::Number => self.skip_number(),
            Kind::Null => self.skip_word("null"),
            _ if self.byte() == Some(b't') => self.skip_word("true"),
            _ => self.skip_word("false"),
        }
    }

    /// Passes over a container with its open containers on a stack of bits: set = object.
    fn skip_container(&mut self) -> Result<(), ScanFault> {
        let outside = self.depth;
        let mut objects: u128 = 0;
        loop {
            let opened = match self.peek_kind()? {
                Kind::Object => self.open_object()?.then_some(1),
                Kind::Array => self.open_array()?.then_some(0),
                scalar => {
                    self.skip_scalar(scalar)?;
                    None
                }
            };
            if let Some(object) = opened {
                objects = objects << 1 | object;
                self.name_if(object == 1)?;
                continue;
            }
            // A value has ended: leave every container that ends with it.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let in_object = objects & 1 == 1;
                if if in_object {
                    self.more_members()?
                } else {
                    self.more_items()?
                } {
                    self.name_if(in_object)?;
                    break;
                }
                objects >>= 1;
            }
        }
    }

    fn name_if(&mut self, in_object: bool) -> Result<(), ScanFault> {
        if !in_object {
            return Ok(());
        }
        if self.peek() != Some(b'"') {
            return self.fault("a member name");
        }
        self.skip_string()?;
        self.expect(b':', "`:`")
    }
}

/// The first position at or after `from` whose byte is not plain string text: a quote, a backslash or a control
/// character. Eight bytes at a time; in each mask the lowest set bit is exact, so the lowest of all three is too.
#[inline]
pub(crate) fn plain_run(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let special = (word.wrapping_sub(ONES * 0x20) & !word)
            | (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash);
        let special = special & HIGH;
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes
        .get(at)
        .is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F))
    {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
