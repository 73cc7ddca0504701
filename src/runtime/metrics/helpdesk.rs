//! The family of tickets (`contracts.md` §8.2), as far as the events alone tell.

use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::pipeline::{name, one, seconds};
use super::{Catalogue, MetricsError};
use crate::engine::helpdesk::{Tag, TicketTally};

/// Label of issues that are not listed in `metrics.issues`.
const OTHER: &str = "other";
const LAG_SECONDS: [f64; 4] = [60.0, 3600.0, 86_400.0, 604_800.0];
const LAG: &str = "From the time a ticket was solved to the time it was tagged, 0 if it was tagged before";

/// Counters of tickets.
#[derive(Debug)]
pub(super) struct Helpdesk {
    created: IntCounterVec,
    repeats: IntCounterVec,
    escalated: IntCounter,
    to_engineering: IntCounter,
    manager_requests: IntCounter,
    tags: IntCounterVec,
    tag_lag: Histogram,
    issues: Vec<String>,
}

impl Helpdesk {
    pub(super) fn register(catalogue: &mut Catalogue, issues: &[String]) -> Result<Self, MetricsError> {
        let this = Self {
            created: catalogue.counters(
                &name("tickets_total"),
                &["issue"],
                "Tickets created, follow-ups and merged ones apart, by the first of issue_key, feature_area, integration \
                 that `metrics.issues` lists, else other",
            )?,
            repeats: catalogue.counters(
                &name("tickets_repeat_total"),
                &["issue"],
                "Of these, tickets whose account had another one with the same issue_key in the 30 days before, counted when \
                 the key is known",
            )?,
            escalated: catalogue
                .counter(&name("tickets_escalated_total"), "Tickets, at their first escalation")?,
            to_engineering: catalogue.counter(
                &name("tickets_escalated_to_engineering_total"),
                "Tickets, at their first escalation to engineering",
            )?,
            manager_requests: catalogue.counter(
                &name("manager_requests_total"),
                "Tickets, at the first request for a manager",
            )?,
            tags: catalogue.counters(
                &name("ticket_tags_total"),
                &["tag", "present"],
                "Whether tickets have a tag when they should: feature_area when solved, root_cause when a repeat is solved, \
                 escalation_reason when escalated",
            )?,
            tag_lag: one(catalogue, "ticket_tag_lag_seconds", LAG, &LAG_SECONDS)?,
            issues: issues.to_vec(),
        };
        for issue in this.issues.iter().map(String::as_str).chain([OTHER]) {
            this.created.with_label_values(&[issue]);
            this.repeats.with_label_values(&[issue]);
        }
        for tag in Tag::ALL {
            this.tags.with_label_values(&[tag.name(), "yes"]);
            this.tags.with_label_values(&[tag.name(), "no"]);
        }
        Ok(this)
    }

    /// The label of a ticket about these things.
    fn issue<'a>(&'a self, about: &[Box<str>]) -> &'a str {
        let listed = about.iter().find_map(|name| self.issues.iter().find(|issue| ***issue == **name));
        listed.map_or(OTHER, |issue| issue)
    }

    pub(super) fn apply(&self, tally: &TicketTally) {
        for about in &tally.created {
            self.created.with_label_values(&[self.issue(about)]).inc();
        }
        for about in &tally.repeats {
            self.repeats.with_label_values(&[self.issue(about)]).inc();
        }
        self.escalated.inc_by(tally.escalated);
        self.to_engineering.inc_by(tally.to_engineering);
        self.manager_requests.inc_by(tally.manager_requests);
        for (tag, present) in Tag::ALL.into_iter().zip(tally.tags) {
            self.tags.with_label_values(&[tag.name(), "yes"]).inc_by(present.yes);
            self.tags.with_label_values(&[tag.name(), "no"]).inc_by(present.no);
        }
        tally.tag_lags_ms.iter().for_each(|ms| self.tag_lag.observe(seconds(*ms)));
    }
}
