//! What an account's tickets were about: alerts that come after a ticket on their issue say so, and repeats count.

use crate::engine::helpdesk::Present;
use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::rules::{Options, load};

use super::driver::World;

const START: Timestamp = Timestamp(1_767_571_200_000);
const HOUR: i64 = 3_600_000;

const RULES: &str = "
version: 1
name: t
defaults: {status: active, policy: {cooldown: 0s}}
rules:
- id: export-errors
  title: t
  why: w
  severity: warning
  family: f
  entity: account
  when: {count: {topic: error_log, where: {event: api.error, feature_area: export}, within: 1d, gte: 2}}
  clear: {if: {met: false}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
";

fn world() -> World {
    let program =
        load(&[("t.yaml", RULES)], Options::default()).unwrap_or_else(|why| panic!("{why}")).program;
    World::new(program, START)
}

fn at(hours: i64) -> Timestamp {
    START.plus(hours * HOUR)
}

fn fail(world: &mut World, account: &'static str, hours: i64) {
    let mut event = Event::new(Kind::ErrorLog, "api.error", at(hours));
    event.account = Some(account.into());
    event.set(Field::FeatureArea, Value::text("export"));
    world.line(at(hours), event);
}

fn ticket(
    world: &mut World,
    id: &'static str,
    hours: i64,
    name: &'static str,
    fields: &[(Field, &'static str)],
) {
    let mut event = Event::new(Kind::Ticket, name, at(hours));
    event.account = Some("acme".into());
    event.set(Field::TicketId, Value::text(id));
    fields.iter().for_each(|(field, value)| event.set(*field, Value::text(*value)));
    world.line(at(hours), event);
}

/// For each revision: its account, and whether a customer reported the issue first.
fn told(world: &World) -> Vec<(&str, bool)> {
    let flag = |data: &Value<'static>| match data {
        Value::Map(entries) => entries
            .iter()
            .any(|(name, value)| &**name == "customer_reported_first" && *value == Value::Bool(true)),
        _ => false,
    };
    world.output.alerts.iter().map(|alert| (alert.key.as_str(), flag(&alert.data))).collect()
}

#[test]
fn a_ticket_on_the_area_between_onset_and_detection_came_first() {
    let mut world = world();
    fail(&mut world, "acme", 1);
    fail(&mut world, "globex", 1);
    ticket(&mut world, "t1", 2, "ticket.created", &[(Field::FeatureArea, "export")]);
    world.reopen_now();
    fail(&mut world, "acme", 3);
    fail(&mut world, "globex", 3);
    assert_eq!(told(&world), [("acme", true), ("globex", false)]);
    assert_eq!(world.tally.rules[0].reported_first, 1);
    // The revision that closes it says the same.
    world.run_to(at(60));
    assert_eq!(told(&world)[2..], [("acme", true), ("globex", false)]);
    assert_eq!(world.tally.rules[0].reported_first, 1);
}

#[test]
fn a_ticket_before_the_onset_or_on_another_area_did_not() {
    let mut world = world();
    ticket(&mut world, "t1", 1, "ticket.created", &[(Field::FeatureArea, "export")]);
    fail(&mut world, "acme", 2);
    ticket(&mut world, "t2", 3, "ticket.created", &[(Field::FeatureArea, "import")]);
    fail(&mut world, "acme", 4);
    assert_eq!(told(&world), [("acme", false)]);
}

#[test]
fn a_ticket_repeats_the_issue_that_its_tags_name_at_last() {
    let mut world = world();
    ticket(&mut world, "t1", 1, "ticket.created", &[(Field::RootCause, "token")]);
    ticket(&mut world, "t2", 2, "ticket.created", &[(Field::FeatureArea, "login")]);
    ticket(&mut world, "t3", 3, "ticket.created", &[(Field::FeatureArea, "login")]);
    assert_eq!(world.tally.tickets.repeats, [[Box::from("login/-"), Box::from("login")]], "t3 repeats t2");
    world.reopen_now();
    ticket(&mut world, "t2", 4, "ticket.tags_changed", &[(Field::RootCause, "token")]);
    assert_eq!(world.tally.tickets.repeats.len(), 2, "t2 turns out to repeat t1");
    ticket(&mut world, "t2", 5, "ticket.status_changed", &[(Field::Status, "solved")]);
    ticket(&mut world, "t3", 6, "ticket.status_changed", &[(Field::Status, "solved")]);
    ticket(&mut world, "t1", 7, "ticket.status_changed", &[(Field::Status, "solved")]);
    let root_cause = world.tally.tickets.tags[crate::engine::helpdesk::Tag::RootCause as usize];
    assert_eq!(root_cause, Present { yes: 1, no: 1 }, "t2 and t3 are repeats, t1 is none");
    ticket(&mut world, "t4", 24 * 31 + 8, "ticket.created", &[(Field::RootCause, "token")]);
    assert_eq!(world.tally.tickets.repeats.len(), 2, "too long ago");
}
