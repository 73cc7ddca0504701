//! A day in the life of an account: its people's rhythm, some noise, and what is planted for this day.

use super::account::{Account, INVOICE_DAYS};
use super::plan::{Mood, Plan, Plant};
use super::record::{Draft, Queue};
use super::rng::Rng;
use super::{DAY, HOUR, MINUTE, SECOND, words};
use crate::event::{Timestamp, Value};

/// The first of an account's users: on weekdays they always come.
const CHAMPION: usize = 0;

/// The user whose failed logins are planted.
const UNLUCKY: usize = 1;

/// Days between two looks at the pricing page in an account that is well. Windows of 30 days hold three of them.
const PRICING_DAYS: i64 = 10;

/// Makes the records of one local day.
pub(super) fn live(seed: u64, day: i64, account: &mut Account, queue: &mut Queue) {
    let rng = Rng::keyed(seed, &[account.number, day.unsigned_abs()]);
    let plan = account.plan.take();
    let midnight = account.midnight(day);
    let mut scene = Scene { account, rng, queue, day, midnight };
    scene.work(plan.as_ref());
    scene.errors(plan.as_ref());
    scene.support();
    scene.pay(plan.as_ref());
    if let Some(plan) = &plan {
        scene.play(plan);
    }
    account.plan = plan;
}

struct Scene<'a> {
    account: &'a mut Account,
    rng: Rng,
    queue: &'a mut Queue,
    day: i64,
    /// When the local day begins, ms.
    midnight: i64,
}

impl Scene<'_> {
    /// Lets a record travel: most arrive at once, some out of order, a few hours late, a few twice.
    fn deliver(&mut self, draft: Draft) {
        let prompt = self.rng.between(50, 1500);
        match self.rng.below(1000) {
            0..5 => {
                let later = self.rng.between(SECOND, 3 * SECOND);
                self.queue.push_twice(draft.delayed(prompt), later);
            }
            5..25 => {
                let delay = self.rng.between(MINUTE, 9 * MINUTE);
                self.queue.push(draft.delayed(delay));
            }
            25..28 => {
                let delay = self.rng.between(HOUR, 5 * HOUR);
                self.queue.push(draft.delayed(delay));
            }
            _ => self.queue.push(draft.delayed(prompt)),
        }
    }

    /// A record that must arrive in its order.
    fn deliver_promptly(&mut self, draft: Draft) {
        self.queue.push(draft.delayed(SECOND));
    }

    fn work(&mut self, plan: Option<&Plan>) {
        let mood = plan.map_or(Mood::Usual, |plan| plan.mood(self.day));
        let weekend = self.account.weekend(self.day);
        let busy = plan.is_some_and(|plan| {
            plan.day == self.day && matches!(plan.kind, Plant::FailedLogins | Plant::MistypedLogins)
        });
        for user in 0..self.account.users.len() {
            let likely = if weekend { self.account.diligence / 8 } else { self.account.diligence };
            let comes = match mood {
                Mood::Usual => (user == CHAMPION && !weekend) || self.rng.chance(likely),
                Mood::Champion => user == CHAMPION && !weekend,
                Mood::Leaving if user == CHAMPION => !weekend && self.day % 2 == 0,
                Mood::Leaving => self.rng.chance(likely / 6),
                Mood::Away => false,
            };
            if comes && !(busy && user == UNLUCKY) {
                let sessions = if mood == Mood::Usual { self.rng.between(1, 2) } else { 1 };
                let time = self.midnight + self.rng.between(8 * 60, 16 * 60) * MINUTE;
                self.log_in(user, time);
                (0..sessions).for_each(|session| self.use_product(user, time + session * 2 * HOUR + SECOND));
            }
        }
        let looks = (self.day + self.account.number.cast_signed()) % PRICING_DAYS == 0;
        if looks && matches!(mood, Mood::Usual | Mood::Champion) {
            self.read_prices(20 * SECOND);
        }
    }

    /// A login, sometimes after one or two failures.
    fn log_in(&mut self, user: usize, time: i64) {
        let failures = match self.rng.below(100) {
            0..3 => 2,
            3..12 => 1,
            _ => 0,
        };
        for failure in 0..failures {
            let draft = self.account.usage(user, "login.failed", time - (failure + 1) * 25 * SECOND);
            self.deliver(draft.property("reason", Value::text("bad_password")));
        }
        let draft = self.account.usage(user, "login.succeeded", time);
        self.deliver(draft.property("method", Value::text("password")));
    }

    fn use_product(&mut self, user: usize, start: i64) {
        let draft = self.account.usage(user, "session.started", start);
        self.deliver(draft);
        let mut time = start;
        for _ in 0..self.rng.between(1, 4) {
            time += self.rng.between(5 * SECOND, 4 * MINUTE);
            let (page, dwell) = (self.rng.pick(&words::PAGES), self.rng.between(2000, 90_000));
            let draft = self.account.usage(user, "page.viewed", time);
            self.deliver(draft.property("page", Value::text(page)).property("dwell_ms", Value::Int(dwell)));
        }
        for _ in 0..self.rng.between(1, 3) {
            time += self.rng.between(10 * SECOND, 6 * MINUTE);
            let feature = self.rng.pick(&words::FEATURES);
            let draft = self.account.usage(user, "feature.used", time);
            self.deliver(draft.property("feature", Value::text(feature)));
        }
        let draft = self.account.usage(user, "session.ended", time + 30 * SECOND);
        self.deliver(draft);
    }

    fn read_prices(&mut self, dwell: i64) {
        let time = self.midnight + self.rng.between(9 * 60, 16 * 60) * MINUTE;
        let draft = self.account.usage(CHAMPION, "page.viewed", time);
        let draft = draft.property("page", Value::text("pricing")).property("dwell_ms", Value::Int(dwell));
        self.deliver(draft);
    }

    /// Errors of every day: never so many within an hour that somebody should be woken.
    fn errors(&mut self, plan: Option<&Plan>) {
        for _ in 0..self.rng.below(3) {
            let time = self.midnight + self.rng.below(DAY / SECOND) * SECOND;
            let code = self.error_code();
            let id = self.account.id.clone();
            let draft = self.account.draft("error-log", id, "api.error", time);
            self.deliver(draft.text("source", "api").text("service", "api").text("error_code", code));
        }
        let quiet = plan.is_some_and(|plan| {
            plan.day == self.day && matches!(plan.kind, Plant::ConnectionFailures | Plant::TenAnHour)
        });
        if quiet || !self.rng.chance(150) {
            return;
        }
        let integration = usize::try_from(self.rng.below(6)).unwrap_or(0);
        for _ in 0..self.rng.between(1, 5) {
            let time = self.midnight + self.rng.between(8 * 60, 18 * 60) * MINUTE;
            self.fail(integration, time, false);
        }
        let draft = self.account.connection(integration, "connection.restored", self.midnight + 19 * HOUR);
        self.deliver(draft.int("severity_number", 9));
    }

    fn fail(&mut self, integration: usize, time: i64, planted: bool) {
        let code = self.error_code();
        let draft = self.account.connection(integration, "connection.failed", time);
        let draft = draft.int("severity_number", 17).text("error_code", code);
        if planted { self.deliver_promptly(draft) } else { self.deliver(draft) }
    }

    /// One of the account's two usual errors.
    fn error_code(&mut self) -> &'static str {
        let place = self.account.number + self.rng.bits() % 2;
        words::ERROR_CODES[usize::try_from(place).unwrap_or(0) % words::ERROR_CODES.len()]
    }

    /// A ticket now and then, each about the next of the usual issues.
    fn support(&mut self) {
        if self.account.weekend(self.day) || !self.rng.chance(60) {
            return;
        }
        let time = self.midnight + self.rng.between(9 * 60, 16 * 60) * MINUTE;
        let turn = self.account.tickets + self.account.number;
        let usual = u64::try_from(words::USUAL_ISSUES).unwrap_or(1);
        let issue = words::ISSUES[usize::try_from(turn % usual).unwrap_or(0)];
        let body = self.rng.pick(&words::CALM);
        self.write(issue, body, time);
    }

    /// Creates a ticket; an answer and the solution follow.
    fn write(&mut self, issue: (&'static str, &'static str, &'static str), body: &'static str, time: i64) {
        let number = self.next_ticket();
        let draft = self.created(number, issue, body, time);
        self.deliver(draft);
        let answered = time + self.rng.between(20, 200) * MINUTE;
        let draft = self.account.ticket(number, "ticket.comment_added", answered);
        self.deliver(draft.text("author", "agent").text("body", words::ANSWER));
        let solved = answered + self.rng.between(4, 40) * HOUR;
        let draft = self.account.ticket(number, "ticket.status_changed", solved);
        let draft = draft.text("previous_status", "open").text("status", "solved");
        self.deliver(draft.with("solved_at", Value::Time(Timestamp(solved))));
    }

    fn next_ticket(&mut self) -> u64 {
        self.account.tickets += 1;
        self.account.tickets
    }

    fn created(
        &mut self,
        number: u64,
        issue: (&'static str, &'static str, &'static str),
        body: &'static str,
        time: i64,
    ) -> Draft {
        let priority = self.rng.pick(&["low", "normal", "normal", "high"]);
        // What is planted is known by its name; everybody else's troubles are their own.
        let is_planted = issue == Plan::issue(self.account);
        let cause =
            if is_planted { issue.2.to_owned() } else { format!("{}-{}", issue.2, self.account.number) };
        self.account
            .ticket(number, "ticket.created", time)
            .text("status", "new")
            .text("priority", priority)
            .text("author", "customer")
            .text("feature_area", issue.0)
            .text("category", issue.1)
            .text("root_cause", cause)
            .text("body", body)
    }

    /// The month's invoice, which is paid at once unless something is planted.
    fn pay(&mut self, plan: Option<&Plan>) {
        let due = (self.day - self.account.invoice_day) % INVOICE_DAYS == 0;
        let planted = plan.is_some_and(|plan| {
            plan.day == self.day && matches!(plan.kind, Plant::Declined | Plant::PaidFirst)
        });
        if due && self.day >= self.account.invoice_day && !planted {
            let draft = self.account.invoice(self.day, "invoice.paid", self.midnight + 10 * HOUR);
            self.deliver(draft.int("attempt_count", 1).text("status", "paid"));
        }
    }
}

/// What is planted.
impl Scene<'_> {
    fn play(&mut self, plan: &Plan) {
        if plan.visits(self.day) {
            self.visit(9 * HOUR);
        }
        if plan.day == self.day && matches!(plan.kind, Plant::Silence | Plant::Fortnightly) {
            self.visit(17 * HOUR + 30 * MINUTE);
        }
        if matches!(plan.kind, Plant::QuietExit | Plant::PriceReading)
            && (plan.day..plan.back).contains(&self.day)
            && (self.day - plan.day) % 7 < 3
        {
            let dwell = self.rng.between(30, 60) * SECOND;
            self.read_prices(dwell);
        }
        self.absence(plan);
        for (place, time) in plan.moments.iter().enumerate() {
            if (self.midnight..self.midnight + DAY).contains(time) {
                self.moment(plan, place, *time);
            }
        }
    }

    /// The champion comes alone, at this time of the day.
    fn visit(&mut self, time: i64) {
        let draft = self.account.usage(CHAMPION, "login.succeeded", self.midnight + time);
        self.deliver_promptly(draft.property("method", Value::text("password")));
        self.use_product(CHAMPION, self.midnight + time + SECOND);
    }

    /// What happens while nobody of the customer's is there: our staff looks in, a pause begins and ends.
    fn absence(&mut self, plan: &Plan) {
        if plan.kind == Plant::Silence && self.day == plan.day + 3 {
            let draft = self.account.usage(CHAMPION, "login.succeeded", self.midnight + 11 * HOUR);
            self.deliver_promptly(draft.text("traffic", "internal"));
        }
        if plan.kind == Plant::Paused && self.day == plan.day {
            let draft = self.account.profile("paused", self.midnight + 18 * HOUR);
            self.deliver_promptly(draft);
        }
        if plan.kind == Plant::Paused && self.day == plan.back {
            let draft = self.account.profile("active", self.midnight + 12 * HOUR);
            self.deliver_promptly(draft);
        }
    }

    /// One of the plan's key events.
    fn moment(&mut self, plan: &Plan, place: usize, time: i64) {
        let last = place + 1 == plan.moments.len();
        match plan.kind {
            Plant::FailedLogins => {
                self.attempt("login.failed", time);
                if last {
                    self.attempt("login.succeeded", time + 25 * MINUTE);
                }
            }
            Plant::MistypedLogins if place % 3 == 2 => self.attempt("login.succeeded", time),
            Plant::MistypedLogins => self.attempt("login.failed", time),
            Plant::Declined if last => self.paid(plan.day, time, 3),
            Plant::Declined => self.declined(plan.day, place, time, SECOND),
            Plant::PaidFirst if last => self.paid(plan.day, time, 2),
            Plant::PaidFirst => self.declined(plan.day, place, time, 2 * HOUR),
            Plant::RepeatedIssue => {
                let body = self.rng.pick(&words::UPSET);
                let number = self.next_ticket();
                let issue = Plan::issue(self.account);
                let draft = self.created(number, issue, body, time);
                self.deliver_promptly(draft);
            }
            Plant::FollowUps => self.follow_up(place, time),
            Plant::ConnectionFailures | Plant::TenAnHour => {
                self.fail(0, time, true);
                if last {
                    let draft = self.account.connection(0, "connection.restored", time + 40 * MINUTE);
                    self.deliver_promptly(draft.int("severity_number", 9));
                }
            }
            _ => {}
        }
    }

    fn attempt(&mut self, name: &'static str, time: i64) {
        let draft = self.account.usage(UNLUCKY, name, time);
        let draft = draft.property("method", Value::text("password"));
        self.deliver_promptly(if name == "login.failed" {
            draft.property("reason", Value::text("bad_password"))
        } else {
            draft
        });
    }

    fn declined(&mut self, invoice: i64, place: usize, time: i64, delay: i64) {
        let attempt = i64::try_from(place).unwrap_or(0) + 1;
        let draft = self.account.invoice(invoice, "invoice.payment_failed", time);
        let draft = draft.int("attempt_count", attempt).text("status", "open");
        let draft = draft.text("decline_code", "insufficient_funds").text("decline_class", "soft");
        let draft = draft.text("hosted_invoice_url", format!("https://pay.example/{invoice}"));
        let retry = Value::Time(Timestamp(time + 2 * DAY));
        self.queue.push(draft.with("next_payment_attempt", retry).delayed(delay));
    }

    fn paid(&mut self, invoice: i64, time: i64, attempt: i64) {
        let draft = self.account.invoice(invoice, "invoice.paid", time);
        self.deliver_promptly(draft.int("attempt_count", attempt).text("status", "paid"));
    }

    /// Five records of one issue: two tickets, one of them told twice, a follow-up and a merged one.
    fn follow_up(&mut self, place: usize, time: i64) {
        let (issue, body) = (Plan::issue(self.account), self.rng.pick(&words::CALM));
        // Far above the numbers of the account's other tickets.
        let number = 9000 + if place == 1 { 0 } else { place as u64 };
        let draft = self.created(number, issue, body, time);
        let before = format!("t-{}-{}", self.account.number, number.saturating_sub(1));
        self.deliver_promptly(match place {
            2 => draft
                .with("is_follow_up", Value::Bool(true))
                .with("linked_ticket_ids", Value::List(vec![Value::text(before)])),
            4 => draft.text("merged_into", before),
            _ => draft,
        });
    }
}
