//! Building a store from the changelog: sorted tables that are ingested, never row by row.

use std::path::Path;

use rocksdb::{
    ColumnFamily, DB, IngestExternalFileOptions, IteratorMode, Options, SstFileWriter, WriteBatch,
};

use super::{DEADLINES, DEFAULT, deadline_key, failed, split_stored, stored};
use crate::engine::store::{DeadlinesOf, Marked, RestoredRow, RowKey, StoreError};

/// Deadlines sorted in memory at a time.
const DEADLINES_AT_ONCE: usize = 1 << 17;
/// Rows of other lines removed in one batch.
const FORGOTTEN_AT_ONCE: usize = 10_000;

/// What stands before a restored row in place of a position: its line, as a number below all positions.
fn tag(line: u64) -> i64 {
    -1 - i64::try_from(line).unwrap_or(i64::MAX - 1)
}

/// A table being written beside the database.
pub(super) struct Tables<'a> {
    pub db: &'a DB,
    /// A file that does not exist.
    pub file: &'a Path,
    pub options: &'a Options,
}

impl Tables<'_> {
    /// Writes a table in the order of keys and takes it in. `None` deletes.
    fn ingest<K: AsRef<[u8]>>(
        &self,
        family: &ColumnFamily,
        entries: impl Iterator<Item = (K, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let mut writer = SstFileWriter::create(self.options);
        writer.open(self.file).map_err(failed)?;
        let mut is_empty = true;
        for (key, value) in entries {
            is_empty = false;
            match value {
                Some(value) => writer.put(key, value),
                None => writer.delete(key),
            }
            .map_err(failed)?;
        }
        if is_empty {
            return Ok(());
        }
        writer.finish().map_err(failed)?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db.ingest_external_file_cf_opts(family, &options, vec![self.file]).map_err(failed)
    }

    /// Takes sorted rows in, each before it the line that it belongs to.
    pub(super) fn rows(&self, rows: &[RestoredRow]) -> Result<(), StoreError> {
        let entry = |(key, row): &RestoredRow| {
            (key.0.clone(), row.as_ref().map(|(line, row)| stored(tag(*line), row)))
        };
        self.ingest(self.family(DEFAULT)?, rows.iter().map(entry))
    }

    /// Forgets rows of other lines and arms the deadlines of the others; how many rows there are.
    pub(super) fn finish(&self, marked: Marked, deadlines: DeadlinesOf) -> Result<u64, StoreError> {
        let rows = self.family(DEFAULT)?;
        let own = tag(marked.line);
        let (mut count, mut armed, mut forgotten) = (0, Vec::new(), WriteBatch::default());
        for entry in self.db.iterator_cf(rows, IteratorMode::Start) {
            let (key, value) = entry.map_err(failed)?;
            let (line, row) = split_stored(&value)?;
            if line != own {
                forgotten.delete_cf(rows, &key);
                if forgotten.len() >= FORGOTTEN_AT_ONCE {
                    self.db.write(std::mem::take(&mut forgotten)).map_err(failed)?;
                }
                continue;
            }
            count += 1;
            let of_row = deadlines(&RowKey(key), row)?;
            armed.extend(of_row.iter().map(|own| deadline_key(own.clock, own.at, &own.row.0)));
            if armed.len() >= DEADLINES_AT_ONCE {
                self.arm(&mut armed)?;
            }
        }
        self.db.write(forgotten).map_err(failed)?;
        self.arm(&mut armed)?;
        Ok(count)
    }

    fn arm(&self, armed: &mut Vec<Vec<u8>>) -> Result<(), StoreError> {
        armed.sort_unstable();
        self.ingest(self.family(DEADLINES)?, armed.drain(..).map(|key| (key, Some(Vec::new()))))
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        super::family(self.db, name)
    }
}
