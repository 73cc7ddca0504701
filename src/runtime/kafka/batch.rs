//! librdkafka's queues themselves: records by the hundred, so that the cost of a call is paid once a batch, and reports of a
//! producer as soon as they come.
//!
//! The only file with unsafe code. Everything here upholds four facts: the client outlives its queues, a message is read
//! only between its consumption and its destruction, what a message points to belongs to librdkafka throughout, and a
//! callback is taken back before what it is given goes away.
#![expect(unsafe_code, reason = "the safe wrapper has no call for consuming batches, nor for waiting")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ops::Deref;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka_sys as sys;

use crate::event::{SourcePartition, Timestamp};
use crate::intake::Headers;
use crate::runtime::source::Record;

/// Records taken from the queue in one go.
const BATCH: usize = 1024;

/// A queue of our own that partitions are forwarded to, read in batches.
///
/// The consumer's own queue can't be read in batches: rebalances wait in it, and the batch call would answer them itself.
pub struct BatchQueue<C: ConsumerContext + 'static> {
    queue: *mut sys::rd_kafka_queue_t,
    consumer_queue: *mut sys::rd_kafka_queue_t,
    taken: Vec<*mut sys::rd_kafka_message_t>,
    topics: Vec<CString>,
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread, and `taken` is empty between calls.
unsafe impl<C: ConsumerContext + 'static> Send for BatchQueue<C> {}

/// An error that came in place of a record.
#[derive(Debug, Clone)]
pub struct FetchError {
    /// What it is.
    pub code: RDKafkaErrorCode,
    /// The client's words.
    pub message: String,
}

impl<C: ConsumerContext + 'static> BatchQueue<C> {
    /// A queue for these topics of this consumer; `None` if it is in no group or a name can't be one of a topic.
    #[must_use]
    pub fn new(consumer: Arc<BaseConsumer<C>>, topics: &[String]) -> Option<Self> {
        let topics =
            topics.iter().map(|name| CString::new(name.as_str()).ok()).collect::<Option<Vec<_>>>()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive, as we hold the consumer; both calls return a new reference or null.
        let (queue, consumer_queue) =
            unsafe { (sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_get_consumer(client)) };
        let own = Self { queue, consumer_queue, taken: Vec::with_capacity(BATCH), topics, consumer };
        (!own.queue.is_null() && !own.consumer_queue.is_null()).then_some(own)
    }

    /// Whether the consumer's own queue holds an event.
    #[must_use]
    pub fn consumer_waits(&self) -> bool {
        // SAFETY: the queue is ours until we are dropped.
        unsafe { sys::rd_kafka_queue_length(self.consumer_queue) > 0 }
    }

    /// Sends what is fetched for a partition here; whether the partition is known.
    ///
    /// To be called before each assignment: librdkafka keeps a queue that was forwarded before it begins to fetch, and
    /// lets it go when it stops.
    #[must_use]
    pub fn forward(&self, partition: &SourcePartition) -> bool {
        let Some(topic) = self.topic_name(&partition.topic) else { return false };
        // SAFETY: client and name are alive; the returned reference is given back after its only use.
        unsafe {
            let own = sys::rd_kafka_queue_get_partition(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition.partition,
            );
            if own.is_null() {
                return false;
            }
            sys::rd_kafka_queue_forward(own, self.queue);
            sys::rd_kafka_queue_destroy(own);
        }
        true
    }

    /// Earliest and next offset of a partition as of the last fetch; `None` if it was not fetched yet.
    #[must_use]
    pub fn known_bounds(&self, partition: &SourcePartition) -> Option<(i64, i64)> {
        let topic = self.topic_name(&partition.topic)?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client and name are alive, and the call only writes the two numbers.
        let error = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition.partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some((low, high))
    }

    fn topic_name(&self, name: &str) -> Option<&CStr> {
        self.topics.iter().find(|own| own.as_bytes() == name.as_bytes()).map(CString::as_c_str)
    }

    /// Waits up to `wait` for the first record and visits all that are there, up to a batch. Returns how many there were and
    /// the first error that came between them.
    pub fn visit(
        &mut self,
        wait: Duration,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> (usize, Option<FetchError>) {
        self.take(Duration::ZERO, BATCH);
        if self.taken.is_empty() && !wait.is_zero() {
            // The call waits until it has as many as were asked for, so the wait is for one.
            self.take(wait, 1);
            self.take(Duration::ZERO, BATCH - self.taken.len());
        }
        let mut error = None;
        let mut topic = (ptr::null_mut(), 0);
        for &message in &self.taken {
            // SAFETY: the message was taken from the queue above and is destroyed below, after its last use.
            let failed = unsafe { self.visit_one(message, &mut topic, visit) };
            error = error.or(failed);
        }
        let count = self.taken.len();
        for message in self.taken.drain(..) {
            // SAFETY: ours since it was taken, and no record borrows from it any more.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
        (count, error)
    }

    /// Appends up to `most` messages to those taken.
    fn take(&mut self, wait: Duration, most: usize) {
        let old = self.taken.len();
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        self.taken.resize(old + most, ptr::null_mut());
        // SAFETY: the queue is ours, and there is room for `most` pointers behind those taken before.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue, wait, self.taken.as_mut_ptr().add(old), most)
        };
        self.taken.truncate(old + usize::try_from(count).unwrap_or(0));
    }

    /// `topic`: that of the message before, and its place.
    ///
    /// # Safety
    /// The message must be alive, and consumed from this queue.
    unsafe fn visit_one(
        &self,
        message: *mut sys::rd_kafka_message_t,
        topic: &mut (*mut sys::rd_kafka_topic_t, usize),
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Option<FetchError> {
        // SAFETY: alive by contract; all that it points to lives as long as it does.
        unsafe {
            let raw = &*message;
            if raw.err != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let text = bytes(raw.payload, raw.len).unwrap_or_default();
                let message = String::from_utf8_lossy(text).into_owned();
                return Some(FetchError { code: raw.err.into(), message });
            }
            if topic.0 != raw.rkt {
                let name = CStr::from_ptr(sys::rd_kafka_topic_name(raw.rkt));
                let Some(place) = self.topics.iter().position(|own| own.as_c_str() == name) else {
                    let message = format!("a record of {} was not asked for", name.to_string_lossy());
                    return Some(FetchError { code: RDKafkaErrorCode::UnknownTopicOrPartition, message });
                };
                *topic = (raw.rkt, place);
            }
            let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            let timestamp = sys::rd_kafka_message_timestamp(message, &raw mut kind);
            let headers = MessageHeaders(message);
            visit(Record {
                topic: topic.1,
                partition: raw.partition,
                offset: raw.offset,
                timestamp: Timestamp(timestamp.max(0)),
                key: bytes(raw.key, raw.key_len),
                value: bytes(raw.payload, raw.len),
                headers: &headers,
            });
        }
        None
    }
}

impl<C: ConsumerContext + 'static> Drop for BatchQueue<C> {
    fn drop(&mut self) {
        for queue in [self.queue, self.consumer_queue] {
            if !queue.is_null() {
                // SAFETY: our own reference, and the client is still alive.
                unsafe { sys::rd_kafka_queue_destroy(queue) };
            }
        }
    }
}

/// A producer whose reports can be waited for: its own poll takes all the time that it is given, whatever comes, and burns
/// what is shorter than a millisecond.
pub struct Reporting<C: ProducerContext + 'static> {
    queue: *mut sys::rd_kafka_queue_t,
    bell: Box<Bell>,
    producer: BaseProducer<C>,
}

// SAFETY: librdkafka's queues may be used from any thread, and so may the bell.
unsafe impl<C: ProducerContext + 'static> Send for Reporting<C> {}

/// Rings when a report comes into an empty queue.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

extern "C" fn ring(_: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: the bell that was given with this callback, which is taken back before the bell goes away.
    let bell = unsafe { &*bell.cast::<Bell>() };
    *bell.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
    bell.changed.notify_one();
}

impl<C: ProducerContext + 'static> Reporting<C> {
    /// Waits for the reports of this producer from now on.
    pub fn new(producer: BaseProducer<C>) -> Self {
        let mut bell = Box::<Bell>::default();
        // SAFETY: the client is alive, as the producer is ours; the bell stays where it is until we are dropped.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_main(producer.client().native_ptr());
            sys::rd_kafka_queue_cb_event_enable(queue, Some(ring), (&raw mut *bell).cast());
            queue
        };
        Self { queue, bell, producer }
    }

    /// Tells the context all that is reported, after waiting for the first report, at most this long.
    pub fn serve(&self, most: Duration) {
        if !self.waits() && !most.is_zero() {
            let rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let rung = self.bell.changed.wait_timeout_while(rung, most, |rung| !*rung);
            *rung.unwrap_or_else(PoisonError::into_inner).0 = false;
        }
        while self.waits() {
            self.producer.poll(Duration::ZERO);
        }
    }

    fn waits(&self) -> bool {
        // SAFETY: the queue is ours until we are dropped.
        unsafe { sys::rd_kafka_queue_length(self.queue) > 0 }
    }
}

impl<C: ProducerContext + 'static> Deref for Reporting<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Reporting<C> {
    fn drop(&mut self) {
        // SAFETY: our own reference, and the client is still alive; nobody rings after the first call.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// Headers of a message that is alive for as long as this is borrowed.
#[derive(Debug)]
struct MessageHeaders(*const sys::rd_kafka_message_t);

impl Headers for MessageHeaders {
    fn header(&self, place: usize) -> Option<(&str, &[u8])> {
        let mut headers = ptr::null_mut();
        let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) =
            (ptr::null(), ptr::null(), 0);
        // SAFETY: the message is alive while this is borrowed, it owns its headers, and they own names and values.
        unsafe {
            let error = sys::rd_kafka_message_headers(self.0, &raw mut headers);
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let error =
                sys::rd_kafka_header_get_all(headers, place, &raw mut name, &raw mut value, &raw mut size);
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let name = CStr::from_ptr(name).to_str().unwrap_or("");
            Some((name, bytes(value.cast_mut(), size).unwrap_or_default()))
        }
    }
}

/// # Safety
/// Unless null, the pointer must lead to `len` bytes that live as long as the caller uses them.
unsafe fn bytes<'a>(start: *mut c_void, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: by contract.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}
