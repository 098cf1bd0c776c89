//! All files of a shard, written and read back, against the rows they were made of.

use bytes::Bytes;
use model::{Dimension, ShardId, Ulid};
use proptest::prelude::*;

use super::*;
use crate::{FileKind, FormatError, verify};

#[derive(Clone, Debug)]
struct Row {
    key: String,
    vector: Vec<u8>,
    metadata: Option<String>,
}

struct Opened {
    head: ShardHead,
    rows: RowsFile,
    keys: KeysFile,
    index: KeyIndex,
}

fn encode(dimension: u32, rows: &[Row]) -> Result<EncodedShard, FormatError> {
    let rows: Vec<ShardRow> = rows
        .iter()
        .map(|row| ShardRow {
            key: &row.key,
            vector: &row.vector,
            metadata: row.metadata.as_deref(),
        })
        .collect();
    encode_shard(Dimension::new(dimension).unwrap(), &[], &rows, None)
}

fn open(shard: &EncodedShard) -> Opened {
    let files = &shard.files;
    for (kind, entry, bytes) in [
        (FileKind::Rows, &files.rows, &shard.rows),
        (FileKind::Keys, &files.keys, &shard.keys),
        (FileKind::Fst, &files.fst, &shard.fst),
        (FileKind::Attributes, &files.attributes, &shard.attributes),
        (FileKind::Head, &files.head, &shard.head),
    ] {
        verify(kind, entry, bytes).unwrap();
    }
    let head = ShardHead::decode(&shard.head).unwrap();
    assert_eq!(head, shard.shard_head);
    Opened {
        rows: RowsFile::open(shard.rows.clone(), &head).unwrap(),
        keys: KeysFile::open(shard.keys.clone()).unwrap(),
        index: KeyIndex::open(shard.fst.clone()).unwrap(),
        head,
    }
}

/// Made of the row number alone, so that large shards are quick to make.
fn made(dimension: u32, count: usize, with_metadata: impl Fn(usize) -> bool) -> Vec<Row> {
    (0..count)
        .map(|i| Row {
            key: format!("key-{:06}", i),
            vector: (0..dimension)
                .flat_map(|d| ((i as u32).wrapping_mul(31) ^ d).to_le_bytes())
                .collect(),
            metadata: with_metadata(i).then(|| format!(r#"{{"row":{i},"text":"{}"}}"#, "x".repeat(i % 90))),
        })
        .collect()
}

fn check(dimension: u32, rows: &[Row], asked: &[u32]) {
    let shard = encode(dimension, rows).unwrap();
    let Opened {
        head,
        rows: file,
        keys,
        index,
    } = open(&shard);
    assert_eq!(
        (head.rows as usize, keys.rows() as usize, index.len()),
        (rows.len(), rows.len(), rows.len())
    );
    for (number, row) in (0u32..).zip(rows) {
        assert_eq!(file.vector_bytes(number), row.vector);
        assert_eq!(keys.key(number), row.key);
        assert_eq!(keys.vector_crc(number), crate::crc32c(&row.vector));
        assert_eq!(index.find(&row.key), Some(number));
    }
    let end = head.rows;
    assert!(file.vector_bytes(end).is_empty() && keys.key(end).is_empty());
    assert!(file.vector_bytes(u32::MAX).is_empty() && keys.key(u32::MAX).is_empty());
    let whole: Vec<u8> = rows.iter().flat_map(|row| row.vector.clone()).collect();
    let mut next = 0;
    for (first, run) in file.vector_runs() {
        let start = first as usize * file.vector_width();
        assert_eq!(start, next);
        assert_eq!(run, &whole[start..start + run.len()]);
        next = start + run.len();
    }
    assert_eq!(next, whole.len());
    let metadata: Vec<Option<String>> = asked.iter().map(|row| rows[*row as usize].metadata.clone()).collect();
    assert_eq!(file.metadata(asked).unwrap(), metadata);
    check_ranges(&head, &shard.rows, rows, asked);
    let mut sorted: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    sorted.sort_unstable();
    assert_eq!(
        (head.min_key.as_str(), head.max_key.as_str()),
        (sorted[0], sorted[sorted.len() - 1])
    );
    let entry = shard.entry(ShardId(Ulid::NIL));
    assert_eq!(
        (entry.rows, &entry.min_key, entry.head),
        (head.rows, &head.min_key, head.summary)
    );
}

/// The same by ranges: no more than the head and the bytes asked for.
fn check_ranges(head: &ShardHead, file: &Bytes, rows: &[Row], asked: &[u32]) {
    let slice = |range: std::ops::Range<u64>| file.slice(range.start as usize..range.end as usize);
    head.check_ranges(file.len() as u64).unwrap();
    for (number, row) in (0u32..).zip(rows) {
        assert_eq!(slice(head.vector_range(number).unwrap()), row.vector);
    }
    for asked in asked.chunk_by(|a, b| head.metadata_page(*a) == head.metadata_page(*b)) {
        let page = head.metadata_page(asked[0]).unwrap();
        let bytes = slice(head.metadata_page_range(page).unwrap());
        let metadata: Vec<Option<String>> = asked.iter().map(|row| rows[*row as usize].metadata.clone()).collect();
        assert_eq!(head.page_metadata(page, bytes, asked).unwrap(), metadata);
    }
    assert_eq!(
        (head.vector_range(head.rows), head.metadata_page(head.rows)),
        (None, None)
    );
    assert_eq!(head.metadata_page_range(head.metadata.sizes.len()), None);
}

#[test]
fn every_flipped_or_missing_byte_of_a_page_is_found() {
    let rows: Vec<Row> = made(3, 40, |row| row % 3 > 0)
        .into_iter()
        .enumerate()
        .map(|(i, row)| Row {
            key: i.to_string(),
            ..row
        })
        .collect();
    let shard = encode(3, &rows).unwrap();
    let head = &shard.shard_head;
    let range = head.metadata_page_range(0).unwrap();
    let sound = shard.rows.slice(range.start as usize..range.end as usize);
    assert_eq!(
        head.page_metadata(0, sound.clone(), &[1]).unwrap(),
        [rows[1].metadata.clone()]
    );
    for place in 0..sound.len() {
        for bit in 0..8 {
            let mut bad = sound.to_vec();
            bad[place] ^= 1 << bit;
            let error = head.page_metadata(0, bad.into(), &[1]).unwrap_err();
            assert!(
                matches!(
                    error,
                    FormatError::Checksum {
                        file: FileKind::Rows,
                        ..
                    }
                ),
                "{error}"
            );
        }
        head.page_metadata(0, sound.slice(..place), &[1]).unwrap_err();
    }
    assert!(
        head.page_metadata(0, sound.clone(), &[40]).is_err(),
        "a row of another page"
    );
    assert!(
        head.page_metadata(1, sound, &[1]).is_err(),
        "a page that does not exist"
    );
    assert!(head.check_ranges(range.end - 1).is_err());
}

/// A page that passes its checksum, but has other rows than the table says, is found too.
#[test]
fn a_page_of_other_rows_is_not_read() {
    let rows = |count| -> Vec<Row> { made(1, count, |_| true) };
    let shard = encode(1, &rows(20)).unwrap();
    let range = shard.shard_head.metadata_page_range(0).unwrap();
    let page = shard.rows.slice(range.start as usize..range.end as usize);
    for count in [19, 21] {
        let mut head = encode(1, &rows(count)).unwrap().shard_head;
        head.metadata.crc32c = vec![crate::crc32c(&page)];
        let error = head.page_metadata(0, page.clone(), &[1]).unwrap_err();
        assert!(matches!(error, FormatError::Corrupt { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_written_is_read(
        (dimension, rows) in (1u32..20).prop_flat_map(|dimension| {
            let vector = prop::collection::vec(any::<u8>(), dimension as usize * 4);
            let metadata = prop::option::of("[a-z\u{e9}]{0,30}".prop_map(|text| format!(r#"{{"t":"{text}"}}"#)));
            let rows = prop::collection::btree_map(".{1,12}", (vector, metadata), 1..60);
            (Just(dimension), rows.prop_map(|rows| {
                rows.into_iter().map(|(key, (vector, metadata))| Row { key, vector, metadata }).collect::<Vec<_>>()
            }).prop_shuffle())
        }),
        asked in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let asked: std::collections::BTreeSet<u32> = asked.iter().map(|index| index.index(rows.len()) as u32).collect();
        check(dimension, &rows, &asked.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn ranges_are_the_sorted_keys(
        keys in prop::collection::btree_set("[ab\u{e9}]{1,5}", 1..60),
        after in prop::option::of("[ab\u{e9}]{0,4}"),
        prefix in "[ab\u{e9}]{0,3}",
    ) {
        let keys: Vec<String> = keys.into_iter().collect();
        let rows: Vec<Row> =
            keys.iter().rev().map(|key| Row { key: key.clone(), vector: vec![0; 4], metadata: None }).collect();
        let shard = encode(1, &rows).unwrap();
        let index = KeyIndex::open(shard.fst).unwrap();
        let found: Vec<(String, u32)> = index.range(after.as_deref(), &prefix).collect();
        let expected: Vec<(String, u32)> = keys
            .iter()
            .enumerate()
            .filter(|(_, key)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
            .map(|(place, key)| (key.clone(), (keys.len() - 1 - place) as u32))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

#[rstest::rstest]
#[case::one_value(1, 300_000)]
#[case::many_pages(100, 9_000)]
#[case::one_full_page(128, 2048)]
#[case::one_row_more_than_a_page(128, 2049)]
#[case::longest_vectors(4096, 200)]
#[case::odd(37, 5_000)]
fn large_shards(#[case] dimension: u32, #[case] count: usize) {
    let rows: Vec<Row> = made(dimension, count, |row| row % 5 != 0)
        .into_iter()
        .enumerate()
        .map(|(i, row)| Row {
            key: format!("{}-{i}", row.key),
            ..row
        })
        .collect();
    let asked: Vec<u32> = (0..count as u32)
        .filter(|row| row % 977 == 3 || (500..1500).contains(row))
        .collect();
    check(
        dimension,
        &rows,
        &asked
            .into_iter()
            .filter(|row| (*row as usize) < count)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn runs_are_long_and_metadata_pages_are_small() {
    let rows: Vec<Row> = made(100, 9_000, |_| true)
        .into_iter()
        .enumerate()
        .map(|(i, row)| Row {
            key: i.to_string(),
            ..row
        })
        .collect();
    let shard = encode(100, &rows).unwrap();
    let opened = open(&shard);
    let runs: Vec<usize> = opened.rows.vector_runs().map(|(_, run)| run.len()).collect();
    assert_eq!(runs, [819_200, 819_200, 819_200, 819_200, 323_200]);
    let metadata: usize = rows.iter().map(|row| row.metadata.as_ref().unwrap().len() + 4).sum();
    let pages = opened.head.metadata.sizes.len();
    assert!(pages >= metadata / (17 << 10), "{pages} pages for {metadata} bytes");
    assert!(opened.head.metadata.sizes.iter().all(|size| *size < 20 << 10));
}

#[test]
fn page_tables_give_the_bytes_that_ranged_reads_check() {
    let rows = made(3, 100, |_| true);
    let shard = encode(3, &rows).unwrap();
    let MetadataPages {
        offsets, sizes, crc32c, ..
    } = &shard.shard_head.metadata;
    for ((offset, size), crc) in offsets.iter().zip(sizes).zip(crc32c) {
        let page = &shard.rows[*offset as usize..*offset as usize + *size as usize];
        assert_eq!(crate::crc32c(page), *crc);
    }
}

#[test]
fn what_no_shard_can_hold_is_refused() {
    let row = |key: &str, values: usize| Row {
        key: key.into(),
        vector: vec![0; values * 4],
        metadata: None,
    };
    for rows in [vec![], vec![row("a", 3)], vec![row("b", 2), row("a", 2), row("b", 2)]] {
        assert!(matches!(encode(2, &rows), Err(FormatError::Input { .. })), "{rows:?}");
    }
}

#[test]
fn metadata_is_asked_for_in_order() {
    let shard = encode(
        1,
        &[0, 1, 2].map(|i| Row {
            key: i.to_string(),
            vector: vec![0; 4],
            metadata: None,
        }),
    )
    .unwrap();
    let rows = open(&shard).rows;
    assert_eq!(rows.metadata(&[]).unwrap(), Vec::<Option<String>>::new());
    for asked in [vec![1, 0], vec![1, 1], vec![3]] {
        assert!(rows.metadata(&asked).is_err());
    }
}

#[test]
fn the_filter_says_not_here() {
    let rows: Vec<Row> = (0..20_000)
        .map(|i| Row {
            key: format!("key {i}"),
            vector: vec![0; 4],
            metadata: None,
        })
        .collect();
    let shard = encode(1, &rows).unwrap();
    let index = KeyIndex::open(shard.fst).unwrap();
    assert!(rows.iter().all(|row| index.may_contain(key_hash(&row.key))));
    let wrong = (0..20_000)
        .filter(|i| index.may_contain(key_hash(&format!("other {i}"))))
        .count();
    assert!(wrong < 400, "{wrong} of 20,000");
}

#[test]
fn the_hash_is_part_of_the_format() {
    let hashes = ["", "a", "12345678", "123456789", "\u{e9}"].map(key_hash);
    assert_eq!(hashes, PINNED, "{hashes:#x?}");
}
const PINNED: [u64; 5] = [
    0,
    0x1ab7_d1d0_779d_ad0d,
    0xe7b6_924a_dc27_4c28,
    0x6737_2f09_96ed_0b6d,
    0xb993_713f_891d_2869,
];

#[test]
fn broken_key_files_do_not_panic() {
    let rows = made(2, 40, |_| false);
    let rows: Vec<Row> = rows
        .into_iter()
        .enumerate()
        .map(|(i, row)| Row {
            key: format!("\u{e9}{i}"),
            ..row
        })
        .collect();
    let shard = encode(2, &rows).unwrap();
    for bit in 0..shard.keys.len() * 8 {
        let mut bad = shard.keys.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        if let Ok(keys) = KeysFile::open(Bytes::from(bad)) {
            (0..50).for_each(|row| _ = (keys.key(row).len(), keys.vector_crc(row)));
        }
    }
    for length in 0..shard.keys.len() {
        assert!(KeysFile::open(shard.keys.slice(..length)).is_err());
    }
    for length in 0..shard.rows.len() {
        assert!(RowsFile::open(shard.rows.slice(..length), &shard.shard_head).is_err());
    }
}

#[test]
fn a_newer_version_is_refused() {
    let shard = encode(
        1,
        &[Row {
            key: "a".into(),
            vector: vec![0; 4],
            metadata: None,
        }],
    )
    .unwrap();
    let newer = |file: &Bytes| {
        let mut newer = file.to_vec();
        newer[4] = 9;
        Bytes::from(newer)
    };
    let version = |file| FormatError::Version {
        file,
        found: 9,
        supported: 1,
    };
    assert_eq!(KeysFile::open(newer(&shard.keys)).unwrap_err(), version(FileKind::Keys));
    assert_eq!(KeyIndex::open(newer(&shard.fst)).unwrap_err(), version(FileKind::Fst));
    assert_eq!(
        Attributes::open(newer(&shard.attributes)).unwrap_err(),
        version(FileKind::Attributes)
    );
    let mut rows = shard.rows.to_vec();
    let place = rows.windows(6).position(|window| window == b"rows/1").unwrap();
    rows[place + 5] = b'9';
    assert_eq!(
        RowsFile::open(rows.into(), &shard.shard_head).unwrap_err(),
        version(FileKind::Rows)
    );
}
