//! Typed access: each question answers with a value, or reports what is wrong and answers with nothing.

use super::{Code, Entry, Mistakes, Node, Scalar, Span, Value, duration_ms};

/// A map with a known set of keys.
#[derive(Debug, Clone, Copy)]
pub struct Table<'n> {
    /// What the map describes, as messages name it.
    pub what: &'n str,
    /// Where the map begins.
    pub span: Span,
    entries: &'n [Entry],
}

impl<'n> Table<'n> {
    /// What stands under a key; nothing if the key is absent.
    #[must_use]
    pub fn optional(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// What stands under a key; reports if the key is absent.
    pub fn required(&self, key: &str, mistakes: &mut Mistakes) -> Option<&'n Node> {
        let found = self.optional(key);
        if found.is_none() {
            mistakes.report(self.span, Code::E02, format!("{} has no `{key}`", self.what));
        }
        found
    }

    /// The entry of a key, with the key's own place.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    /// All entries in written order.
    #[must_use]
    pub fn entries(&self) -> &'n [Entry] {
        self.entries
    }
}

impl Node {
    /// The map `what`, which takes the keys `known` and no others: reports what is no map, and unknown keys.
    pub fn table<'n>(&'n self, what: &'n str, known: &[&str], mistakes: &mut Mistakes) -> Option<Table<'n>> {
        let entries = self.map(what, mistakes)?;
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            mistakes
                .report(entry.span, Code::E01, format!("unknown key `{}` in {what}", entry.key))
                .detail(format!("{what} takes {}", known.join(" ")))
                .suggest(&entry.key, known.iter().copied());
        }
        Some(Table { what, span: self.span, entries })
    }

    /// The entries of a map with free keys; reports what is no map.
    pub fn map(&self, what: &str, mistakes: &mut Mistakes) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => self.expected(&format!("a map for {what}"), mistakes),
        }
    }

    /// The items of a list; reports what is no list.
    pub fn list(&self, what: &str, mistakes: &mut Mistakes) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => self.expected(&format!("a list for {what}"), mistakes),
        }
    }

    /// The items of a list, or the node itself as the only one.
    #[must_use]
    pub fn one_or_more(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// The single value, if it is one.
    #[must_use]
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// What stands under a key, if this is a map that has it; unlike [`Table`] it knows no set of keys.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// A string; numbers, true, false and nothing are none unless quoted.
    pub fn text(&self, mistakes: &mut Mistakes) -> Option<&str> {
        match self.scalar().map(Scalar::as_text) {
            Some(Some(text)) => Some(text),
            Some(None) => {
                let shown = self.scalar().map_or("", Scalar::shown);
                mistakes
                    .report(self.span, Code::E03, format!("expected a string, found {shown}"))
                    .hint("quote it");
                None
            }
            None => self.expected("a string", mistakes),
        }
    }

    /// True or false.
    pub fn boolean(&self, mistakes: &mut Mistakes) -> Option<bool> {
        let found = self.scalar().and_then(Scalar::as_bool);
        found.or_else(|| self.expected("true or false", mistakes))
    }

    /// A whole number between the bounds.
    pub fn integer(&self, bounds: std::ops::RangeInclusive<i64>, mistakes: &mut Mistakes) -> Option<i64> {
        let Some(number) = self.scalar().and_then(Scalar::as_integer) else {
            return self.expected("a whole number", mistakes);
        };
        if bounds.contains(&number) {
            return Some(number);
        }
        let (low, high) = bounds.into_inner();
        let sentence = format!("{number} is not between {low} and {high}");
        mistakes.report(self.span, Code::E05, sentence);
        None
    }

    /// A duration in milliseconds, not negative.
    pub fn duration(&self, mistakes: &mut Mistakes) -> Option<i64> {
        let scalar = self.scalar();
        let found = scalar.and_then(|scalar| duration_ms(scalar.text())).filter(|ms| *ms >= 0);
        if found.is_none() {
            let shown = self.shown();
            let bare = scalar.and_then(Scalar::as_integer);
            let report = mistakes.report(self.span, Code::E03, format!("expected a duration, found {shown}"));
            match bare {
                Some(number) if number >= 0 => report.hint(format!("write `{number}m` or `{number}s`")),
                _ => report.hint("write it as `90s`, `15m`, `2h`, `3d`, `2w` or `1d12h`"),
            };
        }
        found
    }

    /// One of the words of a closed list, with what it stands for.
    pub fn choice<T: Copy>(&self, what: &str, known: &[(&str, T)], mistakes: &mut Mistakes) -> Option<T> {
        let word = self.text(mistakes)?;
        if let Some((_, found)) = known.iter().find(|(name, _)| *name == word) {
            return Some(*found);
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        mistakes
            .report(self.span, Code::E04, format!("`{word}` is no {what}"))
            .detail(names.join(" "))
            .suggest(word, names.iter().copied());
        None
    }

    /// How a message shows the node.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.shown().to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// Reports that something else was expected here.
    pub fn expected<T>(&self, what: &str, mistakes: &mut Mistakes) -> Option<T> {
        mistakes.report(self.span, Code::E03, format!("expected {what}, found {}", self.shown()));
        None
    }
}
