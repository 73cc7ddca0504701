//! Profiles of accounts and users, as rows keep them.

use crate::event::bytes::{FormatError, Reader, put_signed, put_value, put_varint};
use crate::event::{Event, Field, Kind, Value};

/// The newest profile of an account or user.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// What orders profiles: `profile_version`, or for users the event time.
    pub version: i64,
    /// Its fields, in the order of [`Field`].
    pub fields: Vec<(Field, Value<'static>)>,
}

impl Profile {
    /// The profile that an event carries.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        let version = match event.get(Field::ProfileVersion).as_deref() {
            Some(Value::Int(version)) => *version,
            _ => event.time.0,
        };
        let own = |(field, value): &(Field, Value<'_>)| (*field, value.clone().into_owned());
        Self { version, fields: event.fields.iter().map(own).collect() }
    }

    /// What an account's contacts say of a user, as if it were the user's own profile.
    #[must_use]
    pub fn contact(&self, user: &str) -> Option<Self> {
        let Some(Value::List(contacts)) = super::matches::find(Some(&self.fields), Field::Contacts) else {
            return None;
        };
        let is_user = |contact: &&Value<'static>| {
            contact.entry("user_id").and_then(Value::as_text).is_some_and(|id| id == user)
        };
        let Value::Map(entries) = contacts.iter().find(is_user)? else { return None };
        let mut fields: Vec<(Field, Value<'static>)> = entries
            .iter()
            .filter_map(|(name, value)| Some((Field::named(Kind::Account, name)?, value.clone())))
            .collect();
        fields.sort_by_key(|(field, _)| *field);
        Some(Self { version: self.version, fields })
    }

    /// About how many bytes it occupies.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        64 + self.fields.len() * 64
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_signed(out, self.version);
        put_varint(out, self.fields.len() as u64);
        for (field, value) in &self.fields {
            put_varint(out, u64::from(field.number()));
            put_value(out, value);
        }
    }

    /// Reads what [`Profile::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let version = reader.signed()?;
        let fields = read_fields(reader)?;
        Ok(Self { version, fields })
    }
}

/// Reads sorted fields.
pub(super) fn read_fields(reader: &mut Reader<'_>) -> Result<Vec<(Field, Value<'static>)>, FormatError> {
    let count = reader.count()?;
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let number = u16::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("field"))?;
        let field = Field::from_number(number).ok_or(FormatError::Malformed("field"))?;
        fields.push((field, reader.value()?.into_owned()));
    }
    Ok(fields)
}
