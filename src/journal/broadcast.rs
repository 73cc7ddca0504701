//! What a task tells all others of an alert across accounts (`contracts.md` §4).
//!
//! The bytes, integers as varints:
//!
//! ```text
//! broadcast  alert status u32 kind part severity n·hash has shared… [n·touched]
//! status     0 closed, 1 open
//! has        bits: 0 feature_area, 1 integration, 2 issue_key, 3 service, 4 touched
//! ```

use crate::event::Field;
use crate::event::bytes::{FormatError, Reader, put_text, put_varint};

use super::frame::flag;

/// What rows may have in common with an alert across accounts, so that its severity counts in their priority.
pub const SHARED: [Field; 4] = [Field::FeatureArea, Field::Integration, Field::IssueKey, Field::Service];
const TOUCHED: u8 = 1 << 4;

/// An alert across accounts has opened, has changed, or is over.
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

#[cfg(test)]
mod tests {
    use super::Broadcast;
    use crate::event::bytes::{FormatError, Reader};

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
}
