//! A simulated SaaS company: accounts that live their weeks, and incidents planted among them with the truth about them.
//!
//! Pure and seeded: equal arguments give equal records. Records are made day by day while they are read, so that a year
//! takes no more memory than a day.

mod account;
mod cases;
mod day;
mod plan;
mod record;
mod rng;
mod score;
mod words;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::event::Timestamp;
use crate::rules::RuleTests;
use account::Account;
use cases::{Play, deal};
use plan::Plant;
use record::Queue;
use rng::Rng;

pub use record::Generated;
pub use score::{Fired, Score, Stage, false_alerts, missed, score};

/// Three failed logins of a user in ten minutes.
pub const LOGIN_FAILURES_BURST: &str = "login-failures-burst";
/// No login of an account for seven days.
pub const LOGIN_SILENCE_7D: &str = "login-silence-7d";
/// A payment was declined.
pub const PAYMENT_DECLINED: &str = "payment-declined";
/// Fewer sessions and more time on the pricing page.
pub const QUIET_EXIT: &str = "quiet-exit";
/// Three tickets of an account on one issue in 30 days.
pub const REPEAT_ISSUE_ACCOUNT: &str = "repeat-issue-account";
/// More than ten failures of an account's integration in an hour.
pub const CONNECTION_FAILURES: &str = "connection-failures";

/// The rules that incidents are planted for, in the order of the closing table.
pub const RULES: [&str; 6] = [
    LOGIN_FAILURES_BURST,
    LOGIN_SILENCE_7D,
    PAYMENT_DECLINED,
    QUIET_EXIT,
    REPEAT_ISSUE_ACCOUNT,
    CONNECTION_FAILURES,
];

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// One of these kinds of plant in this many accounts, and one at least.
const ACCOUNTS_A_PLANT: usize = 50;

/// Whether an alert is right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// An alert must come.
    Incident,
    /// It looks similar, but no alert may come.
    Lookalike,
}

/// Something planted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planted {
    /// The rule it is meant for.
    pub rule: Box<str>,
    /// The entity, as alerts write it: its ids joined by `/`; empty: any that the tag marks.
    pub entity: Box<str>,
    /// Ids end with this where a test is played.
    pub tag: Option<Box<str>>,
    /// Whether an alert is right.
    pub kind: Truth,
    /// When the trouble began; time to detect counts from here.
    pub onset: Timestamp,
    /// First point in time at which the alert may open.
    pub from: Timestamp,
    /// Last point in time at which it is in time.
    pub until: Timestamp,
}

impl Planted {
    fn account(&self) -> &str {
        self.entity.split('/').next().unwrap_or_default()
    }
}

/// The company. Iterating gives its records in the order of their arrival.
#[derive(Debug)]
pub struct Company<'t> {
    seed: u64,
    /// Midnight UTC of the first day, ms.
    base: i64,
    days: i64,
    /// The next day to be lived.
    day: i64,
    accounts: Vec<Account>,
    queue: Queue,
    truth: Vec<Planted>,
    /// Tests still to be played, the last first.
    plays: Vec<Play<'t>>,
    /// Who plays what: rules by tag or account.
    stage: Stage,
    /// While this lasts no usage arrives, ms.
    outage: Option<(i64, i64)>,
}

impl<'t> Company<'t> {
    /// So many accounts that live so many days from the start's UTC day on.
    ///
    /// Some plants need room: quiet exits take 75 days, the others 40; what does not fit is not planted.
    #[must_use]
    pub fn new(seed: u64, accounts: usize, start: Timestamp, days: u32) -> Self {
        let base = start.0.div_euclid(DAY) * DAY;
        let days = i64::from(days);
        let mut accounts: Vec<Account> =
            (0..accounts).map(|number| Account::new(seed, number, base)).collect();
        plant(seed, days, &mut accounts);
        let mut truth: Vec<Planted> = accounts.iter().flat_map(|account| account.truth(days)).collect();
        truth.sort_by(|a, b| (a.onset, &a.entity, a.kind).cmp(&(b.onset, &b.entity, b.kind)));
        let mut queue = Queue::from(base);
        accounts.iter_mut().for_each(|account| account.introduce(base, &mut queue));
        let mut stage = Stage::default();
        for planted in &truth {
            stage.put(planted.account(), &planted.rule, Timestamp(i64::MAX));
        }
        Self { seed, base, days, day: 0, accounts, queue, truth, plays: Vec::new(), stage, outage: None }
    }

    /// Plays the tests of rules, each so often, by accounts of their own.
    #[must_use]
    pub fn with_tests(mut self, tests: &'t [RuleTests], times: usize) -> Self {
        self.plays = deal(tests, (self.seed, times), (self.base, self.days));
        if let Some((from, until)) = self.outage {
            self.plays.retain(|play| !play.overlaps(from, until));
        }
        for play in &self.plays {
            self.truth.extend(play.truth());
            play.rules().for_each(|rule| self.stage.put(play.tag(), rule, play.ends()));
        }
        self.truth.sort_by(|a, b| (a.onset, &a.entity, a.kind).cmp(&(b.onset, &b.entity, b.kind)));
        self.plays.reverse();
        self
    }

    /// Loses all usage for a day and a half, in the third quarter of the days.
    #[must_use]
    pub fn with_outage(mut self) -> Self {
        if self.days >= 60 {
            let from = self.base + (self.days * 5 / 8) * DAY + 8 * HOUR;
            let until = from + 36 * HOUR;
            self.outage = Some((from, until));
            let (kept, others): (Vec<Planted>, Vec<Planted>) = std::mem::take(&mut self.truth)
                .into_iter()
                .partition(|own| own.until.0 < from || own.onset.0 > until + 8 * DAY);
            others.iter().for_each(|own| self.stage.mute(own.account()));
            self.truth = kept;
        }
        self
    }

    /// While no usage arrives.
    #[must_use]
    pub fn outage(&self) -> Option<(Timestamp, Timestamp)> {
        self.outage.map(|(from, until)| (Timestamp(from), Timestamp(until)))
    }

    /// Who plays what.
    #[must_use]
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What was planted, by onset.
    #[must_use]
    pub fn truth(&self) -> &[Planted] {
        &self.truth
    }

    /// The point in time at which the last day is over everywhere.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        Timestamp(self.base + (self.days + 1) * DAY)
    }

    fn is_lost(&self, record: &Generated) -> bool {
        let time = record.time.0;
        record.topic == "usage" && self.outage.is_some_and(|(from, until)| (from..until).contains(&time))
    }

    /// Lives one more day; false after the last.
    fn live(&mut self) -> bool {
        if self.day == self.days {
            return false;
        }
        let over = self.base + (self.day + 1) * DAY + 12 * HOUR;
        while self.plays.last().is_some_and(|play| play.begins() < over) {
            if let Some(play) = self.plays.pop() {
                play.perform(&mut self.queue);
            }
        }
        for account in &mut self.accounts {
            day::live(self.seed, self.day, account, &mut self.queue);
        }
        self.day += 1;
        true
    }
}

impl Iterator for Company<'_> {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        loop {
            // Days begin up to half a day before midnight UTC in zones east of it.
            let lived = self.base + self.day * DAY - 12 * HOUR;
            let over = self.day == self.days;
            let before = if over { self.end().0 } else { lived };
            if let Some(record) = self.queue.pop(before) {
                if self.is_lost(&record) {
                    continue;
                }
                return Some(record);
            }
            if !self.live() {
                return None;
            }
        }
    }
}

/// Deals the plants to accounts chosen by the seed, at most one each.
fn plant(seed: u64, days: i64, accounts: &mut [Account]) {
    let mut rng = Rng::keyed(seed, &[u64::MAX]);
    let mut free: Vec<usize> = (0..accounts.len()).collect();
    for last in (1..free.len()).rev() {
        let other = usize::try_from(rng.below(i64::try_from(last).unwrap_or(0) + 1)).unwrap_or(0);
        free.swap(last, other);
    }
    let mut free = VecDeque::from(free);
    for _ in 0..accounts.len().div_ceil(ACCOUNTS_A_PLANT) {
        for kind in Plant::ALL {
            let Some(number) = free.pop_front() else { return };
            accounts[number].take_part_in(kind, days, &mut rng);
        }
    }
}
