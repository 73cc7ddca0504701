//! Alerts stay at or under 16 KiB of JSON: what is cut, in which order, and how that is said.

use crate::event::Value;
use crate::event::record::to_json;

/// Longest `data`, bytes of JSON.
pub const ALERT_BYTES_MAX: usize = 16 * 1024;

/// What a cut leaves of a value.
enum Cut {
    Nothing,
    First(usize),
}

/// The cuts in their order, by path. `contracts.md` §5 names more for fields that this build never fills.
const CUTS: [(&[&str], &str, Cut); 3] = [
    (&["evidence", "sample"], "evidence.sample", Cut::First(3)),
    (&["explanation", "factors"], "explanation.factors", Cut::First(5)),
    (&["response", "draft"], "response.draft", Cut::Nothing),
];

/// The record, cut until it fits or nothing more may be cut.
pub(super) fn limited(mut data: Value<'static>) -> Value<'static> {
    let mut named: Vec<Value<'static>> = Vec::new();
    for (path, name, cut) in &CUTS {
        if to_json(&data).len() <= ALERT_BYTES_MAX {
            break;
        }
        if apply(&mut data, path, cut) {
            named.push(Value::text(*name));
            put_truncated(&mut data, &named);
        }
    }
    data
}

fn put_truncated(data: &mut Value<'static>, named: &[Value<'static>]) {
    if let Value::Map(entries) = data {
        entries.retain(|(name, _)| name != "truncated");
        entries.push(("truncated".into(), Value::List(named.to_vec())));
    }
}

/// Cuts what stands at a path; whether there was anything to cut.
fn apply(value: &mut Value<'static>, path: &[&str], cut: &Cut) -> bool {
    let (Value::Map(entries), Some((head, rest))) = (value, path.split_first()) else {
        return false;
    };
    let Some(place) = entries.iter().position(|(name, _)| name == head) else {
        return false;
    };
    if !rest.is_empty() {
        return apply(&mut entries[place].1, rest, cut);
    }
    match (cut, &mut entries[place].1) {
        (Cut::First(kept), Value::List(items)) if items.len() > *kept => items.truncate(*kept),
        (Cut::First(_), _) => return false,
        (Cut::Nothing, _) => {
            entries.remove(place);
        }
    }
    true
}
