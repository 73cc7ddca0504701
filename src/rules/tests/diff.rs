//! One edit for each row of the table of what edits keep (`docs/rules.md`, identity).

use expect_test::expect;

use super::loaded;
use crate::rules::diff;

/// What is said of each edit alone.
fn said(edits: &[&[(&str, &str)]]) -> String {
    let before = loaded(&[]);
    let mut all = String::new();
    for edit in edits {
        let changes = diff(&before, &loaded(edit));
        let shown = edit[0].1.trim().lines().last().unwrap_or_default().trim();
        all.push_str(&format!("# {shown}\n"));
        changes.iter().for_each(|change| all.push_str(&change.to_string()));
        if changes.is_empty() {
            all.push_str("nothing\n");
        }
    }
    all
}

#[test]
fn texts_policies_budgets_and_tests_keep_everything() {
    expect![[r#"
        # title: Bang
        burst: title
          series: kept
          firing state and open alerts: kept
          texts and policies: the next revision uses them
        # failed
        burst: alert
          series: kept
          firing state and open alerts: kept
          texts and policies: the next revision uses them
        # policy: {cooldown: 1h}
        burst: policy
          series: kept
          firing state and open alerts: kept
          texts and policies: the next revision uses them
        # budget: {max: 3}
        burst: budget
          series: kept
          firing state and open alerts: kept
          texts and policies: the next revision uses them
        # inhibits: [{family: engagement}]
        burst: inhibits
          series: kept
          firing state and open alerts: kept
          texts and policies: the next revision uses them
        # inhibits: [{family: engagement, match: [platform]}]
        burst: inhibits
          series: kept
          firing state and open alerts: kept
          texts and policies: the next revision uses them
        # - name: opens it
        nothing
        # priority: {arr_tier: account.tier}
        all rules: priority
          texts and policies: the next revision uses them
        # E1: {kb_ref: KB-2,
        declined: rows of its lookups
          series: kept
          firing state and open alerts: kept
    "#]]
    .assert_eq(&said(&[
        &[("title: Burst", "title: Bang")],
        &[("failed {{value}} times", "failed")],
        &[("  expires_after: 2h", "  expires_after: 2h\n  policy: {cooldown: 1h}")],
        &[("  expires_after: 2h", "  expires_after: 2h\n  budget: {max: 3}")],
        &[("  expires_after: 2h", "  expires_after: 2h\n  inhibits: [{family: engagement}]")],
        &[(
            "  expires_after: 2h",
            "  expires_after: 2h\n  inhibits: [{family: engagement, match: [platform]}]",
        )],
        &[("- name: opens", "- name: opens it")],
        &[("  timezone: account", "  timezone: account\n  priority: {arr_tier: account.tier}")],
        &[("E1: {kb_ref: KB-1,", "E1: {kb_ref: KB-2,")],
    ]));
}

#[test]
fn who_leaves_the_shadow_begins_in_silence() {
    let changes = diff(&loaded(&[("status: active", "status: shadow")]), &loaded(&[]));
    let said: String = changes.iter().map(ToString::to_string).collect();
    expect![[r#"
        burst: shadow to active
          series: kept
          firing state: kept; what holds then is not announced until it was false once
    "#]]
    .assert_eq(&said);
}

#[test]
fn what_is_judged_keeps_what_is_counted() {
    expect![[r#"
        # gte: 2}
        burst: threshold
          series: kept
          firing state and open alerts: kept, judged anew in silence
        # lte: -35%
        drop: threshold
          series: kept
          firing state and open alerts: kept, judged anew in silence
        # min_previous: 13
        drop: guards
          series: kept
          firing state and open alerts: kept, judged anew in silence
        # for: 6d}
        drop: clear
          series: kept
          firing state and open alerts: kept, judged anew in silence
        # guard
        silence: threshold, how it is judged
          series: kept
          firing state and open alerts: kept, judged anew in silence
        # {attempt_count: {gte: 5}}
        declined: severity
          series: kept
          firing state and open alerts: kept, judged anew in silence
        # {account.tier: {gte: 3}}
        burst: scope by account
          series: kept
          firing state and open alerts: kept, judged anew in silence
        # title: Drop
        drop: rank
          series: kept
          firing state and open alerts: kept, judged anew in silence
    "#]]
    .assert_eq(&said(&[
        &[("gte: 3}", "gte: 2}")],
        &[("lte: -40%", "lte: -35%")],
        &[("min_previous: 12", "min_previous: 13")],
        &[("for: 5d}", "for: 6d}")],
        &[("for: 7d}\n    guard", "for: 7d, count_as: calendar_days}\n    guard")],
        &[("{attempt_count: {gte: 4}}", "{attempt_count: {gte: 5}}")],
        &[("{account.tier: {gte: 2}}", "{account.tier: {gte: 3}}")],
        &[("  title: Drop", "  rank: 3\n  title: Drop")],
    ]));
}

#[test]
fn more_history_than_there_is_warms_up() {
    expect![[r#"
        # gte: 5}
        burst: threshold
          the series keeps its last 3 events, needs 5: warming for 10m
          firing state and open alerts: kept, judged anew in silence
        # within: 20d
        drop: day window
          series `pricing` keeps its 28 days, needs 40: warming until they are full
          other series: kept
          firing state and open alerts: kept
        # within: 10d
        drop: day window
          series: kept
          firing state and open alerts: kept
    "#]]
    .assert_eq(&said(&[
        &[("gte: 3}", "gte: 5}")],
        &[("within: 14d", "within: 20d")],
        &[("within: 14d", "within: 10d")],
    ]));
}

#[test]
fn what_is_counted_begins_anew() {
    expect![[r#"
        # {event: login.failed, platform: web}
        burst: filter (where, or scope by field)
          the series begins anew, because of its filter (where, or scope by field): warming until its window is full
          firing state and open alerts: kept
        # {sum: properties.results}
        drop: measure
          series `pricing` begins anew, because of its measure: warming until its window is full
          other series: kept
          firing state and open alerts: kept
        # within: 15m
        burst: window
          the series begins anew, because of its window: warming until its window is full
          firing state and open alerts: kept
        # within: 2d
        burst: window
          the series begins anew, because of its window: warming until its window is full
          firing state and open alerts: kept
        # timezone: Europe/Paris
        drop: time zone
          series `sessions` begins anew, because of its time zone: warming until its window is full
          series `pricing` begins anew, because of its time zone: warming until its window is full
          firing state and open alerts: kept
        # {platform: web}
        burst: filter (where, or scope by field), scope by account
          the series begins anew, because of its filter (where, or scope by field): warming until its window is full
          firing state and open alerts: kept, judged anew in silence
    "#]].assert_eq(&said(&[
        &[("{event: login.failed}", "{event: login.failed, platform: web}")],
        &[("{sum: properties.dwell_ms}", "{sum: properties.results}")],
        &[("within: 10m", "within: 15m")],
        &[("within: 10m", "within: 2d")],
        &[("timezone: account", "timezone: Europe/Paris")],
        &[("{account.tier: {gte: 2}}", "{platform: web}")],
    ]));
}

#[test]
fn another_shape_loses_the_firing_state() {
    expect![[r#"
        # count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 1}
        drop: number of conditions
          series `logins` begins empty: warming until its window is full
          other series: kept
          firing state: lost, open alerts expire
        # count: {topic: usage, where: {event: login.succeeded}, within: 7d, gte: 3}
        silence: window, kind of detector, alert
          the series begins anew, because of its window: warming until its window is full
          firing state: lost, open alerts expire
          texts and policies: the next revision uses them
        # entity: account
        burst: entity, alert
          the series begins anew, because of its entity: warming until its window is full
          firing state: lost, open alerts expire
          texts and policies: the next revision uses them
        # - id: blast
        blast: new
          1 of its 1 series are there already, with their history
          what holds then is not announced until it was false once
        burst: removed
          open alerts expire
          1 of its 1 series are kept: other rules judge them
        # family: entry
        burst: family
          series: kept
          firing state: kept; open alerts expire; what holds then is not announced until it was false once
        # dedup: [subscription_id]
        declined: dedup
          series: kept
          firing state: kept; open alerts expire; what holds then is not announced until it was false once
        # status: shadow
        burst: active to shadow
          series: kept
          firing state: kept; open alerts expire
        # status: draft
        burst: removed
          open alerts expire
          1 of its 1 series are dropped
    "#]].assert_eq(&said(&[
        &[(
            "min_days: 2}\n",
            "min_days: 2}\n    - name: logins\n      count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 1}\n",
        )],
        &[
            (
                "    absence: {topic: usage, where: {event: login.succeeded}, for: 7d}\n    guard: {usual_gap: 1.0, stall: ignore}",
                "    count: {topic: usage, where: {event: login.succeeded}, within: 7d, gte: 3}",
            ),
            ("{{elapsed}}", "{{value}}"),
        ],
        &[("family: access\n  entity: user", "family: access\n  entity: account"), ("{{user_id}}", "it")],
        &[("- id: burst", "- id: blast")],
        &[("family: access", "family: entry")],
        &[("dedup: [invoice_id]", "dedup: [subscription_id]")],
        &[("status: active", "status: shadow")],
        &[("status: active", "status: draft")],
    ]));
}
