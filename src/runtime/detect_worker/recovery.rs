//! Where a task begins: what its store, the group and the journal say, weighed against each other (`design.md` §4).

/// Why a store is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discard {
    /// The journal no longer has the records that follow its position.
    BeforeJournal,
    /// It knows more than was published: the group's offsets were set back, or the journal was made anew.
    AheadOfCommitted,
}

impl Discard {
    /// The reason, for the log.
    #[must_use]
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::BeforeJournal => "its position lies before the journal's start",
            Self::AheadOfCommitted => "its position lies after the committed offset",
        }
    }
}

/// How a task begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Why the store is discarded first.
    pub discard: Option<Discard>,
    /// The first offset to read.
    pub start: i64,
    /// Records before this offset were published already: they change rows, and say nothing.
    pub silent_until: i64,
}

/// Weighs the position of the store's checkpoint, the group's committed offset and the journal's start.
#[must_use]
pub(super) fn plan(checkpoint: Option<i64>, committed: Option<i64>, journal_start: i64) -> Plan {
    let silent_until = committed.unwrap_or(0);
    let discard = match checkpoint {
        Some(position) if position > silent_until => Some(Discard::AheadOfCommitted),
        Some(position) if position < journal_start => Some(Discard::BeforeJournal),
        _ => None,
    };
    let start = match checkpoint {
        Some(position) if discard.is_none() => position,
        _ => journal_start,
    };
    Plan { discard, start, silent_until: silent_until.max(start) }
}

#[cfg(test)]
mod tests {
    use super::{Discard, Plan, plan};

    #[test]
    fn a_task_goes_on_at_its_checkpoint_and_is_silent_up_to_what_was_published() {
        assert_eq!(plan(Some(70), Some(100), 10), Plan { discard: None, start: 70, silent_until: 100 });
        assert_eq!(plan(Some(100), Some(100), 10), Plan { discard: None, start: 100, silent_until: 100 });
        assert_eq!(plan(Some(10), Some(100), 10), Plan { discard: None, start: 10, silent_until: 100 });
    }

    #[test]
    fn without_a_store_the_journal_is_replayed_from_its_start() {
        assert_eq!(plan(None, Some(100), 10), Plan { discard: None, start: 10, silent_until: 100 });
        assert_eq!(plan(None, None, 0), Plan { discard: None, start: 0, silent_until: 0 });
        assert_eq!(plan(None, None, 10), Plan { discard: None, start: 10, silent_until: 10 });
    }

    #[test]
    fn a_store_that_can_not_be_explained_by_the_journal_is_discarded() {
        let before = Plan { discard: Some(Discard::BeforeJournal), start: 10, silent_until: 100 };
        assert_eq!(plan(Some(9), Some(100), 10), before);
        let ahead = Plan { discard: Some(Discard::AheadOfCommitted), start: 0, silent_until: 50 };
        assert_eq!(plan(Some(70), Some(50), 0), ahead);
        let ahead = Plan { discard: Some(Discard::AheadOfCommitted), start: 0, silent_until: 0 };
        assert_eq!(plan(Some(70), None, 0), ahead);
    }
}
