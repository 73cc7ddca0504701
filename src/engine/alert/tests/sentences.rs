use super::{
    account, at, compared, condition, condition_count, filter, observed, part, program, rule, rung, scope,
    series,
};
use crate::engine::alert::sentences::{reason, would_clear_when, would_not_have_fired_if};
use crate::engine::alert::{Observed, Unit};
use crate::engine::number::Exact;
use crate::event::{Field, Kind};
use crate::rules::program::{
    Clear, Combine, Comparator, Condition, CountAs, Decimal, Detector, FilterIx, Literal, Match, Measure,
    Output, Path, Program, Rung, SeriesIx, Test, Variable, Window,
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
    condition("", Detector::Compare { series, window, difference, rungs: vec![rung(op, limit)] })
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
    let event = condition("", Detector::Event { filter: FilterIx(0) });
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
