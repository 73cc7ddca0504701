//! What rules say about when they may speak: policy, escalation, inhibition, budget.

use crate::document::{Code, Mistakes, Node, Scalar, Table};
use crate::event::{Field, FieldType, Kind};
use crate::rules::alert::AUDIENCES;
use crate::rules::compile::Compiler;
use crate::rules::condition::When;
use crate::rules::measure::{SEVERITIES, compare};
use crate::rules::names::Names;
use crate::rules::program::{
    Affects, Budget, Contact, ContactBudget, Decimal, Entity, Escalation, Holdout, Hours, Inhibit, Match,
    Path, Policy, Rate,
};
use crate::rules::value;
use crate::rules::vocabulary::{Named, Vocabulary};

/// Keys of a policy.
const KEYS: [&str; 6] =
    ["cooldown", "renotify", "holdout", "contact_budget", "sequence_gap", "contact_hours"];
/// Steps that an escalation may have: an alert remembers them as bits of a byte.
const MOST_STEPS: usize = 8;

/// Whether a node is this one word.
fn says(node: &Node, word: &str) -> bool {
    node.scalar().is_some_and(|scalar| scalar.text() == word)
}

impl<'n> Compiler<'n> {
    /// Reads `policy` over that of the defaults; `of_defaults`: it is that of the defaults.
    pub fn policy(&mut self, node: Option<&'n Node>, of_defaults: bool) -> Policy {
        let mut policy = self.defaults.policy.clone();
        let Some(table) = node.and_then(|node| node.table("policy", &KEYS, &mut self.mistakes)) else {
            return policy;
        };
        if let Some(node) = table.optional("cooldown") {
            policy.cooldown_ms = value::span_ms(node, &mut self.mistakes).unwrap_or(policy.cooldown_ms);
        }
        if let Some(node) = table.optional("renotify") {
            let found =
                node.choice("way to renotify", &[("worse", true), ("never", false)], &mut self.mistakes);
            policy.renotify_worse = found.unwrap_or(policy.renotify_worse);
        }
        if let Some(node) = table.optional("holdout") {
            policy.holdout = if says(node, "never") { None } else { self.holdout(node) };
        }
        self.contact(&table, of_defaults, &mut policy.contact);
        policy
    }

    fn holdout(&mut self, node: &'n Node) -> Option<Holdout> {
        if node.scalar().is_some() {
            return node.expected("`never` or {group, percent}", &mut self.mistakes);
        }
        let table = node.table("holdout", &["group", "percent"], &mut self.mistakes)?;
        let group = table.required("group", &mut self.mistakes);
        let group = group.and_then(|node| value::id(node, &mut self.mistakes));
        let percent = table.required("percent", &mut self.mistakes)?;
        let share = value::quantity(percent, false, &mut self.mistakes)?;
        let scale = u32::from(share.scale);
        let parts = i128::from(share.mantissa) * 10_000;
        let per_myriad = u16::try_from(parts / 10_i128.pow(scale)).ok().filter(|parts| *parts <= 10_000);
        if per_myriad.is_none() || parts % 10_i128.pow(scale) != 0 {
            let sentence = format!("{} is no share from 0% to 100% in steps of 0.01%", percent.shown());
            self.mistakes.report(percent.span, Code::E05, sentence).hint("write it as `10%`");
            return None;
        }
        Some(Holdout { group: group?.into(), per_myriad: per_myriad? })
    }

    /// What openings to customers must respect: set in the defaults, ignored by rules.
    fn contact(&mut self, table: &Table<'n>, of_defaults: bool, contact: &mut Contact) {
        for key in ["contact_budget", "sequence_gap", "contact_hours"] {
            let Some(node) = table.optional(key) else { continue };
            if says(node, "ignore") {
                match key {
                    "contact_budget" => contact.budget = None,
                    "sequence_gap" => contact.gap_ms = None,
                    _ => contact.any_hour = true,
                }
                continue;
            }
            if !of_defaults {
                self.mistakes
                    .report(node.span, Code::E08, format!("a rule can't set {key} for itself"))
                    .detail("all rules share it")
                    .hint(format!("set it in `defaults.policy`, or write `{key}: ignore` here"));
                continue;
            }
            match key {
                "contact_budget" => contact.budget = self.contact_budget(node),
                "sequence_gap" => contact.gap_ms = value::span_ms(node, &mut self.mistakes),
                _ => {
                    contact.any_hour = false;
                    contact.hours = self.hours(node).unwrap_or_else(Hours::office);
                }
            }
        }
    }

    fn contact_budget(&mut self, node: &'n Node) -> Option<ContactBudget> {
        let table = node.table("contact_budget", &["max", "per"], &mut self.mistakes)?;
        let max = table.required("max", &mut self.mistakes);
        let max = max.and_then(|node| node.integer(0..=64, &mut self.mistakes));
        let per = table.required("per", &mut self.mistakes);
        let per_ms = per.and_then(|node| value::span_ms(node, &mut self.mistakes));
        Some(ContactBudget { max: u16::try_from(max?).unwrap_or(0), per_ms: per_ms? })
    }

    fn hours(&mut self, node: &'n Node) -> Option<Hours> {
        let found = node.scalar().and_then(|scalar| Hours::parse(scalar.text()));
        if found.is_none() {
            self.mistakes
                .report(node.span, Code::E03, format!("expected hours, found {}", node.shown()))
                .hint("write them as `Mon-Fri 09:00-17:00`, several joined by commas");
        }
        found
    }

    /// Reads `escalate`.
    pub fn escalate(&mut self, node: &'n Node, names: &Names) -> Vec<Escalation> {
        let Some(items) = node.list("escalate", &mut self.mistakes) else { return Vec::new() };
        if items.len() > MOST_STEPS {
            let sentence = format!("escalate has at most {MOST_STEPS} steps, this has {}", items.len());
            self.mistakes.report(node.span, Code::E05, sentence);
        }
        let steps: Vec<Escalation> = items.iter().filter_map(|item| self.escalation(item, names)).collect();
        if !steps.is_sorted_by_key(|step| step.after_ms) {
            self.mistakes
                .report(node.span, Code::E09, "the steps of escalate are not in the order of `after`")
                .hint("write the earliest first");
        }
        steps
    }

    fn escalation(&mut self, node: &'n Node, names: &Names) -> Option<Escalation> {
        let known = ["after", "if", "severity", "owner", "inform", "channels", "audience"];
        let table = node.table("escalate", &known, &mut self.mistakes)?;
        let after = table.required("after", &mut self.mistakes);
        let after = after.and_then(|node| value::span_ms(node, &mut self.mistakes));
        let condition = table.optional("if").map(|node| self.variable_match(node, names));
        let severity = table.optional("severity");
        let severity = severity.and_then(|node| node.choice("severity", &SEVERITIES, &mut self.mistakes));
        let audience = table.optional("audience");
        let customer = audience.and_then(|node| node.choice("audience", &AUDIENCES, &mut self.mistakes));
        let inform = table.optional("inform").map(Node::one_or_more).unwrap_or_default();
        Some(Escalation {
            after_ms: after?,
            condition: condition.unwrap_or_else(|| Some(Match::default()))?,
            severity,
            owner: table.optional("owner").and_then(|node| self.person(node, names)),
            inform: inform.iter().filter_map(|node| self.person(node, names)).collect(),
            channels: self.channels(&table),
            customer,
        })
    }

    /// Reads `inhibits` of a rule of this family.
    pub fn inhibits(&mut self, table: &Table<'n>) -> Vec<Inhibit> {
        let own = table.optional("family").and_then(Node::scalar).map(Scalar::text);
        let list = table.optional("inhibits").and_then(|node| node.list("inhibits", &mut self.mistakes));
        let mut found = Vec::new();
        for node in list.unwrap_or_default() {
            let known = ["family", "if", "match"];
            let Some(item) = node.table("inhibits", &known, &mut self.mistakes) else { continue };
            let family = item.required("family", &mut self.mistakes);
            let id = family.and_then(|node| value::id(node, &mut self.mistakes));
            if let (Some(node), Some(id)) = (family, id)
                && own == Some(id)
            {
                self.mistakes
                    .report(node.span, Code::E08, "a family does not inhibit itself")
                    .hint("rules of one family share one alert already");
            }
            let condition = item.optional("if").map(|node| self.held_back(node));
            let condition = condition.unwrap_or_else(|| Some(Match::default()));
            let equal = item.optional("match").and_then(|node| node.list("match", &mut self.mistakes));
            let equal = equal.unwrap_or_default().iter().filter_map(|node| self.shared_field(node)).collect();
            found.extend(id.zip(condition).map(|(id, condition)| Inhibit {
                family: id.into(),
                condition,
                equal,
            }));
        }
        found
    }

    /// Reads `affects`: one list of the profile, and the list of the firing event that it is compared with.
    pub fn affects(&mut self, table: &Table<'n>, when: Option<&When>, entity: &Entity) -> Option<Affects> {
        let (node, judged) = (table.optional("affects")?, when.map_or(&[][..], |when| &when.judged));
        let entries = node.map("affects", &mut self.mistakes)?;
        let [entry] = entries else {
            let sentence = format!("affects has {} entries, not one", entries.len());
            self.mistakes.report(node.span, Code::E08, sentence);
            return None;
        };
        if entity.account {
            self.mistakes
                .report(node.span, Code::E08, "an alert of one account affects no others")
                .hint("leave `affects` out");
        }
        let list = entry.key.strip_prefix("account.").and_then(Vocabulary::account_field);
        let list = list.and_then(|named| match (named.path, named.ty) {
            (Path::Account(field), FieldType::Texts) => Some(field),
            _ => None,
        });
        if list.is_none() {
            let sentence = format!("`{}` is no list of the profile", entry.key);
            self.mistakes.report(entry.span, Code::E06, sentence).hint("write `account.services_used`");
        }
        let name = entry.node.text(&mut self.mistakes)?;
        let fired = judged.iter().filter(|own| own.fires).map(|own| own.kind).next();
        let Some(kind) = fired else {
            self.mistakes.report(
                entry.node.span,
                Code::E08,
                "these conditions have no firing event to affect by",
            );
            return None;
        };
        let named = self.event_field(name, &entry.node, kind)?;
        if named.ty != FieldType::Texts {
            let sentence = format!("`{name}` is no list");
            self.mistakes.report(entry.node.span, Code::E03, sentence);
            return None;
        }
        Some(Affects { list: list?, values: named.path })
    }

    /// A match on what is held back: its entity, the firing event, the account and the user.
    fn held_back(&mut self, node: &'n Node) -> Option<Match> {
        self.matches(node, &mut |compiler: &mut Self, name, span| {
            let owner = |prefix: &str, field: fn(&str) -> Option<Named>| name.strip_prefix(prefix).map(field);
            let owned = owner("account.", Vocabulary::account_field)
                .or_else(|| owner("user.", Vocabulary::user_field));
            owned.unwrap_or_else(|| compiler.any_event_field(name)).or_else(|| {
                let known = Vocabulary::account_fields().map(|name| format!("account.{name}"));
                let known: Vec<String> = known.chain(Field::all().map(|spec| spec.name.to_owned())).collect();
                compiler
                    .mistakes
                    .report(span, Code::E06, format!("inhibits has no field `{name}` here"))
                    .detail("it reads what is held back: fields of events, account.*, user.*")
                    .suggest(name, known.iter().map(String::as_str));
                None
            })
        })
    }

    /// A field of events that two alerts may have in common.
    pub fn shared_field(&mut self, node: &'n Node) -> Option<Path> {
        let name = node.text(&mut self.mistakes)?;
        let found = self.any_event_field(name).map(|named| named.path);
        if found.is_none() {
            self.mistakes
                .report(node.span, Code::E06, format!("no events have a field `{name}`"))
                .suggest(name, Field::all().map(|spec| spec.name));
        }
        found
    }

    /// A field of the events of some kind.
    fn any_event_field(&self, name: &str) -> Option<Named> {
        Kind::ALL.into_iter().find_map(|kind| self.vocabulary.event_field(kind, name))
    }

    /// Reads `budget`.
    pub fn budget(&mut self, node: &'n Node) -> Option<Budget> {
        let table = node.table("budget", &["min", "max"], &mut self.mistakes)?;
        if table.entries().is_empty() {
            self.mistakes.report(node.span, Code::E02, "budget has neither `min` nor `max`");
        }
        let min = table.optional("min").and_then(|node| rate(node, &mut self.mistakes));
        let max = table.optional("max").and_then(|node| rate(node, &mut self.mistakes));
        let crossed = match (min, max) {
            (Some(Rate::PerDay(min)), Some(Rate::PerDay(max)))
            | (Some(Rate::Share(min)), Some(Rate::Share(max))) => compare(min, max).is_gt(),
            _ => false,
        };
        if crossed {
            self.mistakes.report(node.span, Code::E09, "the budget's min is above its max");
        }
        Some(Budget { min, max })
    }
}

/// A number of alerts a day, or a share of the eligible entities.
fn rate(node: &Node, mistakes: &mut Mistakes) -> Option<Rate> {
    let found: Decimal = value::quantity(node, false, mistakes)?;
    if found.mantissa < 0 {
        mistakes.report(node.span, Code::E05, format!("{} is negative", node.shown()));
        return None;
    }
    let share = node.scalar().is_some_and(|scalar| scalar.text().ends_with('%'));
    Some(if share { Rate::Share(found) } else { Rate::PerDay(found) })
}
