//! The company is the same every time, and what it says of itself is true: recounted here from its records alone.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

use super::{
    CONNECTION_FAILURES, LOGIN_FAILURES_BURST, LOGIN_SILENCE_7D, PAYMENT_DECLINED, QUIET_EXIT,
    REPEAT_ISSUE_ACCOUNT,
};
use super::{Company, DAY, Generated, HOUR, MINUTE, RULES, Truth};
use crate::event::{Timestamp, Value};

const ACCOUNTS: usize = 60;
const DAYS: u32 = 100;

fn company(seed: u64) -> Company<'static> {
    Company::new(seed, ACCOUNTS, Timestamp::parse("2026-01-05").unwrap(), DAYS)
}

fn hash(company: Company<'_>) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    for record in company {
        hasher.write(format!("{record:?}").as_bytes());
    }
    hasher.finish()
}

#[test]
fn equal_seeds_make_equal_companies() {
    let short = |seed| Company::new(seed, 20, Timestamp::parse("2026-01-05").unwrap(), 20);
    assert_eq!(hash(short(1)), hash(short(1)));
    assert_ne!(hash(short(1)), hash(short(2)));
}

#[test]
fn records_come_by_arrival_in_plausible_numbers() {
    let mut count = BTreeMap::new();
    let (mut last, mut late, mut ids, mut twice) = (Timestamp::MIN, 0, BTreeSet::new(), 0);
    for record in company(3) {
        assert!(record.time >= last);
        last = record.time;
        *count.entry(record.topic).or_insert(0) += 1;
        late += usize::from(record.time.since(time(&record)) > 10 * MINUTE);
        twice += usize::from(!ids.insert(text(&record, "event_id").unwrap().to_owned()));
    }
    let account_days = ACCOUNTS * usize::try_from(DAYS).unwrap();
    let usage = count["usage"] / account_days;
    assert!((15..80).contains(&usage), "{usage} usage events an account and day");
    assert!(
        count["error-log"] > account_days / 2 && count["ticket"] > 300 && count["billing"] > 150,
        "{count:?}"
    );
    assert!(count["account-profile"] >= ACCOUNTS);
    let all: usize = count.values().sum();
    assert!((all / 1000..all / 100).contains(&late), "{late} late of {all}");
    assert!((all / 1000..all / 100).contains(&twice), "{twice} twice of {all}");
}

#[test]
fn every_kind_is_planted_when_there_is_room() {
    let company = Company::new(5, 100, Timestamp::parse("2026-01-05").unwrap(), 120);
    for rule in RULES {
        for kind in [Truth::Incident, Truth::Lookalike] {
            let of = company.truth().iter().filter(|planted| *planted.rule == *rule && planted.kind == kind);
            assert!(of.count() > 0, "{rule} {kind:?}");
        }
    }
    assert!(Company::new(5, 100, Timestamp(0), 3).truth().is_empty());
}

fn text<'a>(record: &'a Generated, name: &str) -> Option<&'a str> {
    record.value.entry(name).and_then(Value::as_text)
}

fn time(record: &Generated) -> Timestamp {
    match record.value.entry("event_time") {
        Some(Value::Time(time)) => *time,
        other => panic!("{other:?}"),
    }
}

/// The records of one run by entity and rule: event times, once each, in their order.
#[derive(Default)]
struct Facts {
    attempts: BTreeMap<String, Vec<(Timestamp, bool)>>,
    logins: BTreeMap<String, Vec<Timestamp>>,
    sessions: BTreeMap<String, Vec<Timestamp>>,
    prices: BTreeMap<String, Vec<(Timestamp, i64)>>,
    invoices: BTreeMap<String, Vec<(Timestamp, String)>>,
    paid: BTreeSet<String>,
    tickets: BTreeMap<String, Vec<(Timestamp, String)>>,
    failures: BTreeMap<String, Vec<Timestamp>>,
}

impl Facts {
    fn collect(company: Company<'_>) -> Self {
        let mut facts = Self::default();
        let mut ids = BTreeSet::new();
        for record in company {
            if ids.insert(text(&record, "event_id").unwrap().to_owned()) && text(&record, "traffic").is_none()
            {
                facts.add(&record);
            }
        }
        facts.attempts.values_mut().for_each(|list| list.sort_unstable());
        for list in [&mut facts.logins, &mut facts.sessions, &mut facts.failures] {
            list.values_mut().for_each(|list| list.sort_unstable());
        }
        facts.tickets.values_mut().for_each(|list| list.sort_unstable());
        facts
    }

    fn add(&mut self, record: &Generated) {
        let (account, at) = (text(record, "account_id").unwrap().to_owned(), time(record));
        let with = |name: &str| format!("{account}/{}", text(record, name).unwrap());
        match text(record, "event").or(text(record, "type")).unwrap() {
            name @ ("login.failed" | "login.succeeded") => {
                let good = name == "login.succeeded";
                self.attempts.entry(with("user_id")).or_default().push((at, good));
                if good {
                    self.logins.entry(account).or_default().push(at);
                }
            }
            "session.started" => self.sessions.entry(account).or_default().push(at),
            "page.viewed" => {
                let properties = record.value.entry("properties").unwrap();
                if let (Some("pricing"), Some(Value::Int(dwell))) =
                    (properties.entry("page").and_then(Value::as_text), properties.entry("dwell_ms"))
                {
                    self.prices.entry(account).or_default().push((at, *dwell));
                }
            }
            "invoice.payment_failed" => {
                let invoice = text(record, "invoice_id").unwrap().to_owned();
                if !self.paid.contains(&invoice) {
                    self.invoices.entry(account).or_default().push((at, invoice));
                }
            }
            "invoice.paid" => {
                self.paid.insert(text(record, "invoice_id").unwrap().to_owned());
            }
            "ticket.created" => {
                let follows = record.value.entry("is_follow_up") == Some(&Value::Bool(true));
                if !follows && record.value.entry("merged_into").is_none() {
                    let ticket = text(record, "ticket_id").unwrap().to_owned();
                    self.tickets.entry(with("root_cause")).or_default().push((at, ticket));
                }
            }
            "connection.failed" => self.failures.entry(with("integration")).or_default().push(at),
            _ => {}
        }
    }

    /// When each rule is true for the first time, by entity.
    fn verdicts(&self, start: Timestamp, end: Timestamp) -> BTreeMap<(&'static str, String), Timestamp> {
        let mut found = BTreeMap::new();
        let mut say = |rule, entity: &str, at: Option<Timestamp>| {
            if let Some(at) = at {
                found.insert((rule, entity.to_owned()), at);
            }
        };
        self.attempts.iter().for_each(|(user, list)| say(LOGIN_FAILURES_BURST, user, burst(list)));
        self.logins.iter().for_each(|(account, list)| say(LOGIN_SILENCE_7D, account, silence(list, end)));
        for (account, list) in &self.invoices {
            say(PAYMENT_DECLINED, account, list.iter().map(|(at, _)| *at).min());
        }
        self.tickets.iter().for_each(|(issue, list)| say(REPEAT_ISSUE_ACCOUNT, issue, repeat(list)));
        for (integration, list) in &self.failures {
            say(CONNECTION_FAILURES, integration, nth_within(list, 11, HOUR));
        }
        for account in self.sessions.keys() {
            say(QUIET_EXIT, account, self.quiet_exit(account, start, end));
        }
        found
    }

    /// The first UTC midnight at which 30 days hold 40 % fewer sessions and 25 % more pricing time than the 30 before.
    fn quiet_exit(&self, account: &str, start: Timestamp, end: Timestamp) -> Option<Timestamp> {
        let count = |from: i64, to: i64| {
            self.sessions[account].iter().filter(|at| (from..to).contains(&at.0)).count()
        };
        let prices = |from: i64, to: i64| -> i64 {
            let all = self.prices.get(account).into_iter().flatten();
            all.filter(|(at, _)| (from..to).contains(&at.0)).map(|(_, dwell)| dwell).sum()
        };
        let midnights = (60..).map(|day| start.0 + day * DAY).take_while(|at| *at < end.0 - DAY);
        midnights.map(Timestamp).find(|at| {
            let (now, middle, before) = (at.0, at.0 - 30 * DAY, at.0 - 60 * DAY);
            let (current, previous) = (count(middle, now), count(before, middle));
            let (read, had_read) = (prices(middle, now), prices(before, middle));
            previous >= 12 && current * 10 <= previous * 6 && read >= 60_000 && read * 4 >= had_read * 5
        })
    }
}

fn nth_within(list: &[Timestamp], n: usize, within: i64) -> Option<Timestamp> {
    list.windows(n).find(|window| window[n - 1].since(window[0]) < within).map(|window| window[n - 1])
}

/// Three failures within ten minutes, without a success in between.
fn burst(list: &[(Timestamp, bool)]) -> Option<Timestamp> {
    let runs = list.split(|(_, good)| *good);
    let times = |run: &[(Timestamp, bool)]| run.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    runs.filter_map(|run| nth_within(&times(run), 3, 10 * MINUTE)).min()
}

fn silence(list: &[Timestamp], end: Timestamp) -> Option<Timestamp> {
    let next = list.iter().skip(1).copied().chain([end]);
    list.iter().zip(next).find(|(at, next)| next.since(**at) >= 7 * DAY).map(|(at, _)| at.plus(7 * DAY))
}

fn repeat(list: &[(Timestamp, String)]) -> Option<Timestamp> {
    list.iter().map(|(at, _)| *at).find(|at| {
        let recent = list.iter().filter(|(other, _)| other <= at && at.since(*other) < 30 * DAY);
        recent.map(|(_, ticket)| ticket).collect::<BTreeSet<_>>().len() >= 3
    })
}

#[test]
fn a_dull_recount_finds_exactly_what_was_planted() {
    for seed in [7, 8] {
        let company = company(seed);
        let (truth, end) = (company.truth().to_vec(), company.end());
        let start = Timestamp::parse("2026-01-05").unwrap();
        let paused: BTreeSet<_> = truth
            .iter()
            .filter(|planted| *planted.rule == *LOGIN_SILENCE_7D && planted.kind == Truth::Lookalike)
            .map(|planted| (known(planted), planted.entity.to_string()))
            .collect();
        let mut verdicts = Facts::collect(company).verdicts(start, Timestamp(end.0 - 2 * DAY));
        for planted in truth.iter().filter(|planted| planted.kind == Truth::Incident) {
            let key = (known(planted), planted.entity.to_string());
            let at = verdicts.remove(&key);
            let good = at.is_some_and(|at| (planted.from..=planted.until).contains(&at));
            assert!(good, "seed {seed}: {planted:?}, but {at:?}");
        }
        // A pause is told by the profile, which the recount does not read.
        verdicts.retain(|key, _| !paused.contains(key));
        assert_eq!(verdicts, BTreeMap::new(), "seed {seed}");
    }
}

/// The rule of what is planted.
fn known(planted: &super::Planted) -> &'static str {
    RULES.into_iter().find(|rule| **rule == *planted.rule).unwrap()
}

/// The look-alikes of a rule that would fire if the rule were duller, as `fires` judges.
fn fooled(truth: &[super::Planted], rule: &str, fires: impl Fn(&str) -> bool) -> (usize, usize) {
    let of = || truth.iter().filter(|planted| *planted.rule == *rule && planted.kind == Truth::Lookalike);
    (of().filter(|planted| fires(&planted.entity)).count(), of().count())
}

#[test]
fn lookalikes_would_fool_duller_rules() {
    let company = company(7);
    let truth = company.truth().to_vec();
    let mut raw = Facts::default();
    let mut created: BTreeMap<String, usize> = BTreeMap::new();
    let mut declined = BTreeSet::new();
    for record in company {
        let account = text(&record, "account_id").unwrap();
        match text(&record, "type") {
            Some("ticket.created") => {
                *created.entry(format!("{account}/{}", text(&record, "root_cause").unwrap())).or_default() +=
                    1;
            }
            Some("invoice.payment_failed") => {
                declined.insert(account.to_owned());
            }
            _ => {}
        }
        raw.add(&record);
    }
    let attempts = |user: &str| {
        let failed: Vec<_> = raw.attempts[user].iter().filter(|(_, good)| !good).map(|(at, _)| *at).collect();
        nth_within(&failed, 3, 10 * MINUTE).is_some()
    };
    let silent = |account: &str| {
        let mut logins = raw.logins[account].clone();
        logins.sort_unstable();
        logins.windows(2).filter(|pair| pair[1].since(pair[0]) >= 7 * DAY).count() > 0
    };
    let tenfold = |integration: &str| nth_within(&raw.failures[integration], 10, HOUR).is_some();
    for (rule, fooled) in [
        (LOGIN_FAILURES_BURST, fooled(&truth, LOGIN_FAILURES_BURST, attempts)),
        (LOGIN_SILENCE_7D, fooled(&truth, LOGIN_SILENCE_7D, silent)),
        (PAYMENT_DECLINED, fooled(&truth, PAYMENT_DECLINED, |account| declined.contains(account))),
        (REPEAT_ISSUE_ACCOUNT, fooled(&truth, REPEAT_ISSUE_ACCOUNT, |issue| created[issue] >= 3)),
        (CONNECTION_FAILURES, fooled(&truth, CONNECTION_FAILURES, tenfold)),
    ] {
        assert!(fooled.1 > 0 && fooled.0 == fooled.1, "{rule}: {fooled:?}");
    }
}
