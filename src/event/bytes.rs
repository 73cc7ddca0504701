//! Compact bytes: the primitives that journal frames and stored rows are written with.
//!
//! Integers are LEB128 varints, signed ones zigzag first; strings are their length and UTF-8; doubles are 8 bytes,
//! little-endian. A [`Value`] is one tag byte and its content.

use std::borrow::Cow;

use super::{Text, Timestamp, Value};

/// Bytes that are not what the writer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// They end too early.
    #[error("the bytes end too early")]
    Truncated,
    /// A tag, length or string that no writer makes.
    #[error("the bytes are malformed: {0}")]
    Malformed(&'static str),
    /// A format version of a later build.
    #[error("format version {0} is not known to this build")]
    Version(u8),
}

/// Deepest nesting of lists and maps in a value.
const DEPTH_MAX: u8 = 8;

/// Appends an unsigned varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => out.push(byte),
        _ => put_long_varint(out, value),
    }
}

fn put_long_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits")]
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 0x80")]
    out.push(value as u8);
}

/// Appends a signed varint.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a length and bytes.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string.
#[inline]
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Appends a value.
pub fn put_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int(value) => {
            out.push(2);
            put_signed(out, *value);
        }
        Value::Double(value) => {
            out.push(3);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Time(value) => {
            out.push(4);
            put_signed(out, value.0);
        }
        Value::Date(value) => {
            out.push(5);
            put_signed(out, i64::from(*value));
        }
        Value::Text(text) => {
            out.push(6);
            put_text(out, text);
        }
        Value::List(items) => {
            out.push(7);
            put_varint(out, items.len() as u64);
            items.iter().for_each(|item| put_value(out, item));
        }
        Value::Map(entries) => {
            out.push(8);
            put_varint(out, entries.len() as u64);
            for (name, value) in entries {
                put_text(out, name);
                put_value(out, value);
            }
        }
    }
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    ///
    /// # Errors
    /// If nothing is left.
    pub fn byte(&mut self) -> Result<u8, FormatError> {
        let (first, rest) = self.rest.split_first().ok_or(FormatError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        if count > self.rest.len() {
            return Err(FormatError::Truncated);
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// If it is cut, longer than 64 bits, or longer than need be.
    pub fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            // Too large, or longer than need be: there is one encoding of a number, so that there is one of a key.
            if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FormatError::Malformed("varint"))
    }

    /// A signed varint.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed(&mut self) -> Result<i64, FormatError> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    /// A count of things that take at least one byte each, so that a hostile count can't reserve memory.
    ///
    /// # Errors
    /// If it exceeds what is left.
    pub fn count(&mut self) -> Result<usize, FormatError> {
        let count = usize::try_from(self.varint()?).map_err(|_| FormatError::Malformed("count"))?;
        if count > self.rest.len() { Err(FormatError::Truncated) } else { Ok(count) }
    }

    /// A length and bytes.
    ///
    /// # Errors
    /// If it is cut.
    pub fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let count = self.count()?;
        self.take(count)
    }

    /// A string.
    ///
    /// # Errors
    /// If it is cut or no UTF-8.
    pub fn text(&mut self) -> Result<&'a str, FormatError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| FormatError::Malformed("string"))
    }

    /// A point in time.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn time(&mut self) -> Result<Timestamp, FormatError> {
        self.signed().map(Timestamp)
    }

    /// A value; strings borrow from the bytes.
    ///
    /// # Errors
    /// If it is cut, malformed or nested too deep.
    pub fn value(&mut self) -> Result<Value<'a>, FormatError> {
        self.nested(DEPTH_MAX)
    }

    fn nested(&mut self, depth: u8) -> Result<Value<'a>, FormatError> {
        let below = || depth.checked_sub(1).ok_or(FormatError::Malformed("nesting"));
        Ok(match self.byte()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            2 => Value::Int(self.signed()?),
            3 => {
                let bytes = self.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
                Value::Double(f64::from_le_bytes(bytes))
            }
            4 => Value::Time(self.time()?),
            5 => Value::Date(i32::try_from(self.signed()?).map_err(|_| FormatError::Malformed("date"))?),
            6 => Value::Text(Cow::Borrowed(self.text()?)),
            7 => {
                let depth = below()?;
                let count = self.count()?;
                Value::List((0..count).map(|_| self.nested(depth)).collect::<Result<_, _>>()?)
            }
            8 => {
                let depth = below()?;
                let count = self.count()?;
                let entry = |_| Ok((Text::Borrowed(self.text()?), self.nested(depth)?));
                Value::Map((0..count).map(entry).collect::<Result<_, FormatError>>()?)
            }
            _ => return Err(FormatError::Malformed("value tag")),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FormatError, Reader, put_signed, put_value, put_varint};
    use crate::event::{Timestamp, Value};

    #[test]
    fn varints_have_these_bytes() {
        let mut out = Vec::new();
        put_varint(&mut out, 0);
        put_varint(&mut out, 300);
        put_signed(&mut out, -1);
        put_signed(&mut out, i64::MIN);
        assert_eq!(out, [0, 0xac, 2, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn hostile_bytes_are_refused() {
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(FormatError::Malformed("varint")));
        assert_eq!(Reader::new(&[0x80, 0]).varint(), Err(FormatError::Malformed("varint")), "a longer zero");
        assert_eq!(Reader::new(&[7, 0xff, 0xff, 0xff, 0x7f]).value(), Err(FormatError::Truncated));
        assert_eq!(Reader::new(&[9]).value(), Err(FormatError::Malformed("value tag")));
        let deep: Vec<u8> = [7, 1].repeat(20);
        assert_eq!(Reader::new(&deep).value(), Err(FormatError::Malformed("nesting")));
    }

    fn any_value() -> impl Strategy<Value = Value<'static>> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e12_f64..1e12).prop_map(Value::Double),
            any::<i64>().prop_map(|ms| Value::Time(Timestamp(ms))),
            any::<i32>().prop_map(Value::Date),
            ".{0,20}".prop_map(Value::text),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::vec((".{0,8}".prop_map(Into::into), inner), 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_read_back(value in any_value()) {
            let mut out = Vec::new();
            put_value(&mut out, &value);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.value().unwrap(), value);
            prop_assert!(reader.is_empty());
        }
    }
}
