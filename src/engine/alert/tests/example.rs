//! The example of `contracts.md` §5, built.

use expect_test::expect_file;

use super::{at, compared, condition, filter, program, rule, rung, series, text};
use crate::engine::alert::{
    Action, Alert, EntityRef, Evidence, Observed, Occasion, Terms, Unit, alert_id, build, dedup_key,
};
use crate::event::record::to_json;
use crate::event::{Field, Kind, Timestamp, Value, parse_date};
use crate::rules::program::{
    AlertBlock, Category, Clear, Comparator, Decimal, Detector, Literal, Match, Measure, Output, Path,
    Person, Piece, Program, RuleIx, SeriesIx, Severity, Template, Test, Variable, Window,
};

const DAY_MS: i64 = 86_400_000;
const DAYS: Window = Window::Days { days: 30 };

/// A template of alternating text and variables.
pub fn template(pieces: Vec<Piece>) -> Template {
    Template(pieces)
}

pub fn words(text: &str) -> Piece {
    Piece::Text(text.into())
}

pub fn output(place: u8, output: Output) -> Piece {
    Piece::Variable(Variable::Output(Some(place), output))
}

pub fn of(path: Path) -> Piece {
    Piece::Variable(Variable::Path(path))
}

/// `quiet-exit` of the seed rules, as far as this build goes.
pub fn quiet_exit() -> Program {
    let compare = |series: u16, op, mantissa, scale| Detector::Compare {
        series: SeriesIx(series),
        window: DAYS,
        difference: false,
        baseline: false,
        rungs: vec![rung(op, Decimal { mantissa, scale })],
    };
    let mut rule = rule(
        "quiet-exit",
        vec![
            condition("sessions", compare(0, Comparator::Lte, -4, 1)),
            condition("pricing", compare(1, Comparator::Gte, 25, 2)),
        ],
    );
    rule.title = "Using less, reading the pricing page more".into();
    rule.family = "engagement-decline".into();
    rule.category = Category::Risk;
    rule.severity = Severity::Critical;
    rule.expires_after_ms = Some(90 * DAY_MS);
    let recovered =
        Test::Bounds(vec![(Comparator::Gt, Literal::Number(Decimal { mantissa: -25, scale: 2 }))]);
    let sessions_value = Variable::Output(Some(0), Output::Value);
    rule.clear =
        vec![Clear::If { matches: Match(vec![vec![(sessions_value, recovered)]]), for_ms: 7 * DAY_MS }];
    rule.alert = AlertBlock {
        summary: template(vec![
            of(Path::Account(Field::Name)),
            words(": sessions "),
            output(0, Output::Previous),
            words(" to "),
            output(0, Output::Current),
            words(" ("),
            output(0, Output::Value),
            words("), pricing page "),
            output(1, Output::Previous),
            words(" to "),
            output(1, Output::Current),
        ]),
        owner: Some(Person::Owner(Field::OwnersCsm, "csm".into())),
        playbook: Some(template(vec![words("churn-risk-exec-sponsor")])),
        channels: vec!["csm_task".into()],
        room: Some(template(vec![words("#acct-"), of(Path::AccountSlug), words("-risk")])),
        next_step: Some(template(vec![words("Call the champion within 1 business day")])),
        actions: vec!["save_plan".into()],
        ..AlertBlock::default()
    };
    let dwell = Measure::Sum(Path::Property("dwell_ms".into()));
    program(
        rule,
        vec![filter(Kind::Usage, &["session.started"]), filter(Kind::Usage, &["page.viewed"])],
        vec![series(0, Measure::Count), series(1, dwell)],
    )
}

/// The profile of the example.
pub fn profile() -> Vec<(Field, Value<'static>)> {
    let mut profile = vec![
        (Field::Name, text("Acme GmbH")),
        (Field::Tier, Value::Int(5)),
        (Field::ArrMinor, Value::Int(18_400_000)),
        (Field::Currency, text("EUR")),
        (Field::RenewalDate, Value::Date(parse_date("2027-02-01").unwrap())),
        (Field::Timezone, text("Europe/Berlin")),
        (Field::ProfileVersion, Value::Int(311)),
        (Field::OwnersCsm, text("u_204")),
    ];
    profile.sort_by_key(|(field, _)| *field);
    profile
}

/// What the two conditions saw.
pub fn seen() -> Vec<Observed> {
    let window = Some((at("2026-10-20T22:00:00Z"), at("2026-11-19T23:00:00Z")));
    let baseline_window = Some((at("2026-09-20T22:00:00Z"), at("2026-10-20T22:00:00Z")));
    vec![
        Observed { p_value: Some(1.3e-7), window, baseline_window, ..compared(118, 212, Unit::Count) },
        Observed { window, baseline_window, ..compared(372_000, 100_000, Unit::Ms) },
    ]
}

/// The source record behind it.
pub fn evidence() -> Vec<Evidence> {
    vec![Evidence {
        topic: "usage".into(),
        partition: 7,
        offset: 88_231_904,
        time: at("2026-11-19T16:41:52.310Z"),
        label: "page.viewed pricing 94 s".into(),
    }]
}

/// The example's occasion.
pub fn occasion<'a>(
    program: &'a Program,
    id: &'a str,
    profile: &'a [(Field, Value<'static>)],
    observed: &'a [Observed],
    evidence: &'a [Evidence],
) -> Occasion<'a> {
    let emitted: Timestamp = at("2026-11-19T23:10:04.412Z");
    Occasion {
        application_id: "risk-eu-1",
        journal_partition: 7,
        journal_offset: 481_516,
        program,
        rule: &program.rules[0],
        members: &[RuleIx(0)],
        supersedes: &[],
        alert_id: id,
        revision: 1,
        action: Action::Opened,
        status: "firing",
        reason: None,
        severity: program.rules[0].severity,
        entity: EntityRef { account: Some("acme"), part: None },
        dedup: &[],
        profile: Some(profile),
        user: None,
        sentiment: None,
        customer_reported_first: false,
        observed,
        captured: &[],
        attach: &[],
        evidence_count: 131,
        evidence,
        history_days: Some(412),
        late_events: 3,
        onset: at("2026-10-20T22:00:00Z"),
        last_evidence: Some(at("2026-11-19T16:41:52.310Z")),
        detected: emitted,
        emitted,
        respond_by: Some(at("2026-11-20T16:00:00Z")),
        expires: Some(emitted.plus(90 * DAY_MS)),
        keep_summary: None,
        traceparent: None,
        terms: Terms::default(),
    }
}

/// The example's alert.
pub fn alert() -> Alert {
    let program = quiet_exit();
    let key =
        dedup_key("engagement-decline", "account", EntityRef { account: Some("acme"), part: None }, &[]);
    let id = alert_id("risk-eu-1", &key, (7, 481_516), 0);
    build(&occasion(&program, &id, &profile(), &seen(), &evidence()))
}

/// A record, one field a line.
pub fn pretty(record: &Value<'_>) -> String {
    let Value::Map(entries) = record else { panic!("a record") };
    let lines: Vec<String> =
        entries.iter().map(|(name, value)| format!("  \"{name}\": {}", to_json(value))).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

#[test]
fn the_contracts_example_is_built() {
    let alert = alert();
    assert_eq!(alert.key, "acme");
    assert_eq!(alert.dedup_key, "engagement-decline/account/acme");
    assert!(!alert.closes);
    assert_eq!(alert.rule, RuleIx(0));
    assert_eq!(alert.summary, "Acme GmbH: sessions 212 to 118 (-44%), pricing page 1m40s to 6m12s");
    expect_file!["../../../../schemas/alert/examples/opened.json"].assert_eq(&pretty(&alert.data));
}

#[test]
fn it_has_these_cloudevents_attributes() {
    let attributes = alert().attributes;
    let shown: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        shown,
        [
            "specversion: 1.0",
            "id: aad5oisohdudarcczwubgvkgnm/1",
            "source: /forewarn/risk-eu-1",
            "type: forewarn.alert.v1",
            "subject: account/acme",
            "time: 2026-11-19T23:10:04.412Z",
            "partitionkey: acme",
        ]
    );
}

#[test]
fn equal_occasions_give_equal_bytes() {
    assert_eq!(to_json(&alert().data), to_json(&alert().data));
}

#[test]
fn a_closing_revision_keeps_its_summary() {
    let (program, profile, observed) = (quiet_exit(), profile(), seen());
    let closed = build(&Occasion {
        revision: 4,
        action: Action::Resolved,
        status: "resolved",
        reason: Some("cleared"),
        keep_summary: Some("as it was"),
        ..occasion(&program, "id", &profile, &observed, &[])
    });
    assert!(closed.closes);
    assert_eq!(closed.data.entry("summary"), Some(&Value::text("as it was")));
    assert_eq!(closed.data.entry("reason"), Some(&Value::text("cleared")));
    assert_eq!(closed.data.entry("idempotency_key"), Some(&Value::text("id/4")));
}

/// The page for authors of notifiers shows the alert that the builder makes.
#[test]
fn the_page_shows_this_alert() {
    let page = include_str!("../../../../docs/alerts.md");
    let (head, rest) = page.split_once("```json\n").unwrap();
    let (_, tail) = rest.split_once("```").unwrap();
    let current = format!("{head}```json\n{}```{tail}", pretty(&alert().data));
    expect_file!["../../../../docs/alerts.md"].assert_eq(&current);
}
