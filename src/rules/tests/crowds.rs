//! Mistakes in what rules say about others: parents, whom they touch, health, points of other rules.

use expect_test::expect;

use super::told;

#[test]
fn parents() {
    let expires = "  expires_after: 2h";
    let with = |text: &str| format!("{expires}\n  collapse_to: {text}");
    let edits = [
        with("{entity: integration, distinct: 5, within: 10m, alert: {summary: s}}"),
        with("{entity: platform, distinct: 5, within: 10m, alert: {summary: s}}"),
        with("{entity: account, distinct: 1, within: 10m, alert: {summary: s}}"),
        with("{entity: account, distinct: 5, within: 10m}"),
        with("{entity: account, distinct: 5, wihtin: 10m, alert: {summary: s}}"),
        with("{entity: account, distinct: 5, within: 10m, alert: {summary: '{{user_id}}'}}"),
        with("{entity: account, distinct: 5, within: 10m, alert: {owner: role:x}}"),
        with("{entity: account, distinct: 5, within: 10m, severity: high, alert: {summary: s}}"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|to| (expires, to.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:24:25: rows of `user` have no `integration` in common [E08]
          the parent is the account, or the other part of the entity across accounts
        a.yaml:24:25: rows of `user` have no `platform` in common [E08]
          the parent is the account, or the other part of the entity across accounts
        a.yaml:24:44: 1 is not between 2 and 1000 [E05]
        a.yaml:24:16: collapse_to has no `alert` [E02]
        a.yaml:24:16: collapse_to has no `within` [E02]
        a.yaml:24:47: unknown key `wihtin` in collapse_to [E01]
          collapse_to takes entity distinct within severity alert; hint: did you mean `within`?
        a.yaml:24:77: no variable `user_id` here [E06]
          these conditions have no firing event, so no fields of it
        a.yaml:24:67: alert has no `summary` [E02]
        a.yaml:24:70: `high` is no severity [E04]
          info warning error critical
    "#]],
    );
}

#[test]
fn whom_an_alert_touches() {
    let severity = "  severity: warning\n  family: access\n  entity: user";
    let across = "  severity: warning\n  family: access\n  entity: incident";
    let with = |text: &str| format!("{across}\n  affects: {text}");
    let edits = [
        format!("{severity}\n  affects: {{account.services_used: services}}"),
        with("{account.services_used: services}"),
        with("{account.tier: services}"),
        with("{account.services_used: a, account.integrations: b}"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|to| (severity, to.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:20:12: an alert of one account affects no others [E08]
          hint: leave `affects` out
        a.yaml:20:36: usage has no field `services` [E06]
        a.yaml:20:36: usage has no field `services` [E06]
        a.yaml:23:20: events of usage have no incident, so they never touch this entity [E08]
        a.yaml:20:13: `account.tier` is no list of the profile [E06]
          hint: write `account.services_used`
        a.yaml:20:27: usage has no field `services` [E06]
        a.yaml:23:20: events of usage have no incident, so they never touch this entity [E08]
        a.yaml:20:12: affects has 2 entries, not one [E08]
        a.yaml:23:20: events of usage have no incident, so they never touch this entity [E08]
    "#]],
    );
}

#[test]
fn features_that_matter() {
    let zone = "  timezone: account";
    let with = |text: &str| {
        format!("{zone}\n  priority: {{feature_severity: {text}, bands: [{{from: 3, to: 15, action: x}}]}}")
    };
    let edits = [
        with("{table: codez, by: feature_area, column: severity}"),
        with("{table: codes, by: feature_are, column: severity}"),
        with("{table: codes, by: feature_area, column: kb_ref}"),
        with("{table: codes, by: feature_area}"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|to| (zone, to.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:5:40: no lookup table `codez` [E07]
          hint: did you mean `codes` (a.yaml:9)?
        a.yaml:5:51: no events have a field `feature_are` [E06]
          hint: did you mean `feature_area`?
        a.yaml:5:72: `severity` is not 1 to 5 in every row of `codes` [E03]
        a.yaml:5:73: `kb_ref` is not 1 to 5 in every row of `codes` [E03]
        a.yaml:5:32: feature_severity has no `column` [E02]
    "#]],
    );
}

#[test]
fn health() {
    let top = "vocabulary:\n";
    let with = |text: &str| format!("health: {text}\n{top}");
    let input = |more: &str| {
        format!(
            "{{direction: higher_is_better, parts: {{usage: {{weight: 100, inputs: [{{name: a, topic: usage, {more}}}]}}}}}}"
        )
    };
    let edits = [
        with("{direction: higher_is_worse, parts: {}}"),
        with("{direction: higher_is_better, parts: {usage: {weight: 60, inputs: []}}}"),
        with("{direction: higher_is_better, parts: {mood: {weight: 100, inputs: []}}}"),
        with(&input("within: 28d, bad: 1")),
        with(&input("within: 28d, bad: 1, good: 1")),
        with(&input("within: 12h, bad: 1, good: 2")),
        with(&input("within: 42d, against: previous, bad: 1, good: 2")),
        with(&input("within: 28d, against: previous, relative_to: account.seats, bad: 1, good: 2")),
        with(&input("within: 28d, against: baseline, bad: 1, good: 2")),
        with("{direction: higher_is_better, min_coverage: 33.5%, parts: {}}"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|to| (top, to.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:5:21: `higher_is_worse` is no direction of health [E04]
          higher_is_better; hint: did you mean `higher_is_better`?
        a.yaml:5:45: the weights of health add up to 0, not 100 [E09]
        a.yaml:5:46: the weights of health add up to 60, not 100 [E09]
        a.yaml:5:54: a part of health has 1 to 16 inputs, this has 0 [E05]
        a.yaml:5:46: the weights of health add up to 0, not 100 [E09]
        a.yaml:5:47: unknown key `mood` in parts [E01]
          parts takes usage engagement support business
        a.yaml:5:77: input of health has no `good` [E02]
        a.yaml:5:77: what is bad is as much as what is good [E09]
        a.yaml:5:109: health is measured over whole days [E05]
        a.yaml:5:109: within 42d is not between 1m and 31d [E05]
        a.yaml:5:123: an input has one of against and relative_to [E08]
        a.yaml:5:123: `baseline` is no comparison [E04]
          previous
        a.yaml:5:53: 33.5% is no share from 0% to 100% in whole percents [E05]
          hint: write it as `50%`
        a.yaml:5:67: the weights of health add up to 0, not 100 [E09]
    "#]],
    );
}

#[test]
fn rules_that_give_points() {
    let filter = "topic: usage, where: {event: login.succeeded}, for: 7d}\n    guard: {usual_gap: 1.0, stall: ignore}\n  \
                  clear: {if: {met: false}}\n  alert: {summary: \"no login for {{elapsed}}\"}";
    let absence = format!("    absence: {{{filter}");
    let with = |rule: &str| {
        format!(
            "    score: {{topic: ticket, range: [0, 100], direction: higher_is_worse, half_life: 1d, \
             points: [{{name: a, rule: {rule}, add: 5}}], gt: 3}}\n  expires_after: 1d\n  alert: {{summary: s}}"
        )
    };
    let edits = [with("brust"), with("Burst"), with("silence")];
    let edits: Vec<(&str, &str)> = edits.iter().map(|to| (absence.as_str(), to.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:37:113: no rule `brust` [E07]
          hint: did you mean `burst`?
        a.yaml:37:113: `Burst` is no id [E03]
          an id is a small letter or digit, then up to 63 small letters, digits, `_` and `-`
            score: {topic: ticket, range: [0, 100], direction: higher_is_worse, half_life: 1d, points: [{name: a, rule: silence, add: 5}], gt: 3}
          expires_after: 1d
          alert: {summary: s}: no mistake, 0 warnings
    "#]],
    );
}
