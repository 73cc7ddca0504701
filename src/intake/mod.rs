//! Source records become canonical events: decode, map, validate, text features, route. Pure: schemas are handed in.

mod alike;
mod avro;
pub mod breaker;
mod decoded;
mod draft;
mod json;
mod limits;
pub mod mapping;
mod mask;
mod plan;
mod properties;
mod require;
mod route;
mod source;
#[cfg(test)]
mod tests;
pub mod text;
mod trie;
mod wire;

use std::collections::BTreeMap;

use crate::event::Alike;

pub use crate::event::routing::{entity, murmur2, partition_of};
pub use avro::SchemaError;
pub use decoded::{Counts, DeadLetter, DeadReason, Decoded, Filtered, Stage};
pub use draft::Target;
pub use properties::{Property, PropertyType};
pub use route::{Route, alert_partition, route};
pub use source::SourceSettings;
pub use trie::Step;
pub use wire::{Format, Headers, Record, SchemaId};

use draft::Digest;
use mask::Fingerprints;
use source::Source;
use text::Scorer;

/// A record can't be decoded before this schema is handed in with [`Intake::add_schema`], or declared missing with
/// [`Intake::refuse_schema`]; then the same record is decoded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the schema {0} is needed")]
pub struct NeedsSchema(pub SchemaId);

/// Decodes the records of all sources. One a thread.
pub struct Intake {
    sources: Vec<Source>,
    schemas: BTreeMap<SchemaId, Result<Box<str>, Box<str>>>,
    digest: Digest,
}

impl Intake {
    /// Compiles mappings and paths; the sources keep their places.
    #[must_use]
    pub fn new(sources: Vec<SourceSettings>, scorer: Scorer) -> Self {
        Self {
            sources: sources.into_iter().map(Source::new).collect(),
            schemas: BTreeMap::new(),
            digest: Digest { scorer, fingerprints: Fingerprints::default() },
        }
    }

    /// What was said of a source.
    #[must_use]
    pub fn source(&self, source: usize) -> Option<&SourceSettings> {
        self.sources.get(source).map(|source| &source.settings)
    }

    /// Hands in a schema, as the registry has it. One that can't be used makes dead letters of its records.
    pub fn add_schema(&mut self, id: SchemaId, json: &str) {
        self.schemas.insert(id, Ok(json.into()));
        self.sources.iter_mut().for_each(|source| source.forget(id));
    }

    /// The registry does not know the schema: its records are dead letters.
    pub fn refuse_schema(&mut self, id: SchemaId, why: &str) {
        self.schemas.insert(id, Err(why.into()));
        self.sources.iter_mut().for_each(|source| source.forget(id));
    }

    /// The event of a record that is like one decoded before. `None` says nothing: the record is to be decoded, and what
    /// became of it given to [`Intake::learn`].
    #[inline]
    pub fn alike<'e>(&'e mut self, source: usize, record: &Record<'e>) -> Option<Alike<'e>> {
        self.sources.get_mut(source)?.alike(record, &mut self.digest)
    }

    /// What has become of the last record, for which [`Intake::alike`] had nothing.
    pub fn learn(&mut self, source: usize, decoded: &Decoded<'_>) {
        if let Some(source) = self.sources.get_mut(source) {
            source.learn(decoded);
        }
    }

    /// Decodes a record of a source; `out` is emptied first.
    ///
    /// # Errors
    /// If its schema has not been handed in.
    pub fn decode<'a>(
        &mut self,
        source: usize,
        record: &Record<'a>,
        out: &mut Decoded<'a>,
    ) -> Result<(), NeedsSchema> {
        out.clear();
        let Some(source) = self.sources.get_mut(source) else { return Ok(()) };
        source.decode(record, &self.schemas, &mut self.digest, out)
    }
}
