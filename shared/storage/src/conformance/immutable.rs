//! Objects that never change: put, get, ranges, delete.

use std::sync::Arc;

use bytes::Bytes;

use super::Names;
use super::samples::{Samples, name, pattern};
use crate::objects::ObjectStore;

pub(super) async fn run(one: &Arc<dyn ObjectStore>, other: &Arc<dyn ObjectStore>, samples: &Samples) {
    let prefix = samples.prefix();
    let object = name(&prefix, "wal/object.arrow");
    assert!(one.get(&object).await.unwrap_err().is_not_found());
    assert!(one.get_range(&object, 0..0).await.unwrap_err().is_not_found());
    assert!(one.read_tagged(&object).await.unwrap_err().is_not_found());
    one.put(&object, Bytes::from_static(b"hello, world")).await.unwrap();
    for store in [one, other] {
        assert_eq!(store.get(&object).await.unwrap(), "hello, world");
        assert_eq!(store.get_range(&object, 7..12).await.unwrap(), "world");
        assert_eq!(store.get_range(&object, 0..12).await.unwrap(), "hello, world");
        assert_eq!(store.get_range(&object, 4..4).await.unwrap(), "");
        assert!(
            store.get_range(&object, 7..13).await.is_err(),
            "a range must lie inside the object"
        );
        assert!(
            store.get_range(&object, 13..14).await.is_err(),
            "a range must lie inside the object"
        );
        // S1: the same bytes again are a repeated request, other bytes a mistake.
        store.put(&object, Bytes::from_static(b"hello, world")).await.unwrap();
        assert!(
            store
                .put(&object, Bytes::from_static(b"other words!"))
                .await
                .unwrap_err()
                .is_conflict()
        );
        assert!(store.put(&object, Bytes::new()).await.unwrap_err().is_conflict());
        assert_eq!(store.get(&object).await.unwrap(), "hello, world");
    }
    let held = one.get(&object).await.unwrap();
    let absent = name(&prefix, "wal/absent.arrow");
    other.delete(&[object.clone(), absent.clone()]).await.unwrap();
    other.delete(&[]).await.unwrap();
    assert!(one.get(&object).await.unwrap_err().is_not_found());
    assert_eq!(held, "hello, world");
    // Its directory may have gone with it.
    one.put(&object, Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(other.get(&object).await.unwrap(), "again");
    one.delete(&[object, absent]).await.unwrap();
}

pub(super) async fn odd_names(store: &Arc<dyn ObjectStore>, names: Names, samples: &Samples) {
    let prefix = samples.prefix();
    let longest = "x".repeat(255);
    let mut odd = vec![
        "a b",
        "a+b",
        "a%20b",
        "a%2Fb",
        "ü",
        "u\u{308}",
        "日本",
        "🦀",
        "A",
        "a",
        "a=b&c",
        "a'b",
        "a\"b",
        "(a)",
        "#?",
        "~",
        "a:b",
        "a\\b",
        "-",
        "_",
        "...",
        ".hidden",
        "a.",
        "deep/er/and/deeper",
        longest.as_str(),
    ];
    if names == Names::OfStores {
        odd.retain(|name| !name.contains('\\'));
    }
    for (number, odd) in odd.iter().enumerate() {
        let bytes = Bytes::from(format!("{number}"));
        store
            .put(&name(&prefix, odd), bytes)
            .await
            .unwrap_or_else(|error| panic!("{odd:?}: {error}"));
    }
    for (number, odd) in odd.iter().enumerate() {
        assert_eq!(
            store.get(&name(&prefix, odd)).await.unwrap(),
            format!("{number}"),
            "{odd:?}"
        );
    }
    let listed = store.list(&prefix, None, 1000).await.unwrap();
    let mut expected: Vec<_> = odd.iter().map(|odd| name(&prefix, odd)).collect();
    expected.sort();
    assert_eq!(listed.into_iter().map(|meta| meta.name).collect::<Vec<_>>(), expected);
    store.delete(&expected).await.unwrap();
    assert!(store.list(&prefix, None, 1000).await.unwrap().is_empty());
}

pub(super) async fn big_objects(one: &Arc<dyn ObjectStore>, other: &Arc<dyn ObjectStore>, samples: &Samples) {
    const MIB: usize = 1024 * 1024;
    let prefix = samples.prefix();
    for length in [0, 1, 65_535, 65_536, 65_537, MIB, 40 * MIB] {
        let object = name(&prefix, format_args!("{length}.bin"));
        let bytes = pattern(length, length as u64);
        one.put(&object, bytes.clone()).await.unwrap();
        let read = other.get(&object).await.unwrap();
        assert!(read == bytes, "{length} bytes came back as {} others", read.len());
        let middle = length / 2;
        let part = other.get_range(&object, middle as u64..length as u64).await.unwrap();
        assert!(part == bytes.slice(middle..), "the second half of {length} bytes");
        let listed = one.list(object.as_str(), None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|meta| meta.size).collect::<Vec<_>>(), [length as u64]);
        one.delete(std::slice::from_ref(&object)).await.unwrap();
        assert!(read == bytes, "a reader keeps what it read");
    }
}

pub(super) async fn around(store: &dyn ObjectStore, length: usize, samples: &Samples) {
    let prefix = samples.prefix();
    for length in [length - 1, length, length + 1, 2 * length, 5 * length / 2] {
        let object = name(&prefix, format_args!("{length}.bin"));
        let bytes = pattern(length, 7);
        store.put(&object, bytes.clone()).await.unwrap();
        assert!(store.get(&object).await.unwrap() == bytes, "{length} bytes");
        // S1, of objects that are sent in parts too.
        store.put(&object, bytes.clone()).await.unwrap();
        let others = pattern(length, 9);
        assert!(store.put(&object, others).await.unwrap_err().is_conflict());
        assert!(store.get(&object).await.unwrap() == bytes, "{length} bytes");
        let range = 1..length as u64 - 1;
        let part = store.get_range(&object, range).await.unwrap();
        assert!(part == bytes.slice(1..length - 1), "all but two of {length} bytes");
        let beyond = store.get_range(&object, 1..length as u64 + 1).await;
        assert!(beyond.is_err(), "a range must lie inside the object");
        store.delete(&[object]).await.unwrap();
    }
}
