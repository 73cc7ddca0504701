//! Which events and values are meant: entities, paths, tests, filters.

use crate::event::{Field, Kind, Timestamp};

/// Which row of state a rule or series lives in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Whether the row belongs to one account.
    pub account: bool,
    /// What else the row is of; none: the account itself, or the platform.
    pub part: Option<EntityPart>,
}

/// The part of an entity's key that is not the account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityPart {
    /// Its name in the rule language: `user`, `ticket`, `integration`, `issue_key`, ….
    pub name: Box<str>,
    /// Where an event carries it.
    pub path: Path,
}

impl Entity {
    /// The entity's kind as dedup keys write it: the names joined by `+`.
    #[must_use]
    pub fn kind(&self) -> String {
        match (&self.part, self.account) {
            (None, true) => "account".to_owned(),
            (None, false) => "platform".to_owned(),
            (Some(part), true) if matches!(&*part.name, "user" | "ticket") => part.name.to_string(),
            (Some(part), true) => format!("account+{}", part.name),
            (Some(part), false) => part.name.to_string(),
        }
    }
}

/// Where a value is read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// A field of the event.
    Field(Field),
    /// A declared property of the event.
    Property(Box<str>),
    /// `account.<field>` of the newest profile.
    Account(Field),
    /// `account.arr`: `arr_minor` in major units.
    AccountArr,
    /// `account.slug`: the account's id in `[a-z0-9-]`.
    AccountSlug,
    /// An entry of a map of the profile: `account.limits[X]`, X of the entity.
    AccountEntry(Field),
    /// `user.<field>` of the row's user: user.updated, else the contact in the account's profile.
    User(Field),
    /// `ticket.unanswered`, `ticket.reopens`, `ticket.past_sla`.
    Ticket(TicketFact),
}

/// What the engine knows of a ticket beyond its event's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketFact {
    /// Public customer messages since the newest public agent one.
    Unanswered,
    /// How often it was reopened.
    Reopens,
    /// Whether the event is later than the SLA's breach.
    PastSla,
}

/// An exact decimal, mantissa × 10^-scale: thresholds compare without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    /// The digits.
    pub mantissa: i64,
    /// How many of them stand behind the point, at most 9.
    pub scale: u8,
}

impl Decimal {
    /// A whole number.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        Self { mantissa: value, scale: 0 }
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "mantissas of rule files are far below 2^53")]
        let mantissa = self.mantissa as f64;
        mantissa / 10_f64.powi(i32::from(self.scale))
    }
}

/// A literal that fields are compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Literal {
    /// True or false.
    Bool(bool),
    /// A number; durations are whole milliseconds, `30%` is 0.3.
    Number(Decimal),
    /// A string or symbol.
    Text(Box<str>),
    /// A point in time.
    Time(Timestamp),
}

/// One test of one field. A field without value satisfies only `NoneOf` and `Exists(false)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// The field is one of these; a list contains one of them.
    AnyOf(Vec<Literal>),
    /// The field is none of these; a list contains none of them.
    NoneOf(Vec<Literal>),
    /// All of these comparisons hold.
    Bounds(Vec<(Comparator, Literal)>),
    /// The field has a value, or has none.
    Exists(bool),
    /// The string begins with one of these, byte by byte.
    StartsWith(Vec<Box<str>>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparator {
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
}

impl Comparator {
    /// Whether growth makes it true, so that it is judged at once.
    #[must_use]
    pub const fn is_upward(self) -> bool {
        matches!(self, Self::Gt | Self::Gte)
    }

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
        }
    }
}

/// A match: any of these groups; in a group all tests must hold. No group at all: everything matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match<P = Path>(pub Vec<Vec<(P, Test)>>);

impl<P> Default for Match<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Which events a series takes in: `topic` and `where`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// The kind of event.
    pub kind: Kind,
    /// What must hold of it. `scope` by event fields is already folded in.
    pub matches: Match,
    /// Whether the filter names `traffic`, so that automated human-usage events may match it.
    pub names_traffic: bool,
}
