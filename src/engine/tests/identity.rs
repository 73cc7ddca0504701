//! Events that know only an alias, and the accounts that they find.

use crate::engine::effects::Outcome;
use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::rules::{Options, load};

use super::driver::World;

const START: Timestamp = Timestamp(1_767_571_200_000);
const HOUR: i64 = 3_600;

const RULES: &str = "
version: 1
name: identity
defaults: {status: active, policy: {cooldown: 0s}}
rules:
- {id: declined, title: t, why: w, severity: warning, family: f, entity: account, dedup: [invoice_id], expires_after: 30d,
   when: {event: {topic: billing, where: {type: invoice.payment_failed}}},
   alert: {summary: '{{invoice_id}}', owner: role:x, playbook: p, next_step: {text: x}}}
";

fn at(seconds: i64) -> Timestamp {
    START.plus(seconds * 1000)
}

fn world() -> World {
    let loaded = load(&[("t.yaml", RULES)], Options::default()).unwrap_or_else(|it| panic!("{it}"));
    World::new(loaded.program, START)
}

/// A profile that names this customer of the payment provider.
fn named(world: &mut World, seconds: i64, account: &'static str, customer: Option<&'static str>) {
    let mut event = Event::new(Kind::Account, "account.updated", at(seconds));
    event.account = Some(account.into());
    let ids = customer.map(|id| ("stripe".into(), Value::text(id)));
    event.set(Field::ExternalIds, Value::Map(ids.into_iter().collect()));
    world.line(at(seconds), event);
}

fn declined(world: &mut World, seconds: i64, customer: &str, invoice: u64) {
    let mut event = Event::new(Kind::Billing, "invoice.payment_failed", at(seconds));
    event.alias = Some(format!("stripe:{customer}").into());
    event.id = invoice;
    event.set(Field::InvoiceId, Value::text(format!("in_{invoice}")));
    world.line(at(seconds), event);
}

/// Accounts and sentences of what has opened.
fn opened(world: &World) -> Vec<(String, String)> {
    let account = |data: &Value<'static>| {
        let own = data.entry("entity").and_then(|entity| entity.entry("account_id"));
        own.and_then(Value::as_text).unwrap().to_owned()
    };
    world.output.alerts.iter().map(|alert| (account(&alert.data), alert.summary.clone())).collect()
}

fn ended(world: &World) -> Vec<(Outcome, u64)> {
    let own = world.tally.events[Kind::Billing as usize];
    Outcome::ALL.into_iter().map(|outcome| (outcome, own[outcome as usize])).filter(|(_, n)| *n > 0).collect()
}

#[test]
fn an_event_goes_on_to_the_account_that_its_alias_stands_for() {
    let mut world = world();
    named(&mut world, 0, "acme", Some("cus_1"));
    declined(&mut world, 10, "cus_1", 1);
    declined(&mut world, 20, "cus_1", 1);
    assert_eq!(opened(&world), [("acme".into(), "in_1".into())]);
    assert_eq!(ended(&world), [(Outcome::Applied, 1), (Outcome::Duplicate, 1)], "each ends once");
    assert_eq!((world.tally.recovered, world.engine.waiting()), (0, 0));
    let sample = world.output.alerts[0].data.entry("evidence").and_then(|own| own.entry("sample"));
    let Some(Value::List(sample)) = sample else { panic!("no evidence") };
    assert_eq!(sample[0].entry("topic"), Some(&Value::text("billing")), "it points at the source");
    assert_eq!(world.again(|_| true, 2).output, world.output);
}

#[test]
fn what_nobody_knows_waits_for_a_day() {
    let mut world = world();
    declined(&mut world, 0, "cus_1", 1);
    declined(&mut world, 10 * HOUR, "cus_1", 2);
    declined(&mut world, 10 * HOUR, "cus_1", 2);
    declined(&mut world, 11 * HOUR, "cus_2", 3);
    assert_eq!(ended(&world), [(Outcome::Duplicate, 1), (Outcome::Unattributed, 3)]);
    assert_eq!(world.engine.waiting(), 3);
    named(&mut world, 30 * HOUR, "acme", Some("cus_1"));
    // The first has waited for longer than a day.
    assert_eq!(opened(&world), [("acme".into(), "in_2".into())]);
    assert_eq!((world.tally.recovered, world.engine.waiting()), (1, 1));
    assert_eq!(
        ended(&world),
        [(Outcome::Duplicate, 1), (Outcome::Unattributed, 3)],
        "it is not counted twice"
    );
    declined(&mut world, 31 * HOUR, "cus_1", 2);
    assert_eq!(opened(&world).len(), 1, "the account knows its id");
    assert_eq!(world.again(|_| true, 2).output, world.output);
}

#[test]
fn an_alias_moves_and_is_forgotten() {
    let mut world = world();
    named(&mut world, 0, "acme", Some("cus_1"));
    named(&mut world, 10, "globex", Some("cus_1"));
    named(&mut world, 20, "acme", None);
    declined(&mut world, 30, "cus_1", 1);
    let mut erased = Event::new(Kind::Account, "account.erased", at(40));
    erased.account = Some("globex".into());
    world.line(at(40), erased);
    declined(&mut world, 50, "cus_1", 2);
    let found = opened(&world);
    assert_eq!(found[0], ("globex".into(), "in_1".into()));
    assert!(found.iter().all(|(_, invoice)| invoice == "in_1"), "{found:?}");
    assert_eq!(ended(&world), [(Outcome::Applied, 1), (Outcome::Unattributed, 1)]);
}

/// A profile that says whether this person is a contact.
fn contact(world: &mut World, seconds: i64, account: &'static str, user: Option<&'static str>) {
    let mut event = Event::new(Kind::Account, "account.updated", at(seconds));
    event.account = Some(account.into());
    let contacts = user.map(|user| Value::Map([("user_id".into(), Value::text(user))].into_iter().collect()));
    event.set(Field::Contacts, Value::List(contacts.into_iter().collect()));
    world.line(at(seconds), event);
}

fn person(world: &mut World, seconds: i64, name: &'static str, account: &'static str, user: &'static str) {
    let mut event = Event::new(Kind::Account, name, at(seconds));
    (event.account, event.user) = (Some(account.into()), Some(user.into()));
    world.line(at(seconds), event);
}

fn declined_by(world: &mut World, seconds: i64, user: &str, invoice: u64) {
    let mut event = Event::new(Kind::Billing, "invoice.payment_failed", at(seconds));
    event.alias = Some(format!("user:{user}").into());
    event.id = invoice;
    event.set(Field::InvoiceId, Value::text(format!("in_{invoice}")));
    world.line(at(seconds), event);
}

#[test]
fn people_are_aliases_of_their_account() {
    let mut world = world();
    person(&mut world, 0, "user.updated", "acme", "u1");
    declined_by(&mut world, 10, "u1", 1);
    assert_eq!(opened(&world), [("acme".into(), "in_1".into())]);
}

#[test]
fn who_is_a_contact_no_longer_may_still_be_one_of_the_people() {
    let mut world = world();
    contact(&mut world, 0, "acme", Some("u1"));
    person(&mut world, 10, "user.updated", "acme", "u1");
    contact(&mut world, 20, "acme", None);
    declined_by(&mut world, 30, "u1", 1);
    assert_eq!(opened(&world), [("acme".into(), "in_1".into())]);
    // Erased, they are nobody's; a contact without a profile of their own is, too, when no longer named.
    person(&mut world, 40, "user.erased", "acme", "u1");
    contact(&mut world, 50, "acme", Some("u2"));
    contact(&mut world, 60, "acme", None);
    declined_by(&mut world, 70, "u1", 2);
    declined_by(&mut world, 80, "u2", 3);
    assert_eq!(opened(&world).len(), 1, "the others wait");
    assert_eq!(world.engine.waiting(), 2);
}
