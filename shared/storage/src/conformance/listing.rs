//! Listings: the order of bytes, prefixes, pages.

use std::sync::Arc;

use bytes::Bytes;

use super::Names;
use super::samples::{Samples, name};
use crate::objects::{ObjectMeta, ObjectStore};

fn names_of(listed: &[ObjectMeta]) -> Vec<&str> {
    listed.iter().map(|meta| meta.name.as_str()).collect()
}

pub(super) async fn run(store: &Arc<dyn ObjectStore>, names: Names, samples: &Samples) {
    let prefix = samples.prefix();
    // "-" and "." sort before "/", letters after it.
    let sorted = match names {
        Names::All => ["a-b", "a.json", "a/1", "a/2/x", "a/2/y", "a/3", "a0", "ab/1", "b", "ba"],
        Names::OfStores => ["9-b", "9.json", "a/1", "a/2/x", "a/2/y", "a/3", "a0", "ab/1", "b", "ba"],
    };
    for object in sorted.iter().rev() {
        store
            .put(&name(&prefix, object), Bytes::from((*object).to_owned()))
            .await
            .unwrap();
    }
    let full: Vec<String> = sorted.iter().map(|object| format!("{prefix}{object}")).collect();
    let listed = store.list(&prefix, None, 100).await.unwrap();
    assert_eq!(names_of(&listed), full);
    assert_eq!(
        listed.iter().map(|meta| meta.size).collect::<Vec<_>>(),
        sorted.map(|object| object.len() as u64)
    );
    for start in ["", "a", "a/", "a/2", "a/2/", "a/2/x", "ab", "b", "c", "a-", "zz/y/x"] {
        let wanted = format!("{prefix}{start}");
        let expected: Vec<&str> = full
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with(&wanted))
            .collect();
        assert_eq!(
            names_of(&store.list(&wanted, None, 100).await.unwrap()),
            expected,
            "prefix {start:?}"
        );
    }
    // After names that exist, that do not, that are directories, that lie before and behind the prefix.
    let unlisted = ["", "a", "a-", "a/", "a/2", "a/2/", "a/2/zz", "a/9", "z"];
    // A page begins after a name that was listed.
    let after = sorted.iter().chain(unlisted.iter().filter(|_| names == Names::All));
    for after in after {
        let after = name(&prefix, after);
        let expected: Vec<&str> = full
            .iter()
            .map(String::as_str)
            .filter(|name| *name > after.as_str())
            .collect();
        assert_eq!(
            names_of(&store.list(&prefix, Some(&after), 100).await.unwrap()),
            expected,
            "after {after}"
        );
    }
    let inside = format!("{prefix}a/");
    let before = name(&prefix, "a-b");
    assert_eq!(
        names_of(&store.list(&inside, Some(&before), 2).await.unwrap()),
        &full[2..4]
    );
    assert_eq!(store.list(&inside, Some(&name(&prefix, "ab")), 100).await.unwrap(), []);
    assert_eq!(store.list(&prefix, None, 0).await.unwrap(), []);
    let all: Vec<_> = listed.into_iter().map(|meta| meta.name).collect();
    store.delete(&all).await.unwrap();
}

/// Pages of every size give each name once, in order.
pub(super) async fn random_pages(store: &Arc<dyn ObjectStore>, names: Names, samples: &Samples) {
    let prefix = samples.prefix();
    let mut expected = Vec::new();
    for _ in 0..120 {
        let number = samples.ids.nonce();
        let separator = match names {
            Names::All => ["/", "-", ".", "/x/"][(number % 4) as usize],
            Names::OfStores => ["/", "/x/"][(number % 2) as usize],
        };
        expected.push(name(
            &prefix,
            format_args!("{:02x}{separator}{:06x}", number % 9, number >> 40),
        ));
    }
    expected.sort();
    expected.dedup();
    for object in &expected {
        store.put(object, Bytes::from_static(b"x")).await.unwrap();
    }
    for limit in [1, 2, 7, 119, 1000] {
        let mut found = Vec::new();
        loop {
            let page = store.list(&prefix, found.last(), limit).await.unwrap();
            let is_last = page.len() < limit;
            assert!(page.len() <= limit);
            found.extend(page.into_iter().map(|meta| meta.name));
            if is_last {
                break;
            }
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
    store.delete(&expected).await.unwrap();
}
