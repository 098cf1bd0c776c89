//! A searchable index: which rows are probably near a query.

use super::native::Native;
use super::{IvfError, Metric, Shape, check_rows, layout};

/// What the caller knows about a file before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Values in a row, padding included.
    pub dimension: usize,
    /// How rows are compared.
    pub metric: Metric,
    /// Lists.
    pub nlist: usize,
    /// Rows.
    pub rows: u32,
}

/// Rows in lists, searchable from many threads at once.
#[derive(Debug)]
pub struct Index {
    native: Native,
}

impl Index {
    pub(super) fn from_native(native: Native) -> Self {
        Self { native }
    }

    /// Reads what [`Self::to_bytes`] wrote, into memory of its own. Refuses anything else, with or without bytes
    /// missing or left over, and an index that is not the expected one. Callers have verified a checksum before: here
    /// nothing can go out of bounds, but a flipped bit of a code only makes answers worse.
    pub fn open(bytes: &[u8], expected: &Expected) -> Result<Self, IvfError> {
        let parsed = layout::parse(bytes)?;
        let found = Expected {
            dimension: parsed.shape.dimension,
            metric: parsed.shape.metric,
            nlist: parsed.shape.nlist,
            rows: u32::try_from(parsed.rows()).unwrap_or(u32::MAX),
        };
        if found != *expected {
            return Err(IvfError::Corrupt(format!("holds {found:?}, expected {expected:?}")));
        }
        let mut native = Native::new(parsed.shape, parsed.centroids, parsed.codebooks)?;
        native.allocate_lists(parsed.starts)?;
        native.copy_lists(&parsed.lists);
        Ok(Self { native })
    }

    /// A FAISS index file (IndexIVFPQFastScan or IndexIVFPQ), ids being row numbers.
    pub fn to_bytes(&self) -> Vec<u8> {
        layout::write(&self.native)
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.native.starts().rows()
    }

    /// What the index is made of.
    pub fn shape(&self) -> Shape {
        self.native.shape()
    }

    /// Where each list starts, `nlist` + 1 row numbers.
    pub fn list_starts(&self) -> &[u32] {
        self.native.starts().as_slice()
    }

    /// Bytes of memory that the codes, ids, centroids and codebooks take.
    pub fn resident_bytes(&self) -> usize {
        let ids = self.rows() * size_of::<i64>();
        let starts = self.list_starts().len() * 2 * size_of::<u32>();
        let quantizers = self.native.centroid_bytes().len() + self.native.codebook_bytes().len();
        self.native.codes().len() + ids + starts + quantizers
    }

    /// Replaces `out` by the distance from `query` to the centroid of each list, smaller being nearer (inner products
    /// are negated).
    pub fn coarse_distances(&self, query: &[f32], out: &mut Vec<f32>) -> Result<(), IvfError> {
        check_rows(self.shape().dimension, query)?;
        self.native.coarse_distances(query, out)
    }

    /// At most `k` row numbers that are probably the nearest in the given lists, best first. `selector` has one bit per
    /// row, least significant bit first; rows whose bit is clear are not returned. May return fewer although more
    /// match (see the module's documentation).
    pub fn search(
        &self,
        query: &[f32],
        lists: &[u32],
        k: usize,
        selector: Option<&[u8]>,
    ) -> Result<Vec<u32>, IvfError> {
        self.searched(query, lists, k, selector, None)
    }

    /// [`Index::search`] without a selector, and the distances that the codes tell. They come from tables of 8 bits that
    /// every call scales anew, so those of different calls compare but roughly.
    pub(crate) fn search_estimating(
        &self,
        query: &[f32],
        lists: &[u32],
        k: usize,
        estimates: &mut Vec<f32>,
    ) -> Result<Vec<u32>, IvfError> {
        estimates.clear();
        self.searched(query, lists, k, None, Some(estimates))
    }

    fn searched(
        &self,
        query: &[f32],
        lists: &[u32],
        k: usize,
        selector: Option<&[u8]>,
        estimates: Option<&mut Vec<f32>>,
    ) -> Result<Vec<u32>, IvfError> {
        check_rows(self.shape().dimension, query)?;
        self.check_probes(lists)?;
        let rows = self.rows();
        if let Some(bits) = selector
            && bits.len() < rows.div_ceil(8)
        {
            let bytes = bits.len();
            return Err(IvfError::input(format!("a selector of {bytes} bytes for {rows} rows")));
        }
        let k = k.min(rows);
        if k == 0 || lists.is_empty() {
            return Ok(Vec::new());
        }
        self.native.search(query, lists, k, selector, estimates)
    }

    /// The codes of a list's rows in the order of the rows, unpacked.
    pub fn list_codes(&self, list: u32) -> Result<Vec<u8>, IvfError> {
        let nlist = self.shape().nlist;
        if list as usize >= nlist {
            return Err(IvfError::input(format!("list {list} of {nlist}")));
        }
        self.native.unpack(list)
    }

    /// FAISS reads past its tables for a list that does not exist, and answers twice from one that is named twice.
    fn check_probes(&self, lists: &[u32]) -> Result<(), IvfError> {
        let nlist = self.shape().nlist;
        let mut seen = vec![false; nlist];
        for &list in lists {
            match seen.get_mut(list as usize) {
                None => return Err(IvfError::input(format!("list {list} of {nlist}"))),
                Some(true) => return Err(IvfError::input(format!("list {list} is probed twice"))),
                Some(unseen) => *unseen = true,
            }
        }
        Ok(())
    }
}
