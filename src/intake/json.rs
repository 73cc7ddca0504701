//! JSON records: read once, without a tree; what nobody wants is passed over.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::event::{Text, Value};

use super::trie::{Finder, Trie};

/// Finds what is wanted in the bytes of one record.
///
/// # Errors
/// If they are no JSON object, or are nested deeper than 128 levels.
pub fn run<'a>(bytes: &'a [u8], wanted: &Trie, found: &mut impl Finder<'a>) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    json.deserialize_map(Walk { wanted, found })?;
    json.end()
}

/// Walks down to the wanted places.
struct Walk<'t, 'f, F> {
    wanted: &'t Trie,
    found: &'f mut F,
}

impl<'a, F: Finder<'a>> DeserializeSeed<'a> for Walk<'_, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        if self.wanted.slot().is_none() {
            return json.deserialize_any(self);
        }
        if let Some(value) = Whole.deserialize(json)? {
            self.wanted.collect(value, self.found);
        }
        Ok(())
    }
}

impl<'a, F: Finder<'a>> Visitor<'a> for Walk<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(below) = map.next_key_seed(Key(self.wanted))? {
            match below {
                Some(wanted) => map.next_value_seed(Walk { wanted, found: &mut *self.found })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        for index in 0.. {
            let more = match self.wanted.item(index) {
                Some(wanted) => seq.next_element_seed(Walk { wanted, found: &mut *self.found })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// What is wanted below a key.
struct Key<'t>(&'t Trie);

impl<'a, 't> DeserializeSeed<'a> for Key<'t> {
    type Value = Option<&'t Trie>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Key<'t> {
    type Value = Option<&'t Trie>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.name(key))
    }
}

/// A value as a whole; nulls in it are left out.
struct Whole;

impl<'a> DeserializeSeed<'a> for Whole {
    type Value = Option<Value<'a>>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Whole {
    type Value = Option<Value<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(value)))
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond 64 signed bits, the nearest double")]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(value).map_or(Value::Double(value as f64), Value::Int)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(value.is_finite().then_some(Value::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Owned(value.to_owned()))))
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Borrowed(value))))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Owned(value))))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Whole)? {
            items.extend(item);
        }
        Ok(Some(Value::List(items)))
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut entries: Vec<(Text<'a>, Value<'a>)> = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            if let Some(value) = map.next_value_seed(Whole)? {
                entries.push((name, value));
            }
        }
        Ok(Some(Value::Map(entries)))
    }
}

/// The key of an entry, borrowed where it has no escapes.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Text<'a>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Text<'a>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Text<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, value: &str) -> Result<Text<'a>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<Text<'a>, E> {
        Ok(Cow::Borrowed(value))
    }
}
