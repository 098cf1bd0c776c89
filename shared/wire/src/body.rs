//! Request bodies as sent: the size limit, and gzip. A body is inflated only after its signature was verified.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use model::{ApiError, limits};

/// The largest request body, as sent and as inflated (API.md section 17, point 17).
pub const MAX_BODY_BYTES: usize = limits::BODY_BYTES;

/// How much is inflated between two looks at the limit.
const CHUNK_BYTES: usize = 64 * 1024;

/// The body to parse: `body` itself, or what it inflates to.
///
/// # Errors
/// ValidationException: a body above `max_bytes` as sent or as inflated (inflating stops there), damaged gzip, or an
/// encoding other than gzip and identity.
pub fn inflate(body: Bytes, content_encoding: Option<&str>, max_bytes: usize) -> Result<Bytes, ApiError> {
    if body.len() > max_bytes {
        return Err(ApiError::body_too_large());
    }
    let encodings = content_encoding.unwrap_or_default().split(',').map(str::trim);
    let mut encodings = encodings.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(body),
        (Some(name), None) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
            gunzip(&body, max_bytes)
        }
        _ => Err(ApiError::validation(
            "Content-Encoding of a request must be gzip or identity, once",
        )),
    }
}

fn gunzip(body: &[u8], max_bytes: usize) -> Result<Bytes, ApiError> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut inflated = Vec::with_capacity(body.len().saturating_mul(3).clamp(1024, max_bytes.max(1024)));
    loop {
        let taken = decoder.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut inflated);
        let taken = taken.map_err(|_| ApiError::validation("Request body is not valid gzip"))?;
        if inflated.len() > max_bytes {
            return Err(ApiError::body_too_large());
        }
        if taken == 0 {
            return Ok(Bytes::from(inflated));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use rstest::rstest;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[rstest]
    #[case::absent(None)]
    #[case::empty(Some(""))]
    #[case::identity(Some("Identity"))]
    #[case::identities(Some("identity, identity"))]
    fn plain_bodies_pass(#[case] encoding: Option<&str>) {
        assert_eq!(inflate(Bytes::from_static(b"{}"), encoding, 2).unwrap(), "{}");
    }

    #[rstest]
    #[case("gzip")]
    #[case("GZIP")]
    #[case("x-gzip")]
    #[case("identity, gzip")]
    fn gzip_is_inflated(#[case] encoding: &str) {
        let text = "[0.125, 1.5]".repeat(50_000);
        let body = Bytes::from(gzip(text.as_bytes()));
        assert_eq!(inflate(body, Some(encoding), MAX_BODY_BYTES).unwrap(), text.as_bytes());
    }

    #[test]
    fn several_members_are_one_body() {
        let body = [gzip(b"{\"a\":"), gzip(b""), gzip(b"1}")].concat();
        assert_eq!(inflate(Bytes::from(body), Some("gzip"), 100).unwrap(), "{\"a\":1}");
    }

    #[rstest]
    #[case("br")]
    #[case("deflate")]
    #[case("zstd")]
    #[case("aws-chunked")]
    #[case("gzip, gzip")]
    #[case("gzip,aws-chunked")]
    fn other_encodings_are_refused(#[case] encoding: &str) {
        let error = inflate(Bytes::new(), Some(encoding), 10).unwrap_err();
        assert_eq!(
            error,
            ApiError::validation("Content-Encoding of a request must be gzip or identity, once")
        );
    }

    #[rstest]
    #[case::largest(MAX_BODY_BYTES, true)]
    #[case::one_more(MAX_BODY_BYTES + 1, false)]
    fn the_limit_is_inclusive(#[case] size: usize, #[case] fits: bool) {
        let text = vec![b' '; size];
        assert_eq!(
            inflate(Bytes::from(gzip(&text)), Some("gzip"), MAX_BODY_BYTES).is_ok(),
            fits
        );
        let plain = inflate(Bytes::from(text), None, MAX_BODY_BYTES);
        assert_eq!(plain.is_ok(), fits);
        assert!(fits || plain.unwrap_err().message() == "Request body exceeds max allowed size");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let layer = gzip(&vec![0; 64 << 20]);
        let bomb: Vec<u8> = layer.iter().copied().cycle().take(layer.len() * 100).collect();
        let error = inflate(Bytes::from(bomb), Some("gzip"), MAX_BODY_BYTES).unwrap_err();
        assert_eq!(error, ApiError::body_too_large());
    }

    #[rstest]
    #[case::text(b"{}".to_vec())]
    #[case::empty(Vec::new())]
    #[case::cut({ let mut body = gzip(b"hello hello hello"); body.truncate(15); body })]
    #[case::checksum({ let mut body = gzip(b"hello"); let at = body.len() - 6; body[at] ^= 1; body })]
    #[case::rest([gzip(b"{}"), b"rest of the text".to_vec()].concat())]
    fn damaged_gzip_is_refused(#[case] body: Vec<u8>) {
        let error = inflate(Bytes::from(body), Some("gzip"), 1000).unwrap_err();
        assert_eq!(error.message(), "Request body is not valid gzip");
    }
}
