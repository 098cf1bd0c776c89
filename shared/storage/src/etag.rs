//! ETags for stores that keep the bytes themselves: a digest and the length.

use std::hash::{DefaultHasher, Hasher};

use crate::objects::ETag;

/// The same bytes have the same ETag, as in S3: it is the documents' nonce that keeps an ETag from recurring.
/// Never stored, so the digest may change from one build to the next.
pub(crate) fn of(bytes: &[u8]) -> ETag {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let digest = hasher.finish();
    let crc = crc32c::crc32c(bytes);
    ETag(format!("{digest:016x}{crc:08x}-{:x}", bytes.len()))
}
