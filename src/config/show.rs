//! The merged configuration as YAML.

use std::fmt::Write as _;

use super::text::shown;
use crate::document::{Node, Scalar, Value};

/// Writes a tree as block YAML.
pub(super) fn yaml(node: &Node) -> String {
    let mut out = String::new();
    block(&mut out, node, "", 0);
    out
}

fn block(out: &mut String, node: &Node, name: &str, depth: usize) {
    let indent = "  ".repeat(depth);
    // Writing to a string can't fail.
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let _ = write!(out, "{indent}{}:", entry.key);
                below(out, &entry.node, &entry.key, depth + 1);
            }
        }
        Value::List(items) => {
            for item in items {
                let _ = write!(out, "{indent}-");
                match &item.value {
                    Value::Map(_) => {
                        let mut text = String::new();
                        block(&mut text, item, name, depth + 1);
                        let _ = writeln!(out, " {}", text.trim());
                    }
                    _ => below(out, item, name, depth + 1),
                }
            }
        }
        Value::Scalar(scalar) => {
            let _ = writeln!(out, "{indent}{}", written(name, scalar));
        }
    }
}

/// What follows a key: on the same line where it fits, else on the next lines.
fn below(out: &mut String, node: &Node, name: &str, depth: usize) {
    match &node.value {
        Value::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::List(items) if items.is_empty() => out.push_str(" []\n"),
        Value::List(items) if items.iter().all(|item| item.scalar().is_some()) => {
            let items: Vec<String> =
                items.iter().filter_map(Node::scalar).map(|item| written(name, item)).collect();
            let _ = writeln!(out, " [{}]", items.join(", "));
        }
        Value::Scalar(scalar) => {
            let _ = writeln!(out, " {}", written(name, scalar));
        }
        _ => {
            out.push('\n');
            block(out, node, name, depth);
        }
    }
}

fn written(name: &str, scalar: &Scalar) -> String {
    if scalar.is_null() {
        return "null".to_owned();
    }
    let text = shown(name, scalar.text());
    if scalar.is_plain() && text == scalar.text() && !text.contains('\n') {
        return text.to_owned();
    }
    // A JSON string is a YAML string.
    serde_json::Value::from(text).to_string()
}
