//! What templates, `clear.if`, `severity_by.if` and `lookup.by` can name, and what it is now.

use std::borrow::Cow;

use crate::engine::number::Exact;
use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{
    Combine, Condition, Course, Decimal, Detector, Literal, Measure, Output, Path, Program, Rule, Rung,
    Severity, Variable,
};

use super::forms::{Datum, Form, exponent, form_of};
use super::ids::plain;
use super::{EntityRef, LocalZone, Observed, Unit, sentences};

/// A row of a lookup table: its columns.
pub type TableRow = [(Box<str>, Vec<Literal>)];

/// The state of one rule on one row, as its texts and tests see it.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The compiled rules.
    pub program: &'a Program,
    /// The rule.
    pub rule: &'a Rule,
    /// The row.
    pub entity: EntityRef<'a>,
    /// The newest account.updated: its fields, sorted.
    pub profile: Option<&'a [(Field, Value<'static>)]>,
    /// The row's user: user.updated, else the contact; sorted.
    pub user: Option<&'a [(Field, Value<'static>)]>,
    /// One entry a condition of the rule.
    pub observed: &'a [Observed],
    /// Fields of the firing event that the rule names (see [`super::captured_paths`]).
    pub captured: &'a [(Path, Value<'static>)],
    /// One list an `attach` of the rule, newest first.
    pub attach: &'a [Vec<Value<'static>>],
    /// The alert's severity.
    pub severity: Severity,
}

/// A factor of a score and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Factored<'a> {
    /// Its name in the rule.
    pub name: &'a str,
    /// Its points as they are now.
    pub points: Exact,
}

impl Factored<'_> {
    /// As sentences write it: `negative tone (+20)`.
    pub(super) fn text(&self) -> String {
        let sign = if self.points.num > 0 { "+" } else { "" };
        format!("{} ({sign}{})", self.name, super::forms::written(self.points, &Form::Plain))
    }
}

/// The bands of a score.
fn bands(condition: &Condition) -> &[(Box<str>, Decimal)] {
    match &condition.detector {
        Detector::Score { bands, .. } => bands,
        _ => &[],
    }
}

/// The band that a score lies in.
pub(super) fn band<'a>(condition: &'a Condition, observed: &Observed) -> Option<&'a str> {
    bands(condition).get(usize::from(observed.band?)).map(|(name, _)| &**name)
}

/// The value of a field in sorted fields.
pub(super) fn field<'a>(
    fields: Option<&'a [(Field, Value<'static>)]>,
    field: Field,
) -> Option<&'a Value<'static>> {
    let fields = fields?;
    let place = fields.binary_search_by_key(&field, |(name, _)| *name).ok()?;
    fields.get(place).map(|(_, value)| value)
}

impl<'a> Scope<'a> {
    /// What a variable is now; `None` where it has no value.
    #[must_use]
    pub fn value(&self, variable: &Variable) -> Option<Datum<'a>> {
        let text = |text: &str| Some(Datum::Value(Cow::Owned(Value::text(text.to_owned())), Form::Plain));
        match variable {
            Variable::Output(place, output) => self.output(*place, *output),
            Variable::EntityPart => self.entity.part.and_then(text),
            Variable::Path(path) => self.path(path),
            Variable::Lookup(place, column) => self.column(*place, column),
            Variable::Attach(place) => {
                let values = self.attach.get(usize::from(*place)).filter(|values| !values.is_empty())?;
                Some(Datum::Value(Cow::Owned(Value::List(values.clone())), Form::Plain))
            }
            Variable::Reason => {
                Some(Datum::Value(Cow::Owned(Value::text(sentences::reason(self))), Form::Plain))
            }
            Variable::Severity => text(self.severity.name()),
            Variable::Rung => {
                let rung = self.observed.iter().map(|observed| observed.rung).max()?;
                Some(Datum::Number(Exact::whole(i64::from(rung)), Form::Plain))
            }
        }
    }

    /// The row of a lookup that goes with this scope: that of its key, else that of `*`.
    #[must_use]
    pub fn lookup(&self, place: u8) -> Option<&'a TableRow> {
        let lookup = self.rule.lookups.get(usize::from(place))?;
        let table = self.program.tables.get(usize::from(lookup.table.0))?;
        let row = |key: &str| {
            let place = table.rows.binary_search_by(|(own, _)| (**own).cmp(key)).ok()?;
            table.rows.get(place).map(|(_, columns)| columns.as_slice())
        };
        let parts: Option<Vec<String>> =
            lookup.by.iter().map(|variable| self.value(variable).map(|datum| key_part(&datum))).collect();
        parts.and_then(|parts| row(&parts.join("/"))).or_else(|| row("*"))
    }

    /// The zone that the account's people read times in.
    #[must_use]
    pub fn account_zone(&self) -> LocalZone<'a> {
        LocalZone::named(field(self.profile, Field::Timezone).and_then(Value::as_text))
    }

    /// The condition at this place and what it saw.
    pub(super) fn condition(&self, place: usize) -> Option<(&'a Condition, &'a Observed)> {
        self.rule.conditions.get(place).zip(self.observed.get(place))
    }

    /// What the factors of a score give, the weightiest first.
    pub(super) fn factors(&self, condition: &Condition, observed: &Observed) -> Vec<Factored<'a>> {
        let series = condition.detector.series().and_then(|ix| self.program.series.get(usize::from(ix.0)));
        let Some(Measure::Score(scoring)) = series.map(|series| &series.measure) else { return Vec::new() };
        let named = |(number, points): &(u8, i64)| Factored {
            name: scoring.factors.get(usize::from(*number)).map_or("imported", |factor| &factor.name),
            points: Exact { num: i128::from(*points), den: 256 },
        };
        observed.factors.iter().map(named).collect()
    }

    /// What a milestone follows.
    pub(super) fn course(&self, condition: &Condition) -> Option<&'a Course> {
        let series = self.program.series.get(usize::from(condition.detector.series()?.0))?;
        match &series.measure {
            Measure::Course(course) => Some(course),
            _ => None,
        }
    }

    /// The form of values in a unit here.
    pub(super) fn form(&self, unit: Unit) -> Form<'a> {
        form_of(unit, || self.currency(false))
    }

    fn output(&self, place: Option<u8>, output: Output) -> Option<Datum<'a>> {
        let place = match place {
            Some(place) => usize::from(place),
            None if self.rule.combine == Combine::One => 0,
            None => return self.whole(output),
        };
        if place >= self.rule.conditions.len() {
            return joined(self.observed.get(place)?, output);
        }
        let (condition, observed) = self.condition(place)?;
        let number = |number: Exact, unit: Unit| Some(Datum::Number(number, self.form(unit)));
        let count = |count: Option<u64>| number(Exact::whole(i64::try_from(count?).ok()?), Unit::Count);
        match output {
            Output::Met => Some(flag(observed.met)),
            Output::Value => number(observed.value?, observed.unit),
            Output::Threshold => {
                let limit = reached(condition, observed)?.limit;
                number(super::forms::fraction(limit), observed.unit)
            }
            Output::Onset | Output::Start => observed.onset.map(time),
            Output::Last => number(*observed.buckets.last()?, observed.measure_unit),
            Output::Buckets => {
                let form = self.form(observed.measure_unit);
                let written = |bucket: &Exact| Value::text(super::forms::written(*bucket, &form));
                let texts: Vec<Value<'static>> = observed.buckets.iter().map(written).collect();
                Some(Datum::Value(Cow::Owned(Value::List(texts)), Form::Plain))
                    .filter(|_| !observed.buckets.is_empty())
            }
            Output::Done => number(observed.current?, Unit::Count),
            Output::Total => number(observed.previous?, Unit::Count),
            Output::Step => {
                let step = self.course(condition)?.name(observed.step?)?;
                Some(Datum::Value(Cow::Owned(Value::text(step.to_owned())), Form::Plain))
            }
            Output::Missing => {
                let course = self.course(condition)?;
                let names = observed.missing.iter().filter_map(|step| course.name(*step));
                let names: Vec<Value<'static>> = names.map(|name| Value::text(name.to_owned())).collect();
                Some(Datum::Value(Cow::Owned(Value::List(names)), Form::Plain))
                    .filter(|_| !observed.missing.is_empty())
            }
            Output::Events => count(observed.events),
            Output::Accounts => count(observed.accounts),
            Output::Elapsed => number(Exact::whole(observed.elapsed_ms?), Unit::Ms),
            Output::LastSeen => observed.last_seen.map(time),
            Output::Eta => observed.eta.map(time),
            Output::UsualGap => number(Exact::whole(observed.usual_gap_ms?), Unit::Ms),
            Output::Current => number(observed.current?, observed.measure_unit),
            Output::Previous if against_baseline(condition) => None,
            Output::Previous | Output::Cap | Output::Median => {
                number(observed.previous?, observed.measure_unit)
            }
            Output::Used => number(observed.current.or(observed.value)?, observed.measure_unit),
            Output::Band => {
                let name = band(condition, observed)?;
                Some(Datum::Value(Cow::Owned(Value::text(name.to_owned())), Form::Plain))
            }
            Output::TopFactors => {
                let texts: Vec<Value<'static>> =
                    self.factors(condition, observed).into_iter().map(|it| Value::text(it.text())).collect();
                Some(Datum::Value(Cow::Owned(Value::List(texts)), Form::Plain))
                    .filter(|_| !observed.factors.is_empty())
            }
            Output::Expected if against_baseline(condition) => {
                number(observed.previous?, observed.measure_unit)
            }
            Output::Expected => None,
            Output::P => Some(Datum::Value(Cow::Owned(Value::Double(observed.p_value?)), Form::Plain)),
        }
    }

    /// Outputs of the whole `when`: whether and since when it holds.
    fn whole(&self, output: Output) -> Option<Datum<'a>> {
        if self.rule.is_grouped() {
            return joined(self.observed.last()?, output);
        }
        let mut each = self.observed.iter();
        match (output, self.rule.combine) {
            (Output::Met, Combine::Any) => Some(flag(each.any(|observed| observed.met))),
            (Output::Met, _) => Some(flag(each.all(|observed| observed.met))),
            (Output::Onset, Combine::Any) => {
                each.filter(|observed| observed.met).filter_map(|observed| observed.onset).min().map(time)
            }
            (Output::Onset, _) => each.filter_map(|observed| observed.onset).max().map(time),
            _ => None,
        }
    }

    fn path(&self, path: &Path) -> Option<Datum<'a>> {
        let held = |value: &'a Value<'static>, form: Form<'a>| Some(Datum::Value(Cow::Borrowed(value), form));
        let text = |text: String| Some(Datum::Value(Cow::Owned(Value::text(text)), Form::Plain));
        match path {
            Path::Field(_) | Path::Property(_) | Path::Ticket(_) => match self.captured(path) {
                Some(value) => held(value, self.path_form(path)),
                None => text(self.key_value(path)?.to_owned()),
            },
            Path::Account(Field::AccountId) => text(self.entity.account?.to_owned()),
            Path::Account(name) => held(field(self.profile, *name)?, self.path_form(path)),
            Path::AccountArr => match field(self.profile, Field::ArrMinor)? {
                Value::Int(minor) => {
                    let digits = self.currency(true).map_or(2, |code| exponent(&code));
                    Some(Datum::Number(Exact::ratio(i128::from(*minor), 10_i128.pow(digits))?, Form::Plain))
                }
                _ => None,
            },
            Path::AccountSlug => text(slug(self.entity.account?)),
            Path::AccountEntry(name) => match field(self.profile, *name)? {
                Value::Map(entries) => {
                    let part = self.entity.part?;
                    let (_, value) = entries.iter().find(|(own, _)| own == part)?;
                    held(value, Form::Plain)
                }
                _ => None,
            },
            Path::User(name) => held(field(self.user, *name)?, self.path_form(path)),
        }
    }

    /// A field of the firing event.
    pub(super) fn captured(&self, path: &Path) -> Option<&'a Value<'static>> {
        self.captured.iter().find(|(own, _)| own == path).map(|(_, value)| value)
    }

    /// What the row's own key says of a field.
    fn key_value(&self, path: &Path) -> Option<&'a str> {
        if *path == Path::Field(Field::AccountId) {
            return self.entity.account;
        }
        let own = self.rule.entity.part.as_ref().is_some_and(|part| part.path == *path);
        self.entity.part.filter(|_| own)
    }

    fn path_form(&self, path: &Path) -> Form<'a> {
        let name = match path {
            Path::Field(field) | Path::Account(field) | Path::User(field) => field.spec().name,
            Path::Property(name) => name,
            _ => return Form::Plain,
        };
        if name.ends_with("_ms") {
            Form::Duration
        } else if name.ends_with("_minor") {
            Form::Money(self.currency(matches!(path, Path::Account(_))))
        } else {
            Form::Plain
        }
    }

    /// The currency of the firing event, or else of the account.
    fn currency(&self, of_account: bool) -> Option<Cow<'a, str>> {
        let event = self.captured(&Path::Field(Field::Currency)).filter(|_| !of_account);
        let account = || field(self.profile, Field::Currency);
        event.or_else(account).and_then(Value::as_text).map(|code| Cow::Owned(code.to_ascii_uppercase()))
    }

    fn column(&self, place: u8, column: &str) -> Option<Datum<'a>> {
        let (_, cell) = self.lookup(place)?.iter().find(|(name, _)| **name == *column)?;
        match cell.as_slice() {
            [] => None,
            [one] => Some(literal(one)),
            many => {
                let items = many.iter().map(|item| match literal(item) {
                    Datum::Value(value, _) => value.into_owned(),
                    Datum::Number(number, _) => Value::Double(number.to_f64()),
                });
                Some(Datum::Value(Cow::Owned(Value::List(items.collect())), Form::Plain))
            }
        }
    }
}

/// The rung that counts: the highest reached, else the first.
pub(super) fn reached<'a>(condition: &'a Condition, observed: &Observed) -> Option<&'a Rung> {
    rungs(condition).get(usize::from(observed.rung.max(1)) - 1)
}

/// The rungs of a condition; none for `event`.
pub(super) fn rungs(condition: &Condition) -> &[Rung] {
    condition.detector.rungs()
}

/// Outputs of conditions that count as one.
fn joined(observed: &Observed, output: Output) -> Option<Datum<'static>> {
    match output {
        Output::Met => Some(flag(observed.met)),
        Output::Onset => observed.onset.map(time),
        _ => None,
    }
}

/// Whether a condition compares with what is usual, not with what was before.
const fn against_baseline(condition: &Condition) -> bool {
    matches!(condition.detector, Detector::Compare { baseline: true, .. })
}

fn flag(value: bool) -> Datum<'static> {
    Datum::Value(Cow::Owned(Value::Bool(value)), Form::Plain)
}

fn time(value: Timestamp) -> Datum<'static> {
    Datum::Value(Cow::Owned(Value::Time(value)), Form::Plain)
}

fn literal(literal: &Literal) -> Datum<'static> {
    let value = match literal {
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Number(number) => {
            return Datum::Number(super::forms::fraction(*number), Form::Plain);
        }
        Literal::Text(text) => Value::text(text.to_string()),
        Literal::Time(time) => Value::Time(*time),
    };
    Datum::Value(Cow::Owned(value), Form::Plain)
}

/// A value as a part of a lookup's key: not its form for people.
fn key_part(datum: &Datum<'_>) -> String {
    match datum {
        Datum::Number(number, _) => super::forms::written(*number, &Form::Plain),
        Datum::Value(value, _) => plain(value),
    }
}

/// An id in `[a-z0-9-]`.
fn slug(id: &str) -> String {
    id.to_lowercase()
        .chars()
        .map(|it| if it.is_ascii_lowercase() || it.is_ascii_digit() { it } else { '-' })
        .collect()
}
