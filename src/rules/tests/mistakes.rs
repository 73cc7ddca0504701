//! One golden answer for each class of mistakes.

use expect_test::expect;

use super::{BASE, told};
use crate::rules::{Options, load};

#[test]
fn unknown_keys() {
    told(
        &[
            ("within: 10m", "wihtin: 10m"),
            ("owner: role:support", "ownr: role:support"),
            ("- id: burst", "- idd: burst"),
            ("vocabulary:", "vocabluary:"),
            ("min_previous: 12", "min_previuos: 12"),
            ("{gte: 2}", "{gtee: 2}"),
        ],
        &expect![[r#"
            a.yaml:22:12: count has no `within` [E02]
            a.yaml:22:57: unknown key `wihtin` in count [E01]
              count takes topic where measure within gt gte lt lte ladder reset; hint: did you mean `within`?
            a.yaml:13:3: active rule `burst` has no owner [E02]
              hint: name one, or set `status: shadow`
            a.yaml:26:5: unknown key `ownr` in alert [E01]
              alert takes summary audience owner inform playbook template channels next_step room draft cause update_every respond_within escalate attach; hint: did you mean `owner`?
            a.yaml:13:3: unknown key `idd` in rule [E01]
              rule takes id title why status on_activate category severity severity_by family rank entity timezone scope policy when clear expires_after dedup lookup affects inhibits collapse_to alert budget tests; hint: did you mean `id`?
            a.yaml:13:3: rule has no `id` [E02]
            a.yaml:5:1: unknown key `vocabluary` in rule set [E01]
              rule set takes version name defaults vocabulary lookups health rules; hint: did you mean `vocabulary`?
            a.yaml:51:15: unknown key `min_previuos` in guard [E01]
              guard takes min_current min_previous min_difference min_events min_days min_accounts significance dispersion usual_gap min_age stall; hint: did you mean `min_previous`?
            a.yaml:20:26: unknown key `gtee` in a test [E01]
              a test takes not gt gte lt lte exists starts_with; hint: did you mean `gte`?
        "#]],
    );
}

#[test]
fn missing_keys() {
    told(
        &[
            ("    playbook: help\n", ""),
            ("  expires_after: 2h\n", ""),
            ("    next_step: {text: Help}\n", ""),
            (", for: 7d", ""),
            ("name: base\n", ""),
            ("  clear: {event: {topic: billing, where: {type: invoice.paid}}, match: [invoice_id]}\n", ""),
            ("    - name: pricing\n      compare:", "    - compare:"),
            ("topic: usage, where: {event: login.failed}, ", ""),
        ],
        &expect![[r#"
            a.yaml:13:3: active rule `burst` has no playbook [E02]
              hint: name one, or set `status: shadow`
            a.yaml:13:3: active rule `burst` has neither clear nor expires_after [E02]
              hint: name one, or set `status: shadow`
            a.yaml:13:3: active rule `burst` has none of next_step, room, draft [E02]
              hint: name one, or set `status: shadow`
            a.yaml:37:14: absence has no `for` [E02]
              hint: write `for: 7d`, or a ladder
            a.yaml:1:1: rule set has no `name` [E02]
            a.yaml:62:3: rule `declined` watches an event and never ends [E02]
              hint: add `clear` or `expires_after`
            a.yaml:52:7: condition has no `name` [E02]
            a.yaml:22:12: count has no `topic` [E02]
        "#]],
    );
}

#[test]
fn wrong_types() {
    told(
        &[("within: 10m", "within: 10")],
        &expect![[r#"
            a.yaml:22:65: expected a duration, found 10 [E03]
              hint: write `10m` or `10s`
        "#]],
    );
    told(
        &[
            ("gte: 3}", "gte: many}"),
            ("{event: login.failed}", "{event: 5}"),
            ("{gte: 2}", "{starts_with: a}"),
            ("{event: login.failed}", "{event: {gt: 3}}"),
            ("{sum: properties.dwell_ms}", "{sum: properties.page}"),
            ("owner: role:support", "owner: support"),
            ("{{user_id}} failed", "{{user_id failed"),
            ("- id: burst", "- id: Burst!"),
            ("channels: [email]", "channels: email"),
        ],
        &expect![[r#"
            a.yaml:22:75: expected a number or a share, found many [E03]
            a.yaml:22:42: expected a string, found 5 [E03]
              hint: quote it
            a.yaml:20:39: starts_with does not fit a whole number [E03]
            a.yaml:22:47: a comparison does not fit a string [E03]
            a.yaml:55:24: sum does not fit a string [E03]
              hint: use `distinct`
            a.yaml:26:12: expected a person, found support [E03]
              hint: write `role:NAME`, `account.owners.csm` or `LOOKUP.column`
            a.yaml:25:14: a `{{` has no `}}` [E03]
            a.yaml:13:7: `Burst!` is no id [E03]
              an id is a small letter or digit, then up to 63 small letters, digits, `_` and `-`
            a.yaml:28:15: expected a list for channels, found email [E03]
        "#]],
    );
}

#[test]
fn not_one_of() {
    told(
        &[
            ("family: access\n  entity: user", "family: access\n  entity: usr"),
            ("status: active\n  severity: warning", "status: active\n  severity: high"),
            ("status: active", "status: live"),
            ("topic: usage, where: {event: login.failed}", "topic: usages, where: {event: login.failed}"),
            ("channels: [email]", "channels: [mail]"),
            ("timezone: account", "timezone: Europe/Pari"),
            ("version: 1", "version: 2"),
            ("{event: login.failed}", "{event: login.failed, platform: webb}"),
            ("stall: ignore}\n  clear", "stall: ignored}\n  clear"),
        ],
        &expect![[r#"
            a.yaml:19:11: `usr` is no entity [E04]
              account user ticket platform integration issue_key feature_area root_cause error_code service region limit workflow feature incident; hint: did you mean `user`?
            a.yaml:17:13: `high` is no severity [E04]
              info warning error critical; hint: did you mean `critical`?
            a.yaml:16:11: `live` is no status [E04]
              draft shadow active retired
            a.yaml:22:20: `usages` is no topic [E04]
              usage error_log billing ticket account outcome health; hint: did you mean `usage`?
            a.yaml:28:16: `mail` is no channel [E04]
              in_app email sms phone pager slack slack_dm csm_task webhook; hint: did you mean `email`?
            a.yaml:4:13: `Europe/Pari` is no time zone [E04]
              account, user or an IANA zone such as Europe/Paris
            a.yaml:1:10: version 2 is not known [E04]
              hint: write `version: 1`
            a.yaml:22:66: `webb` is no value of this field [E04]
              web ios android api; hint: did you mean `web`?
            a.yaml:38:36: `ignored` is no way to treat stalls [E04]
              ignore; hint: did you mean `ignore`?
        "#]],
    );
}

#[test]
fn out_of_bounds() {
    let long = format!("summary: \"{}", "x".repeat(600));
    told(
        &[
            ("within: 10m", "within: 36h"),
            ("within: 30d", "within: 32d"),
            ("within: 10m", "within: 64d"),
            ("within: 10m", "within: 10s"),
            ("for: 7d}\n    guard", "for: 401d}\n    guard"),
            ("gte: 3}", "gte: 0}"),
            ("min_days: 2", "min_days: 99"),
            ("summary: \"{{user_id}}", &long),
        ],
        &expect![[r#"
            a.yaml:22:65: within 36h is neither <= 24h nor whole days [E05]
              hint: write `2d`
            a.yaml:50:72: within 32d is not between 1m and 31d [E05]
            a.yaml:22:65: within 64d is not between 1m and 63d [E05]
            a.yaml:22:65: within 10s is not between 1m and 63d [E05]
            a.yaml:37:67: 401d is longer than 400d [E05]
            a.yaml:22:12: this threshold is met by no event at all [E05]
            a.yaml:59:43: 99 is not between 1 and 63 [E05]
            a.yaml:25:14: a template has at most 512 bytes, this has 623 [E05]
        "#]],
    );
}

#[test]
fn unknown_names() {
    told(
        &[
            ("properties.dwell_ms", "properties.dwell"),
            ("{event: login.failed}", "{type: login.failed}"),
            ("account.tier", "account.teir"),
            ("{{user_id}} failed", "{{usr_id}} failed"),
            ("{{elapsed}}", "{{session_id}}"),
            ("code.kb_ref", "code.kb"),
            ("sessions.value: {gt", "session.value: {gt"),
            ("dedup: [invoice_id]", "dedup: [invoice]"),
            ("properties.mood", "mood"),
            ("{event: login.failed}", "{event: login.fialed}"),
        ],
        &expect![[r#"
            a.yaml:55:24: usage has no field `properties.dwell` [E06]
              hint: did you mean `properties.dwell_ms`? Own properties go into `vocabulary.fields`
            a.yaml:22:35: usage has no field `type` [E06]
              hint: did you mean `event`?
            a.yaml:20:11: a scope has no field `account.teir` here [E06]
              hint: did you mean `account.tier`?
            a.yaml:25:14: no variable `usr_id` here [E06]
              hint: did you mean `user_id`?
            a.yaml:40:20: no variable `session_id` here [E06]
              these conditions have no firing event, so no fields of it
            a.yaml:74:20: no variable `code.kb` here [E06]
            a.yaml:60:16: no output `session.value` here [E06]
              met sessions.met sessions.value sessions.threshold sessions.onset sessions.current sessions.previous sessions.expected sessions.p sessions.accounts pricing.met pricing.value pricing.threshold pricing.onset pricing.current pricing.previous pricing.expected pricing.p pricing.accounts account.*; hint: did you mean `sessions.value`?
            a.yaml:71:11: billing has no field `invoice` [E06]
              hint: did you mean `invoice_id`?
            a.yaml:6:12: `mood` is no property [E06]
              hint: write `properties.mood`
            {event: login.fialed}: no mistake, 1 warnings
        "#]],
    );
}

#[test]
fn unknown_references() {
    told(
        &[
            ("table: codes", "table: code"),
            ("{gte: 2}", "\"@pilot\""),
            ("E1: {kb_ref: KB-1, owner: role:eng}", "E1: {kb_ref: KB-1}"),
            ("  - name: opens", "  - name: opens\n    with: [brust]"),
        ],
        &expect![[r#"
            a.yaml:73:26: no lookup table `code` [E07]
              hint: did you mean `codes` (a.yaml:8)?
            a.yaml:74:20: no variable `code.kb_ref` here [E06]
            a.yaml:20:25: no list `pilot` [E07]
              hint: did you mean `pilots`?
            a.yaml:10:5: row `*` has other columns than the first [E07]
              table codes has kb_ref
            a.yaml:76:5: no rule `brust` [E07]
              hint: did you mean `burst`?
        "#]],
    );
}

#[test]
fn what_does_not_combine() {
    told(
        &[
            ("min_current: 60s, min_days: 2", "significance: 0.01"),
            ("gte: 3}", "gte: 3, lt: 5}"),
            ("usual_gap: 1.0", "min_previous: 3"),
            ("within: 10m, gte: 3}", "within: 10m, gte: 3}\n    guard: {stall: ignore}"),
            ("  expires_after: 2h", "  expires_after: 2h\n  dedup: [user_id]"),
            ("{gte: 2}", "{gte: 2, exists: true}"),
            (
                "    event: {topic: billing",
                "    count: {topic: billing, within: 1h, gte: 1}\n    event: {topic: billing",
            ),
            ("min_previous: 12, ", "dispersion: own, "),
            ("{if: {met: false}}", "{if: {met: false}, match: [user_id]}"),
            ("topic: usage, where: {event: login.failed}", "topic: account"),
            ("{account.tier: {gte: 2}}", "[{account.tier: 2}, {platform: web}]"),
        ],
        &expect![[r#"
            a.yaml:59:15: significance does not fit a compare on sum [E08]
              it tests counts; hint: use `min_current`, `min_days`
            a.yaml:22:12: count has 2 comparators [E08]
              it takes one of gt gte lt lte ladder
            a.yaml:38:13: min_previous does not fit an absence [E08]
              it looks at what was before; hint: raise the threshold instead
            a.yaml:23:13: stall does not fit a count [E08]
              a stalled source hides only what is missing; hint: leave it out
            a.yaml:24:10: dedup does not fit conditions other than event [E08]
              hint: make the field part of the entity
            a.yaml:20:25: a test has one operator, this has 2 [E08]
              only gt gte lt lte stand together
            a.yaml:70:5: a condition has one detector, this has 2 [E08]
              event count absence cadence compare level milestone score sequence all any
            a.yaml:51:14: dispersion without significance means nothing [E08]
            a.yaml:39:29: match stands beside event, not beside if [E08]
            topic: account: no mistake, 0 warnings
            a.yaml:20:10: alternatives of a scope mix profiles and event fields [E08]
              hint: write two rules, or put the event field into `where`
        "#]],
    );
}

#[test]
fn policies() {
    let rule = |policy: &str| format!("  expires_after: 2h\n  policy: {policy}");
    let own: Vec<String> = [
        "{cooldwon: 1h}",
        "{cooldown: 2bd}",
        "{cooldown: 401d}",
        "{renotify: always}",
        "{holdout: always}",
        "{holdout: {group: One, percent: 10%}}",
        "{holdout: {group: one, percent: 110%}}",
        "{holdout: {group: one, percent: 0.001%}}",
        "{holdout: {group: one}}",
        "{contact_budget: {max: 2, per: 7d}}",
        "{contact_hours: Mon-Fri 09:00-17:00}",
    ]
    .into_iter()
    .map(rule)
    .collect();
    let edits: Vec<(&str, &str)> = own.iter().map(|own| ("  expires_after: 2h", own.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:24:12: unknown key `cooldwon` in policy [E01]
          policy takes cooldown renotify holdout contact_budget sequence_gap contact_hours; hint: did you mean `cooldown`?
        a.yaml:24:22: business days do not fit here, found 2bd [E03]
          hint: `respond_within` and `next_step.due` take them; write days of 24 hours: `1d`
        a.yaml:24:22: 401d is longer than 400d [E05]
        a.yaml:24:22: `always` is no way to renotify [E04]
          worse never
        a.yaml:24:21: expected `never` or {group, percent}, found always [E03]
        a.yaml:24:29: `One` is no id [E03]
          an id is a small letter or digit, then up to 63 small letters, digits, `_` and `-`
        a.yaml:24:43: 110% is no share from 0% to 100% in steps of 0.01% [E05]
          hint: write it as `10%`
        a.yaml:24:43: 0.001% is no share from 0% to 100% in steps of 0.01% [E05]
          hint: write it as `10%`
        a.yaml:24:21: holdout has no `percent` [E02]
        a.yaml:24:28: a rule can't set contact_budget for itself [E08]
          all rules share it; hint: set it in `defaults.policy`, or write `contact_budget: ignore` here
        a.yaml:24:27: a rule can't set contact_hours for itself [E08]
          all rules share it; hint: set it in `defaults.policy`, or write `contact_hours: ignore` here
    "#]],
    );
    let defaults = |policy: &str| format!("  timezone: account\n  policy: {policy}");
    let own: Vec<String> = [
        "{contact_hours: Mon-Fri 9-17}",
        "{contact_hours: \"Fri 22:00-06:00\"}",
        "{contact_budget: {max: 100, per: 7d}}",
        "{contact_budget: {max: 2}}",
        "{sequence_gap: soon}",
    ]
    .into_iter()
    .map(defaults)
    .collect();
    let edits: Vec<(&str, &str)> = own.iter().map(|own| ("  timezone: account", own.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:5:27: expected hours, found Mon-Fri 9-17 [E03]
          hint: write them as `Mon-Fri 09:00-17:00`, several joined by commas
        a.yaml:5:27: expected hours, found Fri 22:00-06:00 [E03]
          hint: write them as `Mon-Fri 09:00-17:00`, several joined by commas
        a.yaml:5:34: 100 is not between 0 and 64 [E05]
        a.yaml:5:28: contact_budget has no `per` [E02]
        a.yaml:5:26: expected a duration, found soon [E03]
          hint: write it as `90s`, `15m`, `2h`, `3d`, `2w` or `1d12h`
    "#]],
    );
}

#[test]
fn escalations_inhibitions_budgets() {
    let many = (1..10).map(|n| format!("{{after: {n}h}}")).collect::<Vec<_>>().join(", ");
    let many = format!("    owner: role:support\n    escalate: [{many}]");
    told(
        &[
            ("    owner: role:support", "    owner: role:support\n    escalate: [{severity: error}]"),
            ("    owner: role:support", "    owner: role:support\n    escalate: [{after: 2h}, {after: 1h}]"),
            ("    owner: role:support", &many),
            (
                "    owner: role:support",
                "    owner: role:support\n    escalate: [{after: 1h, if: {teir: 3}}]",
            ),
            ("    owner: role:support", "    owner: role:support\n    escalate: [{after: 1h, owner: boss}]"),
            (
                "    owner: role:support",
                "    owner: role:support\n    escalate: [{after: 1h, audience: all}]",
            ),
            ("    owner: role:support", "    owner: role:support\n    respond_within: 0bd"),
            ("    owner: role:support", "    owner: role:support\n    update_every: 1bd"),
            ("  expires_after: 2h", "  expires_after: 2h\n  inhibits: [{family: access}]"),
            ("  expires_after: 2h", "  expires_after: 2h\n  inhibits: [{family: x, if: {account.teir: 3}}]"),
            ("  expires_after: 2h", "  expires_after: 2h\n  inhibits: [{if: {account.tier: 3}}]"),
            ("  expires_after: 2h", "  expires_after: 2h\n  inhibits: [{family: x, match: [integratoin]}]"),
            ("  expires_after: 2h", "  expires_after: 2h\n  inhibits: [{family: x, match: integration}]"),
            ("  expires_after: 2h", "  expires_after: 2h\n  budget: {}"),
            ("  expires_after: 2h", "  expires_after: 2h\n  budget: {min: 3, max: 2}"),
            ("  expires_after: 2h", "  expires_after: 2h\n  budget: {max: -1}"),
        ],
        &expect![[r#"
            a.yaml:27:16: escalate has no `after` [E02]
            a.yaml:27:15: the steps of escalate are not in the order of `after` [E09]
              hint: write the earliest first
            a.yaml:27:15: escalate has at most 8 steps, this has 9 [E05]
            a.yaml:27:33: no variable `teir` here [E06]
            a.yaml:27:35: expected a person, found boss [E03]
              hint: write `role:NAME`, `account.owners.csm` or `LOOKUP.column`
            a.yaml:27:38: `all` is no audience [E04]
              customer internal
            a.yaml:27:21: 0bd is not between 1bd and 400bd [E05]
            a.yaml:27:19: business days do not fit here, found 1bd [E03]
              hint: `respond_within` and `next_step.due` take them; write days of 24 hours: `1d`
            a.yaml:24:23: a family does not inhibit itself [E08]
              hint: rules of one family share one alert already
            a.yaml:24:31: inhibits has no field `account.teir` here [E06]
              it reads what is held back: fields of events, account.*, user.*; hint: did you mean `account.tier`?
            a.yaml:24:14: inhibits has no `family` [E02]
            a.yaml:24:34: no events have a field `integratoin` [E06]
              hint: did you mean `integration`?
            a.yaml:24:33: expected a list for match, found integration [E03]
            a.yaml:24:11: budget has neither `min` nor `max` [E02]
            a.yaml:24:11: the budget's min is above its max [E09]
            a.yaml:24:17: -1 is negative [E05]
        "#]],
    );
}

#[test]
fn priorities() {
    let edit = |priority: &str| format!("  timezone: account\n  priority: {priority}");
    let own: Vec<String> = [
        "{arr_tier: account.name}",
        "{bands: [{from: 12, to: 15, action: a}, {from: 8, to: 11, action: b}, {from: 3, to: 6, action: c}]}",
        "{bands: [{from: 3, to: 10, action: a}, {from: 9, to: 15, action: b}]}",
        "{bands: [{from: 3, to: 6, action: a}, {from: 9, to: 15, action: b}]}",
        "{bands: []}",
        "{bands: [{from: 4, to: 15, action: a}]}",
        "{bands: [{from: 3, to: 14, action: a}]}",
        "{bands: [{from: 9, to: 3, action: a}]}",
        "{bands: [{from: 3, to: 16, action: a}]}",
        "{bands: [{from: 3, to: 15}]}",
    ]
    .into_iter()
    .map(edit)
    .collect();
    let edits: Vec<(&str, &str)> = own.iter().map(|own| ("  timezone: account", own.as_str())).collect();
    told(
        &edits,
        &expect![[r#"
        a.yaml:5:24: `account.name` is no whole number of the profile [E06]
          hint: write `account.tier`, which is 1 to 5
        a.yaml:5:83: priority bands leave 7 open [E09]
          8..11 is followed by 3..6; hint: write `{from: 3, to: 7}`
        a.yaml:5:52: priority bands cover 9..10 twice [E09]
          3..10 overlaps 9..15
        a.yaml:5:51: priority bands leave 7..8 open [E09]
          3..6 is followed by 9..15; hint: write `{from: 7, to: 15}`
        a.yaml:5:21: priority bands leave 3..15 open [E09]
          hint: write `{from: 3, to: 15, action: …}`
        a.yaml:5:22: priority bands leave 3 open [E09]
          the lowest is 4..15; hint: write `{from: 3, to: 15}`
        a.yaml:5:22: priority bands leave 15 open [E09]
          the highest is 3..14; hint: write `{from: 3, to: 15}`
        a.yaml:5:22: the band begins at 9 and ends at 3 [E09]
        a.yaml:5:36: 16 is not between 3 and 15 [E05]
        a.yaml:5:22: bands has no `action` [E02]
    "#]],
    );
}

/// The messages that stand in this file, without their places.
#[test]
fn more_than_a_hundred_mistakes_have_their_message_here() {
    let text = include_str!("mistakes.rs");
    let mut messages: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().split_once(".yaml:"))
        .filter_map(|(_, rest)| rest.splitn(3, ':').nth(2))
        .filter(|message| message.ends_with(']') && message.contains("[E"))
        .collect();
    messages.sort_unstable();
    messages.dedup();
    assert!(messages.len() > 100, "{}", messages.len());
}

#[test]
fn ladders_out_of_order() {
    told(
        &[
            ("gte: 3}", "ladder: [{gte: 5, severity: info}, {gte: 3, severity: error}]}"),
            ("gte: 3}", "ladder: [{gte: 3, severity: error}, {gte: 5, severity: info}]}"),
            ("gte: 3}", "ladder: []}"),
        ],
        &expect![[r#"
            a.yaml:22:78: the rungs do not go from mild to bad [E09]
              all compare one way, each limit is harder to reach, no severity falls
            a.yaml:22:78: the rungs do not go from mild to bad [E09]
              all compare one way, each limit is harder to reach, no severity falls
            a.yaml:22:78: a ladder has 1 to 8 rungs, this has 0 [E09]
        "#]],
    );
}

#[test]
fn ambiguous_yaml_and_things_that_stand_twice() {
    told(
        &[
            ("why: because\n  status: active", "why: on\n  status: active"),
            ("- id: silence", "- id: burst"),
            ("    - name: pricing", "    - name: sessions"),
            ("  pilots: [acme, globex]", "  codes: [acme]"),
        ],
        &expect![[r#"
            a.yaml:15:8: `on` may be read as true [E10]
              hint: quote it
            a.yaml:30:3: rule `burst` stands here twice [E11]
            a.yaml:52:13: condition `sessions` stands here twice [E11]
            a.yaml:11:3: key `codes` stands here twice [E11]
        "#]],
    );
    let two =
        load(&[("a.yaml", BASE), ("b.yaml", "version: 1\nname: base\ndefaults: {}\n")], Options::default());
    expect![[r#"
        b.yaml:2:7: two files have the name `base` [E11]
        b.yaml:3:1: defaults stand in two files [E11]
          the first are at a.yaml:3:1
    "#]]
    .assert_eq(&two.unwrap_err().to_string());
}

#[test]
fn what_this_build_lacks_is_refused_by_name() {
    told(
        &[("given: [{at: 0m, b", "given: [{at: 0m, control: {}}, {at: 0m, b")],
        &expect![[r#"
            a.yaml:77:22: this build has no `control` yet [E08]
              hint: leave the test out
        "#]],
    );
}

#[test]
fn a_stall_is_a_share_over_a_time() {
    for (stall, expected) in [
        ("{volume_below: 150%}", "a.yaml:4:25: 150% is no share of what is usual [E05]"),
        ("{volume_below: -5%}", "-5% is negative [E05]"),
        ("{for: 30s}", "30s is too short or too long to tell a stall [E05]"),
        ("{for: 2d}", "2d is too short or too long to tell a stall [E05]"),
        ("{fro: 1h}", "unknown key `fro` in stall [E01]"),
    ] {
        let text = BASE.replace("  timezone: account", &format!("  stall: {stall}"));
        let said = load(&[("a.yaml", &text)], Options::default()).unwrap_err().to_string();
        assert!(said.contains(expected), "{stall}: {said}");
    }
    let text = BASE.replace("  timezone: account", "  stall: {volume_below: 37.5%, for: 2h}");
    let stall = load(&[("a.yaml", &text)], Options::default()).unwrap().program.stall;
    assert_eq!((stall.below, stall.for_ms), ((375, 1000), 7_200_000));
}

#[test]
fn a_sentiment_names_a_score_and_its_steps() {
    for (sentiment, expected) in [
        ("{score: burst.count, upto: [1, 2, 3, 4]}", "`burst.count` is no score [E08]"),
        ("{score: burst.score, upto: [1, 2, 3, 4]}", "`burst` has no condition `score` [E08]"),
        ("{score: brust.count, upto: [1, 2, 3, 4]}", "no rule `brust` [E07]"),
        ("{score: burst, upto: [1, 2, 3, 4]}", "`burst` names no condition [E03]"),
        ("{score: burst.count, upto: [1, 2, 4, 4]}", "each above the one before [E09]"),
        ("{score: burst.count, upto: [1, 2, 3]}", "`upto` is four numbers"),
        ("{score: burst.count}", "has no `upto` [E02]"),
    ] {
        let text = BASE.replace("  timezone: account", &format!("  priority: {{sentiment: {sentiment}}}"));
        let said = load(&[("a.yaml", &text)], Options::default()).unwrap_err().to_string();
        assert!(said.contains(expected), "{sentiment}: {said}");
    }
}

#[test]
fn what_no_row_across_accounts_sees_is_refused() {
    let rule = "version: 1\nname: a\nrules:\n- {id: r, title: t, why: w, status: shadow, severity: info, family: f, \
                entity: ENTITY, alert: {summary: s}, expires_after: 1d,\n   when: WHEN}\n";
    let when = [
        ("platform", "{event: {topic: billing, where: {type: invoice.paid}}}"),
        ("region", "{event: {topic: error_log, where: {event: incident.opened}}}"),
        ("platform", "{count: {topic: billing, measure: {mean: amount_minor}, within: 1h, gte: 1}}"),
        ("integration", "{count: {topic: error_log, measure: {distinct: user_id}, within: 1h, gte: 1}}"),
        ("platform", "{level: {topic: billing, within: 1h, relative_to: account.arr_minor, gte: 1}}"),
        ("platform", "{absence: {topic: billing, for: 1h, arm: account.created_at}, guard: {stall: ignore}}"),
        ("platform", "{count: {topic: billing, within: 1h, gte: 1, reset: {topic: billing}}}"),
        ("platform", "{level: {topic: billing, within: 1h, gte: 5}, guard: {min_accounts: 2}}"),
        ("platform", "{absence: {topic: billing, for: 1h}, guard: {stall: ignore, min_accounts: 2}}"),
        ("platform", "{count: {topic: billing, within: 1h, gte: 5}, guard: {min_accounts: 0}}"),
        ("platform", "{count: {topic: billing, within: 1h, gte: 5}, guard: {min_accounts: 16385}}"),
        ("account", "{count: {topic: billing, within: 1h, gte: 5}, guard: {min_accounts: 2}}"),
        (
            "[account, region]",
            "{compare: {topic: error_log, within: 7d, against: previous, gte: 1}, guard: {min_accounts: 3}}",
        ),
    ];
    let mut told = String::new();
    for (entity, when) in when {
        let text = rule.replace("ENTITY", entity).replace("WHEN", when);
        told += &load(&[("a.yaml", &text)], Options::default()).unwrap_err().to_string();
    }
    expect![[r#"
        a.yaml:5:10: an event is not seen here: events of billing belong to accounts [E08]
          hint: use count with `gte: 1`
        a.yaml:5:10: an event is not seen here: no event without account is of one region [E08]
          hint: use count with `gte: 1`
        a.yaml:5:10: this measure does not fit an entity across accounts [E08]
          it takes count, sum, share_of, distinct: account_id
        a.yaml:5:10: this measure does not fit an entity across accounts [E08]
          it takes count, sum, share_of, distinct: account_id
        a.yaml:5:10: a row across accounts has no account to be a share of [E08]
          hint: write the limit as a number
        a.yaml:5:10: a row across accounts has no account.created_at [E08]
          hint: leave `arm` out
        a.yaml:5:10: reset is not seen here: events of billing belong to accounts [E08]
          hint: use count with `gte: 1`
        a.yaml:5:64: min_accounts does not fit a level [E08]
          it counts accounts with matches; hint: leave it out
        a.yaml:5:70: min_accounts does not fit an absence [E08]
          it counts accounts with matches; hint: leave it out
        a.yaml:5:78: 0 is not between 1 and 16384 [E05]
        a.yaml:5:78: 16385 is not between 1 and 16384 [E05]
        a.yaml:5:78: a row of one account never has matches of several [E08]
          hint: leave it out, or take an entity across accounts: `entity: platform`
        a.yaml:5:101: a row of one account never has matches of several [E08]
          hint: leave it out, or take an entity across accounts: `entity: platform`
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_window_of_hours_has_no_third_day() {
    let guarded = "within: 10m, gte: 3}\n    guard: {min_days: 3}";
    told(
        &[("within: 10m, gte: 3}", guarded)],
        &expect![[r#"
            a.yaml:23:23: a window of up to 24h touches two local days at most [E08]
              hint: write `within` in whole days: `2d`
        "#]],
    );
}
