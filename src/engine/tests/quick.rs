//! The short way of an event says what the long way says.

use proptest::prelude::*;

use super::driver::World;
use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::rules::{Options, load};

const RULES: &str = "
version: 1
name: quick
defaults: {status: active, policy: {cooldown: 20m}}
rules:
- {id: burst, title: t, why: w, severity: warning, family: a, entity: account, expires_after: 3h,
   when: {count: {topic: error_log, within: 1h, gte: 5}}, clear: {if: {met: false}},
   alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: slow, title: t, why: w, severity: warning, family: b, entity: account,
   when: {count: {topic: error_log, within: 6h, gte: 9}}, clear: {if: {met: false}, for: 10m},
   alert: {summary: s, owner: account.owners.csm, playbook: p, next_step: {text: x}}}
- {id: some, title: t, why: w, severity: warning, family: c, entity: account,
   when: {count: {topic: error_log, where: {event: api.error}, within: 1h, gte: 3}}, clear: {if: {met: false}},
   alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: many, title: t, why: w, severity: error, family: c, entity: account,
   when: {count: {topic: error_log, where: {event: api.error}, within: 1h, gte: 6}}, clear: {if: {met: false}},
   alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: logins, title: t, why: w, severity: warning, family: d, entity: account,
   when: {count: {topic: usage, where: {event: login.failed}, within: 30m, gte: 4}}, clear: {if: {met: false}},
   alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
";

const START: i64 = 1_767_571_200_000;

/// What happens: minutes after the one before, minutes late, account, kind and name, how often, and whether the store is
/// reopened before.
type Act = (i64, i64, u8, u8, i64, bool);

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let late = prop_oneof![6 => Just(0_i64), 2 => 0_i64..12, 1 => 0_i64..200];
    let gap = prop_oneof![6 => 0_i64..4, 1 => 0_i64..120];
    let act = (gap, late, 0_u8..3, 0_u8..4, 1_i64..3, prop::bool::weighted(0.1));
    prop::collection::vec(act, 1..150)
}

fn run(world: &mut World, acts: &[Act]) {
    let mut now = START;
    for (number, (gap, late, account, what, times, reopens)) in acts.iter().enumerate() {
        now += gap * 60_000;
        if *reopens {
            world.reopen_now();
        }
        let (kind, name) = match what {
            0 => (Kind::Usage, "login.failed"),
            1 => (Kind::ErrorLog, "job.failed"),
            _ => (Kind::ErrorLog, "api.error"),
        };
        let mut event = Event::new(kind, name, Timestamp(now - late * 60_000));
        event.account = Some(format!("account-{account}").into());
        event.id = number as u64 / 2 + 1;
        if kind == Kind::ErrorLog {
            event.set(Field::Occurrences, Value::Int(*times));
            event.set(Field::ErrorCode, Value::text(format!("E{times}")));
        }
        world.line(Timestamp(now), event);
    }
    world.run_to(Timestamp(now + 12 * 3_600_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn both_ways_say_the_same(acts in acts()) {
        let program = load(&[("quick.yaml", RULES)], Options::default()).unwrap().program;
        let mut short = World::new(program.clone(), Timestamp(START));
        run(&mut short, &acts);
        let mut long = World::new(program, Timestamp(START));
        long.go_long();
        run(&mut long, &acts);
        prop_assert_eq!(&short.output, &long.output);
        prop_assert_eq!(&short.tally, &long.tally);
    }
}
