//! Times as people of an account read them.

use crate::engine::calendar::{Calendar, ZoneIx};
use crate::event::{Field, Timestamp, Value, date_text};
use crate::rules::program::ZoneSource;

/// A zone by its IANA name; UTC where the name is missing or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalZone<'a>(Option<&'a str>);

impl<'a> LocalZone<'a> {
    /// The zone of that name.
    #[must_use]
    pub const fn named(name: Option<&'a str>) -> Self {
        Self(name)
    }

    /// Alerts are rare: each text opens the zone anew instead of carrying the engine's calendar through every template.
    fn open(self) -> (Calendar, ZoneIx) {
        let mut calendar = Calendar::new();
        let zone = self.0.map_or(ZoneIx::UTC, |name| calendar.zone(name));
        (calendar, zone)
    }
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
pub(super) fn local_minute(time: Timestamp, zone: LocalZone<'_>) -> String {
    let (mut calendar, zone) = zone.open();
    calendar.local_text(zone, time)
}

/// An ISO 8601 interval with exclusive end of a window `(from, to]`: two dates where both ends are local midnights.
pub(super) fn interval((from, to): (Timestamp, Timestamp), zone: LocalZone<'_>) -> String {
    let (mut calendar, zone) = zone.open();
    let mut day_begun = |time: Timestamp| {
        let day = calendar.day_of(zone, time);
        (calendar.midnight(zone, day) == time).then(|| date_text(day))
    };
    for shift in [0, 1] {
        if let (Some(first), Some(last)) = (day_begun(from.plus(shift)), day_begun(to.plus(shift))) {
            return format!("{first}/{last}");
        }
    }
    format!("{}/{}", from.plus(1), to.plus(1))
}

#[cfg(test)]
mod tests {
    use super::{LocalZone, interval, local_minute};
    use crate::event::Timestamp;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn times_are_local_to_the_account() {
        let time = at("2026-07-01T22:30:59Z");
        assert_eq!(local_minute(time, LocalZone::named(Some("Europe/Berlin"))), "2026-07-02 00:30");
        assert_eq!(local_minute(time, LocalZone::named(None)), "2026-07-01 22:30");
        assert_eq!(local_minute(time, LocalZone::named(Some("Mars/Olympus"))), "2026-07-01 22:30");
    }

    #[test]
    fn windows_of_whole_days_are_dates() {
        let berlin = LocalZone::named(Some("Europe/Berlin"));
        let days = (at("2026-10-20T22:00:00Z"), at("2026-11-19T23:00:00Z"));
        assert_eq!(interval(days, berlin), "2026-10-21/2026-11-20");
        let inclusive = (at("2026-10-20T21:59:59.999Z"), at("2026-11-19T22:59:59.999Z"));
        assert_eq!(interval(inclusive, berlin), "2026-10-21/2026-11-20");
        let hour = (at("2026-10-20T10:00:00Z"), at("2026-10-20T11:00:00Z"));
        assert_eq!(interval(hour, berlin), "2026-10-20T10:00:00.001Z/2026-10-20T11:00:00.001Z");
    }
}
