//! Files of a store that a disk has damaged: what is read is what was written, or the store says that it is corrupt.

use super::*;

/// Rows of the whole test.
const ROWS: usize = 400;

fn name(number: usize) -> String {
    format!("row {number:04}")
}

/// What a row holds at a checkpoint: long enough for several blocks.
fn content(number: usize, position: i64) -> String {
    format!("{number} at {position} ").repeat(20)
}

/// Two checkpoints, in tables, and a third in the log alone.
fn fill(folder: &Path) {
    let mut store = open(folder);
    for position in [10, 20, 30] {
        let names: Vec<(String, String)> =
            (0..ROWS).map(|number| (name(number), content(number, position))).collect();
        let rows: Vec<(&str, Option<&str>)> =
            names.iter().map(|(name, row)| (name.as_str(), Some(row.as_str()))).collect();
        let armed =
            names.iter().map(|(name, _)| deadline(DeadlineClock::Watermark, position, name)).collect();
        store.checkpoint(&Checkpoint { armed, ..checkpoint(position, &rows) }).unwrap();
        if position < 30 {
            FAMILIES.iter().for_each(|own| store.db.flush_cf(store.family(own).unwrap()).unwrap());
        }
    }
}

/// Reads all; the position of the checkpoint that it is, whole.
fn read(folder: &Path) -> Result<i64, OpenError> {
    let mut store = RocksStore::open(folder, 3, 12, &memory())?;
    let Some((position, task)) = store.last_checkpoint()? else { return Ok(0) };
    assert_eq!(task, format!("task at {position}").into_bytes());
    let keys: Vec<RowKey> = (0..ROWS).map(|number| key(&name(number))).collect();
    for (number, row) in texts(store.load(&keys)?).into_iter().enumerate() {
        assert_eq!(row, Some(content(number, position)), "row {number} at {position}");
    }
    for at in [10, 20, 30] {
        let armed = store.deadlines(DeadlineClock::Watermark, Timestamp(at - 1), Timestamp(at))?;
        assert_eq!(armed.len(), if at <= position { ROWS } else { 0 }, "deadlines of {at} at {position}");
    }
    Ok(position)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("3")).unwrap();
    for file in std::fs::read_dir(from.join("3")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("3").join(file.file_name())).unwrap();
    }
}

#[test]
fn damaged_files_are_never_believed() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path());
    assert_eq!(read(whole.path()).unwrap(), 30);
    let whole_again = tempfile::tempdir().unwrap();
    fill(whole_again.path());
    let mut corrupt = 0;
    let files: Vec<PathBuf> = std::fs::read_dir(whole_again.path().join("3"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|own| own == "sst" || own == "log") || is_manifest(path))
        .collect();
    assert!(files.len() >= 6, "{files:?}");
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        let flips = (0..12).map(|part| (bytes.len() * part / 12 + part) % bytes.len().max(1));
        let damages = flips
            .map(|at| {
                let mut damaged = bytes.clone();
                if let Some(byte) = damaged.get_mut(at) {
                    *byte ^= 0x40;
                }
                (format!("byte {at}"), Some(damaged))
            })
            .chain([("gone".to_owned(), None)])
            // RocksDB takes a manifest whose end is lost for an older one: of that it is not asked.
            .chain(
                (!is_manifest(path))
                    .then(|| ("half of it".to_owned(), Some(bytes[..bytes.len() / 2].to_vec()))),
            );
        for (what, damaged) in damages {
            let folder = tempfile::tempdir().unwrap();
            copy(whole_again.path(), folder.path());
            let file = folder.path().join("3").join(path.file_name().unwrap());
            match damaged {
                Some(damaged) => std::fs::write(file, damaged).unwrap(),
                None => std::fs::remove_file(file).unwrap(),
            }
            match read(folder.path()) {
                Ok(_) => {}
                Err(OpenError::Store(StoreError::Corrupt(_))) => corrupt += 1,
                Err(error) => panic!("{what} of {}: {error}", path.display()),
            }
        }
    }
    assert!(corrupt > files.len(), "only {corrupt} of the damages were noticed");
}

fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    name.starts_with("MANIFEST") || name == "CURRENT"
}
