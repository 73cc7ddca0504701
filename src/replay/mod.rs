//! The same engine over lines of JSON instead of Kafka: `replay`, the tests beside rules and the scenarios run on it.
//!
//! Pure: lines in, alerts and decisions out; the same lines give the same bytes. Each line is one journal record (its
//! offset is the line's number, from 0), journal time is the highest timestamp so far, and the tick of second s follows
//! all lines with a timestamp up to s (`contracts.md` §4, `rules.md` §14).

mod cases;
mod expect;
mod harness;
mod line;
#[cfg(test)]
mod tests;

pub use cases::{CaseReport, declared as declared_mappings, lines as case_lines, run_tests};
pub use harness::{Dead, Harness, Report};
pub use line::{Line, LineError, topic_of};

use crate::engine::store::StoreError;
use crate::engine::{Activation, Settings, StepError};
use crate::event::Timestamp;
use crate::event::bytes::FormatError;
use crate::intake::SourceSettings;
use crate::intake::mapping::Mapping;

/// Why a replay can't go on. Bad records are none of these: they are counted as dead letters.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line is not what a replay reads.
    #[error("line {number}: {source}")]
    Line {
        /// The line's number, from 1.
        number: u64,
        /// What is wrong with it.
        source: LineError,
    },
    /// The engine refused a record.
    #[error(transparent)]
    Engine(#[from] StepError),
    /// The rows could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A frame that was just written can't be read.
    #[error("a frame of line {number} can't be read back: {source}")]
    Frame {
        /// The line's number, from 1.
        number: u64,
        /// What is wrong with it.
        source: FormatError,
    },
}

/// A task of its own: one journal partition, rules active before all history.
fn settings(began: Timestamp) -> Settings {
    Settings {
        application_id: "replay".into(),
        journal: "journal".into(),
        partition: 0,
        partitions: 1,
        hot_bytes: 64 << 20,
        activate: Activation::Replay(began),
    }
}

/// The sources of a replay: the topics of the contract, and those that mappings name.
#[must_use]
pub fn sources(mappings: &[Mapping]) -> Vec<SourceSettings> {
    let mut sources: Vec<SourceSettings> =
        crate::event::Kind::ALL.into_iter().map(|kind| SourceSettings::new(topic_of(kind), kind)).collect();
    for mapping in mappings {
        let known = sources.iter().position(|source| source.topic == mapping.topic);
        let place = known.unwrap_or_else(|| {
            sources.push(SourceSettings::new(mapping.topic.clone(), mapping.kind));
            sources.len() - 1
        });
        if let Some(source) = sources.get_mut(place) {
            source.mappings.push(mapping.clone());
        }
    }
    sources
}
