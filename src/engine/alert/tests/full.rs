//! A revision with every field that this build fills, in both encodings.

use apache_avro::Schema;

use super::example::{evidence, occasion, of, profile, quiet_exit, seen, template, words};
use super::{part, text};
use crate::engine::alert::{
    ALERT_BYTES_MAX, Action, Alert, DecisionInput, EntityRef, Evidence, Occasion, Reason, Verdict, build,
    decision,
};
use crate::event::record::{ALERT_SCHEMA, DECISION_SCHEMA, decoded, from_json, to_avro, to_json};
use crate::event::{Field, Value};
use crate::rules::program::{
    Attach, CustomerAction, Due, FilterIx, Literal, Lookup, Path, Person, Program, RuleIx, Table, TableIx,
    Variable, Within,
};

fn literal(text: &str) -> Vec<Literal> {
    vec![Literal::Text(text.into())]
}

/// `quiet-exit` with everything that a rule can say.
fn program() -> Program {
    let mut program = quiet_exit();
    let rule = &mut program.rules[0];
    rule.entity = part("integration", Field::Integration);
    rule.lookups = vec![Lookup {
        name: "fix".into(),
        table: TableIx(0),
        by: vec![Variable::EntityPart],
        required: true,
    }];
    let block = &mut rule.alert;
    block.customer = true;
    block.owner = Some(Person::Lookup(0, "owner".into()));
    block.inform = vec![Person::Owner(Field::OwnersCsm, "csm".into()), Person::Role("am".into())];
    block.playbook = Some(template(vec![words("integration-down/"), of(Path::Field(Field::ErrorCode))]));
    block.template = Some(template(vec![words("t1")]));
    block.customer_action = CustomerAction::Required;
    block.next_step_due = Some(Due::After(Within::Time(3_600_000)));
    block.draft = Some((template(vec![words("known-issue")]), Some(template(vec![words("Reconnect")]))));
    block.cause = Some("our_side".into());
    block.update_every_ms = Some(86_400_000);
    block.attach = vec![Attach {
        name: "codes".into(),
        key: 1,
        filter: FilterIx(0),
        field: Path::Field(Field::ErrorCode),
        max: 5,
    }];
    let fix = vec![("kb_ref".into(), literal("KB-104")), ("owner".into(), literal("account.owners.csm"))];
    let checklist = vec![literal("One").remove(0), literal("Two").remove(0)];
    let playbook = vec![("checklist".into(), checklist), ("url".into(), literal("https://wiki.example/p"))];
    program.tables = vec![
        Table { name: "fixes".into(), rows: vec![("*".into(), fix)] },
        Table { name: "playbooks".into(), rows: vec![("integration-down".into(), playbook)] },
    ];
    program.rules.push(super::rule("zz-other", Vec::new()));
    program
}

fn full_profile() -> Vec<(Field, Value<'static>)> {
    let mut profile = profile();
    profile.extend([
        (Field::Plan, text("gold")),
        (Field::Segment, text("smb")),
        (Field::Lifecycle, text("renewal")),
        (Field::DoNotContact, Value::Bool(true)),
    ]);
    profile.sort_by_key(|(field, _)| *field);
    profile
}

fn with_full<T>(then: impl FnOnce(&Occasion<'_>) -> T) -> T {
    let (program, profile, observed) = (program(), full_profile(), seen());
    let captured = [(Path::Field(Field::ErrorCode), text("E_AUTH"))];
    let attach = [vec![text("E_AUTH"), text("E_NET")]];
    let evidence: Vec<Evidence> = evidence().into_iter().cycle().take(12).collect();
    then(&Occasion {
        members: &[RuleIx(0), RuleIx(1)],
        supersedes: &[RuleIx(1)],
        action: Action::Escalated,
        reason: Some("severity"),
        entity: EntityRef { account: Some("acme"), part: Some("sales/force") },
        captured: &captured,
        attach: &attach,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ..occasion(&program, "id", &profile, &observed, &evidence)
    })
}

fn full() -> Alert {
    with_full(build)
}

/// The text of a value at a path.
fn shown(value: &Value<'_>, path: &[&str]) -> String {
    match path.split_first() {
        None => to_json(value),
        Some((head, rest)) => value.entry(head).map_or_else(|| "-".to_owned(), |below| shown(below, rest)),
    }
}

#[test]
fn everything_a_rule_says_is_there() {
    let data = full().data;
    for (path, expected) in [
        (&["dedup_key"] as &[&str], r#""engagement-decline/account+integration/acme/sales%2Fforce""#),
        (&["members"], r#"["quiet-exit","zz-other"]"#),
        (&["supersedes"], r#"["zz-other"]"#),
        (&["cause"], r#""our_side""#),
        (
            &["entity"],
            r#"{"type":"account+integration","id":"acme/sales%2Fforce","account_id":"acme","keys":{"integration":"sales/force"}}"#,
        ),
        (&["account", "lifecycle"], r#""renewal""#),
        (&["attach"], r#"{"codes":["E_AUTH","E_NET"]}"#),
        (&["response", "audience"], r#""internal""#),
        (&["response", "owner"], r#"{"role":"csm","id":"u_204"}"#),
        (&["response", "inform"], r#"["u_204","role:am"]"#),
        (
            &["response", "playbook"],
            r#"{"id":"integration-down/E_AUTH","url":"https://wiki.example/p","checklist":["One","Two"]}"#,
        ),
        (&["response", "room"], r##""#acct-acme-risk""##),
        (&["response", "update_every_s"], "86400"),
        (&["response", "next_step", "due"], r#""2026-11-20T00:10:04.412Z""#),
        (&["response", "template"], r#"{"id":"t1"}"#),
        (&["response", "draft"], r#"{"template":"known-issue","customer_action":"Reconnect"}"#),
        (&["response", "kb_ref"], r#""KB-104""#),
        (&["contact"], r#"{"allowed":false,"do_not_contact":true}"#),
    ] {
        assert_eq!(shown(&data, path), expected, "{path:?}");
    }
    let Some(Value::List(sample)) = data.entry("evidence").and_then(|it| it.entry("sample")) else {
        panic!("no sample");
    };
    assert_eq!(sample.len(), 10);
}

#[test]
fn rows_across_accounts_and_rows_of_persons_say_whose_they_are() {
    let (mut across, mut person) = (program(), program());
    across.rules[0].entity.account = false;
    person.rules[0].entity = part("user", Field::UserId);
    with_full(|occasion| {
        let entity = EntityRef { account: None, part: Some("slack") };
        let alert = build(&Occasion { program: &across, rule: &across.rules[0], entity, ..occasion.clone() });
        assert_eq!(alert.key, "integration:slack");
        assert_eq!(alert.dedup_key, "engagement-decline/integration/slack");
        assert_eq!(shown(&alert.data, &["account"]), "-");
        let keys = r#"{"type":"integration","id":"slack","keys":{"integration":"slack"}}"#;
        assert_eq!(shown(&alert.data, &["entity"]), keys);
        survives(ALERT_SCHEMA, &alert.data);

        let entity = EntityRef { account: Some("acme"), part: Some("u1") };
        let unknown =
            Occasion { program: &person, rule: &person.rules[0], entity, profile: None, ..occasion.clone() };
        let alert = build(&unknown);
        assert_eq!(alert.key, "acme");
        let user = r#"{"type":"user","id":"acme/u1","account_id":"acme","user_id":"u1"}"#;
        assert_eq!(shown(&alert.data, &["entity"]), user);
        assert_eq!(shown(&alert.data, &["response", "owner"]), r#"{"role":"csm"}"#);
        assert_eq!(shown(&alert.data, &["response", "audience"]), r#""customer""#);
        survives(ALERT_SCHEMA, &alert.data);
    });
}

/// JSON and Avro must say the same as the record they were made of.
#[track_caller]
fn survives(schema: &str, data: &Value<'_>) {
    let json = to_json(data);
    assert_eq!(to_json(&from_json(&json).unwrap()), json);
    let schema = Schema::parse_str(schema).unwrap();
    let mut avro = Vec::new();
    to_avro(&schema, data, &mut avro).unwrap();
    assert_eq!(to_json(&decoded(&schema, &avro)), json);
}

#[test]
fn alerts_survive_both_encodings() {
    survives(ALERT_SCHEMA, &full().data);
    survives(ALERT_SCHEMA, &super::example::alert().data);
}

fn decided(verdict: Verdict, reason: Option<Reason>) -> Value<'static> {
    let (program, observed) = (quiet_exit(), seen());
    decision(&DecisionInput {
        at: super::at("2026-11-19T23:10:04.412Z"),
        program: &program,
        rule: &program.rules[0],
        entity: EntityRef { account: Some("acme"), part: None },
        dedup: &[],
        verdict,
        reason,
        last: reason.is_none(),
        until: reason.map(|_| super::at("2026-11-20T23:10:04.412Z")),
        alert_id: reason.is_none().then_some("id"),
        observed: &observed,
        affected: None,
        experiment: reason.is_none().then_some(("proactive", false)),
        journal_partition: 7,
        journal_offset: 481_516,
        index: 0,
    })
    .data
}

#[test]
fn decisions_survive_both_encodings_and_look_like_this() {
    let opened = decided(Verdict::Opened, None);
    survives(DECISION_SCHEMA, &opened);
    let withheld = decided(Verdict::Withheld, Some(Reason::Cooldown));
    survives(DECISION_SCHEMA, &withheld);
    expect_test::expect_file!["../../../../schemas/decision/examples/withheld.json"]
        .assert_eq(&super::example::pretty(&withheld));
}

#[test]
fn a_large_alert_is_cut_in_order_and_says_so() {
    let long = "x".repeat(900);
    let cut = |draft: usize, evidence_label: &str| {
        with_full(|occasion| {
            let mut program = occasion.program.clone();
            program.rules[0].alert.draft = Some((template(vec![words(&"d".repeat(draft))]), None));
            let evidence: Vec<Evidence> = occasion
                .evidence
                .iter()
                .map(|it| Evidence { label: evidence_label.into(), ..it.clone() })
                .collect();
            build(&Occasion {
                program: &program,
                rule: &program.rules[0],
                evidence: &evidence,
                ..occasion.clone()
            })
            .data
        })
    };
    assert_eq!(shown(&cut(10, "short"), &["truncated"]), "-");
    let sample = cut(8_000, &long);
    assert_eq!(shown(&sample, &["truncated"]), r#"["evidence.sample"]"#);
    let both = cut(15_000, &long);
    assert_eq!(shown(&both, &["truncated"]), r#"["evidence.sample","response.draft"]"#);
    assert_eq!(shown(&both, &["response", "draft"]), "-");
    for data in [sample, both] {
        assert!(to_json(&data).len() <= ALERT_BYTES_MAX);
    }
}
