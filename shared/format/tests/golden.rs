//! The golden files: what version 1 wrote is read for ever, and written the same way for as long as it is the version
//! that is written. When a dependency's new release changes bytes without changing their meaning (Parquet's footer,
//! say), move the old files to a folder of their own, keep reading them here, and make new ones.

#![allow(clippy::indexing_slicing, clippy::panic)]

mod fixture;

use std::path::PathBuf;

use bytes::Bytes;
use format::{
    Attributes, BucketDoc, CatalogDocument, CollectionList, FileEntry, FileKind, FormatError, IndexDoc, IndexRecord,
    IndexState, KeyIndex, KeysFile, Manifest, RootDoc, RowsFile, ShardHead, Tombstone, WalObject, decode_dead, verify,
};
use model::{Filter, Metadata, Strictness};

type Decode = fn(Bytes) -> Result<(), FormatError>;

/// The files that carry their own checksum, and what reads them.
const SEALED: [(&str, FileKind, Decode); 13] = [
    ("wal.arrow", FileKind::Wal, |bytes| WalObject::decode(bytes).map(drop)),
    ("head.json", FileKind::Head, |bytes| ShardHead::decode(&bytes).map(drop)),
    ("head-ivf.json", FileKind::Head, |bytes| {
        ShardHead::decode(&bytes).map(drop)
    }),
    ("manifest-ivf.json", FileKind::Manifest, |bytes| {
        Manifest::decode(&bytes).map(drop)
    }),
    ("dead.roaring", FileKind::Dead, |bytes| decode_dead(&bytes).map(drop)),
    ("manifest.json", FileKind::Manifest, |bytes| {
        Manifest::decode(&bytes).map(drop)
    }),
    ("collection.json", FileKind::Collection, |bytes| {
        CollectionList::decode(&bytes).map(drop)
    }),
    ("tombstone.json", FileKind::Tombstone, |bytes| {
        Tombstone::decode(&bytes).map(drop)
    }),
    ("catalog-root.json", FileKind::Catalog, |bytes| {
        RootDoc::decode(&bytes).map(drop)
    }),
    ("catalog-bucket.json", FileKind::Catalog, |bytes| {
        BucketDoc::decode(&bytes).map(drop)
    }),
    ("catalog-index.json", FileKind::Catalog, |bytes| {
        IndexDoc::decode(&bytes).map(drop)
    }),
    ("catalog-index-dead.json", FileKind::Catalog, |bytes| {
        IndexDoc::decode(&bytes).map(drop)
    }),
    ("catalog-marker.json", FileKind::Catalog, |bytes| {
        format::CatalogMarker::decode(&bytes).map(drop)
    }),
];

/// The files whose checksum is in the manifest.
fn listed(manifest: &Manifest) -> [(&'static str, FileKind, FileEntry); 5] {
    let files = manifest.shards[0].files;
    [
        ("rows.parquet", FileKind::Rows, files.rows),
        ("keys.bin", FileKind::Keys, files.keys),
        ("keys.fst", FileKind::Fst, files.fst),
        ("attributes.bin", FileKind::Attributes, files.attributes),
        ("head.json", FileKind::Head, files.head),
    ]
}

fn golden(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(name);
    std::fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .into()
}

#[test]
fn todays_program_writes_the_golden_files() {
    for (name, bytes) in fixture::files() {
        assert!(golden(name) == bytes, "{name} differs");
    }
}

#[test]
fn the_wal_object_is_read() {
    let object = WalObject::decode(golden("wal.arrow")).unwrap();
    assert_eq!(object.rows(), fixture::ROWS.len());
    for (row, (key, vector, metadata)) in fixture::ROWS.iter().enumerate() {
        assert_eq!((object.key(row), object.metadata(row)), (*key, *metadata));
        assert_eq!(object.is_delete(row), vector.is_none());
        let bits = |vector: &[f32]| vector.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(object.vector(row).map(bits), vector.as_ref().map(|vector| bits(vector)));
    }
}

#[test]
fn the_shard_is_read() {
    let manifest = Manifest::decode(&golden("manifest.json")).unwrap();
    for (name, kind, entry) in listed(&manifest) {
        verify(kind, &entry, &golden(name)).unwrap();
    }
    let head = ShardHead::decode(&golden("head.json")).unwrap();
    let rows = RowsFile::open(golden("rows.parquet"), &head).unwrap();
    let keys = KeysFile::open(golden("keys.bin")).unwrap();
    let index = KeyIndex::open(golden("keys.fst")).unwrap();
    let puts: Vec<_> = fixture::ROWS
        .iter()
        .filter_map(|(key, vector, metadata)| Some((*key, (*vector)?, *metadata)))
        .collect();
    let all: Vec<u32> = (0..head.rows).collect();
    let metadata = rows.metadata(&all).unwrap();
    assert_eq!(puts.len(), all.len());
    for ((row, put), metadata) in all.iter().zip(&puts).zip(&metadata) {
        let bytes: Vec<u8> = put.1.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(keys.key(*row), put.0);
        assert_eq!(index.find(put.0), Some(*row));
        assert_eq!(rows.vector_bytes(*row), bytes);
        assert_eq!(keys.vector_crc(*row), format::crc32c(&bytes));
        assert_eq!(metadata.as_deref(), put.2);
    }
    assert_eq!(index.find("gone"), None);
}

#[test]
fn lists_that_do_not_cover_the_rows_are_refused() {
    for starts in [vec![], vec![0], vec![0, 5], vec![1, 6], vec![0, 4, 3, 6]] {
        let mut head = fixture::ivf_head();
        if let Some(ivf) = &mut head.ivf {
            ivf.list_starts = starts.clone();
        }
        let stored = head.encode().unwrap();
        assert!(ShardHead::decode(&stored).is_err(), "{starts:?}");
    }
}

#[test]
fn the_attributes_are_read() {
    let attributes = Attributes::open(golden("attributes.bin")).unwrap();
    assert_eq!(attributes.keys().collect::<Vec<_>>(), ["", "genre", "seen", "year"]);
    for json in [
        r#"{"genre":"drama"}"#,
        r#"{"genre":{"$ne":"comedy"}}"#,
        r#"{"year":{"$gte":-1,"$lte":1999}}"#,
        r#"{"year":0}"#,
        r#"{"year":{"$in":[2001,0]}}"#,
        r#"{"$or":[{"seen":false},{"genre":{"$startsWith":"\u00e9"}}]}"#,
        r#"{"seen":{"$exists":false}}"#,
        r#"{"note":{"$exists":false}}"#,
    ] {
        let filter = Filter::parse(json, Strictness::Lenient).unwrap();
        let puts = fixture::ROWS.iter().filter(|row| row.1.is_some()).enumerate();
        let matching = puts.filter(|(_, row)| {
            let mut metadata = row.2.unwrap_or("{}").to_owned();
            if metadata.contains("note") {
                metadata = r#"{"genre":["drama","comedy"]}"#.into(); // the non-filterable key is not in the file
            }
            filter.matches(&Metadata::parse(&metadata).unwrap())
        });
        assert_eq!(
            attributes.evaluate(&filter).unwrap(),
            matching.map(|(row, _)| row as u32).collect(),
            "{json}"
        );
    }
}

#[test]
fn the_documents_are_read() {
    assert_eq!(Manifest::decode(&golden("manifest.json")).unwrap(), fixture::manifest());
    assert_eq!(
        Manifest::decode(&golden("manifest-ivf.json")).unwrap(),
        fixture::ivf_manifest()
    );
    assert_eq!(
        ShardHead::decode(&golden("head-ivf.json")).unwrap(),
        fixture::ivf_head()
    );
    assert_eq!(decode_dead(&golden("dead.roaring")).unwrap(), fixture::dead());
    let record = golden("record.json");
    assert_eq!(
        IndexRecord::from_json(std::str::from_utf8(&record).unwrap()).unwrap(),
        fixture::record()
    );
    assert_eq!(
        CollectionList::decode(&golden("collection.json")).unwrap(),
        fixture::collection()
    );
    assert_eq!(
        Tombstone::decode(&golden("tombstone.json")).unwrap(),
        fixture::tombstone()
    );
    assert_eq!(RootDoc::decode(&golden("catalog-root.json")).unwrap(), fixture::root());
    assert_eq!(
        BucketDoc::decode(&golden("catalog-bucket.json")).unwrap(),
        fixture::bucket()
    );
    let live = fixture::index(IndexState::Live(Box::new(fixture::record())));
    assert_eq!(IndexDoc::decode(&golden("catalog-index.json")).unwrap(), live);
    let dead = fixture::index(IndexState::Dead(fixture::tombstone()));
    assert_eq!(IndexDoc::decode(&golden("catalog-index-dead.json")).unwrap(), dead);
    assert_eq!(
        format::AttachmentDoc::decode(&golden("catalog-attachment.json")).unwrap(),
        fixture::attachment()
    );
    assert_eq!(
        format::CatalogMarker::decode(&golden("catalog-marker.json")).unwrap(),
        fixture::marker()
    );
}

/// Every file with every one of its bits flipped.
fn flipped(good: &[u8]) -> impl Iterator<Item = (usize, Bytes)> {
    (0..good.len() * 8).map(|bit| {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        (bit, bad.into())
    })
}

#[test]
fn a_flipped_bit_is_found_and_the_file_named() {
    for (name, kind, decode) in SEALED {
        decode(golden(name)).unwrap();
        for (bit, bad) in flipped(&golden(name)) {
            let error = decode(bad).expect_err(name);
            assert_eq!(error.file(), kind, "{name} bit {bit}");
            assert!(error.to_string().contains(kind.as_str()), "{error}");
        }
    }
    for (name, kind, entry) in listed(&fixture::manifest()) {
        for (bit, bad) in flipped(&golden(name)) {
            let error = verify(kind, &entry, &bad).expect_err(name);
            assert_eq!(error.file(), kind, "{name} bit {bit}");
        }
    }
}

#[test]
fn a_cut_file_is_found() {
    for (name, kind, decode) in SEALED {
        let good = golden(name);
        for length in 0..good.len() {
            assert_eq!(decode(good.slice(..length)).expect_err(name).file(), kind);
        }
    }
    for (name, kind, entry) in listed(&fixture::manifest()) {
        let good = golden(name);
        for length in 0..good.len() {
            assert_eq!(verify(kind, &entry, &good[..length]).expect_err(name).file(), kind);
        }
    }
}
