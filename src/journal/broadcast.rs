//! What a task tells all others of an alert across accounts (`contracts.md` §4).
//!
//! The bytes, integers as varints:
//!
//! ```text
//! broadcast  alert status u32 kind part severity n·hash has shared… [n·touched]
//! status     0 closed, 1 open
//! has        bits: 0 feature_area, 1 integration, 2 issue_key, 3 service, 4 touched
//! answer     u32 kind part accounts ±arr_minor n·member          members as in roll-ups
//! ```

use crate::event::Field;
use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_varint};

use super::frame::flag;
use super::items::Member;

/// What rows may have in common with an alert across accounts, so that its severity counts in their priority.
pub const SHARED: [Field; 4] = [Field::FeatureArea, Field::Integration, Field::IssueKey, Field::Service];
const TOUCHED: u8 = 1 << 4;

/// An alert across accounts has opened, has changed, or is over. Without an id it asks whom one would touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Broadcast {
    /// Its id.
    pub alert: Box<str>,
    /// It is open.
    pub open: bool,
    /// Key of the rule that leads it.
    pub rule: u32,
    /// The kind of entity: `platform`, or the name of its part.
    pub kind: Box<str>,
    /// Which one; empty for the platform.
    pub part: Box<str>,
    /// How grave it is, from 0.
    pub severity: u8,
    /// By item of the rule's `inhibits`: hash of the fields that must have the same value in what is held back.
    pub equal: Vec<u64>,
    /// Its values of [`SHARED`].
    pub shared: [Option<Box<str>>; 4],
    /// Accounts are touched that share one of these values; `None`: all are.
    pub touched: Option<Vec<Box<str>>>,
}

impl Broadcast {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.alert);
        out.push(u8::from(self.open));
        put_varint(out, u64::from(self.rule));
        put_text(out, &self.kind);
        put_text(out, &self.part);
        out.push(self.severity);
        put_varint(out, self.equal.len() as u64);
        self.equal.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
        let known = self.shared.iter().enumerate().filter(|(_, own)| own.is_some());
        let has = known.fold(0_u8, |has, (place, _)| has | 1 << place);
        out.push(has | if self.touched.is_some() { TOUCHED } else { 0 });
        self.shared.iter().flatten().for_each(|own| put_text(out, own));
        if let Some(touched) = &self.touched {
            put_varint(out, touched.len() as u64);
            touched.iter().for_each(|own| put_text(out, own));
        }
    }

    /// Reads what [`Broadcast::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut own = Self {
            alert: reader.text()?.into(),
            open: flag(reader)?,
            rule: u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("rule key"))?,
            kind: reader.text()?.into(),
            part: reader.text()?.into(),
            severity: reader.byte()?,
            ..Self::default()
        };
        for _ in 0..reader.count()? {
            let hash = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            own.equal.push(u64::from_le_bytes(hash));
        }
        let has = reader.byte()?;
        if has >= TOUCHED << 1 {
            return Err(FormatError::Malformed("broadcast"));
        }
        for (place, shared) in own.shared.iter_mut().enumerate() {
            if has & 1 << place > 0 {
                *shared = Some(reader.text()?.into());
            }
        }
        if has & TOUCHED > 0 {
            own.touched =
                Some((0..reader.count()?).map(|_| Ok(reader.text()?.into())).collect::<Result<_, _>>()?);
        }
        Ok(own)
    }
}

/// Whom an alert across accounts would touch, of the accounts of one task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Key of the rule that asks.
    pub rule: u32,
    /// The kind of entity that the row is of which asks.
    pub kind: Box<str>,
    /// Which one.
    pub part: Box<str>,
    /// How many accounts.
    pub accounts: u64,
    /// Their revenue a year together.
    pub arr_minor: i64,
    /// The largest of them.
    pub top: Vec<Member>,
}

impl Answer {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.rule));
        put_text(out, &self.kind);
        put_text(out, &self.part);
        put_varint(out, self.accounts);
        put_signed(out, self.arr_minor);
        put_varint(out, self.top.len() as u64);
        self.top.iter().for_each(|member| member.encode(out));
    }

    /// Reads what [`Answer::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            rule: u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("rule key"))?,
            kind: reader.text()?.into(),
            part: reader.text()?.into(),
            accounts: reader.varint()?,
            arr_minor: reader.signed()?,
            top: (0..reader.count()?).map(|_| Member::decode(reader)).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Broadcast};
    use crate::event::bytes::{FormatError, Reader};
    use crate::journal::items::Member;

    #[test]
    fn it_has_these_bytes_and_is_read_back() {
        let told = Broadcast {
            alert: "ab".into(),
            open: true,
            rule: 300,
            kind: "incident".into(),
            part: "i1".into(),
            severity: 3,
            equal: vec![1],
            shared: [None, Some("s".into()), None, None],
            touched: Some(vec!["api".into()]),
        };
        let mut bytes = Vec::new();
        told.encode(&mut bytes);
        let expected = [
            &[2, b'a', b'b', 1, 0xac, 2, 8][..],
            b"incident",
            &[2, b'i', b'1', 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, b's', 1, 3],
            b"api",
        ];
        assert_eq!(bytes, expected.concat());
        let mut reader = Reader::new(&bytes);
        assert_eq!(Broadcast::decode(&mut reader), Ok(told));
        assert!(reader.is_empty());
        for end in 0..bytes.len() {
            assert!(Broadcast::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
        let closed = Broadcast { alert: "ab".into(), ..Broadcast::default() };
        let mut bytes = Vec::new();
        closed.encode(&mut bytes);
        assert_eq!(bytes, [2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Broadcast::decode(&mut Reader::new(&bytes)), Ok(closed));
        bytes[9] = 0x20;
        let malformed = FormatError::Malformed("broadcast");
        assert_eq!(Broadcast::decode(&mut Reader::new(&bytes)), Err(malformed));
    }

    #[test]
    fn an_answer_has_these_bytes_and_is_read_back() {
        let top = vec![Member { account: "a".into(), tier: Some(2), arr_minor: None }];
        let answer =
            Answer { rule: 1, kind: "k".into(), part: "p".into(), accounts: 300, arr_minor: -1, top };
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        assert_eq!(bytes, [1, 1, b'k', 1, b'p', 0xac, 2, 1, 1, 1, b'a', 1, 4]);
        assert_eq!(Answer::decode(&mut Reader::new(&bytes)), Ok(answer));
        for end in 0..bytes.len() {
            assert!(Answer::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
    }
}
