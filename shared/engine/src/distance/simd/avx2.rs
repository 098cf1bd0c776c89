//! Sixteen lanes in two registers.

use std::arch::x86_64::*;

#[derive(Clone, Copy)]
struct V(__m256, __m256);

super::sums!(HasAvx2, "avx2,fma", 2);

#[target_feature(enable = "avx2,fma")]
#[inline]
fn zero() -> V {
    V(_mm256_setzero_ps(), _mm256_setzero_ps())
}

/// # Safety
/// 64 bytes can be read at `bytes`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn load(bytes: *const u8) -> V {
    // SAFETY: as promised; no alignment needed.
    unsafe { V(_mm256_loadu_ps(bytes.cast()), _mm256_loadu_ps(bytes.add(32).cast())) }
}

/// The next `values` (below 16) values and zeros.
///
/// # Safety
/// `values` values can be read at `bytes`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn load_rest(bytes: *const u8, values: usize) -> V {
    let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let values = _mm256_set1_epi32((values & 15) as i32);
    let low = _mm256_cmpgt_epi32(values, numbers);
    let high = _mm256_cmpgt_epi32(values, _mm256_add_epi32(numbers, _mm256_set1_epi32(8)));
    // The second address may lie behind the slice, hence the wrapping sum; then its mask is empty.
    let second = bytes.wrapping_add(32);
    // SAFETY: lanes outside the masks are not read.
    unsafe {
        V(
            _mm256_maskload_ps(bytes.cast(), low),
            _mm256_maskload_ps(second.cast(), high),
        )
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn fma(left: V, right: V, sum: V) -> V {
    V(
        _mm256_fmadd_ps(left.0, right.0, sum.0),
        _mm256_fmadd_ps(left.1, right.1, sum.1),
    )
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn sub(left: V, right: V) -> V {
    V(_mm256_sub_ps(left.0, right.0), _mm256_sub_ps(left.1, right.1))
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn reduce(lanes: V) -> f32 {
    reduce_eight(_mm256_add_ps(lanes.0, lanes.1))
}

/// The tree below the first level: 4, 2 and 1 apart.
#[target_feature(enable = "avx")]
#[inline]
pub(super) fn reduce_eight(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
