//! What correctness leans on in the topics of ours, held to the cluster before anything begins: all that is wrong at once.

use std::fmt;

use crate::config::Topics;
use crate::runtime::kafka::admin::{TopicPlan, TopicState};

/// How long the changelog keeps tombstones at least, ms.
pub(super) const TOMBSTONES_MS: i64 = 86_400_000;

/// A topic is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicMistake {
    /// It is missing.
    #[error(
        "topic `{0}` does not exist\n  hint: `forewarn topics create` makes it, as does `forewarn run --create-topics`"
    )]
    Missing(String),
    /// The journal or the changelog is not as configured.
    #[error(
        "topic `{topic}` has {found} partitions, it must have {planned} where `journal.partitions` is {configured}\n  hint: the number can't change; set `journal.partitions` to what the journal has"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: i32,
        /// How many it must have.
        planned: i32,
        /// How many the journal should have.
        configured: u16,
    },
    /// The changelog has no partition for the system records.
    #[error(
        "the changelog `{topic}` has {found} partitions, it needs {needed}: one more than the journal\n  hint: add partitions to it"
    )]
    Changelog {
        /// The changelog.
        topic: String,
        /// How many it has.
        found: i32,
        /// How many it needs.
        needed: i32,
    },
    /// A setting is another one.
    #[error("topic `{topic}`: {setting} is {found}, it must be {planned}")]
    Setting {
        /// The topic.
        topic: String,
        /// The setting.
        setting: String,
        /// What it is.
        found: String,
        /// What it must be.
        planned: String,
    },
}

/// All that is wrong with the topics, one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMistakes(pub Vec<TopicMistake>);

impl fmt::Display for TopicMistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mistake) in self.0.iter().enumerate() {
            write!(out, "{}{mistake}", if place == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for TopicMistakes {}

/// Holds what there is to what must be, in the order of the plans.
///
/// # Errors
/// All that is wrong.
pub(super) fn check(
    plans: &[TopicPlan],
    states: &[TopicState],
    (topics, journal_partitions): (&Topics, u16),
) -> Result<(), TopicMistakes> {
    let mut mistakes = Vec::new();
    for plan in plans {
        let Some(state) = states.iter().find(|state| state.name == plan.name) else {
            mistakes.push(TopicMistake::Missing(plan.name.clone()));
            continue;
        };
        let leans_on: &[&str] = match &plan.name {
            name if *name == topics.journal => &["message.timestamp.type", "cleanup.policy"],
            name if *name == topics.changelog => &["cleanup.policy", "delete.retention.ms"],
            _ => continue,
        };
        let (topic, found) = (plan.name.clone(), state.partitions);
        if plan.name == topics.changelog && found < plan.partitions {
            mistakes.push(TopicMistake::Changelog { topic, found, needed: plan.partitions });
        } else if found != plan.partitions {
            let (planned, configured) = (plan.partitions, journal_partitions);
            mistakes.push(TopicMistake::Partitions { topic, found, planned, configured });
        }
        for (setting, found, planned) in &state.deviations {
            let longer = |found: &str| found.parse::<i64>().is_ok_and(|found| found >= TOMBSTONES_MS);
            let fine = setting == "delete.retention.ms" && longer(found);
            if leans_on.contains(&setting.as_str()) && !fine {
                mistakes.push(TopicMistake::Setting {
                    topic: plan.name.clone(),
                    setting: setting.clone(),
                    found: found.clone(),
                    planned: planned.clone(),
                });
            }
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(TopicMistakes(mistakes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kafka::admin::plans;

    fn as_planned(topics: &Topics) -> (Vec<TopicPlan>, Vec<TopicState>) {
        let plans = plans(topics, 4);
        let state = |plan: &TopicPlan| TopicState {
            name: plan.name.clone(),
            partitions: plan.partitions,
            deviations: Vec::new(),
        };
        let states = plans.iter().map(state).collect();
        (plans, states)
    }

    fn topics() -> Topics {
        Topics {
            journal: "risk-journal".to_owned(),
            changelog: "risk-changelog".to_owned(),
            dead_letters: "risk-dead-letters".to_owned(),
            alerts: "risk.alerts".to_owned(),
            alerts_state: "risk.alerts.state".to_owned(),
            decisions: "risk.decisions".to_owned(),
            health: "risk.health".to_owned(),
        }
    }

    #[test]
    fn topics_as_planned_are_fine_and_the_changelog_may_keep_tombstones_longer() {
        let topics = topics();
        let (plans, mut states) = as_planned(&topics);
        assert_eq!(check(&plans, &states, (&topics, 4)), Ok(()));
        let deviation = |setting: &str, found: &str| (setting.to_owned(), found.to_owned(), String::new());
        states[1].deviations = vec![deviation("delete.retention.ms", "86400001")];
        // What correctness does not lean on is the operator's business.
        states[0].deviations = vec![deviation("retention.ms", "1")];
        assert_eq!(check(&plans, &states, (&topics, 4)), Ok(()));
        states[1].deviations = vec![deviation("delete.retention.ms", "86399999")];
        assert!(check(&plans, &states, (&topics, 4)).is_err());
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let topics = topics();
        let (plans, mut states) = as_planned(&topics);
        states[0].partitions = 3;
        let deviation = ("message.timestamp.type", "CreateTime", "LogAppendTime");
        states[0].deviations = vec![(deviation.0.to_owned(), deviation.1.to_owned(), deviation.2.to_owned())];
        states[1].partitions = 4;
        states.retain(|state| state.name != topics.alerts);
        let mistakes = check(&plans, &states, (&topics, 4)).unwrap_err();
        let text = mistakes.to_string();
        let first_lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("  hint: ")).collect();
        assert_eq!(
            first_lines,
            [
                "topic `risk-journal` has 3 partitions, it must have 4 where `journal.partitions` is 4",
                "topic `risk-journal`: message.timestamp.type is CreateTime, it must be LogAppendTime",
                "the changelog `risk-changelog` has 4 partitions, it needs 5: one more than the journal",
                "topic `risk.alerts` does not exist",
            ]
        );
    }
}
