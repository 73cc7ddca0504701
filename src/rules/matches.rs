//! Matches: which tests a field must pass.

use crate::document::{Code, Node, Scalar, Span, Value};
use crate::event::{FieldType, Kind};
use crate::rules::compile::Compiler;
use crate::rules::program::{Comparator, Literal, Match, Test};
use crate::rules::value;
use crate::rules::vocabulary::Named;

/// A group of a match has no more fields.
const MOST_FIELDS: usize = 16;

/// A list has no more values.
pub const MOST_VALUES: usize = 1000;

/// Operators of tests.
const OPERATORS: [&str; 7] = ["not", "gt", "gte", "lt", "lte", "exists", "starts_with"];

/// The comparators by name.
pub const COMPARATORS: [(&str, Comparator); 4] =
    [("gt", Comparator::Gt), ("gte", Comparator::Gte), ("lt", Comparator::Lt), ("lte", Comparator::Lte)];

/// Finds what a name in a match means; reports what is unknown.
pub type Resolve<'r, 'n, P> = dyn FnMut(&mut Compiler<'n>, &str, Span) -> Option<Named<P>> + 'r;

impl<'n> Compiler<'n> {
    /// Reads a match. Groups and tests are sorted, so that equal meanings are equal.
    pub fn matches<P: Ord>(&mut self, node: &'n Node, resolve: &mut Resolve<'_, 'n, P>) -> Option<Match<P>> {
        let mut groups = Vec::new();
        for group in node.one_or_more() {
            let entries = group.map("a match", &mut self.mistakes)?;
            if entries.len() > MOST_FIELDS {
                let sentence =
                    format!("a match has at most {MOST_FIELDS} fields, this has {}", entries.len());
                self.mistakes.report(group.span, Code::E05, sentence);
            }
            let mut tests = Vec::new();
            for entry in entries {
                if let Some(named) = resolve(self, &entry.key, entry.span) {
                    tests.extend(self.test(&entry.node, &named).map(|test| (named.path, test)));
                }
            }
            tests.sort();
            groups.push(tests);
        }
        if groups.iter().any(Vec::is_empty) {
            groups.clear();
        }
        groups.sort();
        groups.dedup();
        Some(Match(groups))
    }

    /// Reads the test of one field.
    pub fn test<P>(&mut self, node: &'n Node, named: &Named<P>) -> Option<Test> {
        let Value::Map(entries) = &node.value else {
            return Some(Test::AnyOf(self.literals(node, named)?));
        };
        node.table("a test", &OPERATORS, &mut self.mistakes)?;
        let mut bounds = Vec::new();
        let mut tests = Vec::new();
        for entry in entries {
            if let Some((_, op)) = COMPARATORS.iter().find(|(name, _)| *name == &*entry.key) {
                bounds.push((*op, self.bound(&entry.node, named)?));
                continue;
            }
            tests.push(match &*entry.key {
                "not" => Test::NoneOf(self.literals(&entry.node, named)?),
                "exists" => Test::Exists(entry.node.boolean(&mut self.mistakes)?),
                "starts_with" => Test::StartsWith(self.prefixes(&entry.node, named)?),
                _ => return None,
            });
        }
        if !bounds.is_empty() {
            bounds.sort();
            tests.push(Test::Bounds(bounds));
        }
        if tests.len() != 1 {
            let sentence = format!("a test has one operator, this has {}", tests.len());
            self.mistakes.report(node.span, Code::E08, sentence).detail("only gt gte lt lte stand together");
            return None;
        }
        tests.pop()
    }

    fn bound<P>(&mut self, node: &'n Node, named: &Named<P>) -> Option<Literal> {
        match named.ty {
            FieldType::Int | FieldType::Double => {
                value::quantity(node, named.durations, &mut self.mistakes).map(Literal::Number)
            }
            FieldType::Time | FieldType::Date => value::time(node, &mut self.mistakes).map(Literal::Time),
            ty => self.does_not_fit(node.span, "a comparison", ty),
        }
    }

    fn does_not_fit<T>(&mut self, span: Span, what: &str, ty: FieldType) -> Option<T> {
        self.mistakes.report(span, Code::E03, format!("{what} does not fit {}", type_name(ty)));
        None
    }

    fn prefixes<P>(&mut self, node: &'n Node, named: &Named<P>) -> Option<Vec<Box<str>>> {
        if !matches!(named.ty, FieldType::Text | FieldType::Enum(_)) {
            return self.does_not_fit(node.span, "starts_with", named.ty);
        }
        let texts = node.one_or_more().iter().map(|item| item.text(&mut self.mistakes).map(Into::into));
        let mut prefixes: Vec<Box<str>> = texts.collect::<Option<_>>()?;
        prefixes.sort();
        prefixes.dedup();
        Some(prefixes)
    }

    /// One value or a list of them, sorted, each once; `"@name"` stands for a list.
    fn literals<P>(&mut self, node: &'n Node, named: &Named<P>) -> Option<Vec<Literal>> {
        let items = node.one_or_more();
        if items.is_empty() || items.len() > MOST_VALUES {
            let sentence = format!("a list of values has 1 to {MOST_VALUES}, this has {}", items.len());
            self.mistakes.report(node.span, Code::E05, sentence);
        }
        let mut literals = Vec::new();
        for item in items {
            let name = item.scalar().and_then(Scalar::as_text).and_then(|text| text.strip_prefix('@'));
            match name {
                Some(name) => literals.extend(self.listed(name, item.span)?),
                None => literals.push(self.literal(item, named)?),
            }
        }
        literals.sort();
        literals.dedup();
        Some(literals)
    }

    fn listed(&mut self, name: &str, span: Span) -> Option<Vec<Literal>> {
        if let Some(list) = self.lists.iter().find(|list| &*list.name == name) {
            return Some(list.values.iter().map(|text| Literal::Text(text.clone())).collect());
        }
        let known: Vec<Box<str>> = self.lists.iter().map(|list| list.name.clone()).collect();
        self.mistakes
            .report(span, Code::E07, format!("no list `{name}`"))
            .suggest(name, known.iter().map(AsRef::as_ref));
        None
    }

    fn literal<P>(&mut self, node: &'n Node, named: &Named<P>) -> Option<Literal> {
        let mistakes = &mut self.mistakes;
        match named.ty {
            FieldType::Bool => node.boolean(mistakes).map(Literal::Bool),
            FieldType::Int | FieldType::Double => {
                value::quantity(node, named.durations, mistakes).map(Literal::Number)
            }
            FieldType::Time | FieldType::Date => value::time(node, mistakes).map(Literal::Time),
            FieldType::Text | FieldType::Texts => {
                let text = node.text(mistakes)?;
                if let Some(kind) = named.names_of {
                    self.event_name(kind, text, node.span);
                }
                Some(Literal::Text(text.into()))
            }
            FieldType::Enum(symbols) => {
                let known: Vec<(&str, &str)> = symbols.iter().map(|symbol| (*symbol, *symbol)).collect();
                node.choice("value of this field", &known, mistakes)
                    .map(|symbol| Literal::Text(symbol.into()))
            }
            ty => self.does_not_fit(node.span, "a value", ty),
        }
    }

    /// Warns of a name of events that nobody declared; a mistake in strict mode.
    fn event_name(&mut self, kind: Kind, name: &str, span: Span) {
        if self.vocabulary.event_names(kind).any(|known| known == name) {
            return;
        }
        let near = crate::document::did_you_mean(name, self.vocabulary.event_names(kind));
        let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let hint = format!("{hint}Own names go into `vocabulary.names`");
        let target = if self.strict { &mut self.mistakes } else { &mut self.warnings };
        target.report(span, Code::E06, format!("{} has no event `{name}`", kind.name())).hint(hint);
    }
}

/// How messages call a type.
pub const fn type_name(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Text => "a string",
        FieldType::Enum(_) => "a word of a closed list",
        FieldType::Int => "a whole number",
        FieldType::Double => "a number",
        FieldType::Bool => "true or false",
        FieldType::Time => "a time",
        FieldType::Date => "a date",
        FieldType::Texts => "a list of strings",
        FieldType::Dates => "a list of dates",
        FieldType::Records => "a list of records",
        FieldType::Doubles => "a map of numbers",
        FieldType::TextMap => "a map of strings",
    }
}
