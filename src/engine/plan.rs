//! A program, indexed for the way of an event: from its name to filters, from filters to what they touch.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::event::{Kind, Text};
use crate::rules::program::{
    Clear, Condition, Detector, Entity, Filter, FilterIx, Literal, Measure, Path, Program, Rule, RuleIx,
    SeriesIx, Test, Window,
};

use super::alert::captured_paths;
use super::matches::TICKET_ATTRIBUTES;

/// What a match of a filter does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It counts in a series.
    Add(SeriesIx),
    /// It restarts a series.
    Reset(SeriesIx),
    /// It makes an event condition true.
    Match(RuleIx, u8),
    /// It disarms an absence until the next match.
    Disarm(RuleIx, u8),
    /// It may clear.
    Clear(RuleIx, u8),
    /// Its field is collected.
    Attach(RuleIx, u8),
}

/// A touch, and the entity whose row it goes to: a place in [`Plan::entities`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The entity.
    pub entity: u16,
    /// What happens to its row.
    pub touch: Touch,
}

/// A series that a match counts in, and the rules that judge it: each of one upward count over a sliding window.
#[derive(Debug, Clone)]
pub struct Count {
    /// The series.
    pub series: SeriesIx,
    /// The rules.
    pub rules: Vec<RuleIx>,
}

/// Kinds of events, as bits: the watermark of a rule is the lowest of its kinds'.
pub type KindMask = u8;

/// What the engine wants to know of a rule beyond the program.
#[derive(Debug, Clone)]
pub struct RulePlan {
    /// The kinds that its conditions read.
    pub kinds: KindMask,
    /// Fields of the firing event to keep.
    pub captured: Vec<Path>,
    /// Persisted identity of its family.
    pub family: u32,
    /// Persisted identity of its meaning.
    pub version: u32,
    /// Whether all conditions are `event`, so that there is one episode a dedup value.
    pub events_only: bool,
    /// Whether a condition is judged by the watermark only.
    pub negative: bool,
}

/// A program with its indexes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it was made from.
    pub program: Arc<Program>,
    /// The entities of all rules, each once.
    pub entities: Vec<Entity>,
    /// By filter.
    pub uses: Vec<Vec<Use>>,
    /// By rule.
    pub rules: Vec<RulePlan>,
    /// By series: the rules that judge it.
    pub judges: Vec<Vec<RuleIx>>,
    /// By filter: whether its matches move when a ticket's attributes change.
    pub moves: Vec<bool>,
    /// By filter: what its matches do, if that is nothing but counting for upward counts in accounts' own rows.
    pub counts: Vec<Option<Vec<Count>>>,
    named: [HashMap<Box<str>, Vec<FilterIx>, FixedState>; 7],
    unnamed: [Vec<FilterIx>; 7],
}

/// A persisted identity of a text.
#[must_use]
pub fn short_hash(text: &str) -> u32 {
    let [a, b, c, d, ..] = xxhash_rust::xxh3::xxh3_64(text.as_bytes()).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl Plan {
    /// Indexes a program.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        let mut plan = Self {
            entities: Vec::new(),
            uses: vec![Vec::new(); program.filters.len()],
            rules: Vec::new(),
            judges: vec![Vec::new(); program.series.len()],
            moves: vec![false; program.filters.len()],
            counts: Vec::new(),
            named: Default::default(),
            unnamed: Default::default(),
            program,
        };
        plan.index_filters();
        plan.index_series();
        plan.index_rules();
        plan.counts = plan.uses.iter().map(|uses| plan.counts_of(uses)).collect();
        plan
    }

    fn counts_of(&self, uses: &[Use]) -> Option<Vec<Count>> {
        let counts = uses.iter().map(|own| {
            let entity = &self.entities[usize::from(own.entity)];
            match own.touch {
                Touch::Add(series) if entity.account && entity.part.is_none() => self.count_of(series),
                _ => None,
            }
        });
        counts.collect()
    }

    fn count_of(&self, series: SeriesIx) -> Option<Count> {
        let is_days = |window: &Window| matches!(window, Window::Days { .. });
        if is_days(&self.program.series[usize::from(series.0)].window) {
            return None;
        }
        let rules = &self.judges[usize::from(series.0)];
        let simple = |ix: &RuleIx| {
            let [condition] = self.rule(*ix).conditions.as_slice() else { return false };
            let Detector::Count { window, .. } = &condition.detector else { return false };
            !is_negative(condition) && !is_days(window)
        };
        rules.iter().all(simple).then(|| Count { series, rules: rules.clone() })
    }

    /// The filters that an event of this name may match, in order.
    #[must_use]
    pub fn filters(&self, kind: Kind, name: &Text<'_>) -> &[FilterIx] {
        let kind = kind as usize;
        self.named[kind].get(&**name).unwrap_or(&self.unnamed[kind])
    }

    /// The rule at a place.
    #[must_use]
    pub fn rule(&self, ix: RuleIx) -> &Rule {
        &self.program.rules[usize::from(ix.0)]
    }

    /// What is known of the rule at a place.
    #[must_use]
    pub fn rule_plan(&self, ix: RuleIx) -> &RulePlan {
        &self.rules[usize::from(ix.0)]
    }

    /// The filter at a place.
    #[must_use]
    pub fn filter(&self, ix: FilterIx) -> &Filter {
        &self.program.filters[usize::from(ix.0)]
    }

    /// The rule with this persisted identity.
    #[must_use]
    pub fn rule_of_key(&self, key: u32) -> Option<RuleIx> {
        (0_u16..).zip(&self.program.rules).find(|(_, rule)| rule.key == key).map(|(ix, _)| RuleIx(ix))
    }

    /// All rules, by place.
    pub fn rule_places(&self) -> impl Iterator<Item = RuleIx> + use<> {
        (0..u16::try_from(self.program.rules.len()).unwrap_or(u16::MAX)).map(RuleIx)
    }

    fn entity(&mut self, entity: &Entity) -> u16 {
        let place = self.entities.iter().position(|own| own == entity).unwrap_or_else(|| {
            self.entities.push(entity.clone());
            self.entities.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    fn add_use(&mut self, filter: FilterIx, entity: u16, touch: Touch) {
        self.uses[usize::from(filter.0)].push(Use { entity, touch });
    }

    fn index_filters(&mut self) {
        let program = Arc::clone(&self.program);
        let places = || (0_u16..).map(FilterIx).zip(&program.filters);
        for (_, filter) in places() {
            for name in names_of(filter).into_iter().flatten() {
                self.named[filter.kind as usize].entry(name.into()).or_default();
            }
        }
        for (ix, filter) in places() {
            let kind = filter.kind as usize;
            match names_of(filter) {
                Some(names) => {
                    for name in names {
                        if let Some(list) = self.named[kind].get_mut(name)
                            && list.last() != Some(&ix)
                        {
                            list.push(ix);
                        }
                    }
                }
                None => {
                    self.unnamed[kind].push(ix);
                    self.named[kind].values_mut().for_each(|list| list.push(ix));
                }
            }
        }
    }

    fn index_series(&mut self) {
        let program = Arc::clone(&self.program);
        for (place, series) in (0_u16..).zip(&program.series) {
            let entity = self.entity(&series.entity);
            let place = SeriesIx(place);
            if let Some(reset) = series.reset {
                self.add_use(reset, entity, Touch::Reset(place));
            }
            self.add_use(series.filter, entity, Touch::Add(place));
            let moves = series.entity.part.as_ref().is_some_and(|part| is_attribute(&part.path))
                || names_attribute(&program.filters[usize::from(series.filter.0)]);
            self.moves[usize::from(series.filter.0)] |= moves;
        }
    }

    fn index_rules(&mut self) {
        let program = Arc::clone(&self.program);
        for (place, rule) in (0_u16..).zip(&program.rules) {
            let (place, entity) = (RuleIx(place), self.entity(&rule.entity));
            let mut kinds = 0;
            for (number, condition) in (0_u8..).zip(&rule.conditions) {
                let filter = self.index_condition(place, entity, (number, condition));
                kinds |= 1 << (self.filter(filter).kind as u8);
            }
            for (number, clear) in (0_u8..).zip(&rule.clear) {
                if let Clear::Event { filter, .. } = clear {
                    self.add_use(*filter, entity, Touch::Clear(place, number));
                }
            }
            for (number, attach) in (0_u8..).zip(&rule.alert.attach) {
                self.add_use(attach.filter, entity, Touch::Attach(place, number));
            }
            let event = |condition: &Condition| matches!(condition.detector, Detector::Event { .. });
            self.rules.push(RulePlan {
                kinds,
                captured: paths_to_capture(rule),
                family: short_hash(&rule.family),
                version: short_hash(&rule.version),
                events_only: rule.conditions.iter().all(event),
                negative: rule.conditions.iter().any(is_negative),
            });
        }
    }

    /// Indexes a condition; its filter.
    fn index_condition(
        &mut self,
        rule: RuleIx,
        entity: u16,
        (number, condition): (u8, &Condition),
    ) -> FilterIx {
        let series = match &condition.detector {
            Detector::Event { filter } => {
                self.add_use(*filter, entity, Touch::Match(rule, number));
                return *filter;
            }
            Detector::Absence { series, until, .. } => {
                if let Some(until) = until {
                    self.add_use(*until, entity, Touch::Disarm(rule, number));
                }
                *series
            }
            Detector::Count { series, .. } | Detector::Compare { series, .. } => *series,
        };
        let judges = &mut self.judges[usize::from(series.0)];
        if judges.last() != Some(&rule) {
            judges.push(rule);
        }
        self.program.series[usize::from(series.0)].filter
    }
}

/// The names that a filter lets through; `None`: any.
fn names_of(filter: &Filter) -> Option<Vec<&str>> {
    let own = Path::Field(filter.kind.name_field());
    let mut names = Vec::new();
    for group in &filter.matches.0 {
        let literals = group.iter().find_map(|(path, test)| match test {
            Test::AnyOf(literals) if *path == own => Some(literals),
            _ => None,
        })?;
        names.extend(literals.iter().filter_map(|literal| match literal {
            Literal::Text(text) => Some(&**text),
            _ => None,
        }));
    }
    if filter.matches.0.is_empty() { None } else { Some(names) }
}

fn is_attribute(path: &Path) -> bool {
    matches!(path, Path::Field(field) if TICKET_ATTRIBUTES.contains(field))
}

fn names_attribute(filter: &Filter) -> bool {
    filter.kind == Kind::Ticket && filter.matches.0.iter().flatten().any(|(path, _)| is_attribute(path))
}

/// Whether only the passing of the watermark makes a condition true (`rules.md` §6).
#[must_use]
pub fn is_negative(condition: &Condition) -> bool {
    match &condition.detector {
        Detector::Event { .. } => false,
        Detector::Absence { .. } => true,
        Detector::Count { rungs, .. } | Detector::Compare { rungs, .. } => {
            rungs.iter().any(|rung| !rung.op.is_upward())
        }
    }
}

/// Whether a condition compares whole days, which is done at midnight only.
#[must_use]
pub const fn compares_days(condition: &Condition) -> bool {
    matches!(condition.detector, Detector::Compare { window: Window::Days { .. }, .. })
}

/// Whether a measure reads a value of the event.
#[must_use]
pub const fn measured_path(measure: &Measure) -> Option<&Path> {
    match measure {
        Measure::Count | Measure::ShareOf(_) => None,
        Measure::Distinct(path) | Measure::Sum(path) | Measure::Mean(path) | Measure::Last(path) => {
            Some(path)
        }
        Measure::SumDistinct { of, .. } => Some(of),
    }
}

/// Fields of the firing event that a rule needs later: those its texts name, its identity, what its clears compare.
fn paths_to_capture(rule: &Rule) -> Vec<Path> {
    let mut paths: Vec<Path> = captured_paths(rule);
    paths.extend(rule.dedup.iter().cloned());
    for clear in &rule.clear {
        if let Clear::Event { equal, .. } = clear {
            paths.extend(equal.iter().cloned());
        }
    }
    paths.sort();
    paths.dedup();
    paths
}
