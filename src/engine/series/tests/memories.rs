//! What is remembered of the values of a field: which there were, and the newest of each day.

use super::{DAY, HOUR, OPEN, at, known, reread, series, utc_day};
use crate::engine::calendar::{Calendar, ZoneIx};
use crate::engine::series::{Floor, Sample, Sampled, SeriesState, Span, Taken};
use crate::event::bytes::Reader;
use crate::event::{Field, Timestamp};
use crate::rules::program::{Measure, Path, Series, Window};

fn values() -> Series {
    series(Window::Newest, Measure::New(Path::Field(Field::ErrorCode)))
}

#[test]
fn a_value_is_new_once_and_tells_the_first_match() {
    let mut state = SeriesState::new(&values());
    let mut learn = |ms: i64, hash: u64| state.learn(Timestamp(ms), Sampled::Hash(hash)).map(|first| first.0);
    assert_eq!(learn(HOUR, 1), Some(HOUR));
    assert_eq!(learn(2 * HOUR, 1), None);
    assert_eq!(learn(3 * HOUR, 2), Some(HOUR));
    // A late match is first all the same.
    assert_eq!(learn(0, 2), None);
    assert_eq!(learn(4 * HOUR, 3), Some(0));
    // Of 65 values the one seen longest ago is forgotten: 2, because 1 was seen again.
    learn(5 * HOUR, 1);
    for hash in 4..=64 {
        assert_eq!(learn(6 * HOUR, hash), Some(0), "{hash}");
    }
    assert_eq!(learn(6 * HOUR, 2), None);
    assert_eq!(learn(6 * HOUR, 65), Some(0));
    assert_eq!(learn(6 * HOUR, 1), None);
    assert_eq!(learn(6 * HOUR, 3), Some(0));
    assert_eq!(reread(&state), state);
}

#[test]
fn values_have_these_bytes() {
    let mut state = SeriesState::new(&values());
    state.learn(Timestamp(2), Sampled::Hash(7));
    state.learn(Timestamp(1), Sampled::Hash(0x0102));
    let mut out = Vec::new();
    state.encode(&mut out);
    assert_eq!(out, [9, 4, 2, 2, 7, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    assert!(SeriesState::decode(&mut Reader::new(&[9, 4, 2, 65])).is_err());
}

/// Used 100 a day in one period, told by day and hour.
fn read(state: &mut SeriesState, series: &Series, (ms, used, period): (i64, i64, u64)) {
    let value = Some(Sampled::Keyed(used * 1_000_000, period));
    state.add(series, &Sample { value, ..at(ms) }, utc_day(ms), OPEN);
}

#[test]
fn a_pace_is_that_of_seven_days_in_one_period() {
    let mut series =
        series(Window::Newest, Measure::Reading { of: Path::Property("used".into()), period: None });
    series.extras.pace = true;
    let mut state = SeriesState::new(&series);
    let pace = |state: &SeriesState| state.pace().map(|pace| (pace.change / 1_000_000, pace.within_ms));
    read(&mut state, &series, (0, 100, 1));
    read(&mut state, &series, (2 * HOUR, 110, 1));
    read(&mut state, &series, (2 * DAY, 200, 1));
    assert_eq!(pace(&state), None, "two days only");
    read(&mut state, &series, (DAY, 90, 1));
    assert_eq!(pace(&state), Some((90, 2 * DAY - 2 * HOUR)), "from the last value of the first day");
    read(&mut state, &series, (HOUR, 500, 1));
    assert_eq!(pace(&state), Some((90, 2 * DAY - 2 * HOUR)), "an older report of that day changes nothing");
    read(&mut state, &series, (7 * DAY + HOUR, 800, 1));
    assert_eq!(pace(&state), Some((690, 7 * DAY - HOUR)));
    read(&mut state, &series, (7 * DAY + 2 * HOUR, 800, 1));
    assert_eq!(pace(&state), Some((710, 6 * DAY + 2 * HOUR)), "seven days ago is too long ago");
    assert_eq!(reread(&state), state);
    assert_eq!(state.pace().unwrap().after(DAY), 710_000_000_i64 * 24 / 146);
    read(&mut state, &series, (8 * DAY, 5, 2));
    assert_eq!((state.period(), pace(&state)), (Some(2), None), "a new period begins anew");
    read(&mut state, &series, (2 * DAY + HOUR, 7, 2));
    read(&mut state, &series, (DAY + HOUR, 7, 2));
    assert_eq!(pace(&state), Some((-2, 7 * DAY - HOUR)));
}

#[test]
fn readings_without_a_forecast_are_one_and_have_these_bytes() {
    let series = series(Window::Newest, Measure::Reading { of: Path::Property("used".into()), period: None });
    let mut state = SeriesState::new(&series);
    for (ms, used) in [(DAY, 1), (3 * DAY, 3), (2 * DAY, 2)] {
        read(&mut state, &series, (ms, used, 9));
    }
    let mut out = Vec::new();
    state.encode(&mut out);
    let time = [0x80, 0xd0, 0x98, 0xf7, 1];
    let expected =
        [&[10][..], &time, &[1, 6], &time, &[0x80, 0x9b, 0xee, 2, 9, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(out, expected);
    assert_eq!(state.over(&series, &Window::Newest, Span::UpTo(Timestamp(0))).value.num, 3_000_000);
    assert!(SeriesState::decode(&mut Reader::new(&[10, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])).is_err());
}

#[test]
fn two_an_hour_are_usual_after_two_weeks_of_them() {
    let (mut calendar, window) = (Calendar::new(), Window::Panes { span_ms: HOUR });
    let series = series(window, Measure::Usual);
    let mut state = SeriesState::new(&series);
    let start = 4 * DAY;
    for hour in 0..15 * 24 {
        let now = Timestamp(start + hour * HOUR);
        state.fold_hours((Timestamp(start), now), |time| calendar.hour_at(ZoneIx::UTC, time));
        for _ in 0..2 {
            state.add(&series, &at(now.0 + 60_000), None, OPEN);
        }
    }
    let end = Timestamp(start + 15 * DAY);
    let profile = state.profile((Timestamp(start), end), |time| calendar.hour_at(ZoneIx::UTC, time)).unwrap();
    let mut expect = |from, to| profile.expected((from, to), &mut |time| calendar.hour_at(ZoneIx::UTC, time));
    let hour = expect(end, end.plus(HOUR));
    assert!((hour.mean - 2.0).abs() < 0.03, "{hour:?}");
    // The law is one of chance, and its level hardly in doubt.
    assert!(hour.variance > hour.mean && hour.variance < 1.1 * hour.mean, "{hour:?}");
    let half = expect(end.plus(HOUR / 2), end.plus(HOUR));
    assert!((half.mean * 2.0 - hour.mean).abs() < 1e-12, "{half:?}");
    // A match of an hour that is folded counts in the window, and is no usual one any more.
    state.fold_hours((Timestamp(start), end), |time| calendar.hour_at(ZoneIx::UTC, time));
    state.add(&series, &at(end.0 - 1), None, OPEN);
    assert_eq!(state.over(&series, &window, Span::UpTo(end.plus(-1))).events, 3);
    let again = state.profile((Timestamp(start), end), |time| calendar.hour_at(ZoneIx::UTC, time)).unwrap();
    assert_eq!(again, profile);
    assert_eq!(reread(&state), state);
}

#[test]
fn what_is_usual_has_these_bytes() {
    let mut calendar = Calendar::new();
    let series = series(Window::Panes { span_ms: HOUR }, Measure::Usual);
    let mut state = SeriesState::new(&series);
    state.add(&series, &at(HOUR), None, OPEN);
    state.add(&series, &at(3 * HOUR), None, OPEN);
    state.fold_hours((Timestamp(HOUR), Timestamp(2 * HOUR)), |time| calendar.hour_at(ZoneIx::UTC, time));
    let mut out = Vec::new();
    state.encode(&mut out);
    // The tag, the newest match, panes, the open quarter, the next hour; dispersion, level and weight.
    let head = [12, 0x80, 0xae, 0xa6, 0x0a, 2, 0xe8, 2, 1, 2, 24, 1, 0x80, 0xf4, 0xee, 6];
    assert_eq!(out[..head.len()], head);
    let numbers: Vec<f32> = out[head.len()..]
        .chunks_exact(4)
        .take(3)
        .map(|it| f32::from_le_bytes(it.try_into().unwrap()))
        .collect();
    assert!(
        numbers.iter().zip([0.997_941_3, 1.0, 1.0]).all(|(own, it)| (own - it).abs() < 1e-6),
        "{numbers:?}"
    );
    // 1970-01-01 was a Thursday: the second hour of the fourth day.
    let hours = &out[head.len() + 12..];
    assert!(hours[..73].iter().all(|weeks| *weeks == 0));
    assert_eq!(hours[73..79], [1, 0, 0, 0x80, 0x3f, 0]);
    assert_eq!(hours.len(), 168 + 4);
    assert!(SeriesState::decode(&mut Reader::new(&out[..out.len() - 1])).is_err());
    out[head.len() + 3] = 0xff;
    assert!(SeriesState::decode(&mut Reader::new(&out)).is_err(), "a negative dispersion");
}

#[test]
fn the_last_known_value_outlives_its_window_and_has_these_bytes() {
    let window = Window::Days { days: 2 };
    let mut state = SeriesState::new(&known(window));
    let tell = |state: &mut SeriesState, ms: i64, amount: i64| {
        let sample = Sample { value: Some(Sampled::Amount(amount)), ..at(ms) };
        state.add(&known(window), &sample, utc_day(ms), Floor(Timestamp(ms)))
    };
    let value = |state: &SeriesState, day: i32| {
        let span = Span::DaysComplete { last_complete_day: day, days: 2 };
        let measured = state.over(&known(window), &window, span);
        let value = SeriesState::known(&known(window).measure, &measured);
        (value.map(|value| value.num), measured.events)
    };
    tell(&mut state, HOUR, 7);
    assert_eq!(
        (value(&state, -1), value(&state, 0), value(&state, 9)),
        ((None, 0), (Some(7), 1), (Some(7), 0))
    );
    tell(&mut state, 20 * DAY, -3);
    assert_eq!((value(&state, 19), value(&state, 20)), ((Some(7), 0), (Some(-3), 1)));
    // Older than every window: what was known before them is the newest of that all the same.
    let late = |ms: i64, amount: i64| Sample { value: Some(Sampled::Amount(amount)), ..at(ms) };
    let floor = Floor(Timestamp(20 * DAY));
    assert_eq!(state.add(&known(window), &late(0, 5), utc_day(0), floor), Taken::Late);
    assert_eq!(state.add(&known(window), &late(HOUR, 8), utc_day(HOUR), floor), Taken::Applied);
    assert_eq!((value(&state, 19), value(&state, 20)), ((Some(8), 0), (Some(-3), 1)));
    assert!(!state.is_empty_at(&known(window), Floor(Timestamp(900 * DAY))));
    assert_eq!(reread(&state), state);
    let mut out = Vec::new();
    state.encode(&mut out);
    let time = [0x80, 0xc0, 0xf9, 0xef, 0x0c];
    let back = [0x80, 0x86, 0xc2, 0xec, 0x0c];
    assert_eq!(out, [&[13][..], &time, &[2, 40, 1, 2, 0], &back, &[16, 40, 0, 5]].concat());
    // Two of one day.
    assert!(SeriesState::decode(&mut Reader::new(&[13, 0, 0, 2, 2, 0, 2, 2, 0, 2])).is_err());
}
