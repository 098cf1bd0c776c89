//! The scanner against serde_json: the same texts are JSON for both, and strings decode alike.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn is_json(text: &str) -> Result<(), ScanFault> {
    let mut scanner = Scanner::new(text);
    scanner.skip_value()?;
    scanner.end()
}

#[rstest]
#[case::scalars(&["null", "true", "false", "0", "-0", "1", "-1.5", "1e5", "1E+5", "1.0e-5", "\"\"", "\"a\\nb\"", " 1 "])]
#[case::containers(&["[]", "{}", "[ ]", "{ }", "[1,2]", "[[],[{}]]", "{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":1}"])]
#[case::strings(&["\"\\u00e9\\ud83d\\ude00\"", "\"\\\\\\/\\b\\f\\n\\r\\t\\\"\"", "\"é😀\u{7f}\""])]
fn accepted(#[case] texts: &[&str]) {
    for text in texts {
        assert_eq!(is_json(text), Ok(()), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
    }
}

#[rstest]
#[case::numbers(&["+1", ".5", "1.", "01", "-", "-a", "1e", "1e+", "00", "-01", "1.e5", "0x1", "NaN", "Infinity", "-Infinity", "1_0"])]
#[case::commas(&["[1,]", "[,1]", "[1,,2]", "{\"a\":1,}", "{,}", "[1 2]", "{\"a\":1 \"b\":2}"])]
#[case::open(&["[", "{", "[1", "{\"a\"", "{\"a\":", "{\"a\":1", "\"a", "\"a\\", "\"\\u12", "", " ", "]", "}", "[}", "{]"])]
#[case::names(&["{a:1}", "{1:1}", "{'a':1}", "{\"a\" 1}", "{null:1}"])]
#[case::words(&["nul", "nulll", "True", "tru", "falsee", "none", "undefined"])]
#[case::strings(&["'a'", "\"\t\"", "\"\n\"", "\"\\x\"", "\"\\u00g0\"", "\"\\U0000\"", "\"\u{1}\"", "\"\\u+123\""])]
#[case::other(&["// c\n1", "/**/1", "1;", "\u{feff}1", "\u{a0}1", "1 1"])]
fn refused(#[case] texts: &[&str]) {
    for text in texts {
        assert!(is_json(text).is_err(), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }
}

#[rstest]
#[case::high(r#""\ud800""#)]
#[case::high_then_text(r#""\ud800abcdefgh""#)]
#[case::low(r#""\udfff""#)]
#[case::two_high(r#""\ud800\ud800""#)]
#[case::high_then_other(r#""\ud800\u0041""#)]
#[case::high_then_newline(r#""\ud800\n""#)]
#[case::in_a_name(r#"{"\udc00":1}"#)]
fn lone_surrogates(#[case] text: &str) {
    assert_eq!(is_json(text), Err(ScanFault::LoneSurrogate));
}

#[rstest]
#[case::arrays("[", "]")]
#[case::objects("{\"a\":", "}")]
#[case::mixed("[{\"a\":", "}]")]
fn depth_is_bounded(#[case] open: &str, #[case] close: &str) {
    let levels = |count: u32| {
        let repeat = count as usize / open.matches(['[', '{']).count();
        format!("{}1{}", open.repeat(repeat), close.repeat(repeat))
    };
    let deepest = levels(MAX_DEPTH);
    assert!(is_json(&deepest).is_ok());
    assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
    assert!(matches!(is_json(&levels(MAX_DEPTH + 2)), Err(ScanFault::Syntax { .. })));
    assert!(matches!(is_json(&levels(1_000_000)), Err(ScanFault::Syntax { .. })));
}

#[test]
fn a_plain_run_ends_at_the_first_special_byte() {
    for length in 0..40 {
        for special in [b'"', b'\\', 0, 0x1F, b'\n'] {
            let mut bytes = vec![b'a'; 40];
            bytes[length] = special;
            bytes[39] = b'"';
            assert_eq!(plain_run(&bytes, 0), length.min(39));
        }
    }
    assert_eq!(plain_run("é\u{7f}\u{80}aaaaaaaaaa".as_bytes(), 0), 15);
}

/// JSON-like text: pieces of JSON in any order, so that valid and almost valid texts are frequent.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just(" ".to_owned()),
        Just("\"a\"".to_owned()),
        Just("\"a\":".to_owned()),
        Just("1".to_owned()),
        Just("-0.5e-3".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"\\u0041\"".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("\\ud83d".to_owned()),
        Just("\\ude00".to_owned()),
        "\\PC{0,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn same_verdict_as_serde_json(text in pieces()) {
        let ours = is_json(&text);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }

    #[test]
    fn strings_decode_as_serde_json_decodes(text in "\\PC{0,30}", escapes in proptest::bool::ANY) {
        let mut json = serde_json::to_string(&text).unwrap();
        if escapes {
            json = text.encode_utf16().fold("\"".to_owned(), |json, unit| format!("{json}\\u{unit:04x}")) + "\"";
        }
        let mut scanner = Scanner::new(&json);
        prop_assert_eq!(scanner.string().unwrap(), text);
        prop_assert!(scanner.end().is_ok());
        let mut skipping = Scanner::new(&json);
        prop_assert_eq!(skipping.skip_value().unwrap(), json.as_str());
    }

    #[test]
    fn any_bytes_end_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(mut scanner) = Scanner::over(&bytes) {
            let _ = scanner.skip_value();
        }
    }
}
