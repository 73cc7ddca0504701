//! What the contract demands of an event as a whole, kind by kind.

use crate::event::{Event, Field, Kind, Value};

use super::decoded::DeadReason;
use super::draft::Bad;
use super::limits::Unfit;

const DAY_MS: i64 = 86_400_000;

/// Checks an event against the demands of its kind.
pub fn check(event: &Event<'_>) -> Result<(), Bad> {
    match event.kind {
        Kind::Usage | Kind::ErrorLog | Kind::Billing => Ok(()),
        Kind::Ticket => all(event, &[Field::TicketId]),
        Kind::Account => account(event),
        Kind::Outcome => {
            if !has(event, Field::AlertId) && !has(event, Field::DedupKey) {
                return Err(Bad {
                    reason: DeadReason::FieldMissing,
                    detail: "`alert_id` and `dedup_key` are missing; one is needed".to_owned(),
                });
            }
            all(event, &[Field::ActorType])
        }
        Kind::Health => all(event, &[Field::Score]),
        Kind::Control => control(event).map_err(|detail| Bad { reason: DeadReason::ControlInvalid, detail }),
    }
}

/// The value of a field outside the envelope, borrowed.
pub fn value<'e, 'a>(event: &'e Event<'a>, field: Field) -> Option<&'e Value<'a>> {
    let place = event.fields.binary_search_by_key(&field, |(own, _)| *own).ok()?;
    event.fields.get(place).map(|(_, value)| value)
}

fn has(event: &Event<'_>, field: Field) -> bool {
    value(event, field).is_some()
}

fn all(event: &Event<'_>, fields: &[Field]) -> Result<(), Bad> {
    fields.iter().find(|field| !has(event, **field)).map_or(Ok(()), |field| Err(Bad::missing(*field)))
}

fn account(event: &Event<'_>) -> Result<(), Bad> {
    if event.account.is_none() {
        return Err(Bad::missing(Field::AccountId));
    }
    match &*event.name {
        "account.updated" => all(event, &[Field::ProfileVersion, Field::UpdatedAt]),
        "user.updated" if event.user.is_none() => Err(Bad::missing(Field::UserId)),
        "model.scored" => {
            all(event, &[Field::Model, Field::ModelVersion, Field::Score, Field::Direction, Field::ScoredAt])
        }
        "user.updated" | "account.erased" | "user.erased" | "model.erased" => Ok(()),
        _ => Err(Bad::invalid("type", Unfit("none of account.updated, user.updated, model.scored"))),
    }
}

/// An order of an operator: who, why, about what, until when (`contracts.md` §7).
fn control(event: &Event<'_>) -> Result<(), String> {
    for field in [Field::Actor, Field::Reason] {
        if !has(event, field) {
            return Err(format!("`{}` is missing", field.spec().name));
        }
    }
    let alert = has(event, Field::AlertId) || has(event, Field::DedupKey);
    let account = event.account.is_some();
    let wide = account || has(event, Field::Rule) || has(event, Field::Family);
    let (target, days, required) = match &*event.name {
        "ack" => (alert, Some(30), false),
        "resolve" => (alert, None, false),
        "snooze" => (alert || wide, Some(90), true),
        "unsnooze" => (alert || wide, None, false),
        "holdout" => {
            if !has(event, Field::Arm) || event.get(Field::Arm).as_deref() == Some(&Value::text("unknown")) {
                return Err("`arm` is neither treatment nor control".to_owned());
            }
            (account && has(event, Field::Family), Some(365), true)
        }
        other => return Err(format!("`{other}` is no control; one of ack resolve snooze unsnooze holdout")),
    };
    if !target {
        return Err(format!("a {} of this target is not possible", event.name));
    }
    match (event.get(Field::Until).as_deref(), days) {
        (Some(Value::Time(until)), Some(days)) => {
            let length = until.since(event.time);
            if length <= 0 || length > days * DAY_MS {
                return Err(format!("`until` is not within {days} days of the event"));
            }
        }
        (None, _) if required => return Err("`until` is missing".to_owned()),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::control;
    use crate::event::{Event, Field, Kind, Timestamp, Value};

    fn order(name: &'static str, fields: &[(Field, &'static str)], until: Option<i64>) -> Result<(), String> {
        let mut event = Event::new(Kind::Control, name, Timestamp(1_000_000));
        event.set(Field::Actor, Value::text("eva"));
        event.set(Field::Reason, Value::text("known"));
        for (field, value) in fields {
            match field {
                Field::AccountId => event.account = Some((*value).into()),
                _ => event.set(*field, Value::text(*value)),
            }
        }
        if let Some(days) = until {
            event.set(Field::Until, Value::Time(Timestamp(1_000_000 + days * 86_400_000)));
        }
        control(&event)
    }

    #[test]
    fn orders_need_a_target_and_an_end() {
        let alert = [(Field::AlertId, "a")];
        let family = [(Field::AccountId, "acme"), (Field::Family, "f"), (Field::Arm, "control")];
        assert_eq!(order("ack", &alert, None), Ok(()));
        assert_eq!(order("snooze", &[(Field::Rule, "r")], Some(90)), Ok(()));
        assert_eq!(order("holdout", &family, Some(365)), Ok(()));
        assert!(order("ack", &alert, Some(31)).is_err());
        assert!(order("ack", &[(Field::Rule, "r")], None).is_err());
        assert!(order("snooze", &alert, None).is_err());
        assert!(order("snooze", &alert, Some(-1)).is_err());
        assert!(order("holdout", &family[..2], Some(1)).is_err());
        assert!(order("holdout", &[(Field::AccountId, "acme"), (Field::Arm, "control")], Some(1)).is_err());
        assert!(order("destroy", &alert, None).is_err());
    }
}
