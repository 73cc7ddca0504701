//! Which events people cause, and which filters see those of machines.

use crate::event::{Event, Kind, Traffic};

/// Usage events of people: automated ones match only filters that name `traffic` (`contracts.md` §2.2).
const HUMAN: [&str; 8] =
    ["login.", "session.", "page.", "feature.", "workflow.", "onboarding.", "search.", "message."];

/// Whether an event is one that only people cause.
#[must_use]
pub fn is_human(event: &Event<'_>) -> bool {
    let listed = || HUMAN.iter().any(|head| event.name.starts_with(head)) || &*event.name == "article.viewed";
    event.kind == Kind::Usage && listed()
}

/// Whether a filter may see an event at all.
#[must_use]
pub fn admits_traffic(event: &Event<'_>, names_traffic: bool) -> bool {
    names_traffic || event.traffic != Traffic::Automated || !is_human(event)
}
