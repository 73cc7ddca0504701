//! Records as a source hands them over, and which schema they were written with.

use crate::event::Timestamp;

/// Headers of a record, in their order; read on demand, most records have none.
pub trait Headers: std::fmt::Debug {
    /// Name and value of the header at this place; `None` after the last.
    fn header(&self, place: usize) -> Option<(&str, &[u8])>;
}

/// No headers.
impl Headers for () {
    fn header(&self, _: usize) -> Option<(&str, &[u8])> {
        None
    }
}

/// A list of names and values.
impl Headers for Vec<(String, Vec<u8>)> {
    fn header(&self, place: usize) -> Option<(&str, &[u8])> {
        self.get(place).map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

/// A record of a source.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Kafka's timestamp; negative: none.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a dyn Headers,
}

impl<'a> Record<'a> {
    /// The last header of this name, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.header_bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    fn header_bytes(&self, name: &str) -> Option<&'a [u8]> {
        let headers = self.headers;
        (0..)
            .map_while(|place| headers.header(place))
            .filter(|(own, _)| *own == name)
            .last()
            .map(|(_, value)| value)
    }

    /// The key, if it is text.
    pub(super) fn key_text(&self) -> Option<&'a str> {
        self.key.and_then(|key| std::str::from_utf8(key).ok())
    }
}

/// How a topic's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Avro where a schema is named, else JSON.
    #[default]
    Auto,
    /// Avro; a schema must be named.
    Avro,
    /// JSON; a schema in front of it is passed over.
    Json,
}

/// Which schema a record was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaId {
    /// The registry's number, from the prefix.
    Number(i32),
    /// The schema's GUID, from the header `__value_schema_id`.
    Guid([u8; 16]),
}

impl std::fmt::Display for SchemaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Guid(guid) => {
                let hex = |range: std::ops::Range<usize>| {
                    guid[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
                };
                write!(f, "{}-{}-{}-{}-{}", hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16))
            }
        }
    }
}

/// The payload of a value, and its schema if it is Avro.
pub(super) enum Payload<'a> {
    Avro(SchemaId, &'a [u8]),
    Json(&'a [u8]),
}

/// Finds out how a value is written.
pub(super) fn payload<'a>(
    format: Format,
    record: &Record<'a>,
    value: &'a [u8],
) -> Result<Payload<'a>, &'static str> {
    let prefixed = |value: &'a [u8]| match value.split_first_chunk::<5>() {
        Some(([0, id @ ..], rest)) => Some((SchemaId::Number(i32::from_be_bytes(*id)), rest)),
        _ => None,
    };
    if format == Format::Json {
        return Ok(Payload::Json(prefixed(value).map_or(value, |(_, rest)| rest)));
    }
    if let Some((id, rest)) = prefixed(value) {
        return Ok(Payload::Avro(id, rest));
    }
    match record.header_bytes("__value_schema_id") {
        Some([1, guid @ ..]) => {
            let guid = guid.try_into().map_err(|_| "the header `__value_schema_id` is not 17 bytes long")?;
            Ok(Payload::Avro(SchemaId::Guid(guid), value))
        }
        Some(_) => Err("the header `__value_schema_id` is of an unknown version"),
        None if format == Format::Avro => Err("the value names no schema: neither prefix nor header"),
        None => Ok(Payload::Json(value)),
    }
}
