//! The headers of dead letters: which are ours, and what is left of them when a letter is sent again (`contracts.md` §6).

use crate::intake::Headers;

/// How often a record died, in letters and in records that are sent again.
pub const ATTEMPT: &str = "forewarn.errors.attempt";
/// How the names begin that a death adds, by any dialect.
const OURS: [&str; 4] = ["forewarn.errors.", "__streams.errors.", "__connect.errors.", "kafka_dlt-"];

/// The headers of a letter that is sent again: those that the record had, and how often it died.
#[must_use]
pub fn revived<'h>(letter: &[(&'h str, &'h [u8])]) -> Vec<(&'h str, &'h [u8])> {
    let is_ours = |name: &str| OURS.iter().any(|head| name.starts_with(head));
    let own = letter.iter().filter(|(name, _)| !is_ours(name));
    own.chain(letter.iter().rfind(|(name, _)| *name == ATTEMPT)).copied().collect()
}

/// How often a record with these headers died before.
#[must_use]
pub fn deaths(headers: &dyn Headers) -> u32 {
    let all = (0..).map_while(|place| headers.header(place));
    let last = all.filter(|(name, _)| *name == ATTEMPT).last();
    last.and_then(|(_, value)| str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{deaths, revived};

    #[test]
    fn a_letter_that_is_sent_again_has_its_own_headers_and_how_often_it_died() {
        let letter: [(&str, &[u8]); 6] = [
            ("trace", b"t"),
            ("forewarn.errors.attempt", b"1"),
            ("__streams.errors.topic", b"usage"),
            ("forewarn.errors.reason", b"decode_failed"),
            ("kafka_dlt-original-offset", b"12345678"),
            ("forewarn.errors.attempt", b"2"),
        ];
        let again = revived(&letter);
        assert_eq!(again, [("trace", b"t".as_slice()), ("forewarn.errors.attempt", b"2")]);
        assert_eq!(revived(&again[..1]), again[..1]);
    }

    #[test]
    fn a_record_without_the_header_has_not_died_yet() {
        assert_eq!(deaths(&()), 0);
    }
}
