//! What ties a page token to its request: a hash of everything that decides what the pages hold.

/// FNV-1a, 64 bits: stable across processes and versions. It guards against mix-ups, not against forgery: a token
/// grants nothing that the request itself does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestHash(u64);

impl RequestHash {
    /// A hash for requests of one operation.
    pub(crate) fn new(operation: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).bytes(operation.as_bytes())
    }

    /// Mixes in bytes and their number, so that neighbours cannot run into each other.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let length = (bytes.len() as u64).to_le_bytes();
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(length.iter().chain(bytes).fold(self.0, mix))
    }

    /// Mixes in a number.
    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Mixes in a text that may be absent.
    pub(crate) fn optional(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.number(1).bytes(text.as_bytes()),
            None => self.number(0),
        }
    }

    /// The hash.
    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}

/// Which of `count` segments a key belongs to. By the key alone, so segments are disjoint, complete, and stay so
/// whatever is written between two pages.
pub(crate) fn segment_of(key: &str, count: u32) -> u32 {
    format::crc32c(key.as_bytes()) % count.max(1)
}
