//! Loading a rule set: all files together, all mistakes at once.

use crate::document::{Code, Entry, Mistakes, Node, Span, Table, parse};
use crate::event::FieldType;
use crate::rules::cases::{self, RuleTests};
use crate::rules::compile::{Compiler, Defaults, Status};
use crate::rules::identity;
use crate::rules::lookup;
use crate::rules::program::{Mode, OnActivate, Policy, Program, Rule, Stall, ZoneSource};
use crate::rules::rule::{BELIEFS, STATUSES};
use crate::rules::value;
use crate::rules::vocabulary::Vocabulary;

/// A rule set has no more rules.
const MOST_RULES: usize = 500;
/// Over how long a source's volume may be judged, ms.
const STALL_MS: std::ops::RangeInclusive<i64> = 60_000..=86_400_000;

/// How strictly a rule set is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Unknown names of events are mistakes, and shadow rules must be as complete as active ones.
    pub strict: bool,
}

/// A rule set that was read without mistakes.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the engine runs: the active and shadow rules.
    pub program: Program,
    /// The tests of every rule, drafts included.
    pub tests: Vec<RuleTests>,
    /// What may be wrong.
    pub warnings: Mistakes,
    /// The names of the files, by the number that spans carry.
    pub files: Vec<Box<str>>,
    /// The properties that the vocabulary declares, without `properties.`.
    pub declared: Vec<(Box<str>, FieldType)>,
    sources: Vec<Node>,
    options: Options,
}

/// Reads a rule set from files given as (name, text), in the order of their names.
///
/// # Errors
/// All mistakes of all files, with their places.
pub fn load(files: &[(&str, &str)], options: Options) -> Result<Loaded, Mistakes> {
    let mut mistakes = Mistakes::default();
    let sources: Vec<Node> =
        files.iter().filter_map(|(name, text)| parse(name, text, &mut mistakes)).collect();
    let file_names = mistakes.files().to_vec();
    let checked = compile(&sources, mistakes.beside(), options, &Choice::Every);
    mistakes.append(checked.mistakes);
    let mut tests = Vec::new();
    for node in rules_of(&sources) {
        tests.extend(cases::read(node, &mut mistakes));
    }
    let ids: Vec<&str> = rules_of(&sources).map(id_of).collect();
    cases::check_references(&tests, &ids, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let warnings = checked.warnings;
    let compiler = compile(&sources, mistakes, options, &Choice::Running);
    let (program, declared) = (compiler.program, compiler.vocabulary.declared());
    Ok(Loaded { program, tests, warnings, files: file_names, declared, sources, options })
}

impl Loaded {
    /// The program of these rules alone, whatever their status, all active; `lookups` replaces tables and lists.
    ///
    /// # Errors
    /// Mistakes in `lookups`, and rules that do not fit them.
    pub fn program_of(&self, ids: &[&str], lookups: Option<&Node>) -> Result<Program, Mistakes> {
        let mut mistakes = Mistakes::default();
        for file in &self.files {
            mistakes.file(file);
        }
        let compiled = compile(&self.sources, mistakes, self.options, &Choice::These { ids, lookups });
        if compiled.mistakes.is_empty() { Ok(compiled.program) } else { Err(compiled.mistakes) }
    }
}

/// Which rules enter the program.
enum Choice<'c> {
    /// All, for a check.
    Every,
    /// The active and shadow ones.
    Running,
    /// These, as active ones.
    These { ids: &'c [&'c str], lookups: Option<&'c Node> },
}

fn rules_of(sources: &[Node]) -> impl Iterator<Item = &Node> {
    sources.iter().filter_map(|source| source.get("rules")).flat_map(|rules| match &rules.value {
        crate::document::Value::List(items) => items.as_slice(),
        _ => &[],
    })
}

fn compile<'n>(
    sources: &'n [Node],
    mistakes: Mistakes,
    options: Options,
    choice: &Choice<'_>,
) -> Compiler<'n> {
    let mut compiler = Compiler {
        warnings: mistakes.beside(),
        mistakes,
        strict: options.strict,
        vocabulary: Vocabulary::default(),
        tables: Vec::new(),
        lists: Vec::new(),
        named: Vec::new(),
        defaults: Defaults {
            zone: ZoneSource::Account,
            scope: None,
            status: Status::Shadow,
            on_activate: OnActivate::Baseline,
            policy: Policy::built_in(),
            sentiment: None,
            feature_severity: None,
        },
        program: Program::default(),
    };
    let tables: Vec<Table<'n>> = sources.iter().filter_map(|source| compiler.file(source)).collect();
    compiler.common(&tables);
    if let Choice::These { lookups: Some(node), .. } = choice {
        lookup::read(node, true, &mut compiler.tables, &mut compiler.lists, &mut compiler.mistakes);
    }
    compiler.program.tables = compiler.tables.iter().map(|source| source.table.clone()).collect();
    compiler.all_rules(sources, choice);
    // Tests give what they need of it.
    if !matches!(choice, Choice::These { .. }) {
        let blocks: Vec<&Entry> = tables.iter().filter_map(|table| table.entry("health")).collect();
        compiler.health(&blocks);
    }
    compiler.resolve_feature_severity();
    compiler.resolve_sentiment(&rules_of(sources).map(id_of).collect::<Vec<_>>());
    compiler.program.rule_set = format!("{:016x}", identity::content(sources.iter(), &[])).into();
    compiler
}

impl<'n> Compiler<'n> {
    /// The top level of one file.
    fn file(&mut self, source: &'n Node) -> Option<Table<'n>> {
        let known = ["version", "name", "defaults", "vocabulary", "lookups", "health", "rules"];
        let table = source.table("rule set", &known, &mut self.mistakes)?;
        let version = table.required("version", &mut self.mistakes);
        if let Some(node) = version
            && node.scalar().and_then(|scalar| scalar.as_integer()) != Some(1)
        {
            let sentence = format!("version {} is not known", node.shown());
            self.mistakes.report(node.span, Code::E04, sentence).hint("write `version: 1`");
        }
        table.required("name", &mut self.mistakes).and_then(|node| value::id(node, &mut self.mistakes));
        if let Some(rules) = table.optional("rules") {
            rules.list("rules", &mut self.mistakes);
        }
        Some(table)
    }

    /// What all files share: names, vocabulary, lookups, defaults.
    fn common(&mut self, tables: &[Table<'n>]) {
        let mut names: Vec<&str> = Vec::new();
        let mut defaults: Option<&Entry> = None;
        for table in tables {
            if let Some(node) = table.optional("name")
                && let Some(name) = node.scalar().and_then(|scalar| scalar.as_text())
            {
                if names.contains(&name) {
                    self.mistakes.report(node.span, Code::E11, format!("two files have the name `{name}`"));
                }
                names.push(name);
            }
            if let Some(node) = table.optional("vocabulary") {
                self.vocabulary.merge(node, &mut self.mistakes);
            }
            if let Some(node) = table.optional("lookups") {
                lookup::read(node, false, &mut self.tables, &mut self.lists, &mut self.mistakes);
            }
            if let Some(entry) = table.entry("defaults") {
                if let Some(first) = defaults {
                    let place = self.mistakes.place(first.span);
                    self.mistakes
                        .report(entry.span, Code::E11, "defaults stand in two files")
                        .detail(format!("the first are at {place}"));
                    continue;
                }
                defaults = Some(entry);
            }
        }
        if let Some(entry) = defaults {
            self.read_defaults(&entry.node);
        }
    }

    fn read_defaults(&mut self, node: &'n Node) {
        let known = ["timezone", "stall", "scope", "status", "on_activate", "policy", "priority"];
        let Some(table) = node.table("defaults", &known, &mut self.mistakes) else { return };
        if let Some(zone) = table.optional("timezone").and_then(|node| self.zone(node)) {
            self.defaults.zone = zone;
        }
        self.defaults.scope = table.optional("scope");
        self.program.stall = table.optional("stall").map(|node| self.stall(node)).unwrap_or_default();
        let status = table.optional("status");
        if let Some(found) = status.and_then(|node| node.choice("status", &STATUSES, &mut self.mistakes)) {
            self.defaults.status = found;
        }
        let belief = table.optional("on_activate");
        if let Some(found) = belief.and_then(|node| node.choice("belief", &BELIEFS, &mut self.mistakes)) {
            self.defaults.on_activate = found;
        }
        self.defaults.policy = self.policy(table.optional("policy"), true);
        self.program.priority = table.optional("priority").and_then(|node| self.priority(node));
    }

    /// Reads `defaults.stall`.
    fn stall(&mut self, node: &'n Node) -> Stall {
        let mut stall = Stall::default();
        let Some(table) = node.table("stall", &["volume_below", "for"], &mut self.mistakes) else {
            return stall;
        };
        if let Some(node) = table.optional("volume_below")
            && let Some(share) = value::number(node, &mut self.mistakes)
        {
            match (u64::try_from(share.mantissa), 10_u64.pow(u32::from(share.scale))) {
                (Ok(part), whole) if part <= whole => stall.below = (part, whole),
                _ => {
                    let sentence = format!("{} is no share of what is usual", node.shown());
                    self.mistakes
                        .report(node.span, Code::E05, sentence)
                        .hint("write one from `0%` to `100%`");
                }
            }
        }
        if let Some(node) = table.optional("for")
            && let Some(ms) = value::span_ms(node, &mut self.mistakes)
        {
            if STALL_MS.contains(&ms) {
                stall.for_ms = ms;
            } else {
                let sentence = format!("{} is too short or too long to tell a stall", node.shown());
                self.mistakes.report(node.span, Code::E05, sentence).hint("write one from `1m` to `24h`");
            }
        }
        stall
    }

    /// The chosen rules, by id.
    fn all_rules(&mut self, sources: &'n [Node], choice: &Choice<'_>) {
        let mut nodes: Vec<(&str, &Node)> = rules_of(sources).map(|node| (id_of(node), node)).collect();
        if let Some((_, node)) = nodes.get(MOST_RULES) {
            let sentence = format!("a rule set has at most {MOST_RULES} rules, this has {}", nodes.len());
            self.mistakes.report(node.span, Code::E05, sentence);
        }
        nodes.sort_by_key(|(id, _)| *id);
        for pair in nodes.windows(2).filter(|pair| pair[0].0 == pair[1].0 && !pair[0].0.is_empty()) {
            let sentence = format!("rule `{}` stands here twice", pair[1].0);
            self.mistakes.report(pair[1].1.span, Code::E11, sentence);
        }
        let chosen = |compiler: &Self, id: &str, node: &Node| match choice {
            Choice::Every => true,
            Choice::Running => matches!(compiler.status_of(node), Status::Active | Status::Shadow),
            Choice::These { ids, .. } => ids.contains(&id),
        };
        for (id, node) in &nodes {
            if chosen(self, id, node) {
                self.chosen(node, choice);
            }
        }
        let mut named = std::mem::take(&mut self.named);
        named.sort_unstable();
        named.dedup_by(|one, other| one.0 == other.0);
        for (id, span) in named {
            match nodes.iter().find(|(own, _)| **own == *id) {
                None => {
                    self.mistakes
                        .report(span, Code::E07, format!("no rule `{id}`"))
                        .suggest(&id, nodes.iter().map(|(id, _)| *id));
                }
                // In a test it is judged too, silently.
                Some((id, node)) if matches!(choice, Choice::These { .. }) && !chosen(self, id, node) => {
                    let before = self.program.rules.len();
                    self.chosen(node, choice);
                    self.program.rules[before..].iter_mut().for_each(|rule| rule.mode = Mode::Shadow);
                }
                Some(_) => self.is_of_account(&id, span),
            }
        }
    }

    /// Reports a rule that holds in no account, though a score asks whether it does.
    fn is_of_account(&mut self, id: &str, span: Span) {
        if self.program.rules.iter().any(|own| *own.id == *id && !own.entity.account) {
            let sentence = format!("`{id}` is across accounts: it holds in none of them");
            self.mistakes.report(span, Code::E08, sentence);
        }
    }

    /// Reads a rule that is chosen, and what its rows collapse to.
    fn chosen(&mut self, node: &'n Node, choice: &Choice<'_>) {
        if let Some((rule, parent)) = self.rule(node) {
            self.keep(rule, node, choice);
            parent.into_iter().for_each(|parent| self.keep(parent, node, choice));
        }
    }

    fn keep(&mut self, mut rule: Rule, node: &Node, choice: &Choice<'_>) {
        if matches!(choice, Choice::These { .. }) {
            rule.mode = Mode::Active;
            // Tests speak of the treatment arm, unless the profile says otherwise.
            if let Some(holdout) = &mut rule.policy.holdout {
                holdout.per_myriad = 0;
            }
        }
        if self.program.rules.iter().any(|own| own.key == rule.key && own.id != rule.id) {
            self.collision(node.span, "rule");
        }
        self.program.rules.push(rule);
    }

    fn status_of(&self, node: &Node) -> Status {
        let word = node.get("status").and_then(Node::scalar).map(|scalar| scalar.text());
        let found = STATUSES.iter().find(|(name, _)| Some(*name) == word);
        found.map_or(self.defaults.status, |(_, status)| *status)
    }
}

fn id_of(node: &Node) -> &str {
    node.get("id").and_then(Node::scalar).map_or("", |scalar| scalar.text())
}
