//! The projection against apache-avro: whatever it writes and reads, we read alike, whole or in part.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::{AvroError, compile};
use crate::event::{Timestamp, Value};
use crate::intake::trie::{Found, Step, Trie};

const SCHEMA: &str = r#"{"type": "record", "name": "R", "namespace": "t", "fields": [
    {"name": "text", "type": "string"},
    {"name": "noise", "type": {"type": "array", "items": {"type": "map", "values": "double"}}},
    {"name": "maybe", "type": ["null", "string", "long"]},
    {"name": "when", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
    {"name": "inner", "type": ["null", {"type": "record", "name": "Inner", "fields": [
        {"name": "flag", "type": "boolean"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["customer", "own"]}},
        {"name": "raw", "type": {"type": "fixed", "name": "F", "size": 3}},
        {"name": "next", "type": ["null", "Inner"]}]}]},
    {"name": "again", "type": {"type": "array", "items": "Inner"}},
    {"name": "ratio", "type": "float"},
    {"name": "tags", "type": {"type": "map", "values": ["null", "boolean", "long", "double", "string"]}},
    {"name": "count", "type": "int"},
    {"name": "code", "type": ["null", "int"]},
    {"name": "note", "type": ["string", "null"]},
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "big", "type": "long"}]}"#;

fn inner() -> impl Strategy<Value = Avro> {
    let leaf =
        (any::<bool>(), 0..2_u32, "[a-z]{3}").prop_map(|(flag, kind, raw)| one(flag, kind, &raw, None));
    leaf.prop_recursive(4, 8, 1, |below| {
        (any::<bool>(), 0..2_u32, "[a-z]{3}", below)
            .prop_map(|(flag, kind, raw, below)| one(flag, kind, &raw, Some(below)))
    })
}

fn one(flag: bool, kind: u32, raw: &str, next: Option<Avro>) -> Avro {
    Avro::Record(vec![
        ("flag".into(), Avro::Boolean(flag)),
        ("kind".into(), Avro::Enum(kind, ["customer", "own"][kind as usize].into())),
        ("raw".into(), Avro::Fixed(3, raw.as_bytes().to_vec())),
        ("next".into(), optional(next)),
    ])
}

fn optional(value: Option<Avro>) -> Avro {
    match value {
        Some(value) => Avro::Union(1, Box::new(value)),
        None => Avro::Union(0, Box::new(Avro::Null)),
    }
}

fn tag() -> impl Strategy<Value = Avro> {
    prop_oneof![
        Just(Avro::Union(0, Box::new(Avro::Null))),
        any::<bool>().prop_map(|value| Avro::Union(1, Box::new(Avro::Boolean(value)))),
        any::<i64>().prop_map(|value| Avro::Union(2, Box::new(Avro::Long(value)))),
        (-1e9..1e9).prop_map(|value| Avro::Union(3, Box::new(Avro::Double(value)))),
        ".{0,9}".prop_map(|value| Avro::Union(4, Box::new(Avro::String(value)))),
    ]
}

fn any_record() -> impl Strategy<Value = Avro> {
    let noise = prop::collection::vec(prop::collection::hash_map("[a-z]{0,3}", -1e3..1e3, 0..3), 0..4);
    let maybe = prop_oneof![
        Just(Avro::Union(0, Box::new(Avro::Null))),
        ".{0,300}".prop_map(|text| Avro::Union(1, Box::new(Avro::String(text)))),
        any::<i64>().prop_map(|number| Avro::Union(2, Box::new(Avro::Long(number)))),
    ];
    let head = (".{0,20}", noise, maybe, any::<i64>(), prop::option::of(any::<i32>()));
    let tail = (
        prop::option::of(inner()),
        prop::collection::vec(inner(), 0..3),
        -1e6_f32..1e6,
        prop::collection::hash_map("[a-c]{1,2}", tag(), 0..5),
        any::<i32>(),
        prop::option::of(any::<i32>()),
        prop::option::of(".{0,9}"),
        prop::option::of(any::<i64>()),
    );
    (head, tail).prop_map(
        |((text, noise, maybe, when, day), (inner, again, ratio, tags, count, code, note, at))| {
            let map = |map: HashMap<String, f64>| {
                Avro::Map(map.into_iter().map(|(k, v)| (k, Avro::Double(v))).collect())
            };
            Avro::Record(vec![
                ("text".into(), Avro::String(text)),
                ("noise".into(), Avro::Array(noise.into_iter().map(map).collect())),
                ("maybe".into(), maybe),
                ("when".into(), Avro::TimestampMicros(when)),
                ("day".into(), optional(day.map(Avro::Date))),
                ("inner".into(), optional(inner)),
                ("again".into(), Avro::Array(again)),
                ("ratio".into(), Avro::Float(ratio)),
                ("tags".into(), Avro::Map(tags)),
                ("count".into(), Avro::Int(count)),
                ("code".into(), optional(code.map(Avro::Int))),
                (
                    "note".into(),
                    match note {
                        Some(note) => Avro::Union(0, Box::new(Avro::String(note))),
                        None => Avro::Union(1, Box::new(Avro::Null)),
                    },
                ),
                ("at".into(), optional(at.map(Avro::TimestampMillis))),
                ("big".into(), Avro::Long(when)),
            ])
        },
    )
}

/// What we mean by an Avro value; nulls are nothing.
fn ours(value: &Avro) -> Option<Value<'static>> {
    Some(match value {
        Avro::Null => return None,
        Avro::Union(_, value) => return ours(value),
        Avro::Boolean(value) => Value::Bool(*value),
        Avro::Int(value) => Value::Int(i64::from(*value)),
        Avro::Long(value) => Value::Int(*value),
        Avro::Float(value) => Value::Double(f64::from(*value)),
        Avro::Double(value) => Value::Double(*value),
        Avro::String(text) | Avro::Enum(_, text) => Value::text(text.clone()),
        Avro::Fixed(_, bytes) => Value::text(String::from_utf8(bytes.clone()).unwrap()),
        Avro::TimestampMicros(us) => Value::Time(Timestamp(us.div_euclid(1000))),
        Avro::TimestampMillis(ms) => Value::Time(Timestamp(*ms)),
        Avro::Date(day) => Value::Date(*day),
        Avro::Array(items) => Value::List(items.iter().filter_map(ours).collect()),
        Avro::Map(entries) => {
            let mut entries: Vec<_> =
                entries.iter().filter_map(|(k, v)| Some((k.clone().into(), ours(v)?))).collect();
            entries.sort_by(|a: &(std::borrow::Cow<'_, str>, _), b| a.0.cmp(&b.0));
            Value::Map(entries)
        }
        Avro::Record(fields) => {
            Value::Map(fields.iter().filter_map(|(k, v)| Some((k.clone().into(), ours(v)?))).collect())
        }
        other => panic!("{other:?}"),
    })
}

/// Maps have no order.
fn sorted(value: Value<'_>) -> Value<'_> {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(sorted).collect()),
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(entries)
        }
        other => other,
    }
}

fn path(text: &str) -> Vec<Step> {
    let step = |part: &str| part.parse().map_or_else(|_| Step::Name(part.into()), Step::Index);
    text.split('.').map(step).collect()
}

fn walk(value: Option<Value<'static>>, path: &[Step]) -> Option<Value<'static>> {
    path.iter().try_fold(value?, |value, step| match (step, value) {
        (Step::Name(name), value @ Value::Map(_)) => value.entry(name).cloned(),
        (Step::Index(index), Value::List(items)) => items.get(*index).cloned(),
        _ => None,
    })
}

const PATHS: [&str; 18] = [
    "text",
    "noise",
    "maybe",
    "when",
    "day",
    "inner.flag",
    "inner.kind",
    "inner.next.next.raw",
    "inner.next",
    "again.1.kind",
    "ratio",
    "tags.a",
    "tags",
    "count",
    "code",
    "note",
    "at",
    "big",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn we_read_what_apache_avro_reads(value in any_record(), wanted in prop::collection::vec(0..PATHS.len(), 0..8)) {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let bytes = GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap();
        let oracle = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut bytes.as_slice()).unwrap();
        let (mut trie, mut slots) = (Trie::default(), 0);
        let slot_of: Vec<_> = wanted.iter().map(|n| (PATHS[*n], trie.want(&path(PATHS[*n]), &mut slots))).collect();
        let program = compile(SCHEMA, &trie).unwrap();
        let mut found = Found::new();
        program.run(&bytes, &mut found).unwrap();
        for (name, slot) in slot_of {
            let own = found.iter().find(|(own, _)| *own == slot).map(|(_, value)| sorted(value.clone()));
            prop_assert_eq!(own, walk(ours(&oracle), &path(name)).map(sorted), "{}", name);
        }
        for length in 0..bytes.len() {
            found.clear();
            prop_assert!(program.run(&bytes[..length], &mut found).is_err(), "cut at {}", length);
        }
    }

    #[test]
    fn random_bytes_are_an_error_or_a_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut trie, mut slots) = (Trie::default(), 0);
        for name in PATHS {
            trie.want(&path(name), &mut slots);
        }
        let mut found = Found::new();
        let _either = compile(SCHEMA, &trie).unwrap().run(&bytes, &mut found);
    }
}

fn run(schema: &str, bytes: &[u8], wanted: Option<&str>) -> Result<usize, AvroError> {
    let (mut trie, mut slots) = (Trie::default(), 0);
    if let Some(wanted) = wanted {
        trie.want(&path(wanted), &mut slots);
    }
    let mut found = Found::new();
    compile(schema, &trie).unwrap().run(bytes, &mut found).map(|()| found.len())
}

#[test]
fn hostile_lengths_reserve_nothing_and_end() {
    let nulls =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"null"}}]}"#;
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(run(nulls, &huge, None), Err(AvroError::Items));
    assert_eq!(run(nulls, &huge, Some("a")), Err(AvroError::Items));
    let text = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
    assert_eq!(run(text, &huge, Some("a")), Err(AvroError::Truncated));
    assert_eq!(run(text, &[1], Some("a")), Err(AvroError::Length));
    assert_eq!(run(text, &[0, 0], None), Err(AvroError::Trailing(1)));
    assert_eq!(run(text, &[0xff; 11], None), Err(AvroError::Integer));
}

#[test]
fn a_type_that_contains_itself_is_bounded() {
    let schema = r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}"#;
    assert_eq!(run(schema, &[[2; 10].as_slice(), &[0]].concat(), Some("n.n")), Ok(1));
    assert_eq!(run(schema, &[2; 1000], Some("n")), Err(AvroError::Depth));
    assert_eq!(run(schema, &[2; 1000], None), Err(AvroError::Depth));
}

#[test]
fn blocks_with_a_size_are_passed_over_whole() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"string"}},
        {"name":"b","type":"int"}]}"#;
    let bytes = [3, 8, 2, b'x', 2, b'y', 0, 14];
    assert_eq!(run(schema, &bytes, Some("b")), Ok(1));
    assert_eq!(run(schema, &bytes, Some("a")), Ok(1));
}

#[test]
fn decimals_and_uuids_are_read() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"u","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}}]}"#;
    let (mut trie, mut slots) = (Trie::default(), 0);
    trie.want(&path("d"), &mut slots);
    trie.want(&path("u"), &mut slots);
    let mut found = Found::new();
    let bytes = [[4, 0xff, 0x85].as_slice(), &[0xab; 16]].concat();
    compile(schema, &trie).unwrap().run(&bytes, &mut found).unwrap();
    let uuid = "abababab-abab-abab-abab-abababababab";
    assert_eq!(found, [(0, Value::Double(-1.23)), (1, Value::text(uuid))]);
}
