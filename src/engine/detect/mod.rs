//! What conditions see in a row: one file a detector (`rules.md` §7, §8).

mod absence;
mod baseline;
mod cadence;
mod compare;
mod count;
mod crowd;
mod level;
mod milestone;
mod score;
mod sequence;

use std::collections::BTreeMap;

use crate::event::{Field, KINDS, Timestamp, Value};
use crate::rules::program::{
    Comparator, Condition, Detector, Rule, Rung, Series, SeriesIx, Window, ZoneSource,
};

use super::alert::{Observed, Reason, Unit};
use super::calendar::{Calendar, ZoneIx};
use super::firing::{ConditionState, Episode};
use super::matches::find;
use super::number::Exact;
use super::plan::{Plan, compares_days, is_negative, measured_path};
use super::rows::row::Row;
use super::series::{self, Measured, SeriesState, Span, pane_end_after};
use super::task::SeriesAge;
use super::volume::Volume;

/// What calls for a judgement; it decides which conditions may become true.
#[derive(Debug, Clone, Copy)]
pub enum Prompt<'a> {
    /// The watermark stands on a mark of the rule.
    Mark,
    /// An event came into these series. A count that it did not touch would only look at the past again.
    Touched(&'a [SeriesIx]),
    /// Whatever there is, is looked at.
    All,
}

/// All that a judgement reads.
pub struct View<'a> {
    /// The rules.
    pub plan: &'a Plan,
    /// The row.
    pub row: &'a Row,
    /// The newest profile.
    pub profile: Option<&'a [(Field, Value<'static>)]>,
    /// What the row is of beside the account.
    pub part: Option<&'a str>,
    /// The row's user.
    pub user: Option<&'a [(Field, Value<'static>)]>,
    /// Since when series take events in.
    pub ages: &'a BTreeMap<u32, SeriesAge>,
    /// What each kind of source brings, and when it brought too little.
    pub volumes: &'a [Volume; KINDS],
    /// Zones.
    pub calendar: &'a mut Calendar,
    /// Where the rule's watermark stands.
    pub watermark: Timestamp,
    /// Whether it stands on a mark: windows of negative conditions then end with the pane before it.
    pub on_mark: bool,
    /// Whether no condition that waits for a mark was described only.
    pub in_turn: bool,
    /// By how much this row's work at local midnight is put off, ms.
    pub spread_ms: i64,
}

/// What a judgement of a condition found.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The threshold is met, guards apart.
    pub reached: bool,
    /// What the alert says of it.
    pub observed: Observed,
}

/// How many local days an account can skip, or live again, by moving to another zone: offsets lie up to 26 hours apart.
const SKIPPED: u16 = 2;

/// The share of a window that may be lost, in percent.
const LOST_PERCENT: i64 = 10;

/// The kinds of a condition's events of which something was lost.
struct Losses<'a>(Vec<&'a Volume>);

impl<'a> Losses<'a> {
    /// What was lost of a condition's sources, if it minds.
    fn of(plan: &Plan, volumes: &'a [Volume; KINDS], condition: &Condition) -> Self {
        if condition.guards.ignore_stall || !volumes.iter().any(Volume::has_lost) {
            return Self(Vec::new());
        }
        let filters = plan.program.filters_of(&condition.detector);
        let mut kinds: Vec<usize> =
            filters.into_iter().map(|filter| plan.filter(filter).kind as usize).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Self(kinds.into_iter().map(|kind| &volumes[kind]).filter(|own| own.has_lost()).collect())
    }

    /// How much of the time between two instants was lost of the kind that lost most, ms.
    fn ms(&self, from: Timestamp, to: Timestamp) -> i64 {
        self.0.iter().map(|volume| volume.lost_ms(from, to)).max().unwrap_or(0)
    }

    /// The first instant by which so much time has passed that was not lost.
    fn after(&self, from: Timestamp, ms: i64) -> Timestamp {
        self.0.iter().map(|volume| volume.after(from, ms)).max().unwrap_or(from.plus(ms))
    }

    /// Whether more of a window was lost than may be.
    fn tell(&self, (from, to): (Timestamp, Timestamp)) -> bool {
        too_much(self.ms(from, to), (from, to))
    }

    /// The same as [`Volume::after`] sees it: what is being lost now is not known yet.
    fn tell_of_ended(&self, (from, to): (Timestamp, Timestamp)) -> bool {
        let lost = self.0.iter().map(|volume| volume.ended_ms(from, to)).max();
        too_much(lost.unwrap_or(0), (from, to))
    }
}

fn too_much(lost_ms: i64, (from, to): (Timestamp, Timestamp)) -> bool {
    lost_ms.saturating_mul(100) > to.since(from).saturating_mul(LOST_PERCENT)
}

/// Nothing seen.
pub const BLANK: Observed = Observed {
    met: false,
    guard: None,
    value: None,
    unit: Unit::Count,
    rung: 0,
    onset: None,
    events: None,
    accounts: None,
    elapsed_ms: None,
    last_seen: None,
    usual_gap_ms: None,
    current: None,
    previous: None,
    measure_unit: Unit::Count,
    p_value: None,
    window: None,
    baseline_window: None,
    band: None,
    factors: Vec::new(),
    step: None,
    missing: Vec::new(),
    eta: None,
    buckets: Vec::new(),
    lost_ms: 0,
};

impl View<'_> {
    /// Judges a condition now: on a mark of the watermark, or because an event touches it (`rules.md` §6).
    pub fn verdict(&mut self, rule: &Rule, place: usize, episode: &Episode, prompt: Prompt<'_>) -> Judged {
        let condition = &rule.conditions[place];
        self.on_mark = matches!(prompt, Prompt::Mark);
        match self.judgement_time(condition, place, episode, prompt) {
            Ok(at) => self.judge(rule, place, episode, at),
            // Not its turn: what is false stays false.
            Err(at) => {
                self.in_turn &= !(is_negative(condition) || compares_days(condition));
                let mut judged = self.judge(rule, place, episode, at);
                judged.reached = false;
                judged.observed.met = false;
                judged.observed.guard = None;
                judged
            }
        }
    }

    /// Whether a window that ends with the newest match reaches no rung.
    #[must_use]
    pub fn is_below(&self, series: SeriesIx, window: &Window, rungs: &[Rung]) -> bool {
        let (own, Some(state)) = self.series(series) else { return true };
        let Some(newest) = state.newest() else { return true };
        let measured = state.over(own, window, Span::UpTo(newest));
        let value = SeriesState::known(&own.measure, &measured);
        value.is_none_or(|value| rungs.iter().all(|rung| !value.holds(rung.op, rung.limit)))
    }

    /// For which time a condition is judged now.
    ///
    /// # Errors
    /// If it is not its turn: the time for which it can be described.
    fn judgement_time(
        &mut self,
        condition: &Condition,
        place: usize,
        episode: &Episode,
        prompt: Prompt<'_>,
    ) -> Result<Timestamp, Timestamp> {
        let clock = self.watermark;
        let holds = episode.conditions.get(place).is_some_and(|state| state.since.is_some());
        let active = holds || episode.member;
        let Some(series) = condition.detector.series() else { return Ok(clock) };
        let newest = self.series(series).1.and_then(SeriesState::newest);
        let later = newest.map_or(clock, |newest| newest.max(clock));
        // What is due is due when the watermark says so, not when an event lies ahead.
        if matches!(condition.detector, Detector::Milestone { .. }) && !active {
            return Ok(clock);
        }
        let Some(window) = condition.detector.window() else { return Ok(later) };
        let waits = is_negative(condition) || compares_days(condition);
        let on_mark = self.on_mark;
        let turn = |is_turn: bool, at| if is_turn { Ok(at) } else { Err(clock) };
        match (window, prompt) {
            (Window::Days { .. }, _) if waits => turn(active || on_mark, clock),
            (Window::Buckets { .. }, _) if !active => {
                let ends =
                    on_mark && cadence::of(condition).is_some_and(|own| cadence::is_end(self, own, clock));
                turn(ends, clock)
            }
            // Beyond the watermark of all tasks only those that are ahead have told: what is missing there is no lack.
            _ if active && waits && !self.series(series).0.entity.account => {
                self.on_mark &= pane_end_from(window, clock) == Some(clock);
                Ok(clock)
            }
            _ if active => {
                self.on_mark &= later == clock;
                Ok(later)
            }
            _ if waits => turn(on_mark && pane_end_from(window, clock) == Some(clock), clock),
            // Growth begins with an event: a mark, which may be another condition's, would only look at the past again,
            // and so would an event that came into another condition's series.
            (_, Prompt::Mark) => Err(clock),
            (_, Prompt::Touched(touched)) if !touched.contains(&series) => Err(later),
            _ => newest.ok_or(clock),
        }
    }

    /// Judges a condition for the time `at`.
    pub fn judge(&mut self, rule: &Rule, place: usize, episode: &Episode, at: Timestamp) -> Judged {
        let condition = &rule.conditions[place];
        let state = episode.conditions.get(place).copied().unwrap_or_default();
        let mut judged = match &condition.detector {
            Detector::Event { .. } => event(state, episode),
            Detector::Absence { series, .. } => absence::judge(self, (rule, condition), *series, state, at),
            Detector::Compare { series, window, baseline: true, .. } => {
                baseline::judge(self, condition, (*series, window), at)
            }
            Detector::Compare { series, window, .. } => {
                compare::judge(self, condition, (*series, window), at)
            }
            Detector::Level { series, window: Window::Newest, .. } => level::judge(self, condition, *series),
            Detector::Count { series, window, rungs } | Detector::Level { series, window, rungs, .. } => {
                count::judge(self, (condition, rungs), (*series, window), at)
            }
            Detector::Cadence { .. } => cadence::judge(self, condition, at),
            Detector::Milestone { series, rungs } => milestone::judge(self, condition, (*series, rungs), at),
            Detector::Sequence { series, within_ms } => sequence::judge(self, (*series, *within_ms), state),
            Detector::Crowd { series, within_ms, rungs } => {
                crowd::judge(self, (*series, *within_ms, rungs), state)
            }
            Detector::Score { series, rungs, bands } => {
                score::judge(self, (*series, rungs, bands), state, at)
            }
        };
        if judged.reached && judged.observed.guard.is_none() {
            judged.observed.guard =
                self.too_young(rule, condition, at).or_else(|| self.blind(condition, &judged));
        }
        judged.observed.met = judged.reached && judged.observed.guard.is_none();
        if let Some((from, to)) = judged.observed.window {
            judged.observed.lost_ms = Losses::of(self.plan, self.volumes, condition).ms(from, to);
        }
        judged
    }

    /// Whether a negative condition that was true at `at` still was, now that what happened at `time` has come into
    /// `touched`.
    pub fn still_reached(
        &mut self,
        (rule, place): (&Rule, usize),
        episode: &Episode,
        (time, touched): (Timestamp, &[SeriesIx]),
        at: Timestamp,
    ) -> bool {
        let condition = &rule.conditions[place];
        if condition.detector.series().is_none_or(|series| !touched.contains(&series)) {
            return true;
        }
        if let Detector::Absence { series, .. } = &condition.detector {
            let state = episode.conditions.get(place).copied().unwrap_or_default();
            return absence::still_holds(self, (rule, condition), (*series, state), (time, at));
        }
        self.on_mark = true;
        self.judge(rule, place, episode, at).reached
    }

    /// When the passing of the watermark may change the verdict on a condition, after `after`.
    pub fn next_mark(
        &mut self,
        (rule, condition): (&Rule, &Condition),
        state: ConditionState,
        (holds, after): (bool, Timestamp),
    ) -> Option<Timestamp> {
        match &condition.detector {
            Detector::Event { .. }
            | Detector::Sequence { .. }
            | Detector::Level { window: Window::Newest, .. } => None,
            Detector::Count { series, window, .. } | Detector::Level { series, window, .. } => {
                count::next_mark(self, condition, (*series, window), (state, holds, after))
            }
            Detector::Cadence { .. } => cadence::next_mark(self, condition, after),
            Detector::Milestone { series, rungs } => {
                milestone::next_mark(self, condition, (*series, rungs), after)
            }
            Detector::Crowd { series, within_ms, .. } => {
                crowd::next_mark(self, (*series, *within_ms), (state, after))
            }
            Detector::Score { series, .. } => score::next_mark(self, *series, holds, after),
            Detector::Absence { series, .. } => {
                absence::next_mark(self, (rule, condition), *series, (state, holds), after)
            }
            Detector::Compare { series, window, baseline: true, .. } => {
                baseline::next_mark(self, (*series, window), (holds, after))
            }
            Detector::Compare { series, window, .. } => {
                compare::next_mark(self, condition, (*series, window), (state, after))
            }
        }
    }

    fn series(&self, ix: SeriesIx) -> (&Series, Option<&SeriesState>) {
        let series = &self.plan.program.series[usize::from(ix.0)];
        (series, self.row.series(series.key))
    }

    fn measured(&self, ix: SeriesIx, window: &Window, span: Span) -> Measured {
        let (series, state) = self.series(ix);
        state.map_or(Measured::NOTHING, |state| state.over(series, window, span))
    }

    /// How many accounts the matches of a window are of; of a row across accounts, if it knows.
    fn accounts(&self, ix: SeriesIx, window: &Window, (span, measured): (Span, &Measured)) -> Option<u64> {
        let (series, state) = self.series(ix);
        if series.entity.account {
            // Of a share, who counts is asked, not what it is a share of.
            let is_share = matches!(series.measure, crate::rules::program::Measure::ShareOf(_));
            let any = measured.events > 0 && !(is_share && measured.value.num == 0);
            return Some(u64::from(any));
        }
        series.extras.accounts.then(|| state.map_or(0, |state| state.accounts(series, window, span)))
    }

    /// The measure of what was seen, if it has a value.
    fn known(&self, ix: SeriesIx, measured: &Measured) -> Option<Exact> {
        SeriesState::known(&self.series(ix).0.measure, measured)
    }

    /// How a window that slides is measured at a time: of negative conditions, on a mark, the panes that end there.
    fn sliding(&self, upward: bool, at: Timestamp) -> Span {
        if !upward && self.on_mark { Span::EndingAt(at) } else { Span::UpTo(at) }
    }

    /// The zone of a series' or rule's local days.
    pub fn zone(&mut self, source: &ZoneSource) -> ZoneIx {
        zone_of(self.calendar, source, self.profile, self.user)
    }

    fn series_zone(&mut self, ix: SeriesIx) -> ZoneIx {
        let plan = self.plan;
        self.zone(&plan.program.series[usize::from(ix.0)].zone)
    }

    /// Since when the entity is known: its first event, or for an account its creation, if that is earlier.
    fn known_since(&self, ix: SeriesIx) -> Option<Timestamp> {
        let entity = &self.plan.program.series[usize::from(ix.0)].entity;
        self.entity_since(entity.account && entity.part.is_none())
    }

    fn entity_since(&self, is_account: bool) -> Option<Timestamp> {
        let created = match find(self.profile, Field::CreatedAt) {
            Some(Value::Time(time)) if is_account => Some(*time),
            _ => None,
        };
        created.into_iter().chain(self.row.first_event()).min()
    }

    /// Whether a window that begins at `from` reaches back to where nothing was recorded.
    fn unknown_before(
        &self,
        ix: SeriesIx,
        from: Timestamp,
        known: impl Fn(Timestamp) -> bool,
    ) -> Option<Reason> {
        let (series, _) = self.series(ix);
        let began = self.ages.get(&series.key).map_or(Timestamp::MIN, |age| age.began);
        if began > from {
            return Some(Reason::Warming);
        }
        let is_known = self.known_since(ix).is_some_and(known);
        if is_known { None } else { Some(Reason::InsufficientHistory) }
    }

    /// Whether a window that begins at `from` reaches back to before its series or row began; the day, or pane, of the row's
    /// first event counts as a whole.
    fn unknown_at(&mut self, ix: SeriesIx, window: &Window, from: Timestamp) -> Option<Reason> {
        let end = match window {
            Window::Days { .. } => {
                let zone = self.series_zone(ix);
                let day = self.calendar.day_of(zone, from);
                Some(self.calendar.midnight(zone, day + 1))
            }
            _ => pane_end_from(window, from.plus(1)),
        };
        self.unknown_before(ix, from, |since| since <= from || end.is_some_and(|end| since < end))
    }

    /// Since when both the entity is known and its series taken in.
    fn began(&self, ix: SeriesIx) -> Option<Timestamp> {
        let began = self.ages.get(&self.series(ix).0.key).map_or(Timestamp::MIN, |age| age.began);
        self.known_since(ix).map(|since| since.max(began))
    }

    /// When a row becomes old enough for a guard, as far as a window that slides is judged then: at a pane end. If it is
    /// old enough at `after`, though not at the event that was judged: at the next one.
    pub fn of_age(
        &self,
        rule: &Rule,
        condition: &Condition,
        (is_withheld, after): (bool, Timestamp),
    ) -> Option<Timestamp> {
        let (Detector::Count { window, .. }, Some(min_age)) =
            (&condition.detector, condition.guards.min_age_ms)
        else {
            return None;
        };
        let since = self.entity_since(rule.entity.account && rule.entity.part.is_none())?;
        let mark = pane_end_from(window, since.plus(min_age))?;
        if is_withheld && mark <= after { pane_end_from(window, after.plus(1)) } else { Some(mark) }
    }

    fn too_young(&self, rule: &Rule, condition: &Condition, at: Timestamp) -> Option<Reason> {
        let min_age = condition.guards.min_age_ms?;
        let since = self.entity_since(rule.entity.account && rule.entity.part.is_none());
        let old = since.is_some_and(|since| at.since(since) >= min_age);
        if old { None } else { Some(Reason::InsufficientHistory) }
    }

    /// Whether so much of a window that shrinks was lost that its verdict says nothing.
    fn blind(&self, condition: &Condition, judged: &Judged) -> Option<Reason> {
        let detector = &condition.detector;
        let shrinks =
            matches!(detector, Detector::Count { .. } | Detector::Level { .. } | Detector::Compare { .. })
                && !is_upward(detector.rungs());
        if !shrinks {
            return None;
        }
        let losses = Losses::of(self.plan, self.volumes, condition);
        let windows = [judged.observed.window, judged.observed.baseline_window];
        windows.into_iter().flatten().any(|window| losses.tell(window)).then_some(Reason::SourceStalled)
    }

    /// In what the measure of a series is counted.
    fn measure_unit(&self, ix: SeriesIx) -> Unit {
        let (series, _) = self.series(ix);
        let name = match measured_path(&series.measure) {
            Some(crate::rules::program::Path::Field(field) | crate::rules::program::Path::Account(field)) => {
                field.spec().name
            }
            Some(crate::rules::program::Path::Property(name)) => name,
            _ if matches!(series.measure, crate::rules::program::Measure::Score(_)) => return Unit::Number,
            _ if matches!(series.measure, crate::rules::program::Measure::ShareOf(_)) => return Unit::Share,
            _ => return Unit::Count,
        };
        match series.measure {
            crate::rules::program::Measure::Distinct(_) => Unit::Count,
            _ if name.ends_with("_ms") => Unit::Ms,
            _ if name.ends_with("_minor") => Unit::Minor,
            _ => Unit::Number,
        }
    }

    /// The next local midnight after a time, as long as the last `days` days show anything: later nothing changes.
    fn midnight_while_seen(
        &mut self,
        ix: SeriesIx,
        (window, days): (&Window, u16),
        after: Timestamp,
    ) -> Option<Timestamp> {
        let newest = self.series(ix).1?.newest()?;
        let zone = self.series_zone(ix);
        let today = self.calendar.day_of(zone, after.plus(-self.spread_ms));
        let ahead = today + i32::from(SKIPPED);
        let span = Span::DaysComplete { last_complete_day: ahead, days: days + 1 + 2 * SKIPPED };
        if newest <= after && self.measured(ix, window, span).events == 0 {
            return None;
        }
        Some(self.midnight_after(ix, after))
    }

    /// The next local midnight after a time.
    fn midnight_after(&mut self, ix: SeriesIx, after: Timestamp) -> Timestamp {
        let zone = self.series_zone(ix);
        let today = self.calendar.day_of(zone, after.plus(-self.spread_ms));
        self.calendar.midnight(zone, today + 1).plus(self.spread_ms)
    }
}

/// The zone that a source of zones names.
pub fn zone_of(
    calendar: &mut Calendar,
    source: &ZoneSource,
    profile: Option<&[(Field, Value<'static>)]>,
    user: Option<&[(Field, Value<'static>)]>,
) -> ZoneIx {
    let own = |fields| find(fields, Field::Timezone).and_then(Value::as_text);
    let name = match source {
        ZoneSource::Named(name) => Some(&**name),
        ZoneSource::Account => own(profile),
        ZoneSource::User => own(user).or_else(|| own(profile)),
    };
    name.map_or(ZoneIx::UTC, |name| calendar.zone(name))
}

/// An event condition is true from a match until the alert is over.
fn event(state: ConditionState, episode: &Episode) -> Judged {
    let observed = Observed {
        rung: u8::from(state.since.is_some()),
        onset: state.since,
        events: Some(u64::from(episode.matches)),
        accounts: Some(episode.affected.as_ref().map_or(1, |own| own.accounts)),
        last_seen: episode.last_evidence,
        ..BLANK
    };
    Judged { reached: state.since.is_some(), observed }
}

/// The highest rung that a value reaches, from 1; 0: none.
fn rung(rungs: &[Rung], value: Exact) -> u8 {
    let reached = (1_u8..).zip(rungs).filter(|(_, rung)| value.holds(rung.op, rung.limit));
    reached.map(|(number, _)| number).last().unwrap_or(0)
}

/// Whether growth makes a ladder true.
fn is_upward(rungs: &[Rung]) -> bool {
    rungs.iter().all(|rung| rung.op.is_upward())
}

/// Guard `min_accounts`.
fn enough_accounts(condition: &Condition, accounts: Option<u64>) -> bool {
    condition.guards.min_accounts.is_none_or(|bound| accounts.is_some_and(|own| own >= u64::from(bound)))
}

/// Whether a value meets a lower bound, if there is one.
fn at_least(value: Exact, bound: Option<crate::rules::program::Decimal>) -> bool {
    bound.is_none_or(|bound| value.holds(Comparator::Gte, bound))
}

/// The window of panes that sixtieths of an exact window would be.
fn panes_of(window: &Window) -> Option<Window> {
    match window {
        Window::Exact { span_ms, .. } | Window::Panes { span_ms } => {
            Some(Window::Panes { span_ms: *span_ms })
        }
        Window::Days { .. } | Window::Buckets { .. } | Window::Newest => None,
    }
}

/// The first pane end at or after a time.
fn pane_end_from(window: &Window, from: Timestamp) -> Option<Timestamp> {
    pane_end_after(&panes_of(window)?, from.plus(-1))
}

/// The last pane end at or before a time; the time itself where there are no panes. What is asked between two pane ends has
/// one answer.
fn pane_end_until(window: &Window, time: Timestamp) -> Timestamp {
    panes_of(window).and_then(|panes| series::pane_end_until(&panes, time)).unwrap_or(time)
}

/// The length of a window that slides, ms.
const fn span_ms(window: &Window) -> i64 {
    match window {
        Window::Exact { span_ms, .. } | Window::Panes { span_ms } => *span_ms,
        Window::Days { .. } | Window::Buckets { .. } | Window::Newest => 0,
    }
}
