//! Borders of the rule language's windows, and models that recompute everything from all samples.

mod accounts;
mod memories;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    Floor, Hits, IMPORTED, Measured, Part, Sample, Sampled, SeriesState, Span, Taken, pane_end_after,
};
use crate::engine::number::Exact;
use crate::event::bytes::{FormatError, Reader};
use crate::event::{Field, Timestamp};
use crate::rules::program::{
    Begin, Course, CourseSteps, Decimal, Entity, Extras, Factor, FilterIx, Match, Measure, Path, Points,
    Scoring, Series, Window, ZoneSource,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const OPEN: Floor = Floor(Timestamp::MIN);

fn series(window: Window, measure: Measure) -> Series {
    Series {
        key: 7,
        filter: FilterIx(0),
        measure,
        window,
        keep_days: 0,
        negative: false,
        entity: Entity { account: true, part: None },
        reset: None,
        zone: ZoneSource::Account,
        extras: Extras::default(),
    }
}

fn counting(window: Window) -> Series {
    series(window, Measure::Count)
}

fn distinct(window: Window) -> Series {
    series(window, Measure::Distinct(Path::Field(Field::UserId)))
}

fn sum(window: Window) -> Series {
    series(window, Measure::Sum(Path::Property("spent".into())))
}

fn sum_distinct(window: Window) -> Series {
    let (of, by) = (Path::Property("spent".into()), Path::Field(Field::UserId));
    series(window, Measure::SumDistinct { of, by })
}

fn last(window: Window) -> Series {
    series(window, Measure::Last(Path::Property("used".into())))
}

fn known(window: Window) -> Series {
    series(window, Measure::Known(Path::Property("used".into())))
}

fn at(ms: i64) -> Sample {
    Sample { time: Timestamp(ms), weight: 1, value: None, midnight: None, lost_ms: 0 }
}

fn with_hash(ms: i64, hash: u64) -> Sample {
    Sample { value: Some(Sampled::Hash(hash)), ..at(ms) }
}

fn filled(series: &Series, samples: &[Sample]) -> SeriesState {
    let mut state = SeriesState::new(series);
    for sample in samples {
        state.add(series, sample, utc_day(sample.time.0), OPEN);
    }
    state
}

#[expect(clippy::unnecessary_wraps, reason = "what the calls take")]
fn utc_day(ms: i64) -> Option<i32> {
    Some(i32::try_from(ms.div_euclid(DAY)).unwrap())
}

fn reread(state: &SeriesState) -> SeriesState {
    let mut out = Vec::new();
    state.encode(&mut out);
    let mut reader = Reader::new(&out);
    let read = SeriesState::decode(&mut reader).unwrap();
    assert!(reader.is_empty());
    read
}

fn whole(measured: &Measured) -> i128 {
    assert_eq!(measured.value.den, 1);
    measured.value.num
}

#[test]
fn an_exact_window_leaves_its_oldest_border_out() {
    let window = Window::Exact { span_ms: 10 * MINUTE, keep: 3 };
    let series = counting(window);
    let mut state = filled(&series, &[at(0), at(5 * MINUTE), at(10 * MINUTE)]);
    assert_eq!(state.over(&series, &window, Span::UpTo(Timestamp(10 * MINUTE))).events, 2);
    state = filled(&series, &[at(0), at(5 * MINUTE), at(10 * MINUTE - 1000)]);
    let seen = state.over(&series, &window, Span::UpTo(Timestamp(10 * MINUTE - 1000)));
    assert_eq!((seen.events, seen.first), (3, Some(Timestamp(0))));
    let change = state.next_change(&series, &window, Span::UpTo(Timestamp(10 * MINUTE - 1000)));
    assert_eq!(change, Some(Timestamp(10 * MINUTE)));
}

#[test]
fn the_value_of_an_exact_window_stops_at_its_highest_threshold() {
    let window = Window::Exact { span_ms: HOUR, keep: 5 };
    let series = counting(window);
    let state = filled(&series, &(0..9).map(at).collect::<Vec<_>>());
    assert_eq!(state.over(&series, &window, Span::UpTo(Timestamp(9))).events, 5);
    let lower = Window::Exact { span_ms: HOUR, keep: 2 };
    let seen = state.over(&series, &lower, Span::UpTo(Timestamp(9)));
    assert_eq!((seen.events, seen.first), (2, Some(Timestamp(7))));
}

#[test]
fn a_pane_end_belongs_to_the_pane_that_begins_there_save_for_negative_conditions() {
    let window = Window::Panes { span_ms: HOUR };
    let mut series = counting(window);
    series.negative = true;
    let state = filled(&series, &[at(0), at(HOUR - 1), at(HOUR)]);
    let up_to = |t| state.over(&series, &window, Span::UpTo(Timestamp(t)));
    let ending = |t| state.over(&series, &window, Span::EndingAt(Timestamp(t)));
    assert_eq!(up_to(HOUR - 1).events, 2);
    assert_eq!(up_to(HOUR).events, 2);
    assert_eq!(up_to(HOUR).first, Some(Timestamp(59 * MINUTE)));
    assert_eq!(ending(HOUR).events, 2);
    assert_eq!(ending(HOUR).first, Some(Timestamp(0)));
    assert_eq!(ending(HOUR + MINUTE).events, 2);
    assert_eq!(ending(2 * HOUR + MINUTE).events, 0);
    assert_eq!(pane_end_after(&window, Timestamp(HOUR)), Some(Timestamp(HOUR + MINUTE)));
    assert_eq!(pane_end_after(&Window::Days { days: 7 }, Timestamp(0)), None);
}

#[test]
fn panes_of_windows_that_sixty_does_not_divide_have_exact_borders() {
    let window = Window::Panes { span_ms: 1000 };
    let series = counting(window);
    let mut end = Timestamp(0);
    for _ in 0..60 {
        let next = pane_end_after(&window, end).unwrap();
        assert!((16..=17).contains(&next.since(end)));
        end = next;
    }
    assert_eq!(end, Timestamp(1000));
    let state = filled(&series, &[at(0), at(16), at(17)]);
    assert_eq!(state.over(&series, &window, Span::UpTo(Timestamp(1000))).events, 1);
    assert_eq!(state.over(&series, &window, Span::UpTo(Timestamp(999))).events, 3);
}

#[test]
fn occurrences_weigh_and_counters_saturate() {
    let window = Window::Panes { span_ms: HOUR };
    let series = counting(window);
    let heavy = Sample { weight: u32::MAX, ..at(0) };
    let mut state = filled(&series, &[heavy, heavy, Sample { weight: 5, ..at(MINUTE) }]);
    let up_to = Span::UpTo(Timestamp(MINUTE));
    assert_eq!(state.over(&series, &window, up_to).events, u64::from(u32::MAX) + 5);
    state.remove(&series, &Sample { weight: 5, ..at(MINUTE) }, None);
    assert_eq!(state.over(&series, &window, up_to).events, u64::from(u32::MAX));
    assert_eq!(state.over(&series, &window, up_to).last, Some(Timestamp(0)));
}

#[test]
fn days_so_far_include_today_and_complete_days_do_not() {
    let window = Window::Days { days: 2 };
    let mut series = counting(window);
    series.keep_days = 4;
    series.extras.dispersion = true;
    let days = [0, 1, 1, 2, 3, 3, 3];
    let state = filled(&series, &days.map(|day| at(day * DAY)));
    let seen = state.over(&series, &window, Span::DaysSoFar { today: 3 });
    assert_eq!((seen.events, seen.days, seen.first_day), (4, 2, Some(2)));
    let complete = Span::DaysComplete { last_complete_day: 2, days: 2 };
    let seen = state.over(&series, &window, complete);
    assert_eq!((seen.events, seen.days, seen.first_day), (3, 2, Some(1)));
    let spread = seen.spread.unwrap();
    assert_eq!((spread.cells, spread.sum, spread.squares), (2, 3, 5));
    let previous = Span::DaysComplete { last_complete_day: 0, days: 2 };
    let seen = state.over(&series, &window, previous);
    assert_eq!((seen.events, seen.spread.unwrap().cells), (1, 2));
    assert_eq!(state.over(&series, &window, Span::UpTo(Timestamp(3 * DAY))), Measured::NOTHING);
}

#[test]
fn sums_are_exact_in_millionths() {
    use crate::event::Value;
    let window = Window::Days { days: 3 };
    let series = sum(window);
    let mut state = SeriesState::new(&series);
    for value in [Value::Double(0.1), Value::Double(0.2), Value::Int(3), Value::text("none")] {
        let sample = Sample { value: Sampled::of(&series.measure, &value), ..at(DAY) };
        state.add(&series, &sample, Some(1), OPEN);
    }
    let seen = state.over(&series, &window, Span::DaysSoFar { today: 1 });
    assert_eq!(seen.value, Exact::ratio(3_300_000, 1_000_000).unwrap());
    assert_eq!(seen.events, 3);
}

/// What a share counts; what it is a share of is [`at`].
fn counted(ms: i64) -> Sample {
    Sample { value: Some(Sampled::Amount(1)), ..at(ms) }
}

#[test]
fn a_share_is_exact_and_has_no_value_of_nothing() {
    let window = Window::Panes { span_ms: HOUR };
    let series = series(window, Measure::ShareOf(FilterIx(1)));
    let mut state = filled(&series, &[counted(0), counted(1), counted(MINUTE)]);
    let seen = |state: &SeriesState| {
        let measured = state.over(&series, &window, Span::UpTo(Timestamp(5 * MINUTE)));
        (SeriesState::known(&series.measure, &measured), measured.events, measured.last)
    };
    let minute = Some(Timestamp(MINUTE));
    assert_eq!(seen(&state), (None, 0, minute));
    for ms in [0, MINUTE, 2 * MINUTE, 2 * MINUTE, 3 * MINUTE, 3 * MINUTE, 3 * MINUTE] {
        state.add(&series, &at(ms), None, OPEN);
    }
    assert_eq!(seen(&state), (Exact::ratio(3, 7), 7, minute));
    assert_eq!(seen(&reread(&state)), seen(&state));
    // What moves to another row leaves the rest of its pane where it is, whichever of the two it is.
    state.remove(&series, &at(0), None);
    state.remove(&series, &counted(1), None);
    assert_eq!(seen(&state), (Exact::ratio(2, 6), 6, minute));
    state.remove(&series, &counted(MINUTE), None);
    assert_eq!(seen(&state), (Exact::ratio(1, 6), 6, Some(Timestamp(0))));
}

#[test]
fn occurrences_weigh_in_shares_and_not_in_means() {
    let window = Window::Panes { span_ms: HOUR };
    let up_to = Span::UpTo(Timestamp(0));
    let share = series(window, Measure::ShareOf(FilterIx(1)));
    let many =
        |weight: u32, amount: Option<i64>| Sample { weight, value: amount.map(Sampled::Amount), ..at(0) };
    let state = filled(&share, &[many(3, Some(3)), many(3, None), many(9, None)]);
    assert_eq!(state.value(&share, &window, up_to), Exact::ratio(3, 12).unwrap());
    let mean = series(window, Measure::Mean(Path::Property("spent".into())));
    let state = filled(&mean, &[many(9, Some(1_500_000)), many(1, Some(2_000_000)), many(1, None)]);
    let measured = state.over(&mean, &window, up_to);
    assert_eq!((measured.value.order(Exact::ratio(7, 4).unwrap()), measured.events), (Ordering::Equal, 2));
    assert_eq!(SeriesState::known(&mean.measure, &Measured::NOTHING), None);
}

#[test]
fn distinct_values_stay_at_the_cap() {
    let window = Window::Panes { span_ms: HOUR };
    let series = distinct(window);
    let samples: Vec<_> = (0..1100).map(|value| with_hash(0, value)).collect();
    let state = filled(&series, &samples);
    let seen = state.over(&series, &window, Span::UpTo(Timestamp(0)));
    assert_eq!((whole(&seen), seen.events), (1024, 1100));
    let mut across = series.clone();
    across.entity.account = false;
    let state = filled(&across, &samples);
    assert_eq!(whole(&state.over(&across, &window, Span::UpTo(Timestamp(0)))), 1100);
}

#[test]
fn the_usual_gap_is_the_nearest_rank() {
    let mut series = counting(Window::Newest);
    series.extras.gaps_for_ms = 64 * HOUR;
    let mut state = SeriesState::new(&series);
    let mut time = 0;
    let gaps = [4, 3, 10, 20, 5];
    for (place, gap) in std::iter::once(0).chain(gaps).enumerate() {
        time += gap * HOUR;
        state.add(&series, &at(time), None, OPEN);
        // Three hours are less than a sixteenth of 64.
        assert_eq!(state.usual_gap_ms(64 * HOUR).is_some(), place >= 4, "{place}");
    }
    assert_eq!(state.usual_gap_ms(64 * HOUR), Some(20 * HOUR));
    assert_eq!(state.add(&series, &at(time - HOUR), None, OPEN), Taken::Applied);
    assert_eq!(state.add(&series, &at(0), None, Floor(Timestamp(1))), Taken::Late);
    assert_eq!(state.newest(), Some(Timestamp(time)));
    for _ in 0..31 {
        time += 4 * HOUR;
        state.add(&series, &at(time), None, OPEN);
    }
    // One of 32 is larger: rank 31 is the last of the others.
    assert_eq!(state.usual_gap_ms(64 * HOUR), Some(4 * HOUR));
    assert_eq!(reread(&state), state);
    state.reset(&series, Timestamp(time), None);
    assert_eq!(state.newest(), None);
}

#[test]
fn a_reset_ends_what_came_up_to_it_even_if_it_comes_later() {
    for window in [Window::Exact { span_ms: HOUR, keep: 9 }, Window::Panes { span_ms: HOUR }] {
        let series = counting(window);
        let mut state = filled(&series, &[at(0), at(MINUTE), at(5 * MINUTE)]);
        state.reset(&series, Timestamp(MINUTE), None);
        assert_eq!(state.add(&series, &at(30_000), None, OPEN), Taken::Applied);
        let up_to = Span::UpTo(Timestamp(5 * MINUTE));
        assert_eq!(state.over(&series, &window, up_to).events, 1);
        state.add(&series, &at(MINUTE + 1), None, OPEN);
        assert_eq!(reread(&state).over(&series, &window, up_to).events, 2);
        state.reset(&series, Timestamp(9 * MINUTE), None);
        assert_eq!(state.newest(), None);
    }
}

#[test]
fn late_is_what_no_window_can_see() {
    let window = Window::Panes { span_ms: HOUR };
    let mut series = counting(window);
    let mut state = filled(&series, &[at(2 * HOUR)]);
    let floor = Floor(Timestamp(HOUR + 30 * MINUTE));
    assert_eq!(state.add(&series, &at(MINUTE), None, floor), Taken::Applied);
    assert_eq!(state.add(&series, &at(MINUTE - 1), None, floor), Taken::Late);
    series.negative = true;
    assert_eq!(state.add(&series, &at(-30 * MINUTE), None, floor), Taken::Applied);
    assert_eq!(state.add(&series, &at(-31 * MINUTE), None, floor), Taken::Late);
    assert!(!state.is_empty_at(&series, floor));
    assert!(state.is_empty_at(&series, Floor(Timestamp(5 * HOUR))));
}

#[test]
fn states_have_these_bytes_and_few() {
    let bytes = |state: &SeriesState| {
        let mut out = Vec::new();
        state.encode(&mut out);
        out
    };
    let ring = counting(Window::Exact { span_ms: HOUR, keep: 3 });
    assert_eq!(bytes(&filled(&ring, &[at(100), at(164)])), [1, 0xc8, 2, 2, 0, 0x80, 1]);
    let panes = counting(Window::Panes { span_ms: HOUR });
    assert_eq!(bytes(&filled(&panes, &[at(MINUTE), at(3 * MINUTE)])), [2, 0xc0, 0xfc, 0x15, 4, 6, 1, 2, 1]);
    let days = distinct(Window::Days { days: 3 });
    let expected = [3, 0, 2, 0, 1, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(bytes(&filled(&days, &[with_hash(0, 9)])), expected);
    let summed = sum_distinct(Window::Days { days: 3 });
    let spent = Sample { value: Some(Sampled::Keyed(-3, 9)), ..at(2) };
    let expected = [11, 4, 2, 0, 1, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 5];
    assert_eq!(bytes(&filled(&summed, &[spent])), expected);
    let mut newest = filled(&counting(Window::Newest), &[at(1)]);
    newest.reset(&counting(Window::Newest), Timestamp(2), None);
    assert_eq!(bytes(&newest), [0x84, 4, 2, 0]);
    let recent = 1_795_129_804_412;
    assert!(bytes(&filled(&panes, &[at(recent), at(recent + 5 * MINUTE)])).len() <= 20);
    assert!(size_of::<SeriesState>() <= 48);
}

#[test]
fn foreign_bytes_are_refused() {
    for bytes in [
        &[99, 0][..],
        &[2, 0, 0xff, 0xff, 0x7f],
        &[1, 0, 5],
        &[3, 0, 0, 1, 0, 1, 2, 3],
        &[2, 0, 4, 2, 1, 0, 1],
    ] {
        assert!(SeriesState::decode(&mut Reader::new(bytes)).is_err(), "{bytes:?}");
    }
    assert_eq!(SeriesState::decode(&mut Reader::new(&[])), Err(FormatError::Truncated));
}

/// Everything that ever came, and the answer by definition.
struct Model<'a> {
    series: &'a Series,
    samples: Vec<Sample>,
}

impl Model<'_> {
    /// First and last millisecond that a span sees.
    fn sees(&self, span: Span, time: i64) -> bool {
        let pane = |span_ms: i64, t: i64| (t * 60).div_euclid(span_ms);
        match (self.series.window, span) {
            (Window::Exact { span_ms, .. }, Span::UpTo(t)) => time > t.0 - span_ms && time <= t.0,
            (Window::Panes { span_ms }, Span::UpTo(t)) => {
                (0..60).contains(&(pane(span_ms, t.0) - pane(span_ms, time)))
            }
            (Window::Panes { span_ms }, Span::EndingAt(t)) => {
                (1..=60).contains(&(pane(span_ms, t.0) - pane(span_ms, time)))
            }
            (Window::Days { days }, Span::DaysSoFar { today }) => {
                (0..i64::from(days)).contains(&(i64::from(today) - time.div_euclid(DAY)))
            }
            (_, Span::DaysComplete { last_complete_day, days }) => {
                (0..i64::from(days)).contains(&(i64::from(last_complete_day) - time.div_euclid(DAY)))
            }
            _ => false,
        }
    }

    /// Whether a time lies before the end of a span.
    fn is_before_end(&self, span: Span, time: i64) -> bool {
        match (self.series.window, span) {
            (Window::Panes { span_ms }, Span::UpTo(t) | Span::EndingAt(t)) => {
                let (own, end) = ((time * 60).div_euclid(span_ms), (t.0 * 60).div_euclid(span_ms));
                own < end || (own == end && matches!(span, Span::UpTo(_)))
            }
            (_, Span::DaysSoFar { today: last } | Span::DaysComplete { last_complete_day: last, .. }) => {
                time.div_euclid(DAY) <= i64::from(last)
            }
            _ => false,
        }
    }

    fn value(&self, span: Span) -> i128 {
        let amount = |sample: &Sample| match sample.value {
            Some(Sampled::Amount(amount)) => i128::from(amount),
            _ => 0,
        };
        let seen = self.samples.iter().filter(|sample| self.sees(span, sample.time.0));
        match self.series.measure {
            Measure::Distinct(_) => {
                let hash = |sample: &Sample| match sample.value {
                    Some(Sampled::Hash(hash)) => hash,
                    _ => 0,
                };
                seen.map(hash).collect::<BTreeSet<_>>().len() as i128
            }
            Measure::Sum(_) => seen.map(amount).sum(),
            Measure::Last(_) => seen.max_by_key(|sample| sample.time).map_or(0, amount),
            Measure::Known(_) => {
                let known = self.samples.iter().filter(|sample| self.is_before_end(span, sample.time.0));
                known.max_by_key(|sample| sample.time).map_or(0, amount)
            }
            Measure::SumDistinct { .. } => {
                let (mut newest, mut seen_values) = (BTreeMap::new(), BTreeSet::new());
                for sample in &self.samples {
                    let Some(Sampled::Keyed(amount, hash)) = sample.value else { continue };
                    let own = newest.entry(hash).or_insert((sample.time, amount));
                    if own.0 <= sample.time {
                        *own = (sample.time, amount);
                    }
                    if self.sees(span, sample.time.0) {
                        seen_values.insert(hash);
                    }
                }
                seen_values.iter().map(|hash| i128::from(newest[hash].1)).sum()
            }
            _ => {
                let events: u64 = seen.map(|sample| u64::from(sample.weight)).sum();
                match self.series.window {
                    Window::Exact { keep, .. } => i128::from(events.min(u64::from(keep))),
                    _ => i128::from(events),
                }
            }
        }
    }
}

fn numerator(value: Exact) -> i128 {
    value.num
}

/// Steps forward, back and in place, so that order and repeats vary; sometimes far.
fn steps(scale: i64) -> impl Strategy<Value = Vec<(i64, u64, u32)>> {
    let step = prop_oneof![6 => -scale..2 * scale, 1 => scale..90 * scale, 1 => Just(0_i64)];
    prop::collection::vec((step, 0_u64..6, 1_u32..4), 1..120)
}

fn sample_for(series: &Series, time: i64, value: u64, weight: u32) -> Sample {
    let value = match series.measure {
        Measure::Distinct(_) => Some(Sampled::Hash(value)),
        Measure::Sum(_) | Measure::Last(_) | Measure::Known(_) => {
            Some(Sampled::Amount(i64::try_from(value).unwrap() * 1_000 - 2_000))
        }
        Measure::SumDistinct { .. } => Some(Sampled::Keyed(time % 1_000, value)),
        _ => None,
    };
    let weight = if matches!(series.window, Window::Exact { .. }) { 1 } else { weight };
    Sample { time: Timestamp(time), weight, value, midnight: None, lost_ms: 0 }
}

fn run(series: &Series, start: i64, steps: &[(i64, u64, u32)]) -> Result<(), TestCaseError> {
    let mut state = SeriesState::new(series);
    let mut model = Model { series, samples: Vec::new() };
    let (mut time, mut newest) = (start, i64::MIN);
    for (place, (step, value, weight)) in steps.iter().enumerate() {
        time += step;
        let sample = sample_for(series, time, *value, *weight);
        let taken = state.add(series, &sample, utc_day(time), Floor(Timestamp(newest)));
        newest = newest.max(time);
        model.samples.push(sample);
        let up_to = match series.window {
            Window::Days { .. } => Span::DaysSoFar { today: utc_day(newest).unwrap() },
            _ => Span::UpTo(Timestamp(newest)),
        };
        if taken == Taken::Late {
            prop_assert!(!model.sees(up_to, time));
        }
        let mut spans = vec![up_to];
        if let Window::Panes { span_ms } = series.window {
            spans.push(Span::UpTo(Timestamp(newest - span_ms)));
        }
        if series.negative {
            spans.push(Span::EndingAt(Timestamp(newest)));
        }
        if let (Window::Days { days }, Some(today)) = (series.window, utc_day(newest)) {
            spans.push(Span::DaysComplete { last_complete_day: today - 1, days });
            spans.push(Span::DaysComplete { last_complete_day: today - 1, days: days.div_ceil(2) });
        }
        for span in spans {
            let found = state.over(series, &series.window, span);
            prop_assert_eq!(numerator(found.value), model.value(span), "{:?} at {}", span, place);
            let again = reread(&state);
            prop_assert_eq!(&again, &state);
            prop_assert_eq!(again.over(series, &series.window, span), found);
        }
        if place % 7 == 3 && !matches!(series.window, Window::Exact { .. }) {
            state = reread(&state);
        }
        next_change_is_the_next(series, &state, up_to)?;
    }
    Ok(())
}

/// Until the mark the window shows the same, at the mark something else.
fn next_change_is_the_next(series: &Series, state: &SeriesState, span: Span) -> Result<(), TestCaseError> {
    let Span::UpTo(t) = span else { return Ok(()) };
    let events = |t| state.over(series, &series.window, Span::UpTo(t)).first;
    if let Some(mark) = state.next_change(series, &series.window, span) {
        prop_assert!(mark > t);
        prop_assert_eq!(events(mark.plus(-1)), events(t));
        prop_assert_ne!(events(mark), events(t));
    } else {
        prop_assert_eq!(events(t), None);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rings_agree_with_all_samples(steps in steps(40_000), start in -5_000_000_i64..5_000_000) {
        run(&counting(Window::Exact { span_ms: 10 * MINUTE, keep: 6 }), start, &steps)?;
    }

    #[test]
    fn panes_agree_with_all_samples(steps in steps(40_000), start in -5_000_000_i64..5_000_000, negative: bool) {
        for span_ms in [10 * MINUTE, 7_777, DAY] {
            for make in [counting, distinct, sum, sum_distinct, last, known] {
                let mut series = make(Window::Panes { span_ms });
                series.negative = negative;
                run(&series, start, &steps)?;
            }
        }
    }

    #[test]
    fn days_agree_with_all_samples(steps in steps(DAY / 3), start in -5 * DAY..5 * DAY) {
        for days in [1, 7, 63] {
            for make in [counting, distinct, sum, sum_distinct, last, known] {
                run(&make(Window::Days { days }), start, &steps)?;
            }
        }
    }

    #[test]
    fn what_was_added_can_be_taken_back(steps in steps(20_000), taken in prop::collection::vec(any::<bool>(), 120)) {
        let window = Window::Panes { span_ms: 10 * MINUTE };
        let series = sum(window);
        let mut state = SeriesState::new(&series);
        let mut model = Model { series: &series, samples: Vec::new() };
        let (mut time, mut newest) = (0, i64::MIN);
        for ((step, value, weight), back) in steps.iter().zip(taken) {
            time += step.clamp(&-20_000, &20_000);
            newest = newest.max(time);
            let sample = sample_for(&series, time, *value, *weight);
            let is_in = state.add(&series, &sample, None, OPEN) == Taken::Applied;
            if is_in && back {
                state.remove(&series, &sample, None);
            } else if is_in {
                model.samples.push(sample);
            }
            let span = Span::UpTo(Timestamp(newest));
            prop_assert_eq!(numerator(state.over(&series, &window, span).value), model.value(span));
        }
    }
}

fn score() -> Series {
    let factor = |name: &str, max| Factor { name: name.into(), max, points: Points::If(Match::default(), 0) };
    let scoring = Scoring {
        half_life_ms: 64 * MINUTE,
        lowest: Decimal::whole(0),
        highest: Decimal::whole(100),
        imported: None,
        factors: vec![factor("one", 1), factor("two", 2)],
    };
    series(Window::Newest, Measure::Score(Box::new(scoring)))
}

fn hits(points: &[(u8, i32)]) -> Hits {
    Hits { imported: None, points: points.to_vec() }
}

#[test]
fn points_fade_in_each_64th_of_the_half_life() {
    let series = score();
    let mut state = SeriesState::new(&series);
    state.add_points(&series, Timestamp(0), &hits(&[(0, 90 * 256)]));
    for minute in 0..300_i32 {
        let at = Timestamp(i64::from(minute) * MINUTE);
        let found = state.over(&series, &Window::Newest, Span::UpTo(at)).value.to_f64();
        let expected = 90.0 * (-f64::from(minute) / 64.0).exp2();
        assert!((found - expected).abs() <= 1.0 / 512.0 + 1e-9, "{minute}: {found}, not {expected}");
    }
}

#[test]
fn points_fade_by_half_and_a_factor_keeps_its_latest() {
    let series = score();
    let at = |state: &SeriesState, ms: i64| {
        state.over(&series, &Window::Newest, Span::UpTo(Timestamp(ms))).value.to_f64()
    };
    let mut state = SeriesState::new(&series);
    state.add_points(&series, Timestamp(0), &hits(&[(0, 45 * 256)]));
    state.add_points(&series, Timestamp(64 * MINUTE), &hits(&[(1, 20 * 256)]));
    assert!((at(&state, 64 * MINUTE) - 42.5).abs() < 1e-12, "20 now, 45 a half-life ago");
    state.add_points(&series, Timestamp(MINUTE), &hits(&[(0, 10 * 256)]));
    assert!((at(&state, MINUTE) - 30.0).abs() < 1e-12, "the later of two, though one lies ahead: {state:?}");
    assert_eq!(state.factors(&series, Timestamp(MINUTE)), [(0, 10 * 256), (1, 20 * 256)]);
    assert_eq!(state.fades_after(&series, Timestamp(90_000)), Some(Timestamp(2 * MINUTE)));
    state.add_points(&series, Timestamp(70 * MINUTE), &Hits { imported: Some(7 * 256), ..hits(&[(0, 256)]) });
    assert_eq!(state.factors(&series, Timestamp(70 * MINUTE)), [(IMPORTED, 7 * 256)]);
    assert_eq!(reread(&state), state);
    assert_eq!(state.fades_after(&series, Timestamp(1000 * 64 * MINUTE)), None);
}

#[test]
fn an_event_that_moves_takes_only_its_own_points_along() {
    let series = score();
    let mut state = SeriesState::new(&series);
    state.add_points(&series, Timestamp(5), &hits(&[(1, 20 * 256)]));
    let before = state.clone();
    state.add_points(&series, Timestamp(5), &hits(&[(0, 45 * 256), (1, 7 * 256)]));
    state.remove_points(Timestamp(5), &hits(&[(0, 45 * 256), (1, 7 * 256)]));
    assert_eq!(state, before);
}

#[test]
fn scores_and_last_values_have_these_bytes() {
    let bytes = |state: &SeriesState| {
        let mut out = Vec::new();
        state.encode(&mut out);
        out
    };
    let series = score();
    let mut state = SeriesState::new(&series);
    state.add_points(&series, Timestamp(100), &hits(&[(1, 3)]));
    state.add_points(&series, Timestamp(98), &hits(&[(1, -2)]));
    assert_eq!(bytes(&state), [6, 0xc8, 1, 0, 2, 0, 2, 4, 3, 3, 6]);
    assert_eq!(reread(&state), state);
    let last = last(Window::Newest);
    let amount = |ms, amount| Sample { value: Some(Sampled::Amount(amount)), ..at(ms) };
    let state = filled(&last, &[amount(100, 5), amount(50, 9)]);
    assert_eq!(bytes(&state), [5, 0xc8, 1, 10]);
    assert_eq!(reread(&state), state);
}

#[test]
fn a_chain_takes_each_step_from_an_event_of_its_own() {
    let series = series(
        Window::Exact { span_ms: 100, keep: 8 },
        Measure::Steps(vec![FilterIx(0), FilterIx(1), FilterIx(2)]),
    );
    let mut state = SeriesState::new(&series);
    let mut add = |ms: i64, steps: u8| state.add_steps(&series, Timestamp(ms), (steps, steps)).1;
    assert_eq!(add(0, 0b001), []);
    assert_eq!(add(50, 0b011), []);
    assert_eq!(add(60, 0b100), [(Timestamp(0), Timestamp(60))], "50 is the second, so 0 is the first");
    assert_eq!(add(55, 0b010), [(Timestamp(50), Timestamp(60))]);
    assert_eq!(add(155, 0b100), [], "a whole 100 after the last possible first");
    assert_eq!(add(149, 0b100), [(Timestamp(50), Timestamp(149))]);
    for ms in 0..9 {
        add(200 + ms, 0b010);
    }
    assert_eq!(
        state.add_steps(&series, Timestamp(199), (0b010, 0b010)).0,
        Taken::Late,
        "older than the eight kept"
    );
    assert_eq!(reread(&state), state);
    assert!(state.is_empty_at(&series, Floor(Timestamp(308))));
    assert!(!state.is_empty_at(&series, Floor(Timestamp(307))));
}

#[test]
fn steps_have_these_bytes() {
    let series =
        series(Window::Exact { span_ms: 100, keep: 8 }, Measure::Steps(vec![FilterIx(0), FilterIx(1)]));
    let mut state = SeriesState::new(&series);
    state.add_steps(&series, Timestamp(100), (0b01, 0b01));
    state.add_steps(&series, Timestamp(98), (0b11, 0b11));
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    assert_eq!(bytes, [7, 0xc8, 1, 2, 0, 1, 4, 3]);
}

fn course(closing: Vec<u8>) -> Series {
    let names = vec!["one".into(), "two".into()];
    let steps = CourseSteps { filter: FilterIx(1), field: Path::Property("step".into()), names };
    let expect = closing.is_empty().then_some(FilterIx(2));
    let course = Course { begin: Begin::At(FilterIx(0)), expect, closing, steps: Some(steps) };
    series(Window::Newest, Measure::Course(Box::new(course)))
}

#[test]
fn the_first_start_counts_until_the_end() {
    let series = course(Vec::new());
    let mut state = SeriesState::new(&series);
    let mut add = |ms: i64, part: Part| {
        let taken = state.add_part(&series, Timestamp(ms), part);
        state = reread(&state);
        (taken, state.course_start().map(|start| start.0))
    };
    assert_eq!(add(20, Part::Start), (Taken::Applied, Some(20)));
    assert_eq!(add(30, Part::Start), (Taken::Applied, Some(20)));
    assert_eq!(add(10, Part::Start), (Taken::Applied, Some(10)), "an earlier one arrives late");
    assert_eq!(add(20, Part::End), (Taken::Applied, Some(30)), "an end at the time of a start ends it");
    assert_eq!(add(15, Part::Start), (Taken::Late, Some(30)));
    assert_eq!(add(25, Part::Step(1)), (Taken::Applied, Some(30)));
    assert!(!state.is_done_since(1, Timestamp(30)) && state.is_done_since(1, Timestamp(25)));
    let mut add = |ms: i64| {
        state.add_part(&series, Timestamp(ms), Part::Start);
        state.course_start().map(|start| start.0)
    };
    (40..50).for_each(|ms| assert_eq!(add(ms), Some(30)));
    state.remove_part(Timestamp(30), Part::Start);
    assert_eq!(state.course_start(), Some(Timestamp(43)), "the first and the latest seven are kept");
}

#[test]
fn steps_end_what_expects_nothing_else() {
    let series = course(vec![0, 1]);
    let mut state = SeriesState::new(&series);
    let mut add = |ms: i64, part: Part| {
        state.add_part(&series, Timestamp(ms), part);
        state.course_start().map(|start| start.0)
    };
    assert_eq!(add(5, Part::Step(1)), None);
    assert_eq!(add(10, Part::Start), Some(10));
    assert_eq!(add(12, Part::Step(0)), Some(10), "the other was done before it began");
    assert_eq!(add(13, Part::Start), Some(10));
    assert_eq!(add(20, Part::Step(1)), None, "done at 20, so what began at 13 is part of it");
    assert_eq!(add(25, Part::Start), Some(25));
}

#[test]
fn courses_have_these_bytes() {
    let series = course(Vec::new());
    let mut state = SeriesState::new(&series);
    state.add_part(&series, Timestamp(100), Part::Start);
    state.add_part(&series, Timestamp(98), Part::Step(1));
    state.add_part(&series, Timestamp(90), Part::End);
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    assert_eq!(bytes, [8, 0xc8, 1, 1, 2, 1, 20, 0, 1, 4, 0]);
}
