mod crowds;
mod detectors;
mod diff;
mod mistakes;
mod reference;

use expect_test::{Expect, expect};

use super::program::{Detector, Path, Piece, SeriesIx, Variable, Window, ZoneSource};
use super::{Loaded, Options, captured_paths, load, worst_bytes};
use crate::event::{Field, Kind, Timestamp, Value};

const MAIN: &str = include_str!("../../tests/rules/main.yaml");
const LOOKUPS: &str = include_str!("../../tests/rules/lookups.yaml");

/// One rule a detector; the tests below change one place at a time.
const BASE: &str = r#"version: 1
name: base
defaults:
  timezone: account
vocabulary:
  fields: {properties.mood: string}
lookups:
  codes:
    E1: {kb_ref: KB-1, owner: role:eng}
    "*": {kb_ref: KB-0, owner: role:ops}
  pilots: [acme, globex]
rules:
- id: burst
  title: Burst
  why: because
  status: active
  severity: warning
  family: access
  entity: user
  scope: {account.tier: {gte: 2}}
  when:
    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}
  expires_after: 2h
  alert:
    summary: "{{user_id}} failed {{value}} times"
    owner: role:support
    playbook: help
    channels: [email]
    next_step: {text: Help}
- id: silence
  title: Silence
  why: because
  severity: info
  family: engagement
  entity: account
  when:
    absence: {topic: usage, where: {event: login.succeeded}, for: 7d}
    guard: {usual_gap: 1.0, stall: ignore}
  clear: {if: {met: false}}
  alert: {summary: "no login for {{elapsed}}"}
- id: drop
  title: Drop
  why: because
  severity: info
  family: engagement
  entity: account
  when:
    all:
    - name: sessions
      compare: {topic: usage, where: {event: session.started}, within: 30d, against: previous, lte: -40%}
      guard: {min_previous: 12, stall: ignore}
    - name: pricing
      compare:
        topic: usage
        measure: {sum: properties.dwell_ms}
        within: 14d
        against: previous
        gte: 25%
      guard: {min_current: 60s, min_days: 2}
  clear: {if: {sessions.value: {gt: -25%}}, for: 5d}
  alert: {summary: "{{sessions.value}}"}
- id: declined
  title: Declined
  why: because
  severity: warning
  severity_by: [{if: {attempt_count: {gte: 4}}, severity: critical}]
  family: billing
  entity: account
  when:
    event: {topic: billing, where: {type: invoice.payment_failed}}
  dedup: [invoice_id]
  clear: {event: {topic: billing, where: {type: invoice.paid}}, match: [invoice_id]}
  lookup: {code: {table: codes, by: decline_code}}
  alert: {summary: "{{amount_minor}} ({{code.kb_ref}})", attach: {invoices: {recent: invoice_id}}}
  tests:
  - name: opens
    given: [{at: 0m, billing: {type: invoice.payment_failed, invoice_id: in_1}}]
    expect: [{at: 0m, action: opened}]
"#;

fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = BASE.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "`{from}` must stand once");
        text = text.replace(from, to);
    }
    text
}

fn loaded(edits: &[(&str, &str)]) -> Loaded {
    match load(&[("a.yaml", &edited(edits))], Options::default()) {
        Ok(loaded) => loaded,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// What is told of each edit alone.
fn told(edits: &[(&str, &str)], expected: &Expect) {
    let mut all = String::new();
    for (from, to) in edits {
        match load(&[("a.yaml", &edited(&[(from, to)]))], Options::default()) {
            Ok(loaded) => all.push_str(&format!("{to}: no mistake, {} warnings\n", loaded.warnings.len())),
            Err(mistakes) => all.push_str(&mistakes.to_string()),
        }
    }
    expected.assert_eq(&all);
}

#[test]
fn the_base_of_these_tests_is_right() {
    let loaded = loaded(&[]);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.program.rules.len(), 4);
}

#[test]
fn the_shipped_rules_load_in_strict_mode_without_warnings() {
    let loaded = match load(&[("lookups.yaml", LOOKUPS), ("main.yaml", MAIN)], Options { strict: true }) {
        Ok(loaded) => loaded,
        Err(mistakes) => panic!("{mistakes}"),
    };
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let ids: Vec<&str> = loaded.program.rules.iter().map(|rule| &*rule.id).collect();
    let expected = [
        "connection-failures",
        "login-failures-burst",
        "login-silence-7d",
        "payment-declined",
        "quiet-exit",
        "repeat-issue-account",
    ];
    assert_eq!(ids, expected);
    assert!(loaded.tests.iter().all(|tests| tests.cases.len() >= 3));
    expect![[r#"
        [
            (
                "account",
                2282,
            ),
            (
                "account+integration",
                432,
            ),
            (
                "account+issue_key",
                17216,
            ),
            (
                "user",
                172,
            ),
        ]
    "#]]
    .assert_debug_eq(&worst_bytes(&loaded.program));
}

#[test]
fn a_late_event_time_and_numbered_strings_reach_the_records_of_a_test() {
    let loaded = load(&[("lookups.yaml", LOOKUPS), ("main.yaml", MAIN)], Options::default()).unwrap();
    let burst = loaded.tests.iter().find(|tests| &*tests.rule == "login-failures-burst").unwrap();
    let case = &burst.cases[3];
    let records = case.given[2].records(case.start, 2);
    let (at, kind, value) = &records[4];
    assert_eq!((*at, *kind), (case.start.plus(280_000), Kind::Usage));
    assert_eq!(value.entry("user_id").and_then(Value::as_text), Some("u5"));
    assert_eq!(value.entry("event_time"), Some(&Value::Time(case.start.plus(60_000))));
    assert_eq!(value.entry("account_id").and_then(Value::as_text), Some("acme"));
    assert_eq!(case.end, case.start.plus(280_000));
    assert_eq!(case.start, Timestamp::parse("2026-01-05T00:00:00Z").unwrap());
}

fn series_keys(edits: &[(&str, &str)]) -> Vec<u32> {
    loaded(edits).program.series.iter().map(|series| series.key).collect()
}

#[test]
fn thresholds_guards_and_texts_keep_series_and_rules_and_change_versions() {
    let before = loaded(&[]).program;
    for edit in [
        ("gte: 3}", "gte: 5}"),
        ("lte: -40%", "lte: -35%"),
        ("within: 30d", "within: 28d"),
        ("usual_gap: 1.0, ", ""),
        ("for: 7d}", "for: 8d}"),
        ("title: Burst", "title: Bang"),
        ("{account.tier: {gte: 2}}", "{account.tier: {gte: 3}}"),
    ] {
        let after = loaded(&[edit]).program;
        let keys = |program: &super::program::Program| -> Vec<u32> {
            let rules = program.rules.iter().map(|rule| rule.key);
            program.series.iter().map(|series| series.key).chain(rules).collect()
        };
        assert_eq!(keys(&before), keys(&after), "{edit:?}");
        let versions = |program: &super::program::Program| -> Vec<Box<str>> {
            program.rules.iter().map(|rule| rule.version.clone()).collect()
        };
        assert_ne!(versions(&before), versions(&after), "{edit:?}");
        assert_ne!(before.rule_set, after.rule_set, "{edit:?}");
    }
}

#[test]
fn filters_measures_entities_and_short_windows_make_new_series() {
    let before = series_keys(&[]);
    for edit in [
        ("{event: login.failed}", "{event: login.failed, properties.reason: mfa}"),
        ("within: 10m", "within: 15m"),
        ("family: access\n  entity: user", "family: access\n  entity: account"),
        ("{sum: properties.dwell_ms}", "{sum: properties.results}"),
        ("timezone: account", "timezone: Europe/Paris"),
        ("{account.tier: {gte: 2}}", "{platform: web}"),
    ] {
        let edits = [edit, ("{{user_id}}", "it")];
        assert_ne!(before, series_keys(&edits), "{edit:?}");
    }
}

#[test]
fn layout_and_order_change_nothing_that_is_kept() {
    let before = loaded(&[]).program;
    let after = loaded(&[(
        "{topic: usage, where: {event: login.failed}, within: 10m, gte: 3}",
        "\n      gte: 3\n      within: 600s\n      where: {event: [login.failed]}\n      topic: usage",
    )])
    .program;
    assert_eq!(before.series, after.series);
    assert_eq!(before.filters, after.filters);
}

#[test]
fn equal_series_are_shared_and_serve_the_harder_rung() {
    let twin = BASE.split("- id: silence").next().unwrap().split("rules:\n").nth(1).unwrap();
    let twin = twin.replace("id: burst", "id: harder").replace("gte: 3", "gte: 10");
    let text = format!("{BASE}{twin}");
    let program = load(&[("a.yaml", &text)], Options::default()).unwrap().program;
    let counts: Vec<_> = program
        .rules
        .iter()
        .filter_map(|rule| match &rule.conditions[0].detector {
            Detector::Count { series, .. } => Some(*series),
            _ => None,
        })
        .collect();
    assert_eq!(counts[0], counts[1]);
    let window = program.series[usize::from(counts[0].0)].window;
    assert_eq!(window, Window::Exact { span_ms: 600_000, keep: 10 });
}

#[test]
fn windows_follow_kind_direction_and_height() {
    let window = |to: &str| {
        let program = loaded(&[("within: 10m, gte: 3}", to)]).program;
        let rule = program.rules.iter().find(|rule| &*rule.id == "burst").unwrap();
        match rule.conditions[0].detector {
            Detector::Count { window, .. } => window,
            _ => panic!("no count"),
        }
    };
    assert_eq!(window("within: 10m, gt: 63}"), Window::Exact { span_ms: 600_000, keep: 64 });
    assert_eq!(window("within: 10m, gt: 64}"), Window::Panes { span_ms: 600_000 });
    assert_eq!(window("within: 24h, gte: 2.5}"), Window::Exact { span_ms: 86_400_000, keep: 3 });
    assert_eq!(window("within: 7d, gte: 3}"), Window::Days { days: 7 });
    let falling = "within: 10m, lte: 3}\n    guard: {stall: ignore}";
    let lowered = loaded(&[("within: 10m, gte: 3}", falling), ("{{user_id}}", "it")]).program;
    assert!(
        lowered.series.iter().any(|own| own.window == Window::Panes { span_ms: 600_000 } && own.negative)
    );
}

#[test]
fn compare_keeps_both_windows() {
    let program = loaded(&[]).program;
    let days: Vec<_> = program
        .series
        .iter()
        .filter(|series| matches!(series.window, Window::Days { .. }))
        .map(|series| (series.window, series.keep_days, series.negative))
        .collect();
    assert_eq!(days, [(Window::Days { days: 30 }, 60, true), (Window::Days { days: 14 }, 28, true)]);
    let compared = (0..program.series.len()).map(|place| SeriesIx(u16::try_from(place).unwrap()));
    assert_eq!(compared.filter(|place| program.is_compared(*place)).count(), 2);
}

#[test]
fn event_fields_of_a_scope_join_the_filters_and_profiles_stay_with_the_rule() {
    let both = "{account.tier: {gte: 2}, platform: web, decline_class: hard}";
    let program = loaded(&[("{account.tier: {gte: 2}}", both)]).program;
    let rule = program.rules.iter().find(|rule| &*rule.id == "burst").unwrap();
    assert_eq!(rule.scope.0[0].len(), 1);
    assert_eq!(rule.scope.0[0][0].0, Path::Account(Field::Tier));
    let Detector::Count { series, .. } = &rule.conditions[0].detector else { panic!("no count") };
    let filter = &program.filters[usize::from(program.series[usize::from(series.0)].filter.0)];
    let paths: Vec<&Path> = filter.matches.0[0].iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [&Path::Field(Field::Event), &Path::Field(Field::Platform)]);
    assert!(!filter.names_traffic);
}

#[test]
fn templates_are_resolved_and_fields_of_the_firing_event_are_captured() {
    let program = loaded(&[]).program;
    let rule = program.rules.iter().find(|rule| &*rule.id == "declined").unwrap();
    let Piece::Variable(first) = &rule.alert.summary.0[0] else { panic!("no variable") };
    assert_eq!(*first, Variable::Path(Path::Field(Field::AmountMinor)));
    let paths = captured_paths(rule);
    for field in [
        Field::AmountMinor,
        Field::AttemptCount,
        Field::InvoiceId,
        Field::DeclineCode,
        Field::Currency,
        Field::Cause,
    ] {
        assert!(paths.contains(&Path::Field(field)), "{field:?}");
    }
    assert_eq!(paths.len(), 6);
    let burst = program.rules.iter().find(|rule| &*rule.id == "burst").unwrap();
    assert_eq!(burst.alert.summary.0[0], Piece::Variable(Variable::EntityPart));
    assert_eq!(burst.zone, ZoneSource::Account);
}

#[test]
fn drafts_and_retired_rules_are_checked_but_do_not_run() {
    let program = loaded(&[("status: active", "status: draft")]).program;
    assert!(program.rules.iter().all(|rule| &*rule.id != "burst"));
    assert!(program.filters.iter().all(|filter| !format!("{filter:?}").contains("login.failed")));
    told(
        &[("status: active\n  severity: warning", "status: retired\n  severity: hgih")],
        &expect![[r#"
            a.yaml:17:13: `hgih` is no severity [E04]
              info warning error critical
        "#]],
    );
}

#[test]
fn a_rule_alone_runs_as_active_with_other_tables() {
    let loaded = loaded(&[]);
    let program = loaded.program_of(&["declined"], None).unwrap();
    assert_eq!(program.rules.len(), 1);
    assert_eq!(program.rules[0].mode, super::program::Mode::Active);
    let mut mistakes = crate::document::Mistakes::default();
    let tables = "codes: {\"*\": {kb_ref: KB-9, owner: role:x}}";
    let tables = crate::document::parse("test", tables, &mut mistakes).unwrap();
    let replaced = loaded.program_of(&["declined"], Some(&tables)).unwrap();
    assert_eq!(replaced.tables.len(), 1);
    assert_eq!(replaced.tables[0].rows.len(), 1);
    assert_eq!(replaced.rules[0].key, program.rules[0].key);
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once_and_by_place() {
    let first = edited(&[("within: 10m", "within: 10"), ("table: codes", "table: cods")]);
    let second = "version: 1\nname: other\nrules:\n- {id: x}\n";
    let mistakes = load(&[("a.yaml", &first), ("b.yaml", second)], Options::default()).unwrap_err();
    expect![[r#"
        a.yaml:22:65: expected a duration, found 10 [E03]
          hint: write `10m` or `10s`
        a.yaml:73:26: no lookup table `cods` [E07]
          hint: did you mean `codes` (a.yaml:8)?
        a.yaml:74:20: no variable `code.kb_ref` here [E06]
        b.yaml:4:3: rule has no `title` [E02]
        b.yaml:4:3: rule has no `why` [E02]
        b.yaml:4:3: rule has no `entity` [E02]
        b.yaml:4:3: rule has no `severity` [E02]
        b.yaml:4:3: rule has no `family` [E02]
        b.yaml:4:3: rule has no `when` [E02]
        b.yaml:4:3: rule has no `alert` [E02]
    "#]]
    .assert_eq(&mistakes.to_string());
}

#[test]
fn strict_mode_refuses_names_of_events_that_nobody_declared() {
    let text = edited(&[("{event: login.failed}", "{event: login.fialed}")]);
    let mistakes = load(&[("a.yaml", &text)], Options { strict: true }).unwrap_err().to_string();
    assert!(mistakes.contains("usage has no event `login.fialed` [E06]"), "{mistakes}");
    let declared = [("{event: login.failed}", "{event: door.opened, traffic: automated}")];
    let declared =
        edited(&declared).replace("vocabulary:\n", "vocabulary:\n  names: {usage: [door.opened]}\n");
    let loaded = load(&[("a.yaml", &declared)], Options::default()).unwrap();
    assert!(loaded.warnings.is_empty());
    assert!(loaded.program.filters.iter().any(|filter| filter.names_traffic));
}

#[test]
fn strict_mode_asks_shadow_rules_for_what_active_ones_need() {
    let mistakes = load(&[("a.yaml", BASE)], Options { strict: true }).unwrap_err();
    expect![[r#"
        a.yaml:30:3: shadow rule `silence` has no owner [E02]
          hint: name one, or set `status: draft`
        a.yaml:30:3: shadow rule `silence` has no playbook [E02]
          hint: name one, or set `status: draft`
        a.yaml:30:3: shadow rule `silence` has none of next_step, room, draft [E02]
          hint: name one, or set `status: draft`
        a.yaml:41:3: shadow rule `drop` has no owner [E02]
          hint: name one, or set `status: draft`
        a.yaml:41:3: shadow rule `drop` has no playbook [E02]
          hint: name one, or set `status: draft`
        a.yaml:41:3: shadow rule `drop` has none of next_step, room, draft [E02]
          hint: name one, or set `status: draft`
        a.yaml:62:3: shadow rule `declined` has no owner [E02]
          hint: name one, or set `status: draft`
        a.yaml:62:3: shadow rule `declined` has no playbook [E02]
          hint: name one, or set `status: draft`
        a.yaml:62:3: shadow rule `declined` has none of next_step, room, draft [E02]
          hint: name one, or set `status: draft`
    "#]]
    .assert_eq(&mistakes.to_string());
}
