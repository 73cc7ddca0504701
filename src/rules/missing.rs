//! What the language has and this build has not, each with the way round it.
//!
//! A later build deletes lines here; nothing else says what is missing.

use crate::document::{Code, Mistakes, Node, Value};

/// What is missing: the map it stands in, its name, what to write instead.
pub(super) const MISSING: &[(&str, &str, &str)] = &[("given", "control", "leave the test out")];

/// Reports every key of a map that is missing.
pub fn refuse_keys(place: &str, node: &Node, mistakes: &mut Mistakes) {
    let Value::Map(entries) = &node.value else { return };
    for entry in entries {
        let found = MISSING.iter().find(|(own, missing, _)| *own == place && *missing == &*entry.key);
        if let Some((_, name, hint)) = found {
            mistakes.report(entry.span, Code::E08, format!("this build has no `{name}` yet")).hint(*hint);
        }
    }
}
