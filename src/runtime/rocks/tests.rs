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
