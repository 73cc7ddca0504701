//! Fingerprints of error messages: what varies from one occurrence to the next is masked, the rest is hashed.

use xxhash_rust::xxh3::xxh3_64;

/// Furthest that a message is looked at, in bytes.
const MESSAGE_MAX: usize = 4096;

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

/// Classes of all bytes. Bytes of other scripts count as letters, so that no character is cut.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => WORD | DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' => WORD,
            b'_' => WORD | JOINT,
            b'.' | b'-' => WORD | EDGE | JOINT,
            b':' => WORD | EDGE | JOINT | SPECIAL,
            b'@' => WORD | EDGE | SPECIAL,
            b'%' | b'+' => WORD | EDGE,
            0x80.. => WORD | SPECIAL,
            b'"' | b'`' | b'\'' => QUOTE,
            _ if byte.is_ascii_whitespace() => SPACE,
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
pub fn mask(message: &str, out: &mut Vec<u8>) {
    out.clear();
    let bytes = message.as_bytes();
    let bytes = &bytes[..bytes.len().min(MESSAGE_MAX)];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let class = CLASSES[byte as usize];
        if class & WORD > 0 {
            let (mut end, mut all, mut common) = (at + 1, class, class);
            while let Some(&byte) = bytes.get(end)
                && is(byte, WORD)
            {
                all |= CLASSES[byte as usize];
                common &= CLASSES[byte as usize];
                end += 1;
            }
            let run = &bytes[at..end];
            if common & DIGIT > 0 {
                out.extend_from_slice(b"<n>");
            } else if all & (DIGIT | SPECIAL) == 0 && run.len() < UUID_LENGTH {
                out.extend_from_slice(run);
            } else {
                word(run, out);
            }
            at = end;
        } else if class & SPACE > 0 {
            if out.last().is_some_and(|last| *last != b' ') {
                out.push(b' ');
            }
            at += 1;
        } else if class & QUOTE > 0 {
            at = quoted(bytes, at, out);
        } else {
            out.push(byte);
            at += 1;
        }
    }
}

/// The fingerprint of a message as 16 hexadecimal digits; `scratch` is reused between calls.
#[must_use]
pub fn template_id(message: &str, scratch: &mut Vec<u8>) -> String {
    mask(message, scratch);
    let hash = xxh3_64(scratch);
    let digit = |place: u32| char::from(b"0123456789abcdef"[(hash >> (4 * place) & 15) as usize]);
    (0..16).rev().map(digit).collect()
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
    use super::{mask, template_id};

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

    #[test]
    fn equal_templates_have_equal_fingerprints() {
        let mut scratch = Vec::new();
        let first = template_id("timeout after 3000 ms", &mut scratch);
        assert_eq!(first, template_id("timeout after 17 ms", &mut scratch));
        assert_ne!(first, template_id("timeout before 17 ms", &mut scratch));
        assert_eq!(first.len(), 16);
    }

    #[test]
    fn unclosed_quotes_and_other_scripts_are_no_trouble() {
        assert_eq!(masked("it's \"open"), "it's \"open");
        assert_ne!(masked("Ошибка 5"), masked("Отказ 5"));
        assert_eq!(masked(&"é".repeat(5000)).chars().count(), 4096);
    }
}
