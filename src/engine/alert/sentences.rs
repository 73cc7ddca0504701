//! Plain sentences about conditions: what holds, what would end it, what would have prevented it.

use crate::engine::number::Exact;
use crate::event::{Field, Kind};
use crate::rules::program::{
    Begin, Combine, Comparator, Condition, CountAs, Detector, FilterIx, Literal, Measure, Part, Path, Rung,
    SeriesIx, Test, Window,
};

use super::explain::probability;
use super::forms::{Form, fraction, limit_text, written};
use super::scope::{reached, rungs};
use super::times::local_minute;
use super::{Observed, Scope, Unit, clearing, ratio};

/// What holds: one clause a condition that is met, or every condition's where none is.
pub(super) fn reason(scope: &Scope<'_>) -> String {
    let any = scope.observed.iter().any(|observed| observed.met);
    let clauses: Vec<String> = conditions(scope)
        .filter(|(_, observed)| observed.met || !any)
        .map(|(condition, observed)| held(scope, condition, observed))
        .collect();
    clauses.join("; ")
}

/// What would end the alert; `None` where only a person or time ends it.
pub(super) fn would_clear_when(scope: &Scope<'_>) -> Option<String> {
    let ways: Vec<String> = scope.rule.clear.iter().map(|clear| clearing::way(scope, clear)).collect();
    match (ways.is_empty(), scope.rule.expires_after_ms) {
        (false, _) => Some(ways.join(", or ")),
        (true, Some(ms)) => Some(format!("{} have passed since it opened", span(ms))),
        (true, None) => None,
    }
}

/// The nearest thing that would have kept the rule silent: of `all` the condition closest to its threshold, of `any` each
/// that is met.
pub(super) fn would_not_have_fired_if(scope: &Scope<'_>) -> Option<String> {
    let rule = scope.rule;
    let own = |place: usize| {
        let (condition, observed) = scope.condition(place).filter(|(_, observed)| observed.met)?;
        Some((ratio::ratio(condition, observed).unwrap_or(f64::INFINITY), vec![place]))
    };
    let parts = rule.parts().filter_map(|part| match part {
        Part::Condition(place) => own(place),
        Part::Group(place) => {
            let group = &rule.groups[place];
            nearest(group.combine, group.places().filter_map(own))
        }
    });
    let (_, places) = nearest(rule.combine, parts)?;
    let met = places.into_iter().filter_map(|place| scope.condition(place));
    let clauses: Option<Vec<String>> =
        met.map(|(condition, observed)| prevented(scope, condition, observed)).collect();
    clauses.filter(|clauses| !clauses.is_empty()).map(|clauses| clauses.join(" and "))
}

/// What must be otherwise, and how far that is: of `all` the closest, of `any` everything.
fn nearest(combine: Combine, each: impl Iterator<Item = (f64, Vec<usize>)>) -> Option<(f64, Vec<usize>)> {
    if combine == Combine::Any {
        return each.reduce(|one, other| (one.0.max(other.0), [one.1, other.1].concat()));
    }
    each.reduce(|best, next| if next.0 < best.0 { next } else { best })
}

fn conditions<'a>(scope: &Scope<'a>) -> impl Iterator<Item = (&'a Condition, &'a Observed)> {
    scope.rule.conditions.iter().zip(scope.observed)
}

/// A clause that says what a condition sees.
fn held(scope: &Scope<'_>, condition: &Condition, observed: &Observed) -> String {
    let what = noun(scope, condition);
    let form = scope.form(observed.unit);
    let limit = reached(condition, observed).map(|rung| bound(rung, &form));
    let value = observed.value.map_or_else(|| "-".to_owned(), |value| written(value, &form));
    match (&condition.detector, limit) {
        (Detector::Count { window, .. }, Some(limit)) => {
            format!("{value} {what} in {} ({limit})", window_text(*window))
        }
        (Detector::Absence { .. }, Some(limit)) => match observed.last_seen {
            Some(last) => {
                let last = local_minute(last, scope.account_zone());
                format!("no {what} for {value} ({limit}), the last at {last}")
            }
            None => format!("no {what} for {value} ({limit})"),
        },
        (Detector::Compare { window, baseline: true, .. }, Some(limit)) => {
            let [now, usual] = [observed.current, observed.previous].map(|side| shown(scope, side));
            let p = observed.p_value.map_or_else(|| "-".to_owned(), probability);
            let window = window_text(*window);
            format!(
                "{now} {what} in {window}, usual for the hour of the week is {usual} ({value}, {limit}, p {p})"
            )
        }
        (Detector::Compare { window, .. }, Some(limit)) => {
            let measure = scope.form(observed.measure_unit);
            let side = |side: Option<Exact>| side.map_or_else(|| "-".to_owned(), |it| written(it, &measure));
            let (before, now) = (side(observed.previous), side(observed.current));
            format!("{what} {before} to {now} in {} ({value}, {limit})", window_text(*window))
        }
        (Detector::Level { window, forecast_ms, .. }, Some(limit)) => {
            let measure = scope.form(observed.measure_unit);
            let side = |side: Option<Exact>| side.map_or_else(|| "-".to_owned(), |it| written(it, &measure));
            let level = match observed.previous {
                Some(cap) => format!("{} of {}", side(observed.current), side(Some(cap))),
                None => side(observed.current.or(observed.value)),
            };
            let level = match (forecast_ms, observed.previous) {
                (Some(ms), _) => format!("{what} {level}, in {} at this pace {value} ({limit})", span(*ms)),
                (None, Some(_)) => format!("{what} {level} ({value}, {limit})"),
                (None, None) => format!("{what} {value} ({limit})"),
            };
            format!("{level}{}", in_window(*window))
        }
        (Detector::Cadence { window, .. }, Some(limit)) => {
            let measure = scope.form(observed.measure_unit);
            let buckets: Vec<String> = observed.buckets.iter().map(|it| written(*it, &measure)).collect();
            format!("{} {what} in {} ({limit} each)", buckets.join(", "), window_text(*window))
        }
        (Detector::Crowd { within_ms, .. }, Some(limit)) => {
            format!("{value} {what} within {} ({limit})", span(*within_ms))
        }
        (Detector::Milestone { .. }, _) => late(scope, condition, observed),
        (Detector::Sequence { within_ms, .. }, _) => {
            format!("{what} in {value} (less than {})", span(*within_ms))
        }
        (Detector::Score { .. }, Some(limit)) => {
            let factors: Vec<String> =
                scope.factors(condition, observed).iter().take(3).map(super::scope::Factored::text).collect();
            let because =
                if factors.is_empty() { String::new() } else { format!(": {}", factors.join(", ")) };
            format!("score of {what} {value} ({limit}){because}")
        }
        _ => format!("{what} happened"),
    }
}

/// A count, or that there is none.
fn shown(scope: &Scope<'_>, count: Option<Exact>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| written(count, &scope.form(Unit::Count)))
}

/// What has not come in time: `profile not done 3d0h after onboarding.started (due in 3 days), 2 of 4 steps done`.
fn late(scope: &Scope<'_>, condition: &Condition, observed: &Observed) -> String {
    let Some(rung) = reached(condition, observed) else {
        return format!("{} is due", noun(scope, condition));
    };
    let value = observed.value.map_or_else(|| "-".to_owned(), |value| written(value, &Form::Duration));
    let begin = noun(scope, condition);
    let Some(awaited) = awaited(scope, condition, rung) else {
        let when = span(rung.limit.mantissa.abs());
        let side = if rung.limit.mantissa < 0 { "before" } else { "after" };
        return format!("it is {when} {side} {begin}, or later");
    };
    let due = span(rung.limit.mantissa);
    let text = format!("no {awaited} {value} after {begin} (due in {due})");
    match (observed.current, observed.previous) {
        (Some(done), Some(total)) => {
            let [done, total] = [done, total].map(|count| written(count, &Form::Plain));
            format!("{text}, {done} of {total} steps done")
        }
        _ => text,
    }
}

/// What a rung of a milestone waits for; nothing but time where it starts on a date.
fn awaited(scope: &Scope<'_>, condition: &Condition, rung: &Rung) -> Option<String> {
    match rung.step {
        Some(step) => Some(format!("step {}", scope.course(condition)?.name(step)?)),
        None => scope.course(condition)?.expect.map(|expect| filter_text(scope, expect)),
    }
}

/// ` in 7 days`; nothing for what has no window.
fn in_window(window: Window) -> String {
    if window == Window::Newest { String::new() } else { format!(" in {}", window_text(window)) }
}

/// A clause that would have kept a condition false; `None` where its numbers are unknown.
fn prevented(scope: &Scope<'_>, condition: &Condition, observed: &Observed) -> Option<String> {
    let what = noun(scope, condition);
    let first = rungs(condition).first();
    Some(match &condition.detector {
        Detector::Event { .. } => format!("no {what}"),
        Detector::Cadence { window, .. } => {
            let limit = fraction(first?.limit);
            let side = beyond(scope, &what, first?.op, limit, observed.measure_unit);
            format!("{side} in one of {}", window_text(*window))
        }
        Detector::Milestone { .. } => {
            let rung = reached(condition, observed)?;
            let from = local_minute(observed.onset?, scope.account_zone());
            format!("{} within {} of {from}", awaited(scope, condition, rung)?, span(rung.limit.mantissa))
        }
        Detector::Sequence { within_ms, .. } => {
            format!("{what} in {} or more, or in another order", span(*within_ms))
        }
        Detector::Count { window, .. } => {
            let limit = fraction(first?.limit);
            let side = beyond(scope, &what, first?.op, limit, observed.unit);
            format!("{side} in {}", window_text(*window))
        }
        Detector::Crowd { within_ms, .. } => {
            let limit = fraction(first?.limit);
            let side = beyond(scope, &what, first?.op, limit, observed.unit);
            format!("{side} within {}", span(*within_ms))
        }
        Detector::Absence { count_as, .. } => {
            let allowed = allowed(first?, *count_as);
            match observed.last_seen {
                Some(last) => {
                    format!("{what} within {allowed} of {}", local_minute(last, scope.account_zone()))
                }
                None => format!("{what} within {allowed}"),
            }
        }
        Detector::Level { window, forecast_ms, .. } => {
            let limit = fraction(first?.limit);
            let bound = match observed.previous {
                Some(cap) => Exact::ratio(limit.num.checked_mul(cap.num)?, limit.den.checked_mul(cap.den)?)?,
                None => limit,
            };
            let side = beyond(scope, &what, first?.op, bound, observed.measure_unit);
            let ahead = forecast_ms.map(|ms| format!(" in {} at this pace", span(ms)));
            format!("{side}{}{}", in_window(*window), ahead.unwrap_or_default())
        }
        Detector::Score { .. } => {
            let first = first?;
            let words = if first.op == Comparator::Gt { "at most" } else { "less than" };
            format!("a score of {words} {}", limit_text(first.limit, &Form::Plain))
        }
        Detector::Compare { window, difference, series, .. } => {
            let limit = fraction(first?.limit);
            let previous = observed.previous?;
            let bound =
                if *difference { sum(previous, limit)? } else { grown(scope, *series, previous, limit)? };
            let side = beyond(scope, &what, first?.op, bound, observed.measure_unit);
            format!("{side} in {}", window_text(*window))
        }
    })
}

/// `previous × (1 + change)`, with the floor of 1 that counts have.
fn grown(scope: &Scope<'_>, series: SeriesIx, previous: Exact, change: Exact) -> Option<Exact> {
    use Measure::{Known, Mean, ShareOf, Usual};
    let measure = scope.program.series.get(usize::from(series.0)).map(|series| &series.measure);
    let relative = matches!(measure, Some(ShareOf(_) | Mean(_) | Known(_) | Usual));
    let base = if relative || previous.num >= previous.den { previous } else { Exact::whole(1) };
    let added = Exact::ratio(base.num.checked_mul(change.num)?, base.den.checked_mul(change.den)?)?;
    sum(previous, added)
}

fn sum(one: Exact, other: Exact) -> Option<Exact> {
    let num = one.num.checked_mul(other.den)?.checked_add(other.num.checked_mul(one.den)?)?;
    Exact::ratio(num, one.den.checked_mul(other.den)?)
}

/// The values on the other side of a comparison: `128 sessions or more`, `less than 2m5s of pricing`.
fn beyond(scope: &Scope<'_>, what: &str, op: Comparator, bound: Exact, unit: Unit) -> String {
    if unit == Unit::Count {
        let (floor, whole) = (bound.num.div_euclid(bound.den), bound.num.rem_euclid(bound.den) == 0);
        return match op {
            Comparator::Gte if whole => format!("{} {what} or fewer", floor - 1),
            Comparator::Gte | Comparator::Gt => format!("{floor} {what} or fewer"),
            Comparator::Lt if whole => format!("{floor} {what} or more"),
            Comparator::Lt | Comparator::Lte => format!("{} {what} or more", floor + 1),
        };
    }
    let value = written(bound, &scope.form(unit));
    match op {
        Comparator::Gte => format!("less than {value} of {what}"),
        Comparator::Gt => format!("at most {value} of {what}"),
        Comparator::Lt => format!("at least {value} of {what}"),
        Comparator::Lte => format!("more than {value} of {what}"),
    }
}

/// What a condition measures, in the words of its rule: the form of `NAME` in a sentence.
pub(super) fn noun(scope: &Scope<'_>, condition: &Condition) -> String {
    let series =
        condition.detector.series().and_then(|series| scope.program.series.get(usize::from(series.0)));
    let of = |series: SeriesIx| scope.program.series.get(usize::from(series.0)).map(|series| &series.measure);
    let (filter, measure) = match &condition.detector {
        Detector::Event { filter, new } => (Some(*filter), new.and_then(|new| of(new.series))),
        _ => (series.map(|series| series.filter), series.map(|series| &series.measure)),
    };
    let events = match filter {
        _ if !condition.name.is_empty() => condition.name.to_string(),
        Some(filter) => filter_text(scope, filter),
        None => "events".to_owned(),
    };
    match measure {
        _ if !condition.name.is_empty() => events,
        Some(Measure::Course(course)) => match course.begin {
            Begin::At(begin) => filter_text(scope, begin),
            Begin::On(field) => path_text(&Path::Account(field)),
        },
        Some(Measure::Steps(steps)) => {
            let texts: Vec<String> = steps.iter().map(|step| step_text(scope, *step)).collect();
            texts.join(", then ")
        }
        Some(Measure::Crowd(rule)) => rows_of(scope, *rule),
        Some(Measure::New(path)) => format!("{events} with a new {}", path_text(path)),
        Some(Measure::Distinct(path)) => format!("different {} of {events}", path_text(path)),
        Some(Measure::Sum(path)) => format!("{} of {events}", path_text(path)),
        Some(Measure::SumDistinct { of, by }) => {
            format!("{} of {events}, each {} once", path_text(of), path_text(by))
        }
        Some(Measure::Mean(path)) => format!("mean {} of {events}", path_text(path)),
        Some(Measure::ShareOf(base)) => format!("{events} of {}", filter_text(scope, *base)),
        Some(Measure::Last(path) | Measure::Known(path) | Measure::Reading { of: path, .. }) => {
            format!("newest {} of {events}", path_text(path))
        }
        _ => events,
    }
}

/// The rows in which a rule holds: `users with login-failures-burst`; across accounts there is one for each account.
fn rows_of(scope: &Scope<'_>, rule: u32) -> String {
    let rule = scope.program.rules.iter().find(|own| own.key == rule);
    let part = rule.and_then(|rule| rule.entity.part.as_ref()).filter(|_| scope.rule.entity.account);
    let rows = part.map_or("account", |part| &part.name);
    format!("{rows}s with {}", rule.map_or("the rule", |rule| rule.written_id()))
}

/// The events of a filter: their names, else their kind.
pub(super) fn filter_text(scope: &Scope<'_>, filter: FilterIx) -> String {
    let Some(filter) = scope.program.filters.get(usize::from(filter.0)) else {
        return "events".to_owned();
    };
    let mut names: Vec<&str> = Vec::new();
    for (path, test) in filter.matches.0.iter().flatten() {
        let Test::AnyOf(literals) = test else { continue };
        if !matches!(path, Path::Field(Field::Event | Field::Type)) {
            continue;
        }
        for literal in literals {
            if let Literal::Text(name) = literal
                && !names.contains(&&**name)
            {
                names.push(name);
            }
        }
    }
    if names.is_empty() { format!("{} events", kind_text(filter.kind)) } else { names.join(" or ") }
}

/// The events of one step: steps often differ in nothing but a field, so what the filter asks of fields is told too.
fn step_text(scope: &Scope<'_>, ix: FilterIx) -> String {
    let events = filter_text(scope, ix);
    let Some(filter) = scope.program.filters.get(usize::from(ix.0)) else { return events };
    let [group] = filter.matches.0.as_slice() else { return events };
    let asked: Vec<String> = group
        .iter()
        .filter(|(path, _)| !matches!(path, Path::Field(Field::Event | Field::Type)))
        .filter_map(|(path, test)| {
            let words = match test {
                Test::AnyOf(literals) => {
                    let texts: Option<Vec<&str>> = literals.iter().map(text_of).collect();
                    texts?.join(" or ")
                }
                Test::StartsWith(heads) => format!("{}…", heads.join("… or ")),
                _ => return None,
            };
            Some(format!("{} {words}", path_text(path)))
        })
        .collect();
    if asked.is_empty() { events } else { format!("{events} ({})", asked.join(", ")) }
}

fn text_of(literal: &Literal) -> Option<&str> {
    match literal {
        Literal::Text(text) => Some(text),
        _ => None,
    }
}

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::ErrorLog => "error log",
        other => other.name(),
    }
}

/// A path in a sentence.
pub(super) fn path_text(path: &Path) -> String {
    match path {
        Path::Field(field) => field.spec().name.to_owned(),
        Path::Property(name) => name.to_string(),
        Path::Account(field) | Path::AccountEntry(field) => format!("account.{}", field.spec().name),
        Path::AccountArr => "account.arr".to_owned(),
        Path::AccountSlug => "account.slug".to_owned(),
        Path::User(field) => format!("user.{}", field.spec().name),
        Path::Ticket(fact) => match fact {
            crate::rules::program::TicketFact::Unanswered => "ticket.unanswered",
            crate::rules::program::TicketFact::Reopens => "ticket.reopens",
            crate::rules::program::TicketFact::PastSla => "ticket.past_sla",
        }
        .to_owned(),
    }
}

/// A threshold as a clause: `at least 5`.
pub(super) fn bound(rung: &Rung, form: &Form<'_>) -> String {
    let words = match rung.op {
        Comparator::Gt => "more than",
        Comparator::Gte => "at least",
        Comparator::Lt => "less than",
        Comparator::Lte => "at most",
    };
    format!("{words} {}", limit_text(rung.limit, form))
}

/// How long an absence may last.
fn allowed(rung: &Rung, count_as: CountAs) -> String {
    let limit = rung.limit.mantissa / 10_i64.pow(u32::from(rung.limit.scale));
    match count_as {
        CountAs::Elapsed => span(limit),
        CountAs::CalendarDays => counted(limit, "calendar day"),
        CountAs::BusinessDays => counted(limit, "business day"),
    }
}

/// The length of a window in words.
pub(super) fn window_text(window: Window) -> String {
    match window {
        Window::Exact { span_ms, .. } | Window::Panes { span_ms } => span(span_ms),
        Window::Days { days } => counted(i64::from(days), "day"),
        Window::Buckets { bucket, count } => {
            format!(
                "the last {}",
                if count == 1 { bucket.name().to_owned() } else { counted(i64::from(count), bucket.name()) }
            )
        }
        Window::Newest => "all time".to_owned(),
    }
}

/// A length of time in words where one unit does, `30 days`, else in its short form.
pub(super) fn span(ms: i64) -> String {
    for (size, unit) in [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")] {
        if ms >= size && ms % size == 0 {
            return counted(ms / size, unit);
        }
    }
    written(Exact::whole(ms), &Form::Duration)
}

fn counted(count: i64, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
