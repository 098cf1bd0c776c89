//! The bytes of an index file, as FAISS 1.12's `write_index` writes them (its impl/index_write.cpp; little-endian).
//!
//! The file is: a head that follows from the shape and the number of rows alone, with the centroids and the codebooks
//! in it; then the lists. FAISS's reader trusts its input (sizes up to 2^40 are allocated, lists that contradict the
//! header crash the search), so this one does not use it: the few fields that say what the file is are read first, then
//! everything that follows from them must be exactly what the writer would have written.

use super::generation::ListStarts;
use super::native::Native;
use super::{BLOCK_ROWS, Code, IvfError, Metric, Shape};

/// Two fields of every header that FAISS no longer uses.
const UNUSED: i64 = 1 << 20;
/// Where, in what stands before the codebooks, the file says whether codes are residuals.
const BY_RESIDUAL: usize = 9;
/// FAISS's `InvertedLists::INVALID_CODE_SIZE`: blocks have no code size.
const NO_CODE_SIZE: u64 = u64::MAX;

/// A file that says what it should.
pub(super) struct Parsed<'a> {
    pub(super) shape: Shape,
    /// `nlist` x `dimension` f32.
    pub(super) centroids: &'a [u8],
    /// `m` x codewords x values f32.
    pub(super) codebooks: &'a [u8],
    pub(super) starts: ListStarts,
    /// The codes of each list, as FAISS keeps them in memory.
    pub(super) lists: Vec<&'a [u8]>,
}

impl Parsed<'_> {
    pub(super) fn rows(&self) -> usize {
        self.starts.rows()
    }
}

/// Writes a FAISS index file.
pub(super) fn write(native: &Native) -> Vec<u8> {
    let shape = native.shape();
    let starts = native.starts();
    let floats = native.centroid_bytes().len() + native.codebook_bytes().len();
    let lists = native.codes().len() + starts.rows() * size_of::<i64>() + shape.nlist * 2 * size_of::<u64>();
    let mut out = Vec::with_capacity(512 + floats + lists);
    let [before_centroids, before_codebooks, before_lists] = frames(&shape, starts.rows());
    out.extend(before_centroids);
    out.extend_from_slice(native.centroid_bytes());
    out.extend(before_codebooks);
    out.extend_from_slice(native.codebook_bytes());
    out.extend(before_lists);
    if let Code::Pq8 { .. } = shape.code {
        for rows in starts.sizes() {
            put_len(&mut out, rows);
        }
    }
    let mut first = 0;
    for (rows, codes) in starts.sizes().zip(native.lists()) {
        let ids = (first..first + rows as i64).flat_map(i64::to_le_bytes);
        match shape.code {
            Code::Pq4 { .. } | Code::Pq4Residual { .. } => {
                put_len(&mut out, rows);
                out.extend(ids);
                put_len(&mut out, codes.len());
                out.extend_from_slice(codes);
            }
            Code::Pq8 { .. } => {
                out.extend_from_slice(codes);
                out.extend(ids);
            }
        }
        first += rows as i64;
    }
    out
}

/// Reads a FAISS index file; see the module's documentation for what it accepts.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, IvfError> {
    let (shape, rows) = peek(bytes)?;
    let mut reader = Reader { rest: bytes };
    let [before_centroids, before_codebooks, before_lists] = frames(&shape, rows);
    reader.exactly(&before_centroids, "header")?;
    let centroids = reader.floats(shape.centroid_values())?;
    reader.exactly(&before_codebooks, "header of the codebooks")?;
    let codebooks = reader.floats(shape.codebook_values())?;
    reader.exactly(&before_lists, "header of the lists")?;
    let (sizes, lists) = match shape.code {
        Code::Pq4 { .. } | Code::Pq4Residual { .. } => read_blocks(&mut reader, &shape)?,
        Code::Pq8 { .. } => read_arrays(&mut reader, &shape)?,
    };
    if !reader.rest.is_empty() {
        return Err(corrupt(format!("{} bytes left over", reader.rest.len())));
    }
    let total: usize = sizes.iter().sum();
    if total != rows {
        return Err(corrupt(format!("{total} rows in the lists, {rows} in the header")));
    }
    let mut starts = vec![0];
    let mut next = 0_u32;
    for size in sizes {
        next += size as u32; // the sum is `rows`, checked by peek to fit
        starts.push(next);
    }
    Ok(Parsed {
        shape,
        centroids,
        codebooks,
        starts: ListStarts::new(starts, shape.nlist).map_err(IvfError::Corrupt)?,
        lists,
    })
}

/// Each list is its ids, then blocks of 32 rows.
fn read_blocks<'a>(reader: &mut Reader<'a>, shape: &Shape) -> Result<(Vec<usize>, Vec<&'a [u8]>), IvfError> {
    let mut sizes = Vec::new();
    let mut lists = Vec::new();
    let mut first = 0;
    for _ in 0..shape.nlist {
        let rows = reader.len()?;
        reader.ids(first, rows)?;
        let bytes = reader.len()?;
        // Within bounds: `ids` has found 8 bytes for each row.
        if bytes != shape.code.list_bytes(rows) {
            return Err(corrupt(format!("{bytes} bytes of codes for {rows} rows")));
        }
        lists.push(reader.take(bytes)?);
        sizes.push(rows);
        first += rows;
    }
    Ok((sizes, lists))
}

/// The sizes of all lists, then each list's codes and ids.
fn read_arrays<'a>(reader: &mut Reader<'a>, shape: &Shape) -> Result<(Vec<usize>, Vec<&'a [u8]>), IvfError> {
    let mut sizes = Vec::new();
    for _ in 0..shape.nlist {
        sizes.push(reader.len()?);
    }
    let mut lists = Vec::new();
    let mut first: usize = 0;
    for &rows in &sizes {
        let bytes = rows
            .checked_mul(shape.code.bytes())
            .ok_or_else(|| corrupt(format!("a list of {rows} rows")))?;
        lists.push(reader.take(bytes)?);
        reader.ids(first, rows)?;
        first += rows;
    }
    Ok((sizes, lists))
}

/// The fields that decide all others: kind, dimension, rows, metric, lists, sub-quantizers.
fn peek(bytes: &[u8]) -> Result<(Shape, usize), IvfError> {
    let mut reader = Reader { rest: bytes };
    let kind = reader.array::<4>()?;
    let dimension = u32::from_le_bytes(reader.array()?) as usize;
    let rows = reader.len()?;
    reader.take(2 * size_of::<i64>() + 1)?;
    let metric = match i32::from_le_bytes(reader.array()?) {
        0 => Metric::InnerProduct,
        1 => Metric::L2,
        other => return Err(corrupt(format!("metric {other}"))),
    };
    let nlist = reader.len()?;
    let code = |m: usize, by_residual: bool| match (&kind, by_residual) {
        (b"IwPf", false) => Ok(Code::Pq4 { m }),
        (b"IwPf", true) => Ok(Code::Pq4Residual { m }),
        (b"IwPQ", false) => Ok(Code::Pq8 { m }),
        _ => Err(corrupt("neither IndexIVFPQFastScan nor a plain IndexIVFPQ".to_owned())),
    };
    let mut shape = Shape {
        dimension,
        metric,
        nlist,
        code: code(1, false)?,
    };
    // m comes after the centroids, whose size must therefore be plausible first.
    shape.check().map_err(|error| corrupt(error.to_string()))?;
    let [before_centroids, before_codebooks, _] = frames(&shape, rows);
    let mut reader = Reader { rest: bytes };
    reader.take(before_centroids.len())?;
    reader.floats(shape.centroid_values())?;
    let frame = Reader {
        rest: reader.take(before_codebooks.len())?,
    };
    let by_residual = frame.rest.get(BY_RESIDUAL) == Some(&1);
    shape.code = code(frame.sub_quantizers()?, by_residual)?;
    shape.check().map_err(|error| corrupt(error.to_string()))?;
    match u32::try_from(rows) {
        Ok(_) => Ok((shape, rows)),
        Err(_) => Err(corrupt(format!("{rows} rows"))),
    }
}

/// What stands before the centroids, the codebooks and the lists.
fn frames(shape: &Shape, rows: usize) -> [Vec<u8>; 3] {
    let code_size = shape.code.bytes();
    let m = shape.code.m();
    let mut head = Vec::new();
    head.extend(match shape.code {
        Code::Pq4 { .. } | Code::Pq4Residual { .. } => b"IwPf",
        Code::Pq8 { .. } => b"IwPQ",
    });
    put_index_header(&mut head, shape, rows);
    put_len(&mut head, shape.nlist);
    put_len(&mut head, 1); // FAISS's default nprobe
    head.extend(match shape.metric {
        Metric::InnerProduct => b"IxFI",
        Metric::L2 => b"IxF2",
    });
    put_index_header(&mut head, shape, shape.nlist);
    put_len(&mut head, shape.centroid_values());

    let mut quantizer = Vec::new();
    quantizer.push(0); // no direct map
    put_len(&mut quantizer, 0);
    quantizer.push(u8::from(shape.code.is_residual())); // at BY_RESIDUAL
    put_len(&mut quantizer, code_size);
    if let Code::Pq4 { .. } | Code::Pq4Residual { .. } = shape.code {
        quantizer.extend((BLOCK_ROWS as u32).to_le_bytes());
        put_len(&mut quantizer, m.next_multiple_of(2));
        quantizer.extend(0_u32.to_le_bytes()); // implem: chosen by FAISS
        put_len(&mut quantizer, 0); // qbs2: chosen by FAISS
    }
    for value in [shape.dimension, m, shape.code.bits(), shape.codebook_values()] {
        put_len(&mut quantizer, value);
    }

    let mut lists = Vec::new();
    match shape.code {
        Code::Pq4 { .. } | Code::Pq4Residual { .. } => {
            lists.extend(b"ilbl");
            put_len(&mut lists, shape.nlist);
            lists.extend(NO_CODE_SIZE.to_le_bytes());
            put_len(&mut lists, BLOCK_ROWS);
            put_len(&mut lists, BLOCK_ROWS * code_size);
        }
        Code::Pq8 { .. } => {
            lists.extend(b"ilar");
            put_len(&mut lists, shape.nlist);
            put_len(&mut lists, code_size);
            lists.extend(b"full");
            put_len(&mut lists, shape.nlist);
        }
    }
    [head, quantizer, lists]
}

fn put_index_header(out: &mut Vec<u8>, shape: &Shape, rows: usize) {
    out.extend((shape.dimension as u32).to_le_bytes());
    put_len(out, rows);
    out.extend(UNUSED.to_le_bytes());
    out.extend(UNUSED.to_le_bytes());
    out.push(1); // trained
    let metric: i32 = match shape.metric {
        Metric::InnerProduct => 0,
        Metric::L2 => 1,
    };
    out.extend(metric.to_le_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend((len as u64).to_le_bytes());
}

fn corrupt(what: String) -> IvfError {
    IvfError::Corrupt(what)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], IvfError> {
        let left = self.rest.len();
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| corrupt(format!("{left} bytes, not {len}")))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IvfError> {
        let left = self.rest.len();
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| corrupt(format!("{left} bytes, not {N}")))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn len(&mut self) -> Result<usize, IvfError> {
        let value = u64::from_le_bytes(self.array()?);
        usize::try_from(value).map_err(|_| corrupt(format!("length {value}")))
    }

    fn floats(&mut self, count: usize) -> Result<&'a [u8], IvfError> {
        let bytes = count
            .checked_mul(size_of::<f32>())
            .ok_or_else(|| corrupt(format!("{count} values")))?;
        self.take(bytes)
    }

    fn exactly(&mut self, expected: &[u8], what: &str) -> Result<(), IvfError> {
        match self.take(expected.len())? == expected {
            true => Ok(()),
            false => Err(corrupt(format!("{what} not as written"))),
        }
    }

    /// `rows` ids that must be the row numbers from `first`.
    fn ids(&mut self, first: usize, rows: usize) -> Result<(), IvfError> {
        let bytes = rows
            .checked_mul(size_of::<i64>())
            .ok_or_else(|| corrupt(format!("a list of {rows} rows")))?;
        let (ids, _) = self.take(bytes)?.as_chunks();
        let in_order = ids
            .iter()
            .zip(first as i64..)
            .all(|(id, row)| i64::from_le_bytes(*id) == row);
        match in_order {
            true => Ok(()),
            false => Err(corrupt("ids are not row numbers".to_owned())),
        }
    }

    /// The number of sub-quantizers, from the end of what stands before the codebooks: dimension, m, bits, values.
    fn sub_quantizers(mut self) -> Result<usize, IvfError> {
        let before = self.rest.len().saturating_sub(3 * size_of::<u64>());
        self.take(before)?;
        self.len()
    }
}
