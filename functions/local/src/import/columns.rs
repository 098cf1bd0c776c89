//! Arrow columns -> JSON text of metadata values. Null, NaN (which data frames write for null) and empty lists are left
//! out, since S3 Vectors has none of them.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use wire::JsonWriter;

/// Calls a macro-like body with the array downcast to the primitive type that a `DataType` names.
macro_rules! for_integers {
    ($array:expr, $kind:expr, $body:expr, $else:expr) => {
        match $kind {
            DataType::Int8 => $body($array.as_primitive::<Int8Type>()),
            DataType::Int16 => $body($array.as_primitive::<Int16Type>()),
            DataType::Int32 => $body($array.as_primitive::<Int32Type>()),
            DataType::Int64 => $body($array.as_primitive::<Int64Type>()),
            DataType::UInt8 => $body($array.as_primitive::<UInt8Type>()),
            DataType::UInt16 => $body($array.as_primitive::<UInt16Type>()),
            DataType::UInt32 => $body($array.as_primitive::<UInt32Type>()),
            DataType::UInt64 => $body($array.as_primitive::<UInt64Type>()),
            _ => $else,
        }
    };
}

/// Whether a column of this type can be metadata.
pub(super) fn is_metadata_type(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) => is_element_type(item.data_type()),
        DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) | DataType::Null => true,
        other => is_element_type(other),
    }
}

fn is_element_type(kind: &DataType) -> bool {
    let text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    text || kind.is_integer() || kind.is_floating() || matches!(kind, DataType::Decimal128(..))
}

/// The value as a key: text or an integer. `None` for null and for other types.
pub(super) fn key_into(array: &dyn Array, row: usize, key: &mut String) -> Option<()> {
    if array.is_null(row) {
        return None;
    }
    key.clear();
    if let Some(text) = text(array, row) {
        key.push_str(text);
    } else {
        key.push_str(&integer(array, row)?);
    }
    Some(())
}

/// Writes `"name":value`, or nothing.
pub(super) fn write_member(out: &mut JsonWriter, name: &str, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        return;
    }
    match array.data_type() {
        DataType::List(_) => write_list(out, name, &array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => write_list(out, name, &array.as_list::<i64>().value(row)),
        _ => {
            if let Some(value) = scalar(array, row) {
                value.write(out.name(name));
            }
        }
    }
}

fn write_list(out: &mut JsonWriter, name: &str, items: &dyn Array) {
    let values = (0..items.len())
        .filter(|item| items.is_valid(*item))
        .filter_map(|item| scalar(items, item));
    let mut values = values.peekable();
    if values.peek().is_none() {
        return;
    }
    out.name(name).begin_array();
    for value in values {
        value.write(out);
    }
    out.end_array();
}

enum Scalar<'a> {
    Text(&'a str),
    Owned(String),
    /// JSON text of a number.
    Number(String),
    Float(f32),
    Boolean(bool),
}

impl Scalar<'_> {
    fn write(&self, out: &mut JsonWriter) {
        match self {
            Self::Text(text) => out.string(text),
            Self::Owned(text) => out.string(text),
            Self::Number(text) => out.raw(text),
            Self::Float(value) => out.f32(*value),
            Self::Boolean(truth) => out.boolean(*truth),
        };
    }
}

/// A value that is not null.
fn scalar(array: &dyn Array, row: usize) -> Option<Scalar<'_>> {
    if let Some(text) = text(array, row) {
        return Some(Scalar::Text(text));
    }
    match array.data_type() {
        DataType::Boolean => Some(Scalar::Boolean(array.as_boolean().value(row))),
        DataType::Float16 => float(f64::from(array.as_primitive::<Float16Type>().value(row).to_f32())),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            (!value.is_nan()).then_some(Scalar::Float(value))
        }
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => Some(Scalar::Number(
            array.as_primitive::<Decimal128Type>().value_as_string(row),
        )),
        DataType::Date32 => array
            .as_primitive::<Date32Type>()
            .value_as_date(row)
            .map(|date| Scalar::Owned(date.to_string())),
        DataType::Date64 => array
            .as_primitive::<Date64Type>()
            .value_as_date(row)
            .map(|date| Scalar::Owned(date.to_string())),
        DataType::Timestamp(unit, zone) => timestamp(array, row, *unit, zone.is_some()).map(Scalar::Owned),
        _ => integer(array, row).map(Scalar::Number),
    }
}

fn text(array: &dyn Array, row: usize) -> Option<&str> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(array.as_string_view().value(row)),
        _ => None,
    }
}

fn integer(array: &dyn Array, row: usize) -> Option<String> {
    fn print<T: ArrowPrimitiveType<Native: ToString>>(array: &PrimitiveArray<T>, row: usize) -> Option<String> {
        Some(array.value(row).to_string())
    }
    for_integers!(array, array.data_type(), |array| print(array, row), None)
}

/// NaN is left out; an infinite number becomes text that the rules refuse, so that its row is named.
fn float(value: f64) -> Option<Scalar<'static>> {
    if value.is_nan() {
        return None;
    }
    let infinite = || if value > 0.0 { "1e999" } else { "-1e999" }.to_owned();
    Some(Scalar::Number(
        serde_json::Number::from_f64(value).map_or_else(infinite, |number| number.to_string()),
    ))
}

/// ISO 8601, in UTC with a `Z` where the column has a time zone.
fn timestamp(array: &dyn Array, row: usize, unit: TimeUnit, zone: bool) -> Option<String> {
    let time = match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value_as_datetime(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value_as_datetime(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value_as_datetime(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value_as_datetime(row),
    };
    // chrono documents its `Debug` form as ISO 8601 (`Display` has a space for the `T`).
    time.map(|time| {
        if zone {
            format!("{time:?}Z")
        } else {
            format!("{time:?}")
        }
    })
}

/// Numbers as f32, null as NaN (which no index takes).
pub(super) fn floats(array: &dyn Array) -> Option<Vec<f32>> {
    fn narrow<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, cast: impl Fn(T::Native) -> f32) -> Option<Vec<f32>> {
        if array.null_count() == 0 {
            return Some(array.values().iter().map(|value| cast(*value)).collect());
        }
        Some(array.iter().map(|value| value.map_or(f32::NAN, &cast)).collect())
    }
    match array.data_type() {
        DataType::Float16 => narrow(array.as_primitive::<Float16Type>(), |value| value.to_f32()),
        DataType::Float32 => narrow(array.as_primitive::<Float32Type>(), |value| value),
        DataType::Float64 => narrow(array.as_primitive::<Float64Type>(), |value| value as f32),
        kind => for_integers!(array, kind, |array| narrow(array, |value| value as f32), None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{Int32Builder, ListBuilder, StringBuilder};
    use arrow_array::*;

    use super::*;

    fn members(array: &dyn Array) -> Vec<String> {
        assert!(is_metadata_type(array.data_type()), "{}", array.data_type());
        let member = |row| {
            let mut out = JsonWriter::new();
            write_member(&mut out, "x", array, row);
            String::from_utf8(out.finish()).unwrap()
        };
        (0..array.len()).map(member).collect()
    }

    #[test]
    fn numbers() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)]));
        assert_eq!(members(&ints), ["\"x\":-9223372036854775808", "", "\"x\":7"]);
        assert_eq!(
            members(&UInt64Array::from(vec![u64::MAX])),
            ["\"x\":18446744073709551615"]
        );
        assert_eq!(members(&Float32Array::from(vec![0.1, f32::NAN])), ["\"x\":0.1", ""]);
        let doubles = Float64Array::from(vec![0.1, 1.0, f64::NAN, f64::INFINITY]);
        assert_eq!(members(&doubles), ["\"x\":0.1", "\"x\":1.0", "", "\"x\":1e999"]);
        let decimals = Decimal128Array::from(vec![12_345_i128])
            .with_precision_and_scale(9, 2)
            .unwrap();
        assert_eq!(members(&decimals), ["\"x\":123.45"]);
    }

    #[test]
    fn texts_truths_times() {
        assert_eq!(
            members(&StringArray::from(vec!["a\"b", ""])),
            ["\"x\":\"a\\\"b\"", "\"x\":\"\""]
        );
        assert_eq!(members(&LargeStringArray::from(vec!["é"])), ["\"x\":\"é\""]);
        assert_eq!(members(&StringViewArray::from(vec!["v"])), ["\"x\":\"v\""]);
        assert_eq!(members(&BooleanArray::from(vec![Some(true), None])), ["\"x\":true", ""]);
        assert_eq!(members(&Date32Array::from(vec![20_000])), ["\"x\":\"2024-10-04\""]);
        let times = TimestampMillisecondArray::from(vec![1_700_000_000_120]);
        assert_eq!(members(&times), ["\"x\":\"2023-11-14T22:13:20.120\""]);
        let times = TimestampSecondArray::from(vec![1_700_000_000]).with_timezone("Europe/Berlin");
        assert_eq!(members(&times), ["\"x\":\"2023-11-14T22:13:20Z\""]);
    }

    #[test]
    fn lists() {
        let mut texts = ListBuilder::new(StringBuilder::new());
        texts.append_value([Some("a"), None, Some("b")]);
        texts.append_value([None::<&str>; 0]);
        texts.append_null();
        assert_eq!(members(&texts.finish()), ["\"x\":[\"a\",\"b\"]", "", ""]);
        let mut numbers = ListBuilder::new(Int32Builder::new());
        numbers.append_value([Some(1), Some(2)]);
        assert_eq!(members(&numbers.finish()), ["\"x\":[1,2]"]);
    }

    #[test]
    fn types_that_are_no_metadata() {
        assert!(!is_metadata_type(&DataType::Binary));
        assert!(!is_metadata_type(&DataType::new_list(DataType::Boolean, true)));
        assert!(!is_metadata_type(&DataType::new_list(
            DataType::new_list(DataType::Int8, true),
            true
        )));
    }

    #[test]
    fn keys() {
        let mut key = "old".to_owned();
        assert_eq!(
            key_into(&StringArray::from(vec![Some("a"), None]), 0, &mut key),
            Some(())
        );
        assert_eq!(key, "a");
        assert_eq!(key_into(&Int8Array::from(vec![-3]), 0, &mut key), Some(()));
        assert_eq!(key, "-3");
        assert_eq!(key_into(&StringArray::from(vec![None::<&str>]), 0, &mut key), None);
        assert_eq!(key_into(&Float32Array::from(vec![1.0]), 0, &mut key), None);
    }

    #[test]
    fn vectors() {
        assert_eq!(
            floats(&Float64Array::from(vec![0.1, 1e300])),
            Some(vec![0.1_f32, f32::INFINITY])
        );
        assert_eq!(floats(&UInt8Array::from(vec![1, 255])), Some(vec![1.0, 255.0]));
        let nulls = floats(&Float32Array::from(vec![Some(1.0), None])).unwrap();
        assert!(nulls[0] == 1.0 && nulls[1].is_nan());
        assert_eq!(floats(&StringArray::from(vec!["1"])), None);
    }
}
