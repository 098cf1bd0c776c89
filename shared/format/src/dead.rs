//! Deletion vectors: the dead rows of one shard, as an object of their own.
//!
//! Header (`GVDV`), CRC32C of the header and the bitmap (u32), portable roaring bitmap. Small ones live inside the manifest.

use bytes::Bytes;
use roaring::RoaringBitmap;

use crate::binary::{self, Magic};
use crate::{FileKind, FormatError, checksum};

const MAGIC: Magic = Magic {
    file: FileKind::Dead,
    bytes: *b"GVDV",
    major: 1,
};

/// Encodes a deletion vector.
pub fn encode_dead(dead: &RoaringBitmap) -> Result<Bytes, FormatError> {
    let body = encode_roaring(FileKind::Dead, dead)?;
    let mut out = Vec::with_capacity(binary::HEADER + 4 + body.len());
    MAGIC.write(&mut out);
    let sum = checksum::crc32c_append(checksum::crc32c(&out), &body);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out.into())
}

/// Reads and checks a deletion vector.
pub fn decode_dead(bytes: &[u8]) -> Result<RoaringBitmap, FormatError> {
    let rest = MAGIC.read(bytes)?;
    let (sum, body) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| FormatError::corrupt(FileKind::Dead, "cut short"))?;
    let header = bytes.get(..binary::HEADER).unwrap_or_default();
    let expected = u32::from_le_bytes(*sum);
    let actual = checksum::crc32c_append(checksum::crc32c(header), body);
    if expected != actual {
        return Err(FormatError::Checksum {
            file: FileKind::Dead,
            expected,
            actual,
        });
    }
    decode_roaring(FileKind::Dead, body)
}

/// Portable roaring with run containers where they are smaller: the same set gives the same bytes.
pub(crate) fn encode_roaring(file: FileKind, bitmap: &RoaringBitmap) -> Result<Vec<u8>, FormatError> {
    let mut bitmap = bitmap.clone();
    bitmap.remove_run_compression();
    bitmap.optimize();
    let mut out = Vec::with_capacity(bitmap.serialized_size());
    bitmap
        .serialize_into(&mut out)
        .map_err(|e| FormatError::input(file, e))?;
    Ok(out)
}

/// Reads a portable roaring bitmap that fills `bytes` exactly.
pub(crate) fn decode_roaring(file: FileKind, bytes: &[u8]) -> Result<RoaringBitmap, FormatError> {
    let mut rest = bytes;
    let bitmap = RoaringBitmap::deserialize_from(&mut rest).map_err(|e| FormatError::corrupt(file, e))?;
    if rest.is_empty() {
        Ok(bitmap)
    } else {
        Err(FormatError::corrupt(file, "bytes after a roaring bitmap"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equal_sets_have_equal_bytes(
            rows in prop::collection::btree_set(0u32..140_000, 0..300),
            start in 0u32..70_000,
            length in 0u32..80_000,
        ) {
            let mut sorted: RoaringBitmap = rows.iter().copied().collect();
            sorted.insert_range(start..start + length);
            let mut grown = RoaringBitmap::new();
            grown.insert_range(0..150_000);
            grown.optimize();
            for row in 0..150_000 {
                if !sorted.contains(row) {
                    grown.remove(row);
                }
            }
            let bytes = encode_dead(&sorted).unwrap();
            prop_assert_eq!(&bytes, &encode_dead(&grown).unwrap());
            prop_assert_eq!(decode_dead(&bytes).unwrap(), sorted);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = encode_dead(&RoaringBitmap::from_iter([1, 5, 70_000])).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_dead(&bad).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(decode_dead(&good[..length]).is_err());
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        let mut newer = encode_dead(&RoaringBitmap::new()).unwrap().to_vec();
        newer[4] = 2;
        let version = FormatError::Version {
            file: FileKind::Dead,
            found: 2,
            supported: 1,
        };
        assert_eq!(decode_dead(&newer), Err(version));
    }
}
