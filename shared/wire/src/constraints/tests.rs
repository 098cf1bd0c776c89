use rstest::rstest;

use super::*;

const WORDS: [&str; 2] = ["euclidean", "cosine"];

fn members(body: &str) -> Members<'_> {
    Members::parse(body.as_bytes()).unwrap()
}

/// The message of reading `body` with `read`, or "" when nothing is violated.
fn message(body: &str, read: impl FnOnce(&mut Constraints, &Members<'_>)) -> String {
    let mut constraints = Constraints::new();
    read(&mut constraints, &members(body));
    constraints.finish().map_or_else(
        |error| format!("{}: {}", error.shape(), error.message()),
        |()| String::new(),
    )
}

#[rstest]
#[case::fits(r#"{"m":"abc"}"#, "")]
#[case::longest(r#"{"m":"abcdefg"}"#, "")]
#[case::scalars_not_bytes(r#"{"m":"😀😀😀😀😀😀😀"}"#, "")]
#[case::escapes_count_decoded(r#"{"m":"\u0061\ud83d\ude00b"}"#, "")]
#[case::short(
    r#"{"m":"ab"}"#,
    "ValidationException: 1 validation error detected. Value with length 2 at '/m' failed to satisfy constraint: Member must have length between 3 and 7, inclusive"
)]
#[case::long(
    r#"{"m":"abcdefgh"}"#,
    "ValidationException: 1 validation error detected. Value with length 8 at '/m' failed to satisfy constraint: Member must have length between 3 and 7, inclusive"
)]
#[case::absent(
    r#"{}"#,
    "ValidationException: 1 validation error detected. Value at '/m' failed to satisfy constraint: Member must not be null"
)]
#[case::null(
    r#"{"m":null}"#,
    "ValidationException: 1 validation error detected. Value at '/m' failed to satisfy constraint: Member must not be null"
)]
#[case::number(r#"{"m":1}"#, "SerializationException: Value at '/m' must be a string")]
fn strings(#[case] body: &str, #[case] expected: &str) {
    assert_eq!(message(body, |c, m| drop(c.string(m, "m", 3..=7, true))), expected);
}

#[rstest]
#[case("1", Some(1), "")]
#[case("4096", Some(4096), "")]
#[case("5.0", Some(5), "")]
#[case("1e2", Some(100), "")]
#[case(
    "0",
    None,
    "ValidationException: 1 validation error detected. Value at '/m' failed to satisfy constraint: Member must be between 1 and 4096, inclusive"
)]
#[case(
    "99999999999999999999",
    None,
    "ValidationException: 1 validation error detected. Value at '/m' failed to satisfy constraint: Member must be between 1 and 4096, inclusive"
)]
#[case(
    "-1e999",
    None,
    "ValidationException: 1 validation error detected. Value at '/m' failed to satisfy constraint: Member must be between 1 and 4096, inclusive"
)]
#[case("1.5", None, "SerializationException: Value at '/m' must be an integer")]
#[case("\"5\"", None, "SerializationException: Value at '/m' must be an integer")]
#[case("true", None, "SerializationException: Value at '/m' must be an integer")]
fn integers(#[case] value: &str, #[case] expected: Option<i64>, #[case] expected_message: &str) {
    let body = format!("{{\"m\":{value}}}");
    let mut read = None;
    let message = message(&body, |c, m| read = c.integer(m, "m", 1..=4096, true));
    assert_eq!((read, message.as_str()), (expected, expected_message));
}

#[rstest]
#[case("cosine", Some("cosine"), Some("cosine"))]
#[case("COSINE", None, Some("cosine"))]
#[case("dot", None, None)]
fn enumerations(#[case] sent: &str, #[case] exact: Option<&str>, #[case] any_case: Option<&str>) {
    let body = format!(r#"{{"distanceMetric":"{sent}"}}"#);
    let refusal = "ValidationException: 1 validation error detected. Value at '/distanceMetric' failed to satisfy \
                   constraint: Member must satisfy enum value set: [euclidean, cosine]";
    let mut read = None;
    let text = message(&body, |c, m| read = c.enumeration(m, "distanceMetric", &WORDS, true));
    assert_eq!(read.as_deref(), exact);
    assert_eq!(text, if exact.is_some() { "" } else { refusal });
    let text = message(&body, |c, m| {
        read = c.enumeration_any_case(m, "distanceMetric", &WORDS, true)
    });
    assert_eq!(read.as_deref(), any_case);
    assert_eq!(text, if any_case.is_some() { "" } else { refusal });
}

#[test]
fn booleans() {
    let read = |body: &str| Constraints::new().boolean(&members(body), "m");
    assert_eq!(
        (
            read("{\"m\":true}"),
            read("{\"m\":false}"),
            read("{}"),
            read("{\"m\":null}")
        ),
        (Some(true), Some(false), None, None)
    );
    assert_eq!(
        message("{\"m\":\"true\"}", |c, m| assert_eq!(c.boolean(m, "m"), None)),
        "SerializationException: Value at '/m' must be a boolean"
    );
}

#[rstest]
#[case::two("[\"a\",\"b\"]", Some(2), "")]
#[case::none(
    "[]",
    None,
    "1 validation error detected. Value with length 0 at '/keys' failed to satisfy constraint: Member must have length between 1 and 3, inclusive"
)]
#[case::too_many(
    "[\"a\",\"b\",\"c\",\"d\",\"e\"]",
    None,
    "1 validation error detected. Value with length 5 at '/keys' failed to satisfy constraint: Member must have length between 1 and 3, inclusive"
)]
#[case::bad_items(
    "[\"a\",\"\",\"c\"]",
    None,
    "1 validation error detected. Value with length 0 at '/keys/1' failed to satisfy constraint: Member must have length between 1 and 1024, inclusive"
)]
#[case::type_wins("[\"\",1]", None, "Value at '/keys/1' must be a string")]
#[case::null_item("[null]", None, "Value at '/keys/0' must be a string")]
#[case::not_a_list("{}", None, "Value at '/keys' must be a list")]
fn key_lists(#[case] value: &str, #[case] count: Option<usize>, #[case] expected: &str) {
    let body = format!("{{\"keys\":{value}}}");
    let mut read = None;
    let text = message(&body, |c, m| read = c.keys(m, "keys", 1..=3, true));
    assert_eq!(read.map(|keys| keys.len()), count);
    assert_eq!(text.split_once(": ").map_or("", |(_, message)| message), expected);
}

#[rstest]
#[case::most("😀".repeat(512), true)]
#[case::one_more(format!("{}a", "😀".repeat(512)), false)]
#[case::three_byte_characters("あ".repeat(1024), true)]
fn keys_are_counted_in_utf16_units(#[case] key: String, #[case] fits: bool) {
    let body = format!("{{\"keys\":[\"{key}\"]}}");
    let mut constraints = Constraints::new();
    assert_eq!(constraints.keys(&members(&body), "keys", 1..=3, true).is_some(), fits);
    let mut constraints = Constraints::new();
    assert!(
        constraints
            .strings(&members(&body), "keys", 1..=3, 1..=1024, true)
            .is_some()
    );
}

#[test]
fn maps_keep_order_and_the_last_duplicate() {
    let body = members(r#"{"tags":{"b":"1","a":"2","b":"3"}}"#);
    let map = Constraints::new().string_map(&body, "tags", 50, true).unwrap();
    assert_eq!(
        map,
        [("b".to_owned(), "3".to_owned()), ("a".to_owned(), "2".to_owned())]
    );
    let text = message(r#"{"tags":{"a":1}}"#, |c, m| drop(c.string_map(m, "tags", 50, true)));
    assert_eq!(text, "SerializationException: Value at '/tags/a' must be a string");
    let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":\"\"")).collect();
    let body = format!("{{\"tags\":{{{}}}}}", many.join(","));
    assert_eq!(
        Constraints::new()
            .string_map(&members(&body), "tags", 50, true)
            .unwrap()
            .len(),
        51
    );
}

#[rstest]
#[case::fine(r#"{"float32":[1,-2.5e0,"NaN"]}"#, "")]
#[case::type_member(r#"{"__type":"VectorData","float32":[1]}"#, "")]
#[case::empty(
    "{}",
    "ValidationException: 1 validation error detected. Value at '/queryVector' failed to satisfy constraint: Member must have exactly one member, float32"
)]
#[case::other(
    r#"{"float64":[1]}"#,
    "ValidationException: 1 validation error detected. Value at '/queryVector' failed to satisfy constraint: Member must have exactly one member, float32"
)]
#[case::two(
    r#"{"float32":[1],"int8":[1]}"#,
    "ValidationException: 1 validation error detected. Value at '/queryVector' failed to satisfy constraint: Member must have exactly one member, float32"
)]
#[case::null_item(
    r#"{"float32":[1,null]}"#,
    "SerializationException: Value at '/queryVector/float32/1' must be a number"
)]
#[case::not_a_list(
    r#"{"float32":1}"#,
    "SerializationException: Value at '/queryVector/float32' must be a list"
)]
#[case::not_an_object("[1]", "SerializationException: Value at '/queryVector' must be an object")]
fn vectors(#[case] value: &str, #[case] expected: &str) {
    let body = format!("{{\"queryVector\":{value}}}");
    assert_eq!(message(&body, |c, m| drop(c.vector(m, "queryVector", true))), expected);
}

#[test]
fn all_violations_are_in_one_answer() {
    let body = members(r#"{"vectorBucketName":"ab","dimension":0,"encryptionConfiguration":{"sseType":"x"}}"#);
    let mut constraints = Constraints::new();
    constraints.string(&body, "vectorBucketName", 3..=63, false);
    constraints.string(&body, "indexName", 3..=63, true);
    constraints.integer(&body, "dimension", 1..=4096, true);
    let nested = constraints.object(&body, "encryptionConfiguration", false).unwrap();
    constraints.enumeration(&nested, "sseType", &["AES256", "aws:kms"], false);
    constraints.pattern("/tags", "[a-z]*");
    let error = constraints.finish().unwrap_err();
    let paths: Vec<&str> = error.fields().iter().map(|field| field.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/vectorBucketName",
            "/indexName",
            "/dimension",
            "/encryptionConfiguration/sseType",
            "/tags"
        ]
    );
    assert!(error.message().starts_with(
        "5 validation errors detected. Value with length 2 at '/vectorBucketName' failed to satisfy constraint: \
         Member must have length between 3 and 63, inclusive; Value at '/indexName' failed to satisfy constraint: \
         Member must not be null; "
    ));
    assert_eq!(
        error.fields()[1].message,
        "Value at '/indexName' failed to satisfy constraint: Member must not be null"
    );
}
