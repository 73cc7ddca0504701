use std::collections::BTreeSet;

use super::{Metrics, Task};
use crate::engine::alert::{Action, Reason};
use crate::engine::effects::{Outcome, RuleTally, Tally};
use crate::event::{Kind, SourcePartition, Timestamp};
use crate::rules::program::{
    AlertBlock, Category, Combine, Entity, Mode, OnActivate, Policy, Program, Rule, Severity, ZoneSource,
};

fn rule(id: &str) -> Rule {
    Rule {
        id: id.into(),
        version: "abc123".into(),
        key: 1,
        title: id.into(),
        mode: Mode::Active,
        on_activate: OnActivate::Baseline,
        category: Category::Risk,
        severity: Severity::Warning,
        severity_by: Vec::new(),
        family: "access".into(),
        rank: 0,
        entity: Entity { account: true, part: None },
        scope: crate::rules::program::Match::default(),
        combine: Combine::One,
        conditions: Vec::new(),
        clear: Vec::new(),
        expires_after_ms: None,
        dedup: Vec::new(),
        lookups: Vec::new(),
        alert: AlertBlock::default(),
        policy: Policy { cooldown_ms: 0, renotify_worse: true },
        zone: ZoneSource::Account,
    }
}

fn program(rules: usize) -> Program {
    Program {
        rule_set: "0123456789abcdef".into(),
        rules: (0..rules).map(|place| rule(&format!("rule-{place:02}"))).collect(),
        ..Program::default()
    }
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn a_rule_begins_at_zero_and_counts_what_is_committed() {
    let metrics = Metrics::new(25).unwrap();
    let program = program(1);
    metrics.activate(&program);
    let opened = r#"forewarn_trigger_alerts_total{action="opened",rule="rule-00"}"#;
    assert_eq!(value(&metrics.render().unwrap(), opened), Some(0.0));

    let mut tally = Tally::default();
    tally.events[Kind::Usage as usize][Outcome::Applied as usize] = 7;
    tally.events[Kind::Usage as usize][Outcome::Duplicate as usize] = 2;
    let mut of_rule = RuleTally { evaluations: 7, activations: 2, ..RuleTally::default() };
    of_rule.suppressed = vec![0; Reason::ALL.len()];
    of_rule.suppressed[Reason::Cooldown as usize] = 1;
    of_rule.alerts[Action::Opened as usize] = 1;
    of_rule.time_to_detect_ms.push(1500);
    tally.rules.push(of_rule);
    metrics.apply(&tally, &program);

    let page = metrics.render().unwrap();
    assert_eq!(value(&page, opened), Some(1.0));
    assert_eq!(value(&page, r#"forewarn_input_events_total{kind="usage"}"#), Some(9.0));
    assert_eq!(value(&page, r#"forewarn_events_total{kind="usage",result="duplicate"}"#), Some(2.0));
    assert_eq!(
        value(&page, r#"forewarn_trigger_suppressed_total{reason="cooldown",rule="rule-00"}"#),
        Some(1.0)
    );
    assert_eq!(value(&page, r#"forewarn_trigger_time_to_detect_seconds_sum{rule="rule-00"}"#), Some(1.5));
    assert_eq!(value(&page, r#"forewarn_rule_set_info{rule_set="0123456789abcdef"}"#), Some(1.0));
}

#[test]
fn the_series_budget_holds_at_25_rules() {
    let metrics = Metrics::new(25).unwrap();
    metrics.activate(&program(40));
    metrics.pipeline.set_task(0, Task { entities: vec![("account".into(), 1)], ..Task::default() });
    let page = metrics.render().unwrap();
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= 4000, "{series} series");
    let rules: BTreeSet<&str> =
        page.split("rule=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(rules.len(), 26);
    assert!(rules.contains("_other") && !rules.contains("rule-25"));
}

#[test]
fn what_is_lost_leaves_no_value_behind() {
    let metrics = Metrics::new(25).unwrap();
    let source = SourcePartition { topic: "usage".into(), partition: 3 };
    metrics.pipeline.set_lag(&source, 10, 2500);
    let lag = r#"forewarn_consumer_lag_seconds{partition="3",topic="usage"}"#;
    assert_eq!(value(&metrics.render().unwrap(), lag), Some(2.5));
    metrics.pipeline.forget_partition(&source);
    assert_eq!(value(&metrics.render().unwrap(), lag), None);

    metrics.activate(&program(2));
    metrics.activate(&program(1));
    assert!(!metrics.render().unwrap().contains("rule-01"));
}

#[test]
fn gauges_of_tasks_add_up_and_the_lowest_watermark_counts() {
    let metrics = Metrics::new(25).unwrap();
    metrics.activate(&program(1));
    let mut task = Task { entities: vec![("account".into(), 5)], ..Task::default() };
    task.watermarks[0] = Some(Timestamp(9000));
    metrics.pipeline.set_task(0, task.clone());
    task.watermarks[0] = Some(Timestamp(4000));
    metrics.pipeline.set_task(1, task);
    metrics.trigger.set_open_alerts(0, [("rule-00".into(), Severity::Error, 2)]);
    metrics.trigger.set_open_alerts(1, [("rule-00".into(), Severity::Error, 1)]);
    let open = r#"forewarn_trigger_open_alerts{rule="rule-00",severity="error"}"#;
    let page = metrics.render().unwrap();
    assert_eq!(value(&page, r#"forewarn_entities{entity="account"}"#), Some(10.0));
    assert_eq!(value(&page, r#"forewarn_watermark_timestamp_seconds{kind="usage"}"#), Some(4.0));
    assert_eq!(value(&page, open), Some(3.0));
    metrics.pipeline.forget_task(1);
    metrics.trigger.forget_task(1);
    let page = metrics.render().unwrap();
    assert_eq!(value(&page, r#"forewarn_watermark_timestamp_seconds{kind="usage"}"#), Some(9.0));
    assert_eq!(value(&page, open), Some(2.0));
}
