//! Accounts are scored at their midnight, and rules see the score.

use crate::event::record::to_json;
use crate::event::{Kind, Timestamp, Value};
use crate::rules::{Options, load};

use super::driver::{World, event_of};

const RULES: &str = "
version: 1
name: health
health:
  direction: higher_is_better
  min_coverage: 60%
  parts:
    usage:
      weight: 60
      inputs:
      - {name: logins, topic: usage, where: {event: login.succeeded}, within: 3d, bad: 0, good: 3}
    support:
      weight: 40
      inputs:
      - {name: tickets, topic: ticket, where: {type: ticket.created}, within: 2d, bad: 4, good: 0}
rules:
- id: low
  title: t
  why: w
  status: active
  severity: warning
  family: health
  entity: account
  when: {level: {topic: health, measure: {last: score}, lt: 50}}
  clear: {if: {value: {gte: 50}}}
  alert: {summary: '{{value}}: {{cause}}', owner: role:csm, playbook: p, next_step: {text: Call}}
";

const DAY: i64 = 86_400_000;

struct Company {
    world: World,
    start: Timestamp,
    count: i64,
}

impl Company {
    fn new() -> Self {
        let loaded = load(&[("health.yaml", RULES)], Options::default());
        let program = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")).program;
        let start = Timestamp::parse("2026-01-05T00:00:00Z").unwrap();
        // The rules are there before all history.
        Self { world: World::new(program, Timestamp(0)), start, count: 0 }
    }

    fn event(&mut self, kind: Kind, hours: i64, fields: &[(&'static str, &str)]) {
        self.count += 1;
        let at = self.start.plus(hours * 3_600_000);
        let mut all = vec![
            ("account_id".into(), Value::text("acme")),
            ("event_id".into(), Value::text(self.count.to_string())),
        ];
        all.extend(fields.iter().map(|(name, value)| ((*name).into(), Value::text((*value).to_owned()))));
        let event = event_of(kind, &Value::Map(all), at);
        self.world.line(at, event);
    }

    /// Day, score, coverage and cause of what was told.
    fn told(&self) -> Vec<(i64, String)> {
        let told = |data: &Value<'static>| {
            let Some(Value::Time(at)) = data.entry("at") else { panic!("no time") };
            let parts = ["score", "coverage", "cause"].map(|name| to_json(data.entry(name).unwrap()));
            (at.since(self.start) / DAY, parts.join(" "))
        };
        self.world.output.health.iter().map(|record| told(&record.data)).collect()
    }
}

fn run() -> Company {
    let mut company = Company::new();
    company.event(
        Kind::Account,
        -24 * 200,
        &[("type", "account.updated"), ("created_at", "2025-01-01"), ("timezone", "Europe/Berlin")],
    );
    for day in 0..6 {
        company.event(Kind::Usage, 24 * day + 10, &[("event", "login.succeeded"), ("user_id", "u")]);
    }
    for hour in [131, 132, 133] {
        let ticket = hour.to_string();
        company.event(Kind::Ticket, hour, &[("type", "ticket.created"), ("ticket_id", &ticket)]);
    }
    company.world.run_to(company.start.plus(9 * DAY));
    company
}

#[test]
fn a_score_is_told_when_it_changes_with_what_moved_it() {
    let company = run();
    let expected = [
        // The first midnight after the first login: one login of three, no ticket.
        (0, r#"60 1 "logins""#),
        (1, r#"80 1 "logins""#),
        (2, r#"100 1 "logins""#),
        // Three tickets of four; the last login was on day 5.
        (5, r#"70 1 "tickets""#),
        (6, r#"50 1 "logins""#),
        // The tickets have left, so has a login.
        (7, r#"60 1 "tickets""#),
        (8, r#"40 1 "logins""#),
    ];
    let expected: Vec<(i64, String)> = expected.map(|(day, text)| (day, text.to_owned())).into();
    assert_eq!(company.told(), expected);
    let first = to_json(&company.world.output.health[3].data);
    let parts = r#""parts":{"usage":{"score":100,"weight":60,"top":[{"factor":"logins","points":60}]},"support":{"score":25,"weight":40,"top":[{"factor":"tickets","points":10}]}}"#;
    assert!(first.contains(parts), "{first}");
    assert!(first.contains(r#""previous":100"#), "{first}");
}

#[test]
fn rules_see_the_score_at_once() {
    let company = run();
    let [alert] = company.world.output.alerts.as_slice() else { panic!("one alert") };
    assert_eq!(alert.summary, "40: logins");
    let Some(Value::Time(at)) = alert.data.entry("times").and_then(|times| times.entry("emitted")) else {
        panic!("no time")
    };
    // Midnight in Berlin, and the lateness.
    assert_eq!(*at, Timestamp::parse("2026-01-13T23:10:00Z").unwrap());
    let evidence = to_json(alert.data.entry("evidence").unwrap());
    assert!(evidence.contains(r#""label":"health.scored 40""#), "{evidence}");
}

#[test]
fn a_restart_before_every_record_changes_nothing() {
    let company = run();
    assert_eq!(company.world.again(|_| true, 1).output, company.world.output);
    assert_eq!(company.world.again(|_| false, 2).output, company.world.output);
}
