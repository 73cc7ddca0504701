//! A mapping compiled for one topic: paths have become slots, and what needs no conversion goes straight to its field.

use crate::event::{Field, Kind, Text, Value};

use super::avro::Role;
use super::decoded::{DeadLetter, DeadReason, Decoded, Stage};
use super::draft::{Bad, Draft, End, Made, Target};
use super::limits::{Unfit, double, string};
use super::mapping::{self, From, Mapping, Set, Test, convert};
use super::properties::{self, Property};
use super::trie::{Finder, Found, Step, Trie};
use super::wire::Record;

/// A place where a value comes from, resolved.
#[derive(Debug)]
enum Origin {
    Slot(u16),
    /// Levels above the item, a path from there, and an attribute in the list at its end.
    Item(usize, Box<[Step]>, Option<Box<str>>),
    Header(Box<str>),
    Key,
    /// Texts before origins, and the text after the last.
    Joined(Vec<(Box<str>, Origin)>, Box<str>),
}

impl Origin {
    fn of(from: &From, trie: &mut Trie, slots: &mut u16) -> Self {
        match from {
            From::Root(path) => Self::Slot(trie.want(path, slots)),
            From::Item { up, path, attribute } => Self::Item(*up, path.clone().into(), attribute.clone()),
            From::Header(name) => Self::Header(name.clone()),
            From::Key => Self::Key,
            From::Joined(pieces, tail) => {
                let pieces = pieces.iter().map(|(text, from)| (text.clone(), Self::of(from, trie, slots)));
                Self::Joined(pieces.collect(), tail.clone())
            }
        }
    }
}

/// A mapping, or the canonical form of a kind, compiled.
#[derive(Debug)]
pub struct Plan {
    pub kind: Kind,
    pub name: Option<Box<str>>,
    /// Whether no other plan looks at what was found, so that it may be moved.
    pub last: bool,
    when: Vec<Vec<(Origin, Test)>>,
    /// The list to unpack: its slot, and the inner lists.
    unpack: Option<(u16, Vec<Vec<Step>>)>,
    /// By slot: what takes the value as it is.
    direct: Vec<Option<Target>>,
    assigns: Vec<(Set, Vec<Origin>)>,
}

impl Plan {
    /// The plan of a topic that has the canonical form.
    pub fn canonical(kind: Kind, trie: &mut Trie, slots: &mut u16) -> Self {
        let mut plan = Self::empty(kind);
        plan.take_canonical(&[], trie, slots);
        plan
    }

    /// The plan of a mapping.
    pub fn of(mapping: &Mapping, trie: &mut Trie, slots: &mut u16) -> Self {
        let mut plan = Self::empty(mapping.kind);
        plan.name = Some(mapping.name.clone());
        let mut lists = mapping.unpack.iter();
        plan.unpack = lists.next().map(|first| (trie.want(first, slots), lists.cloned().collect()));
        let mut origin = |from: &From| Origin::of(from, trie, slots);
        let mut all = |tests: &Vec<(From, Test)>| {
            tests.iter().map(|(from, test)| (origin(from), test.clone())).collect()
        };
        plan.when = mapping.when.iter().map(&mut all).collect();
        for set in mapping.set.iter().flatten() {
            plan.assigns.push((set.clone(), set.from.iter().map(&mut origin).collect()));
        }
        if mapping.set.is_none() {
            plan.take_canonical(&mapping.properties, trie, slots);
            return plan;
        }
        for (property, from) in &mapping.properties {
            let set = Set::plain(Target::Property(property.clone()), from.clone());
            plan.assigns.push((set, from.iter().map(&mut origin).collect()));
        }
        plan.straighten();
        plan
    }

    const fn empty(kind: Kind) -> Self {
        Self {
            kind,
            name: None,
            last: false,
            when: Vec::new(),
            unpack: None,
            direct: Vec::new(),
            assigns: Vec::new(),
        }
    }

    fn take_canonical(&mut self, own: &[(Property, Vec<From>)], trie: &mut Trie, slots: &mut u16) {
        let path = |name: &str| name.split('.').map(|part| Step::Name(part.into())).collect::<Vec<_>>();
        for field in mapping::fields(self.kind) {
            let slot = trie.want(&path(field.spec().name), slots);
            self.take(slot, Target::Field(field));
        }
        let declared = own.iter().map(|(property, _)| property.clone());
        let named =
            properties::named(self.kind).filter(|named| !own.iter().any(|(own, _)| own.name == named.name));
        for property in named.chain(declared) {
            let place = [Step::Name("properties".into()), Step::Name(property.name.as_ref().into())];
            let slot = trie.want(&place, slots);
            self.take(slot, Target::Property(property));
        }
    }

    fn take(&mut self, slot: u16, target: Target) {
        let slot = usize::from(slot);
        if self.direct.len() <= slot {
            self.direct.resize(slot + 1, None);
        }
        self.direct[slot] = Some(target);
    }

    /// Moves what has one source and no conversion onto the straight path.
    fn straighten(&mut self) {
        for (set, from) in std::mem::take(&mut self.assigns) {
            match from.as_slice() {
                [Origin::Slot(slot)]
                    if set.is_plain()
                        && !self.direct.get(usize::from(*slot)).is_some_and(Option::is_some) =>
                {
                    self.take(*slot, set.target);
                }
                _ => self.assigns.push((set, from)),
            }
        }
    }

    /// Whether the mapping applies to a record, or to an item of it.
    fn applies(&self, view: &View<'_, '_>) -> bool {
        let holds = |(origin, test): &(Origin, Test)| match view.look(origin) {
            Some(Seen::Value(value)) => test.holds(Some(value)),
            Some(Seen::Bytes(text)) => test.holds(Some(&Value::text(text))),
            Some(Seen::Made(text)) => test.holds(Some(&Value::text(text))),
            None => test.holds(None),
        };
        self.when.is_empty() || self.when.iter().any(|tests| tests.iter().all(holds))
    }

    /// The items that the mapping unpacks, each one event, below the items that they lie in.
    fn items<'v, 'a>(&self, found: &'v Found<'a>) -> Vec<Vec<&'v Value<'a>>> {
        let Some((slot, inner)) = &self.unpack else { return Vec::new() };
        let Some(outer) = at(found, *slot) else { return Vec::new() };
        let mut items: Vec<Vec<_>> = list(outer).into_iter().map(|item| vec![item]).collect();
        for path in inner {
            items = items.into_iter().flat_map(|above| inside(&above, path)).collect();
        }
        items
    }
}

/// The items of the list at this path of the innermost item, each below those that it lies in.
fn inside<'v, 'a>(above: &[&'v Value<'a>], path: &[Step]) -> Vec<Vec<&'v Value<'a>>> {
    let found = above.last().and_then(|item| walk(item, path)).map(list).unwrap_or_default();
    found.into_iter().map(|item| above.iter().copied().chain([item]).collect()).collect()
}

/// The attribute of this name in a list of keys and values, as OpenTelemetry writes them: a value is wrapped in its type.
fn attribute<'v, 'a>(list: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    let Value::List(items) = list else { return None };
    let is = |item: &&Value<'a>| item.entry("key").and_then(Value::as_text).is_some_and(|key| *key == *name);
    let value = items.iter().find(is)?.entry("value")?;
    match value {
        Value::Map(entries) => match entries.as_slice() {
            [(kind, inner)] if kind.ends_with("Value") => Some(inner),
            _ => None,
        },
        bare => Some(bare),
    }
}

/// What a list holds; anything else is a list of itself.
fn list<'v, 'a>(value: &'v Value<'a>) -> Vec<&'v Value<'a>> {
    match value {
        Value::List(items) => items.iter().collect(),
        other => vec![other],
    }
}

fn at<'v, 'a>(found: &'v Found<'a>, slot: u16) -> Option<&'v Value<'a>> {
    found.iter().find(|(own, _)| *own == slot).map(|(_, value)| value)
}

fn walk<'v, 'a>(value: &'v Value<'a>, path: &[Step]) -> Option<&'v Value<'a>> {
    path.iter().try_fold(value, |value, step| match (step, value) {
        (Step::Name(name), Value::Map(_)) => value.entry(name),
        (Step::Index(index), Value::List(items)) => items.get(*index),
        _ => None,
    })
}

/// All that a plan can see of one record, or of one item of it.
struct View<'v, 'a> {
    found: &'v Found<'a>,
    /// Below the items that it lies in.
    item: Option<Vec<&'v Value<'a>>>,
    record: &'v Record<'a>,
}

/// A value of the record, or text beside it.
enum Seen<'v, 'a> {
    Value(&'v Value<'a>),
    Bytes(&'a str),
    /// Made of several.
    Made(String),
}

impl<'a> Seen<'_, 'a> {
    /// As text, if it has one.
    fn text(self) -> Option<Text<'a>> {
        match self {
            Self::Value(value) => string(value.clone()).ok(),
            Self::Bytes(text) => Some(text.into()),
            Self::Made(text) => Some(text.into()),
        }
    }

    /// Whether a number counts nothing: as a time, it is none.
    fn is_zero(&self) -> bool {
        match self {
            Self::Value(value) => matches!(double(value), Ok(number) if number == 0.0),
            Self::Bytes(text) => *text == "0",
            Self::Made(_) => false,
        }
    }
}

impl<'v, 'a> View<'v, 'a> {
    fn look(&self, origin: &Origin) -> Option<Seen<'v, 'a>> {
        match origin {
            Origin::Slot(slot) => at(self.found, *slot).map(Seen::Value),
            Origin::Item(up, path, name) => {
                let chain = self.item.as_deref().unwrap_or_default();
                let found = walk(chain.len().checked_sub(up + 1).and_then(|place| chain.get(place))?, path)?;
                name.as_ref().map_or(Some(found), |name| attribute(found, name)).map(Seen::Value)
            }
            Origin::Header(name) => self.record.header(name).map(Seen::Bytes),
            Origin::Key => self.record.key_text().map(Seen::Bytes),
            Origin::Joined(pieces, tail) => {
                let mut text = String::new();
                for (before, origin) in pieces {
                    text.push_str(before);
                    text.push_str(&self.look(origin)?.text()?);
                }
                Some(Seen::Made(text + tail))
            }
        }
    }
}

/// Fills a draft with what a decoder finds, without anything in between.
pub struct Filling<'p, 'd, 'e, 'a> {
    plan: &'p Plan,
    draft: &'d mut Draft<'e, 'a>,
}

impl<'a> Finder<'a> for Filling<'_, '_, '_, 'a> {
    #[inline]
    fn value(&mut self, slot: u16, value: Value<'a>) {
        self.plan.put(self.draft, slot, value);
    }

    #[inline]
    fn text(&mut self, slot: u16, text: &'a str) {
        if let Some(target) = self.plan.direct(slot) {
            self.draft.put_text(target, text);
        }
    }

    #[inline]
    fn int(&mut self, slot: u16, number: i64) {
        if let Some(target) = self.plan.direct(slot) {
            self.draft.put_int(target, number);
        }
    }
}

impl Plan {
    /// Whether each record is one event whose values arrive as they are.
    pub fn is_straight(&self) -> bool {
        self.last && self.unpack.is_none() && self.when.is_empty() && self.assigns.is_empty()
    }

    /// For a straight plan: what the value of a slot is to records that are alike.
    pub fn role(&self, slot: u16) -> Option<Role> {
        match self.direct(slot)? {
            Target::Field(Field::EventId) => Some(Role::Id),
            Target::Field(Field::EventTime) => Some(Role::Time),
            Target::Field(Field::AccountId) => Some(Role::Account),
            Target::Field(Field::UserId) => Some(Role::User),
            Target::Field(Field::Message) => Some(Role::Message),
            _ => None,
        }
    }

    /// For a straight plan: the way into a draft.
    pub const fn filling<'p, 'd, 'e, 'a>(&'p self, draft: &'d mut Draft<'e, 'a>) -> Filling<'p, 'd, 'e, 'a> {
        Filling { plan: self, draft }
    }

    /// Makes the events of a record: calls `finish` with each draft, or with what is wrong, and then books its end.
    ///
    /// Returns whether the mapping applied to anything.
    pub fn run<'a>(
        &self,
        found: &mut Found<'a>,
        record: &Record<'a>,
        out: &mut Decoded<'a>,
        finish: &mut dyn FnMut(&mut Draft<'_, 'a>, Option<Bad>) -> End,
    ) -> bool {
        if self.unpack.is_none() {
            if !self.when.is_empty() && !self.applies(&View { found, item: None, record }) {
                return false;
            }
            let mut draft = Draft::new(out.open(self.kind));
            let bad = self.assign(&mut draft, &View { found, item: None, record }).err();
            if self.last {
                for (slot, value) in found.drain(..) {
                    self.put(&mut draft, slot, value);
                }
            } else {
                found.iter().for_each(|(slot, value)| self.put(&mut draft, *slot, value.clone()));
            }
            let end = finish(&mut draft, bad);
            let made = draft.into_made();
            self.book(record, made, end, out);
            return true;
        }
        let mut any = false;
        for item in self.items(found) {
            let view = View { found, item: Some(item), record };
            if self.applies(&view) {
                any = true;
                let mut draft = Draft::new(out.open(self.kind));
                let bad = self.assign(&mut draft, &view).err();
                found.iter().for_each(|(slot, value)| self.put(&mut draft, *slot, value.clone()));
                let end = finish(&mut draft, bad);
                let made = draft.into_made();
                self.book(record, made, end, out);
            }
        }
        any
    }

    /// Books an event that has come to its end: the last one of `out`.
    pub fn book(&self, record: &Record<'_>, made: Made, end: End, out: &mut Decoded<'_>) {
        let index = out.next_index();
        out.keep(made.spare);
        let counts = out.counts_mut(self.kind);
        counts.input += 1;
        match end {
            End::Event => {
                if made.cuts > 0 || made.clamped {
                    let counts = out.note(self.kind);
                    counts.cut += made.cuts;
                    counts.clamped += u32::from(made.clamped);
                }
                if let Some(event) = out.events.last_mut() {
                    event.position.offset = record.offset;
                    event.position.index = index;
                }
                return;
            }
            End::Filtered(reason) => out.note(self.kind).filtered[reason as usize] += 1,
            End::Unattributed => out.note(self.kind).unattributed += 1,
            End::Bad(bad) => {
                out.note(self.kind).dead += 1;
                if out.dead.is_none() {
                    let stage =
                        if bad.reason == DeadReason::MappingFailed { Stage::Map } else { Stage::Validate };
                    let Bad { reason, detail } = bad;
                    let mapping = self.name.clone();
                    out.dead = Some(DeadLetter { stage, reason, kind: self.kind, mapping, detail });
                }
            }
        }
        out.drop_last();
    }

    #[inline]
    fn direct(&self, slot: u16) -> Option<&Target> {
        self.direct.get(usize::from(slot))?.as_ref()
    }

    #[inline]
    fn put<'a>(&self, draft: &mut Draft<'_, 'a>, slot: u16, value: Value<'a>) {
        if let Some(target) = self.direct(slot) {
            draft.put(target, value);
        }
    }

    fn assign<'a>(&self, draft: &mut Draft<'_, 'a>, view: &View<'_, 'a>) -> Result<(), Bad> {
        for (set, origins) in &self.assigns {
            let value = match &set.constant {
                Some(constant) => Some(constant.clone()),
                None => {
                    let there = |seen: &Seen<'_, 'a>| set.unit.is_none() || !seen.is_zero();
                    let mut seen = origins.iter().filter_map(|origin| view.look(origin).filter(there));
                    let found = seen.next().map(|seen| match seen {
                        Seen::Value(value) => value.clone(),
                        Seen::Bytes(text) => Value::text(text),
                        Seen::Made(text) => Value::Text(text.into()),
                    });
                    convert::convert(set, found).map_err(|why| failed(&set.target, why))?
                }
            };
            match value {
                Some(value) => draft.put(&set.target, value),
                None => {
                    draft.unmapped |=
                        set.map.is_some() && set.target == Target::Field(self.kind.name_field());
                }
            }
        }
        Ok(())
    }
}

fn failed(target: &Target, why: Unfit) -> Bad {
    let name = match target {
        Target::Field(field) => field.spec().name,
        Target::Property(property) => &property.name,
    };
    Bad { reason: DeadReason::MappingFailed, detail: format!("the source of `{name}` is {}", why.0) }
}
