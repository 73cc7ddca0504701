//! A language's lexicon: weighted words, phrase classes and function words, read from a data file.

use crate::document::{Code, Mistakes, Node, parse};

/// A class of phrases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name, as rules match it.
    pub name: Box<str>,
    /// Whether a negation shortly before a phrase takes it back.
    pub negatable: bool,
    /// The phrases, in lower case.
    pub phrases: Vec<Box<str>>,
}

/// What messages of one language are scored with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lexicon {
    /// The language.
    pub language: Box<str>,
    /// The version of the file.
    pub version: i64,
    /// The compound score from which on downwards the tone is mild, and strong, in hundredths.
    pub tone: (i64, i64),
    /// Words that turn the meaning of those that follow.
    pub negations: Vec<Box<str>>,
    /// Words that strengthen or weaken the next one, in tenths; by word.
    pub boosters: Vec<(Box<str>, i64)>,
    /// Words and their weights in tenths; by word.
    pub words: Vec<(Box<str>, i64)>,
    /// The phrase classes, in the order of the file.
    pub classes: Vec<Class>,
    /// Function words by language, to tell languages apart.
    pub function_words: Vec<(Box<str>, Vec<Box<str>>)>,
}

const KEYS: [&str; 8] =
    ["version", "language", "tone", "negations", "boosters", "words", "classes", "function_words"];

impl Lexicon {
    /// Reads a lexicon file; `file` is the name that mistakes carry. `None` if there are mistakes.
    pub fn parse(file: &str, text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let before = mistakes.len();
        let node = parse(file, text, mistakes)?;
        let table = node.table("a lexicon", &KEYS, mistakes)?;
        let version =
            table.required("version", mistakes).and_then(|node| node.integer(1..=i64::MAX, mistakes));
        let language = table.required("language", mistakes).and_then(|node| word(node, mistakes));
        let tone = table.required("tone", mistakes).and_then(|node| {
            let table = node.table("tone", &["mild", "strong"], mistakes)?;
            let mild = table.required("mild", mistakes)?.integer(-100..=0, mistakes)?;
            let strong = table.required("strong", mistakes)?.integer(-100..=0, mistakes)?;
            Some((mild, strong))
        });
        let negations = table.optional("negations").map(|node| words(node, mistakes)).unwrap_or_default();
        let boosters = table.optional("boosters").map(|node| weighted(node, mistakes)).unwrap_or_default();
        let weights = table.optional("words").map(|node| weighted(node, mistakes)).unwrap_or_default();
        let mut classes = Vec::new();
        for node in
            table.optional("classes").and_then(|node| node.list("classes", mistakes)).unwrap_or_default()
        {
            classes.extend(class(node, mistakes));
        }
        let mut function_words = Vec::new();
        let languages =
            table.optional("function_words").and_then(|node| node.map("function_words", mistakes));
        for entry in languages.unwrap_or_default() {
            function_words.push((entry.key.clone(), words(&entry.node, mistakes)));
        }
        if mistakes.len() > before {
            return None;
        }
        Some(Self {
            language: language?,
            version: version?,
            tone: tone?,
            negations,
            boosters,
            words: weights,
            classes,
            function_words,
        })
    }
}

fn word(node: &Node, mistakes: &mut Mistakes) -> Option<Box<str>> {
    let text = node.text(mistakes)?;
    if text.is_empty() || text.chars().any(char::is_uppercase) {
        mistakes.report(node.span, Code::E05, format!("`{text}` is empty or not in lower case"));
        return None;
    }
    Some(text.into())
}

fn words(node: &Node, mistakes: &mut Mistakes) -> Vec<Box<str>> {
    node.one_or_more().iter().filter_map(|node| word(node, mistakes)).collect()
}

fn weighted(node: &Node, mistakes: &mut Mistakes) -> Vec<(Box<str>, i64)> {
    let mut all: Vec<(Box<str>, i64)> = Vec::new();
    for group in node.one_or_more() {
        let Some(table) = group.table("a group of words", &["weight", "words"], mistakes) else { continue };
        let weight = table.required("weight", mistakes).and_then(|node| node.integer(-40..=40, mistakes));
        let list = table.required("words", mistakes);
        let (Some(weight), Some(list)) = (weight, list) else { continue };
        all.extend(words(list, mistakes).into_iter().map(|word| (word, weight)));
    }
    all.sort();
    if let Some(twice) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        mistakes.report(node.span, Code::E11, format!("`{}` has two weights", twice[0].0));
    }
    all
}

fn class(node: &Node, mistakes: &mut Mistakes) -> Option<Class> {
    let table = node.table("a class", &["name", "negatable", "phrases"], mistakes)?;
    let name = table.required("name", mistakes).and_then(|node| word(node, mistakes));
    let negatable = match table.optional("negatable") {
        Some(node) => node.boolean(mistakes)?,
        None => false,
    };
    let phrases = table.required("phrases", mistakes).map(|node| words(node, mistakes));
    Some(Class { name: name?, negatable, phrases: phrases? })
}
