//! Keys of rows: bytes whose order groups an account's rows of one kind.
//!
//! Layout: one byte of entity kind, its high bit set for rows across accounts; a custom kind's name with its length;
//! the account with its length, unless across accounts; the other part, to the end.

use std::ops::Range;

use crate::engine::store::RowKey;
use crate::event::bytes::{FormatError, Reader, put_text};
use crate::rules::program::Entity;

/// Bit of the first byte: the row belongs to no single account.
const ACROSS: u8 = 0x80;
/// Code of kinds that the vocabulary adds; their name follows.
const CUSTOM: u8 = 0x7f;

/// Code of accounts' own rows.
const ACCOUNT: u8 = 1;

/// Codes of the built-in kinds. Rows on disk carry them: add, never renumber.
const CODES: [(&str, u8); 16] = [
    ("account", ACCOUNT),
    ("user", 2),
    ("ticket", 3),
    ("integration", 4),
    ("issue_key", 5),
    ("feature_area", 6),
    ("root_cause", 7),
    ("error_code", 8),
    ("service", 9),
    ("region", 10),
    ("limit", 11),
    ("workflow", 12),
    ("feature", 13),
    ("incident", 14),
    ("platform", 15),
    ("alias", 16),
];

/// What a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyParts<'a> {
    /// The kind of entity: `account`, `platform`, `alias`, or the name of the part that is not the account.
    pub kind: &'a str,
    /// The account; `None` for a row across accounts.
    pub account: Option<&'a str>,
    /// The other part; empty for an account's own row and the platform's.
    pub part: &'a str,
}

impl<'a> KeyParts<'a> {
    /// The key of an entity's row for this account and part. `None` where the entity needs one that is not given.
    #[must_use]
    pub fn of(entity: &'a Entity, account: Option<&'a str>, part: Option<&'a str>) -> Option<Self> {
        let account = if entity.account { Some(account?) } else { None };
        Some(match &entity.part {
            Some(own) => Self { kind: &own.name, account, part: part? },
            None if entity.account => Self { kind: "account", account, part: "" },
            None => Self { kind: "platform", account, part: "" },
        })
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> RowKey {
        let mut out =
            Vec::with_capacity(1 + self.account.map_or(0, |account| 1 + account.len()) + self.part.len());
        self.put(&mut out);
        RowKey(out.into_boxed_slice())
    }

    /// Appends the bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_head(out, self.kind, self.account);
        out.extend_from_slice(self.part.as_bytes());
    }

    /// Appends the bytes of an account's own row.
    pub fn put_account(account: &str, out: &mut Vec<u8>) {
        out.push(ACCOUNT);
        put_text(out, account);
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// If no encoder makes them.
    pub fn decode(key: &'a RowKey) -> Result<Self, FormatError> {
        let mut reader = Reader::new(&key.0);
        let first = reader.byte()?;
        let kind = match first & !ACROSS {
            CUSTOM => {
                let name = reader.text()?;
                if CODES.iter().any(|(own, _)| *own == name) {
                    return Err(FormatError::Malformed("entity kind"));
                }
                name
            }
            code => CODES
                .iter()
                .find(|(_, own)| *own == code)
                .map(|(name, _)| *name)
                .ok_or(FormatError::Malformed("entity kind"))?,
        };
        let account = if first & ACROSS == 0 { Some(reader.text()?) } else { None };
        let part = std::str::from_utf8(reader.rest()).map_err(|_| FormatError::Malformed("key part"))?;
        Ok(Self { kind, account, part })
    }
}

fn put_head(out: &mut Vec<u8>, kind: &str, account: Option<&str>) {
    let across = if account.is_none() { ACROSS } else { 0 };
    if let Some((_, code)) = CODES.iter().find(|(name, _)| *name == kind) {
        out.push(code | across);
    } else {
        out.push(CUSTOM | across);
        put_text(out, kind);
    }
    if let Some(account) = account {
        put_text(out, account);
    }
}

/// The keys of all of an account's rows of one kind: from the first included to the last excluded.
#[must_use]
pub fn account_range(kind: &str, account: &str) -> Range<RowKey> {
    let mut from = Vec::with_capacity(account.len() + 3);
    put_head(&mut from, kind, Some(account));
    let mut until = from.clone();
    // Keys are UTF-8 behind the head, and no UTF-8 byte is 0xff.
    until.push(0xff);
    RowKey(from.into_boxed_slice())..RowKey(until.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{KeyParts, account_range};
    use crate::engine::store::RowKey;

    #[test]
    fn keys_have_these_bytes() {
        let key = |kind, account, part| KeyParts { kind, account, part }.encode().0.to_vec();
        assert_eq!(key("account", Some("acme"), ""), b"\x01\x04acme");
        assert_eq!(key("user", Some("acme"), "u1"), b"\x02\x04acmeu1");
        assert_eq!(key("feature_area", None, "billing"), b"\x86billing");
        assert_eq!(key("platform", None, ""), b"\x8f");
        assert_eq!(key("shelf", Some("acme"), "s7"), b"\x7f\x05shelf\x04acmes7");
    }

    #[test]
    fn unknown_kinds_are_refused() {
        for bytes in [
            &b""[..],
            b"\x20\x04acme",
            b"\x01\x09acme",
            b"\x02\x01a\xff",
            b"\x7f\x04user\x01a",
            b"\x04\x80\0a",
        ] {
            assert!(KeyParts::decode(&RowKey(bytes.into())).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn keys_are_read_back_and_ranges_hold_one_account(
            kind in prop_oneof![Just("user".to_owned()), Just("ticket".to_owned()), "[a-z]{1,6}"],
            account in "\\PC{1,8}", other in "\\PC{1,8}", part in "\\PC{0,8}",
        ) {
            let parts = KeyParts { kind: &kind, account: Some(&account), part: &part };
            let key = parts.encode();
            prop_assert_eq!(KeyParts::decode(&key).unwrap(), parts);
            prop_assert!(account_range(&kind, &account).contains(&key));
            prop_assert_eq!(account_range(&kind, &other).contains(&key), other == account);
            let across = KeyParts { account: None, ..parts };
            let across_key = across.encode();
            prop_assert_eq!(KeyParts::decode(&across_key).unwrap(), across);
            prop_assert!(!account_range(&kind, &account).contains(&across_key));
        }
    }
}
