//! Conversions of values and tests on them.

use std::borrow::Cow;

use crate::event::{FieldType, Text, Timestamp, Value};
use crate::intake::draft::Target;
use crate::intake::limits::{Unfit, double, integer, string, time};

use super::{Set, ValueMap};

/// How a name is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// In lower case.
    Lower,
    /// In lower case, words joined by underscores.
    Snake,
}

/// What a number of a time counts since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Rfc3339,
}

/// A test on a value of a record (`rules.md` §3).
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is one of these; a list contains one.
    In(Vec<Value<'static>>),
    /// It is none of these, or absent.
    NotIn(Vec<Value<'static>>),
    /// It is there, or not.
    Exists(bool),
    /// A string begins with one of these.
    StartsWith(Vec<Box<str>>),
    /// A number lies within: lower and upper bound, each with whether it belongs to the range.
    Within(Option<(f64, bool)>, Option<(f64, bool)>),
}

impl Test {
    /// Whether it holds for the value, or for its absence.
    #[must_use]
    pub fn holds(&self, value: Option<&Value<'_>>) -> bool {
        match self {
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::NotIn(list) => !value.is_some_and(|value| is_in(value, list)),
            Self::In(list) => value.is_some_and(|value| is_in(value, list)),
            Self::StartsWith(list) => value
                .and_then(Value::as_text)
                .is_some_and(|text| list.iter().any(|start| text.starts_with(&**start))),
            #[expect(clippy::float_cmp, reason = "a closed bound is met by equality")]
            Self::Within(low, high) => value.and_then(|value| double(value).ok()).is_some_and(|number| {
                low.is_none_or(|(low, closed)| number > low || closed && number == low)
                    && high.is_none_or(|(high, closed)| number < high || closed && number == high)
            }),
        }
    }
}

fn is_in(value: &Value<'_>, list: &[Value<'static>]) -> bool {
    match value {
        Value::List(items) => items.iter().any(|item| is_in(item, list)),
        _ => list.iter().any(|own| equals(value, own)),
    }
}

/// Equality across the spellings of numbers.
fn equals(value: &Value<'_>, own: &Value<'_>) -> bool {
    match (value, own) {
        (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => double(value) == double(own),
        _ => value == own,
    }
}

/// What was found, or its replacement, in the form the target expects; `Ok(None)` is no value.
pub fn convert<'a>(set: &Set, found: Option<Value<'a>>) -> Result<Option<Value<'a>>, Unfit> {
    let found = match (set.case, found) {
        (Some(case), Some(value)) => Some(Value::Text(spell(case, string(value)?))),
        (_, found) => found,
    };
    let value = match (&set.map, found) {
        (Some(map), Some(value)) => look_up(map, value)?,
        (_, found) => found,
    };
    let Some(mut value) = value else { return Ok(set.default.clone()) };
    if let Some(unit) = set.unit {
        let instant = instant(unit, &value)?;
        let counted = matches!(&set.target, Target::Field(field) if field.spec().ty == FieldType::Int);
        value = if counted { Value::Int(instant.0) } else { Value::Time(instant) };
    }
    if let Some(scale) = set.scale {
        let scaled = double(&value)? * scale;
        value =
            Value::Double(if scaled.fract().abs() < 1e-9 || matches!(value, Value::Int(_)) && scale >= 1.0 {
                scaled.round()
            } else {
                scaled
            });
    }
    if let Some(prefix) = &set.prefix {
        value = Value::Text(Cow::Owned(format!("{prefix}{}", string(value)?)));
    }
    Ok(Some(value))
}

fn look_up<'a>(map: &ValueMap, value: Value<'a>) -> Result<Option<Value<'a>>, Unfit> {
    let text = string(value)?;
    let row = map.rows.iter().find(|(own, _)| **own == *text).map(|(_, value)| value);
    Ok(row.or(map.otherwise.as_ref()).cloned())
}

fn instant(unit: TimeUnit, value: &Value<'_>) -> Result<Timestamp, Unfit> {
    let far = Unfit("outside the years 1970 to 9999");
    match (unit, value) {
        (_, Value::Time(_) | Value::Date(_)) | (TimeUnit::Rfc3339, _) => time(value),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast saturates, and the bounds are checked later"
        )]
        (TimeUnit::Seconds, Value::Double(seconds)) => Ok(Timestamp((seconds * 1000.0).round() as i64)),
        (TimeUnit::Seconds, _) => integer(value)?.checked_mul(1000).map(Timestamp).ok_or(far),
        (TimeUnit::Milliseconds, _) => integer(value).map(Timestamp),
        (TimeUnit::Microseconds, _) => integer(value).map(|us| Timestamp(us.div_euclid(1000))),
        (TimeUnit::Nanoseconds, _) => integer(value).map(|ns| Timestamp(ns.div_euclid(1_000_000))),
    }
}

fn spell(case: Case, text: Text<'_>) -> Text<'_> {
    match case {
        Case::Lower if text.chars().any(char::is_uppercase) => Cow::Owned(text.to_lowercase()),
        Case::Lower => text,
        Case::Snake => {
            let mut out = String::with_capacity(text.len() + 4);
            let mut after_lower = false;
            for letter in text.chars() {
                if letter.is_alphanumeric() || letter == '.' {
                    if letter.is_uppercase() && after_lower {
                        out.push('_');
                    }
                    after_lower = letter.is_lowercase() || letter.is_numeric();
                    out.extend(letter.to_lowercase());
                } else {
                    after_lower = false;
                    if !out.is_empty() && !out.ends_with('_') {
                        out.push('_');
                    }
                }
            }
            out.truncate(out.trim_end_matches('_').len());
            Cow::Owned(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Test, TimeUnit, convert, spell};
    use crate::event::{Field, Timestamp, Value};
    use crate::intake::draft::Target;
    use crate::intake::mapping::{Set, ValueMap};

    fn plain() -> Set {
        Set::plain(Target::Field(Field::Status), Vec::new())
    }

    #[test]
    fn names_are_spelled() {
        let cases =
            [("Signed In", "signed_in"), ("orderCompleted", "order_completed"), ("  A-b__C ", "a_b_c")];
        for (from, to) in cases {
            assert_eq!(spell(Case::Snake, from.into()), to);
        }
        assert_eq!(spell(Case::Lower, "OPEN".into()), "open");
    }

    #[test]
    fn times_and_numbers_change_their_unit() {
        let seconds = Set { unit: Some(TimeUnit::Seconds), ..plain() };
        let time = Value::Time(Timestamp(1_700_000_000_000));
        assert_eq!(convert(&seconds, Some(Value::Int(1_700_000_000))).unwrap(), Some(time.clone()));
        assert!(convert(&seconds, Some(Value::Int(i64::MAX))).is_err());
        let nanos = Set { unit: Some(TimeUnit::Nanoseconds), ..plain() };
        assert_eq!(convert(&nanos, Some(Value::text("1700000000000000000"))).unwrap(), Some(time));
        let scaled = Set { scale: Some(0.000_001), ..plain() };
        assert_eq!(convert(&scaled, Some(Value::Int(5_000_000))).unwrap(), Some(Value::Double(5.0)));
    }

    #[test]
    fn tables_prefixes_and_defaults() {
        let map = ValueMap { rows: vec![("false".into(), Value::text("test"))], otherwise: None };
        let table = Set { map: Some(map), default: Some(Value::text("customer")), ..plain() };
        assert_eq!(convert(&table, Some(Value::Bool(false))).unwrap(), Some(Value::text("test")));
        assert_eq!(convert(&table, Some(Value::Bool(true))).unwrap(), Some(Value::text("customer")));
        let prefixed = Set { prefix: Some("stripe:".into()), ..plain() };
        assert_eq!(
            convert(&prefixed, Some(Value::text("cus_1"))).unwrap(),
            Some(Value::text("stripe:cus_1"))
        );
        assert_eq!(convert(&prefixed, None).unwrap(), None);
    }

    #[test]
    fn tests_hold_as_in_rules() {
        let open = Test::In(vec![Value::text("open"), Value::Int(3)]);
        assert!(open.holds(Some(&Value::Double(3.0))));
        assert!(open.holds(Some(&Value::List(vec![Value::text("open")]))));
        assert!(!open.holds(None));
        assert!(Test::NotIn(vec![Value::text("open")]).holds(None));
        assert!(Test::Within(Some((3.0, false)), Some((5.0, true))).holds(Some(&Value::Int(5))));
        assert!(!Test::Within(Some((3.0, false)), None).holds(Some(&Value::Int(3))));
        assert!(Test::StartsWith(vec!["a".into()]).holds(Some(&Value::text("ab"))));
    }
}
