//! The header of our own binary files, and a reader that cannot run past the end.

use crate::{FileKind, FormatError};

/// Bytes of the header: magic (4), major (u16 LE), minor (u16 LE).
pub(crate) const HEADER: usize = 8;

/// A file kind's magic and the version that this program writes and reads.
pub(crate) struct Magic {
    pub(crate) file: FileKind,
    pub(crate) bytes: [u8; 4],
    pub(crate) major: u16,
}

impl Magic {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&self.major.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
    }

    /// Checks the header and returns what follows. A higher minor version is readable by definition.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FormatError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(FormatError::corrupt(self.file, "cut short"));
        };
        let [a, b, c, d, major_low, major_high, _, _] = *header;
        if [a, b, c, d] != self.bytes {
            return Err(FormatError::corrupt(self.file, "wrong magic"));
        }
        let found = u16::from_le_bytes([major_low, major_high]);
        if found != self.major {
            return Err(FormatError::Version {
                file: self.file,
                found: u32::from(found),
                supported: u32::from(self.major),
            });
        }
        Ok(rest)
    }
}

/// Little-endian u32 at `index` of a packed table.
pub(crate) fn u32_at(table: &[u8], index: usize) -> Option<u32> {
    let start = index.checked_mul(4)?;
    let bytes = table.get(start..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

/// Little-endian u64 at `index` of a packed table.
pub(crate) fn u64_at(table: &[u8], index: usize) -> Option<u64> {
    let start = index.checked_mul(8)?;
    let bytes = table.get(start..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
}

/// `table[start..start + len]` with both given as they are stored.
pub(crate) fn slice_at(table: &[u8], start: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    let len = usize::try_from(len).ok()?;
    table.get(start..start.checked_add(len)?)
}
