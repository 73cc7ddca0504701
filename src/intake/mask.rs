//! Fingerprints of error messages: what varies from one occurrence to the next is masked, the rest is hashed.

use xxhash_rust::xxh3::xxh3_64;

/// Writes the message with its variable parts masked: numbers, hexadecimal and mixed identifiers, UUIDs, quoted
/// strings, e-mail and IP addresses. Runs of white space become one blank. Never looks further than 4 KiB.
pub fn mask(message: &str, out: &mut String) {
    out.clear();
    let bytes = message.as_bytes();
    let bytes = &bytes[..bytes.len().min(4096)];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b'"' | b'`' | b'\'' => quoted(bytes, at, out),
            _ if byte.is_ascii_whitespace() => {
                if !out.ends_with(' ') && !out.is_empty() {
                    out.push(' ');
                }
                at + 1
            }
            _ if is_word(byte) => {
                let end = bytes[at..].iter().position(|byte| !is_word(*byte)).map_or(bytes.len(), |n| at + n);
                word(&bytes[at..end], out);
                end
            }
            _ => {
                out.push(char::from(byte));
                at + 1
            }
        };
    }
}

/// The fingerprint of a message as 16 hexadecimal digits; `scratch` is reused between calls.
#[must_use]
pub fn template_id(message: &str, scratch: &mut String) -> String {
    mask(message, scratch);
    format!("{:016x}", xxh3_64(scratch.as_bytes()))
}

/// Bytes of other scripts count as letters, so that no character is cut.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'_' | b'.' | b'-' | b'@' | b':' | b'%' | b'+')
}

/// A quoted string up to its closing quote; an apostrophe inside a word or a quote never closed stays as it is.
fn quoted(bytes: &[u8], at: usize, out: &mut String) -> usize {
    let quote = bytes[at];
    let inside_word =
        quote == b'\'' && at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric());
    let length = bytes[at + 1..].iter().take(256).position(|byte| *byte == quote);
    match length {
        Some(length) if !inside_word => {
            out.push_str("<s>");
            at + length + 2
        }
        _ => {
            out.push(char::from(quote));
            at + 1
        }
    }
}

/// One run of word bytes, punctuation at its ends apart.
fn word(run: &[u8], out: &mut String) {
    let is_edge = |byte: &&u8| matches!(**byte, b'.' | b':' | b'-' | b'%' | b'+' | b'@');
    let lead = run.iter().take_while(is_edge).count();
    let trail = run[lead..].iter().rev().take_while(is_edge).count();
    let (edge, rest) = run.split_at(lead);
    let (core, tail) = rest.split_at(rest.len() - trail);
    push(edge, out);
    match core {
        _ if core.contains(&b'@') => out.push_str("<email>"),
        _ if is_ip(core) => out.push_str("<ip>"),
        _ if is_uuid(core) => out.push_str("<uuid>"),
        _ => core.split_inclusive(|byte| matches!(byte, b'.' | b':' | b'-' | b'_')).for_each(|part| {
            let (part, end) = match part.split_last() {
                Some((last, part)) if !last.is_ascii_alphanumeric() && *last < 0x80 => (part, Some(*last)),
                _ => (part, None),
            };
            piece(part, out);
            out.extend(end.map(char::from));
        }),
    }
    push(tail, out);
}

/// A piece without punctuation: a number, an identifier with digits in it, or a word that stays.
fn piece(part: &[u8], out: &mut String) {
    let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hex = part.strip_prefix(b"0x").unwrap_or(part);
    if digits == 0 {
        push(part, out);
    } else if digits == part.len() {
        out.push_str("<n>");
    } else if hex.len() >= 4 && hex.iter().all(u8::is_ascii_hexdigit) {
        out.push_str("<hex>");
    } else if digits * 4 >= part.len() && part.len() >= 8 {
        out.push_str("<id>");
    } else {
        let mut in_number = false;
        for byte in part {
            if !byte.is_ascii_digit() {
                out.push_str(if in_number { "<n>" } else { "" });
                push(&[*byte], out);
            }
            in_number = byte.is_ascii_digit();
        }
        out.push_str(if in_number { "<n>" } else { "" });
    }
}

/// Other scripts are written as a placeholder a byte: a fingerprint needs no letters, only that equals stay equal.
fn push(bytes: &[u8], out: &mut String) {
    bytes.iter().for_each(|byte| out.push(char::from(*byte)));
}

fn is_uuid(core: &[u8]) -> bool {
    core.len() == 36
        && core.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_ip(core: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(core) else { return false };
    let is_v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().is_ok();
    let host = text.split_once(':').map_or(text, |(host, _)| host);
    is_v4(host) || (text.matches(':').count() >= 2 && text.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{mask, template_id};

    fn masked(message: &str) -> String {
        let mut out = String::new();
        mask(message, &mut out);
        out
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
        let mut scratch = String::new();
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
