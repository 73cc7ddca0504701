//! The census is what a count over all rows gives, after whatever happened, and over restarts.

use proptest::prelude::*;

use crate::engine::census::{Census, Entry, Standing};
use crate::engine::peaks::Peaks;
use crate::engine::rows::row::Row;
use crate::engine::rows::tenants::Tenants;
use crate::engine::{Activation, Engine};
use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::rules::program::Program;
use crate::rules::{Options, load};

use super::driver::World;
use super::rules::{every_case, run};

const START: Timestamp = Timestamp(1_767_571_200_000);
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// What the rows in the store say, counted anew.
fn recount(world: &World) -> Census {
    let mut census = Census::default();
    for bytes in world.store.rows().values() {
        census.add(&Entry::of(&Row::decode(bytes).unwrap().firing, 0));
    }
    census
}

/// The peaks of the day at hand as the rows in the store keep them.
fn recount_peaks(world: &World) -> Peaks {
    let (mut peaks, day) = (Peaks::default(), world.engine.task.day());
    peaks.turn(day, std::iter::empty());
    for bytes in world.store.rows().values() {
        for rule in Row::decode(bytes).unwrap().firing.rules {
            peaks.change(rule.key, 0, rule.peak.on(day));
        }
    }
    peaks
}

/// The rows in the store by kind of entity.
fn recount_rows(world: &World) -> Vec<(String, u64)> {
    let mut tenants = Tenants::default();
    tenants.change(world.store.rows().keys().map(|key| (key, true))).unwrap();
    tenants.iter().map(|(kind, rows)| (kind.to_owned(), rows)).collect()
}

/// The rows that the task has counted, by kind of entity.
fn counted_rows(engine: &Engine) -> Vec<(String, u64)> {
    engine.tenants().filter(|(_, rows)| *rows > 0).map(|(kind, rows)| (kind.to_owned(), rows)).collect()
}

fn counted(engine: &Engine) -> &Census {
    &engine.task.census
}

#[test]
fn after_every_case_of_every_rule_it_is_a_recount_and_a_restart_shows_the_same() {
    let mut standing = [0; Standing::ALL.len()];
    every_case(|program, case| {
        let mut world = run(program, case);
        let before = counted(&world.engine).clone();
        for (_, counts) in world.engine.census() {
            standing.iter_mut().zip(counts.standings).for_each(|(all, own)| *all += own);
        }
        world.reopen_now();
        assert_eq!(recount(&world), before, "{}", case.name);
        assert_eq!(recount_peaks(&world), world.engine.task.peaks, "{}", case.name);
        assert_eq!(recount_rows(&world), counted_rows(&world.engine), "{}", case.name);
        assert_eq!(counted(&world.engine), &before, "{}: a restart", case.name);
        let cut = world.again(|place| place % 3 == 1, 1);
        assert_eq!(counted(&cut.engine), &before, "{}: restarts in between", case.name);
    });
    assert!(standing[Standing::Firing as usize] > 0 && standing[Standing::Calm as usize] > 0, "{standing:?}");
}

const RULES: &str = "
version: 1
name: t
defaults: {status: active, policy: {cooldown: 30m}}
rules:
- id: burst
  title: t
  why: w
  severity: warning
  family: f
  entity: account
  when:
    count:
      topic: usage
      where: {event: login.failed}
      within: 20m
      ladder: [{gte: 2, severity: warning}, {gte: 4, severity: error}]
  clear: {if: {met: false}}
  expires_after: 40m
  alert: {summary: s, owner: role:x, playbook: p, respond_within: 10m, next_step: {text: x}}
- id: burst-too
  title: t
  why: w
  severity: warning
  rank: 5
  family: f
  entity: account
  when: {count: {topic: usage, where: {event: login.failed}, within: 20m, gte: 3}, for: 5m}
  clear: {if: {met: false}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
- id: quiet
  title: t
  why: w
  severity: info
  family: g
  entity: user
  when: {absence: {topic: usage, where: {event: login.succeeded}, for: 30m}, guard: {stall: ignore}}
  clear: {event: {topic: usage, where: {event: login.succeeded}}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
- id: low
  title: t
  why: w
  severity: info
  family: h
  entity: account
  when: {count: {topic: usage, where: {event: login.failed}, within: 1h, lt: 2}, guard: {stall: ignore}}
  clear: {if: {met: false}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
";

fn program() -> Program {
    load(&[("t.yaml", RULES)], Options::default()).unwrap_or_else(|mistakes| panic!("{mistakes}")).program
}

/// One step of a random history: minutes that pass, an account, a user, and what happens.
type Step = (i64, u8, u8, u8);

fn play(world: &mut World, steps: &[Step]) {
    let mut now = START;
    for (minutes, account, user, what) in steps {
        now = now.plus(minutes * MINUTE + 1);
        let account = ["acme", "globex", "initech"][usize::from(*account)];
        let usage = |name| {
            let mut event = Event::new(Kind::Usage, name, now);
            event.user = Some(["u1", "u2"][usize::from(*user)].into());
            event
        };
        let profile = |name| {
            let mut event = Event::new(Kind::Account, name, now);
            event.set(Field::ProfileVersion, Value::Int(1));
            event
        };
        let mut event = match what {
            0..=4 => usage("login.failed"),
            5..=7 => usage("login.succeeded"),
            8 => profile("account.updated"),
            _ => profile("account.erased"),
        };
        event.account = Some(account.into());
        // Every third failure is late.
        if *what == 4 {
            event.time = now.plus(-15 * MINUTE);
        }
        world.line(now, event);
        if *what == 7 {
            world.reopen_now();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn after_any_history_it_is_a_recount(
        steps in prop::collection::vec((0_i64..25, 0_u8..3, 0_u8..2, 0_u8..10), 1..120),
        live in any::<bool>(),
    ) {
        let mut world = World::new(program(), START);
        if live {
            world.engine.settings.activate = Activation::Live;
        }
        play(&mut world, &steps);
        let before = counted(&world.engine).clone();
        world.reopen_now();
        prop_assert_eq!(recount(&world), before.clone());
        prop_assert_eq!(recount_peaks(&world), world.engine.task.peaks.clone());
        prop_assert_eq!(recount_rows(&world), counted_rows(&world.engine));
        prop_assert_eq!(counted(&world.engine), &before);
        let open: u64 = world.engine.census().map(|(_, counts)| counts.open.iter().sum::<u64>()).sum();
        let rows = world.store.rows().values().map(|bytes| Row::decode(bytes).unwrap());
        prop_assert_eq!(open, rows.map(|row| row.firing.alerts.len() as u64).sum::<u64>());
    }
}

/// A match that leaves between two pane ends is judged at the second one, however often the row is looked at in between.
#[test]
fn what_leaves_between_two_pane_ends_has_one_mark() {
    let mut world = World::new(program(), START);
    play(&mut world, &[(0, 0, 0, 0), (0, 0, 0, 0), (0, 2, 0, 0), (1, 0, 0, 4), (5, 2, 0, 0), (11, 0, 0, 0)]);
    let before = counted(&world.engine).clone();
    world.reopen_now();
    assert_eq!(recount(&world), before);
}

/// Buckets with anybody in them.
fn filled(world: &World, id: &str) -> Vec<(usize, u64)> {
    let rule = world.engine.program().rules.iter().position(|rule| &*rule.id == id).unwrap();
    let buckets = world.tally.rules[rule].peaks.buckets;
    buckets.into_iter().enumerate().filter(|(_, entities)| *entities > 0).collect()
}

#[test]
fn a_day_ends_with_each_entitys_highest_ratio() {
    let rules = "
version: 1
name: t
defaults: {status: active, policy: {cooldown: 0s}}
rules:
- id: three
  title: t
  why: w
  severity: warning
  family: f
  entity: account
  when: {count: {topic: usage, where: {event: login.failed}, within: 1h, gte: 3}}
  clear: {if: {met: false}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
- id: silent
  title: t
  why: w
  severity: info
  family: g
  entity: account
  when: {absence: {topic: usage, where: {event: login.failed}, for: 4d}, guard: {stall: ignore}}
  clear: {event: {topic: usage, where: {event: login.failed}}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
";
    let program = load(&[("t.yaml", rules)], Options::default()).unwrap().program;
    let mut world = World::new(program, START);
    let fail = |world: &mut World, account: &'static str, at: Timestamp| {
        let mut event = Event::new(Kind::Usage, "login.failed", at);
        event.account = Some(account.into());
        world.line(at, event);
    };
    for (minute, account) in
        [(1, "acme"), (2, "globex"), (3, "acme"), (4, "globex"), (5, "globex"), (6, "initech")]
    {
        fail(&mut world, account, START.plus(minute * MINUTE));
    }
    let midnight = |days: i64| Timestamp((START.0 / DAY + days) * DAY);
    world.tick(midnight(1).plus(1000));
    // One failure is 0.4 of what fires, two are 0.8, three are 1.2.
    assert_eq!(filled(&world, "three"), [(1, 1), (4, 1), (10, 1)]);
    assert_eq!(filled(&world, "silent"), [(0, 3)], "seen now, they are not silent");
    world.reopen_now();
    world.tick(midnight(2).plus(1000));
    assert_eq!(
        filled(&world, "three"),
        [(0, 3), (1, 1), (4, 1), (10, 1)],
        "nobody was judged: all count as 0"
    );
    assert_eq!(filled(&world, "silent"), [(0, 3)], "how long silence lasts is known when it ends");
    world.reopen_now();
    // Minutes short of two days, three, and 3.25, when it ended.
    fail(&mut world, "acme", midnight(3).plus(DAY / 4));
    assert_eq!(filled(&world, "silent"), [(0, 3), (1, 1), (4, 1)]);
    world.tick(midnight(4).plus(1000));
    assert_eq!(filled(&world, "silent"), [(0, 3), (1, 1), (4, 1), (5, 1)]);
    // The two others are looked at when the four days are over, on the fifth day.
    world.run_to(midnight(5).plus(1000));
    assert_eq!(filled(&world, "silent"), [(0, 3), (1, 3), (4, 3), (5, 1), (7, 2), (8, 2)]);
}

/// What the ended days of one rule of an absence on accounts came to, after one event at this time and a run of days.
fn silent_days(condition: &str, event: Timestamp, days: i64) -> Vec<(usize, u64)> {
    let rules = format!(
        "version: 1\nname: t\ndefaults: {{status: active}}\nrules:\n- {{id: silent, title: t, why: w, severity: info, \
         family: g, entity: account, when: {{{condition}}}, \
         clear: {{event: {{topic: usage, where: {{event: login.failed}}}}}}, \
         alert: {{summary: s, owner: role:x, playbook: p, next_step: {{text: x}}}}}}\n"
    );
    let loaded = load(&[("t.yaml", &rules)], Options::default()).unwrap_or_else(|bad| panic!("{bad}"));
    let mut world = World::new(loaded.program, START);
    let mut seen = Event::new(Kind::Usage, "login.failed", event);
    seen.account = Some("acme".into());
    world.line(event, seen);
    world.run_to(Timestamp((START.0 / DAY + days) * DAY + 1000));
    filled(&world, "silent")
}

#[test]
fn a_silence_is_as_near_as_its_rule_says() {
    // A Friday. Monday is the first business day that passes in silence, Tuesday the second.
    let friday = START.plus(4 * DAY + DAY / 2);
    let business = "absence: {topic: usage, where: {event: login.failed}, for: 2d, count_as: business_days}, guard: {stall: ignore}";
    let days = silent_days(business, friday, 10);
    // Friday to Sunday 0, Monday half of it, Tuesday and Wednesday all of it.
    assert_eq!(days, [(0, 3), (1, 1), (8, 2)]);
}
