//! What the language has and this build has not, each with the way round it.
//!
//! A later build deletes lines here; nothing else says what is missing.

use crate::document::{Code, Mistakes, Node, Span, Value};

/// What is missing: the map it stands in (or what it is a value of), its name, what to write instead.
pub(super) const MISSING: &[(&str, &str, &str)] =
    &[("rule set", "health", "leave it out"), ("given", "control", "leave the test out")];

/// Reports what is missing, if it is: `name` as a key of, or value in, `place`.
pub fn refuse(place: &str, name: &str, span: Span, mistakes: &mut Mistakes) -> bool {
    let found = MISSING.iter().find(|(own, missing, _)| *own == place && *missing == name);
    if let Some((_, _, hint)) = found {
        mistakes.report(span, Code::E08, format!("this build has no `{name}` yet")).hint(*hint);
    }
    found.is_some()
}

/// Reports every key of a map that is missing.
pub fn refuse_keys(place: &str, node: &Node, mistakes: &mut Mistakes) {
    if let Value::Map(entries) = &node.value {
        for entry in entries {
            refuse(place, &entry.key, entry.span, mistakes);
        }
    }
}
