//! Mappings: how records of a foreign shape become canonical events (`contracts.md` §3).

pub(super) mod convert;
mod parse;
#[cfg(test)]
mod tests;

use crate::event::{Field, Kind, Value};

pub use convert::{Case, Test, TimeUnit};

use super::draft::Target;
use super::properties::Property;
use super::trie::Step;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// A path from the record's root.
    Root(Vec<Step>),
    /// A path from the item of the unpacked list, or from one that it lies in.
    Item {
        /// How many levels above the item the path begins.
        up: usize,
        /// The path.
        path: Vec<Step>,
        /// Of a list of keys and values at its end, the value of this key.
        attribute: Option<Box<str>>,
    },
    /// A header of the record.
    Header(Box<str>),
    /// The key of the record.
    Key,
    /// Several, each after a text, and the text after the last; nothing if one of them is not there.
    Joined(Vec<(Box<str>, From)>, Box<str>),
}

/// How one field or property is filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// What is filled.
    pub target: Target,
    /// Where from; the first that is there counts.
    pub from: Vec<From>,
    /// A constant instead.
    pub constant: Option<Value<'static>>,
    /// Source values and what they become; without entry and without `otherwise` there is no value.
    pub map: Option<ValueMap>,
    /// How names are spelled, before the table is looked at.
    pub case: Option<Case>,
    /// What a number of a time counts; 0 is no time then. A whole number that is filled gets the milliseconds since the epoch.
    pub unit: Option<TimeUnit>,
    /// Factor of a number.
    pub scale: Option<f64>,
    /// Put before a string.
    pub prefix: Option<Box<str>>,
    /// If nothing is there.
    pub default: Option<Value<'static>>,
}

impl Set {
    /// The value at these places as it is.
    #[must_use]
    pub const fn plain(target: Target, from: Vec<From>) -> Self {
        Self {
            target,
            from,
            constant: None,
            map: None,
            case: None,
            unit: None,
            scale: None,
            prefix: None,
            default: None,
        }
    }

    /// Whether values arrive as they are.
    pub(super) const fn is_plain(&self) -> bool {
        self.constant.is_none()
            && self.map.is_none()
            && self.case.is_none()
            && self.unit.is_none()
            && self.scale.is_none()
            && self.prefix.is_none()
            && self.default.is_none()
    }
}

/// A table of source values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ValueMap {
    /// Source values, as text, and what they become.
    pub rows: Vec<(Box<str>, Value<'static>)>,
    /// What any other value becomes.
    pub otherwise: Option<Value<'static>>,
}

/// A mapping file.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Its name, told in dead letters.
    pub name: Box<str>,
    /// The topic it reads.
    pub topic: Box<str>,
    /// What its events are.
    pub kind: Kind,
    /// Lists to unpack, from the outer to the inner: each path begins where the one before ended.
    pub unpack: Vec<Vec<Step>>,
    /// When it applies: all tests of one of these hold. Empty: always.
    pub when: Vec<Vec<(From, Test)>>,
    /// How fields are filled; `None`: the topic has the canonical form.
    pub set: Option<Vec<Set>>,
    /// Properties and where they come from.
    pub properties: Vec<(Property, Vec<From>)>,
}

/// The fields that records of a kind may carry; the computed ones are not among them.
pub fn fields(kind: Kind) -> impl Iterator<Item = Field> {
    let computed = move |field| {
        field == Field::IssueKey
            || (Field::TextClasses..=Field::TextLexicon).contains(&field)
            || (matches!(field, Field::Event | Field::Type) && field != kind.name_field())
    };
    Field::all()
        .filter(move |spec| spec.kinds.contains(&kind) && !computed(spec.field))
        .map(|spec| spec.field)
}
