//! Writing to Kafka: record by record with acknowledgements, or in transactions.
//!
//! Both are idempotent producers. Any delivery error ends a sink: records after the failed one may be written already, so
//! only a new sink and what was committed tell where to go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext};
use tracing::warn;

use super::batch::Reporting;
use super::maker::Maker;
use super::source::{KafkaSource, Rebalances, native};
use super::watch::Watch;
use super::{Connection, REQUEST_TIMEOUT};
use crate::event::SourcePartition;
use crate::runtime::sink::{Outgoing, Sink, SinkError};

/// A producer that reports here.
pub(super) type Producer = Reporting<Deliveries>;

/// Between two looks whether the client has failed for good, which no report tells.
const LOOK: Duration = Duration::from_millis(50);

/// What became of records, as the client reports it.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    reported: Mutex<Reported>,
    /// Whether tokens are kept, or counted only.
    keeps_tokens: bool,
    watch: Watch,
}

#[derive(Debug, Default)]
struct Reported {
    tokens: Vec<u64>,
    delivered: u64,
    error: Option<String>,
}

impl Deliveries {
    fn with<T>(&self, act: impl FnOnce(&mut Reported) -> T) -> T {
        act(&mut self.reported.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many records were delivered since the client began.
    pub(super) fn delivered(&self) -> u64 {
        self.with(|reported| reported.delivered)
    }
}

/// Waits until so many records were delivered since the client began; whether they were in time.
///
/// # Errors
/// If one of them can't be delivered.
pub(super) fn drain(producer: &Producer, sent: u64, deadline: Instant) -> Result<bool, SinkError> {
    loop {
        check(producer)?;
        if producer.context().delivered() >= sent {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        producer.serve(left.min(LOOK));
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        warn!(%error, reason, "a producer reports an error");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.watch.statistics(statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        self.with(|reported| match result {
            Ok(_) => {
                reported.delivered += 1;
                if self.keeps_tokens {
                    reported.tokens.push(token as u64);
                }
            }
            Err((error, message)) => {
                self.watch.lost(message.topic(), error);
                reported.error.get_or_insert_with(|| error.to_string());
            }
        });
    }
}

/// The first failure, if there was one.
pub(super) fn check(producer: &Producer) -> Result<(), SinkError> {
    if let Some((code, reason)) = producer.client().fatal_error() {
        return Err(SinkError(format!("{code}: {reason}")));
    }
    match producer.context().with(|reported| reported.error.clone()) {
        Some(error) => Err(SinkError(error)),
        None => Ok(()),
    }
}

/// Hands a record to the client, waiting while its buffer is full.
pub(super) fn produce(producer: &Producer, record: &Outgoing<'_>) -> Result<(), SinkError> {
    let token = usize::try_from(record.token).map_err(|_| SinkError("the token is too large".to_owned()))?;
    let mut native = BaseRecord::<[u8], [u8], usize>::with_opaque_to(record.topic, token);
    native.partition = record.partition;
    native.key = record.key;
    native.payload = record.value;
    if !record.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in record.headers {
            headers = headers.insert(Header { key, value: Some(*value) });
        }
        native = native.headers(headers);
    }
    loop {
        match producer.send(native) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                native = back;
                producer.serve(LOOK);
                check(producer)?;
            }
            Err((error, _)) => {
                producer.context().watch.lost(record.topic, &error);
                return Err(failed(error));
            }
        }
    }
}

/// An idempotent writer without transactions or gaps.
pub struct PlainSink {
    producer: Producer,
    in_flight: usize,
    /// Whose offsets it commits once its records are acknowledged: at least once instead of exactly once.
    member: Option<Arc<BaseConsumer<Rebalances>>>,
    /// The offsets of the commit under way.
    committing: Vec<(SourcePartition, Option<i64>)>,
}

impl PlainSink {
    /// Opens a writer; `role` tells its connections apart.
    ///
    /// # Errors
    /// If a property is refused.
    pub fn open(connection: &Connection, role: &str) -> Result<Self, SinkError> {
        let context =
            Deliveries { watch: connection.watch(role), keeps_tokens: true, ..Deliveries::default() };
        let producer = connection.plain_producer(role).create_with_context(context).map_err(failed)?;
        Ok(Self { producer: Producer::new(producer), in_flight: 0, member: None, committing: Vec::new() })
    }

    /// Opens a writer that commits offsets of `source` when all that it was sent is acknowledged. A crash in between
    /// repeats what it wrote.
    ///
    /// # Errors
    /// If a property is refused.
    pub fn open_for(connection: &Connection, role: &str, source: &KafkaSource) -> Result<Self, SinkError> {
        Ok(Self { member: Some(source.consumer()), ..Self::open(connection, role)? })
    }

    /// Takes over what has been reported.
    fn collect(&mut self, tokens: &mut Vec<u64>) -> bool {
        let before = tokens.len();
        self.producer.context().with(|reported| tokens.append(&mut reported.tokens));
        self.in_flight -= tokens.len() - before;
        tokens.len() > before
    }
}

impl Sink for PlainSink {
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError> {
        produce(&self.producer, &record)?;
        self.in_flight += 1;
        Ok(())
    }

    fn acknowledged(&mut self, wait: Duration, tokens: &mut Vec<u64>) -> Result<(), SinkError> {
        let deadline = Instant::now() + wait;
        self.producer.serve(Duration::ZERO);
        loop {
            check(&self.producer)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if self.collect(tokens) || self.in_flight == 0 || left.is_zero() {
                return Ok(());
            }
            self.producer.serve(left.min(LOOK));
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn start_commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError> {
        if self.member.is_none() || !self.committing.is_empty() {
            return Err(SinkError("this sink can't commit, or does so already".to_owned()));
        }
        self.committing = offsets.iter().map(|(own, offset)| (own.clone(), Some(*offset))).collect();
        Ok(())
    }

    fn commit_done(&mut self, wait: Duration) -> Result<bool, SinkError> {
        let Some(member) = self.member.clone() else { return Ok(true) };
        self.acknowledged(wait, &mut Vec::new())?;
        if self.in_flight > 0 {
            return Ok(false);
        }
        let offsets = std::mem::take(&mut self.committing);
        if !offsets.is_empty() {
            let offsets = native(&offsets).map_err(|error| SinkError(error.to_string()))?;
            member.commit(&offsets, CommitMode::Sync).map_err(failed)?;
        }
        Ok(true)
    }
}

/// A writer of transactions.
pub struct TransactionalSink {
    next: Vec<Kept>,
    maker: Maker<Transaction>,
    consumer: Arc<BaseConsumer<Rebalances>>,
}

/// A record of the next transaction.
struct Kept {
    topic: String,
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// All of a transaction.
struct Transaction {
    records: Vec<Kept>,
    offsets: Vec<(SourcePartition, Option<i64>)>,
    /// The membership in which the offsets were read: a member that has lost its partitions is refused.
    member: ConsumerGroupMetadata,
}

impl TransactionalSink {
    /// Opens the writer number `thread` of this process, which commits offsets of `source`. Ends what a predecessor of the
    /// same number may have left open.
    ///
    /// # Errors
    /// If a property is refused, no broker answers, or the cluster does not allow it.
    pub fn open(connection: &Connection, thread: usize, source: &KafkaSource) -> Result<Self, SinkError> {
        let context = Deliveries { watch: connection.watch("output"), ..Deliveries::default() };
        let producer = connection.transactional_producer(thread).create_with_context(context);
        let producer = Producer::new(producer.map_err(failed)?);
        producer.init_transactions(REQUEST_TIMEOUT).map_err(failed)?;
        let timeout = connection.transaction_timeout();
        let mut sent = 0;
        let make = move |transaction: Transaction| {
            sent += transaction.records.len() as u64;
            commit(&producer, &transaction, sent, timeout)
        };
        // The broker has given the transaction up after the time-out: what is not back by then stays away.
        let maker = Maker::start(format!("transactions-{thread}"), timeout * 2, make)?;
        Ok(Self { next: Vec::new(), maker, consumer: source.consumer() })
    }
}

/// Makes one transaction, after whose records the client was given so many. All of it shares the time-out after which the
/// broker gives it up. An error, a time-out included, leaves the outcome open: the producer is not used again.
fn commit(
    producer: &Producer,
    transaction: &Transaction,
    sent: u64,
    timeout: Duration,
) -> Result<(), SinkError> {
    let deadline = Instant::now() + timeout;
    let left = || deadline.saturating_duration_since(Instant::now());
    producer.begin_transaction().map_err(failed)?;
    for record in &transaction.records {
        let headers: Vec<(&str, &[u8])> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        produce(
            producer,
            &Outgoing {
                topic: &record.topic,
                partition: record.partition,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
                token: 0,
            },
        )?;
    }
    if !transaction.offsets.is_empty() {
        let offsets = native(&transaction.offsets).map_err(|error| SinkError(error.to_string()))?;
        producer.send_offsets_to_transaction(&offsets, &transaction.member, left()).map_err(failed)?;
    }
    // The client's own flush looks once in 100 ms.
    if !drain(producer, sent, deadline)? {
        return Err(SinkError("records of a transaction were not acknowledged in time".to_owned()));
    }
    producer.commit_transaction(left()).map_err(failed)
}

impl Sink for TransactionalSink {
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError> {
        self.next.push(Kept {
            topic: record.topic.to_owned(),
            partition: record.partition,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
        });
        Ok(())
    }

    fn acknowledged(&mut self, _: Duration, _: &mut Vec<u64>) -> Result<(), SinkError> {
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.next.len()
    }

    fn start_commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError> {
        if self.maker.is_busy() {
            return Err(SinkError("a commit is under way already".to_owned()));
        }
        let member = self
            .consumer
            .group_metadata()
            .ok_or_else(|| SinkError("the reader is in no group".to_owned()))?;
        self.maker.order(Transaction {
            records: std::mem::take(&mut self.next),
            offsets: offsets.iter().map(|(partition, offset)| (partition.clone(), Some(*offset))).collect(),
            member,
        })
    }

    fn commit_done(&mut self, wait: Duration) -> Result<bool, SinkError> {
        self.maker.is_done(wait)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: KafkaError) -> SinkError {
    SinkError(error.to_string())
}
