//! What priorities say of an account's sentiment.

use crate::event::record::to_json;
use crate::event::{Kind, Timestamp, Value};
use crate::rules::{Options, load};

use super::driver::{World, event_of};

const RULES: &str = "
version: 1
name: feelings
defaults:
  priority:
    sentiment: {score: radar.score, upto: [30, 60, 90, 120]}
    bands: [{from: 3, to: 15, action: Call}]
rules:
- id: radar
  title: t
  why: w
  status: active
  severity: info
  family: radar
  entity: ticket
  when:
    score:
      topic: ticket
      where: {type: [ticket.created, ticket.reopened]}
      range: [0, 200]
      direction: higher_is_worse
      half_life: 72h
      points:
      - {name: new, if: {type: ticket.created}, add: 35}
      - {name: again, if: {type: ticket.reopened}, add: 50, max: 4}
      gt: 190
  expires_after: 1d
  alert: {summary: s, owner: role:csm, playbook: p, next_step: {text: Call}}
- id: declined
  title: t
  why: w
  status: active
  severity: info
  family: billing
  entity: account
  when: {event: {topic: billing, where: {type: invoice.payment_failed}}}
  dedup: [invoice_id]
  expires_after: 1d
  policy: {cooldown: 0s}
  alert: {summary: s, owner: role:csm, playbook: p, next_step: {text: Call}}
";

struct Company {
    world: World,
    count: i64,
}

impl Company {
    fn new() -> Self {
        let loaded = load(&[("feelings.yaml", RULES)], Options::default());
        let program = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")).program;
        Self { world: World::new(program, Timestamp::parse("2026-01-05T00:00:00Z").unwrap()), count: 0 }
    }

    fn record(&mut self, kind: Kind, hour: i64, account: &str, fields: &[(&'static str, &str)]) {
        self.count += 1;
        let at = Timestamp::parse("2026-01-05T00:00:00Z").unwrap().plus(hour * 3_600_000);
        let mut all = vec![
            ("account_id".into(), Value::text(account.to_owned())),
            ("event_id".into(), Value::text(self.count.to_string())),
        ];
        all.extend(fields.iter().map(|(name, value)| ((*name).into(), Value::text((*value).to_owned()))));
        let event = event_of(kind, &Value::Map(all), at);
        self.world.line(at, event);
    }

    fn ticket(&mut self, hour: i64, account: &str, ticket: &str, what: &str) {
        self.record(Kind::Ticket, hour, account, &[("type", what), ("ticket_id", ticket)]);
    }

    /// What the next alert about an account says.
    fn priority(&mut self, hour: i64, account: &str) -> String {
        let invoice = format!("in_{}", self.count);
        let fields = [("type", "invoice.payment_failed"), ("invoice_id", &*invoice)];
        self.record(Kind::Billing, hour, account, &fields);
        let data = &self.world.output.alerts.last().unwrap().data;
        let id = data.entry("entity").and_then(|entity| entity.entry("id")).and_then(Value::as_text);
        assert_eq!(id, Some(account));
        ["sentiment", "total"]
            .map(|part| to_json(data.entry("priority").unwrap().entry(part).unwrap()))
            .join("/")
    }
}

#[test]
fn the_highest_score_of_an_accounts_rows_counts_and_fades() {
    let mut company = Company::new();
    assert_eq!(company.priority(0, "acme"), "1/3", "nothing is known of it");
    company.ticket(1, "acme", "a", "ticket.created");
    assert_eq!(company.priority(1, "acme"), "2/4", "35");
    company.ticket(1, "acme", "b", "ticket.created");
    company.ticket(2, "acme", "b", "ticket.reopened");
    assert_eq!(company.priority(2, "acme"), "3/5", "85 and 35: the highest, not the sum");
    assert_eq!(company.priority(2, "other"), "1/3", "another account");
    company.ticket(3, "acme", "b", "ticket.reopened");
    company.ticket(4, "acme", "b", "ticket.reopened");
    assert_eq!(company.priority(4, "acme"), "5/7", "a little less than 185");
    assert_eq!(company.priority(4 + 72, "acme"), "4/6", "half of it");
    assert_eq!(company.priority(4 + 4 * 72, "acme"), "1/3", "a sixteenth");
}
