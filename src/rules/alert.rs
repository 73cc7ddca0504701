//! The alert block.

use crate::document::{Code, Node, Table};
use crate::event::FieldType;
use crate::rules::compile::{Compiler, Subject};
use crate::rules::identity;
use crate::rules::names::Names;
use crate::rules::program::{AlertBlock, Attach, CustomerAction, Due, Path, Person, Template, Variable};
use crate::rules::value;
use crate::rules::vocabulary::Vocabulary;

/// Keys of the alert block.
const KEYS: [&str; 15] = [
    "summary",
    "audience",
    "owner",
    "inform",
    "playbook",
    "template",
    "channels",
    "next_step",
    "room",
    "draft",
    "cause",
    "update_every",
    "respond_within",
    "escalate",
    "attach",
];

/// What the customer may have to do.
const CUSTOMER_ACTIONS: [(&str, CustomerAction); 4] = [
    ("required", CustomerAction::Required),
    ("optional", CustomerAction::Optional),
    ("none", CustomerAction::None),
    ("already_resolved", CustomerAction::AlreadyResolved),
];

/// Who is meant; true: customers.
pub const AUDIENCES: [(&str, bool); 2] = [("customer", true), ("internal", false)];

impl<'n> Compiler<'n> {
    /// The alert block's table.
    pub fn alert_table(&mut self, node: &'n Node) -> Option<Table<'n>> {
        node.table("alert", &KEYS, &mut self.mistakes)
    }

    /// Reads the alert block; `names` know its attachments already.
    #[expect(clippy::unnecessary_wraps, reason = "like the other parts of a rule, which may be absent")]
    pub fn alert(&mut self, table: &Table<'n>, names: &Names, attach: Vec<Attach>) -> Option<AlertBlock> {
        let summary = table.required("summary", &mut self.mistakes);
        let mut block = AlertBlock {
            summary: summary.and_then(|node| self.template(node, names)).unwrap_or_default(),
            attach,
            ..AlertBlock::default()
        };
        let audience = table.optional("audience");
        block.customer = audience
            .and_then(|node| node.choice("audience", &AUDIENCES, &mut self.mistakes))
            .unwrap_or(false);
        block.owner = table.optional("owner").and_then(|node| self.person(node, names));
        for node in table.optional("inform").map(Node::one_or_more).unwrap_or_default() {
            block.inform.extend(self.person(node, names));
        }
        block.playbook = self.optional_template(table, "playbook", names);
        block.template = self.optional_template(table, "template", names);
        block.room = self.optional_template(table, "room", names);
        block.channels = self.channels(table);
        if let Some(node) = table.optional("next_step") {
            self.next_step(node, names, &mut block);
        }
        block.draft = table.optional("draft").and_then(|node| self.draft(node, names));
        let causes = ["our_side", "customer_input", "third_party"].map(|cause| (cause, cause));
        let cause = table.optional("cause");
        block.cause =
            cause.and_then(|node| node.choice("cause", &causes, &mut self.mistakes)).map(Into::into);
        let mistakes = &mut self.mistakes;
        block.update_every_ms =
            table.optional("update_every").and_then(|node| value::span_ms(node, mistakes));
        block.respond_within =
            table.optional("respond_within").and_then(|node| value::within(node, mistakes));
        if let Some(node) = table.optional("escalate") {
            block.escalate = self.escalate(node, names);
        }
        Some(block)
    }

    fn optional_template(&mut self, table: &Table<'n>, key: &str, names: &Names) -> Option<Template> {
        table.optional(key).and_then(|node| self.template(node, names))
    }

    /// Reads `channels`.
    pub fn channels(&mut self, table: &Table<'n>) -> Vec<Box<str>> {
        let mut channels = Vec::new();
        let list = table.optional("channels").and_then(|node| node.list("channels", &mut self.mistakes));
        for node in list.unwrap_or_default() {
            let Some(name) = node.text(&mut self.mistakes) else { continue };
            if !self.vocabulary.channels().any(|known| known == name) {
                let known: Vec<&str> = self.vocabulary.channels().collect();
                self.mistakes
                    .report(node.span, Code::E04, format!("`{name}` is no channel"))
                    .detail(known.join(" "))
                    .suggest(name, known.iter().copied());
            }
            channels.push(name.into());
        }
        channels
    }

    fn next_step(&mut self, node: &'n Node, names: &Names, block: &mut AlertBlock) {
        let known = ["customer_action", "text", "due", "actions"];
        let Some(table) = node.table("next_step", &known, &mut self.mistakes) else { return };
        let text = table.required("text", &mut self.mistakes);
        block.next_step = text.and_then(|node| self.template(node, names));
        let action = table.optional("customer_action");
        block.customer_action = action
            .and_then(|node| node.choice("customer action", &CUSTOMER_ACTIONS, &mut self.mistakes))
            .unwrap_or_default();
        block.next_step_due = table.optional("due").and_then(|node| self.due(node, names));
        let actions = table.optional("actions").and_then(|node| node.list("actions", &mut self.mistakes));
        for node in actions.unwrap_or_default() {
            block.actions.extend(node.text(&mut self.mistakes).map(Into::into));
        }
    }

    /// A duration after detection, or a time field.
    fn due(&mut self, node: &'n Node, names: &Names) -> Option<Due> {
        let word = node.scalar().map(crate::document::Scalar::text).unwrap_or_default();
        if word.is_empty() || word.starts_with(|first: char| first.is_ascii_digit()) {
            return value::within(node, &mut self.mistakes).map(Due::After);
        }
        let named = self.variable(names, word, node.span)?;
        match (named.path, named.ty) {
            (Variable::Path(path), FieldType::Time | FieldType::Date) => Some(Due::At(path)),
            _ => {
                self.mistakes.report(node.span, Code::E03, format!("`{word}` is no time"));
                None
            }
        }
    }

    fn draft(&mut self, node: &'n Node, names: &Names) -> Option<(Template, Option<Template>)> {
        let table = node.table("draft", &["template", "customer_action"], &mut self.mistakes)?;
        let template = table.required("template", &mut self.mistakes);
        let action = self.optional_template(&table, "customer_action", names);
        Some((self.template(template?, names)?, action))
    }

    /// `role:NAME`, `account.owners.X` or `LOOKUP.column`.
    pub fn person(&mut self, node: &'n Node, names: &Names) -> Option<Person> {
        let text = node.text(&mut self.mistakes)?;
        if let Some(role) = text.strip_prefix("role:") {
            return Some(Person::Role(role.into()));
        }
        if let Some(owner) = text.strip_prefix("account.owners.") {
            let named = Vocabulary::account_field(&format!("owners.{owner}"));
            let Some(Path::Account(field)) = named.map(|named| named.path) else {
                let known = ["csm", "am", "se", "support_group"];
                self.mistakes
                    .report(node.span, Code::E06, format!("accounts have no owner `{owner}`"))
                    .detail(known.join(" "))
                    .suggest(owner, known);
                return None;
            };
            return Some(Person::Owner(field, owner.into()));
        }
        if text.contains('.') && !text.starts_with("account.") {
            let named = self.variable(names, text, node.span)?;
            if let Variable::Lookup(place, column) = named.path {
                return Some(Person::Lookup(place, column));
            }
        }
        self.mistakes
            .report(node.span, Code::E03, format!("expected a person, found {text}"))
            .hint("write `role:NAME`, `account.owners.csm` or `LOOKUP.column`");
        None
    }

    /// Reads `attach`.
    pub fn attachments(&mut self, table: &Table<'n>, names: &Names, subject: &Subject<'n>) -> Vec<Attach> {
        let mut attachments: Vec<Attach> = Vec::new();
        let entries = table.optional("attach").and_then(|node| node.map("attach", &mut self.mistakes));
        for entry in entries.unwrap_or_default() {
            if let Some(found) = self.attachment(&entry.key, &entry.node, names, subject) {
                let twin = attachments.iter().find(|own| own.key == found.key);
                if twin.is_some_and(|own| (own.filter, &own.field) != (found.filter, &found.field)) {
                    self.collision(entry.span, "attachment");
                }
                attachments.push(found);
            }
        }
        attachments
    }

    fn attachment(
        &mut self,
        name: &str,
        node: &'n Node,
        names: &Names,
        subject: &Subject<'n>,
    ) -> Option<Attach> {
        let table = node.table("attach", &["recent", "max", "topic", "where"], &mut self.mistakes)?;
        let recent = table.required("recent", &mut self.mistakes);
        let max = table.optional("max").map_or(Some(5), |node| node.integer(1..=20, &mut self.mistakes));
        let (filter, kind) = if table.optional("topic").is_some() || table.optional("where").is_some() {
            let filtered = self.filter(&table, subject)?;
            (filtered.filter, filtered.kind)
        } else {
            let [(_, judged)] = &names.conditions[..] else {
                self.mistakes
                    .report(node.span, Code::E02, "attach has no `topic`")
                    .hint("a rule with several conditions has no filter of its own");
                return None;
            };
            (self.program.filter_of(&judged.detector), judged.kind)
        };
        let word = recent?.text(&mut self.mistakes)?;
        let field = self.event_field(word, recent?, kind)?.path;
        let max = u8::try_from(max?).unwrap_or(u8::MAX);
        let mut attach = Attach { name: name.into(), key: 0, filter, field, max };
        attach.key = identity::key(&identity::attach(&attach, &subject.entity, &self.program.filters));
        Some(attach)
    }
}
