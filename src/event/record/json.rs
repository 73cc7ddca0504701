//! The JSON twin of the records (`contracts.md` §1).

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::super::{Text, Value, date_text};
use super::is_empty;

/// Text that is no JSON document.
#[derive(Debug, thiserror::Error)]
#[error("this is no JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Writes a value as JSON in one line: keys in order, times RFC 3339 with milliseconds and `Z`, empty collections left out.
#[must_use]
pub fn to_json(value: &Value<'_>) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => put(out, format_args!("{number}")),
        Value::Double(number) => write_double(out, *number),
        Value::Time(time) => put(out, format_args!("\"{time}\"")),
        Value::Date(day) => put(out, format_args!("\"{}\"", date_text(*day))),
        Value::Text(text) => write_text(out, text),
        Value::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            let mut first = true;
            for (name, value) in entries.iter().filter(|(_, value)| !is_empty(value)) {
                if !first {
                    out.push(',');
                }
                first = false;
                write_text(out, name);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing into a string never fails.
    let _ = out.write_fmt(text);
}

/// The shortest digits that read back as the same double; whole ones without a point.
fn write_double(out: &mut String, number: f64) {
    let size = number.abs();
    if !number.is_finite() {
        out.push_str("null");
    } else if number == 0.0 {
        out.push('0');
    } else if (1e-6..1e21).contains(&size) {
        put(out, format_args!("{number}"));
    } else {
        put(out, format_args!("{number:e}"));
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for it in text.chars() {
        match it {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            it if it < ' ' => put(out, format_args!("\\u{:04x}", u32::from(it))),
            it => out.push(it),
        }
    }
    out.push('"');
}

/// Reads JSON. Numbers become integers where they are written as such and fit, else doubles; all strings stay strings;
/// nulls are left out of objects and lists.
///
/// # Errors
/// If the text is no JSON document.
pub fn from_json(text: &str) -> Result<Value<'static>, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Any.deserialize(&mut reader)?;
    reader.end()?;
    value.ok_or_else(|| JsonError(serde_json::Error::custom("a document of null says nothing")))
}

/// Any JSON value; `None` for null.
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Option<Value<'static>>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Option<Value<'static>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(value)))
    }

    #[expect(clippy::cast_precision_loss, reason = "an integer beyond 64 bits is read as the nearest double")]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(value).map_or(Value::Double(value as f64), Value::Int)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Any)? {
            list.extend(item);
        }
        Ok(Some(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map: Vec<(Text<'static>, Value<'static>)> = Vec::new();
        while let Some(name) = entries.next_key::<String>()? {
            if let Some(value) = entries.next_value_seed(Any)? {
                map.push((Cow::Owned(name), value));
            }
        }
        Ok(Some(Value::Map(map)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{from_json, to_json};
    use crate::event::{Timestamp, Value};

    #[test]
    fn records_are_written_in_order_without_what_is_empty() {
        let value = Value::Map(vec![
            ("b".into(), Value::Time(Timestamp(1_795_129_804_412))),
            ("a".into(), Value::Date(20_485)),
            ("none".into(), Value::List(Vec::new())),
            ("hole".into(), Value::Double(f64::NAN)),
            ("list".into(), Value::List(vec![Value::Int(-3), Value::Bool(false)])),
            ("text".into(), Value::text("\"ä\n\u{1}\\")),
        ]);
        assert_eq!(
            to_json(&value),
            "{\"b\":\"2026-11-19T23:10:04.412Z\",\"a\":\"2026-02-01\",\"list\":[-3,false],\
             \"text\":\"\\\"ä\\n\\u0001\\\\\"}"
        );
    }

    #[test]
    fn doubles_are_short() {
        for (number, text) in [
            (118.0, "118"),
            (-0.443, "-0.443"),
            (1.3e-7, "1.3e-7"),
            (1e-6, "0.000001"),
            (1e21, "1e21"),
            (-0.0, "0"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(to_json(&Value::Double(number)), text);
        }
    }

    #[test]
    fn nulls_are_left_out_and_big_integers_become_doubles() {
        let read =
            from_json(r#" {"a":null,"b":[1,null,2.5],"c":18446744073709551615,"d":"x\u00e4"} "#).unwrap();
        assert_eq!(to_json(&read), r#"{"b":[1,2.5],"c":18446744073709552000,"d":"xä"}"#);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "null", "{", "{} {}", "[1,]", "nul"] {
            assert!(from_json(text).is_err(), "{text}");
        }
        assert!(from_json(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn numbers_and_texts_are_read_back(number in any::<f64>(), int in any::<i64>(), text in ".*") {
            let list = Value::List(vec![Value::Int(int), Value::text(text)]);
            prop_assert_eq!(from_json(&to_json(&list)).unwrap(), list);
            if number.is_finite() {
                let read: f64 = to_json(&Value::Double(number)).parse().unwrap();
                prop_assert!(read.to_bits() == number.to_bits() || number == 0.0);
            }
        }
    }
}
