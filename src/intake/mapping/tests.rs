//! Mapping files from text to events.

mod presets;

use apache_avro::types::Record as AvroRecord;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, types::Value as Avro};
use expect_test::expect;

use super::Mapping;
use crate::document::Mistakes;
use crate::event::{Field, Kind, Timestamp, Value};
use crate::intake::text::Scorer;
use crate::intake::{Decoded, Filtered, Format, Headers, Intake, Record, SchemaId, SourceSettings};

const BILLING: &str = r#"
version: 1
name: shop
topic: shop
kind: billing
when: {kind: {not: refund}}
set:
  event_id: {from: [header:message-id, id]}
  event_time: {from: [created], unit: s}
  account_alias: {from: [customer.ref], prefix: "stripe:"}
  type:
    from: [kind]
    map: {Failed: invoice.payment_failed, Paid: invoice.paid}
  traffic: {from: [live], map: {"false": test, "*": customer}}
  amount_minor: {from: [amount], scale: 100}
  currency: {from: [currency], case: lower, default: eur}
  source: {const: shop}
  invoice_id: lines[1].invoice
properties:
  seats: {type: integer, from: customer.seats}
"#;

fn mapping(text: &str) -> Mapping {
    let mut mistakes = Mistakes::default();
    Mapping::parse("m.yaml", text, &mut mistakes).unwrap_or_else(|| panic!("{mistakes}"))
}

fn intake(kind: Kind, mappings: &[&str]) -> Intake {
    let settings = SourceSettings {
        mappings: mappings.iter().map(|text| mapping(text)).collect(),
        ..SourceSettings::new("shop", kind)
    };
    Intake::new(vec![settings], Scorer::english().unwrap())
}

fn decode<'a>(intake: &mut Intake, value: &'a [u8], headers: &'a dyn Headers) -> Decoded<'a> {
    let timestamp = Timestamp(1_700_000_100_000);
    let record = Record { partition: 0, offset: 1, timestamp, key: Some(b"k"), value: Some(value), headers };
    let mut out = Decoded::new();
    intake.decode(0, &record, &mut out).unwrap();
    out
}

const FAILED: &str = r#"{"id": "e1", "created": 1700000000, "kind": "Failed", "live": true, "amount": 42.5,
    "currency": "USD", "customer": {"ref": "cus_1", "seats": 7}, "lines": [{}, {"invoice": "in_1"}]}"#;

#[test]
fn a_foreign_record_becomes_an_event() {
    let mut intake = intake(Kind::Billing, &[BILLING]);
    let out = decode(&mut intake, FAILED.as_bytes(), &());
    let [event] = out.events.as_slice() else { panic!("{:?}", out.dead) };
    assert_eq!(event.name, "invoice.payment_failed");
    assert_eq!(event.alias.as_deref(), Some("stripe:cus_1"));
    assert_eq!(event.time, Timestamp(1_700_000_000_000));
    let field = |field| event.get(field).unwrap().into_owned();
    assert_eq!(field(Field::AmountMinor), Value::Int(4250));
    assert_eq!(field(Field::Currency), Value::text("usd"));
    assert_eq!(field(Field::Source), Value::text("shop"));
    assert_eq!(field(Field::InvoiceId), Value::text("in_1"));
    assert_eq!(event.property("seats"), Some(&Value::Int(7)));
}

#[test]
fn avro_is_mapped_like_json() {
    let schema = r#"{"type":"record","name":"E","fields":[
        {"name":"lines","type":{"type":"array","items":{"type":"record","name":"L","fields":[
            {"name":"invoice","type":["null","string"]}]}}},
        {"name":"live","type":"boolean"},
        {"name":"customer","type":["null",{"type":"record","name":"C","fields":[
            {"name":"other","type":"double"},{"name":"seats","type":"int"},{"name":"ref","type":"string"}]}]},
        {"name":"amount","type":"double"}, {"name":"currency","type":"string"}, {"name":"kind","type":"string"},
        {"name":"created","type":"long"}, {"name":"id","type":"string"}]}"#;
    let parsed = Schema::parse_str(schema).unwrap();
    let mut record = AvroRecord::new(&parsed).unwrap();
    let line = |invoice: Option<&str>| {
        let invoice =
            invoice.map_or(Avro::Union(0, Box::new(Avro::Null)), |id| Avro::Union(1, Box::new(id.into())));
        Avro::Record(vec![("invoice".to_owned(), invoice)])
    };
    record.put("lines", Avro::Array(vec![line(None), line(Some("in_1"))]));
    record.put("live", true);
    let customer = [("other", Avro::Double(1.0)), ("seats", Avro::Int(7)), ("ref", "cus_1".into())];
    let customer = Avro::Record(customer.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    record.put("customer", Avro::Union(1, Box::new(customer)));
    record.put("amount", 42.5);
    record.put("currency", "USD");
    record.put("kind", "Failed");
    record.put("created", 1_700_000_000_i64);
    record.put("id", "e1");
    let datum = GenericDatumWriter::builder(&parsed).build().unwrap().write_value_to_vec(record).unwrap();
    let bytes = [vec![0, 0, 0, 0, 9], datum].concat();
    let mut intake = intake(Kind::Billing, &[BILLING]);
    intake.add_schema(SchemaId::Number(9), schema);
    let from_avro = decode(&mut intake, &bytes, &()).events.remove(0).into_owned();
    let from_json = decode(&mut intake, FAILED.as_bytes(), &()).events.remove(0).into_owned();
    assert_eq!(from_avro, from_json);
}

#[test]
fn rows_that_nothing_is_said_of_are_filtered() {
    let mut intake = intake(Kind::Billing, &[BILLING]);
    for other in [FAILED.replace("Failed", "refund"), FAILED.replace("Failed", "Unheard")] {
        let out = decode(&mut intake, other.as_bytes(), &());
        assert_eq!(out.counts(Kind::Billing).filtered[Filtered::Unmapped as usize], 1, "{other}");
        assert!(out.dead.is_none());
    }
    let out = decode(&mut intake, br#"{"id": "e1", "live": false, "kind": "Paid"}"#, &());
    assert_eq!(out.counts(Kind::Billing).filtered[Filtered::Test as usize], 1);
}

#[test]
fn headers_and_the_first_path_present_win() {
    let mut intake = intake(Kind::Billing, &[BILLING]);
    let plain = decode(&mut intake, FAILED.as_bytes(), &()).events[0].id;
    let headers = vec![("message-id".to_owned(), b"other".to_vec())];
    assert_ne!(decode(&mut intake, FAILED.as_bytes(), &headers).events[0].id, plain);
}

#[test]
fn a_list_is_one_event_an_item_and_the_good_ones_go_on() {
    let text = r#"
version: 1
name: batch
topic: shop
kind: usage
unpack: batches[].items
when: {type: track}
set:
  event: {from: event, case: snake}
  event_id: messageId
  account_id: /group
  session_id: context.session
"#;
    let mut intake = intake(Kind::Usage, &[text]);
    let json = br#"{"group": "acme", "batches": [{"items": [
        {"type": "track", "event": "Signed In", "messageId": "1", "context": {"session": "s"}},
        {"type": "identify"}]}, {"items": [
        {"type": "track", "event": "Left", "messageId": ""}, {"type": "track", "event": "Back", "messageId": "3"}]}]}"#;
    let out = decode(&mut intake, json, &());
    let names: Vec<_> = out.events.iter().map(|event| (&*event.name, event.position.index)).collect();
    assert_eq!(names, [("signed_in", 0), ("back", 2)]);
    assert!(out.events.iter().all(|event| event.account.as_deref() == Some("acme")));
    let dead = out.dead.as_ref().unwrap();
    assert_eq!((dead.mapping.as_deref(), dead.detail.as_str()), (Some("batch"), "`event_id` is empty"));
    assert_eq!((out.counts(Kind::Usage).input, out.counts(Kind::Usage).dead), (3, 1));
}

#[test]
fn a_canonical_topic_may_declare_properties() {
    let text = "{version: 1, name: own, topic: shop, kind: usage, properties: {carat: {type: number}}}";
    let mut intake = intake(Kind::Usage, &[text]);
    let json = br#"{"event": "page.viewed", "event_id": "1", "account_id": "a",
        "properties": {"carat": 1.5, "page": "/", "secret": "x"}}"#;
    let out = decode(&mut intake, json, &());
    let own: Vec<_> = out.events[0].properties.iter().map(|(name, _)| &**name).collect();
    assert_eq!(own, ["carat", "page"]);
}

#[test]
fn several_files_read_one_topic() {
    let of = |kind: &str, name: &str| {
        format!(
            "{{version: 1, name: {name}, topic: shop, kind: {kind}, when: {{kind: {name}}}, set: {{type: {{const: x.y}}, \
             event_id: id, account_id: account{}}}}}",
            if kind == "ticket" { ", ticket_id: id" } else { "" }
        )
    };
    let mut intake = intake(Kind::Billing, &[&of("billing", "bill"), &of("ticket", "case")]);
    let kind = |intake: &mut Intake, kind: &str| {
        let json = format!(r#"{{"kind": "{kind}", "id": "1", "account": "a"}}"#);
        decode(intake, json.as_bytes(), &()).events.iter().map(|event| event.kind).collect::<Vec<_>>()
    };
    assert_eq!(kind(&mut intake, "bill"), [Kind::Billing]);
    assert_eq!(kind(&mut intake, "case"), [Kind::Ticket]);
    assert_eq!(kind(&mut intake, "none"), []);
}

#[test]
fn json_behind_a_prefix_is_read_if_the_topic_is_json() {
    let settings = SourceSettings { format: Format::Json, ..SourceSettings::new("u", Kind::Usage) };
    let mut intake = Intake::new(vec![settings], Scorer::english().unwrap());
    let json =
        [&[0, 0, 0, 0, 1][..], br#"{"event": "page.viewed", "event_id": "1", "account_id": "a"}"#].concat();
    assert_eq!(decode(&mut intake, &json, &()).events.len(), 1);
}

#[test]
fn mistakes_are_told_with_place_and_hint() {
    let text = r#"version: 1
name: bad
topic: shop
kind: billing
wen: {a: b}
set:
  type: {from: kind, cas: lower}
  amuont_minor: amount
  issued_at: {from: created, unit: sec}
  invoice_id: a..b
  currency: {const: eur, from: x}
properties:
  seats: {type: int, from: s}
"#;
    let mut mistakes = Mistakes::default();
    assert_eq!(Mapping::parse("bad.yaml", text, &mut mistakes), None);
    expect![[r#"
        bad.yaml:5:1: unknown key `wen` in a mapping [E01]
          a mapping takes version name topic kind unpack when set properties; hint: did you mean `when`?
        bad.yaml:6:1: `event_id` is not set [E02]
          hint: every event needs it: write `event_id: PATH`
        bad.yaml:7:22: unknown key `cas` in a field [E01]
          a field takes from const map case unit scale prefix default; hint: did you mean `case`?
        bad.yaml:8:3: billing has no field `amuont_minor` to be set [E06]
          hint: did you mean `amount_minor`?
        bad.yaml:9:36: `sec` is no unit [E04]
          s ms us ns rfc3339
        bad.yaml:10:15: `a..b` is no path [E03]
          hint: write names joined by dots, items of lists as `name[0]`
        bad.yaml:11:13: a field takes either `from` or `const` [E08]
        bad.yaml:13:17: `int` is no type of a property [E04]
          string integer number boolean time
    "#]]
    .assert_eq(&mistakes.to_string());
}

#[test]
fn items_see_the_lists_they_lie_in_attributes_and_joined_places() {
    let text = r#"
version: 1
name: nested
topic: shop
kind: usage
unpack: groups[].items
set:
  event: {const: page.viewed}
  event_id: "{../id}/{id}"
  account_id: ../attributes[account.id]
  event_time: {from: [at, seen], unit: ns}
  session_id: "attributes[session.id]"
"#;
    let mut intake = intake(Kind::Usage, &[text]);
    let json = br#"{"groups": [
        {"id": "g1", "attributes": [{"key": "account.id", "value": {"stringValue": "acme"}}],
         "items": [{"id": 7, "at": "0", "seen": "1700000000000000000",
                    "attributes": [{"key": "session.id", "value": {"intValue": "12"}}]}]},
        {"id": "g2", "attributes": [{"key": "account.id", "value": "beta"}], "items": [{"id": 8}, {}]}]}"#;
    let out = decode(&mut intake, json, &());
    let [first, second] = out.events.as_slice() else { panic!("{:?}", out.dead) };
    assert_eq!(first.account.as_deref(), Some("acme"));
    assert_eq!(first.time, Timestamp(1_700_000_000_000));
    assert_eq!(*first.get(Field::SessionId).unwrap(), Value::text("12"));
    assert_eq!(second.account.as_deref(), Some("beta"));
    assert_ne!(first.id, second.id);
    assert_eq!(out.events.len(), 2, "the last has no id to join");
}

#[test]
fn places_that_lead_nowhere_are_mistakes() {
    let text = r#"version: 1
name: bad
topic: shop
kind: usage
set:
  event: ../name
  event_id: "{id"
  session_id: "attributes[session.id]"
  platform: {from: p, unit: ms}
"#;
    let mut mistakes = Mistakes::default();
    assert_eq!(Mapping::parse("bad.yaml", text, &mut mistakes), None);
    expect![[r#"
        bad.yaml:6:10: `../name` leads above what is unpacked [E08]
          hint: each `../` is one list of `unpack`; from the record's root write `/x`
        bad.yaml:7:13: `{id` lacks a `}` [E03]
          hint: write each place in braces: `{a.b}#{c}`
        bad.yaml:8:15: `attributes[session.id]` names an attribute, but nothing is unpacked [E08]
          hint: attributes by name are read in items of `unpack` only
        bad.yaml:9:13: `unit` does not fit `platform`, which is neither time nor number [E08]
    "#]]
    .assert_eq(&mistakes.to_string());
}
