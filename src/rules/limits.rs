//! What state a program costs at worst, and what the engine must remember of firing events.

use crate::event::Field;
use crate::rules::program::{
    AlertBlock, Clear, Detector, Due, Measure, Path, Piece, Program, Rule, Series, Template, Variable, Window,
};

/// A row keeps no more different values of a distinct.
const DISTINCT_VALUES: u64 = 1024;
/// What is usual for the hours of the week.
const PROFILE: u64 = 860;
/// A row knows no more values for `new`.
const KNOWN_VALUES: u64 = 64;
/// The same of a row across accounts.
const DISTINCT_VALUES_ACROSS: u64 = 16_384;
/// An account whose matches are told from those of others: as one of distinct values, and how many it has in a cell.
const ACCOUNT: u64 = 16 + 20;
/// A value of an attachment, cut, and its length.
const ATTACHED: u64 = 128;
/// A row that `collapse_to` counts: its hash and two times.
const CROWD: u64 = 8 + 2 * 6;
/// What any row has: its times, its newest event, its deadlines.
const ROW: u64 = 48;
/// What an account's own row remembers of contacts with its customers: 64 times.
const CONTACTS: u64 = 6 * 64;
/// What it remembers where alerts hold others back: 32 rows with ids of ordinary length.
const HELD: u64 = 32 * 40;
/// An open alert that holds others back, without its items.
const INHIBITOR: u64 = 40;

/// The worst case of a row, in bytes, per kind of entity (`rules.md` §5, §7), sorted by kind.
#[must_use]
pub fn worst_bytes(program: &Program) -> Vec<(String, u64)> {
    let mut kinds: Vec<(String, u64)> = Vec::new();
    let mut add = |kind: String, bytes: u64| match kinds.iter_mut().find(|(own, _)| *own == kind) {
        Some((_, sum)) => *sum += bytes,
        None => kinds.push((kind, ROW + bytes)),
    };
    for series in &program.series {
        add(series.entity.kind(), series_bytes(series));
    }
    let mut attached: Vec<(String, u32)> = Vec::new();
    for rule in &program.rules {
        add(rule.entity.kind(), rule_bytes(rule));
        for attach in &rule.alert.attach {
            let place = (rule.entity.kind(), attach.key);
            if !attached.contains(&place) {
                add(place.0.clone(), u64::from(attach.max) * ATTACHED);
                attached.push(place);
            }
        }
    }
    let dealings = dealings_bytes(program);
    if dealings > 0 {
        add("account".to_owned(), dealings);
    }
    kinds.sort();
    kinds
}

/// What the rows of one account must know of each other; it lies in the account's own row.
fn dealings_bytes(program: &Program) -> u64 {
    let contacts = program.rules.iter().any(|rule| rule.alert.is_for_customers(0));
    let items: Vec<u64> =
        program.rules.iter().map(|rule| rule.inhibits.len() as u64).filter(|n| *n > 0).collect();
    let inhibitors: u64 = items.iter().map(|items| INHIBITOR + 8 * items).sum();
    let held = if items.is_empty() { 0 } else { HELD };
    (if contacts { CONTACTS } else { 0 }) + inhibitors + held
}

fn series_bytes(series: &Series) -> u64 {
    if let Measure::Steps(steps) = &series.measure {
        return 32 * steps.len() as u64;
    }
    if let Measure::Crowd(_) = series.measure {
        return CROWD * if series.entity.account { DISTINCT_VALUES } else { DISTINCT_VALUES_ACROSS };
    }
    if let Measure::Course(course) = &series.measure {
        let steps = course.steps.as_ref().map_or(0, |steps| steps.names.len());
        return 8 * (9 + steps as u64);
    }
    let panes = match series.window {
        Window::Exact { keep, .. } => return 4 * (u64::from(keep) + u64::from(series.extras.days)),
        Window::Newest if matches!(series.measure, Measure::Last(_)) => return 16,
        Window::Newest if matches!(series.measure, Measure::Score(_)) => {
            return points_bytes(&series.measure);
        }
        Window::Newest if matches!(series.measure, Measure::Reading { .. }) => {
            return 28 + if series.extras.pace { 7 * 28 } else { 0 };
        }
        Window::Newest if matches!(series.measure, Measure::New(_)) => return 8 + 8 * KNOWN_VALUES,
        Window::Newest => return 8 + if series.extras.gaps_for_ms > 0 { 64 } else { 0 },
        Window::Panes { .. } => 120,
        Window::Buckets { count, .. } => u64::from(count),
        Window::Days { days } => u64::from(days.max(series.keep_days)) + 1,
    };
    let (count, values) =
        if series.entity.account { (2, DISTINCT_VALUES) } else { (4, DISTINCT_VALUES_ACROSS) };
    let accounts = if series.extras.accounts { ACCOUNT * values } else { 0 };
    accounts
        + match series.measure {
            Measure::Count => count * panes,
            Measure::Usual => 2 * panes + PROFILE,
            Measure::Sum(_) => 8 * panes,
            Measure::Mean(_) => 12 * panes,
            Measure::ShareOf(_) => 2 * count * panes,
            Measure::Last(_) => (count + 16) * panes,
            Measure::Known(_) => (count + 16) * panes + 16,
            Measure::Score(_) => points_bytes(&series.measure),
            Measure::Steps(_)
            | Measure::Course(_)
            | Measure::New(_)
            | Measure::Reading { .. }
            | Measure::Crowd(_) => 0,
            Measure::Distinct(_) => 16 * values,
            Measure::SumDistinct { .. } => 32 * values,
        }
}

/// Every kept point, and a score that was imported.
fn points_bytes(measure: &Measure) -> u64 {
    let Measure::Score(scoring) = measure else { return 0 };
    let kept: u64 = scoring.factors.iter().map(|factor| u64::from(factor.max)).sum();
    8 * (kept + u64::from(scoring.imported.is_some()))
}

fn rule_bytes(rule: &Rule) -> u64 {
    let detectors = rule.conditions.iter().map(|condition| match condition.detector {
        Detector::Event { .. } | Detector::Sequence { .. } => 192,
        _ => 16,
    });
    detectors.sum::<u64>() + 64 + 32 * u64::try_from(captured_paths(rule).len()).unwrap_or(0)
}

/// Fields of the firing event that an open alert still needs after the event is gone: sorted, each once.
#[must_use]
pub fn captured_paths(rule: &Rule) -> Vec<Path> {
    let mut paths: Vec<Path> = rule.dedup.clone();
    let steps = rule.alert.escalate.iter().map(|step| &step.condition);
    let tested = rule.severity_by.iter().map(|(matches, _)| matches).chain(steps);
    let tested = tested.flat_map(|matches| matches.0.iter().flatten());
    let looked = rule.lookups.iter().flat_map(|lookup| &lookup.by);
    let said = templates(&rule.alert).flat_map(|template| &template.0).filter_map(|piece| match piece {
        Piece::Variable(variable) => Some(variable),
        Piece::Text(_) => None,
    });
    for variable in tested.map(|(variable, _)| variable).chain(looked).chain(said) {
        if let Variable::Path(path) = variable {
            paths.push(path.clone());
        }
    }
    if let Some(Due::At(path)) = &rule.alert.next_step_due {
        paths.push(path.clone());
    }
    for clear in &rule.clear {
        if let Clear::Event { equal, .. } = clear {
            paths.extend(equal.iter().cloned());
        }
    }
    let money = |path: &Path| matches!(path, Path::Field(field) if field.spec().name.ends_with("_minor"));
    if paths.iter().any(money) {
        paths.push(Path::Field(Field::Currency));
    }
    if rule.alert.cause.is_none() {
        paths.push(Path::Field(Field::Cause));
    }
    paths.retain(|path| matches!(path, Path::Field(_) | Path::Property(_)));
    paths.sort();
    paths.dedup();
    paths
}

fn templates(alert: &AlertBlock) -> impl Iterator<Item = &Template> {
    let draft = alert.draft.iter().flat_map(|(template, action)| std::iter::once(template).chain(action));
    let single = [&alert.playbook, &alert.template, &alert.next_step, &alert.room];
    std::iter::once(&alert.summary).chain(single.into_iter().flatten()).chain(draft)
}
