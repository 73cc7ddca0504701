//! Who does what: owner, playbook, next step, room, draft.

use crate::event::record::Record;
use crate::event::{Field, Value};
use crate::rules::program::{CustomerAction, Due, Literal, Person, Variable, Within};

use super::forms::Datum;
use super::scope::{Scope, TableRow, field};
use super::{Occasion, template};

/// Lookup table that completes playbooks, and column that fills `kb_ref` (`rules.md` §2, §9).
const PLAYBOOKS: &str = "playbooks";
const KB_REF: &str = "kb_ref";

/// Whether the profile forbids to contact the customer.
pub(super) fn do_not_contact(profile: Option<&[(Field, Value<'static>)]>) -> bool {
    field(profile, Field::DoNotContact) == Some(&Value::Bool(true))
}

/// The `response` of an alert.
pub(super) fn response(occasion: &Occasion<'_>, scope: &Scope<'_>) -> Value<'static> {
    let block = &occasion.rule.alert;
    let taken = occasion.terms.taken;
    let customer = block.is_for_customers(taken) && !do_not_contact(occasion.profile);
    let render = |template| template::render(template, scope);
    let people = block.inform_after(taken).iter().filter_map(|person| someone(person, scope));
    Record::new()
        .text("audience", if customer { "customer" } else { "internal" })
        .with(
            "owner",
            block.owner_after(taken).and_then(|person| someone(person, scope)).map(Someone::record),
        )
        .texts("inform", people.map(Someone::text))
        .with("playbook", block.playbook.as_ref().map(|id| playbook(scope, &render(id))))
        .texts("channels", block.channels_after(taken))
        .text("room", block.room.as_ref().map(render).as_deref())
        .int("update_every_s", block.update_every_ms.map(|ms| ms / 1000))
        .with("next_step", next_step(occasion, scope))
        .with(
            "template",
            block.template.as_ref().map(|id| Record::new().text("id", render(id).as_str()).build()),
        )
        .with(
            "draft",
            block.draft.as_ref().map(|(template, action)| {
                Record::new()
                    .text("template", render(template).as_str())
                    .text("customer_action", action.as_ref().map(render).as_deref())
                    .build()
            }),
        )
        .text("kb_ref", kb_ref(scope).as_deref())
        .build()
}

fn next_step(occasion: &Occasion<'_>, scope: &Scope<'_>) -> Option<Value<'static>> {
    let block = &occasion.rule.alert;
    let text = block.next_step.as_ref().map(|template| template::render(template, scope));
    if text.is_none() && block.customer_action == CustomerAction::None && block.actions.is_empty() {
        return None;
    }
    let due = block.next_step_due.as_ref().and_then(|due| match due {
        Due::After(Within::Time(ms)) => Some(Value::Time(occasion.detected.plus(*ms))),
        Due::After(Within::Business(_)) => occasion.terms.due.map(Value::Time),
        Due::At(path) => match scope.value(&Variable::Path(path.clone()))? {
            Datum::Value(value, _) => at(&value),
            Datum::Number(..) => None,
        },
    });
    let step = Record::new()
        .text("customer_action", block.customer_action.name())
        .text("text", text.as_deref())
        .with("due", due)
        .texts("actions", &block.actions);
    Some(step.build())
}

/// A time, or the midnight UTC of a date.
fn at(value: &Value<'_>) -> Option<Value<'static>> {
    match value {
        Value::Time(time) => Some(Value::Time(*time)),
        Value::Date(day) => Some(Value::Time(crate::event::Timestamp(i64::from(*day) * 86_400_000))),
        _ => None,
    }
}

/// A person by role, by id, or both.
struct Someone {
    role: Option<String>,
    id: Option<String>,
}

impl Someone {
    fn record(self) -> Value<'static> {
        Record::new().text("role", self.role.as_deref()).text("id", self.id.as_deref()).build()
    }

    /// The id if it is known, else `role:NAME`.
    fn text(self) -> String {
        match (self.id, self.role) {
            (Some(id), _) => id,
            (None, role) => format!("role:{}", role.unwrap_or_default()),
        }
    }
}

fn someone(person: &Person, scope: &Scope<'_>) -> Option<Someone> {
    match person {
        Person::Role(role) => Some(Someone { role: Some(role.to_string()), id: None }),
        Person::Owner(owner, role) => Some(owner_of(scope, *owner, role)),
        Person::Lookup(place, column) => {
            let Datum::Value(value, _) = scope.value(&Variable::Lookup(*place, column.clone()))? else {
                return None;
            };
            let text = value.as_text()?;
            if let Some(role) = text.strip_prefix("role:") {
                return Some(Someone { role: Some(role.to_owned()), id: None });
            }
            let owner = text.strip_prefix("account.owners.");
            let known = owner.and_then(|role| {
                Field::all()
                    .find(|spec| spec.name.strip_prefix("owners.") == Some(role))
                    .map(|spec| spec.field)
            });
            match (owner, known) {
                (Some(role), Some(known)) => Some(owner_of(scope, known, role)),
                _ => Some(Someone { role: None, id: Some(text.to_owned()) }),
            }
        }
    }
}

fn owner_of(scope: &Scope<'_>, owner: Field, role: &str) -> Someone {
    let id = field(scope.profile, owner).and_then(Value::as_text).map(str::to_owned);
    Someone { role: Some(role.to_owned()), id }
}

/// The playbook with what its table adds: the row of its id, of the part before `/`, or of `*`.
fn playbook(scope: &Scope<'_>, id: &str) -> Value<'static> {
    let table = scope.program.tables.iter().find(|table| &*table.name == PLAYBOOKS);
    let row = |key: &str| -> Option<&TableRow> {
        table?.rows.iter().find(|(own, _)| **own == *key).map(|(_, columns)| columns.as_slice())
    };
    let head = id.split('/').next().unwrap_or(id);
    let found = row(id).or_else(|| row(head)).or_else(|| row("*")).unwrap_or_default();
    let column = |name: &str| {
        let cells = found.iter().find(|(own, _)| &**own == name).map(|(_, cells)| cells.as_slice());
        cells.unwrap_or_default().iter().filter_map(|cell| match cell {
            Literal::Text(text) => Some(text.to_string()),
            _ => None,
        })
    };
    Record::new()
        .text("id", id)
        .text("url", column("url").next().as_deref())
        .texts("checklist", column("checklist"))
        .build()
}

/// The article of the first lookup that has one.
fn kb_ref(scope: &Scope<'_>) -> Option<String> {
    let zone = scope.account_zone();
    (0..scope.rule.lookups.len()).find_map(|place| {
        let variable = Variable::Lookup(u8::try_from(place).ok()?, KB_REF.into());
        scope.value(&variable).map(|datum| datum.text(&zone))
    })
}
