//! The contract, end to end: its examples in both encodings, garbage, and the ways a record can end.

mod straight;

use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use expect_test::expect;
use serde_json::Value as Json;

use super::text::Scorer;
use super::{DeadReason, Decoded, Filtered, Intake, NeedsSchema, Record, SchemaId, SourceSettings};
use crate::event::{Event, Field, Kind, Timestamp, Value, parse_date};

/// Kafka's time of all records here: 2026-11-19T22:10:05Z.
const NOW: Timestamp = Timestamp(1_795_126_205_000);

fn schemas_dir() -> PathBuf {
    let base = Path::new(file!()).ancestors().find(|dir| dir.join("schemas").is_dir());
    base.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas"), |base| base.join("schemas"))
}

fn schema_text(kind: Kind) -> String {
    std::fs::read_to_string(schemas_dir().join(kind.name()).join("v1.avsc")).unwrap()
}

fn examples(kind: Kind) -> Vec<(String, String)> {
    let dir = schemas_dir().join(kind.name()).join("examples/v1");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// All kinds, each a source at the place of its number, with the schema of the contract under that number.
fn intake() -> Intake {
    let sources = Kind::SOURCES.iter().map(|kind| SourceSettings::new(kind.name(), *kind)).collect();
    let mut intake = Intake::new(sources, Scorer::english().unwrap());
    for kind in Kind::SOURCES {
        intake.add_schema(SchemaId::Number(kind as i32), &schema_text(kind));
    }
    intake
}

fn record(value: &[u8]) -> Record<'_> {
    Record { partition: 0, offset: 17, timestamp: NOW, key: Some(b"acme"), value: Some(value), headers: &() }
}

/// The Avro value that a JSON twin stands for.
fn to_avro(json: Option<&Json>, schema: &Schema, default: Option<&Json>) -> Avro {
    let Some(json) = json.or(default) else { panic!("no value and no default for {schema:?}") };
    match (schema, json) {
        (Schema::Union(union), Json::Null) => {
            let place = union.variants().iter().position(|variant| matches!(variant, Schema::Null)).unwrap();
            Avro::Union(u32::try_from(place).unwrap(), Box::new(Avro::Null))
        }
        (Schema::Union(union), json) => {
            let fits = |variant: &&Schema| match json {
                Json::String(_) => {
                    !matches!(variant, Schema::Null | Schema::Boolean | Schema::Double)
                        && (union.variants().len() == 2 || matches!(variant, Schema::String))
                }
                Json::Number(number) if number.is_i64() => !matches!(variant, Schema::Null | Schema::Boolean),
                Json::Number(_) => matches!(variant, Schema::Double),
                Json::Bool(_) => matches!(variant, Schema::Boolean),
                _ => !matches!(variant, Schema::Null),
            };
            let variant = union.variants().iter().find(fits).unwrap();
            let place = union.variants().iter().position(|own| own == variant).unwrap();
            Avro::Union(u32::try_from(place).unwrap(), Box::new(to_avro(Some(json), variant, None)))
        }
        (Schema::String, Json::String(text)) => Avro::String(text.clone()),
        (Schema::Boolean, Json::Bool(truth)) => Avro::Boolean(*truth),
        (Schema::Int, Json::Number(number)) => Avro::Int(i32::try_from(number.as_i64().unwrap()).unwrap()),
        (Schema::Long, Json::Number(number)) => Avro::Long(number.as_i64().unwrap()),
        (Schema::Double, Json::Number(number)) => Avro::Double(number.as_f64().unwrap()),
        (Schema::TimestampMillis, Json::String(text)) => {
            Avro::TimestampMillis(Timestamp::parse(text).unwrap().0)
        }
        (Schema::Date, Json::String(text)) => Avro::Date(parse_date(text).unwrap()),
        (Schema::Enum(of), Json::String(symbol)) => {
            let place = of.symbols.iter().position(|own| own == symbol).unwrap();
            Avro::Enum(u32::try_from(place).unwrap(), symbol.clone())
        }
        (Schema::Array(of), Json::Array(items)) => {
            Avro::Array(items.iter().map(|item| to_avro(Some(item), &of.items, None)).collect())
        }
        (Schema::Map(of), Json::Object(entries)) => {
            let entry =
                |(name, value): (&String, &Json)| (name.clone(), to_avro(Some(value), &of.types, None));
            Avro::Map(entries.iter().map(entry).collect())
        }
        (Schema::Record(of), Json::Object(entries)) => {
            let field = |field: &apache_avro::schema::RecordField| {
                let value = to_avro(entries.get(&field.name), &field.schema, field.default.as_ref());
                (field.name.clone(), value)
            };
            Avro::Record(of.fields.iter().map(field).collect())
        }
        (schema, json) => panic!("{json} is no {schema:?}"),
    }
}

fn datum(schema: &Schema, value: Avro) -> Vec<u8> {
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

/// The bytes with Confluent's prefix.
fn avro_bytes(kind: Kind, json: &str) -> Vec<u8> {
    let schema = Schema::parse_str(&schema_text(kind)).unwrap();
    let mut bytes = vec![0, 0, 0, 0, kind as u8];
    let mut json: Json = serde_json::from_str(json).unwrap();
    // The twin writes times of properties as text; Avro's are longs.
    if let Some(properties) = json.get_mut("properties").and_then(Json::as_object_mut) {
        for (_, value) in properties.iter_mut() {
            if let Some(time) = value.as_str().filter(|text| text.ends_with('Z')) {
                *value = Timestamp::parse(time).unwrap().0.into();
            }
        }
    }
    bytes.extend(datum(&schema, to_avro(Some(&json), &schema, None)));
    bytes
}

fn only(decoded: Decoded<'_>) -> Event<'static> {
    assert_eq!((decoded.dead.as_ref(), decoded.events.len()), (None, 1));
    decoded.events.into_iter().next().unwrap().into_owned()
}

fn decode<'a>(intake: &mut Intake, kind: Kind, bytes: &'a [u8]) -> Decoded<'a> {
    let mut out = Decoded::new();
    intake.decode(kind as usize, &record(bytes), &mut out).unwrap();
    out
}

#[test]
fn every_example_is_the_same_event_in_both_encodings() {
    let mut intake = intake();
    for kind in Kind::SOURCES {
        for (name, json) in examples(kind) {
            let from_json = only(decode(&mut intake, kind, json.as_bytes()));
            let from_avro = only(decode(&mut intake, kind, &avro_bytes(kind, &json)));
            assert_eq!(from_json, from_avro, "{}/{name}", kind.name());
            assert_eq!(from_json.kind, kind);
        }
    }
}

#[test]
fn no_body_and_no_message_gets_past_intake() {
    let mut intake = intake();
    for kind in Kind::SOURCES {
        for (name, json) in examples(kind) {
            let event = only(decode(&mut intake, kind, json.as_bytes()));
            assert_eq!(event.get(Field::Body), None, "{name}");
            assert_eq!(event.get(Field::Message), None, "{name}");
            assert!(event.fields.is_sorted_by_key(|(field, _)| *field), "{name}");
        }
    }
}

/// An event as lines: the envelope, then a line a field.
fn shown(event: &Event<'_>) -> String {
    use std::fmt::Write as _;
    let mut out = format!(
        "{} {} at {} account {:?} alias {:?} user {:?} {} offset {}/{}\n",
        event.kind.name(),
        event.name,
        event.time,
        event.account,
        event.alias,
        event.user,
        event.traffic.name(),
        event.position.offset,
        event.position.index
    );
    for (field, value) in &event.fields {
        writeln!(out, "{} = {value:?}", field.spec().name).unwrap();
    }
    for (name, value) in &event.properties {
        writeln!(out, "properties.{name} = {value:?}").unwrap();
    }
    out
}

#[test]
fn examples_read_as_follows() {
    let mut intake = intake();
    let mut out = String::new();
    for (kind, wanted) in
        [(Kind::Usage, "page_viewed"), (Kind::ErrorLog, "message_masked"), (Kind::Control, "holdout")]
    {
        let json = examples(kind).into_iter().find(|(name, _)| name == wanted).unwrap().1;
        out += &shown(&only(decode(&mut intake, kind, json.as_bytes())));
    }
    expect![[r#"
        usage page.viewed at 2026-11-19T22:10:04.412Z account None alias Some("segment_group:g-7") user None customer offset 17/0
        feature_area = Text("pricing")
        properties.dwell_ms = Int(5400)
        properties.page = Text("/pricing")
        error_log api.error at 2026-11-19T22:10:04.412Z account Some("acme") alias None user None customer offset 17/0
        severity_number = Int(21)
        error_code = Text("TimeoutError")
        error_type = Text("TimeoutError")
        template_id = Text("d24edb0a8365794b")
        occurrences = Int(12)
        first_seen = Time(Timestamp(1795125600000))
        last_seen = Time(Timestamp(1795126204412))
        limit = Double(10.0)
        value = Double(12.5)
        scope = Text("account")
        control holdout at 2026-11-19T22:10:04.412Z account Some("acme") alias None user None customer offset 17/0
        family = Text("engagement-decline")
        actor = Text("eva")
        reason = Text("strategic account")
        until = Time(Timestamp(1803859200000))
        arm = Text("treatment")
    "#]]
    .assert_eq(&out);
}

fn changed(kind: Kind, changes: &[(&str, Json)]) -> String {
    let mut json: Json = serde_json::from_str(&examples(kind)[0].1).unwrap();
    let object = json.as_object_mut().unwrap();
    for (name, value) in changes {
        match value {
            Json::Null => drop(object.remove(*name)),
            _ => drop(object.insert((*name).to_owned(), value.clone())),
        }
    }
    json.to_string()
}

fn reason(kind: Kind, changes: &[(&str, Json)]) -> Option<(DeadReason, String)> {
    let json = changed(kind, changes);
    let mut intake = intake();
    let out = decode(&mut intake, kind, json.as_bytes());
    let counts = *out.counts(kind);
    assert_eq!(counts.input, 1);
    assert_eq!(counts.dead, u32::from(out.dead.is_some()));
    out.dead.map(|dead| (dead.reason, dead.detail))
}

#[test]
fn what_the_contract_demands_is_checked() {
    let missing = |name: &str| Some((DeadReason::FieldMissing, format!("`{name}` is missing")));
    assert_eq!(reason(Kind::Usage, &[("event_id", Json::Null)]), missing("event_id"));
    assert_eq!(reason(Kind::Ticket, &[("ticket_id", Json::Null)]), missing("ticket_id"));
    assert_eq!(reason(Kind::Account, &[("profile_version", Json::Null)]), missing("profile_version"));
    assert_eq!(reason(Kind::Outcome, &[("actor_type", Json::Null)]), missing("actor_type"));
    let invalid = |changes: &[(&str, Json)]| reason(Kind::Usage, changes).map(|(reason, _)| reason);
    assert_eq!(invalid(&[("account_id", "x".repeat(129).into())]), Some(DeadReason::FieldInvalid));
    assert_eq!(invalid(&[("event", "Login Failed".into())]), Some(DeadReason::FieldInvalid));
    assert_eq!(invalid(&[("event_time", (-5).into())]), Some(DeadReason::FieldInvalid));
    assert_eq!(invalid(&[("event_time", "tomorrow".into())]), Some(DeadReason::FieldInvalid));
    assert_eq!(
        reason(Kind::Control, &[("actor", Json::Null)]),
        Some((DeadReason::ControlInvalid, "`actor` is missing".to_owned()))
    );
    assert_eq!(reason(Kind::Account, &[("account_id", Json::Null)]), None, "the key has it");
}

#[test]
fn events_are_filtered_with_a_reason() {
    let filtered = |changes: &[(&str, Json)]| {
        let json = changed(Kind::Usage, changes);
        let mut intake = intake();
        let out = decode(&mut intake, Kind::Usage, json.as_bytes());
        let counts = out.counts(Kind::Usage);
        assert_eq!(
            u32::from(out.events.len() == 1) + counts.filtered.iter().sum::<u32>() + counts.unattributed,
            1
        );
        Filtered::ALL.into_iter().find(|reason| counts.filtered[*reason as usize] == 1)
    };
    assert_eq!(filtered(&[]), None);
    assert_eq!(filtered(&[("traffic", "test".into()), ("event_id", Json::Null)]), Some(Filtered::Test));
    assert_eq!(filtered(&[("traffic", "internal".into())]), Some(Filtered::Internal));
    assert_eq!(filtered(&[("environment", "staging".into())]), Some(Filtered::Environment));
    assert_eq!(filtered(&[("environment", Json::Null)]), None);
    assert_eq!(filtered(&[("account_id", Json::Null)]), None, "unattributed is no filter");
}

#[test]
fn times_are_clamped_against_the_record() {
    let time = |event_time: Json| {
        let json = changed(Kind::Usage, &[("event_time", event_time)]);
        let event = only(decode(&mut intake(), Kind::Usage, json.as_bytes()));
        (event.time.since(NOW), event.clamped)
    };
    assert_eq!(time(Json::Null), (0, false));
    assert_eq!(time((NOW.0 + 300_000).into()), (300_000, false));
    assert_eq!(time((NOW.0 + 300_001).into()), (0, true));
    assert_eq!(time((NOW.0 - 86_400_000_000).into()), (-86_400_000_000, false));
}

#[test]
fn a_schema_is_asked_for_once_and_may_be_refused() {
    let mut intake = intake();
    let bytes = [0, 0, 0, 1, 0, 2, 3];
    let mut out = Decoded::new();
    let id = SchemaId::Number(256);
    assert_eq!(intake.decode(0, &record(&bytes), &mut out), Err(NeedsSchema(id)));
    intake.refuse_schema(id, "not found");
    assert_eq!(intake.decode(0, &record(&bytes), &mut out), Ok(()));
    assert_eq!(out.dead.as_ref().map(|dead| dead.reason), Some(DeadReason::SchemaUnknown));
    intake.add_schema(id, r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#);
    assert_eq!(intake.decode(0, &record(&bytes), &mut out), Ok(()));
    assert_eq!(
        out.dead.as_ref().map(|dead| dead.detail.as_str()),
        Some("schema 256: 1 bytes are left after the record")
    );
}

#[test]
fn the_schema_may_be_named_in_a_header() {
    let mut intake = intake();
    let guid = [7; 16];
    intake.add_schema(SchemaId::Guid(guid), &schema_text(Kind::Usage));
    let bytes = avro_bytes(Kind::Usage, &examples(Kind::Usage)[0].1);
    let headers = vec![("__value_schema_id".to_owned(), [vec![1], guid.to_vec()].concat())];
    let record = Record { headers: &headers, ..record(&bytes[5..]) };
    let mut out = Decoded::new();
    intake.decode(0, &record, &mut out).unwrap();
    assert_eq!(only(out), only(decode(&mut intake, Kind::Usage, &bytes)));
}

#[test]
fn a_record_without_value_erases_an_account() {
    let mut intake = intake();
    let erased = |key: &'static str, intake: &mut Intake| {
        let record = Record { value: None, key: Some(key.as_bytes()), ..record(&[]) };
        let mut out = Decoded::new();
        intake.decode(Kind::Account as usize, &record, &mut out).unwrap();
        only(out)
    };
    let account = erased("acme", &mut intake);
    assert_eq!((&*account.name, account.account.as_deref()), ("account.erased", Some("acme")));
    let user = erased("acme/user/u1", &mut intake);
    assert_eq!(
        (&*user.name, user.user.as_deref(), user.account.as_deref()),
        ("user.erased", Some("u1"), Some("acme"))
    );
    let mut out = Decoded::new();
    intake.decode(0, &Record { value: None, ..record(&[]) }, &mut out).unwrap();
    assert_eq!(out.dead.map(|dead| dead.reason), Some(DeadReason::DecodeFailed));
}

#[test]
fn the_trace_is_kept_if_sampled_and_the_header_wins() {
    let trace = |flags: &str| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
    let json = changed(Kind::Usage, &[("traceparent", trace("01").into())]);
    let mut intake = intake();
    let plain = only(decode(&mut intake, Kind::Usage, json.as_bytes()));
    assert_eq!(plain.get(Field::Traceparent).as_deref(), Some(&Value::text(trace("01"))));
    let other = trace("03").replace("4bf9", "0000");
    let headers = vec![("traceparent".to_owned(), other.clone().into_bytes())];
    let mut out = Decoded::new();
    intake.decode(0, &Record { headers: &headers, ..record(json.as_bytes()) }, &mut out).unwrap();
    assert_eq!(only(out).get(Field::Traceparent).as_deref(), Some(&Value::text(other)));
    let json = changed(Kind::Usage, &[("traceparent", trace("00").into())]);
    assert_eq!(only(decode(&mut intake, Kind::Usage, json.as_bytes())).get(Field::Traceparent), None);
}

#[test]
fn truncated_and_flipped_records_are_dead_letters_or_events_but_never_a_panic() {
    let mut intake = intake();
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for kind in Kind::SOURCES {
        let (_, json) = examples(kind).remove(0);
        for bytes in [avro_bytes(kind, &json), json.clone().into_bytes()] {
            for length in 0..bytes.len() {
                let out = decode(&mut intake, kind, &bytes[..length]);
                let trailing_space = bytes[length..].iter().all(u8::is_ascii_whitespace);
                assert!(out.dead.is_some() || trailing_space, "{} cut at {length}", kind.name());
            }
            let start = bytes[..5].to_vec();
            for _ in 0..2000 {
                let mut bytes = bytes.clone();
                for _ in 0..=(random() % 4) {
                    let place = usize::try_from(random()).unwrap() % bytes.len();
                    bytes[place] = random().to_le_bytes()[0];
                }
                // The schema's number stays, or the runtime would have to look for another.
                bytes[..5].copy_from_slice(&start);
                let out = decode(&mut intake, kind, &bytes);
                assert_eq!(out.counts(kind).input, 1);
            }
        }
    }
    let deep = "[".repeat(100_000);
    let deep = format!(r#"{{"event_id": {deep}"#);
    assert!(decode(&mut intake, Kind::Usage, deep.as_bytes()).dead.is_some());
    let long = changed(
        Kind::Ticket,
        &[("body", "x".repeat(1 << 20).into()), ("author", "customer".into()), ("is_public", true.into())],
    );
    let out = decode(&mut intake, Kind::Ticket, long.as_bytes());
    assert_eq!((out.events.len(), out.counts(Kind::Ticket).cut), (1, 1));
}

/// Workload W1's writer schema: ten fields of the contract, and a message that becomes no field.
const W1: &str = r#"{"type": "record", "name": "ErrorLog", "fields": [
    {"name": "event_id", "type": "string"},
    {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "account_id", "type": "string"}, {"name": "event", "type": "string"},
    {"name": "severity_number", "type": "int"}, {"name": "error_code", "type": "string"},
    {"name": "service", "type": "string"}, {"name": "region", "type": ["null", "string"], "default": null},
    {"name": "http_status", "type": ["null", "int"], "default": null},
    {"name": "template_id", "type": "string"}, {"name": "trace", "type": "string"}]}"#;

/// The shortest of many short rounds: on a shared machine it was not interrupted.
fn nanoseconds(records: &[Vec<u8>], mut each: impl FnMut(&[u8])) -> f64 {
    let round = |_| {
        let start = std::time::Instant::now();
        records.iter().for_each(|bytes| each(bytes));
        start.elapsed().as_secs_f64() * 1e9
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of records")]
    let count = records.len() as f64;
    (0..400).map(round).fold(f64::MAX, f64::min) / count
}

/// Ours beside apache-avro's: `cargo test --release -- --ignored nanoseconds --nocapture`.
#[test]
#[ignore = "a measurement"]
fn nanoseconds_an_error_log_event_costs() {
    let schema = Schema::parse_str(W1).unwrap();
    let event = |n: u64| {
        let text = |text: String| Avro::String(text);
        let fields = [
            ("event_id", text(format!("0192f3a4-{n:012x}-{n:012x}"))),
            ("event_time", Avro::TimestampMillis(NOW.0 - 5)),
            ("account_id", text(format!("account-{:06}", n % 1_000_000))),
            ("event", text("api.error".to_owned())),
            ("severity_number", Avro::Int(17)),
            ("error_code", text("ECONNREFUSED".to_owned())),
            ("service", text("connector-eu".to_owned())),
            ("region", Avro::Union(1, Box::new(text("eu-central-1".to_owned())))),
            ("http_status", Avro::Union(1, Box::new(Avro::Int(503)))),
            ("template_id", text("d24edb0a8365794b".to_owned())),
            ("trace", text("x".repeat(90))),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        [vec![0, 0, 0, 0, 99], datum(&schema, Avro::Record(fields))].concat()
    };
    let records: Vec<_> = (0..1024).map(|n| event(n * 7919)).collect();
    let mut intake = intake();
    intake.add_schema(SchemaId::Number(99), W1);
    let mut spare: Option<Decoded<'static>> = Some(Decoded::new());
    let ours = nanoseconds(&records, |bytes| {
        // Lists of a longer lifetime serve a shorter one as they are; only the way back needs `recycle`.
        let mut out: Decoded<'_> = spare.take().unwrap();
        intake.decode(Kind::ErrorLog as usize, &record(bytes), &mut out).unwrap();
        assert_eq!(out.events.len(), 1);
        spare = Some(out.recycle());
    });
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let theirs = nanoseconds(&records, |bytes| drop(reader.read_value(&mut &bytes[5..]).unwrap()));
    println!(
        "{ours:.0} ns an event of {} bytes; apache-avro to a value tree: {theirs:.0} ns",
        records[0].len()
    );
    assert!(ours < 2.0 * theirs);
}
