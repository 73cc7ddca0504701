//! Reading YAML 1.2 (and JSON, a part of it) into a tree that knows its places, and telling all mistakes at once.
//!
//! Rule files, mappings and the configuration are read through this room, so they have one syntax and one form of error.

mod mistake;
mod parse;
mod scalar;
mod table;
#[cfg(test)]
mod tests;

pub use mistake::{Code, Mistake, Mistakes, Span, did_you_mean};
pub use parse::parse;
pub use scalar::{DAY_MS, Scalar, duration_ms, duration_text};
pub use table::Table;

/// A value of a document and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A single value, also an empty one.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map in written order; every key once.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: Box<str>,
    /// Where the key stands.
    pub span: Span,
    /// What stands under it.
    pub node: Node,
}
