//! Values of fields: what events carry, profiles keep, and published records are made of.

use std::borrow::Cow;

use super::Timestamp;

/// A string that borrows from the record or frame it was read from where it can.
pub type Text<'a> = Cow<'a, str>;

/// The value of a field or property, or a whole record on its way out.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A finite double.
    Double(f64),
    /// A point in time.
    Time(Timestamp),
    /// A calendar day, days since the epoch.
    Date(i32),
    /// A string.
    Text(Text<'a>),
    /// A list.
    List(Vec<Value<'a>>),
    /// A record or map; the order of the entries is kept.
    Map(Vec<(Text<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// A string value.
    #[must_use]
    pub fn text(text: impl Into<Text<'a>>) -> Self {
        Self::Text(text.into())
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entry of a map.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Self::Map(entries) => entries.iter().find(|(own, _)| own == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The same value, owning all that it borrowed.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
            Self::Time(value) => Value::Time(value),
            Self::Date(value) => Value::Date(value),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }
}
