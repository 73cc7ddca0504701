//! From YAML events to the tree.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::scalar::Scalar;
use super::{Code, Entry, Mistakes, Node, Span, Value};

/// Deeper than this nothing of ours is.
const DEEPEST: u32 = 64;

/// Reads one document of YAML 1.2 (core schema) or JSON; `file` is the name that mistakes carry.
///
/// Returns nothing where there is no tree to speak of; lesser mistakes (a key twice, an ambiguous scalar) are
/// reported and the tree is returned, so that all of a file's mistakes can be told at once.
pub fn parse(file: &str, text: &str, mistakes: &mut Mistakes) -> Option<Node> {
    let number = mistakes.file(file);
    let mut reader = Reader { parser: Parser::new_from_str(text), file: number, mistakes };
    reader.document()
}

struct Reader<'t, 'm> {
    parser: Parser<'t, StrInput<'t>>,
    file: u16,
    mistakes: &'m mut Mistakes,
}

impl<'t> Reader<'t, '_> {
    fn span(&self, marker: Marker) -> Span {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Span { file: self.file, line: number(marker.line()), col: number(marker.col()).saturating_add(1) }
    }

    /// The next event; nothing after the last, or after an error, which is reported.
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        match self.parser.next_event()? {
            Ok((event, place)) => Some((event, self.span(place.start))),
            Err(error) => {
                self.syntax(&error);
                None
            }
        }
    }

    fn syntax(&mut self, error: &ScanError) {
        let span = self.span(*error.marker());
        self.mistakes.report(span, Code::E10, "this is not YAML").detail(error.info());
    }

    fn document(&mut self) -> Option<Node> {
        let mut found = None;
        while let Some((event, span)) = self.next() {
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => {
                    if found.is_none() {
                        let start = Span { file: self.file, line: 1, col: 1 };
                        self.mistakes.report(start, Code::E02, "the file is empty");
                    }
                    return found;
                }
                _ if found.is_some() => {
                    self.mistakes
                        .report(span, Code::E11, "a second document begins here")
                        .hint("put it into a file of its own");
                    return found;
                }
                event => found = Some(self.node(event, span, 0)?),
            }
        }
        None
    }

    /// The node that begins with this event. Nothing if its end was not reached.
    fn node(&mut self, event: Event<'t>, span: Span, depth: u32) -> Option<Node> {
        if depth > DEEPEST {
            self.mistakes.report(span, Code::E05, format!("nested deeper than {DEEPEST}"));
            return None;
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                Value::Scalar(self.scalar(&text, plain, span))
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                Value::List(items)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                Value::Map(self.entries(depth)?)
            }
            _ => {
                self.mistakes.report(span, Code::E10, "aliases are not read").hint("write the value out");
                Value::Scalar(Scalar::quoted(""))
            }
        };
        Some(Node { span, value })
    }

    fn entries(&mut self, depth: u32) -> Option<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(entries);
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, at) = self.next()?;
            let node = self.node(event, at, depth + 1)?;
            let Value::Scalar(key) = key.value else {
                self.mistakes.report(span, Code::E03, "a key is a single word, not a list or map");
                continue;
            };
            if key.is_plain() && key.text() == "<<" {
                self.mistakes
                    .report(span, Code::E10, "merge keys are not read")
                    .hint("write the entries out");
            } else if entries.iter().any(|entry| *entry.key == *key.text()) {
                self.mistakes.report(span, Code::E11, format!("key `{}` stands here twice", key.text()));
            } else {
                entries.push(Entry { key: key.text().into(), span, node });
            }
        }
    }

    fn refuse(&mut self, span: Span, anchor: usize, tagged: bool) {
        if anchor > 0 {
            self.mistakes.report(span, Code::E10, "anchors are not read").hint("write the value out");
        }
        if tagged {
            self.mistakes
                .report(span, Code::E10, "tags are not read")
                .hint("leave the tag out; quote what shall be a string");
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, span: Span) -> Scalar {
        if !plain {
            return Scalar::quoted(text);
        }
        let (scalar, otherwise) = Scalar::plain(text);
        if let Some(otherwise) = otherwise {
            self.mistakes.report(span, Code::E10, format!("`{text}` may be read as {otherwise}")).hint(
                if otherwise.starts_with("a number") { "quote it, or write it out" } else { "quote it" },
            );
        }
        scalar
    }
}
