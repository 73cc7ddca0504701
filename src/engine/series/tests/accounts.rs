//! Whose the matches of a row across accounts are.

use super::*;
use crate::engine::series::Owned;

/// A series across accounts whose accounts are told apart.
fn owned_series(window: Window) -> Series {
    let extras = Extras { accounts: true, ..Extras::default() };
    Series { entity: Entity { account: false, part: None }, extras, ..counting(window) }
}

fn owned(account: u64, weight: u32) -> Owned {
    Owned { account, weight, may_leave: true }
}

fn add(state: &mut SeriesState, series: &Series, ms: i64, owned: Owned) -> Taken {
    let sample = Sample { weight: owned.weight, ..at(ms) };
    let taken = state.add(series, &sample, utc_day(ms), OPEN);
    if taken == Taken::Applied {
        state.add_account(series, (Timestamp(ms), utc_day(ms)), owned);
    }
    taken
}

fn take_back(state: &mut SeriesState, series: &Series, ms: i64, owned: Owned) {
    state.remove(series, &Sample { weight: owned.weight, ..at(ms) }, utc_day(ms));
    state.remove_account(series, (Timestamp(ms), utc_day(ms)), owned);
}

fn up_to(state: &SeriesState, series: &Series, ms: i64) -> u64 {
    state.accounts(series, &series.window, Span::UpTo(Timestamp(ms)))
}

#[test]
fn an_account_stays_until_the_last_of_its_matches_has_left() {
    let series = owned_series(Window::Panes { span_ms: HOUR });
    let mut state = SeriesState::new(&series);
    add(&mut state, &series, 0, owned(1, 1));
    add(&mut state, &series, 1_000, owned(1, 2));
    add(&mut state, &series, 2_000, owned(2, 1));
    assert_eq!(up_to(&state, &series, 2_000), 2);
    take_back(&mut state, &series, 0, owned(1, 1));
    take_back(&mut state, &series, 1_000, owned(1, 1));
    state = reread(&state);
    assert_eq!(up_to(&state, &series, 2_000), 2, "one match of account 1 is left");
    take_back(&mut state, &series, 1_000, owned(1, 1));
    assert_eq!(up_to(&state, &series, 2_000), 1);
    take_back(&mut state, &series, 2_000, owned(3, 1));
    assert_eq!(up_to(&state, &series, 2_000), 1, "nobody knew of account 3");
}

#[test]
fn a_reset_forgets_accounts_and_those_that_come_late_for_it() {
    let series = owned_series(Window::Panes { span_ms: HOUR });
    let mut state = SeriesState::new(&series);
    add(&mut state, &series, MINUTE, owned(1, 1));
    add(&mut state, &series, 5 * MINUTE, owned(2, 1));
    state.reset(&series, Timestamp(2 * MINUTE), None);
    add(&mut state, &series, MINUTE, owned(3, 1));
    assert_eq!(up_to(&state, &series, 5 * MINUTE), 1);
}

#[test]
fn accounts_that_are_not_asked_for_are_forgotten() {
    let series = owned_series(Window::Panes { span_ms: HOUR });
    let mut state = SeriesState::new(&series);
    add(&mut state, &series, 0, owned(1, 1));
    assert!(state.plain_counts().is_none(), "they have no place in a row in few bytes");
    state.forget_accounts();
    assert_eq!(state, filled(&series, &[at(0)]));
    assert_eq!(up_to(&state, &series, 0), 0);
}

#[test]
fn beyond_the_most_accounts_those_of_the_newest_window_are_kept() {
    const MOST: u64 = 16_384;
    let series = owned_series(Window::Panes { span_ms: HOUR });
    let mut state = SeriesState::new(&series);
    let seldom = |account| Owned { may_leave: false, ..owned(account, 1) };
    for account in 0..MOST {
        add(&mut state, &series, 0, seldom(account));
    }
    add(&mut state, &series, 30 * MINUTE, seldom(MOST));
    assert_eq!(up_to(&state, &series, 30 * MINUTE), MOST, "there it stays");
    for account in 0..500 {
        add(&mut state, &series, 70 * MINUTE, seldom(MOST + account));
    }
    assert_eq!(up_to(&state, &series, 70 * MINUTE), 500, "those before make room");
    assert_eq!(up_to(&reread(&state), &series, 70 * MINUTE), 500);
}

#[test]
fn accounts_have_these_bytes() {
    let series = owned_series(Window::Panes { span_ms: HOUR });
    let mut state = SeriesState::new(&series);
    add(&mut state, &series, 0, owned(1, 1));
    add(&mut state, &series, MINUTE, owned(1, 3));
    let mut out = Vec::new();
    state.encode(&mut out);
    // The tag with its flag, the newest match, panes; one account in panes 1 and 0; three matches in pane 1.
    let expected = [
        &[0x42, 0xc0, 0xa9, 7, 4, 2, 3, 1, 1][..],
        &[1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0],
        &[1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 3],
    ];
    assert_eq!(out, expected.concat());
    assert!(SeriesState::decode(&mut Reader::new(&[0x45, 2, 0])).is_err(), "a last value is nobody's");
}

/// Matches come and leave; who has some in the window is what a list of all says.
fn agrees(series: &Series, steps: &[(i64, u64, u32)], leaving: &[usize]) -> Result<(), TestCaseError> {
    let mut state = SeriesState::new(series);
    let mut all: Vec<(i64, Owned)> = Vec::new();
    let (mut time, mut newest) = (0, i64::MIN);
    for (place, (step, account, weight)) in steps.iter().enumerate() {
        time += step;
        if add(&mut state, series, time, owned(*account, *weight)) == Taken::Applied {
            all.push((time, owned(*account, *weight)));
        }
        newest = newest.max(time);
        if let Some(leaves) = leaving.get(place).filter(|_| place % 3 == 0) {
            let (ms, own) = all.swap_remove(leaves % all.len());
            take_back(&mut state, series, ms, own);
        }
        if place % 5 == 0 {
            state = reread(&state);
        }
        let span = match series.window {
            Window::Days { .. } => Span::DaysSoFar { today: utc_day(newest).unwrap() },
            _ => Span::UpTo(Timestamp(newest)),
        };
        let model = Model { series, samples: Vec::new() };
        let seen = all.iter().filter(|(ms, _)| model.sees(span, *ms));
        let accounts: BTreeSet<u64> = seen.map(|(_, own)| own.account).collect();
        prop_assert_eq!(state.accounts(series, &series.window, span), accounts.len() as u64, "{}", place);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn accounts_agree_with_all_matches(
        steps in steps(40_000),
        leaving in prop::collection::vec(0_usize..1000, 120),
    ) {
        agrees(&owned_series(Window::Panes { span_ms: 10 * MINUTE }), &steps, &leaving)?;
        let usual = Series { measure: Measure::Usual, ..owned_series(Window::Panes { span_ms: HOUR }) };
        agrees(&usual, &steps, &leaving)?;
    }

    #[test]
    fn accounts_of_days_agree_with_all_matches(
        steps in steps(8 * HOUR),
        leaving in prop::collection::vec(0_usize..1000, 120),
    ) {
        agrees(&owned_series(Window::Days { days: 3 }), &steps, &leaving)?;
    }
}
