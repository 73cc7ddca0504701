//! Types and limits of single values (`contracts.md` §1): what a source wrote becomes what the contract says.

use std::borrow::Cow;

use crate::event::{Field, FieldType, Text, Timestamp, Value, parse_date};

/// Longest id, in bytes.
const ID_MAX: usize = 128;
/// Longest other string, in bytes.
const TEXT_MAX: usize = 512;
/// Most items of a list, entries of a map.
const ITEMS_MAX: usize = 64;
/// Longest body, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// Times that events can have: 1970 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

/// A value that does not fit its field; the words complete "`field` is ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit(pub &'static str);

/// Whether a field holds an id: never cut, never empty.
pub const fn is_id(field: Field) -> bool {
    matches!(
        field,
        Field::AccountId
            | Field::AccountAlias
            | Field::UserId
            | Field::EventId
            | Field::SessionId
            | Field::CredentialId
            | Field::IncidentId
            | Field::InvoiceId
            | Field::SubscriptionId
            | Field::TicketId
            | Field::AssigneeId
            | Field::RequesterId
            | Field::ProblemId
            | Field::LinkedTicketIds
            | Field::MergedInto
            | Field::ProactiveAlertId
            | Field::ParentAccountId
            | Field::AlertId
            | Field::ActorId
            | Field::OpportunityId
    )
}

/// Whether a string is an id as it is.
#[inline]
pub const fn fits_id(text: &str) -> bool {
    matches!(text.len(), 1..=ID_MAX)
}

/// Whether bytes are a string that is an id as it is.
#[inline]
pub fn fits_id_bytes(text: &[u8]) -> bool {
    matches!(text.len(), 1..=ID_MAX) && (text.is_ascii() || std::str::from_utf8(text).is_ok())
}

/// Whether a string is a value of this field, whose type is a string, as it is.
#[inline]
pub const fn fits(field: Field, text: &str) -> bool {
    if is_id(field) { fits_id(text) } else { text.len() <= TEXT_MAX }
}

/// Cuts a string at a character boundary; counts if it had to.
#[inline]
fn cut<'a>(text: Text<'a>, max: usize, cuts: &mut u32) -> Text<'a> {
    if text.len() <= max {
        return text;
    }
    *cuts += 1;
    let end = text.floor_char_boundary(max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// A body within its limit.
pub fn body<'a>(text: Text<'a>, cuts: &mut u32) -> Text<'a> {
    cut(text, BODY_MAX, cuts)
}

/// A string; numbers and truth values are written out.
#[inline]
pub fn string(value: Value<'_>) -> Result<Text<'_>, Unfit> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Int(number) => Ok(Cow::Owned(number.to_string())),
        Value::Double(number) => Ok(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Ok(Cow::Borrowed(if truth { "true" } else { "false" })),
        _ => Err(Unfit("no string")),
    }
}

/// An id.
#[inline]
pub fn id(value: Value<'_>) -> Result<Text<'_>, Unfit> {
    let text = string(value)?;
    match text.len() {
        _ if fits_id(&text) => Ok(text),
        0 => Err(Unfit("empty")),
        _ => Err(Unfit("longer than 128 bytes")),
    }
}

/// A time that events can have.
#[inline]
pub const fn is_time(time: Timestamp) -> bool {
    *TIMES.start() <= time.0 && time.0 <= *TIMES.end()
}

/// A point in time: epoch milliseconds, RFC 3339 or a date.
pub fn time(value: &Value<'_>) -> Result<Timestamp, Unfit> {
    let time = match value {
        Value::Time(time) => *time,
        Value::Int(ms) => Timestamp(*ms),
        Value::Date(day) => Timestamp(i64::from(*day) * 86_400_000),
        Value::Double(_) => Timestamp(integer(value)?),
        Value::Text(text) => Timestamp::parse(text).map_err(|_| Unfit("no time"))?,
        _ => return Err(Unfit("no time")),
    };
    if is_time(time) { Ok(time) } else { Err(Unfit("outside the years 1970 to 9999")) }
}

fn date(value: &Value<'_>) -> Result<i32, Unfit> {
    const UNFIT: Unfit = Unfit("no date");
    match value {
        Value::Date(day) => Ok(*day),
        Value::Time(time) => i32::try_from(time.0.div_euclid(86_400_000)).map_err(|_| UNFIT),
        Value::Text(text) => parse_date(text.get(..10).unwrap_or(text)).map_err(|_| UNFIT),
        _ => Err(UNFIT),
    }
}

/// A whole number, also written with a zero fraction or as a string.
#[expect(clippy::cast_possible_truncation, reason = "whole and within the range of exact doubles")]
pub fn integer(value: &Value<'_>) -> Result<i64, Unfit> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Int(number) => Ok(*number),
        Value::Double(number) if number.fract() == 0.0 && number.abs() <= EXACT => Ok(*number as i64),
        Value::Time(time) => Ok(time.0),
        Value::Text(text) => text.trim().parse().map_err(|_| Unfit("no integer")),
        _ => Err(Unfit("no integer")),
    }
}

/// A finite double.
#[expect(clippy::cast_precision_loss, reason = "the nearest double")]
pub fn double(value: &Value<'_>) -> Result<f64, Unfit> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        Value::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
    .ok_or(Unfit("no number"))
}

/// True or false.
pub fn boolean(value: &Value<'_>) -> Result<bool, Unfit> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Text(text) if text == "true" => Ok(true),
        Value::Text(text) if text == "false" => Ok(false),
        _ => Err(Unfit("neither true nor false")),
    }
}

/// A value as the type of its field demands.
#[inline]
pub fn typed<'a>(field: Field, value: Value<'a>, cuts: &mut u32) -> Result<Value<'a>, Unfit> {
    Ok(match field.spec().ty {
        FieldType::Text if is_id(field) => Value::Text(id(value)?),
        FieldType::Text => Value::Text(cut(string(value)?, TEXT_MAX, cuts)),
        FieldType::Enum(symbols) => {
            let text = string(value)?;
            Value::Text(Cow::Borrowed(symbols.iter().find(|own| **own == text).map_or("unknown", |own| own)))
        }
        FieldType::Int => Value::Int(integer(&value)?),
        FieldType::Double => Value::Double(double(&value)?),
        FieldType::Bool => Value::Bool(boolean(&value)?),
        FieldType::Time => Value::Time(time(&value)?),
        FieldType::Date => Value::Date(date(&value)?),
        FieldType::Texts => list(value, cuts, |item, cuts| match is_id(field) {
            true => id(item).map(Value::Text),
            false => text(item, cuts),
        })?,
        FieldType::Dates => list(value, cuts, |item, _| date(&item).map(Value::Date))?,
        FieldType::Records => list(value, cuts, contact)?,
        FieldType::Doubles => map(value, cuts, |item, _| double(&item).map(Value::Double))?,
        FieldType::TextMap => map(value, cuts, text)?,
    })
}

/// A string within its limit.
pub fn text<'a>(value: Value<'a>, cuts: &mut u32) -> Result<Value<'a>, Unfit> {
    Ok(Value::Text(cut(string(value)?, TEXT_MAX, cuts)))
}

fn list<'a>(
    value: Value<'a>,
    cuts: &mut u32,
    each: impl Fn(Value<'a>, &mut u32) -> Result<Value<'a>, Unfit>,
) -> Result<Value<'a>, Unfit> {
    let mut items = match value {
        Value::List(items) => items,
        Value::Text(_) => vec![value],
        _ => return Err(Unfit("no list")),
    };
    if items.len() > ITEMS_MAX {
        items.truncate(ITEMS_MAX);
        *cuts += 1;
    }
    Ok(Value::List(items.into_iter().map(|item| each(item, cuts)).collect::<Result<_, _>>()?))
}

fn map<'a>(
    value: Value<'a>,
    cuts: &mut u32,
    each: impl Fn(Value<'a>, &mut u32) -> Result<Value<'a>, Unfit>,
) -> Result<Value<'a>, Unfit> {
    let Value::Map(mut entries) = value else { return Err(Unfit("no map")) };
    if entries.len() > ITEMS_MAX {
        entries.truncate(ITEMS_MAX);
        *cuts += 1;
    }
    // Writers of maps have no order; readers of journals and tests need one.
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let entry = |(name, value): (Text<'a>, Value<'a>)| Ok((cut(name, ID_MAX, cuts), each(value, cuts)?));
    Ok(Value::Map(entries.into_iter().map(entry).collect::<Result<_, Unfit>>()?))
}

/// A contact of an account: the keys of the contract in their order, nothing else.
fn contact<'a>(value: Value<'a>, cuts: &mut u32) -> Result<Value<'a>, Unfit> {
    const ROLES: [&str; 5] = ["champion", "admin", "billing", "exec", "user"];
    let Value::Map(mut entries) = value else { return Err(Unfit("no list of records")) };
    let mut take = |name: &str| {
        let place = entries.iter().position(|(own, _)| own == name)?;
        Some(entries.swap_remove(place).1)
    };
    let mut contact: Vec<(Text<'a>, Value<'a>)> = Vec::with_capacity(5);
    let user = take("user_id").ok_or(Unfit("without user_id"))?;
    contact.push((Cow::Borrowed("user_id"), Value::Text(id(user)?)));
    if let Some(role) = take("role") {
        let role = string(role)?;
        let known = ROLES.iter().find(|own| **own == role).map_or("unknown", |own| own);
        contact.push((Cow::Borrowed("role"), Value::text(known)));
    }
    for name in ["email_ref", "preferred_channel"] {
        if let Some(value) = take(name) {
            contact.push((Cow::Borrowed(name), text(value, cuts)?));
        }
    }
    if let Some(consent) = take("consent") {
        contact.push((Cow::Borrowed("consent"), list(consent, cuts, text)?));
    }
    Ok(Value::Map(contact))
}

#[cfg(test)]
mod tests {
    use super::{Unfit, typed};
    use crate::event::{Field, Timestamp, Value};

    fn of(field: Field, value: Value<'static>) -> (Result<Value<'static>, Unfit>, u32) {
        let mut cuts = 0;
        let typed = typed(field, value, &mut cuts);
        (typed, cuts)
    }

    #[test]
    fn strings_are_cut_at_a_character_and_ids_never() {
        let (service, cuts) = of(Field::Service, Value::text("é".repeat(300)));
        assert_eq!((service.unwrap(), cuts), (Value::text("é".repeat(256)), 1));
        let (odd, _) = of(Field::Service, Value::text(format!("x{}", "é".repeat(300))));
        assert_eq!(odd.unwrap().as_text().unwrap().len(), 511);
        assert_eq!(of(Field::TicketId, Value::text("t".repeat(129))).0, Err(Unfit("longer than 128 bytes")));
        assert_eq!(of(Field::TicketId, Value::text("")).0, Err(Unfit("empty")));
        assert_eq!(of(Field::TicketId, Value::Int(77)).0.unwrap(), Value::text("77"));
    }

    #[test]
    fn other_spellings_are_read() {
        assert_eq!(of(Field::HttpStatus, Value::text("503")).0.unwrap(), Value::Int(503));
        assert_eq!(of(Field::HttpStatus, Value::Double(503.0)).0.unwrap(), Value::Int(503));
        assert!(of(Field::HttpStatus, Value::Double(503.5)).0.is_err());
        assert_eq!(of(Field::Impact, Value::text("huge")).0.unwrap(), Value::text("unknown"));
        let day = of(Field::DueAt, Value::text("2026-01-05")).0.unwrap();
        assert_eq!(day, Value::Time(Timestamp(1_767_571_200_000)));
        assert!(of(Field::DueAt, Value::Int(-1)).0.is_err());
        assert_eq!(of(Field::Services, Value::text("api")).0.unwrap(), Value::List(vec![Value::text("api")]));
    }

    #[test]
    fn lists_have_64_items_and_contacts_their_keys_only() {
        let (services, cuts) = of(Field::Services, Value::List(vec![Value::text("a"); 70]));
        assert!(matches!(services.unwrap(), Value::List(items) if items.len() == 64));
        assert_eq!(cuts, 1);
        let contact = |entries: &[(&'static str, &'static str)]| {
            let entries = entries.iter().map(|(name, value)| ((*name).into(), Value::text(*value))).collect();
            Value::List(vec![Value::Map(entries)])
        };
        let read =
            of(Field::Contacts, contact(&[("phone", "1"), ("role", "boss"), ("user_id", "u1")])).0.unwrap();
        assert_eq!(read, contact(&[("user_id", "u1"), ("role", "unknown")]));
        assert!(of(Field::Contacts, contact(&[("role", "exec")])).0.is_err());
    }
}
