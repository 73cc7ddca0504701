use super::marker::Marker;
use super::stamp::Stamp;
use super::{put_row, read_row, row_key};
use crate::engine::store::RowKey;
use crate::event::Timestamp;

#[test]
fn rows_and_markers_are_these_bytes() {
    assert_eq!(row_key(&RowKey([7, b'a'].into())), [1, 7, b'a']);
    let mut value = vec![9];
    put_row(&mut value, 300, &[5, 6]);
    assert_eq!(value, [1, 0xac, 0x02, 5, 6]);
    assert_eq!(read_row(&value).unwrap(), (300, &[5, 6][..]));
    assert!(read_row(&[2, 1]).is_err(), "a later format");

    let marker = Marker { line: 2, position: 70, rows: 5, task: vec![8, 9] };
    assert_eq!(marker.encode(), [1, 2, 0x8c, 0x01, 5, 8, 9]);
    assert_eq!(Marker::decode(&marker.encode()).unwrap(), marker);
    assert!(Marker::decode(&[1, 2]).is_err(), "cut");
}

#[test]
fn a_stamp_is_these_bytes() {
    let stamp = Stamp { engine: "1.2".into(), partitions: 12, written: Timestamp(3) };
    let bytes = stamp.before(&[7]);
    assert_eq!(bytes, [1, 3, b'1', b'.', b'2', 12, 6, 7]);
    assert_eq!(Stamp::split(&bytes).unwrap(), (stamp, &[7][..]));
    assert!(Stamp::split(&[9]).is_err());
}

#[test]
fn no_row_is_taken_for_a_system_record() {
    for kind in 0..=255 {
        assert!(!row_key(&RowKey([kind].into())).starts_with(b"system/"));
    }
}
