//! Times as people of an account read them.

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;

use crate::event::{Field, Timestamp, Value, date_text};
use crate::rules::program::ZoneSource;

/// The zone of that IANA name; UTC where it is missing or unknown.
pub(super) fn zone(name: Option<&str>) -> TimeZone {
    name.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
}

/// The name of the zone that a rule's local days are cut in.
pub(super) fn zone_name<'a>(
    source: &'a ZoneSource,
    profile: Option<&'a [(Field, Value<'static>)]>,
    user: Option<&'a [(Field, Value<'static>)]>,
) -> Option<&'a str> {
    let own = |fields: Option<&'a [(Field, Value<'static>)]>| {
        super::scope::field(fields, Field::Timezone).and_then(Value::as_text)
    };
    match source {
        ZoneSource::Named(name) => Some(name),
        ZoneSource::Account => own(profile),
        ZoneSource::User => own(user).or_else(|| own(profile)),
    }
}

/// `YYYY-MM-DD HH:MM` in a zone.
pub(super) fn local_minute(time: Timestamp, zone: &TimeZone) -> String {
    match Instant::from_millisecond(time.0) {
        Ok(instant) => instant.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => time.to_string(),
    }
}

/// An ISO 8601 interval with exclusive end of a window `(from, to]`: two dates where both ends are local midnights.
pub(super) fn interval((from, to): (Timestamp, Timestamp), zone: &TimeZone) -> String {
    for shift in [0, 1] {
        let ends = [from.plus(shift), to.plus(shift)].map(|end| midnight(end, zone));
        if let [Some(first), Some(last)] = ends {
            return format!("{first}/{last}");
        }
    }
    format!("{}/{}", from.plus(1), to.plus(1))
}

/// The local date that begins at this time.
fn midnight(time: Timestamp, zone: &TimeZone) -> Option<String> {
    let local = Instant::from_millisecond(time.0).ok()?.to_zoned(zone.clone());
    (local.start_of_day().ok()? == local)
        .then(|| local.date().since(jiff::civil::Date::constant(1970, 1, 1)).ok())
        .flatten()
        .map(|since| date_text(since.get_days()))
}

#[cfg(test)]
mod tests {
    use super::{interval, local_minute, zone};
    use crate::event::Timestamp;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn times_are_local_to_the_account() {
        let time = at("2026-07-01T22:30:59Z");
        assert_eq!(local_minute(time, &zone(Some("Europe/Berlin"))), "2026-07-02 00:30");
        assert_eq!(local_minute(time, &zone(None)), "2026-07-01 22:30");
        assert_eq!(local_minute(time, &zone(Some("Mars/Olympus"))), "2026-07-01 22:30");
    }

    #[test]
    fn windows_of_whole_days_are_dates() {
        let berlin = zone(Some("Europe/Berlin"));
        let days = (at("2026-10-20T22:00:00Z"), at("2026-11-19T23:00:00Z"));
        assert_eq!(interval(days, &berlin), "2026-10-21/2026-11-20");
        let inclusive = (at("2026-10-20T21:59:59.999Z"), at("2026-11-19T22:59:59.999Z"));
        assert_eq!(interval(inclusive, &berlin), "2026-10-21/2026-11-20");
        let hour = (at("2026-10-20T10:00:00Z"), at("2026-10-20T11:00:00Z"));
        assert_eq!(interval(hour, &berlin), "2026-10-20T10:00:00.001Z/2026-10-20T11:00:00.001Z");
    }
}
