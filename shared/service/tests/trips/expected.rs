//! What each operation may send: changed only on purpose.

/// (what, state, requests, milliseconds).
pub const EXPECTED: [(&str, &str, &str, u64); 0] = [];
