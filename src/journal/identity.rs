//! What tasks tell each other of who is who: which account an alias stands for, and events that go on to their account
//! (`design.md` §3, Identity).
//!
//! The bytes, integers as varints:
//!
//! ```text
//! claim     alias account holds
//! passed    account late n·byte       a frame of that event alone, whose only source is where it came from
//! ```

use crate::event::bytes::{FormatError, Reader, put_bytes, put_text};
use crate::event::{Event, SourcePartition, Timestamp};

use super::frame::flag;
use super::{Coverage, Entry, FrameBuilder};

/// An account's profile names an alias, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// `namespace:value`.
    pub alias: Box<str>,
    /// The account.
    pub account: Box<str>,
    /// It stands for the account from now on; else it did until now.
    pub holds: bool,
}

impl Claim {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.alias);
        put_text(out, &self.account);
        out.push(u8::from(self.holds));
    }

    /// Reads what [`Claim::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { alias: reader.text()?.into(), account: reader.text()?.into(), holds: flag(reader)? })
    }
}

/// An event on its way to the account that its alias stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The account; empty while nobody knows it.
    pub account: Box<str>,
    /// It was counted as unattributed when it came.
    pub late: bool,
    /// A frame of the event alone.
    frame: Box<[u8]>,
}

impl Passed {
    /// An event of this source.
    #[must_use]
    pub fn of(event: &Event<'_>, source: SourcePartition) -> Self {
        let offset = event.position.offset;
        let watermark = Timestamp::MIN;
        let coverage =
            Coverage { source, from: offset, to: offset, end: offset + 1, watermark, caught_up: false };
        let mut builder = FrameBuilder::new();
        builder.push(event, 0);
        let mut frame = Vec::new();
        builder.finish(0, &[coverage], &mut frame);
        Self { account: Box::default(), late: false, frame: frame.into() }
    }

    /// The same, to this account.
    #[must_use]
    pub fn to(self, account: Box<str>, late: bool) -> Self {
        Self { account, late, ..self }
    }

    /// The event, with its account and without its alias, and where it came from.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn open(&self) -> Result<(Event<'_>, SourcePartition), FormatError> {
        let malformed = FormatError::Malformed("passed event");
        let Entry::Frame(frame) = Entry::parse(&self.frame)? else { return Err(malformed) };
        let mut event = frame.events().next().ok_or(malformed)??;
        event.account = Some((&*self.account).into());
        event.alias = None;
        let source = frame.sources.into_iter().next().ok_or(malformed)?.source;
        Ok((event, source))
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        size_of::<Self>() + self.account.len() + self.frame.len()
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.account);
        out.push(u8::from(self.late));
        put_bytes(out, &self.frame);
    }

    /// Reads what [`Passed::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let own = Self { account: reader.text()?.into(), late: flag(reader)?, frame: reader.bytes()?.into() };
        own.open()?;
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Field, Kind, Value};

    #[test]
    fn a_claim_has_these_bytes_and_is_read_back() {
        let claim = Claim { alias: "stripe:c1".into(), account: "acme".into(), holds: true };
        let mut bytes = Vec::new();
        claim.encode(&mut bytes);
        assert_eq!(bytes, [&[9][..], b"stripe:c1", &[4], b"acme", &[1]].concat());
        assert_eq!(Claim::decode(&mut Reader::new(&bytes)), Ok(claim));
        for end in 0..bytes.len() {
            assert!(Claim::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
    }

    #[test]
    fn an_event_goes_on_as_it_was_but_for_its_account() {
        let mut event = Event::new(Kind::Billing, "invoice.paid", Timestamp(5));
        event.alias = Some("stripe:c1".into());
        event.id = 7;
        event.position.offset = 64;
        event.set(Field::InvoiceId, Value::text("in_1"));
        let source = SourcePartition { topic: "bills".into(), partition: 3 };
        let passed = Passed::of(&event, source.clone()).to("acme".into(), true);
        let mut bytes = Vec::new();
        passed.encode(&mut bytes);
        assert_eq!(bytes[..6], [&[4][..], b"acme", &[1]].concat());
        let read = Passed::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read, passed);
        let expected = Event { account: Some("acme".into()), alias: None, ..event };
        assert_eq!(read.open(), Ok((expected, source)));
        for end in 0..bytes.len() {
            assert!(Passed::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
    }
}
