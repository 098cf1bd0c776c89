//! The BLAS and LAPACK names that FAISS links against.
//!
//! Training and assignment call `sgemm_` and nothing else. `matrixmultiply` is behind it: no threads, no environment
//! variables, 25 MB less than OpenBLAS. And its products have the same bits whatever the CPU's vectors (AVX2, AVX-512)
//! and the sizes of the matrices: training gives the same bytes everywhere, and a row's list does not depend on the
//! rows it is assigned with.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

/// The product of each row of `left` with each row of `right`, all of `width` values: row i of `out` is that of row i
/// of `left`. Rows for which there is no room in `out` are left out.
///
/// An element is off by at most about width x 2^-24 of the sum of its products' sizes.
pub fn products(width: usize, left: &[f32], right: &[f32], out: &mut [f32]) {
    let columns = right.len().checked_div(width).unwrap_or(0);
    let rows = left.len().checked_div(width).unwrap_or(0);
    let rows = rows.min(out.len().checked_div(columns).unwrap_or(0));
    let (Ok(row_stride), Ok(out_stride)) = (isize::try_from(width), isize::try_from(columns)) else {
        return;
    };
    // SAFETY: `left` has at least `rows`, `right` at least `columns` rows of `width` values, `out` has `rows` x `columns`.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            width,
            columns,
            1.0,
            left.as_ptr(),
            row_stride,
            1,
            right.as_ptr(),
            1,
            row_stride,
            0.0,
            out.as_mut_ptr(),
            out_stride,
            1,
        );
    }
}

/// C := alpha op(A) op(B) + beta C, column-major, op being the identity or the transpose.
///
/// # Safety
/// As for BLAS: the matrices are as large as the sizes say, and C overlaps nothing.
#[unsafe(no_mangle)]
unsafe extern "C" fn sgemm_(
    transpose_a: *const c_char,
    transpose_b: *const c_char,
    m: *const c_int,
    n: *const c_int,
    k: *const c_int,
    alpha: *const f32,
    a: *const f32,
    lda: *const c_int,
    b: *const f32,
    ldb: *const c_int,
    beta: *const f32,
    c: *mut f32,
    ldc: *const c_int,
) -> c_int {
    // Row stride and column stride of op(matrix).
    let strides = |transpose: *const c_char, leading: *const c_int| {
        // SAFETY: BLAS passes both by reference.
        let (transpose, leading) = unsafe { (*transpose as u8, *leading as isize) };
        match transpose {
            b'N' | b'n' => (1, leading),
            _ => (leading, 1),
        }
    };
    let (a_row, a_column) = strides(transpose_a, lda);
    let (b_row, b_column) = strides(transpose_b, ldb);
    // SAFETY: the caller's promise.
    unsafe {
        matrixmultiply::sgemm(
            *m as usize,
            *k as usize,
            *n as usize,
            *alpha,
            a,
            a_row,
            a_column,
            b,
            b_row,
            b_column,
            *beta,
            c,
            1,
            *ldc as isize,
        );
    }
    0
}

/// Names that only quantizers call which this room does not use (OPQ, PCA, ITQ, additive): they end the process.
macro_rules! unused {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            eprintln!(concat!(stringify!($name), " is not linked in: no quantizer in use needs it"));
            std::process::abort()
        }
    )*};
}

unused! {
    dgemm_ dgesvd_ dgetrf_ dgetri_ dsyev_ sgelsd_ sgeqrf_ sgesvd_ sgetrf_ sgetri_ sorgqr_ ssyrk_
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::{products, sgemm_};

    /// What an element is on every CPU with fused multiply-add: chains of 256 products, added up.
    fn chained(row: &[f32], column: &[f32]) -> f32 {
        let chain =
            |(row, column): (&[f32], &[f32])| row.iter().zip(column).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum));
        row.chunks(256).zip(column.chunks(256)).map(chain).sum()
    }

    #[test]
    fn each_row_is_multiplied_with_each() {
        let (left, right) = ([1.0, 2.0, 3.0, 4.0], [10.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        let mut out = [0.0; 7];
        products(2, &left, &right, &mut out);
        assert_eq!(out, [12.0, 2.0, 3.0, 34.0, 4.0, 7.0, 0.0]);
        let mut short = [0.0; 5];
        products(2, &left, &right, &mut short);
        assert_eq!(short, [12.0, 2.0, 3.0, 0.0, 0.0]);
        products(0, &left, &right, &mut out);
        products(2, &left, &[], &mut out);
    }

    #[test]
    fn products_have_the_bits_of_a_plain_chain() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (m, n, k) in [
            (1, 1, 1),
            (7, 1, 3),
            (1, 9, 300),
            (65, 33, 97),
            (130, 20, 512),
            (33, 1, 4096),
        ] {
            let mut values =
                |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            // As FAISS calls it: both row by row, the product of each row of `a` with each row of `b`.
            let (a, b, mut c) = (values(m * k), values(n * k), vec![f32::NAN; m * n]);
            // SAFETY: the sizes are those of the vectors.
            unsafe {
                sgemm_(
                    c"Transpose".as_ptr(),
                    c"Not transposed".as_ptr(),
                    &(m as i32),
                    &(n as i32),
                    &(k as i32),
                    &1.0,
                    a.as_ptr(),
                    &(k as i32),
                    b.as_ptr(),
                    &(k as i32),
                    &0.0,
                    c.as_mut_ptr(),
                    &(m as i32),
                );
            }
            for (j, b) in b.chunks(k).enumerate() {
                for (i, a) in a.chunks(k).enumerate() {
                    assert_eq!(c[j * m + i].to_bits(), chained(a, b).to_bits(), "{m} x {n} x {k}");
                }
            }
        }
    }
}
