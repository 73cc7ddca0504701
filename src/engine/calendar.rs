//! Local days, hours and texts of IANA time zones, from the database that is compiled in: the same everywhere.
//!
//! The engine owns one [`Calendar`]. It hands out a [`ZoneIx`] per name, cheap to copy and good for the calendar's life
//! only, and remembers per zone the last stretch of constant offset it looked at, so nearby times cost a comparison.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::event::Timestamp;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// First and last time that has a calendar here; others are taken for these. Inside what the zone database covers.
const CALENDAR: (i64, i64) = (-62_135_596_800_000, 253_402_000_000_000);

/// A zone of a [`Calendar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ZoneIx(u16);

impl ZoneIx {
    /// UTC, in every calendar.
    pub const UTC: Self = Self(0);
}

/// A stretch of time with one offset: `from <= t < until`.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: i64,
    until: i64,
    offset_ms: i64,
}

#[derive(Debug)]
struct Zone {
    tz: TimeZone,
    stretch: Stretch,
}

/// The zones in use.
#[derive(Debug)]
pub struct Calendar {
    zones: Vec<Zone>,
    names: BTreeMap<Box<str>, ZoneIx>,
    database: TimeZoneDatabase,
}

/// A local hour: at most as long as the clocks keep their offset, so that a repeated hour is two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalHour {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// Which hour of the week it is: 0 begins on Monday, at midnight.
    pub of_week: u8,
}

impl Default for Calendar {
    fn default() -> Self {
        Self::new()
    }
}

impl Calendar {
    /// A calendar that knows UTC.
    #[must_use]
    pub fn new() -> Self {
        let utc =
            Zone { tz: TimeZone::UTC, stretch: Stretch { from: i64::MIN, until: i64::MAX, offset_ms: 0 } };
        Self {
            zones: vec![utc],
            names: BTreeMap::from([("UTC".into(), ZoneIx::UTC)]),
            database: TimeZoneDatabase::bundled(),
        }
    }

    /// The zone with this IANA name, `None` if there is none.
    pub fn named(&mut self, name: &str) -> Option<ZoneIx> {
        if let Some(known) = self.names.get(name) {
            return Some(*known);
        }
        let tz = self.database.get(name).ok()?;
        let place = ZoneIx(u16::try_from(self.zones.len()).ok()?);
        self.zones.push(Zone { tz, stretch: Stretch { from: 0, until: 0, offset_ms: 0 } });
        self.names.insert(name.into(), place);
        Some(place)
    }

    /// The zone with this IANA name; UTC if there is none.
    pub fn zone(&mut self, name: &str) -> ZoneIx {
        self.named(name).unwrap_or(ZoneIx::UTC)
    }

    /// Milliseconds to add to UTC for the local time at `t`.
    pub fn offset_ms(&mut self, zone: ZoneIx, t: Timestamp) -> i64 {
        let Some(zone) = self.zones.get_mut(usize::from(zone.0)) else { return 0 };
        let at = t.0.clamp(CALENDAR.0, CALENDAR.1);
        if at < zone.stretch.from || at >= zone.stretch.until {
            zone.stretch = stretch_at(&zone.tz, at);
        }
        zone.stretch.offset_ms
    }

    /// The end of the stretch of constant offset that `t` lies in; far away if the clocks never change again.
    pub fn constant_until(&mut self, zone: ZoneIx, t: Timestamp) -> Timestamp {
        self.offset_ms(zone, t);
        self.zones.get(usize::from(zone.0)).map_or(Timestamp::MAX, |zone| Timestamp(zone.stretch.until))
    }

    fn local_ms(&mut self, zone: ZoneIx, t: Timestamp) -> i64 {
        t.0.clamp(CALENDAR.0, CALENDAR.1) + self.offset_ms(zone, t)
    }

    /// The local day of `t`, in days since 1970-01-01.
    #[expect(clippy::cast_possible_truncation, reason = "the years 1 to 9999 have fewer days")]
    pub fn day_of(&mut self, zone: ZoneIx, t: Timestamp) -> i32 {
        self.local_ms(zone, t).div_euclid(DAY_MS) as i32
    }

    /// The local hour of `t`, 0 to 23.
    #[expect(clippy::cast_possible_truncation, reason = "0 to 23")]
    pub fn hour_of(&mut self, zone: ZoneIx, t: Timestamp) -> u8 {
        (self.local_ms(zone, t).rem_euclid(DAY_MS) / HOUR_MS) as u8
    }

    /// The local hour in which `t` lies.
    #[expect(clippy::cast_possible_truncation, reason = "0 to 23, and the years 1 to 9999 have fewer days")]
    pub fn hour_at(&mut self, zone: ZoneIx, t: Timestamp) -> LocalHour {
        let local = self.local_ms(zone, t);
        let offset = self.offset_ms(zone, t);
        let stretch = self.zones.get(usize::from(zone.0)).map(|zone| zone.stretch);
        let begin = local.div_euclid(HOUR_MS) * HOUR_MS;
        let day = weekday(local.div_euclid(DAY_MS) as i32);
        let (from, until) = stretch.map_or((i64::MIN, i64::MAX), |stretch| (stretch.from, stretch.until));
        LocalHour {
            start: Timestamp((begin - offset).max(from)),
            end: Timestamp((begin + HOUR_MS - offset).min(until)),
            of_week: day * 24 + (begin.rem_euclid(DAY_MS) / HOUR_MS) as u8,
        }
    }

    /// The first instant of a local day: midnight, or the end of the gap where the clocks skip midnight. Where they
    /// repeat it, the earlier one.
    pub fn midnight(&mut self, zone: ZoneIx, day: i32) -> Timestamp {
        let local = i64::from(day) * DAY_MS;
        // Offsets stay below 26 hours, so the two offsets that can hold at midnight are those a little before and after.
        let early = local - self.offset_ms(zone, Timestamp(local - 26 * HOUR_MS));
        let late = local - self.offset_ms(zone, Timestamp(local + 26 * HOUR_MS));
        let fits = |own: &mut Self, at: i64| at + own.offset_ms(zone, Timestamp(at)) == local;
        let found = [early.min(late), early.max(late)].into_iter().find(|at| fits(self, *at));
        found.map_or_else(|| self.midnight_between(zone, day), Timestamp)
    }

    /// Midnight where the offsets around it say nothing: skipped, or two transitions close together.
    fn midnight_between(&mut self, zone: ZoneIx, day: i32) -> Timestamp {
        let local = i64::from(day) * DAY_MS;
        let (mut before, mut after) = (local - 27 * HOUR_MS, local + 27 * HOUR_MS);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.day_of(zone, Timestamp(middle)) >= day {
                after = middle;
            } else {
                before = middle;
            }
        }
        Timestamp(after)
    }

    /// `YYYY-MM-DD HH:MM` in local time.
    pub fn local_text(&mut self, zone: ZoneIx, t: Timestamp) -> String {
        let local = self.local_ms(zone, t);
        #[expect(clippy::cast_possible_truncation, reason = "clamped by local_ms")]
        let day = local.div_euclid(DAY_MS) as i32;
        let minute = local.rem_euclid(DAY_MS) / MINUTE_MS;
        format!("{} {:02}:{:02}", crate::event::date_text(day), minute / 60, minute % 60)
    }
}

fn stretch_at(tz: &TimeZone, at: i64) -> Stretch {
    let Ok(time) = jiff::Timestamp::from_millisecond(at) else {
        return Stretch { from: at, until: at, offset_ms: 0 };
    };
    // A transition carries its instant; `preceding` leaves out one at the very instant, hence the millisecond.
    let next_ms = time.checked_add(jiff::SignedDuration::from_millis(1)).unwrap_or(time);
    let from = tz.preceding(next_ms).next().map_or(i64::MIN, |change| change.timestamp().as_millisecond());
    let until = tz.following(time).next().map_or(i64::MAX, |change| change.timestamp().as_millisecond());
    Stretch { from, until, offset_ms: i64::from(tz.to_offset(time).seconds()) * 1000 }
}

/// Day of the ISO week of a day since the epoch: 0 is Monday.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "0 to 6")]
pub const fn weekday(day: i32) -> u8 {
    // 1970-01-01 was a Thursday.
    (day as i64 + 3).rem_euclid(7) as u8
}

/// The ISO week of a day since the epoch: its year and number.
#[must_use]
pub fn iso_week(day: i32) -> (i16, u8) {
    let date = civil(day).iso_week_date();
    (date.year(), date.week().unsigned_abs())
}

/// The Monday that begins the ISO week of a day since the epoch.
#[must_use]
pub const fn week_start(day: i32) -> i32 {
    day - weekday(day) as i32
}

fn civil(day: i32) -> Date {
    let ms = (i64::from(day) * DAY_MS).clamp(CALENDAR.0, CALENDAR.1);
    jiff::Timestamp::from_millisecond(ms)
        .map_or(DateTime::MIN, |time| jiff::tz::Offset::UTC.to_datetime(time))
        .date()
}

#[cfg(test)]
mod tests {
    use super::{Calendar, ZoneIx, iso_week, week_start, weekday};
    use crate::event::{Timestamp, parse_date};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn day(text: &str) -> i32 {
        parse_date(text).unwrap()
    }

    #[test]
    fn unknown_zones_are_utc() {
        let mut calendar = Calendar::new();
        assert_eq!(calendar.named("Mars/Olympus"), None);
        assert_eq!(calendar.zone("Mars/Olympus"), ZoneIx::UTC);
        let paris = calendar.zone("Europe/Paris");
        assert_ne!(paris, ZoneIx::UTC);
        assert_eq!(calendar.zone("Europe/Paris"), paris);
    }

    #[test]
    fn days_follow_daylight_saving() {
        let mut calendar = Calendar::new();
        let berlin = calendar.zone("Europe/Berlin");
        assert_eq!(calendar.day_of(berlin, at("2026-03-28T22:59:59.999Z")), day("2026-03-28"));
        assert_eq!(calendar.day_of(berlin, at("2026-03-28T23:00:00Z")), day("2026-03-29"));
        assert_eq!(calendar.day_of(berlin, at("2026-03-29T22:00:00Z")), day("2026-03-30"));
        let spring =
            calendar.midnight(berlin, day("2026-03-30")).since(calendar.midnight(berlin, day("2026-03-29")));
        assert_eq!(spring, 23 * 3_600_000);
        let autumn =
            calendar.midnight(berlin, day("2026-10-26")).since(calendar.midnight(berlin, day("2026-10-25")));
        assert_eq!(autumn, 25 * 3_600_000);
        assert_eq!(calendar.hour_of(berlin, at("2026-03-29T01:00:00Z")), 3);
        assert_eq!(calendar.hour_of(berlin, at("2026-03-29T00:59:59.999Z")), 1);
    }

    #[test]
    fn a_skipped_midnight_starts_at_the_end_of_the_gap_and_a_repeated_one_at_the_first() {
        let mut calendar = Calendar::new();
        let beirut = calendar.zone("Asia/Beirut");
        let start = calendar.midnight(beirut, day("2022-03-27"));
        assert_eq!(start, at("2022-03-26T22:00:00Z"));
        assert_eq!(calendar.local_text(beirut, start), "2022-03-27 01:00");
        let havana = calendar.zone("America/Havana");
        assert_eq!(calendar.midnight(havana, day("2026-11-01")), at("2026-11-01T04:00:00Z"));
        let apia = calendar.zone("Pacific/Apia");
        let skipped = calendar.midnight(apia, day("2011-12-30"));
        assert_eq!(skipped, calendar.midnight(apia, day("2011-12-31")));
    }

    #[test]
    fn half_hours_leap_days_and_times_before_the_epoch() {
        let mut calendar = Calendar::new();
        let kolkata = calendar.zone("Asia/Kolkata");
        assert_eq!(calendar.day_of(kolkata, at("2024-02-28T18:30:00Z")), day("2024-02-29"));
        assert_eq!(calendar.midnight(kolkata, day("2024-02-29")), at("2024-02-28T18:30:00Z"));
        assert_eq!(calendar.local_text(kolkata, at("2024-02-29T00:00:00Z")), "2024-02-29 05:30");
        let york = calendar.zone("America/New_York");
        assert_eq!(calendar.day_of(york, at("1969-12-31T12:00:00Z")), -1);
        assert_eq!(calendar.midnight(york, -1), at("1969-12-31T05:00:00Z"));
        assert_eq!(
            calendar.day_of(york, Timestamp::MIN),
            calendar.day_of(york, Timestamp(-62_135_596_800_000))
        );
        assert!(calendar.day_of(york, Timestamp::MAX) > day("9000-01-01"));
    }

    #[test]
    fn hours_end_where_clocks_change() {
        let mut calendar = Calendar::new();
        let mut hours = |zone: &str, from: &str, count: usize| {
            let zone = calendar.zone(zone);
            let mut at = at(from);
            let mut hours = Vec::new();
            for _ in 0..count {
                let hour = calendar.hour_at(zone, at);
                assert_eq!(calendar.hour_at(zone, hour.end.plus(-1)), hour);
                hours.push((hour.end.since(hour.start) / 60_000, hour.of_week % 24));
                at = hour.end;
            }
            hours
        };
        // Sundays: 2:00 is skipped, 2:00 is repeated, and half an hour is.
        assert_eq!(hours("Europe/Berlin", "2026-03-29T00:10:00Z", 3), [(60, 1), (60, 3), (60, 4)]);
        assert_eq!(hours("Europe/Berlin", "2026-10-25T00:00:00Z", 3), [(60, 2), (60, 2), (60, 3)]);
        let howe = hours("Australia/Lord_Howe", "2026-04-04T14:00:00Z", 3);
        assert_eq!(howe, [(60, 1), (30, 1), (60, 2)]);
        assert_eq!(hours("Asia/Kathmandu", "2026-01-05T00:20:00Z", 2), [(60, 6), (60, 7)]);
        let utc = calendar.hour_at(ZoneIx::UTC, at("2026-01-05T13:59:59Z"));
        assert_eq!((utc.start, utc.of_week), (at("2026-01-05T13:00:00Z"), 13));
    }

    #[test]
    fn weeks_begin_on_monday() {
        assert_eq!(weekday(day("2026-01-05")), 0);
        assert_eq!(weekday(day("1969-12-28")), 6);
        assert_eq!(week_start(day("2026-01-04")), day("2025-12-29"));
        assert_eq!(iso_week(day("2025-12-29")), (2026, 1));
        assert_eq!(iso_week(day("2027-01-03")), (2026, 53));
    }

    #[test]
    fn the_remembered_stretch_never_changes_an_answer() {
        let mut used = Calendar::new();
        let names =
            ["Europe/Berlin", "America/Havana", "Asia/Beirut", "Africa/Casablanca", "Australia/Lord_Howe"];
        for step in 0..4_000_i64 {
            let t = Timestamp((step * 7_919 % 4_000 - 1_000) * 11 * 3_600_000 + 1_600_000_000_000);
            for name in names {
                let mut fresh = Calendar::new();
                let (zone, other) = (used.zone(name), fresh.zone(name));
                let found = used.day_of(zone, t);
                assert_eq!(found, fresh.day_of(other, t));
                let start = used.midnight(zone, found);
                assert!(start <= t && used.day_of(zone, start) == found);
                assert_eq!(used.day_of(zone, start.plus(-1)), found - 1);
            }
        }
    }
}
