use super::{
    account, at, compared, condition, condition_count, filter, observed, part, program, rule, rung, scope,
    series,
};
use crate::engine::alert::sentences::{reason, would_clear_when, would_not_have_fired_if};
use crate::engine::alert::{Observed, Unit};
use crate::engine::number::Exact;
use crate::event::{Field, Kind};
use crate::rules::program::{
    Begin, Bucket, Clear, Combine, Comparator, Condition, CountAs, Course, CourseSteps, Decimal, Detector,
    Filter, FilterIx, Literal, Match, Measure, Output, Path, Program, Rung, SeriesIx, Test, Variable, Window,
};

const DAY_MS: i64 = 86_400_000;

/// One condition over `login.failed`, ended by these clears.
fn one(condition: Condition, measure: Measure, clear: Vec<Clear>) -> Program {
    let mut rule = rule("r", vec![condition]);
    rule.clear = clear;
    program(rule, vec![filter(Kind::Usage, &["login.failed"])], vec![series(0, measure)])
}

#[track_caller]
fn check(program: &Program, observed: &[Observed], expected: [&str; 3]) {
    let scope = scope(program, observed);
    assert_eq!(reason(&scope), expected[0]);
    assert_eq!(would_clear_when(&scope).as_deref().unwrap_or("-"), expected[1]);
    assert_eq!(would_not_have_fired_if(&scope).as_deref().unwrap_or("-"), expected[2]);
}

fn if_value(op: Comparator, limit: Decimal, for_ms: i64) -> Clear {
    let test = Test::Bounds(vec![(op, Literal::Number(limit))]);
    Clear::If { matches: Match(vec![vec![(Variable::Output(None, Output::Value), test)]]), for_ms }
}

fn if_not_met() -> Clear {
    let test = Test::AnyOf(vec![Literal::Bool(false)]);
    Clear::If { matches: Match(vec![vec![(Variable::Output(None, Output::Met), test)]]), for_ms: 0 }
}

#[test]
fn a_count_speaks_in_whole_events() {
    let condition = condition_count(Comparator::Gte, Decimal::whole(5));
    let clear = if_value(Comparator::Lte, Decimal::whole(2), 3_600_000);
    check(
        &one(condition, Measure::Count, vec![clear]),
        &[observed(Exact::whole(6), Unit::Count)],
        [
            "6 login.failed in 10 minutes (at least 5)",
            "login.failed <= 2 for 1 hour",
            "4 login.failed or fewer in 10 minutes",
        ],
    );
    let condition = condition_count(Comparator::Gt, Decimal::whole(10));
    check(
        &one(condition, Measure::Distinct(Path::Field(Field::UserId)), vec![if_not_met()]),
        &[observed(Exact::whole(11), Unit::Count)],
        [
            "11 different user_id of login.failed in 10 minutes (more than 10)",
            "different user_id of login.failed <= 10 in 10 minutes",
            "10 different user_id of login.failed or fewer in 10 minutes",
        ],
    );
}

#[test]
fn a_drop_says_how_many_would_have_been_enough() {
    for (op, enough) in
        [(Comparator::Lt, "2 login.failed or more"), (Comparator::Lte, "3 login.failed or more")]
    {
        let program = one(condition_count(op, Decimal::whole(2)), Measure::Count, Vec::new());
        let observed = [observed(Exact::whole(1), Unit::Count)];
        let sentence = would_not_have_fired_if(&scope(&program, &observed));
        assert_eq!(sentence, Some(format!("{enough} in 10 minutes")));
    }
}

#[test]
fn an_absence_names_the_last_match() {
    let absence = Detector::Absence {
        series: SeriesIx(0),
        rungs: vec![rung(Comparator::Gte, Decimal::whole(7 * DAY_MS))],
        count_as: CountAs::Elapsed,
        arm: None,
        until: None,
    };
    let program = one(condition("", absence), Measure::Count, vec![if_not_met()]);
    let mut seen = observed(Exact::whole(7 * DAY_MS + 600_000), Unit::Ms);
    seen.last_seen = Some(at("2026-01-05T10:00:00Z"));
    check(
        &program,
        &[seen.clone()],
        [
            "no login.failed for 7d (at least 7d), the last at 2026-01-05 10:00",
            "login.failed is seen again",
            "login.failed within 7 days of 2026-01-05 10:00",
        ],
    );
    seen.last_seen = None;
    check(
        &program,
        &[seen],
        ["no login.failed for 7d (at least 7d)", "login.failed is seen again", "login.failed within 7 days"],
    );
}

fn compare(op: Comparator, limit: Decimal, difference: bool) -> Condition {
    let (series, window) = (SeriesIx(0), Window::Days { days: 30 });
    condition(
        "",
        Detector::Compare { series, window, difference, baseline: false, rungs: vec![rung(op, limit)] },
    )
}

#[test]
fn a_change_is_told_in_the_measure_that_would_have_been_enough() {
    let drop = compare(Comparator::Lte, Decimal { mantissa: -4, scale: 1 }, false);
    check(
        &one(drop.clone(), Measure::Count, vec![if_not_met()]),
        &[compared(72, 120, Unit::Count)],
        [
            "login.failed 120 to 72 in 30 days (-40%, at most -40%)",
            "login.failed change > -40% in 30 days",
            "73 login.failed or more in 30 days",
        ],
    );
    let growth = compare(Comparator::Gte, Decimal { mantissa: 25, scale: 2 }, false);
    check(
        &one(growth, Measure::Sum(Path::Property("dwell_ms".into())), Vec::new()),
        &[compared(372_000, 100_000, Unit::Ms)],
        [
            "dwell_ms of login.failed 1m40s to 6m12s in 30 days (272%, at least 25%)",
            "-",
            "less than 2m5s of dwell_ms of login.failed in 30 days",
        ],
    );
    let mut difference = compared(150, 100, Unit::Count);
    (difference.value, difference.unit) = (Some(Exact::whole(50)), Unit::Count);
    check(
        &one(compare(Comparator::Gt, Decimal::whole(20), true), Measure::Count, vec![if_not_met()]),
        &[difference],
        [
            "login.failed 100 to 150 in 30 days (50, more than 20)",
            "login.failed difference <= 20 in 30 days",
            "120 login.failed or fewer in 30 days",
        ],
    );
}

#[test]
fn an_event_ends_with_its_counterpart_or_with_time() {
    let event = condition("", Detector::Event { filter: FilterIx(0), new: None });
    let mut unset = observed(Exact::whole(1), Unit::Number);
    unset.value = None;
    let clear =
        Clear::Event { filter: FilterIx(1), equal: vec![Path::Field(Field::InvoiceId)], for_ms: 3_600_000 };
    let mut program = one(event, Measure::Count, vec![clear]);
    program.filters.push(filter(Kind::Billing, &["invoice.paid", "invoice.voided"]));
    check(
        &program,
        &[unset.clone()],
        [
            "login.failed happened",
            "invoice.paid or invoice.voided arrives with the same invoice_id and nothing new follows for 1 hour",
            "no login.failed",
        ],
    );
    program.rules[0].clear.clear();
    program.rules[0].expires_after_ms = Some(30 * DAY_MS);
    let sentence = would_clear_when(&scope(&program, &[unset]));
    assert_eq!(sentence.as_deref(), Some("30 days have passed since it opened"));
}

#[test]
fn of_several_conditions_those_count_that_decide() {
    let named = |name: &str, rungs: Vec<Rung>| {
        let window = Window::Panes { span_ms: 3_600_000 };
        condition(name, Detector::Count { series: SeriesIx(0), window, rungs })
    };
    let five = || vec![rung(Comparator::Gte, Decimal::whole(5))];
    let mut rule = rule("r", vec![named("a", five()), named("b", five())]);
    rule.entity = part("user", Field::UserId);
    let mut program = program(rule, Vec::new(), Vec::new());
    let seen = [observed(Exact::whole(9), Unit::Count), observed(Exact::whole(5), Unit::Count)];
    check(
        &program,
        &seen,
        ["9 a in 1 hour (at least 5); 5 b in 1 hour (at least 5)", "-", "4 b or fewer in 1 hour"],
    );
    program.rules[0].combine = Combine::Any;
    program.rules[0].entity = account();
    check(
        &program,
        &seen,
        [
            "9 a in 1 hour (at least 5); 5 b in 1 hour (at least 5)",
            "-",
            "4 a or fewer in 1 hour and 4 b or fewer in 1 hour",
        ],
    );
    let mut one_met = seen.clone();
    one_met[1].met = false;
    check(&program, &one_met, ["9 a in 1 hour (at least 5)", "-", "4 a or fewer in 1 hour"]);
}

/// A rule of one condition over these filters and this measure.
fn over(condition: Condition, filters: Vec<Filter>, measure: Measure) -> Program {
    let mut rule = rule("r", vec![condition]);
    rule.clear = vec![if_not_met()];
    program(rule, filters, vec![series(0, measure)])
}

#[test]
fn a_sequence_tells_its_steps_in_order() {
    let page = |name: &str, test: Test| {
        let mut own = filter(Kind::Usage, &["page.viewed"]);
        own.matches.0[0].push((Path::Property(name.into()), test));
        own
    };
    let filters = vec![
        filter(Kind::Usage, &["search.performed"]),
        page("page", Test::StartsWith(vec!["help".into()])),
        page("page", Test::AnyOf(vec![Literal::Text("cancel".into())])),
    ];
    let steps = [0, 1, 2].map(FilterIx).to_vec();
    let sequence = Detector::Sequence { series: SeriesIx(0), within_ms: DAY_MS };
    check(
        &over(condition("", sequence), filters, Measure::Steps(steps)),
        &[observed(Exact::whole(2 * 3_600_000), Unit::Ms)],
        [
            "search.performed, then page.viewed (page help…), then page.viewed (page cancel) in 2h (less than 1 day)",
            "search.performed, then page.viewed (page help…), then page.viewed (page cancel) no longer holds",
            "search.performed, then page.viewed (page help…), then page.viewed (page cancel) in 1 day or more, or in another order",
        ],
    );
}

#[test]
fn a_milestone_tells_what_is_late_since_when() {
    let filters =
        || vec![filter(Kind::Usage, &["onboarding.started"]), filter(Kind::Usage, &["onboarding.completed"])];
    let due =
        |days: i64, step: Option<u8>| Rung { step, ..rung(Comparator::Gte, Decimal::whole(days * DAY_MS)) };
    let names = vec!["profile".into(), "report".into()];
    let steps = CourseSteps { filter: FilterIx(0), field: Path::Property("step".into()), names };
    let course = |begin: Begin, steps: Option<CourseSteps>| {
        let expect = matches!(begin, Begin::At(_)).then_some(FilterIx(1));
        Measure::Course(Box::new(Course { begin, expect, closing: Vec::new(), steps }))
    };
    let milestone = |rungs: Vec<Rung>| condition("", Detector::Milestone { series: SeriesIx(0), rungs });
    let seen = |days: i64| Observed {
        onset: Some(at("2026-01-05T10:00:00Z")),
        ..observed(Exact::whole(days * DAY_MS), Unit::Ms)
    };
    check(
        &over(milestone(vec![due(3, None)]), filters(), course(Begin::At(FilterIx(0)), None)),
        &[seen(3)],
        [
            "no onboarding.completed 3d after onboarding.started (due in 3 days)",
            "nothing is due after onboarding.started any more",
            "onboarding.completed within 3 days of 2026-01-05 10:00",
        ],
    );
    let stepwise = Observed {
        current: Some(Exact::whole(1)),
        previous: Some(Exact::whole(2)),
        step: Some(1),
        missing: vec![1],
        ..seen(4)
    };
    check(
        &over(milestone(vec![due(3, Some(1))]), filters(), course(Begin::At(FilterIx(0)), Some(steps))),
        &[stepwise],
        [
            "no step report 4d after onboarding.started (due in 3 days), 1 of 2 steps done",
            "nothing is due after onboarding.started any more",
            "step report within 3 days of 2026-01-05 10:00",
        ],
    );
    check(
        &over(milestone(vec![due(-30, None)]), filters(), course(Begin::On(Field::RenewalDate), None)),
        &[seen(-30)],
        [
            "it is 30 days before account.renewal_date, or later",
            "nothing is due after account.renewal_date any more",
            "-",
        ],
    );
}

#[test]
fn a_cadence_tells_each_bucket() {
    let window = Window::Buckets { bucket: Bucket::Week, count: 3 };
    let rungs = vec![rung(Comparator::Lt, Decimal::whole(2))];
    let cadence = Detector::Cadence { series: SeriesIx(0), window, rungs };
    let seen =
        Observed { buckets: [1, 0, 1].map(Exact::whole).to_vec(), ..observed(Exact::whole(1), Unit::Count) };
    check(
        &over(condition("", cadence), vec![filter(Kind::Usage, &["login.succeeded"])], Measure::Count),
        &[seen],
        [
            "1, 0, 1 login.succeeded in the last 3 weeks (less than 2 each)",
            "login.succeeded >= 2 in one of the last 3 weeks",
            "2 login.succeeded or more in one of the last 3 weeks",
        ],
    );
}

#[test]
fn a_share_names_what_it_is_of() {
    let filters = vec![filter(Kind::Outcome, &["opened"]), filter(Kind::Outcome, &["delivered"])];
    let window = Window::Days { days: 60 };
    let rungs = vec![rung(Comparator::Lte, Decimal { mantissa: 1, scale: 1 })];
    let count = Detector::Count { series: SeriesIx(0), window, rungs };
    check(
        &over(condition("", count), filters, Measure::ShareOf(FilterIx(1))),
        &[observed(Exact::ratio(1, 12).unwrap(), Unit::Share)],
        [
            "8% opened of delivered in 60 days (at most 10%)",
            "opened of delivered > 10% in 60 days",
            "more than 10% of opened of delivered in 60 days",
        ],
    );
}

#[test]
fn a_forecast_says_how_far_ahead_it_looks() {
    let filters = vec![filter(Kind::Usage, &["usage.metered"])];
    let used = Measure::Reading { of: Path::Property("used".into()), period: None };
    let level = Detector::Level {
        series: SeriesIx(0),
        window: Window::Newest,
        rungs: vec![rung(Comparator::Gte, Decimal::whole(1))],
        relative_to: None,
        forecast_ms: Some(3 * DAY_MS),
        once: false,
    };
    let mut seen = observed(Exact::ratio(11, 10).unwrap(), Unit::Share);
    (seen.current, seen.previous) = (Some(Exact::whole(900)), Some(Exact::whole(1000)));
    seen.measure_unit = Unit::Number;
    check(
        &over(condition("", level), filters, used),
        &[seen],
        [
            "newest used of usage.metered 900 of 1000, in 3 days at this pace 110% (at least 100%)",
            "newest used of usage.metered < 100%",
            "less than 1000 of newest used of usage.metered in 3 days at this pace",
        ],
    );
}

#[test]
fn a_spike_is_told_beside_what_is_usual() {
    let compare = Detector::Compare {
        series: SeriesIx(0),
        window: Window::Panes { span_ms: 3_600_000 },
        difference: false,
        baseline: true,
        rungs: vec![rung(Comparator::Gte, Decimal::whole(1))],
    };
    let mut seen = observed(Exact::ratio(41 * 4 - 25, 25).unwrap(), Unit::Share);
    (seen.current, seen.previous) = (Some(Exact::whole(41)), Exact::ratio(25, 4));
    (seen.measure_unit, seen.p_value) = (Unit::Count, Some(0.000_000_312));
    check(
        &over(condition("", compare), vec![filter(Kind::ErrorLog, &["api.error"])], Measure::Usual),
        &[seen],
        [
            "41 api.error in 1 hour, usual for the hour of the week is 6.25 (556%, at least 100%, p 3.1e-7)",
            "api.error change < 100% in 1 hour",
            "12 api.error or fewer in 1 hour",
        ],
    );
}
