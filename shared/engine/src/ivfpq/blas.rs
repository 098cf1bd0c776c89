//! The BLAS and LAPACK names that FAISS links against.
//!
//! Training and assignment call `sgemm_` and nothing else. `matrixmultiply` is behind it: no threads, no environment
//! variables, 25 MB less than OpenBLAS; and an element of its product depends on its row and its column alone, not on
//! the size of the matrices, so that a row's list does not depend on the rows it is assigned with.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

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
