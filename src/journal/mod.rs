//! The ordered log between intake and detect: frames of canonical events that say what they cover.
//!
//! Pure: bytes in, bytes out. The byte format is asserted in tests.

pub mod broadcast;
mod build;
pub mod coverage;
mod frame;
pub mod identity;
pub mod items;
mod system;

#[cfg(test)]
mod tests;

use crate::event::bytes::{FormatError, Reader};
use crate::event::{Kind, SourcePartition, Timestamp};

pub use build::FrameBuilder;
pub use frame::{Cursor, Events, Frame};
pub use system::encode_system;

/// Format version, in the upper half of a record's first byte; the lower half is the record's type.
const VERSION: u8 = 1;

/// The first byte of a record of this type.
const fn head(record: u8) -> u8 {
    VERSION << 4 | record
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    /// Events, and what they cover.
    Frame(Frame<'a>),
    /// A change of how the stream is read.
    System(System),
}

impl<'a> Entry<'a> {
    /// Reads a record's header; the events of a frame are read by its cursor.
    ///
    /// # Errors
    /// If the bytes are no journal record, or one of a later build.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let first = reader.byte()?;
        if first >> 4 != VERSION {
            return Err(FormatError::Version(first >> 4));
        }
        match first & 0x0f {
            frame::RECORD => Frame::parse(reader).map(Self::Frame),
            record => system::parse(record, reader).map(Self::System),
        }
    }
}

/// What a frame completes for one source partition: every offset in `from..=to` has been dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The source partition (a forwarding task: this journal and its partition).
    pub source: SourcePartition,
    /// First offset covered.
    pub from: i64,
    /// Last offset covered; `from - 1` where nothing is new.
    pub to: i64,
    /// Log end offset of the source as far as the worker knows.
    pub end: i64,
    /// Highest event time less the allowed lateness, never falling; [`Timestamp::MIN`] before the first event.
    pub watermark: Timestamp,
    /// Whether nothing is left to read (`to + 1 >= end`).
    pub caught_up: bool,
}

/// A record that changes how the stream is read (`contracts.md` §4).
#[derive(Debug, Clone, PartialEq)]
pub enum System {
    /// A rule set with its body becomes active.
    Rules {
        /// Apply time, ms; not above the last: ignored.
        generation: i64,
        /// Hash of the body.
        rule_set: Box<str>,
        /// The files: name and text, by name.
        body: Vec<(Box<str>, Box<str>)>,
        /// Whether new series are seeded from the journal.
        seed: bool,
    },
    /// A mapping becomes active from an offset on.
    Mapping {
        /// Apply time, ms.
        generation: i64,
        /// Hash of the body.
        version: Box<str>,
        /// The files: name and text, by name.
        body: Vec<(Box<str>, Box<str>)>,
        /// First offset it applies to, by source partition.
        first: Vec<(SourcePartition, i64)>,
    },
    /// A source partition that frames will cover from now on.
    SourceAdded {
        /// The partition.
        source: SourcePartition,
        /// What its topic carries.
        kind: Kind,
        /// First offset it will cover.
        first: i64,
        /// Allowed lateness, ms.
        lateness_ms: i64,
    },
    /// An operator accepts that offsets are lost.
    SourceMoved {
        /// The partition.
        source: SourcePartition,
        /// What its topic carries.
        kind: Kind,
        /// First offset it will cover.
        first: i64,
        /// Why.
        reason: Box<str>,
        /// Who says so.
        actor: Box<str>,
    },
    /// A source partition that is gone for good.
    SourceRetired {
        /// The partition.
        source: SourcePartition,
        /// What its topic carried.
        kind: Kind,
    },
    /// A journal record that killed the engine and is skipped by every run.
    Quarantine {
        /// The journal partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// What happened.
        reason: Box<str>,
    },
}
