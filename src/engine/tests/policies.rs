//! What policies add to alerts and decisions; that they hold alerts back stands beside the rules of `policies.yaml`.

use std::collections::BTreeMap;

use crate::event::record::to_json;
use crate::event::{Kind, Timestamp, Value};
use crate::rules::program::Program;
use crate::rules::{Options, load};

use super::driver::{World, event_of};

const RULES: &str = include_str!("policies.yaml");

fn program() -> Program {
    load(&[("policies.yaml", RULES)], Options::default())
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
        .program
}

/// The rules, all live.
fn live() -> Program {
    let mut program = program();
    for rule in &mut program.rules {
        rule.mode = crate::rules::program::Mode::Active;
    }
    program
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn record(fields: &[(&'static str, Value<'static>)]) -> Value<'static> {
    let id = Value::text(format!("{fields:?}"));
    let account = Value::text("acme");
    let mut all = vec![("account_id".into(), account), ("event_id".into(), id)];
    for (name, value) in fields {
        all.retain(|(own, _): &(std::borrow::Cow<'_, str>, _)| own != name);
        all.push(((*name).into(), value.clone()));
    }
    Value::Map(all)
}

fn line(world: &mut World, kind: Kind, time: &str, fields: &[(&'static str, Value<'static>)]) {
    let event = event_of(kind, &record(fields), at(time));
    world.line(at(time), event);
}

fn shown(data: &Value<'static>, path: &[&str]) -> String {
    path.iter().try_fold(data, |data, name| data.entry(name)).map_or_else(|| "-".to_owned(), to_json)
}

#[test]
fn an_alert_says_what_its_policies_come_to() {
    let mut world = World::new(live(), at("2026-01-05T00:00:00Z"));
    let profile = [
        ("type", Value::text("account.updated")),
        ("tier", Value::Int(4)),
        ("timezone", Value::text("Europe/Berlin")),
    ];
    line(&mut world, Kind::Account, "2026-01-05T00:00:00Z", &profile);
    let failed = |invoice: &'static str| {
        [("type", Value::text("invoice.payment_failed")), ("invoice_id", Value::text(invoice))]
    };
    // Friday at three in Berlin.
    line(&mut world, Kind::Billing, "2026-01-09T14:00:00Z", &failed("in_1"));
    let data = &world.output.alerts[0].data;
    assert_eq!(shown(data, &["times", "respond_by"]), r#""2026-01-12T14:00:00.000Z""#);
    assert_eq!(shown(data, &["response", "next_step", "due"]), r#""2026-01-13T14:00:00.000Z""#);
    assert_eq!(shown(data, &["times", "not_before"]), "-");
    assert_eq!(
        shown(data, &["priority"]),
        r#"{"total":6,"arr_tier":4,"sentiment":1,"feature_severity":1,"band":"6..15","action":"Call"}"#
    );
    assert_eq!(shown(data, &["contact"]), r#"{"allowed":true,"do_not_contact":false}"#);
    // A later contact knows of it.
    let jobs = [("event", Value::text("job.failed")), ("service", Value::text("s"))];
    line(&mut world, Kind::ErrorLog, "2026-01-09T15:00:00Z", &jobs);
    assert_eq!(
        shown(&world.output.alerts[1].data, &["contact"]),
        r#"{"allowed":true,"do_not_contact":false,"budget_used":2,"budget_max":2,"last_contacted":"2026-01-09T14:00:00.000Z"}"#
    );
    // At night what closes goes out.
    let paid = [("type", Value::text("invoice.paid")), ("invoice_id", Value::text("in_1"))];
    line(&mut world, Kind::Billing, "2026-01-09T20:00:00Z", &paid);
    let closed = &world.output.alerts[2].data;
    assert_eq!(shown(closed, &["action"]), r#""resolved""#);
    assert_eq!(shown(closed, &["times", "not_before"]), "-", "who is told that it is over need not wait");
}

#[test]
fn arms_are_drawn_by_lot_and_told() {
    let mut world = World::new(live(), at("2026-01-05T00:00:00Z"));
    for n in 0..200 {
        let fields =
            [("event", Value::text("webhook.failed")), ("account_id", Value::text(format!("account-{n}")))];
        line(&mut world, Kind::ErrorLog, "2026-01-05T01:00:00Z", &fields);
    }
    let mut arms: BTreeMap<(String, String), usize> = BTreeMap::new();
    for decision in &world.output.decisions {
        let key = (shown(&decision.data, &["decision"]), shown(&decision.data, &["experiment"]));
        *arms.entry(key).or_default() += 1;
    }
    let count = |decision: &str, arm: &str| {
        let experiment = format!(r#"{{"group":"one","arm":"{arm}"}}"#);
        arms.get(&(format!("\"{decision}\""), experiment)).copied().unwrap_or(0)
    };
    let (treated, kept) = (count("opened", "treatment"), count("suppressed", "control"));
    assert_eq!(treated + kept, 200, "{arms:?}");
    // Binomial, n = 200, p = 1/2: five standard deviations are 35.
    assert!((65..=135).contains(&kept), "{kept}");
    assert_eq!(world.output.alerts.len(), treated);
    let told = |alert: &crate::engine::alert::Alert| shown(&alert.data, &["experiment"]);
    assert!(world.output.alerts.iter().all(|alert| told(alert) == r#"{"group":"one","arm":"treatment"}"#));
}

#[test]
fn a_crowd_that_is_held_back_comes_out_together() {
    let mut world = World::new(live(), at("2026-01-05T00:00:00Z"));
    let profile = [("type", Value::text("account.updated")), ("billing_status", Value::text("suspended"))];
    line(&mut world, Kind::Account, "2026-01-05T00:00:00Z", &profile);
    let paused = [("type", Value::text("subscription.paused"))];
    line(&mut world, Kind::Billing, "2026-01-05T01:00:00Z", &paused);
    for n in 0..40 {
        let search = [("event", Value::text("search.performed")), ("user_id", Value::text(format!("u{n}")))];
        line(&mut world, Kind::Usage, "2026-01-05T02:00:00Z", &search);
    }
    assert_eq!(world.output.alerts.len(), 1, "the cause alone");
    line(&mut world, Kind::Billing, "2026-01-05T03:00:00Z", &[("type", Value::text("subscription.updated"))]);
    let opened = |alert: &&crate::engine::alert::Alert| shown(&alert.data, &["action"]) == r#""opened""#;
    assert_eq!(world.output.alerts.iter().filter(opened).count(), 41);
}
