//! A program, indexed for the way of an event: from its name to filters, from filters to what they touch.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::event::{Field, FieldSet, KINDS, Kind, Text};
use crate::journal::broadcast::SHARED;
use crate::rules::program::{
    Begin, Clear, Comparator, Condition, CountAs, Detector, Entity, Filter, FilterIx, Guards, Literal,
    Measure, Output, Path, Person, Points, Program, Rule, RuleIx, Rung, Series, SeriesIx, Test, Variable,
    Window,
};

use super::alert::captured_paths;
use super::clocks::{ACROSS, KindMask, mask_of};
use super::ingest::TELLING_FIELDS;
use super::matches::TICKET_ATTRIBUTES;
use super::number::Exact;
use super::peaks;

/// What a match of a filter does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It counts in a series.
    Add(SeriesIx),
    /// Its value of a field becomes known.
    Learn(SeriesIx),
    /// It is what a series counts a share of.
    Base(SeriesIx),
    /// It restarts a series.
    Reset(SeriesIx),
    /// It is a step of a sequence: its number, from 0.
    Step(SeriesIx, u8),
    /// It is part of a course.
    Course(SeriesIx, Role),
    /// It makes an event condition true.
    Match(RuleIx, u8),
    /// It disarms an absence until the next match.
    Disarm(RuleIx, u8),
    /// It may clear.
    Clear(RuleIx, u8),
    /// Its field is collected.
    Attach(RuleIx, u8),
}

/// What a match is to a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its start.
    Start,
    /// Its end.
    End,
    /// One of its steps: a field says which.
    Step,
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

/// A rule of one upward count whose open alert has nothing to say as long as the count stays where it is: one rung
/// without severity or guard, nothing clears it but the count, and no other rule is of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steady {
    /// Hash of who owns its alerts; 0: nobody.
    pub owner: u64,
}

/// What turns a count into a ratio to its first threshold; whole thresholds stand between two integers.
#[derive(Debug, Clone, Copy)]
pub struct Near {
    /// Where firing begins, times a factor that makes it whole.
    border: u64,
    /// What a count is multiplied with before it is divided by the border: the same factor, times [`peaks::ONE`].
    ones: u64,
    /// The highest count that does not fire.
    most_calm: u64,
    /// It has guards, so that meeting the threshold is not enough.
    pub guarded: bool,
}

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
    /// Whether events alone make every condition true, until the alert is over (`event`, `sequence`): there is one episode
    /// a dedup value.
    pub events_only: bool,
    /// Whether a condition is judged by the watermark only.
    pub negative: bool,
    /// How many conditions and clear items it has.
    pub shape: (u8, u8),
    /// How near a count brings it to firing, if it is a rule of one upward count over a sliding window.
    pub near: Option<Near>,
    /// Whether it is a rule of one absence, which comes nearer to firing while nothing comes.
    pub silence: bool,
    /// If nothing comes of most events while its alert is open.
    pub steady: Option<Steady>,
    /// The rule whose alert takes the place of many of its alerts.
    pub parent: Option<RuleIx>,
    /// The rule of which its alert takes the place of many.
    pub child: Option<RuleIx>,
}

/// A program with its indexes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it was made from.
    pub program: Arc<Program>,
    /// The entities of all rules, each once.
    pub entities: Vec<Entity>,
    /// Those of them that are a part of an account.
    pub parted: Vec<Entity>,
    /// By filter: what its matches do to rows of their account.
    pub uses: Vec<Vec<Use>>,
    /// By filter: what its matches do to rows across accounts.
    pub across: Vec<Vec<Use>>,
    /// Whether there is anything across accounts.
    pub is_across: bool,
    /// Whether an alert across accounts may mean something to others.
    pub tells: bool,
    /// The rule whose conditions are the inputs of accounts' health.
    pub health: Option<RuleIx>,
    /// The kinds that health is made of, as bits.
    pub health_kinds: u8,
    /// Lists of profiles by which alerts across accounts touch accounts, each once.
    pub affecting: Vec<Field>,
    /// Rules that scores ask for.
    pub asked: Vec<RuleIx>,
    /// The places of rules, by key.
    by_key: Vec<(u32, RuleIx)>,
    /// The places of entities; those of scores that ask come last, when what they ask for knows of the event.
    pub order: Vec<usize>,
    /// By rule.
    pub rules: Vec<RulePlan>,
    /// By series: the rules that judge it.
    pub judges: Vec<Vec<RuleIx>>,
    /// Rules that judge a share of something of the profile, count from a time in it, or by its business days, and the
    /// series of which they do.
    pub referring: Vec<(RuleIx, Vec<SeriesIx>)>,
    /// By filter: whether its matches move when a ticket's attributes change.
    pub moves: Vec<bool>,
    /// By filter: whether every event that [`Plan::filters`] names it for matches it.
    pub by_name: Vec<bool>,
    /// By kind: the fields that anything reads of its events; `None`: all of them.
    pub fields: [Option<FieldSet>; KINDS],
    /// By filter: what its matches do, if that is nothing but counting for upward counts in accounts' own rows.
    pub counts: Vec<Option<Vec<Count>>>,
    named: [HashMap<Box<str>, Vec<FilterIx>, FixedState>; KINDS],
    unnamed: [Vec<FilterIx>; KINDS],
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
            parted: Vec::new(),
            uses: vec![Vec::new(); program.filters.len()],
            across: vec![Vec::new(); program.filters.len()],
            is_across: false,
            tells: tells(&program),
            health: None,
            health_kinds: 0,
            affecting: affecting(&program),
            asked: asked(&program),
            by_key: by_key(&program),
            order: Vec::new(),
            rules: Vec::new(),
            judges: vec![Vec::new(); program.series.len()],
            referring: Vec::new(),
            moves: vec![false; program.filters.len()],
            by_name: program.filters.iter().map(is_by_name).collect(),
            fields: [None; KINDS],
            counts: Vec::new(),
            named: Default::default(),
            unnamed: Default::default(),
            program,
        };
        plan.index_filters();
        plan.index_series();
        plan.index_rules();
        plan.health = plan.program.health.as_ref().and_then(|health| plan.rule_of_key(health.rule));
        let made_of = plan.health.map_or(0, |rule| plan.rule_plan(rule).kinds);
        // Each kind once, whether a stall counts or not.
        plan.health_kinds =
            (0..KINDS).filter(|kind| made_of >> kind & 0x101 > 0).fold(0, |all, kind| all | 1 << kind);
        plan.counts = plan.uses.iter().map(|uses| plan.counts_of(uses)).collect();
        let is_parted = |entity: &&Entity| entity.account && entity.part.is_some();
        plan.parted = plan.entities.iter().filter(is_parted).cloned().collect();
        let asks = |place: &usize| {
            let mut asking = plan.program.series.iter().filter(|series| asked_by(series).next().is_some());
            asking.any(|series| series.entity == plan.entities[*place])
        };
        let (last, first): (Vec<usize>, Vec<usize>) = (0..plan.entities.len()).partition(asks);
        plan.order = [first, last].concat();
        plan.is_across = plan.entities.iter().any(|entity| !entity.account);
        plan.fields = Kind::ALL.map(|kind| plan.fields_of(kind));
        plan
    }

    /// The fields that are read of a kind whose events do nothing but counting.
    fn fields_of(&self, kind: Kind) -> Option<FieldSet> {
        let own = |filter: &&Filter| filter.kind == kind;
        let counts =
            self.program.filters.iter().zip(&self.counts).all(|(it, counts)| !own(&it) || counts.is_some());
        if !counts || matches!(kind, Kind::Ticket | Kind::Account) {
            return None;
        }
        let mut fields = FieldSet::default();
        let mut add = |path: &Path| {
            if let Path::Field(field) = path {
                fields.insert(*field);
            }
        };
        let tested =
            self.program.filters.iter().filter(own).flat_map(|filter| filter.matches.0.iter().flatten());
        tested.for_each(|(path, _)| add(path));
        self.program.series.iter().filter_map(|series| measured_path(&series.measure)).for_each(&mut add);
        self.rules.iter().flat_map(|rule| &rule.captured).for_each(&mut add);
        // An entity's part is asked for before it is known whether anything counts there.
        self.entities.iter().filter_map(|entity| entity.part.as_ref()).for_each(|part| add(&part.path));
        let across = self.program.rules.iter().filter(|rule| !rule.entity.account);
        across.flat_map(|rule| &rule.alert.attach).for_each(|attach| add(&attach.field));
        TELLING_FIELDS.into_iter().chain([Field::Occurrences]).for_each(|field| fields.insert(field));
        Some(fields)
    }

    /// Whether a value reaches a rung of a rule of one count.
    #[must_use]
    pub fn is_reached(&self, rule: RuleIx, value: Exact) -> bool {
        rungs_of(self.rule(rule)).iter().any(|rung| value.holds(rung.op, rung.limit))
    }

    /// How near a count brings a rule of one upward count to firing, as rows keep it ([`peaks::fixed`], `contracts.md` §8.1).
    #[must_use]
    pub fn ratio(&self, rule: RuleIx, count: u64) -> u16 {
        let Some(near) = self.rule_plan(rule).near else { return 0 };
        let fires = count > near.most_calm;
        let of_nothing = u64::from(peaks::ONE) * if fires { 2 } else { 0 };
        let ratio = count.saturating_mul(near.ones).checked_div(near.border).unwrap_or(of_nothing);
        near_ratio(u16::try_from(ratio).unwrap_or(u16::MAX), fires && !near.guarded)
    }

    /// The same of an exact value.
    #[must_use]
    pub fn ratio_of(&self, rule: RuleIx, value: Exact) -> u16 {
        let Some((near, rung)) = self.rule_plan(rule).near.zip(rungs_of(self.rule(rule)).first()) else {
            return 0;
        };
        let fires = value.holds(rung.op, rung.limit);
        let of_nothing = i128::from(peaks::ONE) * if fires { 2 } else { 0 };
        let border = value.den.saturating_mul(i128::from(near.border));
        let ratio = value.num.max(0).saturating_mul(i128::from(near.ones)).checked_div(border);
        near_ratio(u16::try_from(ratio.unwrap_or(of_nothing)).unwrap_or(u16::MAX), fires && !near.guarded)
    }

    fn near_of(&self, rule: &Rule) -> Option<Near> {
        let [condition @ Condition { detector: Detector::Count { series, window, rungs }, guards, .. }] =
            rule.conditions.as_slice()
        else {
            return None;
        };
        if is_negative(condition) || matches!(window, Window::Days { .. }) {
            return None;
        }
        let Rung { op, limit, .. } = rungs.first()?;
        let (mantissa, scale) = (u64::try_from(limit.mantissa).ok()?, 10_u64.pow(u32::from(limit.scale)));
        let measure = &self.program.series[usize::from(series.0)].measure;
        let counts = matches!(measure, Measure::Count | Measure::Distinct(_)) && mantissa % scale == 0;
        let (half, most_calm) = match op {
            Comparator::Gt => (0, mantissa / scale),
            Comparator::Gte => (if counts { scale } else { 0 }, mantissa.div_ceil(scale).checked_sub(1)?),
            Comparator::Lt | Comparator::Lte => return None,
        };
        let border = (2 * mantissa).saturating_sub(half);
        let guarded = *guards != Guards::default();
        Some(Near { border, ones: 2 * scale * u64::from(peaks::ONE), most_calm, guarded })
    }

    fn steady_of(&self, rule: &Rule) -> Option<Steady> {
        let [Condition { detector: Detector::Count { window, rungs, .. }, guards, for_ms: 0, .. }] =
            rule.conditions.as_slice()
        else {
            return None;
        };
        let [Rung { op, severity: None, .. }] = rungs.as_slice() else { return None };
        // A parent of its rows is of the same family, in another row.
        let others = self.program.rules.iter().filter(|other| other.collapses.is_none());
        let alone = others.filter(|other| other.family == rule.family).count() == 1;
        let counts = op.is_upward() && !matches!(window, Window::Days { .. }) && *guards == Guards::default();
        let plain = rule.severity_by.is_empty() && rule.dedup.is_empty() && rule.clear.iter().all(ends_unmet);
        let owner = match &rule.alert.owner {
            None => 0,
            Some(Person::Role(name)) => xxhash_rust::xxh3::xxh3_64(name.as_bytes()),
            Some(Person::Owner(..) | Person::Lookup(..)) => return None,
        };
        (alone && counts && plain).then_some(Steady { owner })
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
        let own = &self.program.series[usize::from(series.0)];
        let counts = matches!(own.measure, Measure::Count | Measure::Sum(_) | Measure::Distinct(_));
        if is_days(&own.window) || own.extras.days || !counts {
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
        let place = self.by_key.binary_search_by_key(&key, |(own, _)| *own).ok()?;
        Some(self.by_key[place].1)
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
        let is_across = !self.entities[usize::from(entity)].account;
        let uses = if is_across { &mut self.across } else { &mut self.uses };
        uses[usize::from(filter.0)].push(Use { entity, touch });
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
            let by_attribute = series.entity.part.as_ref().is_some_and(|part| is_attribute(&part.path));
            let mut add = |filter: FilterIx, touch: Touch| {
                self.add_use(filter, entity, touch);
                let own = usize::from(filter.0);
                self.moves[own] |= by_attribute || names_attribute(&program.filters[own]);
            };
            match &series.measure {
                Measure::Steps(steps) => {
                    (0..).zip(steps).for_each(|(number, step)| add(*step, Touch::Step(place, number)));
                }
                Measure::Course(course) => {
                    if let Begin::At(filter) = course.begin {
                        add(filter, Touch::Course(place, Role::Start));
                    }
                    course.expect.into_iter().for_each(|filter| add(filter, Touch::Course(place, Role::End)));
                    let steps = course.steps.iter().map(|steps| steps.filter);
                    steps.for_each(|filter| add(filter, Touch::Course(place, Role::Step)));
                }
                Measure::New(_) => add(series.filter, Touch::Learn(place)),
                // Rows tell of themselves.
                Measure::Crowd(_) => {}
                measure => {
                    add(series.filter, Touch::Add(place));
                    if let Measure::ShareOf(base) = measure {
                        add(*base, Touch::Base(place));
                    }
                }
            }
        }
    }

    fn index_rules(&mut self) {
        let program = Arc::clone(&self.program);
        for (place, rule) in (0_u16..).zip(&program.rules) {
            let (place, entity) = (RuleIx(place), self.entity(&rule.entity));
            let mut kinds = if rule.entity.account { 0 } else { ACROSS };
            for (number, condition) in (0_u8..).zip(&rule.conditions) {
                self.index_condition(place, entity, (number, condition));
                for filter in program.filters_of(&condition.detector) {
                    kinds |= mask_of(self.filter(filter).kind, condition.guards.ignore_stall);
                }
            }
            // A parent knows what its rows do, which stand before it.
            let child = rule.collapses.and_then(|key| self.rule_of_key(key));
            kinds |= child.and_then(|child| self.rules.get(usize::from(child.0))).map_or(0, |own| own.kinds);
            for (number, clear) in (0_u8..).zip(&rule.clear) {
                if let Clear::Event { filter, .. } = clear {
                    self.add_use(*filter, entity, Touch::Clear(place, number));
                }
            }
            for (number, attach) in (0_u8..).zip(&rule.alert.attach) {
                self.add_use(attach.filter, entity, Touch::Attach(place, number));
            }
            let refers = |detector: &&Detector| {
                matches!(
                    detector,
                    Detector::Level { relative_to: Some(_), .. }
                        | Detector::Absence { arm: Some(_), .. }
                        | Detector::Absence { count_as: CountAs::BusinessDays, .. }
                ) || program.begins_on(detector).is_some()
            };
            let detectors = rule.conditions.iter().map(|condition| &condition.detector);
            let referring: Vec<SeriesIx> = detectors.filter(refers).filter_map(Detector::series).collect();
            if !referring.is_empty() {
                self.referring.push((place, referring));
            }
            self.rules.push(RulePlan {
                kinds,
                captured: paths_to_capture(&program, rule),
                family: short_hash(&rule.family),
                version: short_hash(&rule.version),
                events_only: rule.conditions.iter().all(|condition| condition.detector.is_eventful()),
                negative: rule.conditions.iter().any(is_negative),
                shape: (
                    u8::try_from(rule.states()).unwrap_or(u8::MAX),
                    u8::try_from(rule.clear.len()).unwrap_or(u8::MAX),
                ),
                near: self.near_of(rule),
                silence: matches!(
                    rule.conditions.as_slice(),
                    [Condition { detector: Detector::Absence { .. }, .. }]
                ),
                steady: self.steady_of(rule),
                parent: rule.collapses_to.and_then(|key| self.rule_of_key(key)),
                child,
            });
        }
    }

    fn index_condition(&mut self, rule: RuleIx, entity: u16, (number, condition): (u8, &Condition)) {
        match &condition.detector {
            Detector::Event { filter, .. } => self.add_use(*filter, entity, Touch::Match(rule, number)),
            Detector::Absence { until: Some(until), .. } => {
                self.add_use(*until, entity, Touch::Disarm(rule, number));
            }
            _ => {}
        }
        if let Some(series) = condition.detector.series() {
            let judges = &mut self.judges[usize::from(series.0)];
            if judges.last() != Some(&rule) {
                judges.push(rule);
            }
        }
    }
}

/// A ratio in the bounds that rows keep: at most one, unless it fires.
fn near_ratio(ratio: u16, fires: bool) -> u16 {
    let ratio = ratio.min(10 * peaks::ONE);
    if fires { ratio.max(peaks::ONE + 1) } else { ratio.min(peaks::ONE) }
}

/// The rungs of a rule of one count.
fn rungs_of(rule: &Rule) -> &[Rung] {
    match rule.conditions.first().map(|condition| &condition.detector) {
        Some(Detector::Count { rungs, .. }) => rungs,
        _ => &[],
    }
}

/// Whether a clear asks for nothing but that the condition is not met.
fn ends_unmet(clear: &Clear) -> bool {
    let Clear::If { matches, .. } = clear else { return false };
    let unmet = |(variable, test): &(Variable, Test)| {
        matches!(variable, Variable::Output(_, Output::Met))
            && *test == Test::AnyOf(vec![Literal::Bool(false)])
    };
    matches.0.iter().all(|group| group.iter().any(unmet)) && !matches.0.is_empty()
}

/// Whether a filter tests nothing but the event's name.
fn is_by_name(filter: &Filter) -> bool {
    let own = Path::Field(filter.kind.name_field());
    match filter.matches.0.as_slice() {
        [] => true,
        [group] => matches!(group.as_slice(), [(path, Test::AnyOf(_))] if *path == own),
        _ => false,
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
        Detector::Absence { .. } | Detector::Cadence { .. } | Detector::Milestone { .. } => true,
        Detector::Level { window: Window::Newest, .. } => false,
        detector => detector.rungs().iter().any(|rung| !rung.op.is_upward()),
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
        Measure::Count
        | Measure::Usual
        | Measure::ShareOf(_)
        | Measure::Score(_)
        | Measure::Steps(_)
        | Measure::Course(_)
        | Measure::Crowd(_) => None,
        Measure::Distinct(path)
        | Measure::New(path)
        | Measure::Sum(path)
        | Measure::Mean(path)
        | Measure::Last(path)
        | Measure::Known(path) => Some(path),
        Measure::SumDistinct { of, .. } | Measure::Reading { of, .. } => Some(of),
    }
}

/// The rules that a score asks for.
fn asked_by(series: &Series) -> impl Iterator<Item = &str> {
    let factors = match &series.measure {
        Measure::Score(scoring) => scoring.factors.as_slice(),
        _ => &[],
    };
    factors.iter().filter_map(|factor| match &factor.points {
        Points::While(rule, _) => Some(&**rule),
        _ => None,
    })
}

/// The lists of profiles by which alerts across accounts touch accounts.
fn affecting(program: &Program) -> Vec<Field> {
    let named = program.rules.iter().filter_map(|rule| rule.affects.as_ref());
    let mut fields: Vec<Field> = named.map(|affects| affects.list).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// The rules that scores ask for, by place.
fn by_key(program: &Program) -> Vec<(u32, RuleIx)> {
    let mut places: Vec<(u32, RuleIx)> =
        (0_u16..).zip(&program.rules).map(|(place, rule)| (rule.key, RuleIx(place))).collect();
    places.sort_unstable();
    // Of equal keys the first counts.
    places.dedup_by_key(|(key, _)| *key);
    places
}

fn asked(program: &Program) -> Vec<RuleIx> {
    let named: Vec<&str> = program.series.iter().flat_map(asked_by).collect();
    let places = (0_u16..).zip(&program.rules);
    places.filter(|(_, rule)| named.contains(&&*rule.id)).map(|(place, _)| RuleIx(place)).collect()
}

/// Whether an alert across accounts may mean something to others.
fn tells(program: &Program) -> bool {
    let weighs = program.priority.as_ref().is_some_and(|own| own.feature_severity.is_some());
    let matters =
        |rule: &Rule| !rule.inhibits.is_empty() || rule.collapses.is_some() || rule.affects.is_some();
    let mut across = program.rules.iter().filter(|rule| !rule.entity.account);
    across.any(|rule| weighs || matters(rule))
}

/// Fields of the firing event that a rule needs later: those its texts name, its identity, what its clears compare, and
/// what decides who holds whom back.
fn paths_to_capture(program: &Program, rule: &Rule) -> Vec<Path> {
    let rules = &program.rules;
    let mut paths: Vec<Path> = captured_paths(rule);
    if let Some(features) = program.priority.as_ref().and_then(|own| own.feature_severity.as_ref()) {
        paths.push(features.by.clone());
        paths.extend(SHARED.map(Path::Field));
    }
    paths.extend(rule.affects.iter().map(|affects| affects.values.clone()));
    paths.extend(rule.dedup.iter().cloned());
    for clear in &rule.clear {
        if let Clear::Event { equal, .. } = clear {
            paths.extend(equal.iter().cloned());
        }
    }
    paths.extend(rule.inhibits.iter().flat_map(|own| &own.equal).cloned());
    for inhibit in rules.iter().flat_map(|other| &other.inhibits).filter(|own| own.family == rule.family) {
        let tested = inhibit.condition.0.iter().flatten().map(|(path, _)| path);
        paths.extend(tested.chain(&inhibit.equal).cloned());
    }
    paths.retain(|path| matches!(path, Path::Field(_) | Path::Property(_)));
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Plan;
    use crate::engine::number::Exact;
    use crate::engine::peaks::{ONE, fixed};
    use crate::rules::program::RuleIx;
    use crate::rules::{Options, load};

    /// The plan of one rule that counts so.
    fn plan(measure: &str, threshold: &str) -> Plan {
        let text = format!(
            "{{version: 1, name: one, rules: [{{id: r, title: t, why: w, status: shadow, severity: info, family: f, \
             entity: account, policy: {{cooldown: 0s}}, alert: {{summary: s}}, clear: {{if: {{met: false}}}}, \
             when: {{count: {{topic: billing, measure: {measure}, within: 1h, {threshold}}}}}}}]}}"
        );
        let loaded = load(&[("r.yaml", &text)], Options::default()).unwrap_or_else(|why| panic!("{why}"));
        Plan::new(Arc::new(loaded.program_of(&["r"], None).unwrap()))
    }

    #[track_caller]
    fn check(measure: &str, threshold: &str, value: i64, expected: u16) {
        let plan = plan(measure, threshold);
        let value = Exact::whole(value);
        let found = plan.ratio_of(RuleIx(0), value);
        assert_eq!(found, expected, "{measure} {threshold}");
        assert_eq!(found > ONE, plan.is_reached(RuleIx(0), value), "above one means firing");
    }

    #[test]
    fn whole_thresholds_of_counts_stand_between_integers() {
        check("count", "gte: 5", 4, fixed(4.0 / 4.5));
        check("count", "gte: 5", 5, fixed(5.0 / 4.5));
        check("count", "gt: 10", 10, ONE);
        check("count", "gt: 10", 11, fixed(1.1));
        check("{distinct: user_id}", "gte: 2", 1, fixed(1.0 / 1.5));
        check("{distinct: user_id}", "gte: 2", 90, fixed(10.0));
        check("count", "ladder: [{gte: 3, severity: info}, {gte: 9, severity: error}]", 2, fixed(0.8));
    }

    #[test]
    fn sums_are_measured_against_the_threshold_itself() {
        check("{sum: amount_minor}", "gte: 100", 99, fixed(0.99));
        check("{sum: amount_minor}", "gte: 100", 100, ONE + 1);
        check("{sum: amount_minor}", "gt: 100", 100, ONE);
    }
}
