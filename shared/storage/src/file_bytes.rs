//! The bytes of a file that never changes: read when it is small, a view of the page cache when it is large.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

/// Larger files are mapped instead of read.
pub(crate) const MAPPED_FROM: u64 = 64 * 1024;

/// All of a file of this size that was opened just now.
pub(crate) fn whole(file: &mut File, size: u64) -> io::Result<Bytes> {
    if size > MAPPED_FROM {
        return map(file);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(Bytes::from(bytes))
}

/// A part of a file whose first `size` bytes may be read; `None` when the range leaves them.
pub(crate) fn part(file: &File, size: u64, range: &Range<u64>) -> io::Result<Option<Bytes>> {
    let length = range
        .end
        .checked_sub(range.start)
        .and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|_| range.end <= size) else {
        return Ok(None);
    };
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(Some(Bytes::from(bytes)))
}

/// The file as a view of the page cache.
#[allow(unsafe_code)]
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: a map is sound as long as nobody changes or truncates the file below it. Files of a store, and of a
    // disk cache, are written under another name and are complete before they get their own; from then on they are
    // only ever unlinked or renamed over, and both leave the mapped file as it is. A store's directory belongs to one
    // server (its lock); a cache's files are only writable by the user whose processes keep to this.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
