//! The encoders against `apache-avro`, and the JSON Schemas that are made of the Avro schemas.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use expect_test::expect_file;
use serde_json::{Map, Value as Json, json};

use super::{
    ALERT_SCHEMA, AvroError, DECISION_SCHEMA, SourceWriter, from_json, source_schema, to_avro, to_json,
};
use crate::event::{Kind, Timestamp, Value};

/// Reads Avro with `apache-avro`; nulls are left out.
pub(crate) fn decoded(schema: &Schema, mut bytes: &[u8]) -> Value<'static> {
    let reader = GenericDatumReader::builder(schema).build().unwrap();
    let read = reader.read_value(&mut bytes).unwrap();
    assert!(bytes.is_empty(), "bytes are left over");
    converted(read).unwrap()
}

fn converted(avro: Avro) -> Option<Value<'static>> {
    Some(match avro {
        Avro::Null => return None,
        Avro::Boolean(value) => Value::Bool(value),
        Avro::Int(value) => Value::Int(i64::from(value)),
        Avro::Long(value) => Value::Int(value),
        Avro::Double(value) => Value::Double(value),
        Avro::String(text) | Avro::Enum(_, text) => Value::text(text),
        Avro::Union(_, inner) => return converted(*inner),
        Avro::Array(items) => Value::List(items.into_iter().filter_map(converted).collect()),
        Avro::Map(entries) => {
            let sorted: BTreeMap<String, Avro> = entries.into_iter().collect();
            Value::Map(
                sorted.into_iter().filter_map(|(name, it)| Some((name.into(), converted(it)?))).collect(),
            )
        }
        Avro::Record(entries) => Value::Map(
            entries.into_iter().filter_map(|(name, it)| Some((name.into(), converted(it)?))).collect(),
        ),
        Avro::Date(day) => Value::Date(day),
        Avro::TimestampMillis(ms) => Value::Time(Timestamp(ms)),
        other => panic!("no type of ours: {other:?}"),
    })
}

/// A value that has all that a schema knows; numbers and texts tell fields apart.
fn filled(schema: &Schema, count: &mut i64) -> Value<'static> {
    *count += 1;
    let number = *count;
    match schema {
        Schema::Boolean => Value::Bool(number % 2 == 0),
        Schema::Int | Schema::Long => Value::Int(number),
        Schema::Double => Value::Double(f64::from(i32::try_from(number).unwrap()) + 0.5),
        Schema::String => Value::text(format!("text {number}")),
        Schema::Enum(symbols) => Value::text(symbols.symbols[0].clone()),
        Schema::Date => Value::Date(i32::try_from(number).unwrap()),
        Schema::TimestampMillis => Value::Time(Timestamp(number)),
        Schema::Union(union) => filled(&union.variants()[1], count),
        Schema::Array(array) => Value::List(vec![filled(&array.items, count), filled(&array.items, count)]),
        Schema::Map(map) => Value::Map(vec![
            ("one".into(), filled(&map.types, count)),
            ("two".into(), filled(&map.types, count)),
        ]),
        Schema::Record(record) => {
            let entry = |field: &apache_avro::schema::RecordField| {
                (field.name.clone().into(), filled(&field.schema, count))
            };
            Value::Map(record.fields.iter().map(entry).collect())
        }
        other => panic!("no type of ours: {other:?}"),
    }
}

#[test]
fn every_field_of_the_contract_survives_both_encodings() {
    for text in [ALERT_SCHEMA, DECISION_SCHEMA] {
        let schema = Schema::parse_str(text).unwrap();
        let value = filled(&schema, &mut 0);
        let mut avro = Vec::new();
        to_avro(&schema, &value, &mut avro).unwrap();
        assert_eq!(decoded(&schema, &avro), value);
        let json = to_json(&value);
        assert_eq!(to_json(&from_json(&json).unwrap()), json);
    }
}

const SMALL: &str = r#"{"type": "record", "name": "Small", "fields": [
    {"name": "id", "type": "string"},
    {"name": "state", "type": {"type": "enum", "name": "state", "symbols": ["on", "unknown"], "default": "unknown"}},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {"name": "sizes", "type": {"type": "map", "values": "double"}, "default": {}},
    {"name": "small", "type": ["null", "int"], "default": null}]}"#;

fn small(entries: Vec<(&'static str, Value<'static>)>) -> Result<Vec<u8>, AvroError> {
    let value = Value::Map(entries.into_iter().map(|(name, value)| (name.into(), value)).collect());
    let mut bytes = Vec::new();
    to_avro(&Schema::parse_str(SMALL).unwrap(), &value, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn what_is_absent_is_null_or_empty() {
    let bytes = small(vec![("state", Value::text("on")), ("id", Value::text("a"))]).unwrap();
    assert_eq!(bytes, [2, b'a', 0, 0, 0, 0, 0]);
}

#[test]
fn maps_keep_their_order_and_whole_numbers_become_doubles() {
    let sizes = Value::Map(vec![("z".into(), Value::Int(1)), ("a".into(), Value::Double(0.0))]);
    let entries = vec![("id", Value::text("")), ("state", Value::text("off")), ("sizes", sizes)];
    let bytes = small(entries).unwrap();
    let one = 1.0_f64.to_le_bytes();
    let expected =
        [&[0_u8, 2, 0, 0, 4, 2, b'z'] as &[u8], &one, &[2, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0]].concat();
    assert_eq!(bytes, expected, "an unlisted symbol is `unknown`");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let on = || ("state", Value::text("on"));
    let id = || ("id", Value::text("a"));
    for (entries, error) in [
        (vec![id()], AvroError::Missing("state".into())),
        (vec![id(), on(), ("extra", Value::Int(1))], AvroError::Unknown("extra".into())),
        (vec![id(), on(), ("note", Value::Int(1))], AvroError::Type("note".into())),
        (vec![id(), on(), ("small", Value::Int(i64::MAX))], AvroError::Type("small".into())),
        (vec![("id", Value::Bool(true)), on()], AvroError::Type("id".into())),
    ] {
        assert_eq!(small(entries), Err(error));
    }
}

/// The JSON twin of an Avro schema.
fn json_schema(schema: &Schema) -> Json {
    match schema {
        Schema::Boolean => json!({"type": "boolean"}),
        Schema::Int | Schema::Long => json!({"type": "integer"}),
        Schema::Double => json!({"type": "number"}),
        Schema::String => json!({"type": "string"}),
        Schema::Date => json!({"type": "string", "format": "date"}),
        Schema::TimestampMillis => json!({"type": "string", "format": "date-time"}),
        Schema::Enum(symbols) => json!({"type": "string", "enum": symbols.symbols}),
        Schema::Union(union) => json_schema(&union.variants()[1]),
        Schema::Array(array) => json!({"type": "array", "items": json_schema(&array.items)}),
        Schema::Map(map) => json!({"type": "object", "additionalProperties": json_schema(&map.types)}),
        Schema::Record(record) => {
            let mut properties = Map::new();
            for field in &record.fields {
                let mut property = json_schema(&field.schema);
                property["description"] = json!(field.doc);
                properties.insert(field.name.clone(), property);
            }
            let required: Vec<&str> = record
                .fields
                .iter()
                .filter(|field| field.default.is_none())
                .map(|field| field.name.as_str())
                .collect();
            json!({"type": "object", "properties": properties, "required": required})
        }
        other => panic!("no type of ours: {other:?}"),
    }
}

fn twin(text: &str) -> String {
    let mut schema = json_schema(&Schema::parse_str(text).unwrap());
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    let mut text = serde_json::to_string_pretty(&schema).unwrap();
    text.push('\n');
    text
}

#[test]
fn the_json_schemas_are_current() {
    expect_file!["../../../schemas/alert/v1.schema.json"].assert_eq(&twin(ALERT_SCHEMA));
    expect_file!["../../../schemas/decision/v1.schema.json"].assert_eq(&twin(DECISION_SCHEMA));
}

#[test]
fn every_simulated_record_fits_the_schema_of_its_kind() {
    let company = crate::simulate::Company::new(7, 20, Timestamp(1_767_571_200_000), 45);
    let mut seen = BTreeSet::new();
    for record in company {
        let kind = Kind::ALL.into_iter().find(|kind| crate::replay::topic_of(*kind) == record.topic).unwrap();
        let written = SourceWriter::new(kind, 258).unwrap().write(&record.value);
        let written = written.unwrap_or_else(|error| panic!("{}: {error}", record.topic));
        assert_eq!(written[..5], [0, 0, 0, 1, 2]);
        if seen.insert(kind) {
            let schema = Schema::parse_str(source_schema(kind)).unwrap();
            assert!(matches!(decoded(&schema, &written[5..]), Value::Map(_)));
        }
    }
    assert!(seen.len() >= 5, "{seen:?}");
}
