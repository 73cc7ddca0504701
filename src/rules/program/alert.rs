//! When an alert ends and what it says.

use crate::event::Field;

use super::{Escalation, FilterIx, Match, Path, Within};

/// When an alert is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clear {
    /// A matching event not older than the last evidence.
    Event {
        /// The events.
        filter: FilterIx,
        /// Fields that equal the alert's.
        equal: Vec<Path>,
        /// For how long no new activation may follow, ms.
        for_ms: i64,
    },
    /// A match on outputs.
    If {
        /// What must hold.
        matches: Match<Variable>,
        /// For how long, ms.
        for_ms: i64,
    },
}

/// An output of a condition (`rules.md` §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the closed list of rules.md §10, which says what each means")]
pub enum Output {
    Met,
    Value,
    Threshold,
    Onset,
    Events,
    Accounts,
    Elapsed,
    LastSeen,
    UsualGap,
    Current,
    Previous,
    Expected,
    /// Cadence: the buckets that meet the comparator, the oldest first.
    Buckets,
    /// Cadence: what was usual before them.
    Median,
    /// Cadence: the newest complete bucket.
    Last,
    /// Milestone: when it began.
    Start,
    /// Milestone: the step that is overdue first, else missing first.
    Step,
    /// Milestone: the steps that are not done.
    Missing,
    /// Milestone: how many steps are done.
    Done,
    /// Milestone: how many steps there are.
    Total,
    P,
    Used,
    Cap,
    /// Level: when it is full, at the pace of late.
    Eta,
    Band,
    TopFactors,
}

/// What a template, a clear or a severity test can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// An output of the condition at this place; `None`: of the whole `when`.
    Output(Option<u8>, Output),
    /// The part of the entity's key that is not the account (`user_id`, `ticket_id`, X).
    EntityPart,
    /// A field of the firing event, or of a profile.
    Path(Path),
    /// A column of a lookup of this rule: its place in [`super::Rule::lookups`] and the column's name.
    Lookup(u8, Box<str>),
    /// What an `attach` collected: its place in [`AlertBlock::attach`].
    Attach(u8),
    /// The sentence of what holds.
    Reason,
    /// The alert's severity.
    Severity,
    /// The highest rung reached, from 1.
    Rung,
}

/// Text with variables in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(pub Vec<Piece>);

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Verbatim.
    Text(Box<str>),
    /// Replaced by the variable's value in its form of `rules.md` §10.
    Variable(Variable),
}

/// Who is meant: a role, an owner of the account, or a lookup's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// `role:NAME`.
    Role(Box<str>),
    /// `account.owners.X`: the id in the profile, else the role X.
    Owner(Field, Box<str>),
    /// A column that holds a person.
    Lookup(u8, Box<str>),
}

/// What the customer has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the closed list of contracts.md §5")]
pub enum CustomerAction {
    Required,
    Optional,
    #[default]
    None,
    AlreadyResolved,
}

impl CustomerAction {
    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::None => "none",
            Self::AlreadyResolved => "already_resolved",
        }
    }
}

/// When the next step is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// This long after detection.
    After(Within),
    /// At a time of the firing event or profile.
    At(Path),
}

/// What an alert collects: the last different values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Its name in the alert.
    pub name: Box<str>,
    /// Persisted identity of what is collected.
    pub key: u32,
    /// The events it is collected from.
    pub filter: FilterIx,
    /// The field.
    pub field: Path,
    /// How many, at most 20.
    pub max: u8,
}

/// What an alert says and to whom (`rules.md` §10).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertBlock {
    /// One sentence.
    pub summary: Template,
    /// Whether customers are meant.
    pub customer: bool,
    /// Who owns it.
    pub owner: Option<Person>,
    /// Who is told.
    pub inform: Vec<Person>,
    /// The playbook's id.
    pub playbook: Option<Template>,
    /// The message template's id.
    pub template: Option<Template>,
    /// In order of preference.
    pub channels: Vec<Box<str>>,
    /// What the customer has to do.
    pub customer_action: CustomerAction,
    /// What we do.
    pub next_step: Option<Template>,
    /// Until when.
    pub next_step_due: Option<Due>,
    /// Things to create.
    pub actions: Vec<Box<str>>,
    /// The shared channel.
    pub room: Option<Template>,
    /// The customer message to prepare: its template and the customer's own action.
    pub draft: Option<(Template, Option<Template>)>,
    /// Whose fault, if the rule knows.
    pub cause: Option<Box<str>>,
    /// Reminders, ms.
    pub update_every_ms: Option<i64>,
    /// Answer expected.
    pub respond_within: Option<Within>,
    /// What happens when nobody reacts, in order.
    pub escalate: Vec<Escalation>,
    /// What is collected.
    pub attach: Vec<Attach>,
}
