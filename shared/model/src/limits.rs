//! Every number of the API, with its source: API.md section 10 unless another one is named. Numbers that are our own
//! choice say so. What an operator may tune is configuration of the service, whose defaults these are.

use std::ops::RangeInclusive;

/// Characters of a bucket or index name (section 3).
pub const NAME_LENGTH: RangeInclusive<usize> = 3..=63;
/// Characters (code points) of a vector key (section 5.1).
pub const KEY_LENGTH: RangeInclusive<usize> = 1..=1024;
/// UTF-8 bytes of a vector key (section 5.1).
pub const KEY_MAX_BYTES: usize = 1024;
/// Characters of a resource ARN in the tag operations (section 3).
pub const RESOURCE_ARN_MAX_LENGTH: usize = 1011;

/// Vector buckets per account and region.
pub const BUCKETS_PER_ACCOUNT: usize = 10_000;
/// Indexes per vector bucket.
pub const INDEXES_PER_BUCKET: usize = 10_000;
/// Vectors per index.
pub const VECTORS_PER_INDEX: u64 = 2_000_000_000;

/// Dimension of an index.
pub const DIMENSION: RangeInclusive<u32> = 1..=4096;
/// Vectors in one PutVectors.
pub const VECTORS_PER_PUT: RangeInclusive<usize> = 1..=500;
/// Keys in one DeleteVectors (section 4.3).
pub const KEYS_PER_DELETE: RangeInclusive<usize> = 1..=500;
/// Keys in one GetVectors (section 4.3).
pub const KEYS_PER_GET: RangeInclusive<usize> = 1..=100;

/// `topK` of QueryVectors (section 4.3).
pub const TOP_K: RangeInclusive<i64> = 1..=10_000;
/// Results of one QueryVectors page in strict mode (section 17, point 13).
pub const STRICT_QUERY_PAGE: usize = 100;
/// Characters of QueryVectors' page token (section 4.3).
pub const QUERY_TOKEN_LENGTH: RangeInclusive<usize> = 1..=4096;

/// `maxResults` of ListVectors (section 4.3).
pub const LIST_VECTORS_RESULTS: RangeInclusive<i64> = 1..=1000;
/// ListVectors' page size when none is asked for (section 4.3).
pub const LIST_VECTORS_DEFAULT: usize = 500;
/// Processed data after which a ListVectors page ends (section 4.3).
pub const LIST_VECTORS_PAGE_BYTES: usize = 1_048_576;
/// Characters of ListVectors' page token (section 4.3).
pub const LIST_VECTORS_TOKEN_LENGTH: RangeInclusive<usize> = 1..=2048;
/// `segmentCount` of ListVectors (section 4.3).
pub const SEGMENT_COUNT: RangeInclusive<i64> = 1..=16;
/// `segmentIndex` of ListVectors (section 4.3).
pub const SEGMENT_INDEX: RangeInclusive<i64> = 0..=15;

/// `maxResults` of ListVectorBuckets and ListIndexes (section 4.1).
pub const LIST_NAMES_RESULTS: RangeInclusive<i64> = 1..=500;
/// The page size of ListVectorBuckets and ListIndexes when none is asked for (section 4.1).
pub const LIST_NAMES_DEFAULT: usize = 500;
/// Characters of the page token of ListVectorBuckets and ListIndexes (section 4.1).
pub const LIST_NAMES_TOKEN_LENGTH: RangeInclusive<usize> = 1..=512;
/// Characters of the `prefix` of ListVectorBuckets and ListIndexes (section 4.1).
pub const LIST_NAMES_PREFIX_LENGTH: RangeInclusive<usize> = 1..=63;

/// Size of one vector's whole metadata, by the size model of section 5.3.
pub const METADATA_BYTES: usize = 40_960;
/// Size of one vector's filterable metadata, by the size model of section 5.3.
pub const FILTERABLE_METADATA_BYTES: usize = 2048;
/// Keys of one vector's metadata.
pub const METADATA_KEYS: usize = 50;
/// Bytes up to which a metadata number's text is kept as sent (section 17, point 10).
pub const METADATA_NUMBER_TEXT: usize = 64;
/// Non-filterable keys of an index.
pub const NON_FILTERABLE_KEYS: RangeInclusive<usize> = 0..=10;
/// Characters of a non-filterable key (section 4.2).
pub const NON_FILTERABLE_KEY_LENGTH: RangeInclusive<usize> = 1..=63;
/// Text-search keys of an index.
pub const TEXT_SEARCH_KEYS: RangeInclusive<usize> = 0..=10;

/// Constraints of one filter in strict mode (section 6.3).
pub const STRICT_FILTER_CONSTRAINTS: usize = 100;
/// Constraints of one filter in lenient mode: our choice, far above any access list seen, bounds a hostile filter.
pub const FILTER_CONSTRAINTS: usize = 10_000;
/// Levels of `$and`/`$or` and fields in one filter: our choice, bounds recursion.
pub const FILTER_DEPTH: usize = 64;
/// Bytes of one filter's JSON text: our choice, bounds the work of parsing a hostile one.
pub const FILTER_BYTES: usize = 1_048_576;

/// Request body, as sent and as inflated, inclusive (sections 5.3 and 17, point 17).
pub const BODY_BYTES: usize = 20_971_520;
/// Answer of one operation (section 17, point 14): Lambda's synchronous payload is 6 MB; room is left for the envelope.
pub const ANSWER_BYTES: usize = 5_500_000;

/// Put and delete requests per second and index.
pub const WRITES_PER_SECOND: u32 = 1000;
/// Vectors written and deleted per second and index.
pub const WRITTEN_VECTORS_PER_SECOND: u32 = 2500;

/// Tags per resource.
pub const TAGS_PER_RESOURCE: usize = 50;
/// Characters of a tag's key (section 4.4).
pub const TAG_KEY_LENGTH: RangeInclusive<usize> = 1..=128;
/// Characters of a tag's value (section 4.4).
pub const TAG_VALUE_LENGTH: RangeInclusive<usize> = 0..=256;

/// What one vector's metadata may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataLimits {
    /// Keys.
    pub keys: usize,
    /// Bytes of all entries together.
    pub total_bytes: usize,
    /// Bytes of the filterable entries together.
    pub filterable_bytes: usize,
}

impl Default for MetadataLimits {
    fn default() -> Self {
        Self {
            keys: METADATA_KEYS,
            total_bytes: METADATA_BYTES,
            filterable_bytes: FILTERABLE_METADATA_BYTES,
        }
    }
}
