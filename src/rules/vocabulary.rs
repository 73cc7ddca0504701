//! Names that rules may use: those of the contract and those that a rule set declares.

use crate::document::{Code, Mistakes, Node, Span, did_you_mean};
use crate::event::{Field, FieldType, KINDS, Kind};
use crate::rules::program::{Entity, EntityPart, Path};

/// Names of events that the contract lists (`contracts.md` §2); the lists are open.
const NAMES: [(Kind, &str); KINDS] = [
    (
        Kind::Usage,
        "login.succeeded login.failed session.started session.ended page.viewed feature.used workflow.started \
         workflow.completed workflow.abandoned onboarding.started onboarding.step_completed \
         onboarding.step_failed onboarding.completed search.performed article.viewed message.opened \
         message.clicked usage.metered sync.completed credential.issued credential.rotated credential.expiring \
         shipment.status_changed shipment.eta_changed",
    ),
    (
        Kind::ErrorLog,
        "connection.failed connection.restored api.call api.error validation.rejected job.failed webhook.failed \
         token.expired health.degraded health.restored incident.opened incident.updated incident.resolved",
    ),
    (
        Kind::Billing,
        "invoice.upcoming invoice.payment_failed invoice.payment_action_required invoice.paid invoice.voided \
         invoice.marked_uncollectible charge.failed charge.dispute_created payment_method.expiring \
         subscription.created subscription.updated subscription.cancelled subscription.paused \
         subscription.trial_ending plan.changed billing.alert",
    ),
    (
        Kind::Ticket,
        "ticket.created ticket.comment_added ticket.status_changed ticket.priority_changed ticket.tags_changed \
         ticket.escalated ticket.reopened ticket.merged ticket.csat_received",
    ),
    (Kind::Account, "account.updated user.updated model.scored"),
    (
        Kind::Outcome,
        "delivered failed suppressed opened clicked no_response responded acted resolved mitigated acked \
         false_alarm irrelevant intrusive duplicate escalated surveyed reviewed",
    ),
    (Kind::Control, ""),
    (Kind::Health, "health.scored"),
];

/// Properties that the contract names, with their types.
const PROPERTIES: &[(&str, FieldType)] = &[
    ("method", FieldType::Text),
    ("reason", FieldType::Text),
    ("page", FieldType::Text),
    ("dwell_ms", FieldType::Int),
    ("feature", FieldType::Text),
    ("workflow", FieldType::Text),
    ("workflow_id", FieldType::Text),
    ("step", FieldType::Text),
    ("retries", FieldType::Int),
    ("results", FieldType::Int),
    ("article", FieldType::Text),
    ("message_id", FieldType::Text),
    ("channel", FieldType::Text),
    ("limit", FieldType::Text),
    ("used", FieldType::Double),
    ("unit", FieldType::Text),
    ("period_start", FieldType::Time),
    ("records", FieldType::Int),
    ("duration_ms", FieldType::Int),
    ("credential_id", FieldType::Text),
    ("issued_at", FieldType::Time),
    ("expires_at", FieldType::Time),
    ("shipment_id", FieldType::Text),
    ("carrier", FieldType::Text),
    ("status", FieldType::Text),
    ("eta", FieldType::Time),
    ("previous_eta", FieldType::Time),
];

/// What stands for X in `[account, X]`, and the field that carries it.
const PARTS: &[(&str, &str)] = &[
    ("integration", "integration"),
    ("issue_key", "issue_key"),
    ("feature_area", "feature_area"),
    ("root_cause", "root_cause"),
    ("error_code", "error_code"),
    ("service", "service"),
    ("region", "region"),
    ("limit", "properties.limit"),
    ("workflow", "properties.workflow"),
    ("feature", "properties.feature"),
    ("incident", "incident_id"),
];

/// Channels of the contract.
const CHANNELS: [&str; 9] =
    ["in_app", "email", "sms", "phone", "pager", "slack", "slack_dm", "csm_task", "webhook"];

/// Topics that filters can name.
const TOPICS: [(&str, Kind); 7] = [
    ("usage", Kind::Usage),
    ("error_log", Kind::ErrorLog),
    ("billing", Kind::Billing),
    ("ticket", Kind::Ticket),
    ("account", Kind::Account),
    ("outcome", Kind::Outcome),
    ("health", Kind::Health),
];

/// Types of declared properties.
const TYPES: [(&str, FieldType); 5] = [
    ("string", FieldType::Text),
    ("integer", FieldType::Int),
    ("number", FieldType::Double),
    ("boolean", FieldType::Bool),
    ("time", FieldType::Time),
];

/// Where a value is read, and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<P = Path> {
    /// Where.
    pub path: P,
    /// Its type.
    pub ty: FieldType,
    /// Whether it is milliseconds, so that durations may be written.
    pub durations: bool,
    /// The kind whose events' names it holds, if it holds names of events.
    pub names_of: Option<Kind>,
}

impl<P> Named<P> {
    /// A value without further meaning.
    pub const fn new(path: P, ty: FieldType) -> Self {
        Self { path, ty, durations: false, names_of: None }
    }

    /// The same value under another path.
    pub fn map<Q>(self, make: impl FnOnce(P) -> Q) -> Named<Q> {
        Named { path: make(self.path), ty: self.ty, durations: self.durations, names_of: self.names_of }
    }
}

/// All names beyond the catalogue of fields.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    names: Vec<(Kind, Box<str>)>,
    fields: Vec<(Box<str>, FieldType)>,
    entities: Vec<(Box<str>, Box<str>)>,
    channels: Vec<Box<str>>,
}

impl Vocabulary {
    /// Merges one file's `vocabulary`.
    pub fn merge(&mut self, node: &Node, mistakes: &mut Mistakes) {
        let Some(table) = node.table("vocabulary", &["names", "fields", "entities", "channels"], mistakes)
        else {
            return;
        };
        for entry in table.optional("names").and_then(|node| node.map("names", mistakes)).unwrap_or_default()
        {
            let Some((_, kind)) = TOPICS.iter().find(|(name, _)| *name == &*entry.key) else {
                mistakes
                    .report(entry.span, Code::E04, format!("`{}` is no topic", entry.key))
                    .detail(TOPICS.map(|(name, _)| name).join(" "))
                    .suggest(&entry.key, TOPICS.map(|(name, _)| name));
                continue;
            };
            for name in entry.node.list("names", mistakes).unwrap_or_default() {
                self.names.extend(name.text(mistakes).map(|name| (*kind, name.into())));
            }
        }
        for entry in
            table.optional("fields").and_then(|node| node.map("fields", mistakes)).unwrap_or_default()
        {
            let Some(name) = entry.key.strip_prefix("properties.") else {
                mistakes
                    .report(entry.span, Code::E06, format!("`{}` is no property", entry.key))
                    .hint(format!("write `properties.{}`", entry.key));
                continue;
            };
            self.fields.extend(entry.node.choice("type", &TYPES, mistakes).map(|ty| (name.into(), ty)));
        }
        for entry in
            table.optional("entities").and_then(|node| node.map("entities", mistakes)).unwrap_or_default()
        {
            self.entities.extend(entry.node.text(mistakes).map(|field| (entry.key.clone(), field.into())));
        }
        for channel in
            table.optional("channels").and_then(|node| node.list("channels", mistakes)).unwrap_or_default()
        {
            self.channels.extend(channel.text(mistakes).map(Into::into));
        }
    }

    /// The topic a node names.
    pub fn topic(node: &Node, mistakes: &mut Mistakes) -> Option<Kind> {
        node.choice("topic", &TOPICS, mistakes)
    }

    /// The declared properties, without `properties.`.
    pub fn declared(self) -> Vec<(Box<str>, FieldType)> {
        self.fields
    }

    /// Known names of events of a kind.
    pub fn event_names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let listed = NAMES.iter().filter(move |(own, _)| *own == kind);
        let own = self.names.iter().filter(move |(own, _)| *own == kind);
        listed.flat_map(|(_, names)| names.split_whitespace()).chain(own.map(|(_, name)| &**name))
    }

    /// Known channels.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        CHANNELS.into_iter().chain(self.channels.iter().map(AsRef::as_ref))
    }

    /// A field or property of events of a kind.
    pub fn event_field(&self, kind: Kind, name: &str) -> Option<Named> {
        if let Some(property) = name.strip_prefix("properties.") {
            let listed = PROPERTIES.iter().find(|(own, _)| kind == Kind::Usage && *own == property);
            let declared = self.fields.iter().find(|(own, _)| &**own == property);
            let ty = declared.map(|(_, ty)| *ty).or(listed.map(|(_, ty)| *ty))?;
            let durations = property.ends_with("_ms");
            return Some(Named { durations, ..Named::new(Path::Property(property.into()), ty) });
        }
        let field = Field::named(kind, name)?;
        let names = matches!(field, Field::Event | Field::Type);
        if names && field != kind.name_field() {
            return None;
        }
        let (names_of, durations) = (names.then_some(kind), name.ends_with("_ms"));
        Some(Named { durations, names_of, ..Named::new(Path::Field(field), field.spec().ty) })
    }

    /// Reports that events of a kind have no such field.
    pub fn unknown_field(&self, kind: Kind, name: &str, span: Span, mistakes: &mut Mistakes) {
        let properties = PROPERTIES.iter().filter(|_| kind == Kind::Usage).map(|(name, _)| *name);
        let properties = properties.chain(self.fields.iter().map(|(name, _)| &**name));
        let known: Vec<String> = Field::all()
            .filter(|spec| spec.kinds.contains(&kind))
            .filter(|spec| {
                !matches!(spec.field, Field::Event | Field::Type) || spec.field == kind.name_field()
            })
            .map(|spec| spec.name.to_owned())
            .chain(properties.map(|name| format!("properties.{name}")))
            .collect();
        let near = did_you_mean(name, known.iter().map(String::as_str));
        let near = near.or_else(|| known.iter().map(String::as_str).find(|own| own.starts_with(name)));
        let swapped = matches!(name, "event" | "type").then(|| kind.name_field().spec().name);
        let asked = swapped.or(near).map(|near| format!("did you mean `{near}`?"));
        let own =
            name.starts_with("properties.").then(|| "Own properties go into `vocabulary.fields`".to_owned());
        let hint: Vec<String> = asked.into_iter().chain(own).collect();
        let report = mistakes.report(span, Code::E06, format!("{} has no field `{name}`", kind.name()));
        if !hint.is_empty() {
            report.hint(hint.join(" "));
        }
    }

    /// `account.*` without the prefix.
    pub fn account_field(name: &str) -> Option<Named> {
        match name {
            "arr" => return Some(Named::new(Path::AccountArr, FieldType::Double)),
            "slug" => return Some(Named::new(Path::AccountSlug, FieldType::Text)),
            _ => {}
        }
        let field = Field::named(Kind::Account, name)?;
        let own = field == Field::AccountId || field.spec().kinds.len() < Kind::ALL.len();
        let foreign = matches!(
            field,
            Field::Role
                | Field::Consent
                | Field::Model
                | Field::ModelVersion
                | Field::Score
                | Field::Direction
                | Field::ScoredAt
                | Field::Features
        );
        (own && !foreign).then(|| Named::new(Path::Account(field), field.spec().ty))
    }

    /// Names of all fields of account profiles, for hints.
    pub fn account_fields() -> impl Iterator<Item = &'static str> {
        let profile = Field::all().filter(|spec| spec.kinds.contains(&Kind::Account));
        profile.map(|spec| spec.name).filter(|name| Self::account_field(name).is_some())
    }

    /// `user.*` without the prefix.
    pub fn user_field(name: &str) -> Option<Named> {
        let field = match name {
            "user_id" => Field::UserId,
            "role" => Field::Role,
            "timezone" => Field::Timezone,
            "locale" => Field::Locale,
            "consent" => Field::Consent,
            _ => return None,
        };
        Some(Named::new(Path::User(field), field.spec().ty))
    }

    /// The entity a node names.
    pub fn entity(&self, node: &Node, mistakes: &mut Mistakes) -> Option<Entity> {
        let part = |name: &str, path: Path| Some(EntityPart { name: name.into(), path });
        let items = node.one_or_more();
        let words: Vec<&str> = items.iter().filter_map(|item| item.text(mistakes)).collect();
        if words.len() < items.len() {
            return None;
        }
        match words[..] {
            ["account"] => Some(Entity { account: true, part: None }),
            ["user"] => Some(Entity { account: true, part: part("user", Path::Field(Field::UserId)) }),
            ["ticket"] => Some(Entity { account: true, part: part("ticket", Path::Field(Field::TicketId)) }),
            ["account", name] => {
                let path = self.part(name, node, mistakes)?;
                Some(Entity { account: true, part: part(name, path) })
            }
            ["platform"] => Some(Entity { account: false, part: None }),
            [name] => {
                let path = self.part(name, node, mistakes)?;
                Some(Entity { account: false, part: part(name, path) })
            }
            _ => node.expected("an entity such as `user` or `[account, integration]`", mistakes),
        }
    }

    fn part(&self, name: &str, node: &Node, mistakes: &mut Mistakes) -> Option<Path> {
        let own = self.entities.iter().map(|(own, field)| (&**own, &**field));
        let mut known = PARTS.iter().copied().chain(own);
        if let Some((_, field)) = known.find(|(own, _)| *own == name) {
            let found = TOPICS.iter().find_map(|(_, kind)| self.event_field(*kind, field));
            if found.is_none() {
                mistakes
                    .report(
                        node.span,
                        Code::E06,
                        format!("no event has the field `{field}` of entity `{name}`"),
                    )
                    .hint("own properties go into `vocabulary.fields`");
            }
            return found.map(|named| named.path);
        }
        let known: Vec<&str> = ["account", "user", "ticket", "platform"]
            .into_iter()
            .chain(PARTS.iter().map(|(own, _)| *own))
            .chain(self.entities.iter().map(|(own, _)| &**own))
            .collect();
        mistakes
            .report(node.span, Code::E04, format!("`{name}` is no entity"))
            .detail(known.join(" "))
            .suggest(name, known.iter().copied());
        None
    }
}
