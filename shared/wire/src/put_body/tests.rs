//! The parser against a slow one over `serde_json::Value`, on good bodies and on damaged ones.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn parse(body: &str) -> PutBody<'_> {
    parse_put_vectors(body.as_bytes()).unwrap()
}

fn refusal(body: &str) -> String {
    let error = parse_put_vectors(body.as_bytes()).unwrap_err();
    assert_eq!(error.shape(), "SerializationException");
    error.message().to_owned()
}

fn violations(body: &str) -> String {
    let mut constraints = Constraints::new();
    parse(body).check(&mut constraints);
    constraints
        .finish()
        .map_or_else(|error| error.message().to_owned(), |()| String::new())
}

#[test]
fn a_body_as_boto3_sends_it() {
    let body = r#"{"vectorBucketName": "b", "indexName": "i", "vectors": [{"key": "a", "data": {"float32": [0.10000000149011612, -1.0, 1e-05]}, "metadata": {"n": 1.50, "s": "é"}}, {"key": "b\u00e9\ud83d\ude00", "data": {"float32": [1, 2, "NaN"]}}]}"#;
    let parsed = parse(body);
    assert_eq!(parsed.record_count, 2);
    assert_eq!(
        parsed.members.names().collect::<Vec<_>>(),
        ["vectorBucketName", "indexName", "vectors"]
    );
    assert_eq!(parsed.members.raw("indexName").unwrap().as_str().unwrap(), "i");
    assert!(
        parsed
            .members
            .raw("vectors")
            .unwrap()
            .get()
            .starts_with("[{\"key\": \"a\"")
    );
    let [first, second] = parsed.records.as_slice() else {
        panic!("two records")
    };
    assert!(matches!(first.key, Cow::Borrowed("a")));
    assert_eq!(first.vector, [0.1, -1.0, 1e-5]);
    assert_eq!(first.metadata.unwrap().get(), r#"{"n": 1.50, "s": "é"}"#);
    assert_eq!(second.key, "bé😀");
    assert_eq!(second.vector[..2], [1.0, 2.0]);
    assert!(second.vector[2].is_nan());
    assert!(second.metadata.is_none() && second.faults.is_empty());
    assert_eq!(violations(body), "");
}

#[rstest]
#[case::any_order(r#"{"vectors":[{"metadata":{},"data":{"float32":[1]},"key":"a"}],"indexName":"i"}"#)]
#[case::unknown_members(r#"{"vectors":[{"x":[{"y":null}],"key":"a","data":{"float32":[1]},"metadata":{}}],"z":{}}"#)]
#[case::last_wins(r#"{"vectors":[{"key":"z"}],"vectors":[{"key":"b","key":"a","data":{},"data":{"float32":[2],"float32":[1]},"metadata":{"x":1},"metadata":{}}]}"#)]
#[case::last_wins_over_wrong_types(r#"{"vectors":[{"key":[]}],"vectors":1,"vectors":[{"key":1,"key":"a","data":[],"data":{"float32":"x"},"data":{"float32":[null],"float32":[1]},"metadata":{}}]}"#)]
#[case::null_then_value(r#"{"vectors":null,"vectors":[{"key":null,"data":null,"metadata":null,"key":"a","data":{"float32":null,"other":null,"float32":[1]},"metadata":{}}]}"#)]
#[case::escaped_names(r#"{"vect\u006frs":[{"k\u0065y":"\u0061","data":{"float\u00332":[1]},"metadata":{}}]}"#)]
#[case::white_space(
    "\n{ \"vectors\" :\t[ { \"key\" : \"a\" , \"data\" : { \"float32\" : [ 1 ] } , \"metadata\" : {} } ] }\r\n"
)]
#[case::type_member(r#"{"vectors":[{"key":"a","data":{"__type":"VectorData","float32":[1]},"metadata":{}}]}"#)]
fn one_record(#[case] body: &str) {
    let parsed = parse(body);
    assert_eq!(parsed.records.len(), 1);
    let record = &parsed.records[0];
    assert_eq!((record.key.as_ref(), record.vector.as_slice()), ("a", [1.0].as_slice()));
    assert_eq!(
        (record.metadata.unwrap().get(), record.faults.as_slice()),
        ("{}", [].as_slice())
    );
}

#[rstest]
#[case::absent("{}")]
#[case::no_body("")]
#[case::null(r#"{"vectors":null}"#)]
#[case::null_last(r#"{"vectors":[{}],"vectors":null}"#)]
fn no_vectors(#[case] body: &str) {
    let parsed = parse(body);
    assert_eq!((parsed.record_count, parsed.records.len()), (0, 0));
    assert_eq!(
        violations(body),
        "1 validation error detected. Value at '/vectors' failed to satisfy constraint: Member must not be null"
    );
}

#[rstest]
#[case::no_key(r#"{"data":{"float32":[1]}}"#, &[RecordFault::KeyMissing])]
#[case::null_key(r#"{"key":"a","key":null,"data":{"float32":[1]}}"#, &[RecordFault::KeyMissing])]
#[case::nothing("{}", &[RecordFault::KeyMissing, RecordFault::DataMissing])]
#[case::no_data(r#"{"key":"a"}"#, &[RecordFault::DataMissing])]
#[case::null_data(r#"{"key":"a","data":null}"#, &[RecordFault::DataMissing])]
#[case::empty_union(r#"{"key":"a","data":{}}"#, &[RecordFault::DataUnion])]
#[case::null_member(r#"{"key":"a","data":{"float32":null}}"#, &[RecordFault::DataUnion])]
#[case::other_member(r#"{"key":"a","data":{"float16":[1]}}"#, &[RecordFault::DataUnion])]
#[case::two_members(r#"{"key":"a","data":{"float32":[1],"float16":[1]}}"#, &[RecordFault::DataUnion])]
fn faults(#[case] record: &str, #[case] expected: &[RecordFault]) {
    let body = format!("{{\"vectors\":[{record}]}}");
    assert_eq!(parse(&body).records[0].faults, expected);
}

#[rstest]
#[case::empty(
    "[]",
    "1 validation error detected. Value with length 0 at '/vectors' failed to satisfy constraint: Member must have length between 1 and 500, inclusive"
)]
#[case::empty_key(
    r#"[{"key":"","data":{"float32":[]}}]"#,
    "1 validation error detected. Value with length 0 at '/vectors/0/key' failed to satisfy constraint: Member must have length between 1 and 1024, inclusive"
)]
#[case::both(
    r#"[{"key":"a","data":{"float32":[]}},{"data":{}}]"#,
    "2 validation errors detected. Value at '/vectors/1/key' failed to satisfy constraint: Member must not be null; Value at '/vectors/1/data' failed to satisfy constraint: Member must have exactly one member, float32"
)]
fn constraints(#[case] vectors: &str, #[case] message: &str) {
    assert_eq!(violations(&format!("{{\"vectors\":{vectors}}}")), message);
}

#[test]
fn keys_are_counted_in_utf16_units() {
    let body = |key: String| format!(r#"{{"vectors":[{{"key":"{key}","data":{{"float32":[1]}}}}]}}"#);
    assert_eq!(violations(&body("あ".repeat(1024))), "");
    assert_eq!(violations(&body("\\ud83d\\ude00".repeat(512))), "");
    assert!(violations(&body("😀".repeat(512) + "a")).contains("Value with length 1025 at '/vectors/0/key'"));
}

#[rstest]
#[case(500, 500, "")]
#[case(
    501,
    501,
    "1 validation error detected. Value with length 501 at '/vectors' failed to satisfy constraint: Member must have length between 1 and 500, inclusive"
)]
#[case(
    100_000,
    501,
    "1 validation error detected. Value with length 100000 at '/vectors' failed to satisfy constraint: Member must have length between 1 and 500, inclusive"
)]
fn too_many_records(#[case] sent: usize, #[case] kept: usize, #[case] message: &str) {
    let records = vec![r#"{"key":"a","data":{"float32":[]}}"#; sent].join(",");
    let body = format!("{{\"vectors\":[{records}]}}");
    let parsed = parse(&body);
    assert_eq!((parsed.records.len(), parsed.record_count), (kept, sent));
    assert_eq!(violations(&body), message);
}

#[rstest]
#[case::body("[]", "Request body must be an object")]
#[case::vectors(r#"{"vectors":{}}"#, "Value at '/vectors' must be a list")]
#[case::record(r#"{"vectors":[{},1]}"#, "Value at '/vectors/1' must be an object")]
#[case::null_record(r#"{"vectors":[null]}"#, "Value at '/vectors/0' must be an object")]
#[case::key(r#"{"vectors":[{"key":1}]}"#, "Value at '/vectors/0/key' must be a string")]
#[case::data(r#"{"vectors":[{"data":[1]}]}"#, "Value at '/vectors/0/data' must be an object")]
#[case::float32(
    r#"{"vectors":[{"data":{"float32":"x"}}]}"#,
    "Value at '/vectors/0/data/float32' must be a list"
)]
#[case::number(
    r#"{"vectors":[{"data":{"float32":[1,"2"]}}]}"#,
    "Value at '/vectors/0/data/float32/1' must be a number"
)]
#[case::null_number(
    r#"{"vectors":[{"data":{"float32":[null]}}]}"#,
    "Value at '/vectors/0/data/float32/0' must be a number"
)]
#[case::surrogate_key(r#"{"vectors":[{"key":"\ud800"}]}"#, "UnknownError")]
#[case::surrogate_metadata(r#"{"vectors":[{"metadata":{"a":"\udc00"}}]}"#, "UnknownError")]
#[case::surrogate_elsewhere(r#"{"vectors":[],"x":"\ud800"}"#, "UnknownError")]
#[case::syntax_before_type(
    r#"{"vectors":[{"key":1,"data":[}]}"#,
    "Request body is not valid JSON: expected a value at byte 29"
)]
#[case::last_type_counts(
    r#"{"vectors":[{"key":"a","key":1,"data":{}}]}"#,
    "Value at '/vectors/0/key' must be a string"
)]
#[case::cut(
    r#"{"vectors":[{"key":"a","data":{"float32":[1."#,
    "Request body is not valid JSON: expected a digit at byte 44"
)]
#[case::comma(
    r#"{"vectors":[{"data":{"float32":[1,]}}]}"#,
    "Request body is not valid JSON: expected a value at byte 34"
)]
#[case::leading_zero(
    r#"{"vectors":[{"data":{"float32":[01]}}]}"#,
    "Request body is not valid JSON: expected `,` or `]` at byte 33"
)]
#[case::nan(
    r#"{"vectors":[{"data":{"float32":[NaN]}}]}"#,
    "Request body is not valid JSON: expected a value at byte 32"
)]
#[case::trailing(r#"{"vectors":[]}}"#, "Request body is not valid JSON: expected the end at byte 14")]
fn refused(#[case] body: &str, #[case] message: &str) {
    assert_eq!(refusal(body), message);
}

#[test]
fn deep_bodies_are_refused_without_recursion() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!(
            "{{\"vectors\":[{{\"metadata\":{}1{}}}]}}",
            open.repeat(1 << 20),
            close.repeat(1 << 20)
        );
        assert!(refusal(&body).contains("less than 128 levels of nesting"));
    }
}

/// A record of the slow parser: key, bits of the values, metadata, faults.
type Plain = (String, Vec<u32>, Option<Value>, Vec<RecordFault>);

/// The definition, over a parsed document. `None`: SerializationException.
fn slow(body: &[u8]) -> Option<Vec<Plain>> {
    let Value::Object(request) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    let records = match request.get("vectors") {
        None | Some(Value::Null) => return Some(Vec::new()),
        Some(vectors) => vectors.as_array()?,
    };
    records.iter().map(slow_record).collect()
}

fn slow_record(record: &Value) -> Option<Plain> {
    let member = |name: &str| record.get(name).filter(|value| !value.is_null());
    record.as_object()?;
    let mut faults = Vec::new();
    let key = match member("key") {
        Some(key) => key.as_str()?.to_owned(),
        None => {
            faults.push(RecordFault::KeyMissing);
            String::new()
        }
    };
    let values = match member("data") {
        None => {
            faults.push(RecordFault::DataMissing);
            None
        }
        Some(data) => {
            let members = data
                .as_object()?
                .iter()
                .filter(|(name, value)| !value.is_null() && *name != "__type");
            let values = match data.get("float32").filter(|values| !values.is_null()) {
                Some(values) => Some(
                    values
                        .as_array()?
                        .iter()
                        .map(slow_value)
                        .collect::<Option<Vec<u32>>>()?,
                ),
                None => None,
            };
            let values = values.filter(|_| members.count() == 1);
            if values.is_none() {
                faults.push(RecordFault::DataUnion);
            }
            values
        }
    };
    Some((key, values.unwrap_or_default(), member("metadata").cloned(), faults))
}

fn slow_value(value: &Value) -> Option<u32> {
    let value = match value {
        Value::Number(number) => number.as_f64()? as f32,
        Value::String(word) if word == "NaN" => f32::NAN,
        Value::String(word) if word == "Infinity" => f32::INFINITY,
        Value::String(word) if word == "-Infinity" => f32::NEG_INFINITY,
        _ => return None,
    };
    Some(value.to_bits())
}

fn fast(body: &[u8]) -> Option<Vec<Plain>> {
    let parsed = parse_put_vectors(body).ok()?;
    let plain = |record: &PutRecord<'_>| {
        let metadata = record.metadata.map(|raw| serde_json::from_str(raw.get()).unwrap());
        let bits = record.vector.iter().map(|value| value.to_bits()).collect();
        (record.key.to_string(), bits, metadata, record.faults.clone())
    };
    Some(parsed.records.iter().map(plain).collect())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(Value::from),
        any::<f32>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| json!(f64::from(value))),
        any::<i32>().prop_map(Value::from),
        prop_oneof![Just("NaN".to_owned()), Just("-Infinity".to_owned()), "\\PC{0,5}"].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::hash_map("(key|data|float32|\\PC{0,3})", inner, 0..4)
                .prop_map(|members| Value::from(members.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

fn any_body() -> impl Strategy<Value = String> {
    let values = proptest::collection::vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 0..6);
    let good = ("\\PC{0,5}", values, proptest::option::of(any_json()))
        .prop_map(|(key, values, metadata)| json!({"key": key, "data": {"float32": values}, "metadata": metadata}));
    let record = prop_oneof![4 => good, 1 => any_json()];
    (proptest::collection::vec(record, 0..4), any::<bool>()).prop_map(|(records, pretty)| {
        let body = json!({"indexName": "i", "vectors": records});
        if pretty { format!("{body:#}") } else { body.to_string() }
    })
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[\\[\\]{}:,\"\\\\0-9eE.+\\- ntfu]{1,3}",
        prop_oneof![
            Just("\\ud800".to_owned()),
            Just("null".to_owned()),
            Just("\"key\":1,".to_owned()),
            Just("\"key\":\"x\",".to_owned()),
            Just("\"data\":{},".to_owned()),
            Just("\u{0}".to_owned())
        ]
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..4, piece);
    (any_body(), proptest::collection::vec(edit, 1..4)).prop_map(|(body, edits)| {
        let mut bytes = body.into_bytes();
        for (at, removed, inserted) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, inserted.bytes());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    #[test]
    fn good_bodies_read_alike(body in any_body()) {
        prop_assert_eq!(fast(body.as_bytes()), slow(body.as_bytes()), "{}", body);
    }

    #[test]
    fn damaged_bodies_read_alike(body in damaged()) {
        // serde_json refuses numbers beyond f64, which here are judged with the vector or the metadata.
        let overflow = serde_json::from_slice::<Value>(&body).is_err_and(|error| error.to_string().contains("out of range"));
        if overflow {
            let _ = parse_put_vectors(&body);
        } else {
            prop_assert_eq!(fast(&body), slow(&body), "{}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn any_bytes_end_without_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_put_vectors(&body);
        let _ = Members::parse(&body);
    }
}

#[test]
fn of_a_vector_that_no_index_takes_only_the_length_is_known() {
    let body = |count: usize| {
        format!(
            r#"{{"vectors":[{{"key":"a","data":{{"float32":[{}]}}}}]}}"#,
            vec!["1"; count].join(",")
        )
    };
    for (count, kept) in [(4096, 4096), (4097, 4097), (4098, 4097), (100_000, 4097)] {
        let text = body(count);
        let parsed = parse(&text);
        let [record] = parsed.records.as_slice() else {
            panic!("one record")
        };
        assert_eq!((record.vector.len(), record.vector_length), (kept, count));
    }
    let wrong = body(100_000).replace("1]", "true]");
    assert_eq!(
        refusal(&wrong),
        "Value at '/vectors/0/data/float32/99999' must be a number"
    );
}
