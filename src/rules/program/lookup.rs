//! Lookup tables, and how rules find their rows.

use super::{Literal, TableIx, Variable};

/// A lookup of a rule: which row of which table goes with an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Its name in templates.
    pub name: Box<str>,
    /// The table.
    pub table: TableIx,
    /// What the key is made of, joined by `/`.
    pub by: Vec<Variable>,
    /// No row, no activation.
    pub required: bool,
}

/// A lookup table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: Box<str>,
    /// The rows, sorted by key; `*` stands for any other key.
    pub rows: Vec<(Box<str>, Vec<(Box<str>, Vec<Literal>)>)>,
}
