//! What all parts of a rule set compile into: shared filters and series, and the mistakes found on the way.

use crate::document::{Code, Mistakes, Node, Span, Table, Value};
use crate::event::Kind;
use crate::rules::identity;
use crate::rules::lookup::{List, Source};
use crate::rules::priority::Named;
use crate::rules::program::{
    Entity, Extras, Filter, FilterIx, Match, Measure, OnActivate, Path, Policy, Program, Series, SeriesIx,
    Test, Window, ZoneSource,
};
use crate::rules::vocabulary::Vocabulary;

/// How a rule speaks, drafts and retired ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Checked only.
    Draft,
    /// Judged, silent.
    Shadow,
    /// Live.
    Active,
    /// Not judged.
    Retired,
}

/// What holds for rules that do not say.
#[derive(Debug, Clone)]
pub struct Defaults<'n> {
    /// Of local days.
    pub zone: ZoneSource,
    /// Together with the rule's own.
    pub scope: Option<&'n Node>,
    /// Of rules.
    pub status: Status,
    /// What is believed at activation.
    pub on_activate: OnActivate,
    /// When rules speak again.
    pub policy: Policy,
    /// The score that the priority's sentiment names.
    pub sentiment: Option<Named<'n>>,
    /// What priorities look up for a feature.
    pub feature_severity: Option<&'n Node>,
}

/// What the parts of one rule have in common.
#[derive(Debug, Clone)]
pub struct Subject<'n> {
    /// Which row.
    pub entity: Entity,
    /// Whose local days.
    pub zone: ZoneSource,
    /// Scopes, whose event fields join each filter.
    pub scopes: Vec<&'n Node>,
}

/// Everything that rules are compiled against and into.
pub struct Compiler<'n> {
    /// What is wrong.
    pub mistakes: Mistakes,
    /// What may be wrong.
    pub warnings: Mistakes,
    /// Whether unknown names of events are mistakes.
    pub strict: bool,
    /// Names beyond the contract.
    pub vocabulary: Vocabulary,
    /// Lookup tables, sorted by name: their places are those of the program.
    pub tables: Vec<Source>,
    /// Lists, for `"@name"`.
    pub lists: Vec<List>,
    /// Rules that scores name, and where.
    pub named: Vec<(Box<str>, Span)>,
    /// For rules that do not say.
    pub defaults: Defaults<'n>,
    /// The result.
    pub program: Program,
}

/// A filter as one part of a rule uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filtered {
    /// Its place.
    pub filter: FilterIx,
    /// Its kind.
    pub kind: Kind,
}

/// What makes a series.
pub struct Measured<'s> {
    /// The events.
    pub filter: FilterIx,
    /// What of them.
    pub measure: Measure,
    /// How time is cut.
    pub window: Window,
    /// Complete days to keep.
    pub keep_days: u16,
    /// Whether a negative condition reads it.
    pub negative: bool,
    /// Where counting begins again.
    pub reset: Option<FilterIx>,
    /// What guards need.
    pub extras: Extras,
    /// Whose.
    pub subject: &'s Subject<'s>,
}

impl<'n> Compiler<'n> {
    /// A filter that is a map of its own: `{topic, where}`.
    pub fn filter_node(
        &mut self,
        what: &'static str,
        node: &'n Node,
        subject: &Subject<'n>,
    ) -> Option<Filtered> {
        let table = node.table(what, &["topic", "where"], &mut self.mistakes)?;
        self.filter(&table, subject)
    }

    /// A filter whose `topic` and `where` stand among other keys.
    pub fn filter(&mut self, table: &Table<'n>, subject: &Subject<'n>) -> Option<Filtered> {
        let topic = table.required("topic", &mut self.mistakes);
        let kind = Vocabulary::topic(topic?, &mut self.mistakes)?;
        let mut matches = Match::default();
        if let Some(node) = table.optional("where") {
            matches = self.event_match(node, kind)?;
        }
        for scope in &subject.scopes {
            let folded = self.scope_of_events(scope, kind, !subject.entity.account);
            matches = both(matches, folded);
        }
        let names_traffic =
            matches.0.iter().flatten().any(|(path, _)| *path == Path::Field(crate::event::Field::Traffic));
        self.carries_key(topic?.span, kind, &subject.entity);
        Some(Filtered { filter: self.share_filter(Filter { kind, matches, names_traffic }), kind })
    }

    /// Reports a topic whose events can't touch the entity's rows.
    fn carries_key(&mut self, span: Span, kind: Kind, entity: &Entity) {
        let Some(part) = &entity.part else { return };
        if let Path::Field(field) = part.path
            && !field.spec().kinds.contains(&kind)
        {
            let sentence =
                format!("events of {} have no {}, so they never touch this entity", kind.name(), part.name);
            self.mistakes.report(span, Code::E08, sentence);
        }
    }

    /// A match on fields of events of one kind.
    pub fn event_match(&mut self, node: &'n Node, kind: Kind) -> Option<Match> {
        self.matches(node, &mut |compiler: &mut Self, name, span| {
            let found = compiler.vocabulary.event_field(kind, name);
            if found.is_none() {
                compiler.vocabulary.unknown_field(kind, name, span, &mut compiler.mistakes);
            }
            found
        })
    }

    /// The part of a scope that is about events of this kind; across accounts also what is about their accounts, as the
    /// row has none.
    fn scope_of_events(&mut self, scope: &'n Node, kind: Kind, is_across: bool) -> Match {
        let mut groups = Vec::new();
        for group in scope.one_or_more() {
            let Value::Map(entries) = &group.value else { continue };
            let mut tests = Vec::new();
            for entry in entries {
                let of_account = entry.key.strip_prefix("account.");
                let named = match of_account.filter(|_| is_across) {
                    Some(name) => Vocabulary::account_field(name),
                    None if of_account.is_some() || entry.key.starts_with("user.") => None,
                    None => self.vocabulary.event_field(kind, &entry.key),
                };
                if let Some(named) = named {
                    tests.extend(self.test(&entry.node, &named).map(|test| (named.path, test)));
                }
            }
            tests.sort();
            groups.push(tests);
        }
        if groups.iter().any(Vec::is_empty) {
            return Match::default();
        }
        Match(groups)
    }

    /// The place of a filter; equal ones share it.
    pub fn share_filter(&mut self, filter: Filter) -> FilterIx {
        let filters = &mut self.program.filters;
        let place = filters.iter().position(|own| *own == filter).unwrap_or_else(|| {
            filters.push(filter);
            filters.len() - 1
        });
        FilterIx(u16::try_from(place).unwrap_or(u16::MAX))
    }

    /// The series that measures this; rules that measure the same share it.
    pub fn series(&mut self, span: Span, measured: Measured<'_>) -> SeriesIx {
        let zone = match measured.window {
            Window::Days { .. } | Window::Buckets { .. } => measured.subject.zone.clone(),
            _ if matches!(
                measured.measure,
                Measure::Course(_) | Measure::Reading { .. } | Measure::Usual
            ) =>
            {
                measured.subject.zone.clone()
            }
            _ if measured.extras.days => measured.subject.zone.clone(),
            _ => ZoneSource::Account,
        };
        let entity = measured.subject.entity.clone();
        // A row of one account knows whose its matches are.
        let extras = Extras { accounts: measured.extras.accounts && !entity.account, ..measured.extras };
        let mut series = Series {
            key: 0,
            filter: measured.filter,
            measure: measured.measure,
            window: measured.window,
            keep_days: measured.keep_days,
            negative: measured.negative,
            entity,
            reset: measured.reset,
            zone,
            extras,
        };
        let meaning = identity::series(&series, &self.program.filters);
        series.key = identity::key(&meaning);
        if let Some(place) = self.program.series.iter().position(|own| own.key == series.key) {
            if identity::series(&self.program.series[place], &self.program.filters) != meaning {
                self.collision(span, "series");
            }
            widen(&mut self.program.series[place], &series);
            return SeriesIx(u16::try_from(place).unwrap_or(u16::MAX));
        }
        self.program.series.push(series);
        SeriesIx(u16::try_from(self.program.series.len() - 1).unwrap_or(u16::MAX))
    }

    /// Reports two different meanings with one persisted key.
    pub fn collision(&mut self, span: Span, what: &str) {
        self.mistakes
            .report(span, Code::E11, format!("this {what} has by chance the key of another"))
            .hint("change it slightly, for example by a further test that always holds");
    }
}

/// Lets a shared series serve a further condition.
fn widen(own: &mut Series, further: &Series) {
    own.window = match (own.window, further.window) {
        (Window::Exact { span_ms, keep }, Window::Exact { keep: other, .. }) => {
            Window::Exact { span_ms, keep: keep.max(other) }
        }
        (Window::Days { days }, Window::Days { days: other }) => Window::Days { days: days.max(other) },
        (Window::Buckets { bucket, count }, Window::Buckets { count: other, .. }) => {
            Window::Buckets { bucket, count: count.max(other) }
        }
        (window, _) => window,
    };
    own.keep_days = own.keep_days.max(further.keep_days);
    own.negative |= further.negative;
    own.extras.dispersion |= further.extras.dispersion;
    own.extras.days |= further.extras.days;
    own.extras.pace |= further.extras.pace;
    own.extras.accounts |= further.extras.accounts;
    own.extras.gaps_for_ms = match (own.extras.gaps_for_ms, further.extras.gaps_for_ms) {
        (0, gaps) | (gaps, 0) => gaps,
        (one, other) => one.min(other),
    };
}

/// Both matches must hold: every group of the one with every group of the other.
pub fn both<P: Clone + Ord>(one: Match<P>, other: Match<P>) -> Match<P> {
    if one.0.is_empty() {
        return other;
    }
    if other.0.is_empty() {
        return one;
    }
    let mut groups: Vec<Vec<(P, Test)>> = Vec::new();
    for left in &one.0 {
        for right in &other.0 {
            let mut group = [left.clone(), right.clone()].concat();
            group.sort();
            group.dedup();
            groups.push(group);
        }
    }
    groups.sort();
    groups.dedup();
    Match(groups)
}
