//! Fingerprints of error messages: what varies from one occurrence to the next is masked, the rest is hashed.

use xxhash_rust::xxh3::xxh3_64;

/// Furthest that a message is looked at, in bytes.
const MESSAGE_MAX: usize = 4096;

/// How many messages are kept with their fingerprints, by a byte of their hash, and the longest of them, bytes.
const KNOWN: usize = 256;
const KNOWN_MAX: usize = 512;

/// What a byte can be; the sum over a run says what the run can be.
const WORD: u8 = 1;
const DIGIT: u8 = 1 << 1;
const SPACE: u8 = 1 << 2;
const QUOTE: u8 = 1 << 3;
/// Punctuation that is no part of the word at whose end it stands.
const EDGE: u8 = 1 << 4;
/// Punctuation between the pieces of a word.
const JOINT: u8 = 1 << 5;
/// Only a closer look tells what the word is: mail and IPv6 addresses, other scripts.
const SPECIAL: u8 = 1 << 6;
/// Where the walk stops: whatever may not stay as it is, a blank by itself excepted.
const STOP: u8 = 1 << 7;

/// Classes of all bytes. Bytes of other scripts count as letters, so that no character is cut.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => WORD | DIGIT | STOP,
            b'a'..=b'z' | b'A'..=b'Z' => WORD,
            b'_' => WORD | JOINT,
            b'.' => WORD | EDGE | JOINT,
            b'-' => WORD | EDGE | JOINT | STOP,
            b':' => WORD | EDGE | JOINT | SPECIAL | STOP,
            b'@' => WORD | EDGE | SPECIAL | STOP,
            b'%' | b'+' => WORD | EDGE,
            0x80.. => WORD | SPECIAL | STOP,
            b'"' | b'`' | b'\'' => QUOTE | STOP,
            b' ' => SPACE,
            _ if byte.is_ascii_whitespace() => SPACE | STOP,
            _ => 0,
        };
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

/// Length of a UUID with its dashes.
const UUID_LENGTH: usize = 36;

const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class > 0
}

/// Writes the message with its variable parts masked: numbers, hexadecimal and mixed identifiers, UUIDs, quoted
/// strings, e-mail and IP addresses. Runs of white space become one blank. Never looks further than 4 KiB.
///
/// One walk that stops only where something may have to change; what stays is copied in one piece up to there.
pub fn mask(message: &str, out: &mut Vec<u8>) {
    out.clear();
    let bytes = message.as_bytes();
    let bytes = &bytes[..bytes.len().min(MESSAGE_MAX)];
    let (mut copied, mut at, mut before) = (0, 0, SPACE);
    loop {
        let quiet = quiet(&bytes[at..], before & SPACE > 0);
        if quiet > 0 {
            at += quiet;
            before = CLASSES[bytes[at - 1] as usize];
        }
        let Some(&byte) = bytes.get(at) else { break };
        let class = CLASSES[byte as usize];
        if class & STOP == 0 && class & before & SPACE == 0 || byte == b'-' && !is_uuid_dash(bytes, at) {
            before = class;
            at += 1;
            continue;
        }
        if class & SPACE > 0 {
            out.extend_from_slice(&bytes[copied..at]);
            if before & SPACE == 0 {
                out.push(b' ');
            }
            at += 1;
        } else if class & QUOTE > 0 {
            out.extend_from_slice(&bytes[copied..at]);
            at = quoted(bytes, at, out);
        } else {
            // Back to where the word begins: nothing of it was copied yet.
            let lead = bytes[copied..at].iter().rev().take_while(|byte| is(**byte, WORD)).count();
            let tail = bytes[at..].iter().take_while(|byte| is(**byte, WORD)).count();
            let (start, end) = (at - lead, at + tail);
            out.extend_from_slice(&bytes[copied..start]);
            let run = &bytes[start..end];
            if run.iter().all(u8::is_ascii_digit) {
                out.extend_from_slice(b"<n>");
            } else {
                word(run, out);
            }
            at = end;
        }
        copied = at;
        before = class & SPACE;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// How many bytes from the first on are letters and single blanks, eight at a time. Not all of them may be counted.
fn quiet(bytes: &[u8], mut after_blank: bool) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    // The high bit of each byte, below 0x80 itself, that is not below `limit`: no sum reaches the next byte.
    let from = |bytes: u64, limit: u8| bytes.wrapping_add(ONES * u64::from(0x80 - limit));
    let (words, _) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let (low, high) = (word & !HIGH, word & HIGH);
        let lower = low | (0x20 * ONES);
        let letters = from(lower, b'a') & !from(lower, b'z' + 1);
        let blanks = from(low, b' ') & !from(low, b' ' + 1) & !high & HIGH;
        let second = blanks & (blanks << 8 | u64::from(after_blank) << 7);
        let stops = !(letters & !high | blanks) & HIGH | second;
        if stops != 0 {
            return place * 8 + (stops.trailing_zeros() / 8) as usize;
        }
        after_blank = blanks >> 63 == 1;
    }
    words.len() * 8
}

/// Whether this dash may be the first of a UUID: only so is a word of letters alone one that varies.
fn is_uuid_dash(bytes: &[u8], at: usize) -> bool {
    [5, 10, 15].into_iter().all(|next| bytes.get(at + next) == Some(&b'-'))
}

/// Fingerprints of messages; many messages are one that was there before, byte by byte.
#[derive(Debug, Default)]
pub struct Fingerprints {
    scratch: Vec<u8>,
    /// By hash: the message that was seen last, and its fingerprint.
    known: Vec<(Vec<u8>, u64)>,
}

impl Fingerprints {
    /// The hash of the masked message; `None` if it is no UTF-8.
    pub fn of(&mut self, message: &[u8]) -> Option<u64> {
        if message.len() > KNOWN_MAX {
            return self.masked(message);
        }
        let [place, ..] = xxh3_64(message).to_le_bytes().map(usize::from);
        match self.known.get(place) {
            Some((known, fingerprint)) if known == message && !message.is_empty() => Some(*fingerprint),
            _ => {
                let fingerprint = self.masked(message)?;
                self.known.resize_with(KNOWN, Default::default);
                let (known, own) = &mut self.known[place];
                known.clear();
                known.extend_from_slice(message);
                *own = fingerprint;
                Some(fingerprint)
            }
        }
    }

    fn masked(&mut self, message: &[u8]) -> Option<u64> {
        mask(std::str::from_utf8(message).ok()?, &mut self.scratch);
        Some(xxh3_64(&self.scratch))
    }

    /// The fingerprint of a message as 16 hexadecimal digits at the end of `out`.
    pub fn template_id(&mut self, message: &str, out: &mut String) {
        let hash = self.of(message.as_bytes()).unwrap_or_default();
        let mut digits = [0; 16];
        for (place, digit) in (0_u32..).zip(&mut digits) {
            *digit = b"0123456789abcdef"[(hash >> (60 - 4 * place) & 15) as usize];
        }
        out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
}

/// A quoted string up to its closing quote; an apostrophe inside a word or a quote never closed stays as it is.
fn quoted(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let quote = bytes[at];
    let inside_word =
        quote == b'\'' && at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric());
    let length = bytes[at + 1..].iter().take(256).position(|byte| *byte == quote);
    match length {
        Some(length) if !inside_word => {
            out.extend_from_slice(b"<s>");
            at + length + 2
        }
        _ => {
            out.push(quote);
            at + 1
        }
    }
}

/// One run of word bytes, punctuation at its ends apart.
fn word(run: &[u8], out: &mut Vec<u8>) {
    let is_edge = |byte: &&u8| is(**byte, EDGE);
    let lead = run.iter().take_while(is_edge).count();
    let trail = run[lead..].iter().rev().take_while(is_edge).count();
    let (edge, rest) = run.split_at(lead);
    let (core, tail) = rest.split_at(rest.len() - trail);
    push(edge, out);
    match core {
        _ if core.contains(&b'@') => out.extend_from_slice(b"<email>"),
        _ if is_ip(core) => out.extend_from_slice(b"<ip>"),
        _ if is_uuid(core) => out.extend_from_slice(b"<uuid>"),
        _ => core.split_inclusive(|byte| is(*byte, JOINT)).for_each(|part| {
            let (part, end) = match part.split_last() {
                Some((last, part)) if !last.is_ascii_alphanumeric() && *last < 0x80 => (part, Some(*last)),
                _ => (part, None),
            };
            piece(part, out);
            out.extend(end);
        }),
    }
    push(tail, out);
}

/// A piece without punctuation: a number, an identifier with digits in it, or a word that stays.
fn piece(part: &[u8], out: &mut Vec<u8>) {
    let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hex = part.strip_prefix(b"0x").unwrap_or(part);
    if digits == 0 {
        push(part, out);
    } else if digits == part.len() {
        out.extend_from_slice(b"<n>");
    } else if hex.len() >= 4 && hex.iter().all(u8::is_ascii_hexdigit) {
        out.extend_from_slice(b"<hex>");
    } else if digits * 4 >= part.len() && part.len() >= 8 {
        out.extend_from_slice(b"<id>");
    } else {
        for run in part.chunk_by(|one, next| one.is_ascii_digit() == next.is_ascii_digit()) {
            if run.first().is_some_and(u8::is_ascii_digit) {
                out.extend_from_slice(b"<n>");
            } else {
                push(run, out);
            }
        }
    }
}

/// Other scripts are written as a character a byte: a fingerprint needs no letters, only that equals stay equal.
fn push(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_ascii() {
        out.extend_from_slice(bytes);
    } else {
        for byte in bytes {
            out.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes());
        }
    }
}

fn is_uuid(core: &[u8]) -> bool {
    core.len() == UUID_LENGTH
        && core.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_ip(core: &[u8]) -> bool {
    #[expect(clippy::naive_bytecount, reason = "a word is short")]
    let count = |sought: u8| core.iter().filter(|byte| **byte == sought).count();
    let (dots, colons) = (count(b'.'), count(b':'));
    if dots < 3 && colons < 2 {
        return false;
    }
    let Ok(text) = std::str::from_utf8(core) else { return false };
    let is_v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().is_ok();
    let host = text.split_once(':').map_or(text, |(host, _)| host);
    is_v4(host) || (colons >= 2 && text.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::{Fingerprints, KNOWN_MAX, MESSAGE_MAX, QUOTE, SPACE, WORD, is, mask, quoted, word};

    fn masked(message: &str) -> String {
        let mut out = Vec::new();
        mask(message, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_varies_is_masked() {
        let cases = [
            ("timeout after 3000 ms", "timeout after <n> ms"),
            ("took 12.5s, retry 3/5", "took <n>.<n>s, retry <n>/<n>"),
            ("user 550e8400-e29b-41d4-a716-446655440000 not found", "user <uuid> not found"),
            ("cannot reach 10.0.0.17:5432", "cannot reach <ip>"),
            ("peer fe80::1 gone", "peer <ip> gone"),
            ("mail to bob@acme.com bounced.", "mail to <email> bounced."),
            ("column \"total\" of 'orders' missing", "column <s> of <s> missing"),
            ("can't open file", "can't open file"),
            ("at 0x7ffde4a1b2 in deadbeef99", "at <hex> in <hex>"),
            ("order ord_9f8a7b6c5d4e3f21x lost", "order ord_<id> lost"),
            ("shard-17  of   eu-west-1", "shard-<n> of eu-west-<n>"),
            ("parse() failed", "parse() failed"),
        ];
        for (message, template) in cases {
            assert_eq!(masked(message), template);
        }
    }

    fn fingerprint(message: &str) -> String {
        let mut out = String::new();
        Fingerprints::default().template_id(message, &mut out);
        out
    }

    #[test]
    fn equal_templates_have_equal_fingerprints() {
        let first = fingerprint("timeout after 3000 ms");
        assert_eq!(first, fingerprint("timeout after 17 ms"));
        assert_ne!(first, fingerprint("timeout before 17 ms"));
        assert_eq!(first, format!("{:016x}", xxh3_64(b"timeout after <n> ms")));
    }

    #[test]
    fn what_was_seen_before_has_the_fingerprint_of_a_first_look() {
        let mut fingerprints = Fingerprints::default();
        let long = "x 1 ".repeat(KNOWN_MAX);
        for round in 0..3 {
            for number in 0..2_000 {
                let message = format!("attempt {} of {number} failed", number % 7);
                let first = Fingerprints::default().of(message.as_bytes());
                assert_eq!(fingerprints.of(message.as_bytes()), first, "{message} in round {round}");
            }
            for message in ["", &long] {
                assert_eq!(
                    fingerprints.of(message.as_bytes()),
                    Fingerprints::default().of(message.as_bytes())
                );
            }
            assert_eq!(fingerprints.of(b"\xff"), None);
        }
    }

    /// The definition: run by run, nothing skipped.
    fn plainly(message: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let bytes = &message.as_bytes()[..message.len().min(MESSAGE_MAX)];
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let length = bytes[at..].iter().take_while(|byte| is(**byte, WORD)).count();
            if length > 0 {
                word(&bytes[at..at + length], &mut out);
                at += length;
            } else if is(byte, QUOTE) {
                at = quoted(bytes, at, &mut out);
            } else {
                at += 1;
                if !is(byte, SPACE) {
                    out.push(byte);
                } else if out.last().is_some_and(|last| *last != b' ') {
                    out.push(b' ');
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn walking_and_going_run_by_run_are_one(parts in prop::collection::vec(part(), 0..12)) {
            let message = parts.concat();
            let mut out = vec![7];
            mask(&message, &mut out);
            let expected = plainly(&message);
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected), "{}", message);
        }
    }

    /// Pieces whose neighbours change what they are.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ \t\n]{1,3}",
            "[a-z]{1,9}",
            "[a-f0-9-]{1,12}",
            "[0-9]{1,3}",
            "['\"`.:@%+_/()-]{1,2}",
            "[a-f]{8}-[a-f]{4}-[a-f]{4}-[a-f]{4}-[a-f]{12}",
            "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
            "[a-z]{1,4}@[a-z]{1,4}\\.com",
            ".{1,5}",
        ]
    }

    #[test]
    fn unclosed_quotes_and_other_scripts_are_no_trouble() {
        assert_eq!(masked("it's \"open"), "it's \"open");
        assert_ne!(masked("Ошибка 5"), masked("Отказ 5"));
        assert_eq!(masked(&"é".repeat(5000)).chars().count(), 4096);
    }
}
