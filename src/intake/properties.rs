//! Properties that are journaled without being declared: those that `contracts.md` §2.2 names.

use std::borrow::Cow;

use crate::event::{Kind, Text, Value};

use super::limits::{Unfit, boolean, double, integer, text, time};

/// Type of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyType {
    /// A string.
    String,
    /// A 64-bit integer.
    Integer,
    /// A finite double.
    Number,
    /// True or false.
    Boolean,
    /// A point in time.
    Time,
}

impl PropertyType {
    /// All types with the words of mappings and vocabularies.
    pub const ALL: [(&'static str, Self); 5] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("time", Self::Time),
    ];

    /// A value as this type.
    pub(super) fn typed<'a>(self, value: Value<'a>, cuts: &mut u32) -> Result<Value<'a>, Unfit> {
        Ok(match self {
            Self::String => text(value, cuts)?,
            Self::Integer => Value::Int(integer(&value)?),
            Self::Number => Value::Double(double(&value)?),
            Self::Boolean => Value::Bool(boolean(&value)?),
            Self::Time => Value::Time(time(&value)?),
        })
    }
}

/// A property and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name, without `properties.`.
    pub name: Text<'static>,
    /// Its type.
    pub ty: PropertyType,
}

/// The properties of the contract for events of a kind.
pub fn named(kind: Kind) -> impl Iterator<Item = Property> {
    use PropertyType::{Integer, Number, String, Time};
    const USAGE: [(&str, PropertyType); 27] = [
        ("method", String),
        ("reason", String),
        ("page", String),
        ("dwell_ms", Integer),
        ("feature", String),
        ("workflow", String),
        ("workflow_id", String),
        ("step", String),
        ("retries", Integer),
        ("results", Integer),
        ("article", String),
        ("message_id", String),
        ("channel", String),
        ("limit", String),
        ("used", Number),
        ("unit", String),
        ("period_start", Time),
        ("records", Integer),
        ("duration_ms", Integer),
        ("credential_id", String),
        ("issued_at", Time),
        ("expires_at", Time),
        ("shipment_id", String),
        ("carrier", String),
        ("status", String),
        ("eta", Time),
        ("previous_eta", Time),
    ];
    let list: &[_] = if kind == Kind::Usage { &USAGE } else { &[] };
    list.iter().map(|(name, ty)| Property { name: Cow::Borrowed(name), ty: *ty })
}
