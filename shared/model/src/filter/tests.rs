use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::limits;
use crate::metadata::Metadata;

const BOTH: [Strictness; 2] = [Strictness::Lenient, Strictness::Strict];

fn accepted(filter: &str, strictness: Strictness) -> bool {
    Filter::parse(filter, strictness).is_ok()
}

/// API.md 6.1: the rows that both readers accept.
#[rstest]
#[case::string(r#"{"f":"x"}"#)]
#[case::number(r#"{"f":1.5}"#)]
#[case::boolean(r#"{"f":false}"#)]
#[case::empty_field(r#"{"":"x"}"#)]
#[case::dotted_field(r#"{"a.b":1}"#)]
#[case::eq(r#"{"f":{"$eq":"x"}}"#)]
#[case::ne(r#"{"f":{"$ne":true}}"#)]
#[case::range(r#"{"f":{"$gt":1}}"#)]
#[case::several_operators(r#"{"f":{"$gte":1,"$lt":2e3}}"#)]
#[case::members(r#"{"f":{"$in":["x",1,true]}}"#)]
#[case::not_members(r#"{"f":{"$nin":[1]}}"#)]
#[case::exists(r#"{"f":{"$exists":true}}"#)]
#[case::starts_with(r#"{"f":{"$startsWith":""}}"#)]
#[case::and(r#"{"$and":[{"f":1}]}"#)]
#[case::or(r#"{"$or":[{"f":1},{"$and":[{"g":2},{"h":{"$ne":3}}]}]}"#)]
#[case::spaces(" { \"f\" : { \"$lte\" : -1 } } ")]
fn grammar_accepts(#[case] filter: &str) {
    for strictness in BOTH {
        assert!(accepted(filter, strictness), "{strictness:?}");
    }
}

/// API.md 6.1: the rows that both readers refuse, and what the lenient one says.
#[rstest]
#[case::empty("{}", "filter at /")]
#[case::null("null", "filter at /")]
#[case::array("[]", "filter at /")]
#[case::not_json("{", "filter at /")]
#[case::null_operand(r#"{"f":null}"#, "$eq at /f")]
#[case::bare_array(r#"{"f":["x"]}"#, "$eq at /f")]
#[case::no_operators(r#"{"f":{}}"#, "field at /f")]
#[case::no_operator(r#"{"f":{"x":1}}"#, "x at /f/x")]
#[case::eq_null(r#"{"f":{"$eq":null}}"#, "$eq at /f/$eq")]
#[case::eq_array(r#"{"f":{"$eq":["x"]}}"#, "$eq at /f/$eq")]
#[case::ne_object(r#"{"f":{"$ne":{"a":1}}}"#, "$ne at /f/$ne")]
#[case::gt_text(r#"{"f":{"$gt":"1"}}"#, "$gt at /f/$gt")]
#[case::gte_boolean(r#"{"f":{"$gte":true}}"#, "$gte at /f/$gte")]
#[case::lt_null(r#"{"f":{"$lt":null}}"#, "$lt at /f/$lt")]
#[case::lte_array(r#"{"f":{"$lte":[1]}}"#, "$lte at /f/$lte")]
#[case::gt_infinite(r#"{"f":{"$gt":1e400}}"#, "$gt at /f/$gt")]
#[case::eq_infinite(r#"{"f":-1e400}"#, "$eq at /f")]
#[case::in_empty(r#"{"f":{"$in":[]}}"#, "$in at /f/$in")]
#[case::in_null(r#"{"f":{"$in":[1,null]}}"#, "$in at /f/$in/1")]
#[case::in_array(r#"{"f":{"$in":[[1]]}}"#, "$in at /f/$in/0")]
#[case::in_scalar(r#"{"f":{"$in":"x"}}"#, "$in at /f/$in")]
#[case::nin_empty(r#"{"f":{"$nin":[]}}"#, "$nin at /f/$nin")]
#[case::nin_object(r#"{"f":{"$nin":[{"a":1}]}}"#, "$nin at /f/$nin/0")]
#[case::exists_text(r#"{"f":{"$exists":"true"}}"#, "$exists at /f/$exists")]
#[case::exists_number(r#"{"f":{"$exists":1}}"#, "$exists at /f/$exists")]
#[case::exists_null(r#"{"f":{"$exists":null}}"#, "$exists at /f/$exists")]
#[case::starts_with_number(r#"{"f":{"$startsWith":1}}"#, "$startsWith at /f/$startsWith")]
#[case::starts_with_null(r#"{"f":{"$startsWith":null}}"#, "$startsWith at /f/$startsWith")]
#[case::and_empty(r#"{"$and":[]}"#, "$and at /$and")]
#[case::and_object(r#"{"$and":{"f":1}}"#, "$and at /$and")]
#[case::and_of_empty(r#"{"$and":[{}]}"#, "filter at /$and/0")]
#[case::or_of_text(r#"{"$or":[{"f":1},"x"]}"#, "filter at /$or/1")]
#[case::or_null(r#"{"$or":null}"#, "$or at /$or")]
#[case::unknown_operator(r#"{"f":{"$regex":"x"}}"#, "$regex at /f/$regex")]
#[case::dollar_field(r#"{"$f":"x"}"#, "$f at /$f")]
#[case::operator_on_top(r#"{"$gt":1}"#, "$gt at /$gt")]
#[case::not(r#"{"$not":{"f":1}}"#, "$not at /$not")]
#[case::and_in_field(r#"{"f":{"$and":[{"g":1}]}}"#, "$and at /f/$and")]
#[case::or_in_field(r#"{"f":{"$or":[1,2]}}"#, "$or at /f/$or")]
#[case::one_bad_operator(r#"{"f":{"$gt":1,"$like":2}}"#, "$like at /f/$like")]
#[case::given_twice(r#"{"f":1,"f":2}"#, "f at /f")]
#[case::operator_twice(r#"{"f":{"$gt":1,"$gt":2}}"#, "$gt at /f/$gt")]
#[case::pointer_escapes(r#"{"a/b~c":null}"#, "$eq at /a~1b~0c")]
#[case::lone_surrogate(r#"{"f":"\ud800"}"#, "$eq at /f")]
fn grammar_refuses(#[case] filter: &str, #[case] detail: &str) {
    let lenient = Filter::parse(filter, Strictness::Lenient).unwrap_err();
    assert_eq!(lenient.to_string(), format!("Invalid filter: {detail}"));
    assert!(lenient.detail().starts_with(&lenient.to_string()));
    let strict = Filter::parse(filter, Strictness::Strict).unwrap_err();
    assert_eq!(strict.to_string(), "Invalid filter");
    assert_eq!(strict.detail(), "Invalid filter");
}

/// API.md 17, point 1.
#[rstest]
#[case::two_fields(r#"{"a":1,"b":2}"#, r#"{"$and":[{"a":1},{"b":2}]}"#)]
#[case::and_beside_field(r#"{"$and":[{"a":1}],"b":2}"#, r#"{"$and":[{"$and":[{"a":1}]},{"b":2}]}"#)]
#[case::and_beside_or(
    r#"{"$and":[{"a":1}],"$or":[{"b":2}]}"#,
    r#"{"$and":[{"$and":[{"a":1}]},{"$or":[{"b":2}]}]}"#
)]
#[case::nested(r#"{"$or":[{"a":1,"b":2}]}"#, r#"{"$or":[{"$and":[{"a":1},{"b":2}]}]}"#)]
fn several_keys_mean_and_for_the_lenient(#[case] implicit: &str, #[case] explicit: &str) {
    let lenient = Filter::parse(implicit, Strictness::Lenient).unwrap();
    assert_eq!(lenient, Filter::parse(explicit, Strictness::Strict).unwrap());
    assert!(!accepted(implicit, Strictness::Strict));
}

#[rstest]
#[case(r#"{"a":1}"#, &["a"], 1)]
#[case(r#"{"a":{"$gt":1,"$lt":5}}"#, &["a"], 2)]
#[case(r#"{"a":{"$in":[1,2,3]}}"#, &["a"], 3)]
#[case(r#"{"$and":[{"b":1},{"$or":[{"a":{"$exists":true}},{"b":{"$nin":["x","y"]}}]}]}"#, &["b", "a"], 4)]
fn keys_and_constraints(#[case] filter: &str, #[case] keys: &[&str], #[case] constraints: usize) {
    let filter = Filter::parse(filter, Strictness::Strict).unwrap();
    assert_eq!(filter.keys(), keys);
    assert_eq!(filter.constraint_count(), constraints);
}

#[rstest]
#[case::strict(Strictness::Strict, limits::STRICT_FILTER_CONSTRAINTS)]
#[case::lenient(Strictness::Lenient, limits::FILTER_CONSTRAINTS)]
fn constraints_are_bounded(#[case] strictness: Strictness, #[case] most: usize) {
    let members = |count: usize| json!({"f": {"$in": vec![1; count]}}).to_string();
    let operators = |count: usize| json!({"$or": vec![json!({"f": {"$gt": 1}}); count]}).to_string();
    for filter in [members, operators] {
        assert!(accepted(&filter(most), strictness));
        assert!(!accepted(&filter(most + 1), strictness));
    }
}

#[rstest]
#[case::deepest(limits::FILTER_DEPTH - 1, true)]
#[case::too_deep(limits::FILTER_DEPTH, false)]
#[case::absurd(50_000, false)]
fn depth_is_bounded(#[case] wrappers: usize, #[case] legal: bool) {
    let filter = format!("{}{{\"f\":1}}{}", "{\"$and\":[".repeat(wrappers), "]}".repeat(wrappers));
    for strictness in BOTH {
        assert_eq!(accepted(&filter, strictness), legal);
    }
}

#[test]
fn length_is_bounded_and_messages_stay_short() {
    let filter = |length: usize| format!("{{\"f\":\"{}\"}}", "x".repeat(length));
    assert!(accepted(&filter(limits::FILTER_BYTES - 8), Strictness::Strict));
    assert!(!accepted(&filter(limits::FILTER_BYTES - 7), Strictness::Strict));
    let fault = Filter::parse(&format!("{{\"${}\":1}}", "x".repeat(10_000)), Strictness::Lenient).unwrap_err();
    assert!(fault.to_string().len() < 500);
}

/// API.md 6.2, row by row.
#[rstest]
#[case::eq(r#"{"f":"x"}"#, r#"{"f":"x"}"#, true)]
#[case::case_matters(r#"{"f":"x"}"#, r#"{"f":"X"}"#, false)]
#[case::boolean_is_no_text(r#"{"f":"true"}"#, r#"{"f":true}"#, false)]
#[case::text_is_no_number(r#"{"f":1}"#, r#"{"f":"1"}"#, false)]
#[case::one_is_one(r#"{"f":1.0}"#, r#"{"f":1}"#, true)]
#[case::exact_decimals(r#"{"f":0.30000000000000004}"#, r#"{"f":0.3}"#, false)]
#[case::beyond_f64_integers(r#"{"f":9007199254740993}"#, r#"{"f":9007199254740992}"#, true)]
#[case::minus_zero(r#"{"f":-0}"#, r#"{"f":0.0}"#, true)]
#[case::missing_eq(r#"{"f":"x"}"#, "{}", false)]
#[case::missing_range(r#"{"f":{"$lt":1}}"#, "{}", false)]
#[case::missing_in(r#"{"f":{"$in":["x"]}}"#, "{}", false)]
#[case::missing_ne(r#"{"f":{"$ne":"x"}}"#, "{}", MISSING_KEY_MATCHES_NEGATION)]
#[case::missing_nin(r#"{"f":{"$nin":["x"]}}"#, "{}", MISSING_KEY_MATCHES_NEGATION)]
#[case::missing_starts_with(r#"{"f":{"$startsWith":""}}"#, "{}", false)]
#[case::exists(r#"{"f":{"$exists":true}}"#, r#"{"f":false}"#, true)]
#[case::exists_not(r#"{"f":{"$exists":true}}"#, r#"{"g":1}"#, false)]
#[case::absent(r#"{"f":{"$exists":false}}"#, "{}", true)]
#[case::absent_not(r#"{"f":{"$exists":false}}"#, r#"{"f":"x"}"#, false)]
#[case::any_element(r#"{"f":"b"}"#, r#"{"f":["a","b"]}"#, true)]
#[case::any_number(r#"{"f":{"$in":[7,2.0]}}"#, r#"{"f":[1,2]}"#, true)]
#[case::no_element(r#"{"f":{"$ne":"b"}}"#, r#"{"f":["a","b"]}"#, false)]
#[case::no_element_equal(r#"{"f":{"$nin":["x","y"]}}"#, r#"{"f":["a","b"]}"#, true)]
#[case::array_in_no_range(r#"{"f":{"$gt":0}}"#, r#"{"f":[1,2]}"#, false)]
#[case::array_starts_with(r#"{"f":{"$startsWith":"be"}}"#, r#"{"f":["a","bee"]}"#, true)]
#[case::number_starts_with_nothing(r#"{"f":{"$startsWith":""}}"#, r#"{"f":1}"#, false)]
#[case::no_range_on_texts(r#"{"f":{"$gte":0}}"#, r#"{"f":"5"}"#, false)]
#[case::other_type_is_not_equal(r#"{"f":{"$ne":1}}"#, r#"{"f":"1"}"#, true)]
#[case::inclusive(r#"{"f":{"$gte":1,"$lte":1}}"#, r#"{"f":1}"#, true)]
#[case::exclusive(r#"{"f":{"$gt":1}}"#, r#"{"f":1}"#, false)]
#[case::below(r#"{"f":{"$lt":1}}"#, r#"{"f":0.5}"#, true)]
#[case::dots_are_literal(r#"{"a.b":1}"#, r#"{"a.b":1}"#, true)]
#[case::or(r#"{"$or":[{"f":1},{"g":2}]}"#, r#"{"g":2}"#, true)]
#[case::and(r#"{"$and":[{"f":1},{"g":2}]}"#, r#"{"g":2}"#, false)]
fn meaning(#[case] filter: &str, #[case] metadata: &str, #[case] matches: bool) {
    let metadata = Metadata::parse(metadata).unwrap();
    assert_eq!(
        Filter::parse(filter, Strictness::Strict).unwrap().matches(&metadata),
        matches
    );
}

/// The meaning once more, on plain JSON values and in one piece, to be compared with the real one.
mod naive {
    use serde_json::{Map, Value};

    pub(super) fn matches(filter: &Value, document: &Map<String, Value>) -> bool {
        filter
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, operand)| match key.as_str() {
                "$and" => operand
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|filter| matches(filter, document)),
                "$or" => operand
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|filter| matches(filter, document)),
                field => {
                    let stored = document.get(field);
                    match operand {
                        Value::Object(operators) => {
                            operators.iter().all(|(name, operand)| holds(name, operand, stored))
                        }
                        scalar => holds("$eq", scalar, stored),
                    }
                }
            })
    }

    fn holds(name: &str, operand: &Value, stored: Option<&Value>) -> bool {
        let candidates: Vec<&Value> = match stored {
            None => vec![],
            Some(Value::Array(elements)) => elements.iter().collect(),
            Some(scalar) => vec![scalar],
        };
        let alone = stored.and_then(Value::as_f64);
        let bound = operand.as_f64();
        match name {
            "$eq" => candidates.iter().any(|candidate| same(candidate, operand)),
            "$ne" => !holds("$eq", operand, stored),
            "$in" => operand.as_array().unwrap().iter().any(|one| holds("$eq", one, stored)),
            "$nin" => !holds("$in", operand, stored),
            "$gt" => alone.is_some_and(|value| value > bound.unwrap()),
            "$gte" => alone.is_some_and(|value| value >= bound.unwrap()),
            "$lt" => alone.is_some_and(|value| value < bound.unwrap()),
            "$lte" => alone.is_some_and(|value| value <= bound.unwrap()),
            "$exists" => stored.is_some() == operand.as_bool().unwrap(),
            "$startsWith" => {
                let prefix = operand.as_str().unwrap();
                candidates
                    .iter()
                    .any(|candidate| candidate.as_str().is_some_and(|text| text.starts_with(prefix)))
            }
            _ => unreachable!("{name}"),
        }
    }

    fn same(a: &Value, b: &Value) -> bool {
        match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        }
    }
}

// Few fields and few values, so that filters and documents meet.
fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "", "a.b", "\u{e9}"]).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["", "1", "true", "x", "xy", "\u{e9}\"\n"]).prop_map(Value::from)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![json!(0), json!(1), json!(1.0), json!(-2.5), json!(1e300)]),
        (-3_i64..3).prop_map(Value::from)
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![text(), number(), any::<bool>().prop_map(Value::from)]
}

fn document() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let value = prop_oneof![
        3 => scalar(),
        1 => prop::collection::vec(text(), 1..4).prop_map(Value::from),
        1 => prop::collection::vec(number(), 1..4).prop_map(Value::from),
    ];
    prop::collection::vec((field(), value), 0..5).prop_map(|entries| entries.into_iter().collect())
}

fn operator() -> impl Strategy<Value = (String, Value)> {
    let with = |names: &[&'static str], operand: BoxedStrategy<Value>| {
        (prop::sample::select(names.to_vec()).prop_map(str::to_owned), operand)
    };
    prop_oneof![
        with(&["$eq", "$ne"], scalar().boxed()),
        with(&["$gt", "$gte", "$lt", "$lte"], number().boxed()),
        with(
            &["$in", "$nin"],
            prop::collection::vec(scalar(), 1..4).prop_map(Value::from).boxed()
        ),
        with(&["$exists"], any::<bool>().prop_map(Value::from).boxed()),
        with(&["$startsWith"], text().boxed()),
    ]
}

fn filter() -> impl Strategy<Value = Value> {
    let operators = prop::collection::vec(operator(), 1..3).prop_map(Value::from_iter);
    let one_field =
        (field(), prop_oneof![scalar(), operators]).prop_map(|(field, value)| Value::from_iter([(field, value)]));
    one_field.prop_recursive(4, 24, 4, |inner| {
        let filters = prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from);
        let nested = (prop::sample::select(vec!["$and", "$or"]), filters)
            .prop_map(|(name, filters)| Value::from_iter([(name.to_owned(), filters)]));
        // Two objects in one: what the lenient reader takes for AND.
        let merged = (nested.clone(), inner).prop_map(|(mut a, b)| {
            a.as_object_mut().unwrap().extend(b.as_object().unwrap().clone());
            a
        });
        prop_oneof![3 => nested, 1 => merged]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_the_naive_evaluator(filter in filter(), document in document()) {
        let parsed = Filter::parse(&filter.to_string(), Strictness::Lenient).unwrap();
        let metadata = Metadata::parse(&Value::from(document.clone()).to_string()).unwrap();
        prop_assert_eq!(parsed.matches(&metadata), naive::matches(&filter, &document));
    }

    #[test]
    fn strict_readers_accept_a_part_and_mean_the_same(filter in filter(), document in document()) {
        let metadata = Metadata::parse(&Value::from(document).to_string()).unwrap();
        let lenient = Filter::parse(&filter.to_string(), Strictness::Lenient).unwrap();
        if let Ok(strict) = Filter::parse(&filter.to_string(), Strictness::Strict) {
            prop_assert_eq!(strict.matches(&metadata), lenient.matches(&metadata));
        }
    }

    #[test]
    fn refusals_never_panic(text in r#"[{}\[\]:,"$a-e0-9. ]{0,40}"#) {
        for strictness in BOTH {
            if let Err(fault) = Filter::parse(&text, strictness) {
                prop_assert!(fault.to_string().starts_with("Invalid filter"));
            }
        }
    }
}

fn canonical(json: &str) -> String {
    Filter::parse(json, Strictness::Lenient).unwrap().canonical()
}

#[rstest]
#[case::operators(r#"{"n":{"$gte":0,"$lt":50}}"#, r#"{"n":{"$lt":50,"$gte":0}}"#)]
#[case::spaces(r#"{"n":{"$gte":0}}"#, r#"{ "n" : { "$gte" : 0 } }"#)]
#[case::numbers(r#"{"n":50}"#, r#"{"n":5.0e1}"#)]
#[case::zero(r#"{"n":0}"#, r#"{"n":-0.0}"#)]
#[case::escapes(r#"{"n":"a"}"#, r#"{"\u006e":"\u0061"}"#)]
#[case::eq(r#"{"n":1}"#, r#"{"n":{"$eq":1}}"#)]
#[case::members(r#"{"n":1,"m":2}"#, r#"{"m":2,"n":1}"#)]
#[case::and(r#"{"n":1,"m":2}"#, r#"{"$and":[{"n":1},{"m":2}]}"#)]
#[case::nested(
    r#"{"$and":[{"a":1},{"$and":[{"b":2},{"c":3}]}]}"#,
    r#"{"$and":[{"c":3},{"a":1},{"b":2}]}"#
)]
#[case::range_and(r#"{"n":{"$gt":1,"$lt":2}}"#, r#"{"$and":[{"n":{"$lt":2}},{"n":{"$gt":1}}]}"#)]
#[case::or(r#"{"$or":[{"a":1},{"b":2}]}"#, r#"{"$or":[{"b":2},{"a":1},{"b":2}]}"#)]
#[case::alone(r#"{"$or":[{"a":1}]}"#, r#"{"$and":[{"a":1}]}"#)]
#[case::sets(r#"{"a":{"$in":[1,"x",true]}}"#, r#"{"a":{"$in":[true,"x",1.0,1]}}"#)]
fn the_same_question_has_one_text(#[case] one: &str, #[case] other: &str) {
    assert_eq!(canonical(one), canonical(other));
}

#[test]
fn other_questions_have_other_texts() {
    let filters = [
        r#"{"n":1}"#,
        r#"{"n":2}"#,
        r#"{"m":1}"#,
        r#"{"n":"1"}"#,
        r#"{"n":true}"#,
        r#"{"n":"true"}"#,
        r#"{"n":{"$ne":1}}"#,
        r#"{"n":{"$gt":1}}"#,
        r#"{"n":{"$gte":1}}"#,
        r#"{"n":{"$lt":1}}"#,
        r#"{"n":{"$lte":1}}"#,
        r#"{"n":{"$in":[1]}}"#,
        r#"{"n":{"$in":[1,2]}}"#,
        r#"{"n":{"$in":["1","2"]}}"#,
        r#"{"n":{"$in":["1,2"]}}"#,
        r#"{"n":{"$nin":[1]}}"#,
        r#"{"n":{"$exists":true}}"#,
        r#"{"n":{"$exists":false}}"#,
        r#"{"n":{"$startsWith":"1"}}"#,
        r#"{"n":{"$startsWith":""}}"#,
        r#"{"n":1,"m":1}"#,
        r#"{"$or":[{"n":1},{"m":1}]}"#,
        r#"{"$or":[{"n":1},{"$and":[{"m":1},{"k":1}]}]}"#,
        r#"{"$and":[{"n":1},{"$or":[{"m":1},{"k":1}]}]}"#,
        r#"{"n=1:1":"x"}"#,
        r#"{"n":"=1:1x"}"#,
    ];
    let mut texts: Vec<String> = filters.iter().map(|filter| canonical(filter)).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), filters.len());
}
