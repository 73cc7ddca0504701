//! Every decoder of bytes that come from outside, one function each: whatever the bytes are, it comes back.
//!
//! `tests/it/decoders.rs` runs them over seeds and mutations, `fuzz/decoder.rs` guided by coverage.

use std::sync::LazyLock;

use forewarn::document::Mistakes;
use forewarn::engine::rows::key::KeyParts;
use forewarn::engine::rows::row::Row;
use forewarn::engine::store::RowKey;
use forewarn::engine::{Activation, Engine, Settings};
use forewarn::event::record::from_json;
use forewarn::event::{Kind, Timestamp};
use forewarn::intake::mapping::Mapping;
use forewarn::intake::text::Scorer;
use forewarn::intake::{Decoded, Format, Intake, NeedsSchema, Record, SchemaId, SourceSettings};
use forewarn::journal::{Entry, encode_system};
use forewarn::rules::Options;
use forewarn::runtime::changelog::{self, marker::Marker};

/// A decoder and its name.
pub const TARGETS: [(&str, fn(&[u8])); 11] = [
    ("avro_record", avro_record),
    ("json_record", json_record),
    ("journal_record", journal_record),
    ("row", row),
    ("row_key", row_key),
    ("task_state", task_state),
    ("changelog_record", changelog_record),
    ("rule_file", rule_file),
    ("mapping_file", mapping_file),
    ("registry_schema", registry_schema),
    ("json_document", json_document),
];

const SCHEMA: SchemaId = SchemaId::Number(1);

static SCORER: LazyLock<Scorer> = LazyLock::new(|| Scorer::english().unwrap());

fn intake(settings: SourceSettings) -> Intake {
    Intake::new(vec![settings], SCORER.clone())
}

fn decode(intake: &mut Intake, value: &[u8]) {
    let record = Record {
        partition: 0,
        offset: 1,
        timestamp: Timestamp(1_767_571_200_000),
        key: None,
        value: Some(value),
        headers: &(),
    };
    let mut out = Decoded::new();
    while let Err(NeedsSchema(id)) = intake.decode(0, &record, &mut out) {
        intake.refuse_schema(id, "there is none");
    }
}

/// A source record in Avro, of the schema that usage has; the bytes follow the schema's number.
fn avro_record(data: &[u8]) {
    let settings = SourceSettings { format: Format::Avro, ..SourceSettings::new("usage", Kind::Usage) };
    let mut intake = intake(settings);
    intake.add_schema(SCHEMA, include_str!("../../../schemas/usage/v1.avsc"));
    let mut value = vec![0, 0, 0, 0, 1];
    value.extend_from_slice(data);
    decode(&mut intake, &value);
}

/// A source record in JSON. Tickets have the most fields, and text.
fn json_record(data: &[u8]) {
    decode(&mut intake(SourceSettings::new("ticket", Kind::Ticket)), data);
}

/// A record of the journal: frame, tick or system record. What can be read can be written and read again.
fn journal_record(data: &[u8]) {
    match Entry::parse(data) {
        Ok(Entry::Frame(frame)) => frame.events().for_each(drop),
        Ok(Entry::System(system)) => {
            let mut bytes = Vec::new();
            encode_system(&system, &mut bytes);
            assert_eq!(Entry::parse(&bytes).ok(), Some(Entry::System(system)));
        }
        Err(_) => {}
    }
}

/// A row of the store.
fn row(data: &[u8]) {
    if let Ok(row) = Row::decode(data) {
        let mut bytes = Vec::new();
        row.encode(&mut bytes);
        assert!(Row::decode(&bytes).is_ok(), "a row that was read can't be read again");
    }
}

/// A key of the store.
fn row_key(data: &[u8]) {
    let key = RowKey(data.into());
    if let Ok(parts) = KeyParts::decode(&key) {
        assert_eq!(parts.encode(), key);
    }
}

/// The task's own state in a checkpoint.
fn task_state(data: &[u8]) {
    let settings = Settings {
        application_id: "fuzz".into(),
        journal: "journal".into(),
        partition: 0,
        partitions: 1,
        hot_bytes: 1 << 20,
        activate: Activation::Live,
    };
    drop(Engine::resume(settings, 0, data));
}

/// A record of the changelog: a row's value or a marker, which differ by their key.
fn changelog_record(data: &[u8]) {
    if let Ok((line, row)) = changelog::read_row(data) {
        let mut bytes = Vec::new();
        changelog::put_row(&mut bytes, line, row);
        assert_eq!(changelog::read_row(&bytes).ok(), Some((line, row)));
    }
    if let Ok(marker) = Marker::decode(data) {
        assert_eq!(Marker::decode(&marker.encode()).ok(), Some(marker));
    }
}

/// A rule file.
fn rule_file(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        drop(forewarn::rules::load(&[("fuzz.yaml", text)], Options::default()));
    }
}

/// A mapping file; one without mistakes is used.
fn mapping_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut mistakes = Mistakes::default();
    if let Some(mapping) = Mapping::parse("fuzz.yaml", text, &mut mistakes) {
        let mut settings = SourceSettings::new("mapped", mapping.kind);
        settings.mappings.push(mapping);
        decode(
            &mut intake(settings),
            br#"{"id":"x","type":"invoice.paid","created":1,"data":{"object":{}}}"#,
        );
    }
}

/// A schema as a registry answers it, and a record that claims to be of it.
fn registry_schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let settings = SourceSettings { format: Format::Avro, ..SourceSettings::new("usage", Kind::Usage) };
    let mut intake = intake(settings);
    intake.add_schema(SCHEMA, text);
    let mut value = vec![0, 0, 0, 0, 1];
    value.extend((0..64_u16).map(|place| (place * 7 % 23) as u8));
    decode(&mut intake, &value);
}

/// JSON that replays and rule tests read.
fn json_document(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        drop(from_json(text));
    }
}
