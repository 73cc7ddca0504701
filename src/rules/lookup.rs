//! Lookup tables and lists of a rule set.

use crate::document::{Code, Entry, Mistakes, Node, Span, Value};
use crate::rules::matches::MOST_VALUES;
use crate::rules::program::{Literal, Table};
use crate::rules::value::decimal;

/// A table has no more rows.
const MOST_ROWS: usize = 10_000;

/// A table and where it stands.
#[derive(Debug, Clone)]
pub struct Source {
    /// What rules use.
    pub table: Table,
    /// Where it stands, for hints.
    pub span: Span,
}

/// A list of strings.
#[derive(Debug, Clone)]
pub struct List {
    /// Its name, without `@`.
    pub name: Box<str>,
    /// Its values.
    pub values: Vec<Box<str>>,
}

/// Reads one file's `lookups`; a name that is there already is replaced if `replace` says so, else a mistake.
pub fn read(
    node: &Node,
    replace: bool,
    tables: &mut Vec<Source>,
    lists: &mut Vec<List>,
    mistakes: &mut Mistakes,
) {
    let Some(entries) = node.map("lookups", mistakes) else { return };
    for entry in entries {
        let before = tables.iter().any(|own| own.table.name == entry.key);
        if before || lists.iter().any(|own| own.name == entry.key) {
            if !replace {
                mistakes.report(entry.span, Code::E11, format!("lookup `{}` stands here twice", entry.key));
                continue;
            }
            tables.retain(|own| own.table.name != entry.key);
            lists.retain(|own| own.name != entry.key);
        }
        match &entry.node.value {
            Value::List(items) => lists.push(list(entry, items, mistakes)),
            _ => tables.extend(table(entry, mistakes)),
        }
    }
    tables.sort_by(|one, other| one.table.name.cmp(&other.table.name));
    lists.sort_by(|one, other| one.name.cmp(&other.name));
}

fn list(entry: &Entry, items: &[Node], mistakes: &mut Mistakes) -> List {
    if items.len() > MOST_VALUES {
        let sentence = format!("list `{}` has more than {MOST_VALUES} values", entry.key);
        mistakes.report(entry.span, Code::E05, sentence);
    }
    let values = items.iter().filter_map(|item| item.text(mistakes).map(Into::into)).collect();
    List { name: entry.key.clone(), values }
}

fn table(entry: &Entry, mistakes: &mut Mistakes) -> Option<Source> {
    let entries = entry.node.map("a table or a list", mistakes)?;
    if entries.len() > MOST_ROWS {
        let sentence = format!("table `{}` has more than {MOST_ROWS} rows", entry.key);
        mistakes.report(entry.span, Code::E05, sentence);
    }
    let mut rows = Vec::new();
    let mut first: Option<Vec<&str>> = None;
    for row in entries {
        let cells = row.node.map("a row", mistakes)?;
        let mut names: Vec<&str> = cells.iter().map(|cell| &*cell.key).collect();
        names.sort_unstable();
        let expected = first.get_or_insert_with(|| names.clone());
        if *expected != names {
            mistakes
                .report(row.span, Code::E07, format!("row `{}` has other columns than the first", row.key))
                .detail(format!("table {} has {}", entry.key, expected.join(" ")));
        }
        let mut columns: Vec<(Box<str>, Vec<Literal>)> =
            cells.iter().map(|cell| (cell.key.clone(), values(&cell.node, mistakes))).collect();
        columns.sort();
        rows.push((row.key.clone(), columns));
    }
    rows.sort();
    Some(Source { table: Table { name: entry.key.clone(), rows }, span: entry.span })
}

fn values(node: &Node, mistakes: &mut Mistakes) -> Vec<Literal> {
    node.one_or_more().iter().filter_map(|item| literal(item, mistakes)).collect()
}

fn literal(node: &Node, mistakes: &mut Mistakes) -> Option<Literal> {
    let Some(scalar) = node.scalar() else {
        return node.expected("a single value", mistakes);
    };
    if let Some(value) = scalar.as_bool() {
        return Some(Literal::Bool(value));
    }
    match decimal(scalar.text()).filter(|_| scalar.is_number()) {
        Some(number) => Some(Literal::Number(number)),
        None => Some(Literal::Text(scalar.as_text().unwrap_or_default().into())),
    }
}

impl Source {
    /// Whether all rows have the column.
    pub fn has_column(&self, name: &str) -> bool {
        self.table.rows.first().is_some_and(|(_, columns)| columns.iter().any(|(own, _)| &**own == name))
    }

    /// The columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.table.rows.first().into_iter().flat_map(|(_, columns)| columns).map(|(name, _)| &**name)
    }
}
