//! Dead letters under way.

use std::collections::BTreeMap;

use crate::runtime::letters::{Failed, LetterWriter};
use crate::runtime::sink::{Sink, SinkError};

/// Dead letters under way.
#[derive(Debug)]
pub(super) struct Letters {
    writer: LetterWriter,
    /// Letters not acknowledged yet: the slot and offset of their record.
    under_way: BTreeMap<u64, (usize, i64)>,
}

impl Letters {
    /// Letters that are written so.
    #[must_use]
    pub(super) const fn new(writer: LetterWriter) -> Self {
        Self { writer, under_way: BTreeMap::new() }
    }

    /// Sends a record of a slot there.
    ///
    /// # Errors
    /// If the sink fails.
    pub(super) fn send(
        &mut self,
        (token, slot): (u64, usize),
        failed: &Failed<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), SinkError> {
        self.under_way.insert(token, (slot, failed.record.offset));
        self.writer.send(token, failed, sink)
    }

    /// A letter was acknowledged; whether the token was one of a letter.
    pub(super) fn acknowledged(&mut self, token: u64) -> bool {
        self.under_way.remove(&token).is_some()
    }

    /// The first offset of a slot whose letter is not acknowledged: it must not be passed by a commit.
    #[must_use]
    pub(super) fn first_under_way(&self, slot: usize) -> Option<i64> {
        self.under_way.values().filter(|(own, _)| *own == slot).map(|(_, offset)| *offset).min()
    }
}
