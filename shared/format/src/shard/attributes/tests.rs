//! `Filter::matches` is the definition: the bitmaps must agree with it for every row.

use model::{Condition, Filter, Metadata, Scalar};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::super::ShardRow;
use super::*;

fn encode_rows(non_filterable: &[String], rows: &[Option<String>]) -> Bytes {
    let rows: Vec<ShardRow> = rows
        .iter()
        .map(|metadata| ShardRow {
            key: "",
            vector: &[],
            metadata: metadata.as_deref(),
        })
        .collect();
    encode(non_filterable, &rows).unwrap()
}

fn naive(filter: &Filter, rows: &[Option<String>]) -> RoaringBitmap {
    let metadata = |json: &Option<String>| Metadata::parse(json.as_deref().unwrap_or("{}")).unwrap();
    let matching = rows
        .iter()
        .enumerate()
        .filter(|(_, json)| filter.matches(&metadata(json)));
    matching.map(|(row, _)| row as u32).collect()
}

fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "0",
            "-0.0",
            "-0",
            "1",
            "1.0",
            "1e0",
            "2",
            "-1",
            "0.1",
            "1e300",
            "-1e300",
            "5e-324",
            "9007199254740993",
            "9007199254740992",
            "3.5",
        ])
        .prop_map(str::to_owned),
        (-4i32..5).prop_map(|n| n.to_string()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "a",
            "ab",
            "abc",
            "b",
            "A",
            "1",
            "true",
            "\u{e9}",
            "\u{1f600}",
            "ab\u{10ffff}"
        ])
        .prop_map(str::to_owned),
        "[ab]{0,4}",
    ]
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        text().prop_map(|text| json_string(&text)),
        number_text(),
        any::<bool>().prop_map(|truth| truth.to_string()),
        prop::collection::vec(text(), 1..4).prop_map(|texts| format!(
            "[{}]",
            texts.iter().map(|t| json_string(t)).collect::<Vec<_>>().join(",")
        )),
        prop::collection::vec(number_text(), 1..4).prop_map(|numbers| format!("[{}]", numbers.join(","))),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a.b", "", "\u{e9}"]).prop_map(str::to_owned)
}

fn metadata() -> impl Strategy<Value = Option<String>> {
    let object = prop::collection::vec((key(), value()), 0..5).prop_map(|entries| {
        let entries: Vec<String> = entries
            .iter()
            .map(|(key, value)| format!("{}:{value}", json_string(key)))
            .collect();
        format!("{{{}}}", entries.join(","))
    });
    prop::option::weighted(0.9, object)
}

fn number() -> impl Strategy<Value = f64> {
    number_text().prop_map(|text| text.parse().unwrap())
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        text().prop_map(Scalar::String),
        number().prop_map(Scalar::Number),
        any::<bool>().prop_map(Scalar::Bool)
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        scalar().prop_map(Condition::Eq),
        scalar().prop_map(Condition::Ne),
        number().prop_map(Condition::Gt),
        number().prop_map(Condition::Gte),
        number().prop_map(Condition::Lt),
        number().prop_map(Condition::Lte),
        prop::collection::vec(scalar(), 1..4).prop_map(Condition::In),
        prop::collection::vec(scalar(), 1..4).prop_map(Condition::Nin),
        any::<bool>().prop_map(Condition::Exists),
        text().prop_map(Condition::StartsWith),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let key = prop_oneof![8 => key(), 1 => Just("nowhere".to_owned())];
    let leaf = (key, condition()).prop_map(|(key, condition)| Filter::Field { key, condition });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::And),
            prop::collection::vec(inner, 1..4).prop_map(Filter::Or),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn bitmaps_agree_with_the_definition(
        rows in prop::collection::vec(metadata(), 1..40),
        filters in prop::collection::vec(any_filter(), 1..12),
    ) {
        let attributes = Attributes::open(encode_rows(&[], &rows)).unwrap();
        for filter in &filters {
            prop_assert_eq!(attributes.evaluate(filter).unwrap(), naive(filter, &rows), "{:?} {:?}", filter, rows);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn many_rows_agree_too(filters in prop::collection::vec(any_filter(), 12), salt in 1u32..1000) {
        let rows: Vec<Option<String>> = (0..9000u32)
            .map(|row| {
                let n = row.wrapping_mul(salt.wrapping_mul(2_654_435_761)) >> 20;
                (n % 7 != 0).then(|| format!(r#"{{"a":{},"b":"{}","":[{}, 1.0],"a.b":"{}"}}"#, n % 5, "ab".repeat((n % 3) as usize), n, row % 400))
            })
            .collect();
        let attributes = Attributes::open(encode_rows(&[], &rows)).unwrap();
        for filter in &filters {
            prop_assert_eq!(attributes.evaluate(filter).unwrap(), naive(filter, &rows), "{:?}", filter);
        }
    }

    #[test]
    fn broken_files_neither_panic_nor_invent_rows(
        rows in prop::collection::vec(metadata(), 1..30),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u32..8), 200),
        filters in prop::collection::vec(any_filter(), 5),
    ) {
        let good = encode_rows(&[], &rows);
        for (place, bit) in flips {
            let mut bad = good.to_vec();
            bad[place.index(good.len())] ^= 1 << bit;
            let Ok(attributes) = Attributes::open(bad.into()) else { continue };
            for filter in &filters {
                let _ = attributes.evaluate(filter);
            }
        }
    }
}

#[test]
fn non_filterable_keys_are_not_in_it() {
    let rows = [Some(r#"{"secret":"a long text","open":1}"#.to_owned())];
    let file = encode_rows(&["secret".to_owned()], &rows);
    assert_eq!(
        Attributes::open(file.clone()).unwrap().keys().collect::<Vec<_>>(),
        ["open"]
    );
    assert!(!file.windows(6).any(|window| window == b"a long" || window == b"secret"));
}

#[test]
fn unique_values_stay_compact() {
    let rows: Vec<Option<String>> = (0..10_000)
        .map(|i| Some(format!(r#"{{"id":"{i:08}","n":{i}}}"#)))
        .collect();
    let bytes = encode_rows(&[], &rows).len();
    assert!(
        bytes < 10_000 * (8 + 4 + 8 + 16) + 4096,
        "{bytes} bytes for 10,000 rows"
    );
}

#[test]
fn metadata_that_is_no_object_is_refused() {
    let row = ShardRow {
        key: "k",
        vector: &[],
        metadata: Some("[1]"),
    };
    assert!(matches!(
        encode(&[], &[row]),
        Err(FormatError::Input {
            file: FileKind::Attributes,
            ..
        })
    ));
}
