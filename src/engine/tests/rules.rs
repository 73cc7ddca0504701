//! The tests that stand beside rules: the six that are shipped, and small ones for one behaviour each.

use crate::event::{Timestamp, Value};
use crate::rules::program::Program;
use crate::rules::{Case, Loaded, Options, Outcome, What, load, profile_record};

use super::driver::{Output, World, event_of};

pub(super) fn rule_sets() -> [Loaded; 8] {
    let shipped = [
        ("lookups.yaml", include_str!("../../../rules/lookups.yaml")),
        ("seed.yaml", include_str!("../../../rules/seed.yaml")),
        ("starter.yaml", include_str!("../../../rules/starter.yaml")),
    ];
    let main = [
        ("lookups.yaml", include_str!("../../../tests/rules/lookups.yaml")),
        ("main.yaml", include_str!("../../../tests/rules/main.yaml")),
    ];
    let small = [("small.yaml", include_str!("small.yaml"))];
    let set = |files: &[(&str, &str)]| {
        load(files, Options::default()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    };
    let policies = [("policies.yaml", include_str!("policies.yaml"))];
    let joined = [("joined.yaml", include_str!("joined.yaml"))];
    let moved = [("moved.yaml", include_str!("moved.yaml"))];
    let across = [("across.yaml", include_str!("across.yaml"))];
    let crowds = [("crowds.yaml", include_str!("crowds.yaml"))];
    [
        set(&shipped),
        set(&main),
        set(&small),
        set(&policies),
        set(&joined),
        set(&moved),
        set(&across),
        set(&crowds),
    ]
}

pub(super) fn run(program: Program, case: &Case) -> World {
    let mut world = World::new(program, case.start);
    for profile in &case.profiles {
        let record = profile_record(profile, case.start);
        let event = event_of(crate::event::Kind::Account, &record, case.start);
        world.line(case.start, event);
    }
    let mut lines = Vec::new();
    for (unique, given) in case.given.iter().enumerate() {
        lines.extend(given.records(case.start, unique));
    }
    lines.sort_by_key(|(at, ..)| *at);
    for (at, kind, record) in lines {
        world.line(at, event_of(kind, &record, at));
    }
    world.run_to(case.end);
    world
}

fn text<'a>(data: &'a Value<'static>, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(data, |data, name| data.entry(name))?.as_text()
}

/// Revisions as when, action, entity, severity, rule.
fn said(output: &Output) -> Vec<(Timestamp, String, String, String, String)> {
    let own = |alert: &crate::engine::alert::Alert| {
        let Some(Value::Time(at)) = alert.data.entry("times").and_then(|times| times.entry("emitted")) else {
            panic!("no time");
        };
        let get = |path: &[&str]| text(&alert.data, path).unwrap_or("-").to_owned();
        (*at, get(&["action"]), get(&["entity", "id"]), get(&["severity"]), get(&["rule", "id"]))
    };
    output.alerts.iter().map(own).collect()
}

/// Whether the output is what the case expects; else what differs.
fn compare(case: &Case, output: &Output) -> Result<(), String> {
    let actions: Vec<_> = case.expect.iter().filter(|it| matches!(it.what, Outcome::Action(_))).collect();
    let lists = |action: &str| actions.iter().any(|it| it.what == Outcome::Action(action.into()));
    let optional =
        |action: &str| matches!(action, "updated" | "reminder") && !lists("updated") && !lists("reminder");
    let found: Vec<_> = said(output).into_iter().filter(|(_, action, ..)| !optional(action)).collect();
    let show = || {
        let lines: Vec<String> =
            said(output).iter().map(|(at, a, e, s, r)| format!("  {at} {a} {e} {s} {r}")).collect();
        format!(
            "{}\ndecisions {:#?}",
            lines.join("\n"),
            output
                .decisions
                .iter()
                .map(|it| (text(&it.data, &["decision"]), text(&it.data, &["reason"])))
                .collect::<Vec<_>>()
        )
    };
    if found.len() != actions.len() {
        return Err(format!("{} revisions expected, found\n{}", actions.len(), show()));
    }
    for (expected, (at, action, entity, severity, rule)) in actions.iter().zip(&found) {
        let field = |name: &str| {
            expected
                .fields
                .iter()
                .find(|it| &*it.key == name)
                .and_then(|it| it.node.scalar())
                .map(|it| it.text())
        };
        let fits = expected.at == *at
            && expected.what == Outcome::Action(action.as_str().into())
            && field("entity").is_none_or(|own| own == entity)
            && field("severity").is_none_or(|own| own == severity)
            && field("rule").is_none_or(|own| own == rule);
        if !fits {
            return Err(format!("{expected:?} expected, found\n{}", show()));
        }
    }
    for expected in &case.expect {
        let Outcome::Withheld(reason) = &expected.what else { continue };
        let found = output.decisions.iter().any(|it| {
            text(&it.data, &["reason"]) == Some(reason)
                && it.data.entry("at") == Some(&Value::Time(expected.at))
        });
        if !found {
            return Err(format!("no decision {reason} at {}\n{}", expected.at, show()));
        }
    }
    Ok(())
}

pub(super) fn every_case(mut check: impl FnMut(Program, &Case)) {
    for loaded in rule_sets() {
        for (tests, case) in loaded.tests.iter().flat_map(|own| own.cases.iter().map(move |case| (own, case)))
        {
            // What befalls sources is in no journal: those cases run in a replay, and `stall.rs` has the journal for it.
            if case.given.iter().any(|given| matches!(given.what, What::Stall(..) | What::Lose(..))) {
                continue;
            }
            let mut ids: Vec<&str> = vec![&tests.rule];
            ids.extend(case.with.iter().map(|id| &**id));
            check(loaded.program_of(&ids, case.lookups.as_ref()).unwrap(), case);
        }
    }
}

#[test]
fn rules_do_what_their_tests_say() {
    let mut failed = Vec::new();
    every_case(|program, case| {
        if let Err(why) = compare(case, &run(program, case).output) {
            failed.push(format!("{}: {why}", case.name));
        }
    });
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn a_restart_before_every_record_changes_nothing() {
    every_case(|program, case| {
        let straight = run(program, case);
        assert_eq!(straight.output, straight.again(|_| true, 1).output, "{}", case.name);
        for seed in 2..5 {
            let cut = straight.again(|place| place % seed == 1, 1);
            assert_eq!(straight.output, cut.output, "{}", case.name);
        }
    });
}

#[test]
fn a_frame_that_comes_twice_changes_nothing() {
    every_case(|program, case| {
        let straight = run(program, case);
        let twice = straight.again(|_| false, 2);
        assert_eq!(straight.output, twice.output, "{}", case.name);
        assert_eq!(straight.tally.events, twice.tally.events, "{}", case.name);
    });
}
