use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::limits;

fn parse(json: &str) -> Metadata {
    Metadata::parse(json).unwrap()
}

fn fault(json: &str) -> String {
    Metadata::parse(json).unwrap_err().to_string()
}

#[rstest]
#[case::empty("{}", "{}")]
#[case::spaces(" { \"a\" : [ 1 , 2 ] , \"b\" : true } ", r#"{"a":[1,2],"b":true}"#)]
#[case::order(r#"{"z":1,"a":2,"m":false}"#, r#"{"z":1,"a":2,"m":false}"#)]
#[case::odd_keys(r#"{"":1,"$eq":2,"a.b":3}"#, r#"{"":1,"$eq":2,"a.b":3}"#)]
#[case::strings_in_arrays(r#"{"a":["","x","x"]}"#, r#"{"a":["","x","x"]}"#)]
#[case::escapes(
    r#"{"a\"b":"\u00e9\/\\\n\r\t\u0001\b"}"#,
    "{\"a\\\"b\":\"\u{e9}/\\\\\\n\\r\\t\\u0001\\u0008\"}"
)]
#[case::emoji(r#"{"a":"\ud83d\ude00"}"#, "{\"a\":\"\u{1f600}\"}")]
#[case::number_texts(r#"{"a":1.0,"b":1E5,"c":-0,"d":1.50e+3}"#, r#"{"a":1.0,"b":1E5,"c":-0,"d":1.50e+3}"#)]
#[case::big_integer(r#"{"a":123456789012345678901234567890}"#, r#"{"a":123456789012345678901234567890}"#)]
#[case::last_of_duplicates_wins(r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#)]
#[case::escaped_duplicate(r#"{"a":1,"\u0061":"x"}"#, r#"{"a":"x"}"#)]
fn written_as_read(#[case] json: &str, #[case] expected: &str) {
    assert_eq!(parse(json).to_json(), expected);
}

#[rstest]
#[case::null(r#"{"a":null}"#, messages::METADATA_VALUE_TYPE)]
#[case::object(r#"{"a":{"b":1}}"#, messages::METADATA_VALUE_TYPE)]
#[case::empty_object(r#"{"a":{}}"#, messages::METADATA_VALUE_TYPE)]
#[case::empty_array(r#"{"a":[]}"#, messages::METADATA_EMPTY_ARRAY)]
#[case::booleans(r#"{"a":[true]}"#, messages::METADATA_ARRAY_TYPE)]
#[case::nulls(r#"{"a":[null]}"#, messages::METADATA_ARRAY_TYPE)]
#[case::objects(r#"{"a":[{"b":1}]}"#, messages::METADATA_ARRAY_TYPE)]
#[case::nested(r#"{"a":[["x"]]}"#, messages::METADATA_ARRAY_TYPE)]
#[case::mixed(r#"{"a":["x",1]}"#, messages::METADATA_ARRAY_TYPE)]
#[case::mixed_late(r#"{"a":[1,2,true]}"#, messages::METADATA_ARRAY_TYPE)]
#[case::infinite(r#"{"a":1e400}"#, messages::METADATA_NUMBER_RANGE)]
#[case::infinite_in_array(r#"{"a":[1,-1e999]}"#, messages::METADATA_NUMBER_RANGE)]
#[case::overwritten_is_judged(r#"{"a":null,"a":1}"#, messages::METADATA_VALUE_TYPE)]
#[case::first_fault_counts(r#"{"a":[],"b":null}"#, messages::METADATA_EMPTY_ARRAY)]
#[case::array("[]", messages::METADATA_NOT_OBJECT)]
#[case::string(r#""a""#, messages::METADATA_NOT_OBJECT)]
#[case::null_document("null", messages::METADATA_NOT_OBJECT)]
#[case::cut_off(r#"{"a":1"#, messages::METADATA_NOT_OBJECT)]
#[case::more_behind(r#"{"a":1} {}"#, messages::METADATA_NOT_OBJECT)]
#[case::nothing("", messages::METADATA_NOT_OBJECT)]
#[case::lone_surrogate(r#"{"a":"\ud83d"}"#, messages::METADATA_VALUE_TYPE)]
fn refused(#[case] json: &str, #[case] message: &str) {
    assert_eq!(fault(json), message);
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(fault(&deep(100)), messages::METADATA_ARRAY_TYPE);
    assert_eq!(fault(&deep(100_000)), messages::METADATA_ARRAY_TYPE);
}

#[rstest]
#[case::kept(&format!("0.1{}1", "0".repeat(60)), None)]
#[case::too_long(&format!("0.1{}1", "0".repeat(61)), Some("0.1"))]
#[case::long_integer(&format!("1{}", "0".repeat(70)), Some("1e+70"))]
#[case::long_zero(&format!("0.{}", "0".repeat(70)), Some("0.0"))]
fn number_text_is_kept_up_to_64_bytes(#[case] text: &str, #[case] written: Option<&str>) {
    let metadata = parse(&format!("{{\"a\":{text}}}"));
    let Some(MetadataValue::Number(number)) = metadata.get("a") else {
        panic!("a number")
    };
    assert_eq!(number.text(), written.unwrap_or(text));
    assert_eq!(number.value(), text.parse::<f64>().unwrap());
    assert_eq!(parse(&metadata.to_json()), metadata);
}

#[test]
fn numbers_are_read_to_the_last_bit() {
    // A known case in which quick readers are one bit off.
    let metadata = parse(r#"{"a":9007199254740993,"b":0.1,"c":2.2250738585072012e-308}"#);
    let value = |key| match metadata.get(key) {
        Some(MetadataValue::Number(number)) => number.value(),
        _ => panic!("a number"),
    };
    assert_eq!(value("a"), 9_007_199_254_740_992.0);
    assert_eq!(value("b"), 0.1);
    assert_eq!(value("c"), f64::MIN_POSITIVE);
}

/// API.md 5.3, and the shapes that the service was measured with.
#[rstest]
#[case::empty("{}", 4)]
#[case::string(r#"{"f":"xyz"}"#, 4 + 8 + 1 + 3)]
#[case::long_key(r#"{"ffffffffff":""}"#, 4 + 8 + 10)]
#[case::empty_key(r#"{"":""}"#, 4 + 8)]
#[case::utf8("{\"f\":\"\u{e9}\u{e9}\"}", 4 + 8 + 1 + 4)]
#[case::escapes_count_as_characters(r#"{"f":"\u00e9\n"}"#, 4 + 8 + 1 + 3)]
#[case::number(r#"{"f":123456.789}"#, 4 + 8 + 1 + 4)]
#[case::boolean(r#"{"f":true}"#, 4 + 8 + 1)]
#[case::strings(r#"{"f":["ab",""]}"#, 4 + 8 + 1 + (4 + 2) + 4)]
#[case::numbers(r#"{"f":[1,2,3]}"#, 4 + 8 + 1 + 3 * 8)]
#[case::two_entries(r#"{"a":1,"b":false}"#, 4 + (8 + 1 + 4) + (8 + 1))]
fn sizes(#[case] json: &str, #[case] size: usize) {
    let metadata = parse(json);
    assert_eq!(metadata.size(), size);
    assert_eq!(metadata.filterable_size(&[]), size);
    let every_key: Vec<String> = metadata.iter().map(|(key, _)| key.to_owned()).collect();
    assert_eq!(metadata.filterable_size(&every_key), 4);
}

/// The longest values that the service was seen to accept, and one byte more.
#[rstest]
#[case::one_byte_key("f", "x", 2035, "Filterable metadata must have at most 2048 bytes")]
#[case::ten_byte_key("ffffffffff", "x", 2026, "Filterable metadata must have at most 2048 bytes")]
#[case::two_byte_characters("f", "\u{e9}", 1017, "Filterable metadata must have at most 2048 bytes")]
#[case::not_filterable("bulk", "x", 40_944, "Metadata object must have at most 40960 bytes")]
fn size_limits(#[case] key: &str, #[case] character: &str, #[case] longest: usize, #[case] message: &str) {
    let check = |count: usize| {
        let metadata = parse(&format!("{{\"{key}\":\"{}\"}}", character.repeat(count)));
        metadata
            .check(&["bulk".to_owned()], &MetadataLimits::default())
            .map_err(|fault| fault.to_string())
    };
    assert_eq!(check(longest), Ok(()));
    assert_eq!(check(longest + 1), Err(message.to_owned()));
}

#[test]
fn fifty_keys_are_the_most_and_counted_first() {
    let keys = |count: usize| {
        let entries: Vec<String> = (0..count)
            .map(|n| format!("\"k{n}\":\"{}\"", "x".repeat(100)))
            .collect();
        parse(&format!("{{{}}}", entries.join(",")))
    };
    let limits = MetadataLimits {
        filterable_bytes: 10_000,
        ..MetadataLimits::default()
    };
    assert_eq!(keys(limits::METADATA_KEYS).check(&[], &limits), Ok(()));
    let fault = keys(limits::METADATA_KEYS + 1)
        .check(&[], &MetadataLimits::default())
        .unwrap_err();
    assert_eq!(fault.to_string(), "Metadata object must have at most 50 keys");
}

#[test]
fn duplicates_are_found_among_many() {
    let entries: Vec<String> = (0..2_000).map(|n| format!("\"k{}\":{n}", n % 1_000)).collect();
    let metadata = parse(&format!("{{{}}}", entries.join(",")));
    assert_eq!(metadata.len(), 1_000);
    assert_eq!(metadata.iter().next().unwrap(), ("k0", metadata.get("k0").unwrap()));
    assert_eq!(metadata.get("k999"), parse(r#"{"k":1999}"#).get("k"));
    assert_eq!(metadata.get("k1000"), None);
}

fn within(json: &str) -> Result<Metadata, String> {
    Metadata::parse_within(json, &MetadataLimits::default()).map_err(|fault| fault.to_string())
}

fn object_of(members: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[test]
fn what_cannot_be_legal_is_not_read_on() {
    const KEYS: &str = "Metadata object must have at most 50 keys";
    const SIZE: &str = "Metadata object must have at most 40960 bytes";
    let keys = |count: usize| object_of((0..count).map(|n| format!("\"k{n}\":{n}")));
    assert_eq!(within(&keys(50)).unwrap().len(), 50);
    assert_eq!(within(&keys(51)).unwrap_err(), KEYS);
    // Nothing behind the 51st key is looked at, not even whether it is JSON.
    let cut = keys(51).replace('}', ",\"k\":[");
    assert_eq!(within(&cut).unwrap_err(), KEYS);
    let again = |count: usize| object_of((0..count).map(|n| format!("\"k\":{n}")));
    assert_eq!(within(&again(200)).unwrap(), parse("{\"k\":199}"));
    assert_eq!(within(&again(201)).unwrap_err(), KEYS);
    let array = |count: usize, element: &str| format!("{{\"a\":[{}]}}", vec![element; count].join(","));
    for (element, bytes) in [("1", 8), ("\"\"", 4)] {
        assert!(within(&array(163_840 / bytes - 1, element)).is_ok());
        assert_eq!(within(&array(163_840 / bytes, element)).unwrap_err(), SIZE);
        assert_eq!(within(&array(1_000_000, element)).unwrap_err(), SIZE);
    }
    let text = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length));
    assert!(within(&text(163_839)).is_ok(), "for `check` to name the right limit");
    assert_eq!(within(&text(163_840)).unwrap_err(), SIZE);
    let replaced = object_of((0..5).map(|_| format!("\"a\":\"{}\"", "x".repeat(40_000))));
    assert_eq!(within(&replaced).unwrap_err(), SIZE);
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300_f64).prop_map(Value::from)
    ];
    prop_oneof![
        any::<String>().prop_map(Value::from),
        number.clone(),
        any::<bool>().prop_map(Value::from),
        prop::collection::vec(any::<String>(), 1..4).prop_map(Value::from),
        prop::collection::vec(number, 1..4).prop_map(Value::from),
        Just(Value::Null),
        Just(serde_json::json!([])),
        Just(serde_json::json!([true])),
        Just(serde_json::json!({"x": 1})),
    ]
}

proptest! {
    #[test]
    fn agrees_with_serde_json(entries in prop::collection::btree_map(any::<String>(), any_value(), 0..25)) {
        let document = serde_json::Value::from_iter(entries.clone());
        let legal = |value: &serde_json::Value| match value {
            serde_json::Value::Array(elements) => {
                elements.iter().all(|e| e.is_string()) || elements.iter().all(|e| e.is_number())
            }
            value => !value.is_null() && !value.is_object(),
        };
        let empty = |value: &serde_json::Value| value.as_array().is_some_and(Vec::is_empty);
        let parsed = Metadata::parse(&document.to_string());
        prop_assert_eq!(&within(&document.to_string()), &parsed.clone().map_err(|fault| fault.to_string()));
        prop_assert_eq!(parsed.is_ok(), entries.values().all(|value| legal(value) && !empty(value)));
        if let Ok(metadata) = parsed {
            let written: serde_json::Value = serde_json::from_str(&metadata.to_json()).unwrap();
            // Read twice by the same reader: serde_json's can be one bit off.
            let read: serde_json::Value = serde_json::from_str(&document.to_string()).unwrap();
            prop_assert_eq!(&written, &read);
            prop_assert_eq!(&parse(&metadata.to_json()), &metadata);
        }
    }

    #[test]
    fn never_panics(json in ".{0,60}") {
        let _ = (Metadata::parse(&json), within(&json));
    }
}
