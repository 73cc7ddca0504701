//! What an edit of a rule set keeps and what it resets, in words (`rules.md` §13).
//!
//! Nothing here decides: the persisted keys of series and rules do, and the engine obeys them. This only reads them.

use std::fmt;

use crate::document::duration_text;
use crate::rules::identity;
use crate::rules::load::Loaded;
use crate::rules::program::{
    Combine, Condition, Detector, Filter, FilterIx, Mode, OnActivate, Program, Rule, Series, SeriesIx, Window,
};

const NEXT_REVISION: &str = "texts and policies: the next revision uses them";
const BASELINE: &str = "what holds then is not announced until it was false once";

/// What becomes of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The rule's id, or `all rules`.
    pub rule: Box<str>,
    /// What was edited, in a few words.
    pub what: Vec<&'static str>,
    /// What that means for series, firing state and open alerts, a sentence each.
    pub means: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}: {}", self.rule, self.what.join(", "))?;
        self.means.iter().try_for_each(|sentence| writeln!(out, "  {sentence}"))
    }
}

/// Says what becomes of every rule that an edit touches, by id; drafts and retired rules are as if they were not there.
#[must_use]
pub fn diff(old: &Loaded, new: &Loaded) -> Vec<Change> {
    let (old, new) = (&old.program, &new.program);
    let mut ids: Vec<&str> = old.rules.iter().chain(&new.rules).map(|rule| &*rule.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let find = |program: &'_ Program, id: &str| program.rules.iter().position(|rule| *rule.id == *id);
    let mut changes = Vec::new();
    if old.priority != new.priority {
        changes.push(Change {
            rule: "all rules".into(),
            what: vec!["priority"],
            means: vec![NEXT_REVISION.to_owned()],
        });
    }
    for id in ids {
        changes.extend(match (find(old, id), find(new, id)) {
            (Some(before), Some(after)) => {
                Pair { old, new, before: &old.rules[before], after: &new.rules[after] }.change()
            }
            (Some(before), None) => Some(removed(new, old, &old.rules[before])),
            (None, Some(after)) => Some(added(old, new, &new.rules[after])),
            (None, None) => None,
        });
    }
    changes
}

fn series(program: &Program, ix: SeriesIx) -> &Series {
    &program.series[usize::from(ix.0)]
}

fn has_series(program: &Program, key: u32) -> bool {
    program.series.iter().any(|series| series.key == key)
}

/// The keys of a rule's series, each once.
fn keys(program: &Program, rule: &Rule) -> Vec<u32> {
    let own = rule.conditions.iter().filter_map(|condition| condition.detector.series());
    let mut keys: Vec<u32> = own.map(|ix| series(program, ix).key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn removed(new: &Program, old: &Program, rule: &Rule) -> Change {
    let keys = keys(old, rule);
    let kept = keys.iter().filter(|key| has_series(new, **key)).count();
    let mut means = vec!["open alerts expire".to_owned()];
    if kept > 0 {
        means.push(format!("{kept} of its {} series are kept: other rules judge them", keys.len()));
    }
    if kept < keys.len() {
        means.push(format!("{} of its {} series are dropped", keys.len() - kept, keys.len()));
    }
    Change { rule: rule.id.clone(), what: vec!["removed"], means }
}

fn added(old: &Program, new: &Program, rule: &Rule) -> Change {
    let keys = keys(new, rule);
    let known = keys.iter().filter(|key| has_series(old, **key)).count();
    let mut means = Vec::new();
    if known > 0 {
        means.push(format!("{known} of its {} series are there already, with their history", keys.len()));
    }
    if known < keys.len() {
        means.push(format!(
            "{} of its {} series begin empty, so they are warming",
            keys.len() - known,
            keys.len()
        ));
    }
    means.push(match rule.on_activate {
        OnActivate::Baseline => BASELINE.to_owned(),
        OnActivate::Open => "what holds then is announced".to_owned(),
    });
    Change { rule: rule.id.clone(), what: vec!["new"], means }
}

/// What becomes of a series that keeps its key; nothing if nothing does.
fn same_series(
    (twin, old): (&Condition, &Series),
    (condition, own): (&Condition, &Series),
    what: &mut Vec<&'static str>,
) -> Option<String> {
    match (old.window, own.window) {
        (Window::Exact { keep: before, .. }, Window::Exact { keep: after, span_ms }) if after > before => {
            let within = duration_text(span_ms);
            Some(format!("keeps its last {before} events, needs {after}: warming for {within}"))
        }
        (Window::Days { days: before }, Window::Days { days: after }) => {
            if twin.detector.window() == condition.detector.window() {
                return None;
            }
            what.push("day window");
            let (before, after) = (before.max(old.keep_days), after.max(own.keep_days));
            (after > before)
                .then(|| format!("keeps its {before} days, needs {after}: warming until they are full"))
        }
        _ => None,
    }
}

/// What a detector does with its series beside comparing it with thresholds.
fn conduct(program: &Program, detector: &Detector) -> String {
    match detector {
        Detector::Absence { count_as, arm, until, .. } => {
            let until = until.and_then(|ix| program.filters.get(usize::from(ix.0)));
            format!("{count_as:?} {arm:?} {until:?}")
        }
        Detector::Compare { difference, baseline, .. } => format!("{difference} {baseline}"),
        Detector::Level { relative_to, forecast_ms, once, .. } => {
            format!("{relative_to:?} {forecast_ms:?} {once}")
        }
        Detector::Score { bands, .. } => format!("{bands:?}"),
        Detector::Sequence { within_ms, .. } | Detector::Crowd { within_ms, .. } => within_ms.to_string(),
        Detector::Event { new: Some(new), .. } => {
            let key = program.series.get(usize::from(new.series.0)).map(|series| series.key);
            format!("{key:?} {}", new.learn_ms)
        }
        Detector::Event { new: None, .. }
        | Detector::Count { .. }
        | Detector::Cadence { .. }
        | Detector::Milestone { .. } => String::new(),
    }
}

/// A rule before and after.
#[derive(Clone, Copy)]
struct Pair<'p> {
    old: &'p Program,
    new: &'p Program,
    before: &'p Rule,
    after: &'p Rule,
}

impl Pair<'_> {
    fn change(self) -> Option<Change> {
        let mut what = Vec::new();
        let mut means = Vec::new();
        self.series(&mut what, &mut means);
        self.firing(&mut what, &mut means);
        self.words(&mut what);
        if what.is_empty() {
            return None;
        }
        if self.says_otherwise() {
            means.push(NEXT_REVISION.to_owned());
        }
        Some(Change { rule: self.after.id.clone(), what, means })
    }

    /// What becomes of the series.
    fn series(self, what: &mut Vec<&'static str>, means: &mut Vec<String>) {
        let mut others = 0;
        let same_number = self.before.conditions.len() == self.after.conditions.len();
        for (place, condition) in self.after.conditions.iter().enumerate() {
            let Some(ix) = condition.detector.series() else { continue };
            let own = series(self.new, ix);
            let named = |other: &&Condition| other.name == condition.name;
            let twin = self
                .before
                .conditions
                .iter()
                .find(named)
                .or_else(|| self.before.conditions.get(place).filter(|_| same_number));
            let twin = twin.and_then(|twin| Some((twin, series(self.old, twin.detector.series()?))));
            let name = if condition.name.is_empty() {
                "the series".to_owned()
            } else {
                format!("series `{}`", condition.name)
            };
            let sentence = match twin {
                Some((twin, old)) if old.key == own.key => same_series((twin, old), (condition, own), what),
                _ if has_series(self.old, own.key) => Some("is there already, with its history".to_owned()),
                Some((_, old)) => {
                    let reasons = self.reasons(old, own);
                    what.extend(reasons.iter().filter(|reason| !what.contains(reason)).collect::<Vec<_>>());
                    Some(format!(
                        "begins anew, because of its {}: warming until its window is full",
                        reasons.join(" and its ")
                    ))
                }
                None => Some("begins empty: warming until its window is full".to_owned()),
            };
            if let Some(sentence) = sentence {
                others += 1;
                means.push(format!("{name} {sentence}"));
            }
        }
        if others < self.after.conditions.len() {
            means.push(if others == 0 { "series: kept" } else { "other series: kept" }.to_owned());
        }
    }

    /// Why a series is another one.
    fn reasons(self, old: &Series, own: &Series) -> Vec<&'static str> {
        let filter = |program: &Program, series: &Series| -> Option<Filter> {
            program.filters.get(usize::from(series.filter.0)).cloned()
        };
        let mut reasons = Vec::new();
        if filter(self.old, old) != filter(self.new, own) || old.reset.is_some() != own.reset.is_some() {
            reasons.push("filter (where, or scope by field)");
        }
        if old.measure != own.measure {
            reasons.push("measure");
        }
        if std::mem::discriminant(&old.window) != std::mem::discriminant(&own.window)
            || matches!((old.window, own.window), (Window::Panes { span_ms: a } | Window::Exact { span_ms: a, .. }, Window::Panes { span_ms: b } | Window::Exact { span_ms: b, .. }) if a != b)
        {
            reasons.push("window");
        }
        if old.zone != own.zone {
            reasons.push("time zone");
        }
        if old.entity != own.entity {
            reasons.push("entity");
        }
        if reasons.is_empty() {
            reasons.push("reset");
        }
        reasons
    }

    /// What becomes of the firing state and of open alerts.
    fn firing(self, what: &mut Vec<&'static str>, means: &mut Vec<String>) {
        let (before, after) = (self.before, self.after);
        if before.key != after.key {
            if before.entity != after.entity && !what.contains(&"entity") {
                what.push("entity");
            }
            let kinds =
                |rule: &Rule| rule.conditions.iter().map(|own| own.detector.name()).collect::<Vec<_>>();
            if before.conditions.len() != after.conditions.len() {
                what.push("number of conditions");
            } else if kinds(before) != kinds(after) {
                what.push("kind of detector");
            }
            means.push("firing state: lost, open alerts expire".to_owned());
            return;
        }
        if before.mode != after.mode {
            let (edit, meaning) = if after.mode == Mode::Active {
                ("shadow to active", format!("firing state: kept; {BASELINE}"))
            } else {
                ("active to shadow", "firing state: kept; open alerts expire".to_owned())
            };
            what.push(edit);
            means.push(meaning);
            return;
        }
        let identity = (before.family != after.family, before.dedup != after.dedup);
        if identity.0 {
            what.push("family");
        }
        if identity.1 {
            what.push("dedup");
        }
        if identity.0 || identity.1 {
            means.push(format!("firing state: kept; open alerts expire; {BASELINE}"));
            return;
        }
        let judged = self.judged(what);
        means.push(if judged {
            "firing state and open alerts: kept, judged anew in silence".to_owned()
        } else {
            "firing state and open alerts: kept".to_owned()
        });
    }

    /// Notes edits after which a rule is judged anew; whether there are any.
    fn judged(self, what: &mut Vec<&'static str>) -> bool {
        let (before, after) = (self.before, self.after);
        let each = |differs: &dyn Fn(&Condition, &Condition) -> bool| {
            before.conditions.iter().zip(&after.conditions).any(|(one, other)| differs(one, other))
        };
        let combined = matches!(
            (before.combine, after.combine),
            (Combine::All, Combine::Any) | (Combine::Any, Combine::All)
        );
        let edits = [
            (each(&|one, other| one.detector.rungs() != other.detector.rungs()), "threshold"),
            (
                each(&|one, other| conduct(self.old, &one.detector) != conduct(self.new, &other.detector)),
                "how it is judged",
            ),
            (each(&|one, other| one.guards != other.guards), "guards"),
            (each(&|one, other| one.for_ms != other.for_ms) || before.for_ms != after.for_ms, "for"),
            (combined || before.groups != after.groups, "all or any"),
            (self.clears_differ(), "clear"),
            (before.severity != after.severity || before.severity_by != after.severity_by, "severity"),
            (before.rank != after.rank, "rank"),
            (before.scope != after.scope, "scope by account"),
        ];
        let found: Vec<&'static str> =
            edits.into_iter().filter(|(edited, _)| *edited).map(|(_, name)| name).collect();
        what.extend(&found);
        !found.is_empty()
    }

    /// Clears name filters by their places, which an edit elsewhere may move.
    fn clears_differ(self) -> bool {
        let meaning = |program: &Program, rule: &Rule| -> Vec<String> {
            rule.clear.iter().map(|clear| identity::clear(clear, &program.filters)).collect()
        };
        meaning(self.old, self.before) != meaning(self.new, self.after)
            || self.before.expires_after_ms != self.after.expires_after_ms
    }

    fn says_otherwise(self) -> bool {
        let (before, after) = (self.before, self.after);
        before.policy != after.policy
            || self.alerts_differ()
            || before.title != after.title
            || before.category != after.category
            || before.budget != after.budget
            || before.inhibits != after.inhibits
    }

    /// Attachments name filters by their places, which an edit elsewhere may move.
    fn alerts_differ(self) -> bool {
        let plain = |rule: &Rule| {
            let mut alert = rule.alert.clone();
            alert.attach.iter_mut().for_each(|own| own.filter = FilterIx(0));
            alert
        };
        plain(self.before) != plain(self.after)
    }

    /// Notes edits that only the next revision shows.
    fn words(self, what: &mut Vec<&'static str>) {
        let (before, after) = (self.before, self.after);
        let edits = [
            (before.title != after.title || before.category != after.category, "title"),
            (self.alerts_differ(), "alert"),
            (before.policy != after.policy, "policy"),
            (before.budget != after.budget, "budget"),
            (before.inhibits != after.inhibits, "inhibits"),
            (self.tables_differ(), "rows of its lookups"),
        ];
        what.extend(edits.into_iter().filter(|(edited, _)| *edited).map(|(_, name)| name));
    }

    fn tables_differ(self) -> bool {
        let rows = |program: &'_ Program, rule: &Rule| -> Vec<Option<crate::rules::program::Table>> {
            rule.lookups.iter().map(|own| program.tables.get(usize::from(own.table.0)).cloned()).collect()
        };
        rows(self.old, self.before) != rows(self.new, self.after)
    }
}
