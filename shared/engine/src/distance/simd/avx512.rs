//! Sixteen lanes in one register.

use std::arch::x86_64::*;

type V = __m512;

super::sums!(HasAvx512, "avx512f", 4);

#[target_feature(enable = "avx512f")]
#[inline]
fn zero() -> V {
    _mm512_setzero_ps()
}

/// # Safety
/// 64 bytes can be read at `bytes`.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load(bytes: *const u8) -> V {
    // SAFETY: as promised; no alignment needed.
    unsafe { _mm512_loadu_ps(bytes.cast()) }
}

/// The next `values` (below 16) values and zeros.
///
/// # Safety
/// `values` values can be read at `bytes`.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load_rest(bytes: *const u8, values: usize) -> V {
    let mask = (1_u16 << (values & 15)) - 1;
    // SAFETY: lanes outside the mask are not read.
    unsafe { _mm512_maskz_loadu_ps(mask, bytes.cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn fma(left: V, right: V, sum: V) -> V {
    _mm512_fmadd_ps(left, right, sum)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn sub(left: V, right: V) -> V {
    _mm512_sub_ps(left, right)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn reduce(lanes: V) -> f32 {
    let low = _mm512_castps512_ps256(lanes);
    let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(lanes)));
    super::avx2::reduce_eight(_mm256_add_ps(low, high))
}
