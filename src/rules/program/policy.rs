//! What rules say about when and to whom they may speak.

use super::hours::Hours;
use super::{AlertBlock, Decimal, Match, Path, Person, SeriesIx, Severity, Variable};
use crate::event::Field;

/// When a rule speaks again, and what may keep it from speaking to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Pause between two openings of one dedup key, ms.
    pub cooldown_ms: i64,
    /// Whether a rise of severity is `escalated` (else `updated`).
    pub renotify_worse: bool,
    /// Which accounts are kept out.
    pub holdout: Option<Holdout>,
    /// What openings to customers must respect.
    pub contact: Contact,
}

impl Policy {
    /// What holds where nobody says otherwise.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            cooldown_ms: 24 * 3_600_000,
            renotify_worse: true,
            holdout: None,
            contact: Contact {
                budget: Some(ContactBudget { max: 2, per_ms: 7 * 86_400_000 }),
                gap_ms: Some(86_400_000),
                hours: Hours::office(),
                any_hour: false,
            },
        }
    }
}

/// A share of the accounts that hears nothing, so that the effect can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdout {
    /// The experiment: accounts fall into the same arm in all rules that name it.
    pub group: Box<str>,
    /// Accounts in the control arm, of 10,000.
    pub per_myriad: u16,
}

/// What openings to customers must respect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// How many there may be; none: ignored.
    pub budget: Option<ContactBudget>,
    /// Distance between two, ms; none: ignored.
    pub gap_ms: Option<i64>,
    /// Open hours of accounts that state none.
    pub hours: Hours,
    /// Whether the hours are ignored.
    pub any_hour: bool,
}

/// Openings to one account's people in a time, over all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactBudget {
    /// So many.
    pub max: u16,
    /// In this time, ms.
    pub per_ms: i64,
}

/// A time that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// Milliseconds of any hour.
    Time(i64),
    /// Business days: a day's length of open business hours each.
    Business(u16),
}

/// Which accounts an alert across accounts touches: those of whose list one value is among the event's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affects {
    /// The list of the profile.
    pub list: Field,
    /// The list of the firing event.
    pub values: Path,
}

/// What happens when nobody reacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Since the opening, ms.
    pub after_ms: i64,
    /// What must hold then; everything does if it is empty.
    pub condition: Match<Variable>,
    /// At least this severe from then on.
    pub severity: Option<Severity>,
    /// Who owns it from then on.
    pub owner: Option<Person>,
    /// Who is told from then on; empty: as before.
    pub inform: Vec<Person>,
    /// Over which channels from then on; empty: as before.
    pub channels: Vec<Box<str>>,
    /// Whether customers are meant from then on.
    pub customer: Option<bool>,
}

impl AlertBlock {
    /// The steps that were taken, the newest first.
    fn steps(&self, taken: u8) -> impl Iterator<Item = &Escalation> {
        let bits = (0..8).map(move |place| taken >> place & 1 == 1);
        let mut each: Vec<&Escalation> =
            self.escalate.iter().zip(bits).filter(|(_, taken)| *taken).map(|(step, _)| step).collect();
        each.reverse();
        each.into_iter()
    }

    /// Who owns the alert after these steps (bits, by place).
    #[must_use]
    pub fn owner_after(&self, taken: u8) -> Option<&Person> {
        self.steps(taken).find_map(|step| step.owner.as_ref()).or(self.owner.as_ref())
    }

    /// Who is told after these steps.
    #[must_use]
    pub fn inform_after(&self, taken: u8) -> &[Person] {
        self.steps(taken)
            .map(|step| &step.inform[..])
            .find(|inform| !inform.is_empty())
            .unwrap_or(&self.inform)
    }

    /// Over which channels after these steps.
    #[must_use]
    pub fn channels_after(&self, taken: u8) -> &[Box<str>] {
        self.steps(taken).map(|step| &step.channels[..]).find(|own| !own.is_empty()).unwrap_or(&self.channels)
    }

    /// Whether customers are meant after these steps.
    #[must_use]
    pub fn is_for_customers(&self, taken: u8) -> bool {
        self.steps(taken).find_map(|step| step.customer).unwrap_or(self.customer)
    }
}

/// A family that is held back while the rule's alert is open, in the same account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibit {
    /// The family.
    pub family: Box<str>,
    /// What must hold of what is held back.
    pub condition: Match,
    /// Fields that must have the same value in both.
    pub equal: Vec<Path>,
}

/// How many alerts a day are expected. It caps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At least.
    pub min: Option<Rate>,
    /// At most.
    pub max: Option<Rate>,
}

/// Alerts a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// So many.
    PerDay(Decimal),
    /// This share of the eligible entities.
    Share(Decimal),
}

/// How alerts are ranked against each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Priority {
    /// The field of the profile that holds the tier, 1 to 5.
    pub arr_tier: Option<Field>,
    /// The score that tells how an account feels.
    pub sentiment: Option<Sentiment>,
    /// How much a feature matters.
    pub feature_severity: Option<FeatureSeverity>,
    /// What the totals mean, from the lowest.
    pub bands: Vec<Band>,
}

/// How much features matter, as a part of priorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSeverity {
    /// The field that tells the feature.
    pub by: Path,
    /// Its values, sorted, each with 1 to 5; `*` stands for any other.
    pub rows: Vec<(Box<str>, u8)>,
}

impl FeatureSeverity {
    /// What a feature counts, 1 to 5; nothing is known of `None`.
    #[must_use]
    pub fn of(&self, feature: Option<&str>) -> Option<u8> {
        let row = |key: &str| {
            let place = self.rows.binary_search_by(|(own, _)| (**own).cmp(key)).ok()?;
            self.rows.get(place).map(|(_, severity)| *severity)
        };
        row(feature?).or_else(|| row("*"))
    }
}

/// A score of an account's rows, as a part of priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentiment {
    /// The score's series.
    pub series: SeriesIx,
    /// The scores up to which it counts 1, 2, 3 and 4; above the last it counts 5.
    pub upto: [Decimal; 4],
}

/// Totals that mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// The lowest total.
    pub from: u8,
    /// The highest.
    pub to: u8,
    /// What is done.
    pub action: Box<str>,
}
