use std::collections::BTreeSet;

use super::{LATER, Metrics, Task};
use crate::engine::alert::{Action, Reason};
use crate::engine::census::{Counts, Standing};
use crate::engine::effects::{Outcome, RuleTally, Tally};
use crate::event::{Kind, SourcePartition, Timestamp};
use crate::rules::program::{
    AlertBlock, Budget, Category, Combine, Decimal, Entity, Mode, OnActivate, Policy, Program, Rate, Rule,
    Severity, ZoneSource,
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
        groups: Vec::new(),
        for_ms: 0,
        conditions: Vec::new(),
        clear: Vec::new(),
        expires_after_ms: None,
        dedup: Vec::new(),
        lookups: Vec::new(),
        alert: AlertBlock::default(),
        policy: Policy { cooldown_ms: 0, ..Policy::built_in() },
        inhibits: Vec::new(),
        affects: None,
        collapses_to: None,
        collapses: None,
        budget: None,
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
    task.stalled[0] = true;
    metrics.pipeline.set_task(1, task);
    let mut counts = Counts::default();
    counts.open[Severity::Error as usize] = 2;
    counts.standings[Standing::Firing as usize] = 2;
    counts.standings[Standing::Calm as usize] = 5;
    let rule = rule("rule-00");
    metrics.trigger.set_task(0, [(&rule, counts)].into_iter());
    counts.open[Severity::Error as usize] = 1;
    metrics.trigger.set_task(1, [(&rule, counts)].into_iter());
    let open = r#"forewarn_trigger_open_alerts{rule="rule-00",severity="error"}"#;
    let page = metrics.render().unwrap();
    assert_eq!(value(&page, r#"forewarn_entities{entity="account"}"#), Some(10.0));
    assert_eq!(value(&page, r#"forewarn_watermark_timestamp_seconds{kind="usage"}"#), Some(4.0));
    let stalled = r#"forewarn_source_stalled{kind="usage"}"#;
    assert_eq!(value(&page, stalled), Some(1.0));
    assert_eq!(value(&page, open), Some(3.0));
    let entities = |state: &str| format!(r#"forewarn_trigger_entities{{rule="rule-00",state="{state}"}}"#);
    assert_eq!(value(&page, &entities("eligible")), Some(14.0));
    assert_eq!(value(&page, &entities("firing")), Some(4.0));
    assert_eq!(value(&page, &entities("waiting")), Some(0.0));
    metrics.pipeline.forget_task(1);
    metrics.trigger.forget_task(1);
    let page = metrics.render().unwrap();
    assert_eq!(value(&page, r#"forewarn_watermark_timestamp_seconds{kind="usage"}"#), Some(9.0));
    assert_eq!(value(&page, stalled), Some(0.0));
    assert_eq!(value(&page, open), Some(2.0));
}

/// Every name of `contracts.md` §8, without `forewarn_`.
const CONTRACT: &str = "
trigger_evaluations_total trigger_activations_total trigger_suppressed_total trigger_merged_total trigger_alerts_total
trigger_entities trigger_open_alerts trigger_peak_threshold_ratio trigger_time_to_detect_seconds trigger_lead_time_seconds
trigger_respond_by_missed_total trigger_outcomes_total trigger_labels_total trigger_prevented_total
trigger_customer_reported_first_total trigger_threshold trigger_info trigger_budget_alerts_per_day
tickets_total tickets_repeat_total tickets_escalated_total tickets_escalated_to_engineering_total manager_requests_total
ticket_tags_total ticket_tag_lag_seconds frustration_score time_to_detect_seconds time_to_triage_seconds
time_to_mitigate_seconds contacts_total effort_score perception_total losses_total experiment_entries_total
experiment_tickets_total
input_records_total input_events_total events_total events_filtered_total events_clamped_total events_cut_total
events_behind_total identity_recovered_total identity_pending_events dead_letters_total consumer_lag_records
consumer_lag_seconds watermark_timestamp_seconds source_stalled journal_frames_total journal_bytes_total
journal_duplicates_total forwarded_total entities entities_evicted_total stage_duration_seconds alert_latency_seconds
transaction_duration_seconds rebalance_duration_seconds restore_duration_seconds transactions_total rebalances_total
produce_errors_total assigned_partitions restore_remaining_records state_hot_bytes state_sst_bytes state_memtable_bytes
state_block_cache_bytes state_pending_compaction_bytes state_disk_free_bytes state_write_stalls_total
state_background_errors_total last_progress_timestamp_seconds checkpoint_timestamp_seconds
changelog_marker_timestamp_seconds config_last_reload_success_timestamp_seconds config_last_reload_successful ready
kafka_throttle_seconds app_state build_info rule_set_info";

#[test]
fn a_budget_in_alerts_a_day_is_shown() {
    let metrics = Metrics::new(25).unwrap();
    let mut program = program(2);
    let most = Some(Rate::PerDay(Decimal { mantissa: 25, scale: 1 }));
    program.rules[0].budget = Some(Budget { min: Some(Rate::Share(Decimal::whole(1))), max: most });
    metrics.activate(&program);
    let page = metrics.render().unwrap();
    let bound = |bound: &str| {
        value(&page, &format!(r#"forewarn_trigger_budget_alerts_per_day{{bound="{bound}",rule="rule-00"}}"#))
    };
    assert_eq!((bound("min"), bound("max")), (None, Some(2.5)));
}

#[test]
fn every_metric_of_the_contract_is_published_or_put_off_by_name() {
    let metrics = Metrics::new(25).unwrap();
    let published: BTreeSet<&str> =
        metrics.described().iter().map(|own| own.name.strip_prefix("forewarn_").unwrap()).collect();
    let later: BTreeSet<&str> = LATER.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert!(published.is_disjoint(&later), "{:?}", published.intersection(&later).collect::<Vec<_>>());
    let all: BTreeSet<&str> = published.union(&later).copied().collect();
    let contract: BTreeSet<&str> = CONTRACT.split_whitespace().collect();
    assert_eq!(all, contract);
}

#[test]
fn the_peaks_of_a_day_are_a_histogram() {
    let metrics = Metrics::new(25).unwrap();
    let program = program(1);
    metrics.activate(&program);
    let bucket =
        |le: &str| format!(r#"forewarn_trigger_peak_threshold_ratio_bucket{{rule="rule-00",le="{le}"}}"#);
    assert_eq!(value(&metrics.render().unwrap(), &bucket("1")), Some(0.0), "it exists at 0");
    let mut tally = Tally::default();
    let mut of_rule = RuleTally::default();
    of_rule.peaks.buckets[0] = 3_000_000;
    of_rule.peaks.buckets[7] = 20;
    of_rule.peaks.buckets[15] = 1;
    of_rule.peaks.sum = 30 * 4096;
    tally.rules.push(of_rule);
    metrics.apply(&tally, &program);
    let page = metrics.render().unwrap();
    assert_eq!(value(&page, &bucket("0.95")), Some(3_000_000.0));
    assert_eq!(value(&page, &bucket("1")), Some(3_000_020.0));
    assert_eq!(value(&page, &bucket("5")), Some(3_000_020.0));
    assert_eq!(value(&page, &bucket("+Inf")), Some(3_000_021.0));
    assert_eq!(value(&page, r#"forewarn_trigger_peak_threshold_ratio_sum{rule="rule-00"}"#), Some(30.0));
}
