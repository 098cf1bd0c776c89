//! Calls into `shim.cpp`. Callers check what the shim takes for granted: lengths, ranges, finite values.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_float, c_int};
use std::ptr::NonNull;

// Links FAISS itself; the shim is what calls it.
use faiss_sys as _;

use super::codewords::Columns;
use super::generation::ListStarts;
use super::{IvfError, Metric, Shape};

/// The shim's object: quantizers, and lists once they are allocated.
#[repr(C)]
struct Ivf {
    opaque: [u8; 0],
}

/// Where the shim writes what FAISS says when a call fails, zero-terminated.
type Message = [c_char; 512];

unsafe extern "C" {
    fn genai_cluster(
        message: *mut Message,
        dimension: usize,
        count: usize,
        inner_product: c_int,
        rounds: c_int,
        seed: c_int,
        rows: usize,
        sample: *const c_float,
        centroids: *mut c_float,
    ) -> c_int;
    fn genai_new(
        message: *mut Message,
        dimension: usize,
        inner_product: c_int,
        nlist: usize,
        m: usize,
        bits: usize,
        by_residual: c_int,
        centroids: *const u8,
        codebooks: *const u8,
        out: *mut *mut Ivf,
    ) -> c_int;
    fn genai_free(ivf: *mut Ivf);
    fn genai_allocate_lists(message: *mut Message, ivf: *mut Ivf, starts: *const u32) -> c_int;
    fn genai_pack(message: *mut Message, ivf: *mut Ivf, flat: *const u8) -> c_int;
    fn genai_unpack(message: *mut Message, ivf: *const Ivf, list: usize, flat: *mut u8) -> c_int;
    fn genai_centroids(ivf: *const Ivf) -> *const u8;
    fn genai_codebooks(ivf: *const Ivf) -> *const u8;
    fn genai_codes(ivf: *const Ivf) -> *const u8;
    fn genai_codes_mut(ivf: *mut Ivf) -> *mut u8;
    fn genai_assign(
        message: *mut Message,
        ivf: *const Ivf,
        rows: usize,
        values: *const c_float,
        lists: *mut u32,
    ) -> c_int;
    fn genai_encode(
        message: *mut Message,
        ivf: *const Ivf,
        rows: usize,
        values: *const c_float,
        codes: *mut u8,
    ) -> c_int;
    fn genai_coarse_distances(
        message: *mut Message,
        ivf: *const Ivf,
        query: *const c_float,
        distances: *mut c_float,
    ) -> c_int;
    fn genai_search(
        message: *mut Message,
        ivf: *const Ivf,
        query: *const c_float,
        probes: usize,
        lists: *const u32,
        k: usize,
        selector: *const u8,
        selector_bytes: usize,
        rows: *mut u32,
        estimates: *mut c_float,
        found: *mut usize,
    ) -> c_int;
}

/// Runs one call of the shim and turns its message into an error.
fn call(shim: impl FnOnce(*mut Message) -> c_int) -> Result<(), IvfError> {
    let mut message: Message = [0; 512];
    if shim(&raw mut message) == 0 {
        return Ok(());
    }
    let text: Vec<u8> = message
        .iter()
        .take_while(|&&byte| byte != 0)
        .map(|&byte| byte as u8)
        .collect();
    Err(IvfError::Faiss(String::from_utf8_lossy(&text).into_owned()))
}

/// What to look for in a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clusters {
    /// Values in a row.
    pub(super) dimension: usize,
    /// Centroids.
    pub(super) count: usize,
    /// With inner products the centroids are normalized.
    pub(super) metric: Metric,
    /// Rounds.
    pub(super) rounds: u32,
    /// Folded to 31 bits: FAISS takes an int, and a negative one for the clock.
    pub(super) seed: u64,
}

/// k-means. `sample` is at least `count` whole rows of values up to `Shape::largest_value`: beyond, FAISS never
/// returns.
pub(super) fn cluster(clusters: Clusters, sample: &[f32]) -> Result<Vec<f32>, IvfError> {
    let mut centroids = vec![0.0; clusters.count * clusters.dimension];
    // SAFETY: the shim reads `rows` x dimension values of the sample and writes count x dimension centroids.
    call(|message| unsafe {
        genai_cluster(
            message,
            clusters.dimension,
            clusters.count,
            inner_product(clusters.metric),
            clusters.rounds as c_int,
            folded(clusters.seed),
            sample.len() / clusters.dimension,
            sample.as_ptr(),
            centroids.as_mut_ptr(),
        )
    })?;
    Ok(centroids)
}

fn folded(seed: u64) -> c_int {
    ((seed ^ (seed >> 31) ^ (seed >> 62)) & 0x7fff_ffff) as c_int
}

fn inner_product(metric: Metric) -> c_int {
    c_int::from(metric == Metric::InnerProduct)
}

/// The bytes of f32 values, little-endian on every machine this builds for.
pub(super) fn bytes_of(values: &[f32]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little"), "FAISS files are little-endian") };
    // SAFETY: every byte of an f32 is initialized, and u8 needs no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The other way round.
pub(super) fn values_of(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|value| f32::from_le_bytes(*value))
        .collect()
}

/// Trained quantizers and, once allocated, lists of codes. Owns the shim's object.
#[derive(Debug)]
pub(super) struct Native {
    ivf: NonNull<Ivf>,
    shape: Shape,
    starts: ListStarts,
}

// SAFETY: the object belongs to nobody else, and nothing in it is tied to a thread.
unsafe impl Send for Native {}
// SAFETY: the shim's functions that take a const object change nothing in it; FAISS's searches are const and keep their
// state on the stack and the heap of the call. (They also add to global counters, which nothing reads.)
unsafe impl Sync for Native {}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: made by genai_new, freed once.
        unsafe { genai_free(self.ivf.as_ptr()) }
    }
}

impl Native {
    /// Copies the quantizers, the bytes of f32 values as `shape` says.
    pub(super) fn new(shape: Shape, centroids: &[u8], codebooks: &[u8]) -> Result<Self, IvfError> {
        shape.check()?;
        let expected = [shape.centroid_values(), shape.codebook_values()].map(|values| values * size_of::<f32>());
        if [centroids.len(), codebooks.len()] != expected {
            return Err(IvfError::input("quantizers of another shape"));
        }
        let mut out = std::ptr::null_mut();
        // SAFETY: the shim copies as many values as were just counted, and writes an object only when it returns 0.
        call(|message| unsafe {
            genai_new(
                message,
                shape.dimension,
                inner_product(shape.metric),
                shape.nlist,
                shape.code.m(),
                shape.code.bits(),
                c_int::from(shape.code.is_residual()),
                centroids.as_ptr(),
                codebooks.as_ptr(),
                &raw mut out,
            )
        })?;
        let ivf = NonNull::new(out).ok_or_else(|| IvfError::Faiss("no object".to_owned()))?;
        Ok(Self {
            ivf,
            shape,
            starts: ListStarts::empty(shape.nlist),
        })
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn starts(&self) -> &ListStarts {
        &self.starts
    }

    pub(super) fn centroid_bytes(&self) -> &[u8] {
        let bytes = self.shape.centroid_values() * size_of::<f32>();
        // SAFETY: the object holds that many centroids for as long as it lives, and nothing changes them.
        unsafe { std::slice::from_raw_parts(genai_centroids(self.ivf.as_ptr()), bytes) }
    }

    pub(super) fn codebook_bytes(&self) -> &[u8] {
        let bytes = self.shape.codebook_values() * size_of::<f32>();
        // SAFETY: as for the centroids.
        unsafe { std::slice::from_raw_parts(genai_codebooks(self.ivf.as_ptr()), bytes) }
    }

    /// Makes room for rows: all codes are zero afterwards.
    pub(super) fn allocate_lists(&mut self, starts: ListStarts) -> Result<(), IvfError> {
        if starts.as_slice().len() != self.shape.nlist + 1 {
            return Err(IvfError::input("list starts of another shape"));
        }
        // SAFETY: the shim reads nlist + 1 ascending starts, which `ListStarts` guarantees.
        call(|message| unsafe { genai_allocate_lists(message, self.ivf.as_ptr(), starts.as_slice().as_ptr()) })?;
        self.starts = starts;
        Ok(())
    }

    fn codes_len(&self) -> usize {
        self.starts.sizes().map(|rows| self.shape.code.list_bytes(rows)).sum()
    }

    /// The codes of all lists, as FAISS keeps them in memory.
    pub(super) fn codes(&self) -> &[u8] {
        match self.codes_len() {
            0 => &[],
            // SAFETY: the shim has allocated as many bytes for these starts, and initialized them.
            len => unsafe { std::slice::from_raw_parts(genai_codes(self.ivf.as_ptr()), len) },
        }
    }

    /// The codes of each list, as FAISS keeps them in memory.
    pub(super) fn lists(&self) -> impl Iterator<Item = &[u8]> {
        let code = self.shape.code;
        let mut rest = self.codes();
        self.starts.sizes().map(move |rows| {
            let (list, others) = rest.split_at_checked(code.list_bytes(rows)).unwrap_or((rest, &[]));
            rest = others;
            list
        })
    }

    /// Copies codes that are already as FAISS keeps them in memory; all lists together are as long as the codes.
    pub(super) fn copy_lists(&mut self, lists: &[&[u8]]) {
        let len = self.codes_len();
        if len == 0 {
            return;
        }
        // SAFETY: as in `codes`; the object is borrowed mutably.
        let mut rest = unsafe { std::slice::from_raw_parts_mut(genai_codes_mut(self.ivf.as_ptr()), len) };
        for list in lists {
            let Some((place, others)) = rest.split_at_mut_checked(list.len()) else {
                return;
            };
            place.copy_from_slice(list);
            rest = others;
        }
    }

    /// Fills the lists from the rows' codes, which follow each other as the rows do.
    pub(super) fn pack(&mut self, flat: &[u8]) -> Result<(), IvfError> {
        if flat.len() != self.starts.rows() * self.shape.code.bytes() {
            return Err(IvfError::input("codes of another shape"));
        }
        // SAFETY: the shim reads one code for each row that was allocated.
        call(|message| unsafe { genai_pack(message, self.ivf.as_ptr(), flat.as_ptr()) })
    }

    /// The codes of one list's rows.
    pub(super) fn unpack(&self, list: u32) -> Result<Vec<u8>, IvfError> {
        let mut flat = vec![0; self.starts.size(list) * self.shape.code.bytes()];
        if !flat.is_empty() {
            // SAFETY: the list exists, for it has rows; the shim writes one code for each.
            call(|message| unsafe { genai_unpack(message, self.ivf.as_ptr(), list as usize, flat.as_mut_ptr()) })?;
        }
        Ok(flat)
    }

    /// The nearest centroid of each row.
    pub(super) fn assign(&self, rows: &[f32]) -> Result<Vec<u32>, IvfError> {
        let count = rows.len() / self.shape.dimension;
        let mut lists = vec![0; count];
        // SAFETY: the shim reads `count` rows and writes a list for each.
        call(|message| unsafe { genai_assign(message, self.ivf.as_ptr(), count, rows.as_ptr(), lists.as_mut_ptr()) })?;
        Ok(lists)
    }

    /// The code of each row.
    pub(super) fn encode(&self, rows: &[f32]) -> Result<Vec<u8>, IvfError> {
        let count = rows.len() / self.shape.dimension;
        let code = self.shape.code;
        if code.bits() == 4 {
            let columns = Columns::new(&values_of(self.codebook_bytes()), self.shape.dimension / code.m());
            let mut codes = Vec::with_capacity(count * code.bytes());
            for row in rows.chunks_exact(self.shape.dimension) {
                columns.encode(row, &mut codes);
            }
            return Ok(codes);
        }
        let mut codes = vec![0; count * code.bytes()];
        // SAFETY: the shim reads `count` rows and writes a code for each.
        call(|message| unsafe { genai_encode(message, self.ivf.as_ptr(), count, rows.as_ptr(), codes.as_mut_ptr()) })?;
        Ok(codes)
    }

    fn check_query(&self, query: &[f32]) -> Result<(), IvfError> {
        let dimension = self.shape.dimension;
        match query.len() == dimension {
            true => Ok(()),
            false => Err(IvfError::input(format!(
                "a query of {} values, not {dimension}",
                query.len()
            ))),
        }
    }

    /// The distance to each centroid.
    pub(super) fn coarse_distances(&self, query: &[f32], out: &mut Vec<f32>) -> Result<(), IvfError> {
        self.check_query(query)?;
        out.resize(self.shape.nlist, 0.0);
        // SAFETY: the shim reads one row and writes nlist distances.
        call(|message| unsafe { genai_coarse_distances(message, self.ivf.as_ptr(), query.as_ptr(), out.as_mut_ptr()) })
    }

    /// `lists` exist and differ, 0 < k <= rows, and the selector has a bit for each row. Replaces `estimates`, if any,
    /// by the distances that the codes tell, one for each row returned.
    pub(super) fn search(
        &self,
        query: &[f32],
        lists: &[u32],
        k: usize,
        selector: Option<&[u8]>,
        mut estimates: Option<&mut Vec<f32>>,
    ) -> Result<Vec<u32>, IvfError> {
        self.check_query(query)?;
        let mut rows = vec![0; k];
        let mut found = 0;
        let estimates_out = estimates.as_deref_mut().map_or(std::ptr::null_mut(), |estimates| {
            estimates.resize(k, 0.0);
            estimates.as_mut_ptr()
        });
        // SAFETY: lengths are passed with their pointers; the shim writes at most k rows, as many estimates where there
        // is room for k, and how many.
        call(|message| unsafe {
            genai_search(
                message,
                self.ivf.as_ptr(),
                query.as_ptr(),
                lists.len(),
                lists.as_ptr(),
                k,
                selector.map_or(std::ptr::null(), <[u8]>::as_ptr),
                selector.map_or(0, <[u8]>::len),
                rows.as_mut_ptr(),
                estimates_out,
                &raw mut found,
            )
        })?;
        rows.truncate(found);
        if let Some(estimates) = estimates {
            estimates.truncate(found);
        }
        Ok(rows)
    }
}
