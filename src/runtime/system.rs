//! Publishing system records: to every journal partition, and where they must outlive the journal, to the changelog.

use std::time::Duration;

use super::sink::{Outgoing, Sink};
use super::worker::WorkerError;
use crate::journal::{System, encode_system};

/// How long the log may take to acknowledge them.
const PATIENCE: Duration = Duration::from_secs(30);

/// The partition of the changelog that holds the system records, in the order in which they were written: the one after
/// those of the journal's rows.
#[must_use]
pub const fn system_partition(journal_partitions: u16) -> i32 {
    journal_partitions as i32
}

/// Where system records go.
#[derive(Debug, Clone)]
pub struct SystemTopics {
    /// The journal.
    pub journal: String,
    /// Its number of partitions.
    pub partitions: u16,
    /// The changelog.
    pub changelog: String,
}

/// The key under which a record is kept in the changelog; `None` for those that live in the journal alone.
#[must_use]
pub fn changelog_key(system: &System) -> Option<String> {
    match system {
        System::Rules { .. } => Some("system/rules".to_owned()),
        System::Mapping { generation, first, .. } => Some(match first.first() {
            None => format!("system/mapping/{generation}"),
            // The offset is part of it: compaction must not let a second word on the same version win.
            Some((source, offset)) => {
                format!("system/mapping/{generation}/{}/{}/{offset}", source.topic, source.partition)
            }
        }),
        System::SourceRetired { source, .. } => {
            Some(format!("system/retired/{}/{}", source.topic, source.partition))
        }
        _ => None,
    }
}

/// Publishes a record to every partition of the journal, after keeping it in the changelog if it belongs there.
/// Returns once all is acknowledged: repeated after an error, it changes nothing that was published.
///
/// # Errors
/// If something can't be written or is not acknowledged in time.
pub fn publish_system(
    sink: &mut impl Sink,
    topics: &SystemTopics,
    system: &System,
) -> Result<(), WorkerError> {
    let mut bytes = Vec::new();
    encode_system(system, &mut bytes);
    if let Some(key) = changelog_key(system) {
        sink.send(Outgoing {
            topic: &topics.changelog,
            partition: Some(system_partition(topics.partitions)),
            key: Some(key.as_bytes()),
            value: Some(&bytes),
            headers: &[],
            token: 0,
        })?;
        settle(sink)?;
    }
    for partition in 0..i32::from(topics.partitions) {
        sink.send(Outgoing {
            topic: &topics.journal,
            partition: Some(partition),
            key: None,
            value: Some(&bytes),
            headers: &[],
            token: 0,
        })?;
    }
    settle(sink)
}

/// Waits until all that a plain sink was sent is acknowledged.
///
/// # Errors
/// If something can't be written or is not acknowledged in time.
pub fn settle(sink: &mut (impl Sink + ?Sized)) -> Result<(), WorkerError> {
    let step = Duration::from_millis(100);
    let mut tokens = Vec::new();
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        sink.acknowledged(step, &mut tokens)?;
        if sink.in_flight() == 0 {
            return Ok(());
        }
    }
    Err(WorkerError::Unacknowledged(sink.in_flight()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{SystemTopics, publish_system};
    use crate::event::{SourcePartition, Timestamp};
    use crate::intake::partition_of;
    use crate::journal::{Entry, System};
    use crate::runtime::clock::VirtualClock;
    use crate::runtime::memory_log::{MemoryLog, TimeOf};

    #[test]
    fn rules_reach_every_partition_and_are_kept() {
        let log = MemoryLog::new(Arc::new(VirtualClock::new(Timestamp(0))), partition_of);
        log.create("journal", 3, TimeOf::Append);
        log.create("changelog", 4, TimeOf::Append);
        let topics =
            SystemTopics { journal: "journal".to_owned(), partitions: 3, changelog: "changelog".to_owned() };
        let rules = System::Rules {
            generation: 7,
            rule_set: "abc".into(),
            body: vec![("a.yaml".into(), "rules: []".into())],
            seed: false,
        };
        publish_system(&mut log.sink(), &topics, &rules).unwrap();
        let quarantine = System::Quarantine { partition: 1, offset: 5, reason: "x".into() };
        publish_system(&mut log.sink(), &topics, &quarantine).unwrap();
        let read = |topic: &str, partition| {
            log.read(&SourcePartition { topic: topic.into(), partition }, 0).unwrap()
        };
        for partition in 0..3 {
            let records = read("journal", partition);
            let parsed: Vec<_> = records
                .iter()
                .map(|(_, record)| Entry::parse(record.value.as_deref().unwrap()).unwrap())
                .collect();
            assert_eq!(parsed, [Entry::System(rules.clone()), Entry::System(quarantine.clone())]);
        }
        let kept = read("changelog", 3);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].1.key.as_deref(), Some(b"system/rules".as_slice()));
    }
}
