//! The sentence of what would end an alert.

use crate::rules::program::{Clear, Comparator, Condition, Detector, Literal, Match, Output, Test, Variable};

use super::forms::{Form, limit_text};
use super::scope::rungs;
use super::sentences::{filter_text, noun, path_text, span, window_text};
use super::{Scope, Unit};

/// One way out: what has to happen, and for how long.
pub(super) fn way(scope: &Scope<'_>, clear: &Clear) -> String {
    match clear {
        Clear::Event { filter, equal, for_ms } => {
            let mut text = format!("{} arrives", filter_text(scope, *filter));
            if !equal.is_empty() {
                let fields: Vec<String> = equal.iter().map(path_text).collect();
                text += " with the same ";
                text += &fields.join(" and ");
            }
            if *for_ms > 0 {
                text += " and nothing new follows for ";
                text += &span(*for_ms);
            }
            text
        }
        Clear::If { matches, for_ms } => {
            let text = matched(scope, matches);
            if *for_ms > 0 { format!("{text} for {}", span(*for_ms)) } else { text }
        }
    }
}

fn matched(scope: &Scope<'_>, matches: &Match<Variable>) -> String {
    let groups: Vec<String> = matches
        .0
        .iter()
        .map(|group| {
            let tests: Vec<String> = group.iter().map(|(it, test)| tested(scope, it, test)).collect();
            tests.join(" and ")
        })
        .collect();
    groups.join(" or ")
}

fn tested(scope: &Scope<'_>, variable: &Variable, test: &Test) -> String {
    if let (Variable::Output(place, Output::Met), Test::AnyOf(values)) = (variable, test)
        && values.as_slice() == [Literal::Bool(false)]
    {
        return match condition(scope, *place) {
            Some(condition) => opposite(scope, condition),
            None => "the condition no longer holds".to_owned(),
        };
    }
    let (name, form) = named(scope, variable);
    let list = |values: &[Literal]| {
        let texts: Vec<String> = values.iter().map(|value| literal(value, &form)).collect();
        texts.join(" or ")
    };
    match test {
        Test::AnyOf(values) => format!("{name} is {}", list(values)),
        Test::NoneOf(values) => format!("{name} is not {}", list(values)),
        Test::Bounds(bounds) => {
            let texts: Vec<String> = bounds
                .iter()
                .map(|(op, limit)| format!("{name} {} {}", sign(*op), literal(limit, &form)))
                .collect();
            texts.join(" and ")
        }
        Test::Exists(true) => format!("{name} is known"),
        Test::Exists(false) => format!("{name} is not known"),
        Test::StartsWith(heads) => format!("{name} begins with {}", heads.join(" or ")),
    }
}

/// A condition that an output belongs to; a rule's only condition needs no name.
fn condition<'a>(scope: &Scope<'a>, place: Option<u8>) -> Option<&'a Condition> {
    match (place, scope.rule.conditions.as_slice()) {
        (Some(place), conditions) => conditions.get(usize::from(place)),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// The words for a condition that became false.
fn opposite(scope: &Scope<'_>, condition: &Condition) -> String {
    let what = noun(scope, condition);
    let (Some(first), window) = (rungs(condition).first(), window(condition)) else {
        return format!("{what} no longer holds");
    };
    match &condition.detector {
        Detector::Absence { .. } => format!("{what} is seen again"),
        Detector::Milestone { .. } => format!("nothing is due after {what} any more"),
        Detector::Cadence { .. } => {
            let (name, form) = judged(scope, condition);
            let limit = limit_text(first.limit, &form);
            format!("{name} {} {limit} in one of {window}", opposite_sign(first.op))
        }
        Detector::Compare { .. } | Detector::Count { .. } => {
            let (name, form) = judged(scope, condition);
            format!("{name} {} {} in {window}", opposite_sign(first.op), limit_text(first.limit, &form))
        }
        Detector::Crowd { within_ms, .. } => format!("no {what} for {}", span(*within_ms)),
        Detector::Level { .. } | Detector::Score { .. } => {
            let (name, form) = judged(scope, condition);
            format!("{name} {} {}", opposite_sign(first.op), limit_text(first.limit, &form))
        }
        Detector::Event { .. } | Detector::Sequence { .. } => format!("{what} no longer holds"),
    }
}

/// The sign of the opposite comparison.
const fn opposite_sign(op: Comparator) -> &'static str {
    match op {
        Comparator::Gt => "<=",
        Comparator::Gte => "<",
        Comparator::Lt => ">=",
        Comparator::Lte => ">",
    }
}

fn window(condition: &Condition) -> String {
    condition.detector.window().map_or_else(String::new, |window| window_text(*window))
}

/// What a condition compares with its threshold: its name and form.
fn judged<'a>(scope: &Scope<'a>, condition: &Condition) -> (String, Form<'a>) {
    let what = noun(scope, condition);
    let unit = scope
        .rule
        .conditions
        .iter()
        .position(|own| std::ptr::eq(own, condition))
        .and_then(|place| scope.observed.get(place))
        .map_or(Unit::Number, |observed| observed.unit);
    match &condition.detector {
        Detector::Compare { difference: false, .. } => (format!("{what} change"), scope.form(Unit::Share)),
        Detector::Compare { .. } => (format!("{what} difference"), scope.form(unit)),
        Detector::Absence { .. } => (format!("time without {what}"), scope.form(unit)),
        Detector::Score { .. } => (format!("score of {what}"), scope.form(unit)),
        Detector::Sequence { .. } => (format!("time from first to last of {what}"), scope.form(unit)),
        Detector::Milestone { .. } => (format!("time since {what}"), scope.form(unit)),
        Detector::Count { .. }
        | Detector::Cadence { .. }
        | Detector::Crowd { .. }
        | Detector::Event { .. }
        | Detector::Level { .. } => (what, scope.form(unit)),
    }
}

fn named<'a>(scope: &Scope<'a>, variable: &Variable) -> (String, Form<'a>) {
    match variable {
        Variable::Output(place, output) => match condition(scope, *place) {
            Some(condition) if *output == Output::Value => judged(scope, condition),
            Some(condition) => output_of(scope, *output, &noun(scope, condition)),
            None => output_of(scope, *output, "the rule"),
        },
        Variable::Path(path) => (path_text(path), Form::Plain),
        Variable::EntityPart => {
            let part = scope.rule.entity.part.as_ref();
            (part.map_or_else(|| "entity".to_owned(), |part| part.name.to_string()), Form::Plain)
        }
        Variable::Lookup(place, column) => {
            let lookup = scope.rule.lookups.get(usize::from(*place));
            (format!("{}.{column}", lookup.map_or("lookup", |lookup| &lookup.name)), Form::Plain)
        }
        Variable::Attach(place) => {
            let attach = scope.rule.alert.attach.get(usize::from(*place));
            (attach.map_or_else(|| "attached".to_owned(), |attach| attach.name.to_string()), Form::Plain)
        }
        Variable::Reason => ("reason".to_owned(), Form::Plain),
        Variable::Severity => ("severity".to_owned(), Form::Plain),
        Variable::Rung => ("rung".to_owned(), Form::Plain),
    }
}

fn output_of<'a>(scope: &Scope<'a>, output: Output, what: &str) -> (String, Form<'a>) {
    let (word, unit) = match output {
        Output::Met => ("state", Unit::Number),
        Output::Value => ("value", Unit::Number),
        Output::Threshold => ("threshold", Unit::Number),
        Output::Onset => ("onset", Unit::Number),
        Output::Events => ("events", Unit::Count),
        Output::Accounts => ("accounts", Unit::Count),
        Output::Elapsed => ("elapsed time", Unit::Ms),
        Output::LastSeen => ("last match", Unit::Number),
        Output::UsualGap => ("usual gap", Unit::Ms),
        Output::Current => ("current value", Unit::Number),
        Output::Previous => ("previous value", Unit::Number),
        Output::Expected => ("expected value", Unit::Number),
        Output::P => ("p-value", Unit::Number),
        Output::Used => ("measured value", Unit::Number),
        Output::Cap => ("reference", Unit::Number),
        Output::Eta => ("expected time", Unit::Number),
        Output::Band => ("band", Unit::Number),
        Output::Buckets => ("buckets", Unit::Number),
        Output::Median => ("median", Unit::Number),
        Output::Last => ("last bucket", Unit::Number),
        Output::Start => ("start", Unit::Number),
        Output::Step => ("step", Unit::Number),
        Output::Missing => ("missing steps", Unit::Number),
        Output::Done => ("steps done", Unit::Count),
        Output::Total => ("steps", Unit::Count),
        Output::TopFactors => ("factors", Unit::Number),
    };
    (format!("{what} {word}"), scope.form(unit))
}

const fn sign(op: Comparator) -> &'static str {
    match op {
        Comparator::Gt => ">",
        Comparator::Gte => ">=",
        Comparator::Lt => "<",
        Comparator::Lte => "<=",
    }
}

fn literal(value: &Literal, form: &Form<'_>) -> String {
    match value {
        Literal::Bool(value) => value.to_string(),
        Literal::Number(number) => limit_text(*number, form),
        Literal::Text(text) => text.to_string(),
        Literal::Time(time) => time.to_string(),
    }
}
