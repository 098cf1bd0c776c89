use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, Float64Builder, LargeListBuilder, ListBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, Int64Array, LargeStringArray, StringArray, StructArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::*;

fn mapping() -> Mapping {
    Mapping {
        key: "key".to_owned(),
        vector: "vector".to_owned(),
        metadata: None,
    }
}

fn vectors(rows: &[[f32; 2]]) -> ArrayRef {
    let mut builder = ListBuilder::new(Float32Builder::new());
    for row in rows {
        builder.append_value(row.map(Some));
    }
    Arc::new(builder.finish())
}

fn keys(rows: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(rows.to_vec()))
}

/// Reads a file of these columns, one row group per two rows.
fn read(columns: Vec<(&str, ArrayRef)>, mapping: &Mapping, skip: u64) -> Result<Vec<Record>, SourceError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut source = ParquetSource::open(&path, mapping)?;
    assert_eq!(source.size(), Size::Rows(batch.num_rows() as u64));
    source.skip(skip)?;
    let (mut record, mut all) = (Record::default(), Vec::new());
    while source.next(&mut record)? {
        all.push(record.clone());
    }
    assert_eq!(Size::Rows(source.position()), source.size());
    Ok(all)
}

fn reason(columns: Vec<(&str, ArrayRef)>, mapping: &Mapping) -> String {
    match read(columns, mapping, 0).unwrap_err() {
        SourceError::File { reason } | SourceError::Record { reason, .. } => reason,
    }
}

#[test]
fn rows_in_order() {
    let columns = || {
        vec![
            ("key", keys(&["a", "b", "c", "d", "e"])),
            (
                "vector",
                vectors(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 0.5]]),
            ),
            (
                "metadata",
                Arc::new(StringArray::from(vec![
                    Some("{\"n\": 1.0}"),
                    None,
                    None,
                    Some("{}"),
                    None,
                ])) as ArrayRef,
            ),
        ]
    };
    let all = read(columns(), &mapping(), 0).unwrap();
    let shown: Vec<_> = all
        .iter()
        .map(|r| (r.row, r.key.as_str(), r.vector[1], r.metadata.as_str()))
        .collect();
    let expected = [
        (0, "a", 2.0, "{\"n\": 1.0}"),
        (1, "b", 4.0, ""),
        (2, "c", 6.0, ""),
        (3, "d", 8.0, "{}"),
        (4, "e", 0.5, ""),
    ];
    assert_eq!(shown, expected);
    for skip in 1..=6 {
        assert_eq!(
            read(columns(), &mapping(), skip).unwrap(),
            &all[(skip as usize).min(5)..]
        );
    }
}

#[test]
fn lists_and_keys_of_all_kinds() {
    let mut fixed = FixedSizeListBuilder::new(Float64Builder::new(), 2);
    let mut large = LargeListBuilder::new(Float32Builder::new());
    for row in [[0.1, 0.2], [0.3, 0.4]] {
        fixed.values().append_slice(&row);
        fixed.append(true);
        large.append_value(row.map(|value| Some(value as f32)));
    }
    let expected = [vec![0.1_f32, 0.2], vec![0.3, 0.4]];
    let dictionary: DictionaryArray<Int32Type> = vec!["7", "8"].into_iter().collect();
    let key_columns: [ArrayRef; 4] = [
        Arc::new(Int64Array::from(vec![7, 8])),
        Arc::new(LargeStringArray::from(vec!["7", "8"])),
        keys(&["7", "8"]),
        Arc::new(dictionary),
    ];
    let vector_columns: [ArrayRef; 2] = [Arc::new(fixed.finish()), Arc::new(large.finish())];
    for key in &key_columns {
        for vector in &vector_columns {
            let all = read(vec![("key", key.clone()), ("vector", vector.clone())], &mapping(), 0).unwrap();
            assert_eq!(
                all.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(),
                ["7", "8"]
            );
            assert_eq!(
                all.into_iter().map(|record| record.vector).collect::<Vec<_>>(),
                expected
            );
        }
    }
}

#[test]
fn other_columns_become_metadata() {
    let columns = || {
        vec![
            (
                "metadata",
                Arc::new(StringArray::from(vec![Some("{\"z\":1,\"year\":2}"), None])) as ArrayRef,
            ),
            ("word", keys(&["a", "b"])),
            ("year", Arc::new(Int64Array::from(vec![Some(1999), None])) as ArrayRef),
            ("emb", vectors(&[[1.0, 2.0], [3.0, 4.0]])),
            ("lang", keys(&["en", "de"])),
        ]
    };
    let mut mapping = Mapping {
        key: "word".to_owned(),
        vector: "emb".to_owned(),
        metadata: None,
    };
    let metadata = |mapping: &Mapping| {
        let all = read(columns(), mapping, 0).unwrap();
        all.into_iter().map(|record| record.metadata).collect::<Vec<_>>()
    };
    assert_eq!(
        metadata(&mapping),
        ["{\"z\":1,\"year\":1999,\"lang\":\"en\"}", "{\"lang\":\"de\"}"]
    );
    mapping.metadata = Some(vec!["year".to_owned()]);
    assert_eq!(metadata(&mapping), ["{\"year\":1999}", ""]);
    mapping.metadata = Some(Vec::new());
    assert_eq!(metadata(&mapping), ["", ""]);
}

#[test]
fn files_that_do_not_fit() {
    let columns = || vec![("id", keys(&["a"])), ("vector", vectors(&[[1.0, 2.0]]))];
    assert_eq!(
        reason(columns(), &mapping()),
        "there is no column \"key\" (--key-column); the columns are id, vector"
    );
    let by_id = Mapping {
        key: "id".to_owned(),
        ..mapping()
    };
    let missing = Mapping {
        metadata: Some(vec!["x".to_owned()]),
        ..by_id.clone()
    };
    assert!(reason(columns(), &missing).contains("\"x\" (--metadata-columns)"));
    let not_lists = Mapping {
        vector: "id".to_owned(),
        ..by_id.clone()
    };
    assert!(reason(columns(), &not_lists).contains("vectors are lists of numbers"));
    let not_keys = Mapping {
        key: "vector".to_owned(),
        ..mapping()
    };
    assert!(reason(columns(), &not_keys).contains("keys are text or integers"));
    let structure = StructArray::from(vec![(
        Arc::new(arrow_schema::Field::new("a", DataType::Utf8, true)),
        keys(&["x"]),
    )]);
    let with_structure = [columns(), vec![("s", Arc::new(structure) as ArrayRef)]].concat();
    assert!(reason(with_structure.clone(), &by_id).contains("column \"s\" is Struct"));
    assert!(
        read(
            with_structure,
            &Mapping {
                metadata: Some(Vec::new()),
                ..by_id
            },
            0
        )
        .is_ok()
    );
}

#[test]
fn two_columns_of_one_name() {
    let columns = |twice: &'static str| {
        let all = vec![
            ("key", keys(&["a"])),
            ("vector", vectors(&[[1.0, 2.0]])),
            ("x", keys(&["p"])),
            ("metadata", keys(&["{}"])),
        ];
        let copy = all.iter().find(|(name, _)| *name == twice).cloned();
        [all, copy.into_iter().collect()].concat()
    };
    for twice in ["key", "vector", "x", "metadata"] {
        let message = format!("two columns have the name {twice:?}; rename one of them");
        assert_eq!(reason(columns(twice), &mapping()), message);
    }
    let only = Mapping {
        metadata: Some(vec!["metadata".to_owned()]),
        ..mapping()
    };
    let all = read(columns("x"), &only, 0).unwrap();
    assert_eq!(all.len(), 1, "columns that are not taken may have any names");
}

#[test]
fn nulls_are_named() {
    let mut list = ListBuilder::new(Float32Builder::new());
    list.append_value([Some(1.0)]);
    list.append_null();
    let error = read(
        vec![("key", keys(&["a", "b"])), ("vector", Arc::new(list.finish()))],
        &mapping(),
        0,
    );
    assert_eq!(error, Err(SourceError::record(1, "key \"b\": its vector is null")));
    let key: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let error = read(
        vec![("key", key), ("vector", vectors(&[[1.0, 2.0], [3.0, 4.0]]))],
        &mapping(),
        0,
    );
    assert_eq!(error, Err(SourceError::record(1, "its key is null")));
}

#[test]
fn no_rows() {
    let columns = vec![("key", keys(&[])), ("vector", vectors(&[]))];
    assert_eq!(read(columns, &mapping(), 0), Ok(Vec::new()));
}

/// The dimension that a file of one list column states.
fn stated_dimension(list: ArrayRef) -> Option<usize> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let names: Vec<&str> = vec!["k"; list.len()];
    let batch = RecordBatch::try_from_iter([("key", keys(&names)), ("vector", list)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    ParquetSource::open(&path, &mapping()).unwrap().dimension()
}

#[test]
fn dimensions() {
    let fixed = |rows: usize| {
        let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), 3);
        for _ in 0..rows {
            builder.values().append_slice(&[1.0, 2.0, 3.0]);
            builder.append(true);
        }
        Arc::new(builder.finish()) as ArrayRef
    };
    assert_eq!(stated_dimension(fixed(2)), Some(3));
    assert_eq!(stated_dimension(fixed(0)), Some(3), "the type states it");
    assert_eq!(stated_dimension(vectors(&[[1.0, 2.0]])), Some(2));
    assert_eq!(stated_dimension(vectors(&[])), None);
}

#[test]
fn compressions_of_others() {
    let compressions = [
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for compression in compressions {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        let columns = [
            ("key", keys(&["a", "b"])),
            ("vector", vectors(&[[1.0, 2.0], [3.0, 4.0]])),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let mut source = ParquetSource::open(&path, &mapping()).unwrap();
        let mut record = Record::default();
        assert!(source.next(&mut record).unwrap(), "{compression}");
        assert_eq!(record.vector, [1.0, 2.0]);
    }
}
