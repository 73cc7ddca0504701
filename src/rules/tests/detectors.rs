//! Golden answers for the mistakes of the detectors that have much to say.

use expect_test::expect;

use super::told;

/// A line with one piece of it replaced.
fn with(line: &str, from: &str, to: &str) -> String {
    assert_eq!(line.matches(from).count(), 1, "`{from}` must stand once");
    line.replace(from, to)
}

#[test]
fn levels() {
    const LEVEL: &str =
        "    level: {topic: usage, measure: {last: properties.used}, relative_to: account.tier, gte: 80%}";
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    let edits = [
        with(LEVEL, "account.tier", "account.limits"),
        with(LEVEL, "account.tier", "\"account.limits[seats]\""),
        with(LEVEL, "account.tier", "account.teir"),
        with(LEVEL, "account.tier", "account.plan"),
        with(LEVEL, "{last: properties.used}", "count"),
        with(LEVEL, "relative_to", "within: 7d, relative_to"),
        with(LEVEL, "{last: properties.used}", "{last: properties.feature}"),
        with(LEVEL, "gte: 80%", "once_per: properties.perod_start, gte: 80%"),
        with(LEVEL, "gte: 80%", "forecast: 401d, gte: 80%"),
        with(LEVEL, "gte: 80%", "forecast: 30s, gte: 80%"),
        with(LEVEL, "{last: properties.used}", "count, within: 7d, forecast: 3d"),
        with(LEVEL, "{last: properties.used}", "count, within: 7d, once_per: properties.feature"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
            a.yaml:22:74: relative_to does not fit a map of numbers [E03]
              hint: name the entry, such as `account.limits[limit]` for `entity: [account, limit]`
            a.yaml:22:74: the entity has no `seats` to look up in account.limits [E08]
              hint: write `entity: [account, seats]`
            a.yaml:22:74: `account.teir` is nothing to be a share of [E06]
              relative_to takes account.<number>, account.<map>[X] or account.<list>; hint: did you mean `account.tier`?
            a.yaml:22:74: relative_to does not fit a string [E03]
            a.yaml:22:12: level has no `within` [E02]
              hint: name the window, or write `measure: {last: …}`
            a.yaml:22:69: within does not fit a level on last [E08]
              it judges the newest value, however old that is
            a.yaml:22:43: last does not fit a string [E03]
              hint: use `distinct`
            a.yaml:22:98: usage has no field `properties.perod_start` [E06]
              hint: did you mean `properties.period_start`? Own properties go into `vocabulary.fields`
            a.yaml:22:98: 401d is longer than 400d [E05]
            a.yaml:22:98: a forecast of 30s is under a minute [E05]
            a.yaml:22:65: forecast does not fit a level with `within` [E08]
              it is about the newest value; hint: write `measure: {last: …}`
            a.yaml:22:65: once_per does not fit a level with `within` [E08]
              it is about the newest value; hint: write `measure: {last: …}`
        "#]],
    );
}

#[test]
fn scores() {
    const SCORE: &str = "    score: {topic: usage, range: [0, 90], direction: higher_is_worse, half_life: 3d, gt: 40, points: [{name: a, by: properties.reason, add: {x: 1}}], bands: {low: 40, high: 90}}";
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    let edits = [
        with(SCORE, "[0, 90]", "[90, 0]"),
        with(SCORE, "high: 90", "high: 80"),
        with(SCORE, "3d", "3s"),
        with(SCORE, "by: properties.reason, add: {x: 1}", "add: 1"),
        with(SCORE, "by: properties.reason", "by: properties.used"),
        with(SCORE, "by: properties.reason, add: {x: 1}", "rule: burst, add: 1"),
        with(SCORE, "by: properties.reason, add: {x: 1}", "if: {ticket.unanswered: {gte: 2}}, add: 1"),
        with(SCORE, "higher_is_worse", "up"),
        with(SCORE, "{x: 1}", "{x: 2000000}"),
        with(SCORE, "gt: 40", "lt: 40"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
            a.yaml:22:34: a range is a lower and a higher number [E09]
              hint: write `[0, 200]`
            a.yaml:22:158: the bands do not cover the range [E09]
              each ends higher than the one before, the last with the end of the range
            a.yaml:22:82: half_life is under a minute [E05]
            a.yaml:22:103: points have one of `if`, `by`, `rule` [E08]
            a.yaml:22:117: by does not fit a number [E03]
              hint: use `if`
                score: {topic: usage, range: [0, 90], direction: higher_is_worse, half_life: 3d, gt: 40, points: [{name: a, rule: burst, add: 1}], bands: {low: 40, high: 90}}: no mistake, 0 warnings
            a.yaml:22:118: usage has no field `ticket.unanswered` [E06]
            a.yaml:22:54: `up` is no direction [E04]
              higher_is_worse higher_is_better
            a.yaml:22:145: 2000000 is beyond 1000000 [E05]
            a.yaml:22:86: unknown key `lt` in score [E01]
              score takes topic where range direction half_life points bands imported gt gte; hint: did you mean `gt`?
        "#]],
    );
}

#[test]
fn sequences() {
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    const STEP: &str = "{topic: usage, where: {event: login.failed}}";
    let sequence =
        |steps: &[&str], rest: &str| format!("    sequence: {{steps: [{}]{rest}}}", steps.join(", "));
    let edits = [
        sequence(&[STEP], ", within: 1h"),
        sequence(&[STEP; 6], ", within: 1h"),
        sequence(&[STEP, STEP], ""),
        sequence(&[STEP, STEP], ", within: 64d"),
        sequence(&[STEP, STEP], ", withn: 1h"),
        sequence(&[STEP, "{topic: usage, were: {event: login.failed}}"], ", within: 1h"),
        sequence(&[STEP, "{topic: usage, where: {event: login.failed, usr_id: u1}}"], ", within: 1h"),
        sequence(&[STEP, STEP], ", within: 1h, gte: 3"),
        format!("{}\n    guard: {{min_days: 2}}", sequence(&[STEP, STEP], ", within: 1h")),
    ];
    let mut edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    let endless = format!("{}\n", sequence(&[STEP, STEP], ", within: 1h"));
    let whole = format!("{COUNT}\n  expires_after: 2h\n");
    edits.push((&whole, &endless));
    let inside = "    - name: pricing\n      sequence: {within: 1h, steps: [{topic: usage}, {topic: usage}]}\n    - name: other\n      compare:\n";
    edits.push(("    - name: pricing\n      compare:\n", inside));
    told(
        &edits,
        &expect![[r#"
        a.yaml:22:23: a sequence has 2 to 5 steps, this has 1 [E05]
        a.yaml:22:23: a sequence has 2 to 5 steps, this has 6 [E05]
        a.yaml:22:15: sequence has no `within` [E02]
        a.yaml:22:125: within 64d is not between 1s and 63d [E05]
        a.yaml:22:15: sequence has no `within` [E02]
        a.yaml:22:117: unknown key `withn` in sequence [E01]
          sequence takes steps within; hint: did you mean `within`?
        a.yaml:22:85: unknown key `were` in step [E01]
          step takes topic where; hint: did you mean `where`?
        a.yaml:22:114: usage has no field `usr_id` [E06]
          hint: did you mean `user_id`?
        a.yaml:22:129: unknown key `gte` in sequence [E01]
          sequence takes steps within
        a.yaml:23:13: min_days does not fit a sequence [E08]
          it counts days with matches; hint: leave it out
        a.yaml:13:3: rule `burst` watches a sequence and never ends [E02]
          hint: add `clear` or `expires_after`
        a.yaml:13:3: active rule `burst` has neither clear nor expires_after [E02]
          hint: name one, or set `status: shadow`
        a.yaml:52:7: a sequence does not stand inside all [E08]
          hint: use count with `gte: 1`
    "#]],
    );
}

#[test]
fn milestones() {
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    const START: &str = "{topic: usage, where: {event: onboarding.started}}";
    const STEPS: &str = "{topic: usage, where: {event: onboarding.step_completed}, field: properties.step, names: [one, two]}";
    let milestone = |rest: &str| format!("    milestone: {{{rest}}}\n    guard: {{stall: ignore}}");
    let edits = [
        milestone(&format!("start: {START}, due: 3d")),
        milestone(&format!("start: {START}, expect: {START}")),
        milestone(&format!("start: {START}, expect: {START}, due: -3d")),
        milestone(&format!("start: {START}, expect: {START}, due: 3d, ladder: []")),
        milestone(&format!("start: {START}, expct: {START}, due: 3d")),
        milestone("start: account.renewal_date, expect: {topic: usage}, due: -3d"),
        milestone("start: account.renewal_dat, due: -3d"),
        milestone("start: account.tier, due: -3d"),
        milestone("start: account.renewal_date, due: -401d"),
        milestone(&format!(
            "start: {START}, steps: {STEPS}, ladder: [{{due: 1d, severity: info, step: tow}}]"
        )),
        milestone(&format!("start: {START}, steps: {STEPS}, ladder: [{{due: 1d, severity: info}}]")),
        milestone(&format!(
            "start: {START}, steps: {STEPS}, ladder: [{{due: 2d, severity: info, step: one}}, {{due: 1d, severity: info, step: two}}]"
        )),
        milestone(&format!(
            "start: {START}, expect: {START}, due: 3d, steps: {}",
            STEPS.replace("two", "one")
        )),
        milestone(&format!(
            "start: {START}, expect: {START}, due: 3d, steps: {}",
            STEPS.replace("properties.step", "properties.used")
        )),
        milestone(&format!("start: {START}, expect: {START}, due: 3d, gte: 3")),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
            a.yaml:22:16: this milestone has no end [E08]
              hint: add `expect`, or a `step` to every rung
            a.yaml:22:16: milestone has no `due` [E02]
              hint: write `due: 3d`, or a ladder
            a.yaml:22:141: due -3d is not between 1m and 400d [E05]
              hint: only a date of the profile is known ahead
            a.yaml:22:141: milestone has both `due` and `ladder` [E08]
            a.yaml:22:16: this milestone has no end [E08]
              hint: add `expect`, or a `step` to every rung
            a.yaml:22:76: unknown key `expct` in milestone [E01]
              milestone takes start expect due ladder steps; hint: did you mean `expect`?
            a.yaml:22:54: expect does not fit a milestone that starts on a date [E08]
              hint: leave it out, or name steps
            a.yaml:22:24: `account.renewal_dat` is nothing to start from [E06]
              start takes a filter, or a date of the profile, such as account.renewal_date; hint: did you mean `account.renewal_date`?
            a.yaml:22:24: start does not fit a whole number [E03]
            a.yaml:22:51: -401d is longer than 400d [E05]
            a.yaml:22:226: no step `tow` [E07]
              hint: did you mean `two`?
            a.yaml:22:16: this milestone has no end [E08]
              hint: add `expect`, or a `step` to every rung
            a.yaml:22:193: the rungs do not go from mild to bad [E09]
              all compare one way, each limit is harder to reach, no severity falls
            a.yaml:22:247: step `one` stands here twice [E11]
            a.yaml:22:217: field does not fit a number [E03]
            a.yaml:22:145: unknown key `gte` in milestone [E01]
              milestone takes start expect due ladder steps
        "#]],
    );
}

#[test]
fn cadences() {
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    let cadence = |rest: &str| format!("    cadence: {{topic: usage, {rest}}}\n    guard: {{stall: ignore}}");
    let edits = [
        cadence("bucket: weeks, consecutive: 3, lt: 2"),
        cadence("bucket: week, consecutive: 13, lt: 2"),
        cadence("bucket: week, lt: 2"),
        cadence("consecutive: 3, lt: 2"),
        cadence("bucket: week, consecutive: 3"),
        cadence("bucket: week, consecutive: 3, lt: 2, within: 7d"),
        cadence("bucket: week, consecutive: 3, lt: 2")
            .replace("stall: ignore", "min_current: 3, stall: ignore"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
            a.yaml:22:37: `weeks` is no bucket [E04]
              day week month; hint: did you mean `week`?
            a.yaml:22:56: 13 is not between 1 and 12 [E05]
            a.yaml:22:14: cadence has no `consecutive` [E02]
            a.yaml:22:14: cadence has no `bucket` [E02]
            a.yaml:22:14: cadence has 0 comparators [E08]
              it takes one of gt gte lt lte ladder
            a.yaml:22:66: unknown key `within` in cadence [E01]
              cadence takes topic where measure bucket consecutive gt gte lt lte ladder
            a.yaml:23:13: min_current does not fit a cadence [E08]
              it compares two windows; hint: raise the threshold instead
        "#]],
    );
}

#[test]
fn shares_and_means() {
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    let measure = |measure: &str, rest: &str| {
        format!("    count: {{topic: usage, measure: {{{measure}}}, within: 10m, gte: 30%}}{rest}")
    };
    let guard = "\n    guard: {min_events: 5}";
    let edits = [
        measure("mean: properties.feature", ""),
        measure("mean: properties.usd", ""),
        measure("sum: properties.used, distinct: usr_id", ""),
        measure("sum: user_id, distinct: user_id", ""),
        measure("sum: account.arr_minr", ""),
        measure("sum: account.tier, distinct: account.slug", ""),
        measure("share_of: usage", ""),
        measure("share_of: {topic: usge}", ""),
        measure("share_of: {where: {event: login.failed}}", ""),
        measure("sum: properties.dwell_ms", guard),
        measure("last: properties.used", guard),
        measure("share_of: {topic: usage}", "\n    guard: {min_events: 0}"),
        measure("share_of: {topic: usage}", "\n    guard: {significance: 0.01}"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
            a.yaml:22:43: mean does not fit a string [E03]
              hint: use `distinct`
            a.yaml:22:43: usage has no field `properties.usd` [E06]
              hint: did you mean `properties.used`? Own properties go into `vocabulary.fields`
            a.yaml:22:69: usage has no field `usr_id` [E06]
              hint: did you mean `user_id`?
            a.yaml:22:42: sum does not fit a string [E03]
              hint: use `distinct`
            a.yaml:22:42: `account.arr_minr` is nothing to measure [E06]
              hint: did you mean `account.arr_minor`?
            a.yaml:22:66: `account.slug` is nothing to measure [E06]
              hint: did you mean `account.plan`?
            a.yaml:22:47: expected a map for share_of, found usage [E03]
            a.yaml:22:55: `usge` is no topic [E04]
              usage error_log billing ticket account outcome health; hint: did you mean `usage`?
            a.yaml:22:47: share_of has no `topic` [E02]
            a.yaml:23:13: min_events does not fit a count on sum [E08]
              it counts what a share or mean is of; hint: use a higher threshold
            a.yaml:23:13: min_events does not fit a count on last [E08]
              it counts what a share or mean is of; hint: use a higher threshold
            a.yaml:23:25: 0 is not between 1 and 1000000000 [E05]
            a.yaml:23:13: significance does not fit a count on share_of [E08]
              it tests counts of two windows; hint: leave it out
        "#]],
    );
}

#[test]
fn new_values() {
    let event = |rest: &str| ("    event: {topic: billing", format!("    event: {{{rest}, topic: billing"));
    let edits = [
        event("new: declin_code"),
        event("learn: 3d"),
        event("new: decline_code, learn: 401d"),
        event("new: decline_code, learn: 3"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|(from, to)| (*from, to.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:70:18: billing has no field `declin_code` [E06]
          hint: did you mean `decline_code`?
        a.yaml:70:13: learn without new means nothing [E08]
          hint: name the field: `new: error_code`
        a.yaml:70:39: 401d is longer than 400d [E05]
        a.yaml:70:39: expected a duration, found 3 [E03]
          hint: write `3m` or `3s`
    "#]],
    );
}

#[test]
fn baselines() {
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    let compare = |rest: &str, guard: &str| {
        let guard = if guard.is_empty() { String::new() } else { format!("\n    guard: {{{guard}}}") };
        format!("    compare: {{topic: usage, against: baseline, {rest}}}{guard}")
    };
    let guard = "significance: 0.001";
    let edits = [
        compare("within: 1h, gte: 100%", ""),
        compare("within: 90m, gte: 100%", guard),
        compare("within: 2d, gte: 100%", guard),
        compare("within: 1h, lte: -50%", guard),
        compare("within: 1h, gte: 100%, as: difference", guard),
        compare("within: 1h, gte: 100%, measure: {distinct: user_id}", guard),
        compare("within: 1h, gte: 100%", "significance: 0.001, min_previous: 3"),
        compare("within: 1h, gte: 100%", "significance: 0.001, min_difference: 3, dispersion: own"),
        compare("within: 1h, gte: 100%", "significance: 0.001, min_days: 1"),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:22:38: a baseline needs the guard significance [E08]
          hint: write `guard: {significance: 0.0001}`
        a.yaml:22:56: a baseline is one of whole hours, up to 24 [E08]
          hint: write `within: 1h`
        a.yaml:22:56: a baseline is one of whole hours, up to 24 [E08]
          hint: write `within: 1h`
        a.yaml:22:65: a baseline tells only what is more than usual [E08]
          hint: use `gt` or `gte`
        a.yaml:22:75: as does not fit a baseline [E08]
          hint: leave it out: it is a change
        a.yaml:22:80: only a count has a baseline [E08]
          hint: leave `measure` out
        a.yaml:23:34: min_previous does not fit a compare with the baseline [E08]
          it looks at the window before; hint: use `min_current`
        a.yaml:23:34: min_difference does not fit a compare with the baseline [E08]
          it looks at the window before; hint: use `min_current`
        a.yaml:23:53: dispersion does not fit a compare with the baseline [E08]
          a baseline has its own dispersion; hint: leave it out
        a.yaml:23:44: a compare within hours counts no days [E08]
          hint: write `within` in whole days: `2d`
    "#]],
    );
}

#[test]
fn groups() {
    const COUNT: &str = "    count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}";
    let count = |name: &str| format!("{{name: {name}, count: {{topic: usage, within: 10m, gte: 3}}}}");
    let event = "{name: e, event: {topic: billing}}";
    let (a, b, c) = (count("a"), count("b"), count("c"));
    let edits = [
        format!("    all: [{a}, {{any: [{b}, {c}]}}]"),
        format!("    all: [{a}, {{name: a, any: [{b}, {c}]}}]"),
        format!("    all: [{a}, {{name: g, any: [{b}, {a}]}}]"),
        format!("    all: [{a}, {{name: g, any: [{b}, {{name: h, all: [{b}, {c}]}}]}}]"),
        format!("    all: [{a}, {{name: g, any: [{b}, {event}]}}]"),
        format!("    any: [{a}, {{name: g, all: [{b}, {event}]}}]"),
        format!("    any: [{a}, {{name: g, for: 10, all: [{b}, {c}]}}]"),
        format!("    any: [{a}, {{name: g, guard: {{min_days: 2}}, all: [{b}, {c}]}}]"),
        format!("    guard: {{min_age: 1}}\n    any: [{a}, {b}]"),
        format!("    any: [{a}, {{name: g, all: [{b}]}}]"),
        format!(
            "    any: [{}, {{name: g, all: [{}]}}]",
            [a, b, c, count("d"), count("e")].join(", "),
            [count("f"), count("g2"), count("h"), count("i")].join(", ")
        ),
    ];
    let edits: Vec<(&str, &str)> = edits.iter().map(|edit| (COUNT, edit.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:22:66: condition has no `name` [E02]
        a.yaml:22:73: condition `a` stands here twice [E11]
        a.yaml:25:14: no variable `value` here [E06]
        a.yaml:22:144: condition `a` stands here twice [E11]
        a.yaml:25:14: no variable `value` here [E06]
        a.yaml:22:152: all and any are nested once [E08]
          hint: move its conditions out of it
        a.yaml:22:137: an event does not stand inside all [E08]
          hint: use count with `gte: 1`
        a.yaml:25:14: no variable `value` here [E06]
        a.yaml:22:137: an event does not stand inside all [E08]
          hint: use count with `gte: 1`
        a.yaml:25:14: no variable `value` here [E06]
        a.yaml:22:81: expected a duration, found 10 [E03]
          hint: write `10m` or `10s`
        a.yaml:25:14: no variable `value` here [E06]
        a.yaml:22:84: min_days does not fit all and any [E08]
          hint: give it to the conditions inside
        a.yaml:25:14: no variable `value` here [E06]
        a.yaml:22:22: expected a duration, found 1 [E03]
          hint: write `1m` or `1s`
        a.yaml:26:14: no variable `value` here [E06]
        a.yaml:22:81: all and any take 2 to 8 conditions, this has 1 [E05]
        a.yaml:25:14: no variable `value` here [E06]
        a.yaml:22:10: a rule has up to 8 conditions, this has 9 [E05]
        a.yaml:25:14: no variable `value` here [E06]
    "#]],
    );
}
