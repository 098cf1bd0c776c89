//! WAL objects: round trips, and every way to be wrong.

use proptest::prelude::*;

use super::*;
use crate::{FileKind, FormatError};
use bytes::Bytes;

type Row = (String, Option<(Vec<f32>, Option<String>)>);

fn dimension(values: u32) -> Dimension {
    Dimension::new(values).unwrap()
}

fn encode(values: u32, rows: &[Row]) -> Bytes {
    let mut writer = WalWriter::new(dimension(values));
    for (key, put) in rows {
        match put {
            Some((vector, metadata)) => writer.push_put(key, vector, metadata.as_deref()),
            None => writer.push_delete(key),
        }
    }
    writer.finish().unwrap()
}

fn check(object: &WalObject, values: u32, rows: &[Row]) {
    assert_eq!(object.rows(), rows.len());
    assert_eq!(object.dimension(), dimension(values));
    for (number, (key, put)) in rows.iter().enumerate() {
        assert_eq!(object.key(number), key);
        assert_eq!(object.is_delete(number), put.is_none());
        match put {
            Some((vector, metadata)) => {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                assert_eq!(object.vector_bytes(number), bytes);
                assert_eq!(object.vector(number).unwrap().len(), vector.len());
                assert_eq!(object.metadata(number), metadata.as_deref());
            }
            None => {
                assert_eq!(object.vector(number), None);
                assert_eq!(object.metadata(number), None);
                assert!(object.vector_bytes(number).is_empty());
            }
        }
    }
}

fn small() -> Bytes {
    encode(
        2,
        &[
            ("a".into(), Some((vec![1.0, -2.5], Some("{\"x\":1}".into())))),
            ("b".into(), None),
        ],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(
        (values, rows) in (1u32..40).prop_flat_map(|values| {
            let vector = prop::collection::vec(any::<u32>().prop_map(f32::from_bits), values as usize);
            let put = prop::option::of((vector, prop::option::of(".{0,40}")));
            (Just(values), prop::collection::vec((".{1,20}", put), 0..40))
        }),
        shift in 0usize..9,
    ) {
        let bytes = encode(values, &rows);
        prop_assert_eq!(&bytes, &encode(values, &rows));
        check(&WalObject::decode(bytes.clone()).unwrap(), values, &rows);
        // A buffer at an odd address: read from a larger buffer, say.
        let mut moved = vec![0; shift];
        moved.extend_from_slice(&bytes);
        check(&WalObject::decode(Bytes::from(moved).slice(shift..)).unwrap(), values, &rows);
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let good = small();
    for bit in 0..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let error = WalObject::decode(bad.into()).expect_err("a flipped bit was not noticed");
        assert_eq!(error.file(), FileKind::Wal, "bit {bit}");
    }
}

#[test]
fn every_cut_is_found() {
    let good = small();
    for length in 0..good.len() {
        assert!(WalObject::decode(good.slice(..length)).is_err(), "{length}");
        assert!(
            WalObject::decode(good.slice(good.len() - length..)).is_err(),
            "{length}"
        );
    }
}

#[test]
fn aligned_bytes_are_not_copied() {
    let file = small();
    let object = WalObject::decode(file.clone()).unwrap();
    let inside = |bytes: &[u8]| file.as_ptr_range().contains(&bytes.as_ptr());
    assert!(inside(object.vector_bytes(0)) && inside(object.key(0).as_bytes()));
}

#[test]
fn a_newer_version_is_refused() {
    assert_eq!(
        decode::read_format(Some("wal/2 dimension=3 more")),
        Err(FormatError::Version {
            file: FileKind::Wal,
            found: 2,
            supported: 1
        })
    );
    for text in [
        None,
        Some(""),
        Some("wal/"),
        Some("wal/1"),
        Some("wal/1 dimension=0"),
        Some("wal/1 dimension=x"),
    ] {
        assert!(
            matches!(decode::read_format(text), Err(FormatError::Corrupt { .. })),
            "{text:?}"
        );
    }
}

#[test]
fn a_vector_of_another_length_is_refused() {
    let mut writer = WalWriter::new(dimension(2));
    writer.push_put("a", &[1.0], None);
    writer.push_put("b", &[1.0, 2.0, 3.0], None);
    assert!(matches!(
        writer.finish(),
        Err(FormatError::Input {
            file: FileKind::Wal,
            ..
        })
    ));
}

#[test]
fn nothing_but_deletes_and_nothing_at_all() {
    let rows = [("a".to_owned(), None), ("\u{1f600}".to_owned(), None)];
    check(&WalObject::decode(encode(3, &rows)).unwrap(), 3, &rows);
    check(&WalObject::decode(encode(3, &[])).unwrap(), 3, &[]);
}

#[test]
fn the_estimate_is_near_the_length() {
    let rows: Vec<Row> = (0..500)
        .map(|i| (format!("key {i}"), Some((vec![0.5; 100], Some("{}".into())))))
        .collect();
    let mut writer = WalWriter::new(dimension(100));
    for (key, put) in &rows {
        let (vector, metadata) = put.as_ref().unwrap();
        writer.push_put(key, vector, metadata.as_deref());
    }
    let (estimate, rows) = (writer.approx_bytes(), writer.rows());
    let length = writer.finish().unwrap().len();
    assert_eq!(rows, 500);
    assert!(length.abs_diff(estimate) < 2048, "{estimate} for {length}");
}

/// Bytes of ours with a right checksum and a wrong content: a bug or a hostile store, not a broken disk.
fn reseal(mut file: Vec<u8>) -> Option<Bytes> {
    let place = decode::checksum_place(&file).ok()?;
    file[place.clone()].copy_from_slice(ZEROS.as_bytes());
    let sum = format!("{:08x}", crate::crc32c(&file));
    file[place].copy_from_slice(sum.as_bytes());
    Some(file.into())
}

#[test]
fn sealed_nonsense_does_not_panic() {
    let good = small();
    assert_eq!(reseal(good.to_vec()).unwrap(), good);
    for place in 0..good.len() {
        for change in [1u8, 2, 4, 0x40, 0x80, 0xff] {
            let mut bad = good.to_vec();
            bad[place] ^= change;
            let Some(Ok(object)) = reseal(bad).map(WalObject::decode) else {
                continue;
            };
            for row in 0..object.rows() {
                let put = object.vector(row).map(<[f32]>::len);
                assert_eq!(put, (!object.is_delete(row)).then(|| object.dimension().get()));
                assert_eq!(object.vector_bytes(row).len(), put.unwrap_or(0) * 4);
                assert!(object.key(row).len() + object.metadata(row).map_or(0, str::len) <= good.len());
            }
        }
    }
}

#[test]
fn a_key_that_is_not_utf8_is_refused() {
    let mut bad = encode(1, &[("some key".into(), None)]).to_vec();
    let place = bad.windows(8).position(|window| window == b"some key").unwrap();
    bad[place] = 0xff;
    assert!(matches!(
        WalObject::decode(reseal(bad).unwrap()),
        Err(FormatError::Corrupt {
            file: FileKind::Wal,
            ..
        })
    ));
}
