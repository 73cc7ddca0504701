//! The laws of the metrics (`contracts.md` §8.4), on the page that a run of the whole program leaves behind.

use std::collections::{BTreeMap, BTreeSet};

use forewarn::event::record::to_json;
use forewarn::event::{Kind, Timestamp};
use forewarn::intake::SourceSettings;
use forewarn::journal::System;
use forewarn::rules::{Options, load};
use forewarn::runtime::embedded::Embedded;
use forewarn::simulate::Company;

const DAY_MS: i64 = 86_400_000;
const DAYS: u32 = 24;
const ACCOUNTS: usize = 40;

/// A series of the exposition: name, labels, value.
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn parse(page: &str) -> Vec<Series> {
    let series = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let pairs = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
        let labels = pairs
            .map(|pair| pair.split_once("=\"").unwrap())
            .map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()))
            .collect();
        Series { name: name.to_owned(), labels, value: value.parse().unwrap() }
    };
    page.lines().filter(|line| !line.starts_with('#')).map(series).collect()
}

/// What a company's records lead to, and the ids that must not be found in labels.
fn run() -> (Vec<Series>, BTreeSet<String>) {
    let start = Timestamp::parse("2026-01-05T00:00:00Z").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        ("account-profile", Kind::Account),
        ("billing", Kind::Billing),
        ("error-log", Kind::ErrorLog),
        ("ticket", Kind::Ticket),
        ("usage", Kind::Usage),
    ];
    let sources: Vec<_> = kinds.into_iter().map(|(topic, kind)| SourceSettings::new(topic, kind)).collect();
    let mut program = Embedded::new(start, &sources, folder.path().to_owned()).unwrap();
    let files = [
        ("lookups.yaml", include_str!("../rules/lookups.yaml")),
        ("main.yaml", include_str!("../rules/main.yaml")),
    ];
    let rules = System::Rules {
        generation: start.0,
        rule_set: load(&files, Options::default()).unwrap().program.rule_set,
        body: files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        seed: false,
    };
    program.apply(&rules).unwrap();
    let mut records = Company::new(7, ACCOUNTS, start, DAYS).peekable();
    let mut ids = BTreeSet::new();
    let (mut now, mut count) = (start, 0);
    while now < start.plus(i64::from(DAYS) * DAY_MS) {
        now = now.plus(60_000);
        while let Some(record) = records.next_if(|record| record.time <= now) {
            for field in ["account_id", "user_id", "ticket_id"] {
                ids.extend(record.value.entry(field).and_then(|id| id.as_text()).map(str::to_owned));
            }
            let value = to_json(&record.value);
            program.append(record.topic, &record.key, record.time, &value).unwrap();
            // Some records come twice, some can't be read.
            count += 1;
            if count % 7 == 0 {
                program.append(record.topic, &record.key, record.time, &value).unwrap();
                program.append(record.topic, &record.key, record.time, "{").unwrap();
            }
        }
        // The company's incidents are rare; these are not.
        if now.since(start) % DAY_MS / 60_000 == 720 {
            let account = format!("burst-{}", now.since(start) / DAY_MS % 3);
            for try_number in 0..4 {
                let value = format!(
                    r#"{{"event_id":"{now}-{try_number}","event_time":"{now}","account_id":"{account}","user_id":"u","event":"login.failed"}}"#
                );
                program.append("usage", &account, now, &value).unwrap();
            }
            ids.insert(account);
        }
        program.run_until(now).unwrap();
    }
    program.finish().unwrap();
    let page = program.metrics().render().unwrap();
    (parse(&page), ids)
}

fn sum(page: &[Series], name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |series: &&Series| {
        series.name == name
            && labels.iter().all(|(label, value)| series.labels.get(*label).is_some_and(|own| own == value))
    };
    page.iter().filter(fits).map(|series| series.value).sum()
}

fn values<'a>(page: &'a [Series], name: &str, label: &str) -> BTreeSet<&'a str> {
    let own = page.iter().filter(|series| series.name == name);
    own.filter_map(|series| series.labels.get(label).map(String::as_str)).collect()
}

#[test]
#[expect(clippy::float_cmp, reason = "whole numbers")]
fn the_laws_hold_after_a_run() {
    let (page, ids) = run();
    let mut kinds = 0;
    for kind in values(&page, "forewarn_input_events_total", "kind") {
        let all = sum(&page, "forewarn_input_events_total", &[("kind", kind)]);
        assert_eq!(all, sum(&page, "forewarn_events_total", &[("kind", kind)]), "{kind}");
        kinds += u32::from(all > 0.0);
    }
    assert_eq!(kinds, 5);
    let result = |result| sum(&page, "forewarn_events_total", &[("result", result)]);
    assert!(result("duplicate") > 0.0 && result("dead_letter") > 0.0);
    assert_eq!(result("dead_letter"), sum(&page, "forewarn_dead_letters_total", &[]));

    let rules = values(&page, "forewarn_trigger_info", "rule");
    assert_eq!(rules.len(), 6);
    let mut activations = 0.0;
    for rule in &rules {
        let of = |name: &str, label: (&str, &str)| sum(&page, name, &[("rule", *rule), label]);
        let any = ("rule", *rule);
        let live = of("forewarn_trigger_activations_total", ("mode", "live"));
        let known = of("forewarn_trigger_alerts_total", ("action", "opened"))
            + of("forewarn_trigger_suppressed_total", any)
            + of("forewarn_trigger_merged_total", any);
        assert_eq!(live, known, "{rule}");
        activations += live;

        // What is open is what was opened and not closed.
        let closed: f64 = ["resolved", "expired", "withdrawn"]
            .iter()
            .map(|action| of("forewarn_trigger_alerts_total", ("action", action)))
            .sum();
        let open = of("forewarn_trigger_open_alerts", any);
        assert_eq!(open, of("forewarn_trigger_alerts_total", ("action", "opened")) - closed, "{rule}");
        let eligible = of("forewarn_trigger_entities", ("state", "eligible"));
        assert!(of("forewarn_trigger_entities", ("state", "firing")) <= eligible, "{rule}");
    }
    assert!(activations > 5.0, "{activations} activations prove little");
    let peaks = |part: &str| format!("forewarn_trigger_peak_threshold_ratio_{part}");
    let days = sum(&page, &peaks("count"), &[]);
    let calm = sum(&page, &peaks("bucket"), &[("le", "1")]);
    assert!(0.0 < calm && calm < days, "{calm} of {days} entity-days did not fire");
    // Those of the company, and three that burst.
    assert_eq!(sum(&page, "forewarn_entities", &[("entity", "account")]), 43.0);
    for series in &page {
        assert!(series.labels.values().all(|value| !ids.contains(value)), "{} holds an id", series.name);
    }
}

#[test]
fn a_process_of_25_rules_stays_within_its_budget_of_series() {
    let rules: Vec<String> = (0..25).map(|number| {
        format!(
            "- id: rule-{number:02}\n  title: t\n  why: w\n  severity: warning\n  family: f{number}\n  entity: account\n  \
             when: {{count: {{topic: usage, where: {{event: login.failed}}, within: {}m, gte: 3}}}}\n  \
             clear: {{if: {{met: false}}}}\n  \
             alert: {{summary: s, owner: role:x, playbook: p, next_step: {{text: x}}}}\n",
            number + 1
        )
    }).collect();
    let text = format!("version: 1\nname: t\ndefaults: {{status: active}}\nrules:\n{}", rules.concat());
    let program = load(&[("t.yaml", &text)], Options::default()).unwrap().program;
    let metrics = forewarn::runtime::metrics::Metrics::new(25).unwrap();
    metrics.activate(&program);
    for topic in ["usage", "error-log", "billing", "ticket", "account-profile"] {
        metrics.pipeline.announce_source(topic);
    }
    for topic in ["journal", "dlq", "risk.alerts", "risk.alerts.state", "risk.decisions"] {
        metrics.pipeline.announce_output(topic);
    }
    let page = parse(&metrics.render().unwrap());
    // Rows by kind, topics, issues and the like come on top as they are met; this much is there from the first minute.
    assert!(page.len() < 3_500, "{} series", page.len());
    let of_a_rule =
        page.iter().filter(|series| series.labels.get("rule").is_some_and(|rule| rule == "rule-07"));
    let silent = |series: &Series| {
        series.value == 0.0 || matches!(&*series.name, "forewarn_trigger_info" | "forewarn_trigger_threshold")
    };
    let (count, zero) =
        of_a_rule.fold((0, true), |(count, zero), series| (count + 1, zero && silent(series)));
    assert!(count > 60 && zero, "{count} series exist from the start, at 0");
}
