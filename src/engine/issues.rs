//! Which issues an account's tickets of the last 30 days were about: whether a ticket repeats an issue, and whether customers
//! reported one before an alert did (`contracts.md` §5, §8.2). It lies in the account's own row.

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::event::{Field, Timestamp};
use crate::rules::program::{Literal, Path, Test};

use super::scene::{Case, Scene};

/// Fields that name an issue.
pub const NAMES: [Field; 3] = [Field::IssueKey, Field::FeatureArea, Field::Integration];
/// Most names that are remembered; those of the oldest tickets go.
const REPORTS_MAX: usize = 64;
/// How long they are remembered, ms.
const MEMORY_MS: i64 = 30 * 86_400_000;

/// An issue, as it is remembered: hash of the field that names it and of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issue(u64);

impl Issue {
    /// The issue that a field names so.
    #[must_use]
    pub fn of(field: Field, name: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), u64::from(field.number())))
    }
}

/// A ticket on an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Report {
    /// When the ticket was created, event time.
    created: Timestamp,
    /// Hash of the ticket's id.
    ticket: u32,
    issue: Issue,
}

/// What an account's tickets were about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Issues {
    /// Oldest first.
    reports: Vec<Report>,
}

impl Issues {
    /// Whether nothing is remembered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// Bytes it holds on the heap.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.reports.capacity() * size_of::<Report>()
    }

    /// Takes in what a ticket is about now, in place of what it is no longer about.
    pub fn report(&mut self, (ticket, created): (u32, Timestamp), gone: &[Issue], issues: &[Issue]) {
        let stays = |issue: &Issue| !gone.contains(issue) && !issues.contains(issue);
        self.reports.retain(|own| own.ticket != ticket || stays(&own.issue));
        let place = self.reports.partition_point(|own| own.created <= created);
        let new = issues.iter().map(|issue| Report { created, ticket, issue: *issue });
        self.reports.splice(place..place, new);
        let newest = self.reports.last().map_or(created, |last| last.created);
        let first = self.reports.partition_point(|own| own.created < newest.plus(-MEMORY_MS));
        self.reports.drain(..first.max(self.reports.len().saturating_sub(REPORTS_MAX)));
    }

    /// Whether another ticket on an issue was created in the 30 days before this one.
    #[must_use]
    pub fn is_repeat(&self, ticket: u32, created: Timestamp, issue: Issue) -> bool {
        let before = created.plus(-MEMORY_MS)..=created;
        let repeats = |own: &Report| own.issue == issue && own.ticket != ticket;
        self.reports.iter().any(|own| repeats(own) && before.contains(&own.created))
    }

    /// Whether a ticket on one of these issues was created from one time to the other.
    #[must_use]
    pub fn were_reported(&self, issues: &[Issue], from: Timestamp, to: Timestamp) -> bool {
        self.reports.iter().any(|own| issues.contains(&own.issue) && (from..=to).contains(&own.created))
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.reports.len() as u64);
        for Report { created, ticket, issue } in &self.reports {
            put_signed(out, created.0);
            out.extend_from_slice(&ticket.to_le_bytes());
            out.extend_from_slice(&issue.0.to_le_bytes());
        }
    }

    /// Reads what [`Issues::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut issues = Self::default();
        for _ in 0..reader.count()? {
            let created = reader.time()?;
            let ticket = reader.take(4)?.try_into().map_err(|_| FormatError::Truncated)?;
            let issue = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            let (ticket, issue) = (u32::from_le_bytes(ticket), Issue(u64::from_le_bytes(issue)));
            issues.reports.push(Report { created, ticket, issue });
        }
        Ok(issues)
    }
}

impl Scene<'_> {
    /// Whether a ticket on the issue of a case came in between these times, both event time.
    pub(super) fn is_reported(&self, case: Case, from: Timestamp, to: Timestamp) -> bool {
        let Some(dealings) = self.dealings.as_deref().filter(|own| !own.issues.is_empty()) else {
            return false;
        };
        dealings.issues.were_reported(&self.issues_of(case), from, to)
    }

    /// What a case is about: as its entity, its firing event and the filters of its conditions name it.
    fn issues_of(&self, case: Case) -> Vec<Issue> {
        let rule = self.rule(case);
        let mut issues = Vec::new();
        let mut add = |path: &Path, name: &str| match path {
            Path::Field(field) if NAMES.contains(field) => issues.push(Issue::of(*field, name)),
            _ => {}
        };
        if let Some((part, name)) = rule.entity.part.as_ref().zip(self.entity.part) {
            add(&part.path, name);
        }
        for (path, value) in self.episode(case).iter().flat_map(|episode| &episode.captured) {
            if let Some(name) = value.as_text() {
                add(path, name);
            }
        }
        let filters = rule.conditions.iter().flat_map(|own| self.plan.program.filters_of(&own.detector));
        for (path, test) in filters.flat_map(|ix| self.plan.filter(ix).matches.0.iter().flatten()) {
            let Test::AnyOf(literals) = test else { continue };
            for literal in literals {
                if let Literal::Text(name) = literal {
                    add(path, name);
                }
            }
        }
        issues
    }
}

#[cfg(test)]
mod tests {
    use super::{Issue, Issues, MEMORY_MS, REPORTS_MAX};
    use crate::event::bytes::Reader;
    use crate::event::{Field, Timestamp};

    const A: Issue = Issue(1);
    const B: Issue = Issue(2);
    const DAY: i64 = 86_400_000;

    #[test]
    fn another_ticket_on_the_same_issue_within_30_days_makes_a_repeat() {
        let mut issues = Issues::default();
        issues.report((1, Timestamp(0)), &[], &[A]);
        issues.report((2, Timestamp(DAY)), &[], &[B]);
        assert!(!issues.is_repeat(1, Timestamp(0), A), "a ticket does not repeat itself");
        assert!(issues.is_repeat(3, Timestamp(MEMORY_MS), A));
        assert!(!issues.is_repeat(3, Timestamp(MEMORY_MS + 1), A));
        assert!(!issues.is_repeat(3, Timestamp(DAY - 1), B), "a later ticket was not before");
        issues.report((2, Timestamp(DAY)), &[B], &[A]);
        assert!(!issues.is_repeat(3, Timestamp(2 * DAY), B), "it turned out to be about something else");
    }

    #[test]
    fn reports_count_from_one_time_to_the_other_by_the_field_that_names_them() {
        let area = Issue::of(Field::FeatureArea, "export");
        let mut issues = Issues::default();
        issues.report((1, Timestamp(5)), &[], &[area]);
        assert!(issues.were_reported(&[B, area], Timestamp(5), Timestamp(5)));
        assert!(!issues.were_reported(&[area], Timestamp(6), Timestamp(9)));
        assert!(!issues.were_reported(&[area], Timestamp(1), Timestamp(4)));
        let integration = Issue::of(Field::Integration, "export");
        assert!(!issues.were_reported(&[integration], Timestamp(1), Timestamp(9)));
    }

    #[test]
    fn memory_is_bounded_in_time_and_number() {
        let mut issues = Issues::default();
        issues.report((0, Timestamp(0)), &[], &[A]);
        issues.report((1, Timestamp(MEMORY_MS)), &[], &[A]);
        assert_eq!(issues.reports.len(), 2);
        for ticket in 2..200 {
            issues.report((ticket, Timestamp(MEMORY_MS + i64::from(ticket))), &[], &[A]);
            assert!(issues.reports.len() <= REPORTS_MAX);
        }
        assert_eq!(issues.reports.last().map(|own| own.ticket), Some(199));
        assert!(issues.reports.is_sorted_by_key(|own| own.created));
    }

    #[test]
    fn its_bytes_stay_what_they_are() {
        let mut issues = Issues::default();
        issues.report((3, Timestamp(-2)), &[], &[A]);
        let mut bytes = Vec::new();
        issues.encode(&mut bytes);
        assert_eq!(bytes, [1, 3, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Issues::decode(&mut Reader::new(&bytes)).unwrap(), issues);
    }
}
