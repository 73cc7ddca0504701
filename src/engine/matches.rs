//! Whether the tests of a rule hold of a value, an event or a profile (`rules.md` §3).

use std::borrow::Cow;

use crate::event::{Event, Field, Value};
use crate::rules::program::{Comparator, Literal, Match, Path, Test, TicketFact};

use super::alert::exponent;
use super::conversation::Facts;
use super::number::Exact;

/// Milliseconds of a day, for dates that are compared as midnight UTC.
const DAY_MS: i64 = 86_400_000;

/// Where the values of paths come from.
pub trait Subject {
    /// The value of a path; `None` where it has none.
    fn value<'s>(&'s self, path: &Path) -> Option<Cow<'s, Value<'s>>>;
}

/// Whether a match holds of a subject.
pub fn holds<S: Subject>(matches: &Match, subject: &S) -> bool {
    let group = |tests: &Vec<(Path, Test)>| {
        tests.iter().all(|(path, test)| test_holds(test, subject.value(path).as_deref()))
    };
    matches.0.is_empty() || matches.0.iter().any(group)
}

/// Whether a test holds of a value.
#[must_use]
pub fn test_holds(test: &Test, value: Option<&Value<'_>>) -> bool {
    let Some(value) = value else {
        return matches!(test, Test::NoneOf(_) | Test::Exists(false));
    };
    match test {
        Test::AnyOf(literals) => any_of(literals, value),
        Test::NoneOf(literals) => !any_of(literals, value),
        Test::Bounds(bounds) => bounds.iter().all(|(op, literal)| bound_holds(*op, literal, value)),
        Test::Exists(wanted) => *wanted,
        Test::StartsWith(heads) => {
            value.as_text().is_some_and(|text| heads.iter().any(|head| text.starts_with(&**head)))
        }
    }
}

/// Whether a test holds of an exact number, such as an output of a condition.
#[must_use]
pub fn number_holds(test: &Test, number: Exact) -> bool {
    let equals = |literals: &[Literal]| {
        literals.iter().any(|literal| match literal {
            Literal::Number(limit) => number.compare(*limit).is_eq(),
            _ => false,
        })
    };
    match test {
        Test::AnyOf(literals) => equals(literals),
        Test::NoneOf(literals) => !equals(literals),
        Test::Bounds(bounds) => bounds.iter().all(|(op, literal)| match literal {
            Literal::Number(limit) => number.holds(*op, *limit),
            _ => false,
        }),
        Test::Exists(wanted) => *wanted,
        Test::StartsWith(_) => false,
    }
}

fn any_of(literals: &[Literal], value: &Value<'_>) -> bool {
    match value {
        Value::List(items) => items.iter().any(|item| any_of(literals, item)),
        _ => literals.iter().any(|literal| equals(literal, value)),
    }
}

fn equals(literal: &Literal, value: &Value<'_>) -> bool {
    match (literal, value) {
        (Literal::Text(literal), Value::Text(text)) => **literal == **text,
        (Literal::Bool(literal), Value::Bool(value)) => literal == value,
        (Literal::Number(literal), Value::Int(value)) => Exact::whole(*value).compare(*literal).is_eq(),
        (Literal::Number(literal), Value::Double(value)) => (literal.to_f64() - value).abs() == 0.0,
        (Literal::Time(literal), Value::Time(value)) => literal == value,
        (Literal::Time(literal), Value::Date(day)) => literal.0 == i64::from(*day) * DAY_MS,
        _ => false,
    }
}

fn bound_holds(op: Comparator, literal: &Literal, value: &Value<'_>) -> bool {
    let order = match (literal, value) {
        (Literal::Number(limit), Value::Int(value)) => Some(Exact::whole(*value).compare(*limit)),
        (Literal::Number(limit), Value::Double(value)) => value.partial_cmp(&limit.to_f64()),
        (Literal::Time(limit), Value::Time(value)) => Some(value.cmp(limit)),
        (Literal::Time(limit), Value::Date(day)) => Some((i64::from(*day) * DAY_MS).cmp(&limit.0)),
        _ => None,
    };
    order.is_some_and(|order| match op {
        Comparator::Gt => order.is_gt(),
        Comparator::Gte => order.is_ge(),
        Comparator::Lt => order.is_lt(),
        Comparator::Lte => order.is_le(),
    })
}

/// An event as filters see it: its own fields, but the current attributes of its ticket.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a, 'e> {
    /// The event.
    pub event: &'a Event<'e>,
    /// The ticket's current attributes; `None`: the event is of no ticket.
    pub ticket: Option<&'a [(Field, Value<'static>)]>,
    /// What the ticket's events come to; `None`: the event is of no ticket.
    pub facts: Option<Facts>,
    /// The fields of the account's profile.
    pub profile: Option<&'a [(Field, Value<'static>)]>,
    /// The fields of the row's user.
    pub user: Option<&'a [(Field, Value<'static>)]>,
    /// Rules that scores ask for and that hold in the account for the event's values of their keys.
    pub held: &'a [Box<str>],
}

/// Fields of a ticket that filters read from what is known of it now (`rules.md` §5).
pub const TICKET_ATTRIBUTES: [Field; 6] = [
    Field::FeatureArea,
    Field::Category,
    Field::RootCause,
    Field::ProblemId,
    Field::IssueClass,
    Field::IssueKey,
];

impl Subject for Seen<'_, '_> {
    fn value<'s>(&'s self, path: &Path) -> Option<Cow<'s, Value<'s>>> {
        match path {
            Path::Field(field) => match self.ticket {
                Some(ticket) if TICKET_ATTRIBUTES.contains(field) => {
                    find(Some(ticket), *field).map(Cow::Borrowed)
                }
                _ => self.event.get(*field),
            },
            Path::Property(name) => self.event.property(name).map(Cow::Borrowed),
            Path::Account(Field::AccountId) => self.event.get(Field::AccountId),
            Path::Account(field) => find(self.profile, *field).map(Cow::Borrowed),
            Path::User(Field::UserId) => self.event.get(Field::UserId),
            Path::User(field) => find(self.user, *field).map(Cow::Borrowed),
            Path::Ticket(fact) => {
                let facts = self.facts?;
                Some(Cow::Owned(match fact {
                    TicketFact::Unanswered => Value::Int(facts.unanswered.into()),
                    TicketFact::Reopens => Value::Int(facts.reopens.into()),
                    TicketFact::PastSla => Value::Bool(facts.past_sla),
                }))
            }
            Path::AccountArr => arr_of(self.profile).map(Cow::Owned),
            Path::AccountSlug | Path::AccountEntry(_) => None,
        }
    }
}

/// The revenue of an account a year, in whole units of its currency.
#[must_use]
pub fn arr_of(profile: Option<&[(Field, Value<'static>)]>) -> Option<Value<'static>> {
    let Some(Value::Int(minor)) = find(profile, Field::ArrMinor) else { return None };
    let code = find(profile, Field::Currency).and_then(Value::as_text).map(str::to_ascii_uppercase);
    let digits = code.map_or(2, |code| exponent(&code));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (minor, unit) = (*minor as f64, 10_i64.pow(digits) as f64);
    Some(Value::Double(minor / unit))
}

/// The value of a field in sorted fields.
#[must_use]
pub fn find<'a>(fields: Option<&'a [(Field, Value<'static>)]>, field: Field) -> Option<&'a Value<'static>> {
    let fields = fields?;
    let place = fields.binary_search_by_key(&field, |(name, _)| *name).ok()?;
    fields.get(place).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::{Seen, holds, number_holds, test_holds};
    use crate::engine::number::Exact;
    use crate::event::{Event, Field, Kind, Timestamp, Value};
    use crate::rules::program::{Comparator, Decimal, Literal, Match, Path, Test};

    fn text(text: &str) -> Literal {
        Literal::Text(text.into())
    }

    #[test]
    fn a_field_without_value_satisfies_only_not_and_absence() {
        assert!(test_holds(&Test::NoneOf(vec![text("a")]), None));
        assert!(test_holds(&Test::Exists(false), None));
        assert!(!test_holds(&Test::Exists(true), None));
        assert!(!test_holds(&Test::AnyOf(vec![text("a")]), None));
        assert!(!test_holds(&Test::Bounds(Vec::new()), None));
        assert!(!test_holds(&Test::StartsWith(vec!["".into()]), None));
    }

    #[test]
    fn lists_contain_and_numbers_compare_exactly() {
        let list = Value::List(vec![Value::text("a"), Value::text("b")]);
        assert!(test_holds(&Test::AnyOf(vec![text("b")]), Some(&list)));
        assert!(!test_holds(&Test::NoneOf(vec![text("b")]), Some(&list)));
        let limit = Literal::Number(Decimal { mantissa: 25, scale: 1 });
        let over = Test::Bounds(vec![(Comparator::Gt, limit)]);
        assert!(test_holds(&over, Some(&Value::Int(3))));
        assert!(!test_holds(&over, Some(&Value::Double(2.5))));
        assert!(!test_holds(&over, Some(&Value::text("3"))));
        assert!(number_holds(&over, Exact::ratio(51, 20).unwrap()));
        assert!(!number_holds(&over, Exact::ratio(5, 2).unwrap()));
    }

    #[test]
    fn any_group_of_a_match_is_enough_and_tickets_show_what_they_are_now() {
        let mut event = Event::new(Kind::Ticket, "ticket.created", Timestamp(0));
        event.set(Field::RootCause, Value::text("old"));
        let now = [(Field::RootCause, Value::text("new"))];
        let seen =
            Seen { event: &event, ticket: Some(&now), facts: None, profile: None, user: None, held: &[] };
        let is = |value: &str| vec![(Path::Field(Field::RootCause), Test::AnyOf(vec![text(value)]))];
        assert!(holds(&Match(vec![is("other"), is("new")]), &seen));
        assert!(!holds(&Match(vec![is("old")]), &seen));
        assert!(holds(&Match::default(), &seen));
    }
}
