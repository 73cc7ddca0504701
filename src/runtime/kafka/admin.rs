//! Our topics: how they must be, making them, finding what is wrong with them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::settings::MAX_RECORD_BYTES;
use super::{Connection, REQUEST_TIMEOUT};
use crate::config::Topics;
use crate::runtime::system::system_partition;

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// Number of partitions when it is made.
    pub partitions: i32,
    /// Topic configuration that matters to us.
    pub config: Vec<(&'static str, String)>,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// Its number of partitions.
    pub partitions: i32,
    /// Configuration that differs from the plan: name, found, planned.
    pub deviations: Vec<(String, String, String)>,
}

/// The cluster could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The client failed.
    #[error("the cluster could not be asked: {0}")]
    Client(#[from] KafkaError),
    /// A topic was not made.
    #[error("topic `{topic}` could not be made: {code}")]
    Refused {
        /// The topic.
        topic: String,
        /// The broker's reason.
        code: RDKafkaErrorCode,
    },
}

const DAY_MS: i64 = 86_400_000;

/// The topics of an application as they should be (`contracts.md` §1).
#[must_use]
pub fn plans(topics: &Topics, journal_partitions: u16) -> Vec<TopicPlan> {
    let partitions = i32::from(journal_partitions);
    let plan = |name: &String, cleanup: &str, more: &[(&'static str, String)]| TopicPlan {
        name: name.clone(),
        partitions,
        config: std::iter::once(("cleanup.policy", cleanup.to_owned())).chain(more.iter().cloned()).collect(),
    };
    let days = |days: i64| (days * DAY_MS).to_string();
    let append_time = ("message.timestamp.type", "LogAppendTime".to_owned());
    vec![
        plan(&topics.journal, "delete", &[append_time, ("retention.ms", days(7))]),
        TopicPlan {
            partitions: system_partition(journal_partitions) + 1,
            ..plan(&topics.changelog, "compact", &[("delete.retention.ms", days(1))])
        },
        plan(
            &topics.dead_letters,
            "delete",
            &[("retention.ms", days(14)), ("max.message.bytes", MAX_RECORD_BYTES.to_owned())],
        ),
        plan(&topics.alerts, "delete", &[]),
        plan(&topics.alerts_state, "compact", &[]),
        plan(&topics.decisions, "delete", &[]),
        plan(&topics.health, "compact", &[]),
    ]
}

/// The client for topics.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// If a property is refused.
    pub fn open(connection: &Connection) -> Result<Self, AdminError> {
        Ok(Self { client: connection.admin().create()? })
    }

    /// Makes the topics that do not exist, with so many replicas (-1: the cluster's default); returns their names. Those
    /// that exist are left as they are.
    ///
    /// # Errors
    /// If the cluster does not answer or refuses one.
    pub fn create(&self, plans: &[TopicPlan], replicas: i32) -> Result<Vec<String>, AdminError> {
        let topics: Vec<NewTopic<'_>> = plans
            .iter()
            .map(|plan| {
                let new = NewTopic::new(&plan.name, plan.partitions, TopicReplication::Fixed(replicas));
                plan.config.iter().fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let mut made = Vec::new();
        for result in wait_for(self.client.create_topics(&topics, &options()))? {
            match result {
                Ok(topic) => made.push(topic),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(AdminError::Refused { topic, code }),
            }
        }
        Ok(made)
    }

    /// How these topics are; those that do not exist are missing from the answer.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub fn describe(&self, plans: &[TopicPlan]) -> Result<Vec<TopicState>, AdminError> {
        let metadata = self.client.inner().fetch_metadata(None, REQUEST_TIMEOUT)?;
        let existing: Vec<(&TopicPlan, i32)> = plans
            .iter()
            .filter_map(|plan| {
                let topic = metadata.topics().iter().find(|topic| topic.name() == plan.name)?;
                Some((plan, i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)))
            })
            .collect();
        let asked: Vec<ResourceSpecifier<'_>> =
            existing.iter().map(|(plan, _)| ResourceSpecifier::Topic(&plan.name)).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let answers = wait_for(self.client.describe_configs(&asked, &options()))?;
        let mut states = Vec::new();
        for ((plan, partitions), answer) in existing.into_iter().zip(answers) {
            let found = answer.map_err(|code| AdminError::Refused { topic: plan.name.clone(), code })?;
            let deviations = plan
                .config
                .iter()
                .filter_map(|(name, planned)| {
                    let value = found.get(name)?.value.clone().unwrap_or_default();
                    (value != *planned).then(|| ((*name).to_owned(), value, planned.clone()))
                })
                .collect();
            states.push(TopicState { name: plan.name.clone(), partitions, deviations });
        }
        Ok(states)
    }

    /// Numbers of partitions of all topics of the cluster, by name.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub fn topics(&self) -> Result<Vec<(String, i32)>, AdminError> {
        let metadata = self.client.inner().fetch_metadata(None, REQUEST_TIMEOUT)?;
        let mut topics: Vec<_> = metadata
            .topics()
            .iter()
            .map(|topic| {
                (topic.name().to_owned(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))
            })
            .collect();
        topics.sort();
        Ok(topics)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the admin client's answer, which comes from a thread of its own.
fn wait_for<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plans;
    use crate::config::Topics;

    #[test]
    fn the_journals_time_is_the_brokers() {
        let name = str::to_owned;
        let topics = Topics {
            journal: name("journal"),
            changelog: name("changelog"),
            dead_letters: name("dlq"),
            alerts: name("alerts"),
            alerts_state: name("state"),
            decisions: name("decisions"),
            health: name("health"),
        };
        let plans = plans(&topics, 12);
        let journal = plans.iter().find(|plan| plan.name == "journal").unwrap();
        assert_eq!(journal.partitions, 12);
        assert!(journal.config.contains(&("message.timestamp.type", "LogAppendTime".to_owned())));
        assert!(journal.config.contains(&("retention.ms", "604800000".to_owned())));
        let compacted: Vec<_> = plans
            .iter()
            .filter(|plan| plan.config.contains(&("cleanup.policy", "compact".to_owned())))
            .map(|plan| plan.name.as_str())
            .collect();
        assert_eq!(compacted, ["changelog", "state", "health"]);
    }
}
