//! Records on their way out: how a [`Value`] is put together, and its two encodings.
//!
//! Nulls and empty collections are left out on both ways; a reader takes what is absent for the default.

mod avro;
mod json;

pub use avro::{ALERT_SCHEMA, AvroError, DECISION_SCHEMA, SourceWriter, source_schema, to_avro};
pub use json::{JsonError, from_json, to_json};

use super::{Text, Value};

/// A record under construction: entries in the order of the calls, those without content left out.
#[derive(Debug, Default)]
pub struct Record(Vec<(Text<'static>, Value<'static>)>);

impl Record {
    /// An empty record.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a value, unless it is absent or an empty collection.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Option<Value<'static>>>) -> Self {
        if let Some(value) = value.into().filter(|value| !is_empty(value)) {
            self.0.push((name.into(), value));
        }
        self
    }

    /// Appends a string.
    #[must_use]
    pub fn text<'t>(self, name: &'static str, text: impl Into<Option<&'t str>>) -> Self {
        self.with(name, text.into().map(|text| Value::text(text.to_owned())))
    }

    /// Appends an integer.
    #[must_use]
    pub fn int(self, name: &'static str, number: impl Into<Option<i64>>) -> Self {
        self.with(name, number.into().map(Value::Int))
    }

    /// Appends a list of strings.
    #[must_use]
    pub fn texts<T: AsRef<str>>(self, name: &'static str, texts: impl IntoIterator<Item = T>) -> Self {
        let items = texts.into_iter().map(|text| Value::text(text.as_ref().to_owned())).collect();
        self.with(name, Value::List(items))
    }

    /// The record.
    #[must_use]
    pub fn build(self) -> Value<'static> {
        Value::Map(self.0)
    }
}

/// Whether a value is left out of a record.
fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Double(number) => !number.is_finite(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::decoded;
