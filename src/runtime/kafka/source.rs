//! Reading Kafka as a static member of a group.
//!
//! Rebalances are taken note of when librdkafka reports them and carried out by the poll after the one that told the caller:
//! in between, a new partition can be sought and a revoked one committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode as NativeCommit, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tracing::warn;

use super::batch::BatchQueue;
use super::watch::Watch;
use super::{Connection, Group, REQUEST_TIMEOUT, bounds};
use crate::event::SourcePartition;
use crate::runtime::source::{Assignment, CommitMode, Record, Source, SourceError};

/// A member of one of the application's groups.
pub struct KafkaSource {
    batch: BatchQueue<Rebalances>,
    consumer: Arc<BaseConsumer<Rebalances>>,
    /// The change that the caller was told of and that the next poll carries out.
    told: Assignment,
    /// Where newly assigned partitions begin, as far as the caller has said so.
    starts: Vec<(SourcePartition, i64)>,
}

/// What librdkafka reports between polls.
#[derive(Debug, Default)]
pub struct Rebalances {
    state: Mutex<Reported>,
    watch: Watch,
}

#[derive(Debug, Default)]
struct Reported {
    changes: VecDeque<Assignment>,
    commit_error: Option<KafkaError>,
    /// The consumer is being closed: nobody will be told of a revocation any more.
    closing: bool,
}

impl Rebalances {
    fn with<T>(&self, act: impl FnOnce(&mut Reported) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        warn!(%error, reason, "the consumer reports an error");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.watch.statistics(statistics);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.with(|state| state.closing) {
            if let Err(error) = consumer.unassign() {
                warn!(%error, "the last partitions could not be let go");
            }
            return;
        }
        let concerned = list(partitions);
        let change = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Assignment::Assigned(concerned),
            _ if consumer.assignment_lost() => Assignment::Lost(concerned),
            _ => Assignment::Revoked(concerned),
        };
        self.with(|state| state.changes.push_back(change));
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.with(|state| state.commit_error = Some(error));
        }
    }
}

impl KafkaSource {
    /// Joins a group as its member number `thread` of this process and subscribes.
    ///
    /// # Errors
    /// If a property or a topic's name is refused.
    pub fn open(
        connection: &Connection,
        group: Group,
        thread: usize,
        topics: &[String],
    ) -> Result<Self, SourceError> {
        let context = Rebalances { watch: connection.watch(group.name()), ..Rebalances::default() };
        let consumer: BaseConsumer<Rebalances> =
            connection.consumer(group, thread).create_with_context(context).map_err(failed)?;
        let consumer = Arc::new(consumer);
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(failed)?;
        let batch = BatchQueue::new(Arc::clone(&consumer), topics)
            .ok_or_else(|| SourceError(format!("no queue for the topics {}", topics.join(", "))))?;
        Ok(Self { batch, consumer, told: Assignment::Unchanged, starts: Vec::new() })
    }

    /// The consumer, for the transactions that commit its offsets.
    pub(super) fn consumer(&self) -> Arc<BaseConsumer<Rebalances>> {
        Arc::clone(&self.consumer)
    }

    /// Carries out the change that the caller was told of.
    fn carry_out(&mut self) -> Result<(), SourceError> {
        match std::mem::replace(&mut self.told, Assignment::Unchanged) {
            Assignment::Unchanged => Ok(()),
            Assignment::Revoked(_) | Assignment::Lost(_) => self.consumer.unassign().map_err(failed),
            Assignment::Assigned(partitions) => {
                let mut assignment = TopicPartitionList::with_capacity(partitions.len());
                for partition in &partitions {
                    if !self.batch.forward(partition) {
                        return Err(SourceError(format!("{partition:?} is unknown to the client")));
                    }
                    let sought = self.starts.iter().find(|(own, _)| own == partition);
                    let start = match sought {
                        Some((_, offset)) => Some(*offset),
                        None => self.committed(partition)?,
                    };
                    let start = start.map_or(Offset::Beginning, Offset::Offset);
                    assignment
                        .add_partition_offset(&partition.topic, partition.partition, start)
                        .map_err(failed)?;
                }
                self.starts.clear();
                self.consumer.assign(&assignment).map_err(failed)
            }
        }
    }

    /// Serves what the consumer itself has to say.
    fn events(&self) -> Result<(), SourceError> {
        while self.batch.consumer_waits() {
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Err(error)) => tolerate(error.rdkafka_error_code(), &error.to_string())?,
                Some(Ok(_)) => return Err(SourceError("a record came past its queue".to_owned())),
            }
        }
        match self.consumer.context().with(|state| state.commit_error.take()) {
            Some(error) => Err(failed(error)),
            None => Ok(()),
        }
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration, visit: &mut dyn FnMut(Record<'_>)) -> Result<Assignment, SourceError> {
        self.carry_out()?;
        self.events()?;
        if let Some(change) = self.consumer.context().with(|state| state.changes.pop_front()) {
            self.told = change.clone();
            return Ok(change);
        }
        if let (_, Some(error)) = self.batch.visit(wait, visit) {
            tolerate(Some(error.code), &error.message)?;
        }
        Ok(Assignment::Unchanged)
    }

    fn seek(&mut self, partition: &SourcePartition, offset: i64) -> Result<(), SourceError> {
        if let Assignment::Assigned(partitions) = &self.told
            && partitions.contains(partition)
        {
            self.starts.retain(|(own, _)| own != partition);
            self.starts.push((partition.clone(), offset));
            return Ok(());
        }
        self.consumer
            .seek(&partition.topic, partition.partition, Offset::Offset(offset), REQUEST_TIMEOUT)
            .map_err(failed)
    }

    fn committed(&mut self, partition: &SourcePartition) -> Result<Option<i64>, SourceError> {
        let asked = native(&[(partition.clone(), None)])?;
        let answer = self.consumer.committed_offsets(asked, REQUEST_TIMEOUT).map_err(failed)?;
        match answer.elements().first() {
            Some(element) => {
                element.error().map_err(failed)?;
                Ok(raw(element.offset()))
            }
            None => Ok(None),
        }
    }

    fn bounds(&mut self, partition: &SourcePartition) -> Result<(i64, i64), SourceError> {
        bounds(&self.consumer, &partition.topic, partition.partition).map_err(failed)
    }

    fn known_end(&self, partition: &SourcePartition) -> Option<i64> {
        self.batch.known_bounds(partition).map(|(_, end)| end)
    }

    fn position(&self, partition: &SourcePartition) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        raw(positions.find_partition(&partition.topic, partition.partition)?.offset())
    }

    fn commit(&mut self, offsets: &[(SourcePartition, i64)], mode: CommitMode) -> Result<(), SourceError> {
        let offsets: Vec<_> = offsets.iter().map(|(own, offset)| (own.clone(), Some(*offset))).collect();
        let mode = match mode {
            CommitMode::Wait => NativeCommit::Sync,
            CommitMode::Background => NativeCommit::Async,
        };
        self.consumer.commit(&native(&offsets)?, mode).map_err(failed)
    }

    fn set_paused(&mut self, partition: &SourcePartition, paused: bool) -> Result<(), SourceError> {
        let concerned = native(&[(partition.clone(), None)])?;
        if paused { self.consumer.pause(&concerned) } else { self.consumer.resume(&concerned) }
            .map_err(failed)
    }
}

impl Drop for KafkaSource {
    /// A member that has settled is closed without leaving, so that a restarted one finds its partitions again. Any other
    /// leaves first and answers every change that was reported up to then: closing does not wait for a change that is
    /// reported meanwhile, and whoever answers that one waits for a client that is no more.
    fn drop(&mut self) {
        let reported = self.consumer.context().with(|state| {
            state.closing = true;
            !state.changes.is_empty()
        });
        let told = reported || self.told != Assignment::Unchanged;
        let has_any = self.consumer.assignment().is_ok_and(|own| own.count() > 0);
        if has_any && !told && !self.batch.consumer_waits() {
            return;
        }
        if told && let Err(error) = self.consumer.unassign() {
            warn!(%error, "the partitions could not be let go");
        }
        self.consumer.unsubscribe();
        while self.batch.consumer_waits() {
            self.consumer.poll(Duration::ZERO);
        }
    }
}

/// Whether the client goes on by itself after this error; any other ends the source.
fn tolerate(code: Option<RDKafkaErrorCode>, message: &str) -> Result<(), SourceError> {
    use RDKafkaErrorCode as Code;
    match code {
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::Resolve
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator,
        ) => {
            warn!(message, "the consumer waits for a broker");
            Ok(())
        }
        _ => Err(SourceError(message.to_owned())),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: KafkaError) -> SourceError {
    SourceError(error.to_string())
}

fn raw(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn list(partitions: &TopicPartitionList) -> Vec<SourcePartition> {
    let own = |topic: &str, partition| SourcePartition { topic: topic.into(), partition };
    let mut list: Vec<_> =
        partitions.elements().iter().map(|element| own(element.topic(), element.partition())).collect();
    list.sort();
    list
}

/// The client's form of a list of partitions, with offsets where there are any.
pub(super) fn native(offsets: &[(SourcePartition, Option<i64>)]) -> Result<TopicPartitionList, SourceError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        let offset = offset.map_or(Offset::Invalid, Offset::Offset);
        list.add_partition_offset(&partition.topic, partition.partition, offset).map_err(failed)?;
    }
    Ok(list)
}
