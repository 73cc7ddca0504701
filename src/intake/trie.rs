//! Which paths of a record are wanted, as a tree of names: both decoders walk it beside the record.

use std::borrow::Cow;

use crate::event::Value;

/// One step of a path into a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field of a record, an entry of a map.
    Name(Box<str>),
    /// An item of a list, from 0.
    Index(usize),
}

/// What was found: slots with values, in the order of the record. A slot is there once at most; nulls are not.
pub type Found<'a> = Vec<(u16, Value<'a>)>;

/// Takes what decoders find, slot by slot.
pub trait Finder<'a> {
    /// Any value.
    fn value(&mut self, slot: u16, value: Value<'a>);

    /// A string that was not copied.
    #[inline]
    fn text(&mut self, slot: u16, text: &'a str) {
        self.value(slot, Value::Text(Cow::Borrowed(text)));
    }

    /// An integer.
    #[inline]
    fn int(&mut self, slot: u16, number: i64) {
        self.value(slot, Value::Int(number));
    }
}

impl<'a> Finder<'a> for Found<'a> {
    #[inline]
    fn value(&mut self, slot: u16, value: Value<'a>) {
        self.push((slot, value));
    }
}

/// A node: what is wanted here and below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trie {
    slot: Option<u16>,
    names: Vec<(Box<str>, Trie)>,
    items: Vec<(usize, Trie)>,
}

impl Trie {
    /// Wants the value at this path; gives the slot it will be found in.
    ///
    /// Slots are numbered from `slots` on, which is raised for each new path.
    pub fn want(&mut self, path: &[Step], slots: &mut u16) -> u16 {
        let Some((first, rest)) = path.split_first() else {
            return *self.slot.get_or_insert_with(|| {
                *slots += 1;
                *slots - 1
            });
        };
        match first {
            Step::Name(name) => {
                let place = self.names.binary_search_by(|(own, _)| own.cmp(name)).unwrap_or_else(|place| {
                    self.names.insert(place, (name.clone(), Self::default()));
                    place
                });
                self.names[place].1.want(rest, slots)
            }
            Step::Index(index) => {
                let place = self.items.iter().position(|(own, _)| own == index).unwrap_or_else(|| {
                    self.items.push((*index, Self::default()));
                    self.items.len() - 1
                });
                self.items[place].1.want(rest, slots)
            }
        }
    }

    /// Below the field or entry of this name.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&Self> {
        let place = self.names.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        self.names.get(place).map(|(_, node)| node)
    }

    /// Below the item at this place.
    #[must_use]
    pub fn item(&self, index: usize) -> Option<&Self> {
        self.items.iter().find(|(own, _)| *own == index).map(|(_, node)| node)
    }

    /// The slot of this very place.
    #[must_use]
    pub const fn slot(&self) -> Option<u16> {
        self.slot
    }

    /// Whether nothing below this place is wanted.
    #[must_use]
    pub const fn is_leaf(&self) -> bool {
        self.names.is_empty() && self.items.is_empty()
    }

    /// Whether items of a list are wanted.
    #[must_use]
    pub const fn wants_items(&self) -> bool {
        !self.items.is_empty()
    }

    /// Finds what is wanted in a value that is there as a whole.
    pub fn collect<'a>(&self, value: Value<'a>, found: &mut impl Finder<'a>) {
        if let Some(slot) = self.slot {
            if self.is_leaf() {
                found.value(slot, value);
                return;
            }
            found.value(slot, value.clone());
        }
        match value {
            Value::Map(entries) => {
                for (name, value) in entries {
                    if let Some(node) = self.name(&name) {
                        node.collect(value, found);
                    }
                }
            }
            Value::List(items) => {
                for (index, value) in items.into_iter().enumerate() {
                    if let Some(node) = self.item(index) {
                        node.collect(value, found);
                    }
                }
            }
            _ => {}
        }
    }
}
