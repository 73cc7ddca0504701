//! Mapping files: read, checked to the last key, every mistake with its place.

use crate::document::{Code, Mistakes, Node, Scalar, Table, Value as Written, parse as parse_document};
use crate::event::{Field, FieldType, Kind, Value};
use crate::intake::draft::Target;
use crate::intake::properties::{Property, PropertyType};
use crate::intake::trie::Step;

use super::{Case, From, Mapping, Set, Test, TimeUnit, ValueMap, fields};

const KEYS: [&str; 8] = ["version", "name", "topic", "kind", "unpack", "when", "set", "properties"];
const SET_KEYS: [&str; 8] = ["from", "const", "map", "case", "unit", "scale", "prefix", "default"];
const TEST_KEYS: [&str; 7] = ["not", "gt", "gte", "lt", "lte", "exists", "starts_with"];
const CASES: [(&str, Case); 2] = [("lower", Case::Lower), ("snake", Case::Snake)];
const UNITS: [(&str, TimeUnit); 5] = [
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Milliseconds),
    ("us", TimeUnit::Microseconds),
    ("ns", TimeUnit::Nanoseconds),
    ("rfc3339", TimeUnit::Rfc3339),
];

impl Mapping {
    /// Reads a mapping file; `file` is the name that mistakes carry. `None` if there are mistakes.
    pub fn parse(file: &str, text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let before = mistakes.len();
        let node = parse_document(file, text, mistakes)?;
        let table = node.table("a mapping", &KEYS, mistakes)?;
        if let Some(version) = table.required("version", mistakes) {
            version.integer(1..=1, mistakes);
        }
        let name = table.required("name", mistakes).and_then(|node| node.text(mistakes));
        let topic = table.required("topic", mistakes).and_then(|node| node.text(mistakes));
        let kinds = Kind::SOURCES.map(|kind| (kind.name(), kind));
        let kind = table.required("kind", mistakes).and_then(|node| node.choice("kind", &kinds, mistakes));
        let unpack = table.optional("unpack").map(|node| unpack(node, mistakes)).unwrap_or_default();
        let depth = unpack.len();
        let when = table.optional("when").map(|node| when(node, depth, mistakes)).unwrap_or_default();
        // Without a kind nobody knows which fields there are.
        let set = kind.and_then(|kind| table.optional("set").map(|node| sets(node, kind, depth, mistakes)));
        let properties = properties(&table, set.is_some(), depth, mistakes);
        check_whole(&table, kind, set.as_deref(), depth, mistakes);
        if mistakes.len() > before {
            return None;
        }
        Some(Self { name: name?.into(), topic: topic?.into(), kind: kind?, unpack, when, set, properties })
    }
}

/// What is wrong with the mapping as a whole: an event needs its name and id from somewhere.
fn check_whole(
    table: &Table<'_>,
    kind: Option<Kind>,
    set: Option<&[Set]>,
    depth: usize,
    mistakes: &mut Mistakes,
) {
    let place = table.entry("set").or_else(|| table.entry("unpack")).map(|entry| entry.span);
    let (Some(kind), Some(place)) = (kind, place) else { return };
    match set {
        Some(set) => {
            for field in [kind.name_field(), Field::EventId] {
                if !set.iter().any(|set| set.target == Target::Field(field)) {
                    let name = field.spec().name;
                    mistakes
                        .report(place, Code::E02, format!("`{name}` is not set"))
                        .hint(format!("every event needs it: write `{name}: PATH`"));
                }
            }
        }
        None if depth > 0 => {
            mistakes
                .report(place, Code::E08, "`unpack` does not fit a topic of the canonical form")
                .hint("add `set`, or leave `unpack` out");
        }
        None => {}
    }
}

fn unpack(node: &Node, mistakes: &mut Mistakes) -> Vec<Vec<Step>> {
    let Some(text) = node.text(mistakes) else { return Vec::new() };
    let mut lists = Vec::new();
    for part in text.trim_end_matches("[]").split("[].") {
        lists.extend(steps(part, node, mistakes));
    }
    lists
}

/// The steps of a path such as `data.items[0].price`.
fn steps(text: &str, node: &Node, mistakes: &mut Mistakes) -> Option<Vec<Step>> {
    let mut path = Vec::new();
    for part in text.split('.') {
        let (name, mut rest) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        let mut fits = !name.is_empty() && !name.contains(']');
        path.push(Step::Name(name.into()));
        while fits && !rest.is_empty() {
            let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            match index.and_then(|(index, after)| Some((index.parse().ok()?, after))) {
                Some((index, after)) => {
                    path.push(Step::Index(index));
                    rest = after;
                }
                None => fits = false,
            }
        }
        if !fits {
            mistakes
                .report(node.span, Code::E03, format!("`{text}` is no path"))
                .hint("write names joined by dots, items of lists as `name[0]`");
            return None;
        }
    }
    Some(path)
}

/// A place, or several joined by text: `{a.b}#{c}`.
fn place_of(text: &str, node: &Node, depth: usize, mistakes: &mut Mistakes) -> Option<From> {
    if !text.contains('{') {
        return single_place(text, node, depth, mistakes);
    }
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let Some((place, after)) = after.split_once('}') else {
            mistakes
                .report(node.span, Code::E03, format!("`{text}` lacks a `}}`"))
                .hint("write each place in braces: `{a.b}#{c}`");
            return None;
        };
        pieces.push((before.into(), single_place(place, node, depth, mistakes)?));
        rest = after;
    }
    Some(From::Joined(pieces, rest.into()))
}

fn single_place(text: &str, node: &Node, depth: usize, mistakes: &mut Mistakes) -> Option<From> {
    if text == "key" {
        return Some(From::Key);
    }
    if let Some(name) = text.strip_prefix("header:") {
        return Some(From::Header(name.into()));
    }
    if let Some(path) = text.strip_prefix('/') {
        return steps(path, node, mistakes).map(From::Root);
    }
    let (mut up, mut path) = (0, text);
    while let Some(above) = path.strip_prefix("../") {
        (up, path) = (up + 1, above);
    }
    if up >= depth.max(1) {
        mistakes
            .report(node.span, Code::E08, format!("`{text}` leads above what is unpacked"))
            .hint("each `../` is one list of `unpack`; from the record's root write `/x`");
        return None;
    }
    let named = path.strip_suffix(']').and_then(|path| path.rsplit_once('['));
    let attribute = named.filter(|(_, name)| name.parse::<usize>().is_err());
    if attribute.is_some() && depth == 0 {
        mistakes
            .report(node.span, Code::E08, format!("`{text}` names an attribute, but nothing is unpacked"))
            .hint("attributes by name are read in items of `unpack` only");
        return None;
    }
    let path = steps(attribute.map_or(path, |(list, _)| list), node, mistakes)?;
    let attribute = attribute.map(|(_, name)| name.into());
    Some(if depth > 0 { From::Item { up, path, attribute } } else { From::Root(path) })
}

fn places(node: &Node, depth: usize, mistakes: &mut Mistakes) -> Vec<From> {
    let mut all = Vec::new();
    for node in node.one_or_more() {
        if let Some(text) = node.text(mistakes) {
            all.extend(place_of(text, node, depth, mistakes));
        }
    }
    all
}

fn sets(node: &Node, kind: Kind, depth: usize, mistakes: &mut Mistakes) -> Vec<Set> {
    let mut all = Vec::new();
    for entry in node.map("set", mistakes).unwrap_or_default() {
        let Some(field) = fields(kind).find(|field| field.spec().name == &*entry.key) else {
            mistakes
                .report(
                    entry.span,
                    Code::E06,
                    format!("{} has no field `{}` to be set", kind.name(), entry.key),
                )
                .suggest(&entry.key, fields(kind).map(|field| field.spec().name));
            continue;
        };
        all.extend(set(&entry.node, field, depth, mistakes));
    }
    all
}

fn set(node: &Node, field: Field, depth: usize, mistakes: &mut Mistakes) -> Option<Set> {
    let target = Target::Field(field);
    if !matches!(node.value, Written::Map(_)) {
        return Some(Set::plain(target, places(node, depth, mistakes)));
    }
    let table = node.table("a field", &SET_KEYS, mistakes)?;
    let from = table.optional("from").map(|node| places(node, depth, mistakes)).unwrap_or_default();
    let constant = table.optional("const").and_then(|node| literal(node, mistakes));
    if table.optional("from").is_some() == table.optional("const").is_some() {
        mistakes.report(node.span, Code::E08, "a field takes either `from` or `const`");
    }
    let unit = table.optional("unit").and_then(|node| node.choice("unit", &UNITS, mistakes));
    if unit.is_some() && !matches!(field.spec().ty, FieldType::Time | FieldType::Int) {
        let sentence =
            format!("`unit` does not fit `{}`, which is neither time nor number", field.spec().name);
        mistakes.report(node.span, Code::E08, sentence);
    }
    Some(Set {
        target,
        from,
        constant,
        map: table.optional("map").and_then(|node| value_map(node, mistakes)),
        case: table.optional("case").and_then(|node| node.choice("case", &CASES, mistakes)),
        unit,
        scale: table.optional("scale").and_then(|node| number(node, mistakes)),
        prefix: table.optional("prefix").and_then(|node| node.text(mistakes)).map(Into::into),
        default: table.optional("default").and_then(|node| literal(node, mistakes)),
    })
}

fn value_map(node: &Node, mistakes: &mut Mistakes) -> Option<ValueMap> {
    let mut map = ValueMap::default();
    for entry in node.map("map", mistakes)? {
        let value = literal(&entry.node, mistakes)?;
        match &*entry.key {
            "*" => map.otherwise = Some(value),
            key => map.rows.push((key.into(), value)),
        }
    }
    Some(map)
}

fn number(node: &Node, mistakes: &mut Mistakes) -> Option<f64> {
    let found =
        node.scalar().filter(|scalar| scalar.is_number()).and_then(|scalar| scalar.text().parse().ok());
    found.or_else(|| node.expected("a number", mistakes))
}

/// A constant: what a scalar of the file stands for.
fn literal(node: &Node, mistakes: &mut Mistakes) -> Option<Value<'static>> {
    let of = |scalar: &Scalar| {
        if let Some(truth) = scalar.as_bool() {
            return Some(Value::Bool(truth));
        }
        if let Some(number) = scalar.as_integer() {
            return Some(Value::Int(number));
        }
        if scalar.is_number() {
            return scalar.text().parse().ok().map(Value::Double);
        }
        scalar.as_text().map(|text| Value::text(text.to_owned()))
    };
    node.scalar().and_then(of).or_else(|| node.expected("a single value", mistakes))
}

fn when(node: &Node, depth: usize, mistakes: &mut Mistakes) -> Vec<Vec<(From, Test)>> {
    let mut any = Vec::new();
    for node in node.one_or_more() {
        let mut all = Vec::new();
        for entry in node.map("when", mistakes).unwrap_or_default() {
            let Some(from) = place_of(&entry.key, &entry.node, depth, mistakes) else { continue };
            all.extend(tests(&entry.node, mistakes).into_iter().map(|test| (from.clone(), test)));
        }
        any.push(all);
    }
    any
}

/// The tests of one path; several together must all hold.
fn tests(node: &Node, mistakes: &mut Mistakes) -> Vec<Test> {
    if !matches!(node.value, Written::Map(_)) {
        return literals(node, mistakes).map(Test::In).into_iter().collect();
    }
    let Some(table) = node.table("a test", &TEST_KEYS, mistakes) else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(node) = table.optional("not") {
        all.extend(literals(node, mistakes).map(Test::NotIn));
    }
    if let Some(node) = table.optional("exists") {
        all.extend(node.boolean(mistakes).map(Test::Exists));
    }
    if let Some(node) = table.optional("starts_with") {
        let starts: Vec<Box<str>> =
            node.one_or_more().iter().filter_map(|node| node.text(mistakes)).map(Into::into).collect();
        all.push(Test::StartsWith(starts));
    }
    let mut bound = |open: &str, closed: &str| {
        let read =
            |key: &str, mistakes: &mut Mistakes| table.optional(key).and_then(|node| number(node, mistakes));
        let open = read(open, mistakes).map(|number| (number, false));
        open.or(read(closed, mistakes).map(|number| (number, true)))
    };
    let (low, high) = (bound("gt", "gte"), bound("lt", "lte"));
    if low.is_some() || high.is_some() {
        all.push(Test::Within(low, high));
    }
    all
}

fn literals(node: &Node, mistakes: &mut Mistakes) -> Option<Vec<Value<'static>>> {
    node.one_or_more().iter().map(|node| literal(node, mistakes)).collect()
}

/// Own properties. In the canonical form they stand where they always do, so only their type is said.
fn properties(
    table: &Table<'_>,
    mapped: bool,
    depth: usize,
    mistakes: &mut Mistakes,
) -> Vec<(Property, Vec<From>)> {
    let mut all = Vec::new();
    let entries = table.optional("properties").and_then(|node| node.map("properties", mistakes));
    for entry in entries.unwrap_or_default() {
        let Some(row) = entry.node.table("a property", &["type", "from"], mistakes) else { continue };
        let ty = row
            .required("type", mistakes)
            .and_then(|node| node.choice("type of a property", &PropertyType::ALL, mistakes));
        let from = match (row.optional("from"), mapped) {
            (Some(node), true) => places(node, depth, mistakes),
            (Some(node), false) => {
                mistakes
                    .report(node.span, Code::E08, "`from` does not fit a topic of the canonical form")
                    .hint("its properties stand in `properties`; leave `from` out");
                continue;
            }
            (None, true) => {
                mistakes.report(entry.span, Code::E02, format!("property `{}` has no `from`", entry.key));
                continue;
            }
            (None, false) => Vec::new(),
        };
        if let Some(ty) = ty {
            all.push((Property { name: entry.key.to_string().into(), ty }, from));
        }
    }
    all
}
