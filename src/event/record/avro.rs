//! Records as Avro, by schema. Written here and not with `apache-avro`, whose maps have no order: equal records are equal
//! bytes. Tests hold it to `apache-avro`.

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, RecordSchema, UnionSchema};

use super::super::bytes::put_signed;
use super::super::{Kind, Value};

/// The schema of alerts, as registered.
pub const ALERT_SCHEMA: &str = include_str!("../../../schemas/alert/v1.avsc");
/// The schema of decisions, as registered.
pub const DECISION_SCHEMA: &str = include_str!("../../../schemas/decision/v1.avsc");

/// The schema of a kind's source records, as registered.
#[must_use]
pub const fn source_schema(kind: Kind) -> &'static str {
    match kind {
        Kind::Usage => include_str!("../../../schemas/usage/v1.avsc"),
        Kind::ErrorLog => include_str!("../../../schemas/error_log/v1.avsc"),
        Kind::Billing => include_str!("../../../schemas/billing/v1.avsc"),
        Kind::Ticket => include_str!("../../../schemas/ticket/v1.avsc"),
        Kind::Account => include_str!("../../../schemas/account/v1.avsc"),
        Kind::Outcome => include_str!("../../../schemas/outcome/v1.avsc"),
        Kind::Control => include_str!("../../../schemas/control/v1.avsc"),
        Kind::Health => include_str!("../../../schemas/health/v1.avsc"),
    }
}

/// Writes the source records of a kind with the registry's prefix in front, for the simulator.
#[derive(Debug)]
pub struct SourceWriter {
    schema: Schema,
    id: u32,
}

impl SourceWriter {
    /// A writer for a kind whose schema has this id.
    ///
    /// # Errors
    /// If the schema that comes with the program is none, which a test excludes.
    pub fn new(kind: Kind, id: u32) -> Result<Self, AvroError> {
        let schema =
            Schema::parse_str(source_schema(kind)).map_err(|error| AvroError::Schema(error.to_string()))?;
        Ok(Self { schema, id })
    }

    /// Zero, the id, the record.
    ///
    /// # Errors
    /// If the record does not fit the schema.
    pub fn write(&self, value: &Value<'_>) -> Result<Vec<u8>, AvroError> {
        let mut out = vec![0];
        out.extend_from_slice(&self.id.to_be_bytes());
        to_avro(&self.schema, value, &mut out)?;
        Ok(out)
    }
}

/// The symbol that stands for every symbol that a schema does not list.
const UNKNOWN: &str = "unknown";

/// A record and a schema that do not fit: a defect of ours, not of the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// The schema is malformed.
    #[error("the schema is malformed: {0}")]
    Schema(String),
    /// The schema demands a value.
    #[error("`{0}` has no value, and the schema demands one")]
    Missing(String),
    /// The value is of another type than the schema's.
    #[error("`{0}` is of another type than in the schema")]
    Type(String),
    /// The schema does not know the field.
    #[error("`{0}` is not in the schema")]
    Unknown(String),
}

/// Appends a record in Avro's binary encoding.
///
/// # Errors
/// If the record does not fit the schema.
pub fn to_avro(schema: &Schema, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), AvroError> {
    write(out, schema, Some(value), "")
}

fn write(out: &mut Vec<u8>, schema: &Schema, value: Option<&Value<'_>>, at: &str) -> Result<(), AvroError> {
    let mismatch = || AvroError::Type(at.to_owned());
    match (schema, value) {
        (Schema::Union(union), value) => return write_union(out, union, value, at),
        (Schema::Array(_) | Schema::Map(_), None) => out.push(0),
        (_, None) => return Err(AvroError::Missing(at.to_owned())),
        (Schema::Record(record), Some(value)) => return write_record(out, record, value, at),
        (Schema::Array(array), Some(Value::List(items))) => {
            write_count(out, items.len());
            for item in items {
                write(out, &array.items, Some(item), at)?;
            }
            if !items.is_empty() {
                out.push(0);
            }
        }
        (Schema::Map(map), Some(Value::Map(entries))) => {
            write_count(out, entries.len());
            for (name, value) in entries {
                write_text(out, name);
                write(out, &map.types, Some(value), at)?;
            }
            if !entries.is_empty() {
                out.push(0);
            }
        }
        (Schema::Boolean, Some(Value::Bool(value))) => out.push(u8::from(*value)),
        (Schema::Int, Some(Value::Int(value))) => {
            put_signed(out, i64::from(i32::try_from(*value).map_err(|_| mismatch())?));
        }
        (Schema::Long | Schema::TimestampMillis, Some(Value::Int(value))) => put_signed(out, *value),
        (Schema::TimestampMillis, Some(Value::Time(time))) => put_signed(out, time.0),
        (Schema::Date, Some(Value::Date(day))) => put_signed(out, i64::from(*day)),
        (Schema::Double, Some(Value::Double(value))) => out.extend_from_slice(&value.to_le_bytes()),
        #[expect(clippy::cast_precision_loss, reason = "a count that is written as a double")]
        (Schema::Double, Some(Value::Int(value))) => out.extend_from_slice(&(*value as f64).to_le_bytes()),
        (Schema::String, Some(Value::Text(text))) => write_text(out, text),
        (Schema::Enum(symbols), Some(Value::Text(text))) => write_symbol(out, symbols, text, at)?,
        _ => return Err(mismatch()),
    }
    Ok(())
}

fn write_record(
    out: &mut Vec<u8>,
    record: &RecordSchema,
    value: &Value<'_>,
    at: &str,
) -> Result<(), AvroError> {
    let Value::Map(entries) = value else {
        return Err(AvroError::Type(at.to_owned()));
    };
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    if let Some((name, _)) = entries.iter().find(|(name, _)| !record.lookup.contains_key(&**name)) {
        return Err(AvroError::Unknown(below(name)));
    }
    for field in &record.fields {
        let default = field.default.as_ref().and_then(plain_default);
        let value = value.entry(&field.name).or(default.as_ref());
        write(out, &field.schema, value, &below(&field.name))?;
    }
    Ok(())
}

/// The default of a field that is a single value; lists and maps are empty and nulls null without it.
fn plain_default(default: &serde_json::Value) -> Option<Value<'static>> {
    match default {
        serde_json::Value::Bool(value) => Some(Value::Bool(*value)),
        serde_json::Value::String(text) => Some(Value::text(text.clone())),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Value::Int).or(number.as_f64().map(Value::Double))
        }
        _ => None,
    }
}

/// Whether a type of a union of single values takes this value; anything else is told when it is written.
const fn takes(schema: &Schema, value: &Value<'_>) -> bool {
    match schema {
        Schema::Null => false,
        Schema::Boolean => matches!(value, Value::Bool(_)),
        Schema::Int | Schema::Long => matches!(value, Value::Int(_)),
        Schema::Double => matches!(value, Value::Double(_) | Value::Int(_)),
        Schema::String => matches!(value, Value::Text(_)),
        _ => true,
    }
}

/// Unions are a type or null, or, for properties, one of several single values.
fn write_union(
    out: &mut Vec<u8>,
    union: &UnionSchema,
    value: Option<&Value<'_>>,
    at: &str,
) -> Result<(), AvroError> {
    let is_null = |schema: &Schema| matches!(schema, Schema::Null);
    let fits = |schema: &Schema| value.map_or_else(|| is_null(schema), |value| takes(schema, value));
    let places = || union.variants().iter().enumerate();
    let (place, schema) = places()
        .find(|(_, schema)| fits(schema))
        .or_else(|| places().find(|(_, schema)| is_null(schema) != value.is_some()))
        .ok_or_else(|| AvroError::Missing(at.to_owned()))?;
    write_count(out, place);
    match value {
        Some(value) => write(out, schema, Some(value), at),
        None => Ok(()),
    }
}

fn write_symbol(out: &mut Vec<u8>, symbols: &EnumSchema, text: &str, at: &str) -> Result<(), AvroError> {
    let place = |wanted: &str| symbols.symbols.iter().position(|symbol| symbol == wanted);
    let place = place(text).or_else(|| place(UNKNOWN)).ok_or_else(|| AvroError::Type(at.to_owned()))?;
    write_count(out, place);
    Ok(())
}

fn write_count(out: &mut Vec<u8>, count: usize) {
    put_signed(out, i64::try_from(count).unwrap_or(i64::MAX));
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}
