//! What a task owes its journal: order, laws, and what changes in mid-stream.

use std::sync::Arc;

use crate::engine::alert::{Action, Reason};
use crate::engine::effects::{Effects, Outcome};
use crate::engine::step::Turn;
use crate::engine::task::SeriesAge;
use crate::engine::{Activation, Engine, JournalRecord, StepError};
use crate::event::{Event, Field, Kind, Timestamp, Traffic, Value};
use crate::journal::{Coverage, Entry, Frame, System};
use crate::rules::program::{Program, Series, Window};
use crate::rules::{Options, load};

use super::driver::{World, settings, source};

const START: Timestamp = Timestamp(1_767_571_200_000);

fn program(rules: &str) -> Program {
    let text = format!(
        "version: 1\nname: t\ndefaults: {{status: active, policy: {{cooldown: 0s}}}}\nrules:\n{rules}"
    );
    load(&[("t.yaml", &text)], Options::default()).unwrap_or_else(|mistakes| panic!("{mistakes}")).program
}

const THREE: &str = "
- id: three
  title: t
  why: w
  severity: warning
  family: f
  entity: account
  when: {count: {topic: usage, where: {event: login.failed}, within: 1h, gte: 3}}
  clear: {if: {met: false}}
  alert: {summary: s, owner: account.owners.csm, playbook: p, next_step: {text: x}}
";

fn failed(account: &'static str, at: Timestamp) -> Event<'static> {
    let mut event = Event::new(Kind::Usage, "login.failed", at);
    event.account = Some(account.into());
    event
}

fn at(seconds: i64) -> Timestamp {
    START.plus(seconds * 1000)
}

fn actions(world: &World) -> Vec<Action> {
    world.output.alerts.iter().map(|alert| alert.action).collect()
}

#[test]
fn a_missing_frame_stops_the_task_and_says_what_to_do() {
    let mut world = World::new(program(THREE), START);
    world.line(at(1), failed("acme", at(1)));
    let gap = Coverage {
        source: source(Kind::Usage),
        from: 5,
        to: 7,
        end: 8,
        watermark: Timestamp::MIN,
        caught_up: true,
    };
    let error = world.try_step(at(2), Entry::Frame(Frame::tick(vec![gap.clone()]))).unwrap_err();
    assert!(matches!(error, StepError::Gap { expected: 1, found: 5, .. }), "{error}");
    assert!(error.to_string().contains("source_moved"), "{error}");
    let moved = System::SourceMoved {
        source: source(Kind::Usage),
        kind: Kind::Usage,
        first: 5,
        reason: "disk lost".into(),
        actor: "ops".into(),
    };
    world.try_step(at(3), Entry::System(moved)).unwrap();
    world.try_step(at(4), Entry::Frame(Frame::tick(vec![gap]))).unwrap();
}

#[test]
fn a_source_that_nobody_announced_stops_the_task() {
    let mut engine = Engine::new(settings());
    let coverage = Coverage {
        source: source(Kind::Usage),
        from: 0,
        to: 0,
        end: 1,
        watermark: Timestamp::MIN,
        caught_up: true,
    };
    let record = JournalRecord { offset: 0, time: START, entry: Entry::Frame(Frame::tick(vec![coverage])) };
    let mut store = crate::runtime::memory_store::MemoryStore::new();
    let result = engine.step(&record, &mut store, &mut Effects::default());
    assert!(matches!(result, Err(StepError::Unannounced { .. })));
}

#[test]
fn every_event_ends_in_one_way() {
    let mut world = World::new(program(THREE), START);
    for second in 0..4 {
        let mut event = failed("acme", at(second));
        event.id = 7;
        world.line(at(second), event);
    }
    let mut robot = failed("acme", at(5));
    robot.traffic = Traffic::Automated;
    world.line(at(5), robot);
    let mut nobody = failed("acme", at(6));
    nobody.account = None;
    nobody.alias = Some("stripe:cus_1".into());
    world.line(at(6), nobody);
    world.line(at(90_000), failed("acme", at(90_000)));
    world.line(at(90_001), failed("acme", at(1)));
    let usage = world.tally.events[Kind::Usage as usize];
    let count = |outcome: Outcome| usage[outcome as usize];
    assert_eq!(count(Outcome::Applied) + count(Outcome::Late), 4);
    assert_eq!(count(Outcome::Duplicate), 3);
    assert_eq!(count(Outcome::Unattributed), 1);
    assert_eq!(usage.iter().sum::<u64>(), 8);
    assert!(world.output.alerts.is_empty());
}

#[test]
fn activations_are_opened_suppressed_or_merged() {
    let rules = format!(
        "{THREE}{}{}",
        THREE
            .replace("id: three", "id: also")
            .replace("gte: 3", "gte: 4")
            .replace("severity: warning", "severity: warning\n  rank: 5"),
        THREE.replace("id: three", "id: hushed").replace("family: f", "family: g\n  status: shadow"),
    );
    let mut world = World::new(program(&rules), START);
    for second in 0..5 {
        world.line(at(second), failed("acme", at(second)));
    }
    world.run_to(at(10_000));
    assert_eq!(actions(&world), [Action::Opened, Action::Escalated, Action::Updated, Action::Resolved]);
    for rule in &world.tally.rules {
        let suppressed: u64 = rule.suppressed.iter().sum();
        let shadow = world.engine.program().rules.len() == 3
            && rule.activations > 0
            && rule.alerts[0] + rule.merged == 0;
        let known = rule.alerts[Action::Opened as usize] + suppressed + rule.merged;
        assert!(shadow || rule.activations == known, "{rule:?}");
        assert_eq!(rule.activations, 1);
    }
}

#[test]
fn a_new_owner_is_told_and_an_erased_account_withdraws() {
    let mut world = World::new(program(THREE), START);
    for second in 0..3 {
        world.line(at(second), failed("acme", at(second)));
    }
    let mut profile = Event::new(Kind::Account, "account.updated", at(10));
    profile.account = Some("acme".into());
    profile.set(Field::ProfileVersion, Value::Int(1));
    profile.set(Field::OwnersCsm, Value::text("u_1"));
    world.line(at(10), profile.clone());
    profile.set(Field::ProfileVersion, Value::Int(0));
    profile.set(Field::OwnersCsm, Value::text("u_0"));
    world.line(at(200), profile);
    let mut erased = Event::new(Kind::Account, "account.erased", at(300));
    erased.account = Some("acme".into());
    world.line(at(300), erased);
    world.run_to(at(10_000));
    assert_eq!(actions(&world), [Action::Opened, Action::Updated, Action::Withdrawn]);
    let reason = world.output.alerts[2].data.entry("reason").and_then(Value::as_text).map(str::to_owned);
    assert_eq!(reason.as_deref(), Some("account_erased"));
    world.reopen_now();
    let rows: Vec<_> = world.store.rows().keys().collect();
    assert!(rows.is_empty(), "{rows:?}");
}

fn switch(world: &mut World, rules: &str) {
    let mut effects = Effects::default();
    let mut turn =
        Turn { offset: world.offset, first_decision: 0, store: &mut world.store, effects: &mut effects };
    world.engine.activate(Arc::new(program(rules)), &mut turn).unwrap();
    world.output.alerts.extend(effects.alerts);
    world.output.decisions.extend(effects.decisions);
}

#[test]
fn alerts_of_a_rule_that_is_gone_expire() {
    let mut world = World::new(program(THREE), START);
    for second in 0..3 {
        world.line(at(second), failed("acme", at(second)));
    }
    switch(&mut world, &THREE.replace("id: three", "id: four"));
    assert_eq!(actions(&world), [Action::Opened, Action::Expired]);
    let reason = world.output.alerts[1].data.entry("reason").and_then(Value::as_text).map(str::to_owned);
    assert_eq!(reason.as_deref(), Some("rule_changed"));
}

#[test]
fn live_rules_believe_what_is_there_and_speak_of_what_comes() {
    let mut world = World::new(program(THREE), START);
    world.engine.settings.activate = Activation::Live;
    for second in 0..3 {
        world.line(at(second), failed("acme", at(second)));
    }
    // The same series, seen by a new rule: what holds already is not announced until it was false once.
    let both =
        format!("{THREE}{}", THREE.replace("id: three", "id: new").replace("family: f", "family: other"));
    switch(&mut world, &both);
    world.line(at(10), failed("acme", at(10)));
    assert_eq!(actions(&world), [Action::Opened]);
    world.run_to(at(9_000));
    for second in 9_001..9_004 {
        world.line(at(second), failed("acme", at(second)));
    }
    let opened = actions(&world).into_iter().filter(|action| *action == Action::Opened).count();
    assert_eq!(opened, 3, "{:?}", actions(&world));
}

#[test]
fn a_young_series_is_warming() {
    let rules = "
- id: low
  title: t
  why: w
  severity: warning
  family: f
  entity: account
  when: {count: {topic: usage, where: {event: login.failed}, within: 1h, lt: 2}, guard: {stall: ignore}}
  clear: {if: {met: false}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
";
    let mut world = World::new(program(rules), START);
    world.engine.settings.activate = Activation::Live;
    switch(&mut world, &rules.replace("id: low", "id: once").replace("within: 1h", "within: 2h"));
    switch(&mut world, rules);
    world.line(at(1), failed("acme", at(1)));
    world.run_to(at(3_000));
    let reasons: Vec<_> = world
        .output
        .decisions
        .iter()
        .filter_map(|it| it.data.entry("reason").and_then(Value::as_text))
        .collect();
    assert_eq!(reasons, [Reason::Warming.name()]);
}

#[test]
fn a_series_that_must_remember_more_is_warming_until_it_does() {
    let own = program(THREE).series[0].clone();
    let days = |days, keep_days| Series { window: Window::Days { days }, keep_days, ..own.clone() };
    let exact = |keep| Series { window: Window::Exact { keep, span_ms: 60_000 }, ..own.clone() };
    let now = START.plus(100 * 86_400_000);
    let age = |old: &Series, new: &Series, began| SeriesAge { began }.after_edit(old, new, now).began;
    // Today's local day may have lasted 25 hours: it and 28 complete ones are kept.
    let kept = now.plus(-28 * 86_400_000 - 25 * 3_600_000);
    assert_eq!(age(&days(28, 28), &days(14, 40), Timestamp::MIN), kept);
    assert_eq!(age(&days(28, 28), &days(14, 40), now.plus(-1)), now.plus(-1), "younger than what is kept");
    assert_eq!(age(&days(14, 40), &days(28, 28), Timestamp::MIN), Timestamp::MIN);
    assert_eq!(age(&exact(3), &exact(5), Timestamp::MIN), now);
    assert_eq!(age(&exact(5), &exact(3), Timestamp::MIN), Timestamp::MIN);
}

#[test]
fn a_rules_record_activates_at_its_offset_and_only_once() {
    let mut world = World::new(Program::default(), START);
    let text = format!(
        "version: 1\nname: t\ndefaults: {{status: active, policy: {{cooldown: 0s}}}}\nrules:\n{THREE}"
    );
    let rules = |generation| System::Rules {
        generation,
        rule_set: "abc".into(),
        body: vec![("t.yaml".into(), text.as_str().into())],
        seed: false,
    };
    world.try_step(at(0), Entry::System(rules(5))).unwrap();
    assert_eq!(world.engine.program().rules.len(), 1);
    let plan = Arc::as_ptr(&world.engine.plan);
    world.try_step(at(0), Entry::System(rules(5))).unwrap();
    assert_eq!(plan, Arc::as_ptr(&world.engine.plan), "a generation that is not newer is ignored");
    for second in 1..4 {
        world.line(at(second), failed("acme", at(second)));
    }
    assert_eq!(actions(&world), [Action::Opened]);
    let checkpoint = world.engine.checkpoint(&mut world.store).unwrap();
    let resumed = Engine::resume(settings(), checkpoint.position, &checkpoint.task).unwrap();
    assert_eq!(resumed.program().rules.len(), 1);
}
