//! The port of immutable objects, and of the conditional writes that the compare-and-swap catalog stands on.

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;
use crate::paths::ObjectName;

/// Identifies the bytes that an object had when it was read. Opaque: only ever compared by the store that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(pub String);

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The object's name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub size: u64,
}

/// What reading a whole object takes, and so whether reading parts of it is worth the trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A `get` is a view of memory or of the page cache: next to nothing, however long the object is.
    AtHand,
    /// A `get` fetches all of it, and keeps a copy: from then on it is at hand.
    Kept,
    /// Each `get` fetches all of it.
    Remote,
}

/// Objects by name. Strongly consistent: what is acknowledged is read and listed at once, by every process.
///
/// Objects written with [`put`](ObjectStore::put) never change (S1). Documents written with
/// [`create`](ObjectStore::create) and [`replace`](ObjectStore::replace) do, one whole version at a time.
///
/// Every write that fails with anything but [`StoreError::Unknown`] had no effect. No call is retried below this
/// trait: the caller knows what a repeated write means.
#[async_trait]
pub trait ObjectStore: Send + Sync + Debug {
    /// Writes an object that never changes. The same bytes again succeed, other bytes are a
    /// [`StoreError::Conflict`].
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError>;

    /// As [`put`](ObjectStore::put), for an object without which nothing can be deleted: a store that can fill up may
    /// keep space for it (and for [`replace`](ObjectStore::replace), which only needs it for a moment).
    async fn put_from_reserve(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.put(name, bytes).await
    }

    /// The whole object. Large ones may be a view of the page cache: a caller that keeps a small part copies it.
    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError>;

    /// What a `get` of an object of this length would take now. A hint for the choice between `get` and `get_range`: both
    /// give the same bytes whatever it says. A layer that wraps another store passes this on.
    fn reach(&self, _name: &ObjectName, _size: u64) -> Reach {
        Reach::Remote
    }

    /// The bytes of a range that lies inside the object; any other range is an error.
    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// At most `limit` objects whose names begin with `prefix` and sort after `after`, in the order of the names'
    /// bytes. Fewer than `limit` means that there are no more. Promised for the names of one directory, and across
    /// directories where none lies beside a file that begins like it (`a/b` beside `a-`): there servers differ.
    async fn list(&self, prefix: &str, after: Option<&ObjectName>, limit: usize)
    -> Result<Vec<ObjectMeta>, StoreError>;

    /// Removes objects; names that nothing has are fine.
    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError>;

    /// A document and what identifies this version of it.
    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError>;

    /// Writes a document that does not exist yet; [`StoreError::Conflict`] when it does.
    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError>;

    /// Replaces this version of a document; [`StoreError::Conflict`] or [`StoreError::NotFound`] when the document
    /// is another one by now.
    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError>;

    /// The caller found that these objects' bytes are not what a manifest says: copies of them that are kept on the
    /// way to the store are dropped. Whether there were any, so that asking again may give other bytes. A layer that
    /// wraps another store passes this on.
    async fn invalidate(&self, _names: &[ObjectName]) -> bool {
        false
    }
}
