//! The key filter inside `keys.fst`: a split-block Bloom filter that is quick to say "not here".
//!
//! Blocks of eight u32 words (32 bytes, one cache line at most twice); a key picks one block and one bit in each of
//! its words. About 10 bits per key: a false "maybe" for fewer than 2 keys in 100.

use crate::binary::u32_at;

const BLOCK: usize = 32;
const BITS_PER_KEY: usize = 10;
/// Odd multipliers, one per word; the ones of Parquet's own filter.
const SALT: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of a key that the filters of all shards share; part of the format.
#[must_use]
pub fn key_hash(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let mut hash = (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        hash = step(hash, u64::from_le_bytes(*chunk));
    }
    let mut last = [0u8; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    hash = step(hash, u64::from_le_bytes(last));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn step(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(MULTIPLIER);
    mixed ^ (mixed >> 32)
}

fn block_of(hash: u64, blocks: usize) -> usize {
    // The upper half picks the block, so that the lower half is free to pick the bits.
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

fn mask(hash: u64, salt: u32) -> u32 {
    1 << ((hash as u32).wrapping_mul(salt) >> 27)
}

/// Bytes of the filter for this many keys.
pub(super) fn size(keys: usize) -> usize {
    (keys * BITS_PER_KEY).div_ceil(BLOCK * 8).max(1) * BLOCK
}

/// Notes a key in a filter of `size` bytes.
pub(super) fn insert(filter: &mut [u8], hash: u64) {
    let block = block_of(hash, filter.len() / BLOCK) * BLOCK;
    let words = filter.get_mut(block..).unwrap_or_default().as_chunks_mut::<4>().0;
    for (word, salt) in words.iter_mut().zip(SALT) {
        *word = (u32::from_le_bytes(*word) | mask(hash, salt)).to_le_bytes();
    }
}

/// May the key be there?
pub(super) fn contains(filter: &[u8], hash: u64) -> bool {
    let block = block_of(hash, filter.len() / BLOCK) * BLOCK;
    let words = filter.get(block..).unwrap_or_default();
    SALT.iter()
        .enumerate()
        .all(|(i, salt)| u32_at(words, i).is_none_or(|word| word & mask(hash, *salt) != 0))
}
