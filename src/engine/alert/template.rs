//! Templates: text with variables, and which fields of the firing event must be kept for them.

use crate::event::Field;
use crate::rules::program::{Clear, Due, Match, Path, Piece, Rule, Template, Test, Variable};

use super::Scope;

/// Fills a template; variables without value become `-`.
#[must_use]
pub fn render(template: &Template, scope: &Scope<'_>) -> String {
    let zone = scope.account_zone();
    let mut out = String::new();
    for piece in &template.0 {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable(variable) => match scope.value(variable) {
                Some(datum) => out.push_str(&datum.text(&zone)),
                None => out.push('-'),
            },
        }
    }
    out
}

/// The fields of the firing event that an alert of this rule needs later: those that its texts, tests, lookups and clears
/// name, the currency of the amounts among them, and the cause. Sorted, each once.
#[must_use]
pub fn captured_paths(rule: &Rule) -> Vec<Path> {
    let mut paths: Vec<Path> = Vec::new();
    let block = &rule.alert;
    let templates = [&block.playbook, &block.template, &block.next_step, &block.room].into_iter().flatten();
    let draft = block.draft.iter().flat_map(|(template, action)| [Some(template), action.as_ref()]);
    for template in templates.chain(draft.flatten()).chain([&block.summary]) {
        paths.extend(template.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => path(variable),
            Piece::Text(_) => None,
        }));
    }
    for (matches, _) in &rule.severity_by {
        add_match(&mut paths, matches);
    }
    for step in &block.escalate {
        add_match(&mut paths, &step.condition);
    }
    for clear in &rule.clear {
        match clear {
            Clear::Event { equal, .. } => paths.extend(equal.iter().cloned()),
            Clear::If { matches, .. } => add_match(&mut paths, matches),
        }
    }
    paths.extend(rule.lookups.iter().flat_map(|lookup| lookup.by.iter().filter_map(path)));
    if let Some(Due::At(at)) = &block.next_step_due {
        paths.push(at.clone());
    }
    if block.cause.is_none() {
        paths.push(Path::Field(Field::Cause));
    }
    paths.retain(of_event);
    if paths.iter().any(is_amount) {
        paths.push(Path::Field(Field::Currency));
    }
    paths.sort();
    paths.dedup();
    paths
}

fn add_match(paths: &mut Vec<Path>, matches: &Match<Variable>) {
    let tests: &[Vec<(Variable, Test)>] = &matches.0;
    paths.extend(tests.iter().flatten().filter_map(|(variable, _)| path(variable)));
}

fn path(variable: &Variable) -> Option<Path> {
    match variable {
        Variable::Path(path) => Some(path.clone()),
        _ => None,
    }
}

fn of_event(path: &Path) -> bool {
    matches!(path, Path::Field(_) | Path::Property(_) | Path::Ticket(_))
}

fn is_amount(path: &Path) -> bool {
    match path {
        Path::Field(field) => field.spec().name.ends_with("_minor"),
        Path::Property(name) => name.ends_with("_minor"),
        _ => false,
    }
}
