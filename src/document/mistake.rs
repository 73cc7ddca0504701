//! Mistakes in files: collected, sorted by place, told with a hint.

use std::fmt;

/// A place in one of the files of a [`Mistakes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The file's number, in the order of registration.
    pub file: u16,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub col: u32,
}

/// What kind of mistake it is (`rules.md` §16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Unknown key.
    E01,
    /// Something required is missing.
    E02,
    /// Wrong type.
    E03,
    /// Not one of a closed list.
    E04,
    /// Out of bounds.
    E05,
    /// Unknown field or name.
    E06,
    /// Unknown reference.
    E07,
    /// Does not combine.
    E08,
    /// Gap, overlap or wrong order.
    E09,
    /// Not YAML, or YAML that is read in several ways.
    E10,
    /// Twice.
    E11,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub span: Span,
    /// Of what kind.
    pub code: Code,
    /// What is wrong, lowercase, one sentence.
    pub sentence: String,
    /// What would be right in general.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Mistake {
    /// Adds what would be right in general.
    pub fn detail(&mut self, detail: impl Into<String>) -> &mut Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the known word nearest to the one that was written, if one is near.
    pub fn suggest<'w>(&mut self, written: &str, known: impl IntoIterator<Item = &'w str>) -> &mut Self {
        if let Some(word) = did_you_mean(written, known) {
            self.hint = Some(format!("did you mean `{word}`?"));
        }
        self
    }
}

/// All mistakes of a set of files. `Display` prints them by place, one or two lines each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mistakes {
    files: Vec<Box<str>>,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// Registers a file and gives its number.
    pub fn file(&mut self, name: &str) -> u16 {
        self.files.push(name.into());
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// The names of the files, by number.
    #[must_use]
    pub fn files(&self) -> &[Box<str>] {
        &self.files
    }

    /// An empty collection over the same files: for warnings beside errors.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { files: self.files.clone(), list: Vec::new() }
    }

    /// Adds a mistake; detail and hint can be added to what is returned.
    pub fn report(&mut self, span: Span, code: Code, sentence: impl Into<String>) -> &mut Mistake {
        self.list.push(Mistake { span, code, sentence: sentence.into(), detail: None, hint: None });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// Takes over mistakes found elsewhere in the same files.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The mistakes by place.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Mistake> {
        let mut sorted: Vec<&Mistake> = self.list.iter().collect();
        sorted.sort_by_key(|mistake| (mistake.span, mistake.code));
        sorted
    }

    /// `file:line:column` of a place.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let file = self.files.get(usize::from(span.file)).map_or("", AsRef::as_ref);
        format!("{file}:{}:{}", span.line, span.col)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in self.sorted() {
            let place = self.place(mistake.span);
            writeln!(f, "{place}: {} [{:?}]", mistake.sentence, mistake.code)?;
            match (&mistake.detail, &mistake.hint) {
                (Some(detail), Some(hint)) => writeln!(f, "  {detail}; hint: {hint}")?,
                (Some(detail), None) => writeln!(f, "  {detail}")?,
                (None, Some(hint)) => writeln!(f, "  hint: {hint}")?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The known word that is nearest to the written one, if it can have been meant; the first of equals.
#[must_use]
pub fn did_you_mean<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let reach = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(written, word), word))
        .filter(|(far, _)| *far <= reach)
        .min_by_key(|(far, _)| *far)
        .map(|(_, word)| word)
}

/// Edits from one word to the other: insert, delete, replace, swap neighbours.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let from: Vec<char> = from.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut best = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}
