use proptest::prelude::*;

use super::Business;
use crate::engine::calendar::{Calendar, weekday};
use crate::event::{Field, Timestamp, Value, parse_date};
use crate::rules::program::{Contact, Hours, Lull, Policy};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn contact(hours: &str) -> Contact {
    Contact { hours: Hours::parse(hours).unwrap(), ..Policy::built_in().contact }
}

/// A span of hours as the oracle knows it: weekdays, first and last minute.
#[derive(Debug, Clone)]
struct Plain(Vec<usize>, u32, u32);

const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Plain {
    fn text(&self) -> String {
        let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let all = |day: &usize| format!("{} {}-{}", NAMES[*day], time(self.1), time(self.2));
        self.0.iter().map(all).collect::<Vec<_>>().join(", ")
    }

    fn holds(&self, day: usize, minute: u32) -> bool {
        self.0.contains(&day) && self.1 <= minute && minute < self.2
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let days = proptest::sample::subsequence((0..7).collect::<Vec<_>>(), 1..=7);
    (days, 0..1439_u32, 1..600_u32).prop_map(|(days, from, long)| Plain(days, from, (from + long).min(1440)))
}

/// What the oracle knows of an account.
#[derive(Debug, Clone)]
struct Account {
    zone: &'static str,
    hours: Plain,
    lull: Plain,
    holiday: i32,
    away: (i32, i32),
    start: Timestamp,
}

fn account() -> impl Strategy<Value = Account> {
    // Each zone with a day near a change of its clocks.
    let places = proptest::sample::select(vec![
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2026-11-01"),
        ("Asia/Kolkata", "2024-02-28"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("America/Havana", "2026-11-01"),
        ("Asia/Beirut", "2022-03-27"),
        ("Pacific/Apia", "2011-12-29"),
        ("UTC", "2026-01-01"),
    ]);
    (places, plain(), plain(), (0..4_i32, 0..4_i32, 0..2_i32), 0..4_000_i64).prop_map(
        |((zone, near), hours, lull, (holiday, away, long), ahead)| {
            let day = parse_date(near).unwrap();
            Account {
                zone,
                hours,
                lull,
                holiday: day + holiday - 1,
                away: (day + away, day + away + long),
                start: Timestamp(i64::from(day) * 86_400_000 - ahead * 60_000),
            }
        },
    )
}

impl Account {
    /// Whether a minute is open, read off the text of its local time.
    fn is_open(&self, calendar: &mut Calendar, t: Timestamp) -> bool {
        let zone = calendar.zone(self.zone);
        let text = calendar.local_text(zone, t);
        let (date, clock) = text.split_once(' ').unwrap();
        let day = parse_date(date).unwrap();
        let (hour, minute) = clock.split_once(':').unwrap();
        let minute = hour.parse::<u32>().unwrap() * 60 + minute.parse::<u32>().unwrap();
        let week = usize::from(weekday(day));
        self.hours.holds(week, minute)
            && !self.lull.holds(week, minute)
            && day != self.holiday
            && (day < self.away.0 || day > self.away.1)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn business_time_is_what_a_look_at_every_minute_says(
        account in account(),
        wanted in 1..900_i64,
    ) {
        let mut calendar = Calendar::new();
        let own = contact(&account.hours.text());
        let zone = calendar.zone(account.zone);
        let mut business = Business::of(&own, None, zone);
        business.holidays = vec![account.holiday];
        business.lulls = vec![
            Lull::parse(&account.lull.text()).unwrap(),
            Lull::Days(account.away.0, account.away.1),
        ];
        let minutes = 6 * 1440;
        let open: Vec<bool> =
            (0..minutes).map(|n| account.is_open(&mut calendar, account.start.plus(n * 60_000))).collect();
        let first = open.iter().position(|open| *open).and_then(|n| i64::try_from(n).ok());
        let found = business.next_open(&mut calendar, account.start);
        match first {
            Some(n) => prop_assert_eq!(found, Some(account.start.plus(n * 60_000))),
            None => prop_assert!(found.is_none_or(|found| found >= account.start.plus(minutes * 60_000))),
        }
        let mut passed = 0;
        let end = (0..minutes).zip(&open).find(|(_, open)| {
            passed += i64::from(**open);
            passed == wanted
        });
        let found = business.after(&mut calendar, account.start, wanted * 60_000);
        match end {
            Some((n, _)) => prop_assert_eq!(found, Some(account.start.plus((n + 1) * 60_000))),
            None => prop_assert!(found.is_none_or(|found| found >= account.start.plus(minutes * 60_000))),
        }
    }
}

#[test]
fn friday_evening_ends_on_monday_morning_where_the_account_is() {
    let mut calendar = Calendar::new();
    let own = contact("Mon-Fri 09:00-17:00");
    let york = calendar.zone("America/New_York");
    let business = Business::of(&own, None, york);
    assert_eq!(
        business.next_open(&mut calendar, at("2026-01-09T23:00:00Z")),
        Some(at("2026-01-12T14:00:00Z"))
    );
    let open = at("2026-01-09T15:00:00.123Z");
    assert_eq!(business.next_open(&mut calendar, open), Some(open));
    // At closing time it is closed.
    let closing = at("2026-01-09T22:00:00Z");
    assert_eq!(business.next_open(&mut calendar, closing), Some(at("2026-01-12T14:00:00Z")));
}

#[test]
fn a_business_day_is_a_day_of_open_hours() {
    let mut calendar = Calendar::new();
    let own = contact("Mon-Fri 09:00-17:00");
    let berlin = calendar.zone("Europe/Berlin");
    let business = Business::of(&own, None, berlin);
    let mut days = |from: &str, days| business.days_after(&mut calendar, at(from), days).unwrap();
    // Ten past midnight on a Friday: until the office closes.
    assert_eq!(days("2026-11-19T23:10:04.412Z", 1), at("2026-11-20T16:00:00Z"));
    // Friday at three: two hours left, the rest on Monday.
    assert_eq!(days("2026-11-20T14:00:00Z", 1), at("2026-11-23T14:00:00Z"));
    // Over the night in which the clocks change.
    assert_eq!(days("2026-03-27T14:00:00Z", 2), at("2026-03-31T13:00:00Z"));
}

#[test]
fn the_profile_says_more_than_the_rule() {
    let mut calendar = Calendar::new();
    let own = contact("Mon-Fri 09:00-17:00");
    let utc = calendar.zone("UTC");
    let profile = [
        (Field::BusinessHours, Value::text("Mon-Sun 06:00-08:00")),
        (Field::Holidays, Value::List(vec![Value::Date(parse_date("2026-01-05").unwrap())])),
        (
            Field::LowEngagementWindows,
            Value::List(vec![Value::text("2026-01-06/2026-01-07"), Value::text("?")]),
        ),
    ];
    let business = Business::of(&own, Some(&profile), utc);
    let monday = at("2026-01-05T00:00:00Z");
    assert_eq!(business.next_open(&mut calendar, monday), Some(at("2026-01-06T06:00:00Z")));
    let contact = business.for_contact(Some(&profile));
    assert_eq!(contact.next_open(&mut calendar, monday), Some(at("2026-01-08T06:00:00Z")));
}

#[test]
fn who_never_opens_is_never_reached() {
    let mut calendar = Calendar::new();
    let own = contact("Mon 09:00-17:00");
    let utc = calendar.zone("UTC");
    let mut business = Business::of(&own, None, utc);
    business.lulls = vec![Lull::parse("Mon-Sun 00:00-24:00").unwrap()];
    assert_eq!(business.next_open(&mut calendar, at("2026-01-05T00:00:00Z")), None);
    assert_eq!(business.after(&mut calendar, at("2026-01-05T00:00:00Z"), 1), None);
}

proptest! {
    #[test]
    fn business_days_are_counted_one_by_one(
        (hours, off) in (plain(), proptest::collection::vec(0..60_i32, 0..12)),
        (from, long, wanted) in (-10..40_i32, 0..40_i32, 0..20_i32),
    ) {
        let own = contact(&hours.text());
        let monday = parse_date("2026-01-05").unwrap();
        let off: Vec<i32> = off.into_iter().map(|day| monday + day).collect();
        let days = Value::List(off.iter().copied().map(Value::Date).collect());
        let profile = [(Field::Holidays, days)];
        let business = Business::of(&own, Some(&profile), Calendar::new().zone("UTC"));
        let is_open = |day: &i32| hours.0.contains(&usize::from(weekday(*day))) && !off.contains(day);
        let count = |from: i32, to: i32| (from..to).filter(is_open).count();
        let from = monday + from;
        prop_assert_eq!(usize::try_from(business.days_in(from, from + long)).unwrap(), count(from, from + long));
        let end = business.day_after(from, wanted);
        prop_assert_eq!(count(from, end), usize::try_from(wanted).unwrap());
        prop_assert!(wanted == 0 || is_open(&(end - 1)));
    }
}
