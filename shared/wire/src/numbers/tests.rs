use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// The definition: text -> f64 -> f32.
fn expected(text: &str) -> u32 {
    (text.parse::<f64>().unwrap() as f32).to_bits()
}

fn read(text: &str) -> u32 {
    let values = parse_f32_array(&format!("[{text}]")).unwrap();
    assert_eq!(values.len(), 1);
    values[0].to_bits()
}

#[rstest]
#[case::plain(&["0", "-0", "0.0", "1", "-1", "1.5", "123456789", "12345678.9", "0.1", "0.12345678901234567"])]
#[case::python(&["0.10000000149011612", "-0.9999999403953552", "1.401298464324817e-45", "9.999999747378752e-05", "1e-06", "16777216.0"])]
#[case::extremes(&["3.4028234663852886e+38", "3.40282357e38", "1.1754943508222875e-38", "1.5e-45", "1e-46", "7e-46", "1e39", "-1e39", "1e999", "-1e999", "1e-999"])]
#[case::halfway(&["1.00000005960464477539062500", "1.000000059604644775390625", "1.00000005960464477539062501", "1.00000017881393432617187500", "16777217", "16777217.0000001"])]
#[case::double_rounding(&["1.00000005960464490", "1.000000059604644830", "0.5000000298023223876953125001"])]
#[case::long(&["12345678901234567890123", "0.00000000000000000000012345678901234567", "1234567890.12345678901234567890e-10", "0.0000000000000000000000000000000000000000000000000001e50"])]
#[case::exponents(&["1e0", "1E5", "1e+5", "1e-5", "1e22", "1e23", "123e-44", "123e-45", "9e99999999999999", "9e-99999999999999", "0e99999999999"])]
fn numbers_round_twice(#[case] texts: &[&str]) {
    for text in texts {
        assert_eq!(read(text), expected(text), "{text}");
    }
}

#[rstest]
#[case("[]", &[])]
#[case(" [ 1 ,\n2\t,3 ] ", &[1.0, 2.0, 3.0])]
#[case("[\"Infinity\",\"-Infinity\",1e0]", &[f32::INFINITY, f32::NEG_INFINITY, 1.0])]
fn arrays(#[case] text: &str, #[case] values: &[f32]) {
    assert_eq!(parse_f32_array(text).unwrap(), values);
}

#[test]
fn nan_is_read() {
    assert!(parse_f32_array("[\"NaN\"]").unwrap()[0].is_nan());
}

#[rstest]
#[case::syntax(&["[1,]", "[,1]", "[1 2]", "[1", "[", "[01]", "[+1]", "[.5]", "[1.]", "[-]", "[1e]", "[1e+]", "[1.e5]", "[NaN]", "[Infinity]", "[-Infinity]", "[1]]", "[1] x", "[0x10]", "[1_0]", "[--1]", "[1.2.3]", "[00]", "[-01]"], "not valid JSON")]
#[case::types(&["[null]", "[true]", "[\"1\"]", "[\"nan\"]", "[[1]]", "[{}]", "[\"\"]"], "not a number")]
#[case::no_array(&["1", "{}", "null", "\"[1]\"", ""], "not an array")]
fn refused(#[case] texts: &[&str], #[case] what: &str) {
    for text in texts {
        let fault = parse_f32_array(text).unwrap_err();
        assert_eq!(fault.what, what, "{text}");
    }
}

#[test]
fn faults_name_the_item() {
    assert_eq!(
        parse_f32_array("[1,2,null,4]").unwrap_err(),
        NumberFault {
            what: "not a number",
            item: 2
        }
    );
    assert_eq!(parse_f32_array("[1,2,x]").unwrap_err().item, 2);
}

#[rstest]
#[case(0.0, "0.0")]
#[case(-0.0, "-0.0")]
#[case(0.1, "0.1")]
#[case(1.0, "1.0")]
#[case(f32::MAX, "3.4028235e38")]
#[case(f32::from_bits(1), "1e-45")]
#[case(f32::NAN, "\"NaN\"")]
#[case(f32::INFINITY, "\"Infinity\"")]
#[case(f32::NEG_INFINITY, "\"-Infinity\"")]
fn written(#[case] value: f32, #[case] text: &str) {
    let mut out = Vec::new();
    write_f32(&mut out, value);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.replace("e+", "e"), text);
    assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(5_000)))]

    #[test]
    fn every_f32_as_python_prints_it(bits: u32) {
        let value = f32::from_bits(bits);
        prop_assume!(value.is_finite());
        let text = format!("{}", serde_json::Value::from(f64::from(value)));
        prop_assert_eq!(read(&text), bits, "{}", text);
    }

    #[test]
    fn every_double(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        for text in [format!("{value:?}"), format!("{value:e}"), format!("{value}")] {
            prop_assert_eq!(read(&text), expected(&text), "{}", text);
        }
    }

    #[test]
    fn doubles_around_the_boundary_of_two_floats(bits in 0x0080_0000_u32..0x7F00_0000, off in -40_i64..40) {
        let boundary = f64::from(f32::from_bits(bits)).to_bits() + 0x1000_0000;
        let value = f64::from_bits(boundary.wrapping_add_signed(off));
        let text = format!("{value:?}");
        prop_assert_eq!(read(&text), expected(&text), "{}", text);
    }

    #[test]
    fn any_decimal(whole in "(0|[1-9][0-9]{0,21})", fraction in "(\\.[0-9]{1,30})?", exponent in "([eE][+-]?[0-9]{1,3})?", minus: bool) {
        let text = format!("{}{whole}{fraction}{exponent}", if minus { "-" } else { "" });
        prop_assert_eq!(read(&text), expected(&text), "{}", text);
    }

    #[test]
    fn written_is_read_back(bits: u32) {
        let value = f32::from_bits(bits);
        prop_assume!(value.is_finite());
        let mut out = Vec::new();
        write_f32(&mut out, value);
        prop_assert_eq!(read(std::str::from_utf8(&out).unwrap()), bits);
    }

    #[test]
    fn any_text_ends_without_panic(text in "[\\[\\]0-9eE.,+ \\-\"NaIfinty]{0,40}") {
        let ours = parse_f32_array(&text);
        if ours.is_ok() {
            prop_assert!(serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(&text).is_ok());
        }
    }
}
