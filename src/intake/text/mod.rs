//! What a customer's message says, without its words: phrase classes, tone, length, language (`detectors.md` §3.3).

mod lexicon;

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, BuildError};

use crate::document::Mistakes;
use crate::event::{Field, Text, Value};

pub use lexicon::{Class, Lexicon};

/// The lexicon that comes with the program.
const ENGLISH: &str = include_str!("../../../lexicons/en.yaml");
/// How many words before a word or phrase a negation reaches.
const NEGATION_REACH: usize = 3;
/// How many words tell the language.
const LANGUAGE_WORDS: usize = 200;
/// What a negation leaves of a weight, and of which sign.
const NEGATED: f64 = -0.74;
/// Normalises sums of weights to the compound score.
const ALPHA: f64 = 15.0;
/// What a word in capitals gains among others that are not.
const CAPITALS: f64 = 0.733;
/// What each of at most four exclamation marks adds.
const EXCLAMATION: f64 = 0.292;

/// A lexicon that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LexiconError {
    /// The file has mistakes.
    #[error("{0}")]
    Mistakes(Mistakes),
    /// The phrases make no automaton.
    #[error("the phrases can't be compiled: {0}")]
    Phrases(#[from] BuildError),
}

/// Scores messages. One a thread: it reuses its buffers. A copy is much cheaper than a new one.
#[derive(Clone)]
pub struct Scorer {
    lexicon: Lexicon,
    label: Box<str>,
    phrases: AhoCorasick,
    /// The class of each phrase, by the phrase's number.
    class_of: Vec<usize>,
    folded: String,
    words: Vec<Word>,
}

/// A word of the folded text, and whether it stood in capitals.
#[derive(Debug, Clone, Copy)]
struct Word {
    start: usize,
    end: usize,
    capitals: bool,
}

impl Scorer {
    /// A scorer with the lexicon that comes with the program.
    ///
    /// # Errors
    /// Never with the file as it is; a test reads it.
    pub fn english() -> Result<Self, LexiconError> {
        let mut mistakes = Mistakes::default();
        match Lexicon::parse("lexicons/en.yaml", ENGLISH, &mut mistakes) {
            Some(lexicon) => Ok(Self::new(lexicon)?),
            None => Err(LexiconError::Mistakes(mistakes)),
        }
    }

    /// A scorer with this lexicon.
    ///
    /// # Errors
    /// If there are too many phrases for an automaton.
    pub fn new(lexicon: Lexicon) -> Result<Self, BuildError> {
        let classed = || {
            lexicon
                .classes
                .iter()
                .enumerate()
                .flat_map(|(n, class)| class.phrases.iter().map(move |p| (n, p)))
        };
        let phrases = AhoCorasick::new(classed().map(|(_, phrase)| &**phrase))?;
        let class_of = classed().map(|(class, _)| class).collect();
        let label = format!("{}/{}", lexicon.language, lexicon.version).into();
        Ok(Self { lexicon, label, phrases, class_of, folded: String::new(), words: Vec::new() })
    }

    /// The features of a message, in the order of the fields.
    pub fn features(&mut self, body: &str) -> [(Field, Value<'static>); 6] {
        self.split(body);
        let language = self.language();
        let known = *language == *self.lexicon.language;
        let sentiment = if known { self.sentiment(body) } else { 0 };
        let tone = match sentiment {
            _ if !known => "none",
            score if score > self.lexicon.tone.0 => "none",
            score if score > self.lexicon.tone.1 => "mild",
            _ => "strong",
        };
        let classes = if known { self.classes(body) } else { Vec::new() };
        let length = i64::try_from(body.chars().count()).unwrap_or(i64::MAX);
        [
            (Field::TextClasses, Value::List(classes)),
            (Field::TextTone, Value::text(tone)),
            (Field::TextSentiment, Value::Int(sentiment)),
            (Field::TextLength, Value::Int(length)),
            (Field::TextLanguage, Value::Text(language)),
            (Field::TextLexicon, Value::Text(Cow::Owned(self.label.to_string()))),
        ]
    }

    /// Folds case and apostrophes and finds the words. Runs of white space become one blank.
    fn split(&mut self, body: &str) {
        self.folded.clear();
        self.words.clear();
        let mut open: Option<(usize, bool, bool)> = None;
        for letter in body.chars() {
            let letter = if letter == '\u{2019}' { '\'' } else { letter };
            let in_word = letter.is_alphanumeric() || matches!(letter, '\'' | '-') && open.is_some();
            match (&mut open, in_word) {
                (None, true) => open = Some((self.folded.len(), false, false)),
                (Some(word), false) => {
                    let (start, upper, lower) = *word;
                    self.words.push(Word { start, end: self.folded.len(), capitals: upper && !lower });
                    open = None;
                }
                _ => {}
            }
            if let Some((_, upper, lower)) = &mut open {
                *upper |= letter.is_uppercase();
                *lower |= letter.is_lowercase();
            }
            if letter.is_whitespace() {
                if !self.folded.ends_with(' ') {
                    self.folded.push(' ');
                }
            } else {
                self.folded.extend(letter.to_lowercase());
            }
        }
        if let Some((start, upper, lower)) = open {
            self.words.push(Word { start, end: self.folded.len(), capitals: upper && !lower });
        }
    }

    fn word(&self, word: &Word) -> &str {
        self.folded.get(word.start..word.end).unwrap_or_default()
    }

    /// The language whose function words are most frequent; of equals the lexicon's own, if the script is Latin.
    fn language(&self) -> Text<'static> {
        let hits = |list: &[Box<str>]| {
            self.words
                .iter()
                .take(LANGUAGE_WORDS)
                .filter(|word| list.iter().any(|own| **own == *self.word(word)))
                .count()
        };
        let own = &self.lexicon.language;
        let mut best = ("", 0);
        for (language, list) in &self.lexicon.function_words {
            let count = hits(list);
            if count > best.1 || count == best.1 && language == own {
                best = (language, count);
            }
        }
        let letters = self.folded.chars().filter(|letter| letter.is_alphabetic());
        let (latin, all) = letters.fold((0_usize, 0_usize), |(latin, all), letter| {
            (latin + usize::from(letter.is_ascii()), all + 1)
        });
        if best.1 > 0 {
            Cow::Owned(best.0.to_owned())
        } else if latin * 5 >= all * 4 {
            Cow::Owned(own.to_string())
        } else {
            Cow::Borrowed("unknown")
        }
    }

    fn weight(list: &[(Box<str>, i64)], word: &str) -> Option<f64> {
        let place = list.binary_search_by(|(own, _)| (**own).cmp(word)).ok()?;
        #[expect(clippy::cast_precision_loss, reason = "tenths between -40 and 40")]
        list.get(place).map(|(_, weight)| *weight as f64 / 10.0)
    }

    /// Whether a negation stands shortly before the word at this place.
    fn negated(&self, place: usize) -> bool {
        self.words[place.saturating_sub(NEGATION_REACH)..place]
            .iter()
            .any(|word| self.lexicon.negations.iter().any(|own| **own == *self.word(word)))
    }

    /// The compound score in hundredths.
    fn sentiment(&self, body: &str) -> i64 {
        let mixed =
            self.words.iter().any(|word| word.capitals) && self.words.iter().any(|word| !word.capitals);
        let mut sum = 0.0;
        for (place, word) in self.words.iter().enumerate() {
            let Some(mut weight) = Self::weight(&self.lexicon.words, self.word(word)) else { continue };
            let sign = if weight < 0.0 { -1.0 } else { 1.0 };
            if word.capitals && mixed {
                weight += sign * CAPITALS;
            }
            if let Some(before) = place.checked_sub(1).and_then(|before| self.words.get(before)) {
                weight += sign * Self::weight(&self.lexicon.boosters, self.word(before)).unwrap_or(0.0);
            }
            sum += if self.negated(place) { weight * NEGATED } else { weight };
        }
        let marks = body.bytes().filter(|byte| *byte == b'!').take(4).fold(0.0, |sum, _| sum + EXCLAMATION);
        if sum != 0.0 {
            sum += if sum < 0.0 { -marks } else { marks };
        }
        let compound = sum / libm::sqrt(sum * sum + ALPHA);
        #[expect(clippy::cast_possible_truncation, reason = "between -100 and 100")]
        let hundredths = libm::round(compound * 100.0) as i64;
        hundredths
    }

    /// The phrase classes that the message shows, in the order of the lexicon, shouting last.
    fn classes(&self, body: &str) -> Vec<Value<'static>> {
        let mut seen = vec![false; self.lexicon.classes.len()];
        for hit in self.phrases.find_overlapping_iter(&self.folded) {
            let class = self.class_of[hit.pattern().as_usize()];
            let Ok(place) = self.words.binary_search_by_key(&hit.start(), |word| word.start) else {
                continue;
            };
            let whole = self.words.binary_search_by_key(&hit.end(), |word| word.end).is_ok();
            if whole && !(self.lexicon.classes[class].negatable && self.negated(place)) {
                seen[class] = true;
            }
        }
        let mut classes: Vec<_> = self
            .lexicon
            .classes
            .iter()
            .zip(&seen)
            .filter(|(_, seen)| **seen)
            .map(|(class, _)| Value::Text(Cow::Owned(class.name.to_string())))
            .collect();
        if self.shouts(body) {
            classes.push(Value::text("shouting"));
        }
        classes
    }

    /// Three words or more in capitals that make up most of the message, or three exclamation marks in a row.
    fn shouts(&self, body: &str) -> bool {
        let long = |word: &&Word| word.end - word.start >= 3;
        let loud = self.words.iter().filter(long).filter(|word| word.capitals).count();
        let all = self.words.iter().filter(long).count();
        loud >= 3 && loud * 2 >= all || body.contains("!!!")
    }
}

#[cfg(test)]
mod tests {
    use super::Scorer;
    use crate::event::Value;

    struct Said {
        classes: Vec<String>,
        tone: String,
        sentiment: i64,
        language: String,
    }

    fn said(body: &str) -> Said {
        let [classes, tone, sentiment, _, language, _] =
            Scorer::english().unwrap().features(body).map(|(_, value)| value);
        let text = |value: &Value<'_>| value.as_text().unwrap().to_owned();
        let Value::List(classes) = classes else { panic!("no list") };
        let Value::Int(sentiment) = sentiment else { panic!("no integer") };
        Said {
            classes: classes.iter().map(text).collect(),
            tone: text(&tone),
            sentiment,
            language: text(&language),
        }
    }

    #[test]
    fn phrases_are_found_in_their_classes() {
        let cases: [(&str, &[&str]); 14] = [
            ("This keeps happening.", &["recurrence"]),
            ("Please see my previous ticket", &["earlier_tickets"]),
            ("This KEEPS\n happening, see my previous  ticket!", &["recurrence", "earlier_tickets"]),
            ("I want to talk to your manager", &["manager_request"]),
            ("We are cancelling next month", &["churn_language"]),
            ("We are not cancelling, no worries", &[]),
            ("We don\u{2019}t want to cancel our plan", &[]),
            ("We will not renew", &["churn_language"]),
            ("Our lawyer will write to you", &["legal_threat"]),
            ("Our lawyers' portal", &[]),
            ("WHERE IS MY DATA NOW", &["shouting"]),
            ("Fix it!!!", &["shouting"]),
            ("Thank you, it works now", &["thanks"]),
            ("The escalator sues nobody; a managerial task", &[]),
        ];
        for (body, classes) in cases {
            assert_eq!(said(body).classes, classes, "{body}");
        }
    }

    #[test]
    fn tone_has_three_steps() {
        assert_eq!(said("The export has finished.").tone, "none");
        assert_eq!(said("Thanks, great help, we love it").tone, "none");
        assert_eq!(said("There is a problem with the export").tone, "mild");
        assert_eq!(said("This is terrible, we are furious and the export is useless").tone, "strong");
        assert!(said("not good").sentiment < 0 && said("not bad").sentiment > 0);
        assert!(said("very bad").sentiment < said("bad").sentiment);
        assert!(said("this is BAD").sentiment < said("this is bad").sentiment);
        assert!(said("bad!!").sentiment < said("bad").sentiment);
    }

    #[test]
    fn other_languages_have_no_tone_and_no_classes() {
        let german = said("Der Export ist seit gestern nicht mehr möglich, thanks");
        assert_eq!((german.language.as_str(), german.tone.as_str(), german.sentiment), ("de", "none", 0));
        assert!(german.classes.is_empty());
        assert_eq!(said("не работает").language, "unknown");
        assert_eq!(said("EXPORT BROKEN").language, "en");
        assert_eq!(said("").language, "en");
    }

    #[test]
    fn the_lexicon_is_large_enough() {
        let scorer = Scorer::english().unwrap();
        assert!(scorer.lexicon.words.len() >= 150);
        assert!(scorer.lexicon.classes.iter().map(|class| class.phrases.len()).sum::<usize>() >= 150);
        assert_eq!(&*scorer.label, "en/1");
    }
}
