//! A simulated account: who it is, and the records that it makes.

use super::plan::{Plan, Plant};
use super::record::{Draft, Queue};
use super::rng::Rng;
use super::{DAY, MINUTE, Planted, SECOND, words};
use crate::event::{Text, Timestamp, Value};

/// Days between two invoices.
pub(super) const INVOICE_DAYS: i64 = 30;

/// An account and what it has done so far.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) number: u64,
    pub(super) id: String,
    /// Midnight UTC of the company's first day, ms.
    base: i64,
    pub(super) zone: (&'static str, i64),
    tier: i64,
    arr_minor: i64,
    pub(super) users: Vec<String>,
    pub(super) integrations: Vec<&'static str>,
    /// How often a user shows up on a weekday, per mille.
    pub(super) diligence: i64,
    /// The day of the first invoice.
    pub(super) invoice_day: i64,
    pub(super) plan: Option<Plan>,
    events: u64,
    pub(super) tickets: u64,
    versions: i64,
}

impl Account {
    pub(super) fn new(seed: u64, number: usize, base: i64) -> Self {
        let keys = number as u64;
        let mut rng = Rng::keyed(seed, &[keys]);
        let id = format!("{}-{number:03}", rng.pick(&words::NAMES));
        let users = (0..rng.between(2, 8)).map(|user| format!("{id}-u{user}")).collect();
        let first = usize::try_from(rng.below(6)).unwrap_or(0);
        let integrations =
            words::INTEGRATIONS.iter().cycle().skip(first).take(1 + first % 3).copied().collect();
        let tier = rng.between(1, 5);
        Self {
            number: keys,
            id,
            base,
            zone: rng.pick(&words::ZONES),
            tier,
            arr_minor: tier * rng.between(800_000, 2_400_000),
            users,
            integrations,
            diligence: rng.between(400, 900),
            invoice_day: rng.between(2, 29),
            plan: None,
            events: 0,
            tickets: 0,
            versions: 0,
        }
    }

    /// Local midnight at which a day begins, ms.
    pub(super) const fn midnight(&self, day: i64) -> i64 {
        self.base + day * DAY - self.zone.1 * MINUTE
    }

    /// Whether a day is a Saturday or Sunday.
    pub(super) const fn weekend(&self, day: i64) -> bool {
        // The epoch's first day was a Thursday.
        (self.base / DAY + day + 3).rem_euclid(7) > 4
    }

    /// Gets something planted, if the days have room for it.
    pub(super) fn take_part_in(&mut self, kind: Plant, days: i64, rng: &mut Rng) {
        if kind.needs_a_crowd() {
            self.users = (0..5).map(|user| format!("{}-u{user}", self.id)).collect();
            self.diligence = 800;
        }
        self.plan = Plan::new(kind, self, days, rng);
    }

    /// What was planted here.
    pub(super) fn truth(&self, days: i64) -> Vec<Planted> {
        self.plan.as_ref().map_or_else(Vec::new, |plan| plan.truth(self, days))
    }

    /// A record of this account under construction.
    pub(super) fn draft(&mut self, topic: &'static str, key: String, name: &'static str, time: i64) -> Draft {
        self.events += 1;
        let id = format!("{}-e{}", self.id, self.events);
        let named = if matches!(topic, "usage" | "error-log") { "event" } else { "type" };
        Draft::new(topic, key, time)
            .text("event_id", id)
            .text("account_id", self.id.clone())
            .text(named, name)
    }

    /// A usage event of one of its users.
    pub(super) fn usage(&mut self, user: usize, name: &'static str, time: i64) -> Draft {
        let user = self.users[user % self.users.len()].clone();
        self.draft("usage", user.clone(), name, time).text("user_id", user).text("source", "web")
    }

    /// An event of one of its integrations.
    pub(super) fn connection(&mut self, integration: usize, name: &'static str, time: i64) -> Draft {
        let integration = self.integrations[integration % self.integrations.len()];
        self.draft("error-log", integration.to_owned(), name, time)
            .text("source", "connector")
            .text("service", "sync")
            .text("integration", integration)
    }

    /// A billing event of the invoice that is due on this day.
    pub(super) fn invoice(&mut self, day: i64, name: &'static str, time: i64) -> Draft {
        let id = self.invoice_id(day);
        let amount = self.arr_minor / 12;
        self.draft("billing", id.clone(), name, time)
            .text("source", "stripe")
            .text("invoice_id", id)
            .int("amount_minor", amount)
            .text("currency", "EUR")
    }

    fn invoice_id(&self, day: i64) -> String {
        format!("in_{}_{day}", self.number)
    }

    /// An event of one of its tickets, which may have been written before.
    pub(super) fn ticket(&mut self, ticket: u64, name: &'static str, time: i64) -> Draft {
        let id = format!("t-{}-{ticket}", self.number);
        self.draft("ticket", id.clone(), name, time)
            .text("source", "helpdesk")
            .text("ticket_id", id)
            .text("channel", "email")
    }

    /// The snapshot of its profile at this time.
    pub(super) fn profile(&mut self, lifecycle: &'static str, time: i64) -> Draft {
        self.versions += 1;
        let contacts = self.users.iter().zip(["champion", "billing"]).map(|(user, role)| {
            Value::Map(vec![
                (Text::Borrowed("user_id"), Value::text(user.clone())),
                (Text::Borrowed("role"), Value::text(role)),
            ])
        });
        let contacts = Value::List(contacts.collect());
        let integrations = self.integrations.iter().map(|name| Value::text(*name)).collect();
        let csm = ["csm-1", "csm-2", "csm-3", "csm-4"][usize::try_from(self.number % 4).unwrap_or(0)];
        let owners = [("csm", csm), ("am", "am-1"), ("support_group", "tier1")];
        let owners =
            owners.into_iter().map(|(role, name)| (Text::Borrowed(role), Value::text(name))).collect();
        let renewal = i32::try_from(self.base / DAY).unwrap_or(0) + 300;
        let name = display_name(&self.id);
        let (tier, arr, seats, version) =
            (self.tier, self.arr_minor, i64::try_from(self.users.len()).unwrap_or(0), self.versions);
        let plan = if tier > 3 { "enterprise" } else { "team" };
        self.draft("account-profile", self.id.clone(), "account.updated", time)
            .text("source", "crm")
            .int("profile_version", version)
            .with("updated_at", Value::Time(Timestamp(time)))
            .text("name", name)
            .int("tier", tier)
            .int("arr_minor", arr)
            .text("currency", "EUR")
            .text("plan", plan)
            .int("seats", seats)
            .text("lifecycle", lifecycle)
            .text("billing_status", "active")
            .with("renewal_date", Value::Date(renewal))
            .text("timezone", self.zone.0)
            .text("business_hours", "Mon-Fri 09:00-17:00")
            .with("owners", Value::Map(owners))
            .with("contacts", contacts)
            .with("integrations", Value::List(integrations))
    }

    /// The records that the company begins with.
    pub(super) fn introduce(&mut self, start: i64, queue: &mut Queue) {
        let time = start + i64::try_from(self.number).unwrap_or(0) % 60 * SECOND;
        let profile = self.profile("active", time);
        queue.push(profile);
    }
}

/// What an account with this id is called.
pub(super) fn display_name(id: &str) -> String {
    let mut letters = id.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters.map(|letter| if letter == '-' { ' ' } else { letter })).collect()
}
