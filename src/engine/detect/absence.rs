//! `absence`: no match for that long.

use crate::engine::alert::{Observed, Reason, Unit};
use crate::engine::business::Business;
use crate::engine::calendar::ZoneIx;
use crate::engine::firing::ConditionState;
use crate::engine::matches::find;
use crate::engine::number::Exact;
use crate::event::{Timestamp, Value};
use crate::rules::program::{Condition, CountAs, Detector, Rule, Rung, SeriesIx};

use super::{BLANK, Judged, Losses, View, rung};

const DAY_MS: i64 = 86_400_000;

/// The parts of an absence.
fn parts(condition: &Condition) -> (&[Rung], CountAs, Option<crate::event::Field>) {
    match &condition.detector {
        Detector::Absence { rungs, count_as, arm, .. } => (rungs, *count_as, *arm),
        _ => (&[], CountAs::Elapsed, None),
    }
}

/// Last match and the time from which it counts; `None` while nothing is awaited.
fn base(
    view: &View<'_>,
    condition: &Condition,
    series: SeriesIx,
    state: ConditionState,
) -> Option<(Option<Timestamp>, Timestamp)> {
    let (shape, counted) = view.series(series);
    let last = counted.and_then(crate::engine::series::SeriesState::newest);
    if state.anchor.is_some_and(|until| last.is_none_or(|last| last <= until)) {
        return None;
    }
    let began = view.ages.get(&shape.key).map_or(Timestamp::MIN, |age| age.began);
    let armed = parts(condition).2.and_then(|field| match find(view.profile, field) {
        Some(Value::Time(time)) => Some((*time).max(began)),
        Some(Value::Date(day)) => Some(Timestamp(i64::from(*day) * DAY_MS).max(began)),
        _ => None,
    });
    Some((last, last.max(armed)?))
}

/// The local days that a rule counts: not those of which too much was lost.
struct Days<'a> {
    zone: ZoneIx,
    /// Only these.
    business: Option<Business<'a>>,
    losses: &'a Losses<'a>,
}

impl<'a> Days<'a> {
    fn of(view: &mut View<'_>, rule: &'a Rule, (count_as, losses): (CountAs, &'a Losses<'a>)) -> Self {
        let zone = view.zone(&rule.zone);
        let business = match count_as {
            CountAs::BusinessDays => Some(Business::of(&rule.policy.contact, view.profile, zone)),
            CountAs::Elapsed | CountAs::CalendarDays => None,
        };
        Self { zone, business, losses }
    }

    /// How many that would count lie from one day up to another, which is not one of them.
    fn count(&self, first: i32, end: i32) -> i32 {
        match &self.business {
            Some(business) => business.days_in(first, end),
            None => (end - first).max(0),
        }
    }

    /// How many of those were lost, as this says of the bounds of a day.
    fn lost(
        &self,
        view: &mut View<'_>,
        (first, end): (i32, i32),
        tells: fn(&Losses<'a>, (Timestamp, Timestamp)) -> bool,
    ) -> i32 {
        if self.losses.0.is_empty() {
            return 0;
        }
        let days = (first..end).filter(|day| {
            let bounds = [*day, day.saturating_add(1)].map(|day| view.calendar.midnight(self.zone, day));
            tells(self.losses, (bounds[0], bounds[1])) && self.count(*day, day.saturating_add(1)) > 0
        });
        i32::try_from(days.count()).unwrap_or(i32::MAX)
    }

    /// How many lie completely between two times.
    fn between(&self, view: &mut View<'_>, from: Timestamp, to: Timestamp) -> i32 {
        let [from, to] = [from, to].map(|time| view.calendar.day_of(self.zone, time));
        let first = from.saturating_add(1);
        self.count(first, to) - self.lost(view, (first, to), Losses::tell)
    }

    /// The midnight with which so many after a time are complete.
    fn end(&self, view: &mut View<'_>, from: Timestamp, days: i32) -> Timestamp {
        let (mut next, mut left) = (view.calendar.day_of(self.zone, from).saturating_add(1), days);
        // Lost days are made up for by later ones, which may be lost, too. What is being lost now is left out: it would have
        // no end, and nobody believes the watermark until it has.
        while left > 0 {
            let end = match &self.business {
                Some(business) => business.day_after(next, left),
                None => next.saturating_add(left),
            };
            left = self.lost(view, (next, end), Losses::tell_of_ended);
            next = end;
        }
        view.calendar.midnight(self.zone, next)
    }
}

pub(super) fn judge(
    view: &mut View<'_>,
    (rule, condition): (&Rule, &Condition),
    series: SeriesIx,
    state: ConditionState,
    at: Timestamp,
) -> Judged {
    let (rungs, count_as, _) = parts(condition);
    let Some((last, from)) = base(view, condition, series, state) else {
        return Judged { reached: false, observed: BLANK };
    };
    let losses = Losses::of(view.plan, view.volumes, condition);
    let elapsed = at.since(from) - losses.ms(from, at);
    let (value, unit) = silence(view, (rule, count_as, &losses), from, at);
    let number = rung(rungs, Exact::whole(value));
    let for_ms = rungs.first().map_or(0, |rung| limit_ms(rung, count_as));
    let usual = view.series(series).1.and_then(|counted| counted.usual_gap_ms(for_ms));
    let unusual = unusual_ms(condition, usual).is_none_or(|needed| elapsed >= needed);
    let reached = number > 0;
    let observed = Observed {
        guard: if reached && !unusual { Some(Reason::NotSignificant) } else { None },
        value: Some(Exact::whole(value)),
        unit,
        measure_unit: unit,
        rung: number,
        onset: Some(from),
        elapsed_ms: Some(elapsed),
        last_seen: last,
        usual_gap_ms: usual,
        window: Some((from, at.max(from))),
        ..BLANK
    };
    Judged { reached, observed }
}

/// For how long it must be silent to be longer than what is usual, ms; `None`: that is not asked, or not known.
fn unusual_ms(condition: &Condition, usual_ms: Option<i64>) -> Option<i64> {
    let times = condition.guards.usual_gap?;
    let (product, scale) =
        (i128::from(times.mantissa) * i128::from(usual_ms?), 10_i128.pow(u32::from(times.scale)));
    i64::try_from(-(-product).div_euclid(scale)).ok()
}

/// How long it has been silent, as a rule counts it.
fn silence(
    view: &mut View<'_>,
    (rule, count_as, losses): (&Rule, CountAs, &Losses<'_>),
    from: Timestamp,
    at: Timestamp,
) -> (i64, Unit) {
    match count_as {
        CountAs::Elapsed => (at.since(from) - losses.ms(from, at), Unit::Ms),
        CountAs::CalendarDays | CountAs::BusinessDays => {
            let days = Days::of(view, rule, (count_as, losses));
            (i64::from(days.between(view, from, at)), Unit::Days)
        }
    }
}

/// Whether a match at `time` leaves it long enough until `at`.
fn outlasts(
    view: &mut View<'_>,
    (rule, condition): (&Rule, &Condition),
    (time, at): (Timestamp, Timestamp),
) -> bool {
    let (rungs, count_as, _) = parts(condition);
    let losses = Losses::of(view.plan, view.volumes, condition);
    let (value, _) = silence(view, (rule, count_as, &losses), time, at);
    rung(rungs, Exact::whole(value)) > 0
}

/// Whether the silence that was long enough at `at` still was, now that a match or an `until` at `time` is known. Newer
/// matches, after `at`, say nothing of that.
pub(super) fn still_holds(
    view: &mut View<'_>,
    (rule, condition): (&Rule, &Condition),
    (series, state): (SeriesIx, ConditionState),
    (time, at): (Timestamp, Timestamp),
) -> bool {
    let newest = view.series(series).1.and_then(crate::engine::series::SeriesState::newest);
    let ended = newest.is_none_or(|newest| newest <= at) && base(view, condition, series, state).is_none();
    !ended && outlasts(view, (rule, condition), (time, at))
}

/// A rung's limit, ms.
fn limit_ms(rung: &Rung, count_as: CountAs) -> i64 {
    let whole = rung.limit.mantissa / 10_i64.pow(u32::from(rung.limit.scale));
    if count_as == CountAs::Elapsed { whole } else { whole.saturating_mul(DAY_MS) }
}

pub(super) fn next_mark(
    view: &mut View<'_>,
    (rule, condition): (&Rule, &Condition),
    series: SeriesIx,
    (state, holds): (ConditionState, bool),
    after: Timestamp,
) -> Option<Timestamp> {
    let (rungs, count_as, _) = parts(condition);
    let (_, from) = base(view, condition, series, state)?;
    let losses = Losses::of(view.plan, view.volumes, condition);
    let own = Days::of(view, rule, (count_as, &losses));
    let mut marks: Vec<Timestamp> = Vec::new();
    for rung in rungs {
        marks.push(match count_as {
            CountAs::Elapsed => losses.after(from, limit_ms(rung, count_as)),
            _ => {
                let days = i32::try_from(limit_ms(rung, count_as) / DAY_MS).unwrap_or(i32::MAX);
                own.end(view, from, days)
            }
        });
    }
    // It is later in the account's new zone than it was in the old one: the deadline is over already.
    if !holds && outlasts(view, (rule, condition), (from, after)) {
        return Some(after.plus(1));
    }
    // A guard that fails now holds when the silence is longer than what is usual; all that holds is looked at with the
    // days.
    if holds {
        let for_ms = rungs.first().map_or(0, |rung| limit_ms(rung, count_as));
        let usual = view.series(series).1.and_then(|counted| counted.usual_gap_ms(for_ms));
        marks.extend(unusual_ms(condition, usual).map(|needed| losses.after(from, needed)));
        let today = view.calendar.day_of(own.zone, after.plus(-view.spread_ms));
        marks.push(view.calendar.midnight(own.zone, today + 1).plus(view.spread_ms));
    }
    marks.into_iter().filter(|mark| *mark > after).min()
}
