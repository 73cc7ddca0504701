//! To which journal partition an event goes (`contracts.md` §4): a pure function of the event.

use std::borrow::Cow;

use crate::event::routing::{alias_key, entity, entity_key, entity_kind};
use crate::event::{Event, Field, Kind};

use super::require::value;

/// Where an event is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'e> {
    /// To the partition of this key: an account, `alias:<alias>` or a cross-account entity `<kind>:<id>`.
    Key(Cow<'e, str>),
    /// To the partition that an alert id names; out of range for this journal: its remainder.
    Partition(u16),
    /// To every partition: orders about a rule or family alone.
    Everywhere,
}

/// Where the event goes; `None` where nothing says whose it is: it is unattributed.
#[must_use]
pub fn route<'e>(event: &'e Event<'_>) -> Option<Route<'e>> {
    if matches!(event.kind, Kind::Outcome | Kind::Control) {
        return Some(follow_alert(event));
    }
    if let Some((field, id)) = entity(event) {
        return Some(Route::Key(Cow::Owned(entity_key(entity_kind(field), id))));
    }
    match (&event.account, &event.alias) {
        (Some(account), _) => Some(Route::Key(Cow::Borrowed(account))),
        (None, Some(alias)) => Some(Route::Key(Cow::Owned(alias_key(alias)))),
        (None, None) => None,
    }
}

/// Outcomes and controls go where their alert lives.
fn follow_alert<'e>(event: &'e Event<'_>) -> Route<'e> {
    let mut parts = text(event, Field::DedupKey).into_iter().flat_map(|key| key.split('/').skip(1));
    // Further parts of the entity and dedup values follow, so only the part up to the next slash is the key.
    if let (Some(kind), Some(id)) = (parts.next(), parts.next()) {
        let is_of_account = matches!(kind.split('+').next(), Some("account" | "user" | "ticket"));
        let key = if is_of_account { Cow::Borrowed(id) } else { Cow::Owned(entity_key(kind, id)) };
        return Route::Key(key);
    }
    if let Some(partition) = text(event, Field::AlertId).and_then(alert_partition) {
        return Route::Partition(partition);
    }
    match &event.account {
        Some(account) => Route::Key(Cow::Borrowed(account)),
        None => Route::Everywhere,
    }
}

/// The journal partition in the first two bytes of an alert id (base32, lower case).
#[must_use]
pub fn alert_partition(alert_id: &str) -> Option<u16> {
    let mut bits = 0_u32;
    for letter in alert_id.bytes().take(4) {
        let digit = match letter {
            b'a'..=b'z' => letter - b'a',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(digit);
    }
    (alert_id.len() == 26).then_some(u16::try_from(bits >> 4).ok()).flatten()
}

fn text<'e>(event: &'e Event<'_>, field: Field) -> Option<&'e str> {
    value(event, field)?.as_text()
}

#[cfg(test)]
mod tests {
    use super::{Route, alert_partition, route};
    use crate::event::{Event, Field, Kind, Timestamp, Value};

    fn event(kind: Kind, fields: &[(Field, &'static str)]) -> Event<'static> {
        let mut event = Event::new(kind, "x.y", Timestamp(0));
        fields.iter().for_each(|(field, value)| event.set(*field, Value::text(*value)));
        event
    }

    fn key(event: &Event<'_>) -> String {
        match route(event) {
            Some(Route::Key(key)) => key.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_account_comes_first_unless_the_platform_is_meant() {
        let mut of_service = event(Kind::ErrorLog, &[(Field::Service, "checkout")]);
        assert_eq!(key(&of_service), "service:checkout");
        of_service.alias = Some("stripe:cus_1".into());
        assert_eq!(key(&of_service), "alias:stripe:cus_1");
        of_service.account = Some("acme".into());
        assert_eq!(key(&of_service), "acme");
        of_service.set(Field::Scope, Value::text("platform"));
        of_service.set(Field::IncidentId, Value::text("inc-7"));
        assert_eq!(key(&of_service), "incident:inc-7");
        assert_eq!(route(&event(Kind::Usage, &[])), None);
    }

    #[test]
    fn outcomes_and_controls_follow_their_alert() {
        let by_key = event(Kind::Control, &[(Field::DedupKey, "engagement-decline/account/acme")]);
        assert_eq!(key(&by_key), "acme");
        let of_service = event(Kind::Control, &[(Field::DedupKey, "service/service/api")]);
        assert_eq!(key(&of_service), "service:api");
        let of_part = event(Kind::Outcome, &[(Field::DedupKey, "errors/account+integration/acme/slack")]);
        assert_eq!(key(&of_part), "acme");
        assert_eq!(alert_partition("aad5oisohdudarcczwubgvkgnm"), Some(0x0007));
        assert_eq!(alert_partition("nonsense"), None);
        let by_id = event(Kind::Outcome, &[(Field::AlertId, "aad5oisohdudarcczwubgvkgnm")]);
        assert_eq!(route(&by_id), Some(Route::Partition(7)));
        assert_eq!(route(&event(Kind::Control, &[(Field::Rule, "r")])), Some(Route::Everywhere));
    }
}
