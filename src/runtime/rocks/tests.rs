mod damage;

use super::*;

fn memory() -> RocksMemory {
    RocksMemory::new(8 << 20, 8 << 20)
}

fn key(text: &str) -> RowKey {
    RowKey(text.as_bytes().into())
}

fn deadline(clock: DeadlineClock, at: i64, row: &str) -> Deadline {
    Deadline { clock, at: Timestamp(at), row: key(row) }
}

fn checkpoint(position: i64, rows: &[(&str, Option<&str>)]) -> Checkpoint {
    Checkpoint {
        rows: rows.iter().map(|(name, row)| (key(name), row.map(|row| row.as_bytes().to_vec()))).collect(),
        task: format!("task at {position}").into_bytes(),
        position,
        ..Checkpoint::default()
    }
}

fn open(folder: &Path) -> RocksStore {
    RocksStore::open(folder, 3, 12, &memory()).unwrap()
}

fn texts(rows: Vec<Option<Vec<u8>>>) -> Vec<Option<String>> {
    rows.into_iter().map(|row| row.map(|row| String::from_utf8(row).unwrap())).collect()
}

#[test]
fn a_checkpoint_is_found_again_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    assert_eq!(store.last_checkpoint().unwrap(), None);
    store.checkpoint(&checkpoint(7, &[("b", Some("two")), ("a", Some("one"))])).unwrap();
    store.checkpoint(&checkpoint(9, &[("b", None), ("c", Some("three"))])).unwrap();
    drop(store);

    let mut store = open(folder.path());
    assert_eq!(store.last_checkpoint().unwrap(), Some((9, b"task at 9".to_vec())));
    let rows = store.load(&[key("c"), key("b"), key("a"), key("none")]).unwrap();
    assert_eq!(texts(rows), [Some("three".to_owned()), None, Some("one".to_owned()), None]);
}

#[test]
fn deadlines_come_in_order_of_time_and_only_of_their_clock() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let watermark = |at, row| deadline(DeadlineClock::Watermark, at, row);
    let first = Checkpoint {
        armed: vec![
            watermark(300, "a"),
            watermark(-5, "z"),
            watermark(200, "c"),
            watermark(200, "b"),
            deadline(DeadlineClock::Journal, 200, "a"),
        ],
        ..Checkpoint::default()
    };
    store.checkpoint(&first).unwrap();
    let all = |store: &mut RocksStore, after, until| {
        store.deadlines(DeadlineClock::Watermark, Timestamp(after), Timestamp(until)).unwrap()
    };
    assert_eq!(
        all(&mut store, i64::MIN, 200),
        [watermark(-5, "z"), watermark(200, "b"), watermark(200, "c")]
    );
    assert_eq!(all(&mut store, -5, 199), []);
    assert_eq!(all(&mut store, 200, i64::MAX), [watermark(300, "a")]);

    let second = Checkpoint {
        disarmed: vec![watermark(200, "b")],
        armed: vec![watermark(250, "b")],
        ..Checkpoint::default()
    };
    store.checkpoint(&second).unwrap();
    assert_eq!(all(&mut store, 0, 260), [watermark(200, "c"), watermark(250, "b")]);
    let journal = store.deadlines(DeadlineClock::Journal, Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(journal, [deadline(DeadlineClock::Journal, 200, "a")]);
}

#[test]
fn a_torn_write_leaves_the_checkpoint_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.checkpoint(&checkpoint(1, &[("a", Some("old")), ("b", Some("old"))])).unwrap();
    store.checkpoint(&checkpoint(2, &[("a", Some("new")), ("b", Some("new"))])).unwrap();

    // What a crash leaves: the files as they are, the newest log cut somewhere in its last record.
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("3"), copy.path().join("3"));
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(&from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let log = std::fs::read_dir(&to)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max()
        .unwrap();
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 20]).unwrap();

    let mut torn = open(copy.path());
    assert_eq!(torn.last_checkpoint().unwrap(), Some((1, b"task at 1".to_vec())));
    let rows = torn.load(&[key("a"), key("b")]).unwrap();
    assert_eq!(texts(rows), [Some("old".to_owned()), Some("old".to_owned())]);
}

#[test]
fn a_store_of_another_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let error = RocksStore::open(folder.path(), 3, 24, &memory()).err().unwrap();
    assert!(matches!(error, OpenError::Partitions { stored: 12, configured: 24, .. }), "{error}");
}

#[test]
fn a_store_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.db.put_cf(store.family(META).unwrap(), "format", [9]).unwrap();
    drop(store);
    let error = RocksStore::open(folder.path(), 3, 12, &memory()).err().unwrap();
    assert!(matches!(error, OpenError::Format { found: 9, .. }), "{error}");
}

#[test]
fn corruption_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.db.put_cf(store.family(META).unwrap(), "checkpoint", b"short").unwrap();
    assert!(matches!(store.last_checkpoint(), Err(StoreError::Corrupt(_))));
    store.db.put_cf(store.family(DEADLINES).unwrap(), [0, 255, 255, 255], []).unwrap();
    assert!(matches!(
        store.deadlines(DeadlineClock::Watermark, Timestamp::MIN, Timestamp::MAX),
        Err(StoreError::Corrupt(_))
    ));
}

fn changed(store: &mut RocksStore) -> Vec<(String, Option<String>)> {
    let changes = store.changes().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut rows: Vec<_> = changes
        .rows
        .map(|row| row.map(|(key, row)| (text(&key.0), row.as_deref().map(text))).unwrap())
        .collect();
    rows.sort();
    rows
}

fn pairs(rows: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    rows.iter().map(|(key, row)| ((*key).to_owned(), row.map(str::to_owned))).collect()
}

#[test]
fn what_changed_since_the_marker_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.checkpoint(&checkpoint(7, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))])).unwrap();
    store.set_marked(Marked::begin(1)).unwrap();
    assert_eq!(changed(&mut store), pairs(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]));
    store.set_marked(Marked { line: 1, position: 7 }).unwrap();
    assert_eq!(changed(&mut store), pairs(&[]));
    store.checkpoint(&checkpoint(9, &[("b", None), ("c", None), ("d", Some("2"))])).unwrap();
    store.checkpoint(&checkpoint(12, &[("c", Some("3"))])).unwrap();
    drop(store);

    let mut store = open(folder.path());
    assert_eq!(store.marked().unwrap(), Marked { line: 1, position: 7 });
    assert_eq!(changed(&mut store), pairs(&[("b", None), ("c", Some("3")), ("d", Some("2"))]));
    store.set_marked(Marked { line: 1, position: 9 }).unwrap();
    assert_eq!(changed(&mut store), pairs(&[("c", Some("3"))]));
}

#[test]
fn changes_are_those_of_one_checkpoint_while_others_follow() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let names: Vec<String> = (0..20_000).map(|number| format!("k{number:05}")).collect();
    let all = |position, value: &'static str| {
        let rows: Vec<_> = names.iter().map(|name| (name.as_str(), Some(value))).collect();
        checkpoint(position, &rows)
    };
    store.checkpoint(&all(1, "old")).unwrap();
    let changes = store.changes().unwrap();
    store.checkpoint(&all(2, "new")).unwrap();
    assert_eq!((changes.position, changes.task), (1, b"task at 1".to_vec()));
    let mut count = 0;
    for row in changes.rows {
        assert_eq!(row.unwrap().1.as_deref(), Some(b"old".as_slice()));
        count += 1;
    }
    assert_eq!(count, names.len());

    // A store that is closed meanwhile does not wait for who reads, and does not let him take a part for the whole.
    let changes = store.changes().unwrap();
    drop(store);
    assert!(changes.rows.collect::<Result<Vec<_>, _>>().is_err());
    drop(open(folder.path()));
}

#[test]
fn rows_come_back_from_the_changelog_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let row = |name: &str, line: u64, text: &str| (key(name), Some((line, text.as_bytes().to_vec())));
    store.restore(&[row("a", 1, "old"), row("b", 2, "5"), row("c", 2, "6")]).unwrap();
    store.restore(&[row("b", 2, "9"), (key("c"), None), row("d", 2, "4")]).unwrap();
    store.restore(&[]).unwrap();
    assert_eq!(store.last_checkpoint().unwrap(), None, "a part is not a checkpoint");
    let armed = |key: &RowKey, row: &[u8]| {
        let at = std::str::from_utf8(row).unwrap().parse().unwrap();
        Ok(vec![Deadline { clock: DeadlineClock::Journal, at: Timestamp(at), row: key.clone() }])
    };
    let marked = Marked { line: 2, position: 70 };
    assert_eq!(store.finish_restore(marked, b"task", armed).unwrap(), 2, "another line's row is forgotten");
    drop(store);

    let mut store = open(folder.path());
    assert_eq!(store.last_checkpoint().unwrap(), Some((70, b"task".to_vec())));
    assert_eq!(store.marked().unwrap(), marked);
    let rows = store.load(&[key("a"), key("b"), key("c"), key("d")]).unwrap();
    assert_eq!(texts(rows), [None, Some("9".to_owned()), None, Some("4".to_owned())]);
    let deadlines = store.deadlines(DeadlineClock::Journal, Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(
        deadlines,
        [deadline(DeadlineClock::Journal, 4, "d"), deadline(DeadlineClock::Journal, 9, "b")]
    );
    assert_eq!(changed(&mut store), pairs(&[]), "the changelog knows them");
    store.set_marked(Marked::begin(3)).unwrap();
    assert_eq!(changed(&mut store), pairs(&[("b", Some("9")), ("d", Some("4"))]), "a new line needs all");
}

#[test]
fn stored_bytes_are_these() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.checkpoint(&checkpoint(7, &[("a", Some("r")), ("b", None)])).unwrap();
    store.set_marked(Marked { line: 2, position: 3 }).unwrap();
    let read =
        |family: &str, key: &str| store.db.get_cf(store.family(family).unwrap(), key).unwrap().unwrap();
    assert_eq!(read(DEFAULT, "a"), [0, 0, 0, 0, 0, 0, 0, 7, b'r']);
    assert_eq!(read(DROPPED, "b"), [0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(read(META, "format"), [2]);
    assert_eq!(read(META, "marker"), [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(read(META, "checkpoint")[..8], [0, 0, 0, 0, 0, 0, 0, 7]);
}

#[test]
fn a_discarded_store_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.checkpoint(&checkpoint(7, &[("a", Some("one"))])).unwrap();
    drop(store);
    RocksStore::discard(folder.path(), 3).unwrap();
    RocksStore::discard(folder.path(), 4).unwrap();
    let mut store = open(folder.path());
    assert_eq!(store.last_checkpoint().unwrap(), None);
    assert_eq!(store.load(&[key("a")]).unwrap(), [None]);
}
