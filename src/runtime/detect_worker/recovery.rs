//! Where a task begins: what its store, the changelog, the group and the journal say, weighed against each other
//! (`design.md` §4).

use crate::runtime::changelog::stamp::Stamp;

/// Why a store is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discard {
    /// The journal no longer has the records that follow its position.
    BeforeJournal,
    /// It knows more than was published: the group's offsets were set back, or the journal was made anew.
    AheadOfCommitted,
    /// It is so old that the changelog has forgotten what was deleted since, and another machine went further.
    Outdated,
    /// It holds something else than was written.
    Corrupt,
    /// What an unfinished restore has left.
    Unfinished,
}

impl Discard {
    /// The reason, for the log.
    #[must_use]
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::BeforeJournal => "its position lies before the journal's start",
            Self::AheadOfCommitted => "its position lies after the committed offset",
            Self::Outdated => {
                "it is older than the changelog's delete.retention.ms, and the changelog is newer"
            }
            Self::Corrupt => "it is corrupt",
            Self::Unfinished => "its restore did not come to an end",
        }
    }
}

/// A task can't begin without people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Neither store nor changelog reaches the journal's start.
    #[error(
        "the journal of partition {partition} starts at offset {start}, after every state that there is ({states})\n  \
         records between are gone (the journal's retention was shorter than the outage), so the rows can't be rebuilt\n  \
         hint: put back a copy of `state.path` whose position is {start} or later; or begin anew with another application_id, and raise the journal's retention.ms"
    )]
    JournalStartsAfter {
        /// The journal partition.
        partition: i32,
        /// The journal's first offset.
        start: i64,
        /// What store and changelog say.
        states: String,
    },
    /// Entities lie in other partitions now.
    #[error(
        "the {place} of partition {partition} belongs to a journal of {stored} partitions, this one has {configured}\n  \
         hint: set `journal.partitions` to {stored}; entities lie in other partitions otherwise, so another number needs a new application_id"
    )]
    Partitions {
        /// Store or changelog.
        place: &'static str,
        /// The journal partition.
        partition: i32,
        /// The journal's partitions when it was written.
        stored: u16,
        /// The journal's partitions now.
        configured: u16,
    },
    /// Another version would replay what this one must repeat to the letter.
    #[error(
        "the {place} of partition {partition} was written by version {stored} at position {position}, the committed offset is {committed}, and this is version {ours}\n  \
         another version may say something else about the records between than what was published\n  \
         hint: run version {stored} once more and stop it with SIGTERM, which leaves nothing between; then start version {ours}"
    )]
    Engine {
        /// Store or changelog.
        place: &'static str,
        /// The journal partition.
        partition: i32,
        /// The version that wrote it.
        stored: String,
        /// This version.
        ours: String,
        /// The state's position.
        position: i64,
        /// The group's committed offset.
        committed: i64,
    },
}

/// A state that a task could begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Its position.
    pub position: i64,
    /// Who wrote it.
    pub stamp: Stamp,
}

/// All that is known when a task begins.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    /// The journal partition.
    pub partition: i32,
    /// The local store's last checkpoint.
    pub store: Option<State>,
    /// The changelog's last marker.
    pub marker: Option<State>,
    /// The group's committed offset.
    pub committed: Option<i64>,
    /// The journal's first offset.
    pub journal_start: i64,
    /// What this process would write now.
    pub ours: &'a Stamp,
    /// How long the changelog keeps tombstones, ms.
    pub tombstones_ms: i64,
}

/// What a task begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The local store.
    Store,
    /// The changelog.
    Changelog,
    /// Nothing: the journal holds all that ever was.
    Nothing,
}

/// How a task begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Why the store is discarded first.
    pub discard: Option<Discard>,
    /// With what.
    pub base: Base,
    /// The first offset to read.
    pub start: i64,
    /// Records before this offset were published already: they change rows, and say nothing.
    pub silent_until: i64,
}

impl Situation<'_> {
    /// Weighs the states against each other.
    ///
    /// # Errors
    /// If people must decide.
    pub(super) fn plan(&self) -> Result<Plan, RecoveryError> {
        let committed = self.committed.unwrap_or(0);
        let discard = self.store.as_ref().and_then(|store| self.discard(store));
        let (base, state) = match (&self.store, &self.marker) {
            (Some(store), _) if discard.is_none() => (Base::Store, Some(store)),
            (_, Some(marker)) if (self.journal_start..=committed).contains(&marker.position) => {
                (Base::Changelog, Some(marker))
            }
            _ => (Base::Nothing, None),
        };
        if let Some(state) = state {
            self.check(base, state, committed)?;
        } else if self.journal_start > 0 && self.committed.is_some() {
            return Err(self.journal_starts_after());
        }
        let start = state.map_or(self.journal_start, |state| state.position);
        Ok(Plan { discard, base, start, silent_until: committed.max(start) })
    }

    fn discard(&self, store: &State) -> Option<Discard> {
        let age = self.ours.written.since(store.stamp.written);
        let newer = |marker: &State| marker.position > store.position;
        if store.position > self.committed.unwrap_or(0) {
            Some(Discard::AheadOfCommitted)
        } else if store.position < self.journal_start {
            Some(Discard::BeforeJournal)
        } else if age > self.tombstones_ms && self.marker.as_ref().is_some_and(newer) {
            Some(Discard::Outdated)
        } else {
            None
        }
    }

    fn check(&self, base: Base, state: &State, committed: i64) -> Result<(), RecoveryError> {
        let place = if base == Base::Store { "state store" } else { "changelog" };
        let (stored, ours) = (&state.stamp, self.ours);
        if stored.partitions != ours.partitions {
            return Err(RecoveryError::Partitions {
                place,
                partition: self.partition,
                stored: stored.partitions,
                configured: ours.partitions,
            });
        }
        if stored.engine != ours.engine && state.position != committed {
            return Err(RecoveryError::Engine {
                place,
                partition: self.partition,
                stored: stored.engine.to_string(),
                ours: ours.engine.to_string(),
                position: state.position,
                committed,
            });
        }
        Ok(())
    }

    fn journal_starts_after(&self) -> RecoveryError {
        let told = |place: &str, state: &Option<State>| match state {
            Some(state) => format!("{place} at {}", state.position),
            None => format!("no {place}"),
        };
        let states = [told("state store", &self.store), told("changelog marker", &self.marker)].join(", ");
        RecoveryError::JournalStartsAfter { partition: self.partition, start: self.journal_start, states }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    const DAY: i64 = 86_400_000;

    fn stamp(engine: &str, partitions: u16, written: i64) -> Stamp {
        Stamp { engine: engine.into(), partitions, written: Timestamp(written) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "a state is what a task may have")]
    fn state(position: i64) -> Option<State> {
        Some(State { position, stamp: stamp("1", 4, 0) })
    }

    fn situation(
        (store, marker): (Option<State>, Option<State>),
        committed: Option<i64>,
        journal_start: i64,
        ours: &Stamp,
    ) -> Situation<'_> {
        Situation { partition: 3, store, marker, committed, journal_start, ours, tombstones_ms: DAY }
    }

    fn plan(
        states: (Option<State>, Option<State>),
        committed: Option<i64>,
        start: i64,
    ) -> Result<Plan, RecoveryError> {
        situation(states, committed, start, &stamp("1", 4, 0)).plan()
    }

    fn begins(discard: Option<Discard>, base: Base, start: i64, silent_until: i64) -> Plan {
        Plan { discard, base, start, silent_until }
    }

    #[test]
    fn a_task_goes_on_at_its_checkpoint_and_is_silent_up_to_what_was_published() {
        for (store, marker, low) in [(70, None, 10), (100, None, 10), (10, None, 10), (70, state(90), 10)] {
            let expected = begins(None, Base::Store, store, 100);
            assert_eq!(plan((state(store), marker), Some(100), low).unwrap(), expected);
        }
    }

    #[test]
    fn without_a_store_the_changelog_is_restored() {
        assert_eq!(plan((None, state(60)), Some(100), 10).unwrap(), begins(None, Base::Changelog, 60, 100));
        let before = Some(Discard::BeforeJournal);
        assert_eq!(
            plan((state(9), state(60)), Some(100), 10).unwrap(),
            begins(before, Base::Changelog, 60, 100)
        );
    }

    #[test]
    fn without_any_state_a_whole_journal_is_replayed() {
        assert_eq!(plan((None, None), Some(100), 0).unwrap(), begins(None, Base::Nothing, 0, 100));
        assert_eq!(plan((None, None), None, 0).unwrap(), begins(None, Base::Nothing, 0, 0));
        assert_eq!(plan((None, None), None, 10).unwrap(), begins(None, Base::Nothing, 10, 10));
    }

    #[test]
    fn states_of_another_history_are_of_no_use() {
        let ahead = Some(Discard::AheadOfCommitted);
        assert_eq!(plan((state(70), None), Some(50), 0).unwrap(), begins(ahead, Base::Nothing, 0, 50));
        assert_eq!(plan((state(70), state(60)), None, 0).unwrap(), begins(ahead, Base::Nothing, 0, 0));
        assert_eq!(
            plan((state(70), state(40)), Some(50), 0).unwrap(),
            begins(ahead, Base::Changelog, 40, 50)
        );
    }

    #[test]
    fn a_journal_that_starts_after_every_state_stops_the_task_and_says_what_to_do() {
        let error = plan((state(5), state(9)), Some(100), 10).unwrap_err();
        let RecoveryError::JournalStartsAfter { start: 10, .. } = error else { panic!("{error}") };
        let text = error.to_string();
        assert!(text.contains("state store at 5, changelog marker at 9"), "{text}");
        assert!(text.contains("hint: put back a copy of `state.path`"), "{text}");
        assert!(plan((None, None), Some(100), 10).is_err());
    }

    #[test]
    fn a_store_older_than_the_changelogs_tombstones_gives_way_to_a_newer_marker() {
        let now = stamp("1", 4, DAY + 1);
        let old = |marker| situation((state(70), marker), Some(100), 10, &now).plan().unwrap();
        assert_eq!(old(state(90)), begins(Some(Discard::Outdated), Base::Changelog, 90, 100));
        // All were down: nothing is newer, and the store is as good as it was.
        assert_eq!(old(state(60)), begins(None, Base::Store, 70, 100));
        assert_eq!(old(None), begins(None, Base::Store, 70, 100));
    }

    #[test]
    fn another_number_of_partitions_is_refused() {
        let ours = stamp("1", 8, 0);
        let error = situation((None, state(60)), Some(100), 10, &ours).plan().unwrap_err();
        assert!(
            matches!(error, RecoveryError::Partitions { place: "changelog", stored: 4, configured: 8, .. }),
            "{error}"
        );
        let error = situation((state(60), None), Some(100), 10, &ours).plan().unwrap_err();
        assert!(matches!(error, RecoveryError::Partitions { place: "state store", .. }), "{error}");
    }

    #[test]
    fn another_version_goes_on_only_where_nothing_lies_between() {
        let ours = stamp("2", 4, 0);
        let error = situation((state(70), None), Some(100), 10, &ours).plan().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("written by version 1 at position 70, the committed offset is 100"), "{text}");
        assert!(text.contains("run version 1 once more and stop it with SIGTERM"), "{text}");
        let clean = situation((state(100), None), Some(100), 10, &ours).plan().unwrap();
        assert_eq!(clean, begins(None, Base::Store, 100, 100));
        assert!(situation((None, state(70)), Some(100), 10, &ours).plan().is_err());
        assert!(situation((None, state(100)), Some(100), 10, &ours).plan().is_ok());
    }
}
