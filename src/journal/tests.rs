//! The bytes of the journal, asserted, and read back.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Coverage, Entry, FrameBuilder, System, encode_system};
use crate::event::bytes::FormatError;
use crate::event::{
    Alike, Event, Field, FieldType, Kind, MODELS, Position, SourcePartition, Timestamp, Traffic, Value,
};

fn source(topic: &str, partition: i32) -> SourcePartition {
    SourcePartition { topic: topic.into(), partition }
}

fn covered(topic: &str, partition: i32, from: i64, to: i64) -> Coverage {
    Coverage {
        source: source(topic, partition),
        from,
        to,
        end: to.saturating_add(1),
        watermark: Timestamp(1_000_000),
        caught_up: true,
    }
}

fn failure(offset: i64, account: &'static str) -> Event<'static> {
    let mut event = Event::new(Kind::ErrorLog, "connection.failed", Timestamp(1_600_000 + offset));
    event.account = Some(account.into());
    event.position = Position { source: 1, offset, index: 0 };
    event.id = 0x0102_0304_0506_0708;
    event.set(Field::Integration, Value::text("slack"));
    event.set(Field::SeverityNumber, Value::Int(17));
    event
}

/// Bytes as hexadecimal digits, with printable strings in quotes.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    while let Some(byte) = rest.first() {
        let text = rest.iter().take_while(|byte| byte.is_ascii_lowercase() || b"._-".contains(byte)).count();
        if text > 2 {
            out.push_str(&format!("{:?} ", std::str::from_utf8(&rest[..text]).unwrap()));
            rest = &rest[text..];
        } else {
            out.push_str(&format!("{byte:02x} "));
            rest = &rest[1..];
        }
    }
    out
}

pub(super) fn assert_bytes(bytes: &[u8], expected: &Expect) {
    expected.assert_eq(dump(bytes).trim_end());
}

#[test]
fn a_small_frame_has_these_bytes() {
    let mut builder = FrameBuilder::new();
    builder.push(&failure(300, "acme"), 1);
    builder.push(&failure(301, "acme"), 1);
    let mut odd = failure(302, "globex");
    odd.traffic = Traffic::Automated;
    odd.clamped = true;
    odd.position.index = 2;
    odd.user = Some("u-one".into());
    odd.properties.push(("page".into(), Value::text("slack")));
    odd.properties.push(("dwell_ms".into(), Value::Int(5)));
    odd.set(Field::IssuedAt, Value::Time(odd.time.plus(-2)));
    odd.set(Field::Services, Value::List(vec![Value::text("api")]));
    builder.push(&odd, 1);
    let mut out = Vec::new();
    builder.finish(7, &[covered("errors", 0, 5, 4), covered("errors", 3, 300, 302)], &mut out);
    assert_bytes(
        &out,
        &expect![[
            r#"10 07 02 06 "errors" 00 0a 01 02 80 89 7a 01 00 03 d8 04 04 02 80 89 7a 01 03 11 00 00 11 "connection.failed" 02 1a 01 05 "slack" 04 22 d8 ac c3 01 01 d8 04 08 07 06 05 04 03 02 01 00 04 "acme" 00 11 00 02 01 02 08 07 06 05 04 03 02 01 00 00 d1 1b 01 00 03 1a 01 04 22 2b 07 01 06 03 "api" 02 01 02 02 08 07 06 05 04 03 02 01 01 06 "globex" 05 "u-one" 01 40 03 02 02 04 "page" 09 01 03 08 "dwell_ms" 02 0a"#
        ]],
    );
    assert_eq!((builder.len_bytes(), builder.events()), (0, 0));
}

#[test]
fn a_tick_has_these_bytes() {
    let mut out = Vec::new();
    FrameBuilder::new().finish(1, &[covered("usage", 0, 10, 9)], &mut out);
    assert_bytes(&out, &expect![[r#"10 01 01 05 "usage" 00 14 01 02 80 89 7a 01 00"#]]);
    let Ok(Entry::Frame(frame)) = Entry::parse(&out) else { panic!("a frame") };
    assert!(frame.is_tick());
    assert_eq!(frame.sources, [covered("usage", 0, 10, 9)]);
    assert_eq!(frame.events().count(), 0);
}

#[test]
fn system_records_have_these_bytes() {
    let files = || vec![("seed.yaml".into(), "rules".into())];
    let kind = Kind::Billing;
    let records = [
        (
            System::Rules { generation: 300, rule_set: "beef".into(), body: files(), seed: true },
            expect![[r#"11 d8 04 04 "beef" 01 09 "seed.yaml" 05 "rules" 01"#]],
        ),
        (
            System::Mapping {
                generation: 1,
                version: "cafe".into(),
                body: files(),
                first: vec![(source("usage", 2), 64)],
            },
            expect![[r#"12 02 04 "cafe" 01 09 "seed.yaml" 05 "rules" 01 05 "usage" 02 80 01"#]],
        ),
        (
            System::SourceAdded { source: source("bills", 1), kind, first: 0, lateness_ms: 600_000 },
            expect![[r#"13 05 "bills" 01 02 00 80 9f 49"#]],
        ),
        (
            System::SourceMoved {
                source: source("bills", 1),
                kind,
                first: 900,
                reason: "lost".into(),
                actor: "ann".into(),
            },
            expect![[r#"14 05 "bills" 01 02 88 0e 04 "lost" 03 "ann""#]],
        ),
        (System::SourceRetired { source: source("bills", 1), kind }, expect![[r#"15 05 "bills" 01 02"#]]),
        (
            System::Quarantine { partition: 4, offset: 77, reason: "panic".into() },
            expect![[r#"17 04 9a 01 05 "panic""#]],
        ),
    ];
    for (system, expected) in records {
        let mut out = Vec::new();
        encode_system(&system, &mut out);
        assert_bytes(&out, &expected);
        assert_eq!(Entry::parse(&out), Ok(Entry::System(system)));
        out.push(0);
        assert_eq!(Entry::parse(&out), Err(FormatError::Malformed("trailing bytes")));
    }
}

#[test]
fn later_formats_and_unknown_types_are_refused() {
    assert_eq!(Entry::parse(&[]), Err(FormatError::Truncated));
    assert_eq!(Entry::parse(&[0x20, 0]), Err(FormatError::Version(2)));
    assert_eq!(Entry::parse(&[0x1f, 0]), Err(FormatError::Malformed("record type")));
}

#[test]
fn what_events_have_in_common_is_written_once() {
    let mut builder = FrameBuilder::new();
    let sizes: Vec<usize> = (0..4)
        .map(|number| {
            let before = builder.len_bytes();
            let mut event = failure(number, "acme");
            event.set(Field::ErrorCode, Value::text(if number % 2 == 0 { "E_AUTH" } else { "E_NET" }));
            event.set(Field::DurationMs, Value::Int(number));
            builder.push(&event, 0);
            builder.len_bytes() - before
        })
        .collect();
    // Head, shape, time, source, offset, id, account, and one field of two bytes with its count.
    assert_eq!(sizes[2..], [17, 17]);
    assert!(sizes[1] > 17);
}

#[test]
fn a_field_of_the_shape_that_comes_again_is_refused() {
    let mut builder = FrameBuilder::new();
    builder.push(&failure(0, "acme"), 0);
    let mut bytes = Vec::new();
    builder.finish(1, &[covered("a", 0, 0, 0)], &mut bytes);
    let count = bytes.len() - 1;
    assert_eq!(bytes[count], 0, "no further field");
    bytes.truncate(count);
    bytes.extend([1, u8::try_from(Field::SeverityNumber.number() << 1).unwrap(), 34]);
    let Ok(Entry::Frame(frame)) = Entry::parse(&bytes) else { panic!("a frame") };
    assert_eq!(frame.events().collect::<Vec<_>>(), [Err(FormatError::Malformed("a field twice"))]);
}

#[test]
fn a_usual_event_takes_less_than_twenty_bytes() {
    let mut builder = FrameBuilder::new();
    for offset in 0..1000 {
        let mut event =
            failure(1_000_000 + offset * 4, if offset % 3 == 0 { "acme-00017" } else { "globex-4" });
        event.set(Field::ErrorCode, Value::text("E_AUTH"));
        event.set(Field::Service, Value::text("connector"));
        builder.push(&event, 0);
    }
    assert!(builder.len_bytes() < 18_000, "{}", builder.len_bytes());
}

fn any_value(field: Field) -> BoxedStrategy<Value<'static>> {
    let text = prop_oneof!["[a-c]{0,2}", ".{0,12}"];
    match field.spec().ty {
        FieldType::Text => text.prop_map(Value::text).boxed(),
        FieldType::Enum(symbols) => prop::sample::select(symbols).prop_map(Value::text).boxed(),
        FieldType::Int => prop_oneof![any::<i64>().prop_map(Value::Int), text.prop_map(Value::text)].boxed(),
        FieldType::Double => (-1e15_f64..1e15).prop_map(Value::Double).boxed(),
        FieldType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        FieldType::Time => any::<i64>().prop_map(|ms| Value::Time(Timestamp(ms))).boxed(),
        FieldType::Date => any::<i32>().prop_map(Value::Date).boxed(),
        FieldType::Texts => {
            prop::collection::vec(text.prop_map(Value::text), 0..3).prop_map(Value::List).boxed()
        }
        FieldType::Dates => {
            prop::collection::vec(any::<i32>().prop_map(Value::Date), 0..3).prop_map(Value::List).boxed()
        }
        FieldType::Records | FieldType::Doubles | FieldType::TextMap => {
            let entry = (".{0,5}".prop_map(Into::into), any::<i64>().prop_map(Value::Int));
            prop::collection::vec(entry, 0..3).prop_map(Value::Map).boxed()
        }
    }
}

fn any_fields() -> impl Strategy<Value = Vec<(Field, Value<'static>)>> {
    let numbers = prop::collection::btree_set(0..u16::try_from(Field::all().count()).unwrap(), 0..8);
    numbers.prop_flat_map(|numbers| {
        let fields = numbers.into_iter().filter_map(Field::from_number);
        fields.map(|field| any_value(field).prop_map(move |value| (field, value))).collect::<Vec<_>>()
    })
}

prop_compose! {
    fn any_event()(
        kind in prop::sample::select(&Kind::ALL[..]),
        name in "[a-z]{1,2}",
        time in prop_oneof![any::<i64>(), 0..1_000_i64],
        flags in any::<[bool; 2]>(),
        who in any::<[Option<u8>; 3]>(),
        position in (0..3_u16, prop_oneof![any::<i64>(), 0..99_i64], prop_oneof![Just(0), any::<u16>()]),
        id in any::<u64>(),
        fields in any_fields(),
        properties in prop::collection::btree_map("[a-z]{1,3}", any_value(Field::ErrorCode), 0..3),
    ) -> Event<'static> {
        let text = |who: Option<u8>| who.map(|number| format!("x{number}").into());
        Event {
            kind,
            name: name.into(),
            time: Timestamp(time),
            clamped: flags[0],
            account: text(who[0]),
            alias: text(who[1]),
            user: text(who[2]),
            position: Position { source: position.0, offset: position.1, index: position.2 },
            id,
            traffic: if flags[1] { Traffic::Automated } else { Traffic::Customer },
            fields,
            properties: properties.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        }
    }
}

prop_compose! {
    /// An event that can be a model, what others differ in, and where they are cut into frames.
    fn any_model()(
        mut event in any_event(),
        own in prop::collection::vec((0..9_u8, prop::option::of(0..9_u8), any::<u64>(), -9..99_i64, 0..9_i64), 1..6),
    ) -> (Event<'static>, Vec<(String, Option<String>, u64, i64, i64)>) {
        event.clamped = false;
        event.alias = None;
        event.position.index = 0;
        event.properties.clear();
        event.fields.retain(|(_, value)| !matches!(value, Value::Time(_)));
        let text = |number: u8| format!("x{number}");
        (event, own.into_iter().map(|(one, two, id, time, offset)| (text(one), two.map(text), id, time, offset)).collect())
    }
}

proptest! {
    #[test]
    fn an_event_like_another_is_written_as_itself(
        models in prop::collection::vec(any_model(), 1..4),
        order in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..20),
    ) {
        let (mut builder, mut plain) = (FrameBuilder::new(), FrameBuilder::new());
        let (mut frames, mut expected) = (Vec::new(), Vec::new());
        for (place, ends) in order {
            let place = place.index(models.len());
            let (model, own) = &models[place];
            for (account, user, id, time, offset) in own {
                let (id, time) = (*id, Timestamp(*time));
                let user = user.as_deref();
                // Numbers that fall on the same place.
                let number = (place % 2 + place / 2 * MODELS) as u64;
                builder.push_alike(&Alike { model, number, account, user, id, time }, 1, *offset);
                let mut event: Event<'_> = model.clone();
                event.account = Some(account.into());
                event.user = user.map(Into::into);
                event.position.offset = *offset;
                (event.id, event.time) = (id, time);
                plain.push(&event, 1);
            }
            prop_assert_eq!((builder.events(), builder.len_bytes()), (plain.events(), plain.len_bytes()));
            if ends {
                let sources = [covered("a", 0, 0, 9), covered("a", 1, 0, 9)];
                builder.finish(1, &sources, &mut frames);
                plain.finish(1, &sources, &mut expected);
            }
        }
        prop_assert_eq!(frames, expected);
    }

    #[test]
    fn frames_are_read_back(events in prop::collection::vec(any_event(), 0..20), mapping in any::<u64>()) {
        let mut sources = [covered("a", 0, 3, 2), covered("a", 1, 0, 99), covered("b", 0, i64::MIN, i64::MAX)];
        sources[0].watermark = Timestamp::MIN;
        sources[0].end = i64::MAX;
        sources[1].caught_up = false;
        let mut builder = FrameBuilder::new();
        builder.push(&failure(1, "left over"), 0);
        builder.finish(0, &sources, &mut Vec::new());
        events.iter().for_each(|event| builder.push(event, event.position.source));
        let mut out = Vec::new();
        builder.finish(mapping, &sources, &mut out);

        let Ok(Entry::Frame(frame)) = Entry::parse(&out) else { panic!("a frame") };
        prop_assert_eq!(frame.mapping, mapping);
        prop_assert_eq!(&frame.sources[..], &sources[..]);
        prop_assert_eq!(frame.event_count(), events.len() as u64);
        let read: Result<Vec<_>, _> = frame.events().collect();
        prop_assert_eq!(read, Ok(events));
    }

    #[test]
    fn hostile_bytes_never_panic(
        events in prop::collection::vec(any_event(), 0..6),
        cut in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut builder = FrameBuilder::new();
        events.iter().for_each(|event| builder.push(event, event.position.source));
        let mut bytes = Vec::new();
        builder.finish(1, &[covered("a", 0, 0, 9), covered("a", 1, 0, 9), covered("a", 2, 0, 9)], &mut bytes);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(Entry::Frame(frame)) = Entry::parse(&bytes) {
            // Every event takes at least a dozen bytes, whatever the count says.
            prop_assert!(frame.events().count() <= bytes.len() / 12 + 1);
            let _ = frame.items();
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        bytes[0] = 0x10 | bytes[0] & 7;
        if let Ok(Entry::Frame(frame)) = Entry::parse(&bytes) {
            prop_assert!(frame.events().filter(Result::is_err).count() <= 1);
            let _ = frame.items();
        }
    }
}
