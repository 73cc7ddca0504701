//! Deaths of the engine: with which journal record a panic came, and how often it came with the same one (`design.md` §4).
//!
//! A panic ends the process before anybody can ask, so what is known of it is noted on the machine's disk, in the last moment.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

thread_local! {
    /// Partition and offset of the journal record that the engine of this thread is taking in.
    static UNDER_WAY: Cell<Option<(i32, i64)>> = const { Cell::new(None) };
}

/// The engine of this thread takes this journal record in, or is done with it.
pub fn set_under_way(place: Option<(i32, i64)>) {
    UNDER_WAY.set(place);
}

/// The record at which an engine died last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// The journal record's offset.
    pub offset: i64,
    /// How often it was this one, without another in between.
    pub times: u32,
}

/// Where deaths are noted: a small file for each journal partition.
#[derive(Debug, Clone)]
pub struct Deaths {
    folder: PathBuf,
}

impl Deaths {
    /// Beside the rows of a state folder.
    #[must_use]
    pub fn beside(state: &Path) -> Self {
        Self { folder: state.join("deaths") }
    }

    /// Notes that the engine of this thread dies of the record under way; nothing, if there is none.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn note(&self) -> io::Result<Option<Death>> {
        let Some((partition, offset)) = UNDER_WAY.get() else { return Ok(None) };
        let before = self.of(partition)?.filter(|death| death.offset == offset);
        let death = Death { offset, times: before.map_or(0, |death| death.times).saturating_add(1) };
        std::fs::create_dir_all(&self.folder)?;
        let (file, new) = (self.file(partition), self.folder.join(format!("{partition}.new")));
        std::fs::write(&new, format!("{} {}\n", death.offset, death.times))?;
        std::fs::rename(new, file)?;
        Ok(Some(death))
    }

    /// The last death of a partition's engine. What can't be understood is none: the next death writes it anew.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn of(&self, partition: i32) -> io::Result<Option<Death>> {
        let text = match std::fs::read_to_string(self.file(partition)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let death = text.trim().split_once(' ').and_then(|(offset, times)| {
            Some(Death { offset: offset.parse().ok()?, times: times.parse().ok()? })
        });
        Ok(death)
    }

    /// Forgets a partition's deaths: what they came with is behind it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn forget(&self, partition: i32) -> io::Result<()> {
        match std::fs::remove_file(self.file(partition)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn file(&self, partition: i32) -> PathBuf {
        self.folder.join(partition.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_count_while_it_is_the_same_record() {
        let folder = tempfile::tempdir().unwrap();
        let deaths = Deaths::beside(folder.path());
        assert_eq!(deaths.note().unwrap(), None, "nothing was under way");
        let at = |offset, times| Some(Death { offset, times });
        set_under_way(Some((3, 70)));
        assert_eq!(deaths.note().unwrap(), at(70, 1));
        assert_eq!(deaths.note().unwrap(), at(70, 2));
        assert_eq!(deaths.of(3).unwrap(), at(70, 2));
        assert_eq!(deaths.of(2).unwrap(), None, "another partition's engine lives");
        set_under_way(Some((3, 71)));
        assert_eq!(deaths.note().unwrap(), at(71, 1));
        set_under_way(None);
        assert_eq!(deaths.note().unwrap(), None);
        deaths.forget(3).unwrap();
        deaths.forget(3).unwrap();
        assert_eq!(deaths.of(3).unwrap(), None);
        std::fs::write(folder.path().join("deaths/3"), "nonsense").unwrap();
        assert_eq!(deaths.of(3).unwrap(), None);
    }
}
