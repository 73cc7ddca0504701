//! Identities: alert ids, dedup keys, entity keys. Consumers of years hang on them, so the bytes are asserted in tests.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::event::Value;

use super::EntityRef;

/// Longest dedup key, bytes: `PagerDuty`'s limit.
const DEDUP_KEY_MAX: usize = 255;

/// `alert_id` of the alert that a journal record opens (`contracts.md` §5): 26 characters.
///
/// One record may open a key more than once, where nothing cools down. `ordinal` counts these openings from 0; those
/// after the first have it, as a u32, behind the offset in what is hashed.
#[must_use]
pub fn alert_id(
    application_id: &str,
    dedup_key: &str,
    (partition, offset): (u16, i64),
    ordinal: u32,
) -> String {
    let mut input = Vec::with_capacity(application_id.len() + dedup_key.len() + 16);
    input.extend_from_slice(application_id.as_bytes());
    input.push(0);
    input.extend_from_slice(dedup_key.as_bytes());
    input.push(0);
    input.extend_from_slice(&partition.to_be_bytes());
    input.extend_from_slice(&offset.to_be_bytes());
    if ordinal > 0 {
        input.extend_from_slice(&ordinal.to_be_bytes());
    }
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&partition.to_be_bytes());
    bytes[2..].copy_from_slice(&xxh3_128(&input).to_be_bytes()[..14]);
    base32(bytes)
}

/// RFC 4648, lower case, unpadded.
fn base32(bytes: [u8; 16]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let number = u128::from_be_bytes(bytes);
    // 26 digits hold 130 bits: the last digit ends in two zero bits.
    (0..26_u32)
        .map(|digit| {
            let bits = if digit == 25 { number << 2 } else { number >> (123 - 5 * digit) };
            char::from(ALPHABET[(bits & 31) as usize])
        })
        .collect()
}

/// The key under which one episode is known: `family/kind/id[/value…]`, at most 255 bytes.
///
/// `kind` is [`crate::rules::program::Entity::kind`]; `dedup` are the values of the rule's `dedup` fields.
#[must_use]
pub fn dedup_key(family: &str, kind: &str, entity: EntityRef<'_>, dedup: &[Value<'_>]) -> String {
    let mut key = format!("{family}/{kind}/{}", entity_id(entity));
    for value in dedup {
        key.push('/');
        encode(&mut key, &plain(value));
    }
    if key.len() > DEDUP_KEY_MAX {
        let tail = format!("~{:016x}", xxh3_64(key.as_bytes()));
        let cut = (0..=DEDUP_KEY_MAX - tail.len()).rev().find(|&at| key.is_char_boundary(at)).unwrap_or(0);
        key.truncate(cut);
        key.push_str(&tail);
    }
    key
}

/// The entity as dedup keys and `entity.id` write it: account first, then the part, percent-encoded.
#[must_use]
pub fn entity_id(entity: EntityRef<'_>) -> String {
    let mut id = String::new();
    for part in [entity.account, entity.part].into_iter().flatten() {
        if !id.is_empty() {
            id.push('/');
        }
        encode(&mut id, part);
    }
    if id.is_empty() {
        id.push_str("platform");
    }
    id
}

/// Key of records about an entity: the account id, or `<kind>:<id>` across accounts.
#[must_use]
pub fn entity_key(kind: &str, entity: EntityRef<'_>) -> String {
    match entity.account {
        Some(account) => account.to_owned(),
        None => format!("{kind}:{}", entity.part.unwrap_or("platform")),
    }
}

/// A value as part of a key: its JSON form without quotes.
pub(super) fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.clone().into_owned(),
        other => crate::event::record::to_json(other),
    }
}

/// Appends text, percent-encoded outside `[A-Za-z0-9._:@-]`.
fn encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{alert_id, dedup_key, entity_key};
    use crate::engine::alert::EntityRef;
    use crate::event::Value;

    fn entity<'a>(account: Option<&'a str>, part: Option<&'a str>) -> EntityRef<'a> {
        EntityRef { account, part }
    }

    #[test]
    fn alert_ids_have_these_vectors() {
        let key = "engagement-decline/account/acme";
        assert_eq!(alert_id("risk-eu-1", key, (7, 481_516), 0), "aad5oisohdudarcczwubgvkgnm");
        assert_eq!(alert_id("replay", "f/user/acme/u1", (0, 0), 0), "aaaf6kvxccgy2bctmxghktj5yy");
    }

    #[test]
    fn every_opening_of_a_record_has_its_own_id() {
        let id = |ordinal| alert_id("replay", "f/user/acme/u1", (0, 0), ordinal);
        assert_eq!(id(1), "aaagy2c3c4jygjye2quomzraru");
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn dedup_keys_name_family_kind_and_entity() {
        assert_eq!(dedup_key("f", "account", entity(Some("acme"), None), &[]), "f/account/acme");
        assert_eq!(
            dedup_key(
                "f",
                "account+issue_key",
                entity(Some("a b"), Some("export/ä")),
                &[Value::text("in_1"), Value::Int(3)]
            ),
            "f/account+issue_key/a%20b/export%2F%C3%A4/in_1/3"
        );
        assert_eq!(dedup_key("f", "integration", entity(None, Some("slack")), &[]), "f/integration/slack");
        assert_eq!(dedup_key("f", "platform", entity(None, None), &[]), "f/platform/platform");
    }

    #[test]
    fn long_dedup_keys_end_in_a_hash() {
        let long = "a".repeat(300);
        let key = dedup_key("f", "account", entity(Some(&long), None), &[]);
        assert_eq!(key.len(), 255);
        assert_eq!(key, format!("f/account/{}~01e003adfdc72218", "a".repeat(228)));
        let fits = "a".repeat(245);
        assert_eq!(dedup_key("f", "account", entity(Some(&fits), None), &[]).len(), 255);
        assert!(!dedup_key("f", "account", entity(Some(&fits), None), &[]).contains('~'));
    }

    #[test]
    fn records_about_an_entity_are_keyed_by_account_where_there_is_one() {
        assert_eq!(entity_key("account+integration", entity(Some("acme"), Some("slack"))), "acme");
        assert_eq!(entity_key("integration", entity(None, Some("slack"))), "integration:slack");
        assert_eq!(entity_key("platform", entity(None, None)), "platform:platform");
    }
}
