//! What may be tuned, and the numbers that follow from rows and dimension.

use format::{IvfCode, IvfCodeKind};

/// Values from which sub-quantizers of two, and then of four values are tried first: below, a code that resolves
/// single values is small enough.
const WIDE: usize = 32;
const NARROW: usize = 8;
/// Most lists that a generation has.
const MOST_LISTS: usize = 16_384;
/// Training needs this many rows for each list at least; fewer rows get fewer lists.
const LEAST_ROWS_PER_LIST: usize = 16;
/// Codewords of an 8-bit sub-quantizer, and so the rows that its training needs.
const PQ8_CODEWORDS: usize = 256;

/// How IVF-PQ shards are built. The names are those of the older production guide where it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct IvfConfig {
    /// Lists of a generation; chosen from the rows when absent.
    pub nlist: Option<usize>,
    /// Sub-quantizers; chosen from the dimension, and by trying, when absent.
    pub m: Option<usize>,
    /// 4-bit fast scan, of the rows or of their difference from the centroid, or 8-bit.
    pub code: IvfCodeKind,
    /// Rows handed to FAISS at a time.
    pub batch_size: usize,
    /// Training rows for each list.
    pub sample_per_list: usize,
    /// Rows of a shard that serve as queries when its recall is measured, at most.
    pub recall_queries: usize,
    /// A new generation is trained when the index has grown by this factor.
    pub retrain_growth: u64,
    /// Bytes that training rows may take.
    pub sample_bytes: u64,
}

impl Default for IvfConfig {
    fn default() -> Self {
        Self {
            nlist: None,
            m: None,
            code: IvfCodeKind::Pq4,
            batch_size: 4_096,
            sample_per_list: 40,
            recall_queries: 256,
            retrain_growth: 4,
            sample_bytes: 256 << 20,
        }
    }
}

/// How shards are searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchTuning {
    /// The recall to aim for, 0 to 1.
    pub target_recall: f64,
    /// Lists to visit instead of what the curves say.
    pub nprobe: Option<u32>,
    /// Candidates per answer to compare exactly instead of what the curves say.
    pub rerank_depth: Option<u32>,
    /// Scan everything: what recall is measured against.
    pub exact: bool,
}

impl Default for SearchTuning {
    fn default() -> Self {
        Self {
            target_recall: 0.98,
            nprobe: None,
            rerank_depth: None,
            exact: false,
        }
    }
}

impl IvfConfig {
    /// Lists for a generation that is trained when the index has `rows` rows, from a sample of at most `available`
    /// rows. Twice the root of the rows: between trainings the rows grow by `retrain_growth`.
    pub fn lists(&self, rows: u64, available: usize) -> usize {
        let by_rows = (2.0 * (rows as f64).sqrt()) as usize;
        let wanted = self.nlist.unwrap_or(by_rows.next_multiple_of(16));
        let trainable = (available / LEAST_ROWS_PER_LIST).max(1);
        wanted.clamp(1, MOST_LISTS).min(trainable)
    }

    /// The dimension padded with zeros to whole sub-quantizers, and the codes to try, the smallest first: the first
    /// that finds what it should is taken. `available` rows are there to train from.
    pub fn codes(&self, dimension: usize, available: usize) -> (usize, Vec<IvfCode>) {
        // 256 codewords cannot be trained from fewer rows.
        let kind = match self.code {
            IvfCodeKind::Pq8 if available < PQ8_CODEWORDS => IvfCodeKind::Pq4,
            kind => kind,
        };
        let code = |kind, m: usize| IvfCode {
            kind,
            m: u32::try_from(m.max(1)).unwrap_or(1),
        };
        // Rows of clusters so tight that no plain code tells them apart are coded by their difference from the
        // centroid, which costs a table for each list that is visited.
        let kinds: &[IvfCodeKind] = match kind {
            IvfCodeKind::Pq4 => &[IvfCodeKind::Pq4, IvfCodeKind::Pq4r],
            IvfCodeKind::Pq4r => &[IvfCodeKind::Pq4r],
            IvfCodeKind::Pq8 => &[IvfCodeKind::Pq8],
        };
        if let Some(m) = self.m {
            let m = m.clamp(1, dimension.max(1));
            return (
                dimension.next_multiple_of(m),
                kinds.iter().map(|kind| code(*kind, m)).collect(),
            );
        }
        let values_each: &[usize] = match (kind, dimension) {
            (_, ..=NARROW) => &[1],
            (_, ..=WIDE) => &[2, 1],
            (IvfCodeKind::Pq4 | IvfCodeKind::Pq4r, _) => &[4, 2, 1],
            (IvfCodeKind::Pq8, _) => &[8, 4, 2],
        };
        let padded = dimension.next_multiple_of(values_each.first().copied().unwrap_or(1));
        let of_kind = |kind: &IvfCodeKind| {
            let kind = *kind;
            values_each.iter().map(move |values| code(kind, padded / values))
        };
        (padded, kinds.iter().flat_map(of_kind).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dimension_has_a_code_that_fits() {
        let config = IvfConfig::default();
        for dimension in 1..=4096 {
            let (padded, codes) = config.codes(dimension, 1_000_000);
            assert!(!codes.is_empty());
            assert!(padded >= dimension && padded < dimension + 4, "{dimension}");
            for code in codes {
                assert_eq!(padded % code.m as usize, 0, "{dimension} {code:?}");
            }
        }
    }

    #[test]
    fn lists_follow_the_rows_and_never_outnumber_the_sample() {
        let config = IvfConfig::default();
        assert_eq!(config.lists(20_000, 20_000), 288);
        assert_eq!(config.lists(1_000_000, 1_000_000), 2_000);
        assert_eq!(config.lists(1_000_000, 160), 10);
        assert_eq!(config.lists(3, 3), 1);
        let fixed = IvfConfig {
            nlist: Some(7),
            m: Some(5),
            ..IvfConfig::default()
        };
        assert_eq!(fixed.lists(1_000_000, 1_000_000), 7);
        let (padded, codes) = fixed.codes(13, 1000);
        assert_eq!((padded, codes.len(), codes[0].m), (15, 2, 5));
    }

    #[test]
    fn too_few_rows_for_eight_bits_get_four() {
        let config = IvfConfig {
            code: IvfCodeKind::Pq8,
            ..IvfConfig::default()
        };
        assert_eq!(config.codes(64, 255).1[0].kind, IvfCodeKind::Pq4);
        assert_eq!(
            config.codes(64, 256).1[0],
            IvfCode {
                kind: IvfCodeKind::Pq8,
                m: 8
            }
        );
    }
}
