//! Records like one before: what was decoded once is not decoded again.
//!
//! An event is a function of its record. Of error logs and usage, where nothing but id, time, account, user and message
//! differs from one record to the next, most records differ in nothing else; and what those five do is known here. All other
//! bytes that are read are the key under which the event, once decoded, is found again.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::event::{Alike, Event, Kind, MODELS, Timestamp, Value};

use super::decoded::Decoded;
use super::route::{Route, route};

/// Of so many lookups in a row half must find something, or none is made for a while.
const TRIED: u32 = 4096;
/// For so many records.
const PAUSE: u32 = 65_536;
/// Longer keys are not looked up, bytes: models are many.
const KEY_MAX: usize = 4096;

/// What differs between records of one key. Whether `id` and `message` are UTF-8 is still to be seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own<'a> {
    pub id: Option<&'a [u8]>,
    pub time: Option<i64>,
    pub account: Option<&'a str>,
    pub user: Option<&'a str>,
    pub message: Option<&'a [u8]>,
}

/// An event that others are like.
#[derive(Debug)]
struct Model {
    key: Box<[u8]>,
    hash: u64,
    number: u64,
    event: Event<'static>,
}

/// The events that were decoded, by the bytes that made them.
#[derive(Debug, Default)]
pub struct Models {
    /// The key of the record at hand.
    pub key: Vec<u8>,
    /// Its hash, if a model of it is worth keeping.
    wanted: Option<u64>,
    table: HashTable<Model>,
    next: u64,
    tries: u32,
    hits: u32,
    pause: u32,
}

impl Models {
    /// Forgets them all.
    pub fn clear(&mut self) {
        self.table.clear();
        self.wanted = None;
    }

    /// Whether it is worth looking; begins a new key if so.
    pub fn begin(&mut self) -> bool {
        self.wanted = None;
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        self.key.clear();
        true
    }

    /// The event of a record with the key that was put together since [`Models::begin`].
    pub fn find<'e>(
        &'e mut self,
        id: u64,
        time: Timestamp,
        account: &'e str,
        user: Option<&'e str>,
    ) -> Option<Alike<'e>> {
        if self.key.len() > KEY_MAX {
            return None;
        }
        let hash = FixedState::default().hash_one(self.key.as_slice());
        self.tries += 1;
        if self.tries == TRIED {
            self.pause = if self.hits < TRIED / 2 { PAUSE } else { 0 };
            (self.tries, self.hits) = (0, 0);
        }
        match self.table.find(hash, |model| model.hash == hash && *model.key == *self.key) {
            Some(Model { number, event, .. }) => {
                self.hits += 1;
                Some(Alike { model: event, number: *number, account, user, id, time })
            }
            None => {
                self.wanted = Some(hash);
                None
            }
        }
    }

    /// Keeps what a record that nothing was found for has become, if that says what others will become.
    pub fn learn(&mut self, decoded: &Decoded<'_>) {
        let (Some(hash), [event], None, false) =
            (self.wanted.take(), decoded.events.as_slice(), &decoded.dead, decoded.is_notable())
        else {
            return;
        };
        if !is_model(event) {
            return;
        }
        if self.table.len() >= MODELS {
            self.table.clear();
        }
        let model = Model {
            key: self.key.as_slice().into(),
            hash,
            number: self.next,
            event: event.clone().into_owned(),
        };
        self.next += 1;
        self.table.insert_unique(hash, model, |model| model.hash);
    }
}

/// Whether all of an event but the five is a function of the key. Times are written beside the event's own.
fn is_model(event: &Event<'_>) -> bool {
    matches!(event.kind, Kind::Usage | Kind::ErrorLog)
        && event.alias.is_none()
        && event.properties.is_empty()
        && !event.fields.iter().any(|(_, value)| matches!(value, Value::Time(_)))
        && matches!((route(event), &event.account), (Some(Route::Key(key)), Some(account)) if key == *account)
}
