//! Values that go straight into an event and values that are collected first make the same event, or the same dead letter.

use proptest::prelude::*;

use super::NOW;
use crate::document::Mistakes;
use crate::event::bytes::put_signed;
use crate::event::{Event, Kind, Timestamp};
use crate::intake::mapping::Mapping;
use crate::intake::text::Scorer;
use crate::intake::{Counts, DeadReason, Decoded, Intake, Record, SchemaId, SourceSettings};

/// Strings, numbers and times with and without null, one value that becomes no field, others of the wrong type.
const SCHEMA: &str = r#"{"type": "record", "name": "E", "fields": [
    {"name": "event_id", "type": ["null", "string"]},
    {"name": "event_time", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "account_id", "type": ["string", "null"]},
    {"name": "account_alias", "type": ["null", "string"]},
    {"name": "user_id", "type": ["null", "string"]},
    {"name": "event", "type": "string"},
    {"name": "traffic", "type": ["null", "string"]},
    {"name": "environment", "type": ["null", "string"]},
    {"name": "traceparent", "type": ["null", "string"]},
    {"name": "severity_number", "type": ["null", "long"]},
    {"name": "message", "type": ["null", "string"]},
    {"name": "error_code", "type": ["null", "string"]},
    {"name": "host", "type": "string"},
    {"name": "template_id", "type": ["null", "string"]},
    {"name": "http_status", "type": ["null", "string"]},
    {"name": "occurrences", "type": "int"},
    {"name": "first_seen", "type": ["null", "long"]},
    {"name": "scope", "type": ["null", "string"]},
    {"name": "incident_id", "type": ["null", "string"]},
    {"name": "service", "type": ["null", "long"]},
    {"name": "services", "type": {"type": "array", "items": "string"}}]}"#;

/// A mapping that changes nothing, but has to look at each record as a whole.
const ROUNDABOUT: &str =
    "version: 1\nname: m\ntopic: t\nkind: error_log\nwhen: {none_such: {exists: false}}\n";

fn intake(mappings: Vec<Mapping>) -> Intake {
    let settings = SourceSettings { mappings, ..SourceSettings::new("t", Kind::ErrorLog) };
    let mut intake = Intake::new(vec![settings], Scorer::english().unwrap());
    intake.add_schema(SchemaId::Number(1), SCHEMA);
    intake
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    let text = |texts: &'static [&'static str]| {
        prop::sample::select(texts).prop_map(|text| text.as_bytes().to_vec())
    };
    prop_oneof![
        8 => text(&["", "api.error", "acme", "test", "internal", "automated", "staging", "production", "platform"]),
        4 => text(&["stripe:cus_1", "503", "true", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
        4 => text(&["timeout after 3000 ms", "user \"bob\" of 10.0.0.1", "unknown", "account"]),
        1 => "\\PC{0,20}".prop_map(String::into_bytes),
        1 => (120_usize..140).prop_map(|length| vec![b'x'; length]),
        1 => (500_usize..520).prop_map(|length| "é".repeat(length / 2).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), Just(0), Just(1), Just(17), NOW.0 - 900_000..NOW.0 + 900_000]
}

/// A value of the field at this place of the schema, as bytes.
fn value(place: usize) -> BoxedStrategy<Vec<u8>> {
    let text = string().prop_map(|text| {
        let mut out = Vec::new();
        put_signed(&mut out, text.len().try_into().unwrap());
        [out, text].concat()
    });
    let number = number().prop_map(|number| {
        let mut out = Vec::new();
        put_signed(&mut out, number);
        out
    });
    let (value, null) = match place {
        5 => return prop_oneof![3 => Just([vec![18], b"api.error".to_vec()].concat()), 1 => text].boxed(),
        12 => return text.boxed(),
        // Without size, with the right one, and with wrong ones.
        20 => {
            return prop::sample::select(vec![
                vec![0],
                vec![2, 2, b'x', 0],
                vec![1, 4, 2, b'x', 0],
                vec![1, 6, 2, b'x', 0, 0],
                vec![1, 2, 2, b'x', 0],
            ])
            .boxed();
        }
        15 => return prop_oneof![4 => Just(vec![2]), 1 => Just(vec![4]), 1 => number].boxed(),
        1 | 9 | 16 | 19 => (number.boxed(), 0),
        2 => (text.boxed(), 1),
        _ => (text.boxed(), 0),
    };
    let there = value.prop_map(move |value| [vec![2 - 2 * null], value].concat());
    let weights = if place < 3 { (1, 6) } else { (4, 1) };
    prop_oneof![weights.0 => Just(vec![2 * null]), weights.1 => there].boxed()
}

/// The fields that differ between records that are alike.
const OWN: [usize; 5] = [0, 1, 2, 4, 10];

prop_compose! {
    /// Records of which many differ in little.
    fn any_records()(
        bases in prop::collection::vec((0..21).map(value).collect::<Vec<_>>(), 1..4),
        records in prop::collection::vec((
            any::<prop::sample::Index>(),
            OWN.map(value),
            prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>())),
        ), 1..20),
    ) -> Vec<Vec<u8>> {
        let record = |(base, own, damage): (prop::sample::Index, [Vec<u8>; 5], Option<(prop::sample::Index, u8)>)| {
            let mut values: Vec<Vec<u8>> = base.get(&bases).clone();
            OWN.into_iter().zip(own).for_each(|(place, value)| values[place] = value);
            let mut bytes = [vec![0, 0, 0, 0, 1], values.concat()].concat();
            if let Some((place, byte)) = damage {
                let place = 5 + place.index(bytes.len() - 5);
                bytes[place] = byte;
            }
            bytes
        };
        records.into_iter().map(record).collect()
    }
}

type Seen = (Vec<Event<'static>>, Option<(DeadReason, String)>, Counts);

fn record(bytes: &[u8]) -> Record<'_> {
    let timestamp = Timestamp(if bytes.len().is_multiple_of(3) { -1 } else { NOW.0 });
    Record { partition: 0, offset: 17, timestamp, key: None, value: Some(bytes), headers: &() }
}

fn seen(intake: &mut Intake, out: Decoded<'static>, bytes: &[u8]) -> (Seen, Decoded<'static>) {
    let mut out: Decoded<'_> = out;
    intake.decode(0, &record(bytes), &mut out).unwrap();
    intake.learn(0, &out);
    let events = out.events.iter().cloned().map(Event::into_owned).collect();
    let dead = out.dead.take().map(|dead| (dead.reason, dead.detail));
    ((events, dead, *out.counts(Kind::ErrorLog)), out.recycle())
}

/// The event that a record is said to be like another one.
fn alike(intake: &mut Intake, bytes: &[u8]) -> Option<Event<'static>> {
    let alike = intake.alike(0, &record(bytes))?;
    let mut event = alike.model.clone();
    event.account = Some(alike.account.to_owned().into());
    event.user = alike.user.map(|user| user.to_owned().into());
    (event.id, event.time, event.position.offset) = (alike.id, alike.time, 17);
    Some(event)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn straight_roundabout_and_alike_are_one(records in any_records()) {
        let mut mistakes = Mistakes::default();
        let mapping = Mapping::parse("m.yaml", ROUNDABOUT, &mut mistakes);
        prop_assert!(mapping.is_some(), "{}", mistakes);
        let (mut straight, mut roundabout) = (intake(Vec::new()), intake(mapping.into_iter().collect()));
        let mut outs = (Decoded::new(), Decoded::new());
        for bytes in &records {
            prop_assert_eq!(alike(&mut roundabout, bytes), None, "only straight plans have it");
            let known = alike(&mut straight, bytes);
            // Memory of one record must not shine through in the next.
            let (one, first) = seen(&mut straight, outs.0, bytes);
            let (other, second) = seen(&mut roundabout, outs.1, bytes);
            outs = (first, second);
            if let Some(event) = known {
                let counts = Counts { input: 1, ..Counts::default() };
                prop_assert_eq!(&(vec![event], None, counts), &one, "alike");
            }
            prop_assert_eq!(one, other);
        }
    }
}

fn values(id: &str, account: &str, code: &str, message: &str) -> Vec<u8> {
    let text = |text: &str| [vec![u8::try_from(text.len() * 2).unwrap()], text.as_bytes().to_vec()].concat();
    let there = |own: &str| [vec![2], text(own)].concat();
    let mut time = vec![2];
    put_signed(&mut time, NOW.0);
    let head = [vec![0, 0, 0, 0, 1], there(id), time, vec![0], text(account), vec![0, 0], text("api.error")]
        .concat();
    let tail = [vec![0; 4], there(message), there(code), text("host"), vec![0, 0, 2], vec![0; 5]].concat();
    [head, tail].concat()
}

/// With its schema compiled, as the first record has it done.
fn warm() -> Intake {
    let mut intake = intake(Vec::new());
    seen(&mut intake, Decoded::new(), &values("e", "acme", "E_FIRST", "x"));
    intake
}

#[test]
fn records_that_differ_in_nothing_else_are_alike() {
    let mut intake = warm();
    let first = values("e1", "acme", "E_NET", "timeout after 30 ms");
    assert_eq!(alike(&mut intake, &first), None);
    assert_eq!(seen(&mut intake, Decoded::new(), &first).0.0.len(), 1);
    let second = alike(&mut intake, &values("e2", "globex", "E_NET", "timeout after 31 ms")).unwrap();
    assert_eq!((second.account.as_deref(), second.name.as_ref()), (Some("globex"), "api.error"));
    assert_eq!(alike(&mut intake, &values("e3", "acme", "E_AUTH", "timeout after 30 ms")), None);
    assert_eq!(alike(&mut intake, &values("e3", "acme", "E_NET", "refused after 30 ms")), None);
    assert_eq!(alike(&mut intake, &values("e3", "", "E_NET", "timeout after 30 ms")), None);
    intake.add_schema(SchemaId::Number(1), SCHEMA);
    assert_eq!(alike(&mut intake, &first), None, "another schema may mean something else");
}

#[test]
fn looking_for_likes_is_given_up_where_there_are_none() {
    let mut intake = warm();
    let mut out = Decoded::new();
    for number in 0..4096 {
        let bytes = values("e", "acme", &format!("E_{number}"), "x");
        assert_eq!(alike(&mut intake, &bytes), None);
        out = seen(&mut intake, out, &bytes).1;
    }
    let same = values("e", "acme", "E_SAME", "x");
    for _ in 0..65_536 {
        assert_eq!(alike(&mut intake, &same), None);
    }
    assert_eq!(alike(&mut intake, &same), None, "the first of its kind");
    out = seen(&mut intake, out, &same).1;
    assert!(alike(&mut intake, &same).is_some());
    drop(out);
}
