//! How many rows there are by kind of entity (`contracts.md` §8.3), counted when a checkpoint writes or deletes them and kept
//! in the task's state, so that nobody looks at the store for it.

use std::collections::BTreeMap;

use crate::engine::store::RowKey;
use crate::event::bytes::{FormatError, Reader, put_text, put_varint};

use super::key::KeyParts;

/// Rows by kind of entity. Rows that only list others are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenants(BTreeMap<Box<str>, u64>);

impl Tenants {
    /// Takes in rows that are new in the store, or gone from it.
    pub fn change<'k>(&mut self, moves: impl Iterator<Item = (&'k RowKey, bool)>) -> Result<(), FormatError> {
        for (key, is_new) in moves {
            let kind = KeyParts::decode(key)?.kind;
            if kind.starts_with(super::LIST) {
                continue;
            }
            if !self.0.contains_key(kind) {
                self.0.insert(kind.into(), 0);
            }
            if let Some(rows) = self.0.get_mut(kind) {
                *rows = if is_new { *rows + 1 } else { rows.saturating_sub(1) };
            }
        }
        Ok(())
    }

    /// Kinds and how many rows they have.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, rows)| (&**kind, *rows))
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (kind, rows) in &self.0 {
            put_text(out, kind);
            put_varint(out, *rows);
        }
    }

    /// Reads what [`Tenants::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut tenants = Self::default();
        for _ in 0..reader.count()? {
            tenants.0.insert(reader.text()?.into(), reader.varint()?);
        }
        Ok(tenants)
    }
}

#[cfg(test)]
mod tests {
    use super::Tenants;
    use crate::engine::rows::key::KeyParts;
    use crate::event::bytes::Reader;

    #[test]
    fn its_bytes_stay_what_they_are() {
        let key = |kind, part| KeyParts { kind, account: Some("acme"), part }.encode();
        let (own, user, list) = (key("account", ""), key("user", "u1"), key("list:user", ""));
        let mut tenants = Tenants::default();
        tenants.change([(&own, true), (&user, true), (&list, true), (&user, false)].into_iter()).unwrap();
        let mut bytes = Vec::new();
        tenants.encode(&mut bytes);
        assert_eq!(bytes, b"\x02\x07account\x01\x04user\x00");
        assert_eq!(Tenants::decode(&mut Reader::new(&bytes)).unwrap(), tenants);
        assert_eq!(tenants.iter().collect::<Vec<_>>(), [("account", 1), ("user", 0)]);
    }
}
