//! Business time: when an account's people can be reached, and how long so many business days last.
//!
//! Hours are read off local clocks. What a change of the clocks skips is never open; what it repeats is open twice.

use std::borrow::Cow;

use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{Contact, Hours, Lull};

use super::calendar::{Calendar, ZoneIx, weekday};
use super::matches::find;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Stretches that are looked at before a time counts as never: more than ten years of ordinary weeks.
const STRETCHES_MAX: usize = 20_000;

/// Whose open hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Business<'a> {
    zone: ZoneIx,
    hours: Cow<'a, Hours>,
    /// Days since the epoch, in order.
    holidays: Vec<i32>,
    lulls: Vec<Lull>,
}

impl<'a> Business<'a> {
    /// The business hours of an account: its profile's, else the rule's, without holidays.
    #[must_use]
    pub fn of(contact: &'a Contact, profile: Option<&[(Field, Value<'static>)]>, zone: ZoneIx) -> Self {
        let stated = find(profile, Field::BusinessHours).and_then(Value::as_text).and_then(Hours::parse);
        let days = items(profile, Field::Holidays).iter().filter_map(|day| match day {
            Value::Date(day) => Some(*day),
            _ => None,
        });
        let mut holidays: Vec<i32> = days.collect();
        holidays.sort_unstable();
        holidays.dedup();
        Self {
            zone,
            hours: stated.map_or(Cow::Borrowed(&contact.hours), Cow::Owned),
            holidays,
            lulls: Vec::new(),
        }
    }

    /// The same without the account's windows of low engagement: the hours in which customers may be contacted.
    #[must_use]
    pub fn for_contact(mut self, profile: Option<&[(Field, Value<'static>)]>) -> Self {
        let windows = items(profile, Field::LowEngagementWindows).iter();
        self.lulls = windows.filter_map(Value::as_text).filter_map(Lull::parse).collect();
        self
    }

    /// Whether it is open at `t`, and until when that stays so at least.
    fn state(&self, calendar: &mut Calendar, t: Timestamp) -> (bool, Timestamp) {
        let offset = calendar.offset_ms(self.zone, t);
        let local = t.0 + offset;
        let day = local.div_euclid(DAY_MS);
        let minute = u16::try_from(local.rem_euclid(DAY_MS) / MINUTE_MS).unwrap_or(0);
        let date = i32::try_from(day).unwrap_or(0);
        let weekday = weekday(date);
        let mut open = self.hours.holds(weekday, minute) && !self.holidays.contains(&date);
        let mut edge = self.hours.edge(minute);
        for lull in &self.lulls {
            match lull {
                Lull::Weekly(hours) => {
                    open &= !hours.holds(weekday, minute);
                    edge = edge.min(hours.edge(minute));
                }
                Lull::Days(first, last) => open &= !(*first..=*last).contains(&date),
            }
        }
        let until = Timestamp(day * DAY_MS + i64::from(edge) * MINUTE_MS - offset);
        (open, until.min(calendar.constant_until(self.zone, t)))
    }

    /// The first open instant at or after `t`; `None`: it does not open in years.
    #[must_use]
    pub fn next_open(&self, calendar: &mut Calendar, t: Timestamp) -> Option<Timestamp> {
        let mut at = t;
        for _ in 0..STRETCHES_MAX {
            let (open, until) = self.state(calendar, at);
            if open {
                return Some(at);
            }
            at = until;
        }
        None
    }

    /// When so many milliseconds of open time have passed since `from`; `None`: not in years.
    #[must_use]
    pub fn after(&self, calendar: &mut Calendar, from: Timestamp, open_ms: i64) -> Option<Timestamp> {
        let (mut at, mut left) = (from, open_ms);
        for _ in 0..STRETCHES_MAX {
            let (open, until) = self.state(calendar, at);
            if open {
                let here = until.since(at);
                if left <= here {
                    return Some(at.plus(left));
                }
                left -= here;
            }
            at = until;
        }
        None
    }

    /// When so many business days have passed since `from`: each is an open day's length of open time.
    #[must_use]
    pub fn days_after(&self, calendar: &mut Calendar, from: Timestamp, days: u16) -> Option<Timestamp> {
        self.after(calendar, from, i64::from(days) * self.hours.day_ms())
    }

    /// Whether a local day is a business day: its weekday has hours, and it is no holiday.
    fn is_day(&self, day: i32) -> bool {
        self.hours.has(weekday(day)) && self.holidays.binary_search(&day).is_err()
    }

    /// How many of the local days `from..to` are business days.
    #[must_use]
    pub fn days_in(&self, from: i32, to: i32) -> i32 {
        let weeks = (to - from).max(0) / 7;
        let in_week = (0..7).filter(|day| self.hours.has(*day)).count();
        let rest = (from + 7 * weeks..to).filter(|day| self.hours.has(weekday(*day))).count();
        let off =
            self.holidays.iter().filter(|day| (from..to).contains(day) && self.hours.has(weekday(**day)));
        let whole = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        weeks * whole(in_week) + whole(rest) - whole(off.count())
    }

    /// The first local day before which so many business days, `from` or later, are complete.
    #[must_use]
    pub fn day_after(&self, from: i32, days: i32) -> i32 {
        let (mut day, mut left) = (from, days);
        while left > 0 {
            left -= i32::from(self.is_day(day));
            day += 1;
        }
        day
    }
}

fn items<'p>(profile: Option<&'p [(Field, Value<'static>)]>, field: Field) -> &'p [Value<'static>] {
    match find(profile, field) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
