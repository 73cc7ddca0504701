//! To which journal partition an event goes (`contracts.md` §4): a pure function of the event.

use std::borrow::Cow;

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

/// The fields that name a cross-account entity, the first that has a value counts.
const ENTITIES: [Field; 4] = [Field::IncidentId, Field::Service, Field::Integration, Field::FeatureArea];

/// The cross-account entity an event belongs to, as field and id: one of the platform, or without an account.
#[must_use]
pub fn entity<'e>(event: &'e Event<'_>) -> Option<(Field, &'e str)> {
    if event.kind != Kind::ErrorLog {
        return None;
    }
    let platform = text(event, Field::Scope) == Some("platform");
    if !platform && (event.account.is_some() || event.alias.is_some()) {
        return None;
    }
    ENTITIES.into_iter().find_map(|field| text(event, field).map(|id| (field, id)))
}

/// Where the event goes; `None` where nothing says whose it is: it is unattributed.
#[must_use]
pub fn route<'e>(event: &'e Event<'_>) -> Option<Route<'e>> {
    if matches!(event.kind, Kind::Outcome | Kind::Control) {
        return Some(follow_alert(event));
    }
    if let Some((field, id)) = entity(event) {
        return Some(Route::Key(Cow::Owned(format!("{}:{id}", entity_kind(field)))));
    }
    match (&event.account, &event.alias) {
        (Some(account), _) => Some(Route::Key(Cow::Borrowed(account))),
        (None, Some(alias)) => Some(Route::Key(Cow::Owned(format!("alias:{alias}")))),
        (None, None) => None,
    }
}

/// What a cross-account entity is called in keys.
const fn entity_kind(field: Field) -> &'static str {
    match field {
        Field::IncidentId => "incident",
        Field::Service => "service",
        Field::Integration => "integration",
        _ => "feature_area",
    }
}

/// Outcomes and controls go where their alert lives.
fn follow_alert<'e>(event: &'e Event<'_>) -> Route<'e> {
    let target = text(event, Field::DedupKey).and_then(|key| key.splitn(3, '/').nth(2));
    if let Some(entity) = target {
        // Further dedup values follow the entity's id, so only the part up to the next slash is the key.
        return Route::Key(Cow::Borrowed(entity.split('/').next().unwrap_or(entity)));
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

/// The partition of a key among `count`, as Java's default partitioner chooses it.
#[must_use]
pub fn partition_of(key: &[u8], count: u32) -> u32 {
    (murmur2(key).cast_unsigned() & 0x7fff_ffff) % count.max(1)
}

/// 32-bit murmur2 with Kafka's seed.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    #[expect(clippy::cast_possible_truncation, reason = "the algorithm takes the length modulo 2^32")]
    let mut hash: u32 = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{Route, alert_partition, murmur2, partition_of, route};
    use crate::event::{Event, Field, Kind, Timestamp, Value};

    #[test]
    fn murmur2_equals_kafkas() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
        assert_eq!(partition_of(b"21", 12), (0x7fff_ffff & (-973_932_308_i32).cast_unsigned()) % 12);
    }

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
        assert_eq!(alert_partition("aad5oisohdudarcczwubgvkgnm"), Some(0x0007));
        assert_eq!(alert_partition("nonsense"), None);
        let by_id = event(Kind::Outcome, &[(Field::AlertId, "aad5oisohdudarcczwubgvkgnm")]);
        assert_eq!(route(&by_id), Some(Route::Partition(7)));
        assert_eq!(route(&event(Kind::Control, &[(Field::Rule, "r")])), Some(Route::Everywhere));
    }
}
