//! Which mapping an offset is decoded with.
//!
//! The changelog says it: versions of the mappings as `forewarn apply` wrote them, and for each source partition the first
//! offset of each version, written by the partition's owner before it decodes that record. So a record is decoded by the
//! same version however often it is read (`contracts.md` §4).

use std::collections::BTreeMap;

use super::worker::WorkerError;
use crate::document::Mistakes;
use crate::event::SourcePartition;
use crate::intake::mapping::Mapping;
use crate::journal::{Entry, Frame, System};

/// The log that remembers mappings, beside the journal that shows what was decoded already.
pub trait MappingLog: Send {
    /// Topic and partition of the system records.
    fn place(&self) -> SourcePartition;

    /// The system records that came since the last call, in their order, up to the present end of the log.
    ///
    /// # Errors
    /// If the log can't be read.
    fn news(&mut self) -> Result<Vec<System>, WorkerError>;

    /// The next offset of a source that nobody has decoded: above every frame of the journal that covers offsets from
    /// `start` on. `None` if that can't be said with the effort that a switch of mappings is worth.
    ///
    /// # Errors
    /// If the log can't be read.
    fn decoded(&mut self, source: &SourcePartition, start: i64) -> Result<Option<i64>, WorkerError>;
}

/// What the frames of one journal partition tell of a source, read in their order from somewhere on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The offset after the last that is covered.
    pub next: i64,
    /// Whether it goes back to before the offset in question, so that nothing is missing.
    pub whole: bool,
}

impl Trace {
    /// Takes in a frame; `start` is the offset in question.
    pub fn frame(&mut self, frame: &Frame<'_>, source: &SourcePartition, start: i64) {
        for coverage in frame.sources.iter().filter(|coverage| coverage.source == *source) {
            self.next = self.next.max(coverage.to.saturating_add(1));
            self.whole |= coverage.from < start;
        }
    }

    /// The same for a journal record; what is no frame tells nothing.
    pub fn record(&mut self, value: &[u8], source: &SourcePartition, start: i64) {
        if let Ok(Entry::Frame(frame)) = Entry::parse(value) {
            self.frame(&frame, source, start);
        }
    }
}

/// The first offset of a version, as it is written to the changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// The source partition.
    pub source: SourcePartition,
    /// The version; 0: the topic has the canonical form.
    pub generation: i64,
    /// The offset.
    pub offset: i64,
}

impl First {
    /// The record that says so. It carries no body: the version's own record has it.
    #[must_use]
    pub fn record(&self) -> System {
        System::Mapping {
            generation: self.generation,
            version: "".into(),
            body: Vec::new(),
            first: vec![(self.source.clone(), self.offset)],
        }
    }
}

/// What the changelog says of mappings.
#[derive(Debug, Default)]
pub struct Book {
    /// The versions that this build can use, by generation.
    versions: BTreeMap<i64, Vec<Mapping>>,
    /// What is wrong with the others.
    refused: BTreeMap<i64, Mistakes>,
    /// By source partition: generations and the offsets from which they apply.
    first: BTreeMap<SourcePartition, BTreeMap<i64, i64>>,
}

impl Book {
    /// Takes in a system record, in the order of the log: of two first offsets of a version the earlier record counts.
    ///
    /// # Errors
    /// If it is a version that this build can't use: it is never switched to.
    pub fn take(&mut self, record: &System) -> Result<(), (i64, &Mistakes)> {
        if let System::SourceRetired { source, .. } = record {
            self.first.remove(source);
        }
        let System::Mapping { generation, body, first, .. } = record else { return Ok(()) };
        for (source, offset) in first {
            self.first.entry(source.clone()).or_default().entry(*generation).or_insert(*offset);
        }
        if !first.is_empty() || self.versions.contains_key(generation) {
            return Ok(());
        }
        let mut mistakes = Mistakes::default();
        let mappings =
            body.iter().filter_map(|(name, text)| Mapping::parse(name, text, &mut mistakes)).collect();
        if mistakes.is_empty() {
            self.versions.insert(*generation, mappings);
            return Ok(());
        }
        Err((*generation, self.refused.entry(*generation).or_insert(mistakes)))
    }

    /// The newest version that can be used; 0: none was applied.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.versions.keys().next_back().copied().unwrap_or(0)
    }

    /// The newest version that a source partition has a first offset for; `None`: nothing of it was ever decoded.
    #[must_use]
    pub fn reached(&self, source: &SourcePartition) -> Option<i64> {
        self.first.get(source).and_then(|first| first.keys().next_back().copied())
    }

    /// The partitions of a topic that were ever read and not retired since.
    pub fn partitions<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a SourcePartition> {
        self.first.keys().filter(move |source| *source.topic == *topic)
    }

    /// The version that decodes an offset, and the offset at which to ask again.
    #[must_use]
    pub fn at(&self, source: &SourcePartition, offset: i64) -> (i64, i64) {
        let Some(first) = self.first.get(source) else { return (0, i64::MAX) };
        let begun = first.iter().filter(|(_, first)| **first <= offset);
        let generation = begun.map(|(generation, _)| *generation).max().unwrap_or(0);
        let later = first.iter().filter(|(own, first)| **first > offset && **own > generation);
        (generation, later.map(|(_, first)| *first).min().unwrap_or(i64::MAX))
    }

    /// The mappings of a version.
    ///
    /// # Errors
    /// If this build can't use it, or the changelog has lost it.
    pub fn mappings(&self, generation: i64) -> Result<&[Mapping], WorkerError> {
        match (self.versions.get(&generation), self.refused.get(&generation)) {
            (Some(mappings), _) => Ok(mappings),
            (None, Some(mistakes)) => Err(WorkerError::Mappings(mistakes.clone())),
            (None, None) if generation == 0 => Ok(&[]),
            (None, None) => Err(WorkerError::NoMapping(generation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, First, Trace};
    use crate::event::{Kind, SourcePartition, Timestamp};
    use crate::journal::{Coverage, Frame, System};

    const USAGE: &str = "version: 1\nname: a\ntopic: usage\nkind: usage\nset: {event_id: id, event: name}\n";

    fn source() -> SourcePartition {
        SourcePartition { topic: "usage".into(), partition: 0 }
    }

    fn version(generation: i64, text: &str) -> System {
        let body = vec![("a.yaml".into(), text.into())];
        System::Mapping { generation, version: "v".into(), body, first: Vec::new() }
    }

    fn first(generation: i64, offset: i64) -> System {
        First { source: source(), generation, offset }.record()
    }

    #[test]
    fn an_offset_has_the_youngest_version_that_begins_at_or_before_it() {
        let mut book = Book::default();
        for record in [version(5, USAGE), first(0, 10), first(5, 20), first(9, 40), first(5, 17)] {
            book.take(&record).unwrap();
        }
        assert_eq!(book.at(&source(), 10), (0, 20));
        assert_eq!(book.at(&source(), 19), (0, 20), "the earlier record counts");
        assert_eq!(book.at(&source(), 20), (5, 40));
        assert_eq!(book.at(&source(), 40), (9, i64::MAX));
        assert_eq!(book.reached(&source()), Some(9));
        assert_eq!(book.mappings(5).unwrap().len(), 1);
        assert!(book.mappings(9).is_err(), "its body is gone");
        assert!(book.mappings(0).unwrap().is_empty());
    }

    #[test]
    fn a_retired_source_is_as_if_it_had_never_been_read() {
        let mut book = Book::default();
        book.take(&first(5, 20)).unwrap();
        assert_eq!(book.partitions("usage").collect::<Vec<_>>(), [&source()]);
        book.take(&System::SourceRetired { source: source(), kind: Kind::Usage }).unwrap();
        assert_eq!((book.reached(&source()), book.partitions("usage").next()), (None, None));
        book.take(&first(5, 30)).unwrap();
        assert_eq!(book.at(&source(), 30), (5, i64::MAX));
    }

    #[test]
    fn a_version_with_mistakes_is_not_switched_to() {
        let mut book = Book::default();
        book.take(&version(5, USAGE)).unwrap();
        let (generation, mistakes) = book.take(&version(6, "version: 1\nnme: a\n")).unwrap_err();
        assert_eq!(generation, 6);
        assert!(mistakes.to_string().contains("unknown key `nme`"), "{mistakes}");
        assert_eq!(book.newest(), 5);
        assert!(book.mappings(6).is_err());
    }

    #[test]
    fn a_trace_is_whole_once_it_goes_back_to_before_the_start() {
        let covering = |from, to| {
            let watermark = Timestamp::MIN;
            Frame::tick(vec![Coverage { source: source(), from, to, end: to, watermark, caught_up: false }])
        };
        let mut trace = Trace::default();
        trace.frame(&covering(8, 9), &source(), 8);
        assert_eq!(trace, Trace { next: 10, whole: false });
        trace.frame(&covering(7, 7), &source(), 8);
        assert_eq!(trace, Trace { next: 10, whole: true });
    }
}
