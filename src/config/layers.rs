//! Layers of configuration and how they merge: reference, file, environment, flags.

use super::{Lookup, REFERENCE};
use crate::document::{Entry, Mistakes, Node, Scalar, Span, Value, parse};

/// Everything a configuration is made from.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// Name and text of the file, if there is one.
    pub file: Option<(&'a str, &'a str)>,
    /// Environment variables; only those named `FOREWARN__…` are read.
    pub env: &'a [(String, String)],
    /// `KEY=VALUE` of the flags `--set`, keys with dots, in order.
    pub set: &'a [(String, String)],
    /// Where references are looked up.
    pub lookup: Lookup<'a>,
}

/// Maps below which the rest of a name is one key, dots and all.
const FREE: [&str; 4] = ["properties", "consumer", "producer", "admin"];

impl Layers<'_> {
    /// The merged tree; spans name the layer a value comes from. Nothing if a layer is no YAML.
    pub(super) fn merge(&self, mistakes: &mut Mistakes) -> Option<Node> {
        let mut merged = parse("docs/config.reference.yaml", REFERENCE, mistakes)?;
        if let Some((name, text)) = self.file {
            let own = parse(name, text, mistakes)?;
            own.map("the configuration", mistakes)?;
            overlay(&mut merged, own);
        }
        let mut env: Vec<_> = self
            .env
            .iter()
            .filter_map(|(name, value)| Some((name, name.strip_prefix("FOREWARN__")?, value)))
            .collect();
        env.sort();
        for (name, key, value) in env {
            let key = key.to_ascii_lowercase();
            let value = value_of(name, value, mistakes);
            place(&mut merged, &path(&key, "__"), value);
        }
        for (key, value) in self.set {
            let value = value_of(&format!("--set {key}"), value, mistakes);
            place(&mut merged, &path(key, "."), value);
        }
        Some(merged)
    }
}

/// The keys that a name stands for.
fn path(name: &str, separator: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split(separator).collect();
    match parts.as_slice() {
        ["kafka", free, rest @ ..] if FREE.contains(free) && !rest.is_empty() => {
            vec!["kafka".to_owned(), (*free).to_owned(), rest.join(".")]
        }
        _ => parts.into_iter().map(str::to_owned).collect(),
    }
}

/// A value from the environment or a flag: a list or map in YAML, a number or word, else a string as it is.
fn value_of(name: &str, text: &str, mistakes: &mut Mistakes) -> Node {
    let mut scratch = mistakes.beside();
    let span = Span { file: scratch.file(name), line: 1, col: 1 };
    let parsed = parse(name, text, &mut Mistakes::default());
    let flow = text.starts_with(['[', '{']);
    let plain = |node: &Node| node.scalar().is_some_and(|scalar| scalar.text() == text);
    match parsed {
        Some(_) if flow => {
            parse(name, text, mistakes).unwrap_or(Node { span, value: Value::List(Vec::new()) })
        }
        Some(node) if plain(&node) => {
            mistakes.file(name);
            Node { span, value: node.value }
        }
        _ => {
            mistakes.file(name);
            Node { span, value: Value::Scalar(Scalar::quoted(text)) }
        }
    }
}

/// Puts a value under a path, making the maps on the way.
fn place(node: &mut Node, path: &[String], value: Node) {
    let Some((first, rest)) = path.split_first() else {
        *node = value;
        return;
    };
    if !matches!(node.value, Value::Map(_)) {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else { return };
    let span = value.span;
    let at = entries.iter().position(|entry| *entry.key == **first).unwrap_or_else(|| {
        let node = Node { span, value: Value::Map(Vec::new()) };
        entries.push(Entry { key: first.as_str().into(), span, node });
        entries.len() - 1
    });
    if let Some(entry) = entries.get_mut(at) {
        entry.span = span;
        place(&mut entry.node, rest, value);
    }
}

/// Lays one tree over another: maps key by key, the rest as a whole.
fn overlay(below: &mut Node, above: Node) {
    match (&mut below.value, above.value) {
        (Value::Map(entries), Value::Map(own)) => {
            below.span = above.span;
            for entry in own {
                match entries.iter_mut().find(|below| below.key == entry.key) {
                    Some(below) => {
                        below.span = entry.span;
                        overlay(&mut below.node, entry.node);
                    }
                    None => entries.push(entry),
                }
            }
        }
        // A section without content says nothing.
        (Value::Map(_), Value::Scalar(scalar)) if scalar.is_null() => {}
        (_, value) => *below = Node { span: above.span, value },
    }
}
