//! One rule.

use crate::document::{Code, Entry, Node, Span, Table, Value};
use crate::rules::compile::{Compiler, Status, Subject, both};
use crate::rules::condition::When;
use crate::rules::identity;
use crate::rules::measure::SEVERITIES;
use crate::rules::names::Names;
use crate::rules::program::{
    Category, Clear, Lookup, Match, Mode, OnActivate, Path, Rule, Severity, TableIx, Variable, ZoneSource,
};
use crate::rules::value;
use crate::rules::vocabulary::{Named, Vocabulary};

/// Keys of a rule.
const KEYS: [&str; 25] = [
    "id",
    "title",
    "why",
    "status",
    "on_activate",
    "category",
    "severity",
    "severity_by",
    "family",
    "rank",
    "entity",
    "timezone",
    "scope",
    "policy",
    "when",
    "clear",
    "expires_after",
    "dedup",
    "lookup",
    "affects",
    "inhibits",
    "collapse_to",
    "alert",
    "budget",
    "tests",
];

/// The ways to be, by name.
pub const STATUSES: [(&str, Status); 4] = [
    ("draft", Status::Draft),
    ("shadow", Status::Shadow),
    ("active", Status::Active),
    ("retired", Status::Retired),
];

/// What is believed at activation, by name.
pub const BELIEFS: [(&str, OnActivate); 2] = [("baseline", OnActivate::Baseline), ("open", OnActivate::Open)];

impl<'n> Compiler<'n> {
    /// Reads a rule, and the one that its rows collapse to. Returns them only if every part could be read; all mistakes
    /// are reported in any case.
    pub fn rule(&mut self, node: &'n Node) -> Option<(Rule, Option<Rule>)> {
        let table = node.table("rule", &KEYS, &mut self.mistakes)?;
        let id =
            table.required("id", &mut self.mistakes).and_then(|node| value::id(node, &mut self.mistakes));
        for key in ["title", "why"] {
            table.required(key, &mut self.mistakes).and_then(|node| node.text(&mut self.mistakes));
        }
        let entity = table.required("entity", &mut self.mistakes);
        let entity = entity.and_then(|node| self.vocabulary.entity(node, &mut self.mistakes));
        let zone = table.optional("timezone").and_then(|node| self.zone(node));
        let zone = zone.unwrap_or_else(|| self.defaults.zone.clone());
        let scopes = self.defaults.scope.into_iter().chain(table.optional("scope")).collect();
        let head = self.head(&table);
        // Without an entity the conditions are still read, so that their mistakes are told too.
        let fallback = crate::rules::program::Entity { account: true, part: None };
        let subject = Subject { entity: entity.clone().unwrap_or(fallback), zone, scopes };
        let scope = self.scope(&subject);
        let when = table.required("when", &mut self.mistakes).and_then(|node| self.when(node, &subject));
        let alert_node = table.required("alert", &mut self.mistakes);
        let alert = alert_node.and_then(|node| self.alert_table(node));
        let expires = table.optional("expires_after");
        let expires_after_ms = expires.and_then(|node| value::span_ms(node, &mut self.mistakes));
        let policy = self.policy(table.optional("policy"), false);
        let status = self.status(&table);
        let mut names = names_of(when.as_ref()?, &subject);
        names.lookups = self.lookups_of(&table, &names);
        let attach =
            alert.as_ref().map(|alert| self.attachments(alert, &names, &subject)).unwrap_or_default();
        names.attach = attach.iter().map(|own| own.name.clone()).collect();
        let severity_by = self.severity_by(&table, &names);
        let clear = self.clears(&table, &names, &subject);
        let dedup = self.dedup(&table, &names);
        let block = alert.as_ref().and_then(|alert| self.alert(alert, &names, attach));
        let inhibits = self.inhibits(&table);
        let affects = self.affects(&table, when.as_ref(), &subject.entity);
        let budget = table.optional("budget").and_then(|node| self.budget(node));
        let (head, when) = (head?, when?);
        self.complete(&table, status, alert.as_ref(), &when);
        let mut rule = Rule {
            id: id?.into(),
            version: format!("{:06x}", self.meaning(node) & 0xff_ffff).into(),
            key: Self::rule_key(id?, &subject, &when),
            title: head.title,
            mode: if status == Status::Active { Mode::Active } else { Mode::Shadow },
            on_activate: head.on_activate,
            category: head.category,
            severity: head.severity,
            severity_by,
            family: head.family,
            rank: head.rank,
            entity: entity?,
            scope,
            combine: when.combine,
            groups: when.groups,
            for_ms: when.for_ms,
            conditions: when.conditions,
            clear,
            expires_after_ms,
            dedup,
            lookups: names.lookups,
            alert: block?,
            policy,
            inhibits,
            affects,
            collapses_to: None,
            collapses: None,
            budget,
            zone: subject.zone,
        };
        let parent = self.collapse(&table, &mut rule, &when.judged);
        Some((rule, parent))
    }

    /// Hash of all that a rule says, and of the defaults that it leans on.
    fn meaning(&self, node: &Node) -> u64 {
        let body = identity::content(std::iter::once(node), &["tests"]);
        let scope = identity::content(self.defaults.scope.into_iter(), &[]);
        let defaults = &self.defaults;
        // Whom a rule may contact and when changes nothing in what it judges.
        let policy = (defaults.policy.cooldown_ms, defaults.policy.renotify_worse);
        let zone = match &defaults.zone {
            ZoneSource::Account => "account",
            ZoneSource::User => "user",
            ZoneSource::Named(name) => name,
        };
        let open = defaults.on_activate == OnActivate::Open;
        let text = format!("{body} {scope} {} {} {zone} {open}", policy.0, policy.1);
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    }

    fn rule_key(id: &str, subject: &Subject<'_>, when: &When) -> u32 {
        let detectors = when.conditions.iter().map(|condition| &condition.detector);
        identity::key(&identity::rule(id, &subject.entity, detectors))
    }

    fn head(&mut self, table: &Table<'n>) -> Option<Head> {
        let mistakes = &mut self.mistakes;
        let severity = table.required("severity", mistakes);
        let severity = severity.and_then(|node| severity_word(node, mistakes));
        let family = table.required("family", mistakes).and_then(|node| value::id(node, mistakes));
        let categories = Category::ALL.map(|category| (category.name(), category));
        let category = table
            .optional("category")
            .map_or(Some(Category::Risk), |node| node.choice("category", &categories, mistakes));
        let rank =
            table.optional("rank").map_or(Some(0), |node| node.integer(-1_000_000..=1_000_000, mistakes));
        let belief = table.optional("on_activate").and_then(|node| node.choice("belief", &BELIEFS, mistakes));
        let title = table.optional("title").and_then(Node::scalar).map_or("", |scalar| scalar.text());
        Some(Head {
            title: title.into(),
            severity: severity?,
            family: family?.into(),
            category: category?,
            rank: i32::try_from(rank?).unwrap_or(0),
            on_activate: belief.unwrap_or(self.defaults.on_activate),
        })
    }

    fn status(&mut self, table: &Table<'n>) -> Status {
        let own = table.optional("status");
        own.and_then(|node| node.choice("status", &STATUSES, &mut self.mistakes))
            .unwrap_or(self.defaults.status)
    }

    /// What an active rule must say, and what an event detector needs.
    fn complete(&mut self, table: &Table<'n>, status: Status, alert: Option<&Table<'n>>, when: &When) {
        let ends = table.optional("clear").is_some() || table.optional("expires_after").is_some();
        let id = table.optional("id").and_then(Node::scalar).map_or("?", |scalar| scalar.text());
        if let Some(judged) = when.judged.iter().find(|judged| judged.detector.is_eventful() && !ends) {
            let what = if judged.name == "event" { "an event" } else { "a sequence" };
            self.mistakes
                .report(table.span, Code::E02, format!("rule `{id}` watches {what} and never ends"))
                .hint("add `clear` or `expires_after`");
        }
        let held = status == Status::Active || (status == Status::Shadow && self.strict);
        let Some(alert) = alert.filter(|_| held) else { return };
        let has = |keys: &[&str]| keys.iter().any(|key| alert.optional(key).is_some());
        let word = if status == Status::Active { "active" } else { "shadow" };
        let lacks = [
            (has(&["owner"]), "no owner"),
            (has(&["playbook"]), "no playbook"),
            (has(&["next_step", "room", "draft"]), "none of next_step, room, draft"),
            (ends, "neither clear nor expires_after"),
        ];
        for (_, what) in lacks.into_iter().filter(|(there, _)| !there) {
            let other = if status == Status::Active { "shadow" } else { "draft" };
            self.mistakes
                .report(table.span, Code::E02, format!("{word} rule `{id}` has {what}"))
                .hint(format!("name one, or set `status: {other}`"));
        }
    }

    /// The part of the scopes that is about profiles; event fields are in the filters. Reports what is neither.
    fn scope(&mut self, subject: &Subject<'n>) -> Match {
        let mut all = Match::default();
        for scope in &subject.scopes {
            let groups = scope.one_or_more();
            let entries: Vec<&Entry> = groups.iter().flat_map(entries).collect();
            let profile =
                |entry: &&&Entry| entry.key.starts_with("account.") || entry.key.starts_with("user.");
            let profiles = entries.iter().filter(profile).count();
            if groups.len() > 1 && profiles > 0 && profiles < entries.len() {
                self.mistakes
                    .report(scope.span, Code::E08, "alternatives of a scope mix profiles and event fields")
                    .hint("write two rules, or put the event field into `where`");
                continue;
            }
            let mut own = Vec::new();
            for group in groups {
                let mut tests = Vec::new();
                for entry in entries_of(group) {
                    let Some(named) = self.scope_field(entry, subject) else { continue };
                    tests.extend(self.test(&entry.node, &named).map(|test| (named.path, test)));
                }
                tests.sort();
                own.push(tests);
            }
            // Across accounts it is in the filters: whose events count is asked where they come in.
            if profiles > 0 && subject.entity.account && !own.iter().any(Vec::is_empty) {
                all = both(all, Match(own));
            }
        }
        all
    }

    /// A field of a profile; nothing for a field of events, which some kind must have.
    fn scope_field(&mut self, entry: &Entry, subject: &Subject<'n>) -> Option<Named> {
        let user = subject.entity.part.as_ref().is_some_and(|part| &*part.name == "user");
        let found = if let Some(name) = entry.key.strip_prefix("account.") {
            Vocabulary::account_field(name)
        } else if let Some(name) = entry.key.strip_prefix("user.") {
            Vocabulary::user_field(name).filter(|_| user)
        } else {
            let kinds = crate::event::Kind::ALL;
            if kinds.into_iter().any(|kind| self.vocabulary.event_field(kind, &entry.key).is_some()) {
                return None;
            }
            None
        };
        if found.is_none() {
            let known: Vec<String> =
                Vocabulary::account_fields().map(|name| format!("account.{name}")).collect();
            self.mistakes
                .report(entry.span, Code::E06, format!("a scope has no field `{}` here", entry.key))
                .suggest(&entry.key, known.iter().map(String::as_str));
        }
        found
    }

    fn lookups_of(&mut self, table: &Table<'n>, names: &Names) -> Vec<Lookup> {
        let mut lookups = Vec::new();
        let entries = table.optional("lookup").and_then(|node| node.map("lookup", &mut self.mistakes));
        for entry in entries.unwrap_or_default() {
            lookups.extend(self.lookup(entry, names));
        }
        lookups
    }

    fn lookup(&mut self, entry: &'n Entry, names: &Names) -> Option<Lookup> {
        let table = entry.node.table("lookup", &["table", "by", "required"], &mut self.mistakes)?;
        let named = table.required("table", &mut self.mistakes);
        let by = table.required("by", &mut self.mistakes);
        let required =
            table.optional("required").map_or(Some(false), |node| node.boolean(&mut self.mistakes));
        let mut keys = Vec::new();
        for node in by?.one_or_more() {
            let name = node.text(&mut self.mistakes)?;
            keys.push(self.variable(names, name, node.span)?.path);
        }
        let name = named?.text(&mut self.mistakes)?;
        let Some(place) = self.tables.iter().position(|source| *source.table.name == *name) else {
            self.unknown_table(name, named?.span);
            return None;
        };
        let place = TableIx(u16::try_from(place).unwrap_or(u16::MAX));
        Some(Lookup { name: entry.key.clone(), table: place, by: keys, required: required? })
    }

    pub fn unknown_table(&mut self, name: &str, span: Span) {
        let known = self.tables.iter().map(|source| &*source.table.name);
        let near = crate::document::did_you_mean(name, known);
        let near = near.and_then(|near| self.tables.iter().find(|source| *source.table.name == *near));
        let hint = near.map(|source| {
            let place = self.mistakes.place(source.span);
            let line = place.rsplit_once(':').map_or("", |(line, _)| line);
            format!("did you mean `{}` ({line})?", source.table.name)
        });
        let report = self.mistakes.report(span, Code::E07, format!("no lookup table `{name}`"));
        if let Some(hint) = hint {
            report.hint(hint);
        }
    }

    fn severity_by(&mut self, table: &Table<'n>, names: &Names) -> Vec<(Match<Variable>, Severity)> {
        let mut found = Vec::new();
        let list =
            table.optional("severity_by").and_then(|node| node.list("severity_by", &mut self.mistakes));
        for node in list.unwrap_or_default() {
            let Some(own) = node.table("severity_by", &["if", "severity"], &mut self.mistakes) else {
                continue;
            };
            let condition = own.required("if", &mut self.mistakes);
            let severity = own.required("severity", &mut self.mistakes);
            let severity = severity.and_then(|node| severity_word(node, &mut self.mistakes));
            let matches = condition.and_then(|node| self.variable_match(node, names));
            found.extend(matches.zip(severity));
        }
        found
    }

    /// A match on variables.
    pub fn variable_match(&mut self, node: &'n Node, names: &Names) -> Option<Match<Variable>> {
        self.matches(node, &mut |compiler: &mut Self, name, span| compiler.variable(names, name, span))
    }

    fn clears(&mut self, table: &Table<'n>, names: &Names, subject: &Subject<'n>) -> Vec<Clear> {
        let Some(node) = table.optional("clear") else { return Vec::new() };
        let items = match node.get("any") {
            Some(items) => {
                node.table("clear", &["any"], &mut self.mistakes);
                items.list("clear", &mut self.mistakes).unwrap_or_default()
            }
            None => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| self.clear(item, names, subject)).collect()
    }

    fn clear(&mut self, node: &'n Node, names: &Names, subject: &Subject<'n>) -> Option<Clear> {
        let table = node.table("clear", &["event", "match", "if", "for"], &mut self.mistakes)?;
        let for_ms = table.optional("for").map_or(Some(0), |node| value::span_ms(node, &mut self.mistakes));
        match (table.optional("event"), table.optional("if")) {
            (Some(event), None) => {
                let filtered = self.filter_node("clear", event, subject)?;
                self.is_seen_across(event.span, "a clear event", filtered.kind, &subject.entity);
                let mut equal = Vec::new();
                for field in table.optional("match").map(Node::one_or_more).unwrap_or_default() {
                    let name = field.text(&mut self.mistakes)?;
                    let named = self.event_field(name, field, filtered.kind)?;
                    if let Some(judged) = names.firing().next() {
                        self.event_field(name, field, judged.kind);
                    } else {
                        let sentence = format!("`{name}` can't be matched: no event opens this alert");
                        self.mistakes.report(field.span, Code::E08, sentence);
                    }
                    equal.push(named.path);
                }
                Some(Clear::Event { filter: filtered.filter, equal, for_ms: for_ms? })
            }
            (None, Some(condition)) => {
                if let Some(entry) = table.entry("match") {
                    self.mistakes.report(entry.span, Code::E08, "match stands beside event, not beside if");
                }
                let matches = self.matches(condition, &mut |compiler: &mut Self, name, span| {
                    compiler.clearing(names, name, span)
                })?;
                Some(Clear::If { matches, for_ms: for_ms? })
            }
            _ => {
                self.mistakes.report(node.span, Code::E08, "clear has one of event and if");
                None
            }
        }
    }

    fn dedup(&mut self, table: &Table<'n>, names: &Names) -> Vec<Path> {
        let Some(node) = table.optional("dedup") else { return Vec::new() };
        if names.conditions.iter().any(|(_, judged)| judged.name != "event") {
            self.mistakes
                .report(node.span, Code::E08, "dedup does not fit conditions other than event")
                .hint("make the field part of the entity");
            return Vec::new();
        }
        let mut paths = Vec::new();
        for field in node.list("dedup", &mut self.mistakes).unwrap_or_default() {
            let Some(name) = field.text(&mut self.mistakes) else { continue };
            let kinds: Vec<_> = names.conditions.iter().map(|(_, judged)| judged.kind).collect();
            let found: Vec<Named> =
                kinds.into_iter().filter_map(|kind| self.event_field(name, field, kind)).collect();
            paths.extend(found.into_iter().next().map(|named| named.path));
        }
        paths
    }

    /// `account`, `user`, or an IANA zone.
    pub fn zone(&mut self, node: &'n Node) -> Option<ZoneSource> {
        let name = node.text(&mut self.mistakes)?;
        match name {
            "account" => return Some(ZoneSource::Account),
            "user" => return Some(ZoneSource::User),
            _ => {}
        }
        if jiff::tz::TimeZone::get(name).is_err() {
            self.mistakes
                .report(node.span, Code::E04, format!("`{name}` is no time zone"))
                .detail("account, user or an IANA zone such as Europe/Paris");
            return None;
        }
        Some(ZoneSource::Named(name.into()))
    }
}

struct Head {
    title: Box<str>,
    severity: Severity,
    family: Box<str>,
    category: Category,
    rank: i32,
    on_activate: OnActivate,
}

fn names_of(when: &When, subject: &Subject<'_>) -> Names {
    let conditions = when.conditions.iter().zip(&when.judged);
    Names {
        combine: when.combine,
        groups: when.groups.iter().map(|group| group.name.clone()).collect(),
        conditions: conditions.map(|(condition, judged)| (condition.name.clone(), judged.clone())).collect(),
        entity: subject.entity.clone(),
        lookups: Vec::new(),
        attach: Vec::new(),
    }
}

fn entries(node: &Node) -> impl Iterator<Item = &Entry> {
    entries_of(node).iter()
}

fn entries_of(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

/// A severity; words of other systems are led to ours.
fn severity_word(node: &Node, mistakes: &mut crate::document::Mistakes) -> Option<Severity> {
    let word = node.scalar().map_or("", |scalar| scalar.text());
    let meant = match word {
        "high" | "urgent" | "fatal" | "severe" | "page" => Some("critical"),
        "medium" | "warn" | "moderate" => Some("warning"),
        "low" | "notice" | "debug" => Some("info"),
        _ => None,
    };
    let Some(meant) = meant else { return node.choice("severity", &SEVERITIES, mistakes) };
    mistakes
        .report(node.span, Code::E04, format!("`{word}` is no severity"))
        .detail(SEVERITIES.map(|(name, _)| name).join(" "))
        .hint(format!("did you mean `{meant}`?"));
    None
}
