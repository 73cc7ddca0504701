//! How conditions make a `when`.

use super::{Combine, Rule};

/// Conditions that count as one: an `all` or `any` inside the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: Box<str>,
    /// [`Combine::All`] or [`Combine::Any`].
    pub combine: Combine,
    /// Place of its first condition; the others follow.
    pub first: u8,
    /// How many they are.
    pub count: u8,
    /// True only after it was true at every judgement that long, ms; 0: at once.
    pub for_ms: i64,
}

impl Group {
    /// The places of its conditions.
    pub fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let first = usize::from(self.first);
        first..first + usize::from(self.count)
    }
}

/// What a `when` joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The condition at a place.
    Condition(usize),
    /// The group at a place.
    Group(usize),
}

impl Combine {
    /// Whether all, or one, are true.
    pub fn is_true(self, mut each: impl Iterator<Item = bool>) -> bool {
        match self {
            Self::Any => each.any(|own| own),
            Self::One | Self::All => each.all(|own| own),
        }
    }
}

impl Rule {
    /// The id as rule files write it: that of a parent (`collapse_to`) is its rows' with the kind of its entity.
    #[must_use]
    pub fn written_id(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// What its `when` joins, in written order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        (0..self.conditions.len()).filter_map(|place| {
            let own = self.groups.iter().position(|group| group.places().any(|member| member == place));
            match own {
                Some(group) if usize::from(self.groups[group].first) == place => Some(Part::Group(group)),
                Some(_) => None,
                None => Some(Part::Condition(place)),
            }
        })
    }

    /// Whether `when` is true where each condition is or is not; groups may ask for more.
    pub fn is_true(&self, each: &dyn Fn(usize) -> bool, also: &dyn Fn(usize) -> bool) -> bool {
        self.combine.is_true(self.parts().map(|part| match part {
            Part::Condition(place) => each(place),
            Part::Group(place) => {
                let group = &self.groups[place];
                group.combine.is_true(group.places().map(each)) && also(place)
            }
        }))
    }

    /// Whether it remembers more than one state a condition: since when each group holds, and the whole.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        !self.groups.is_empty() || self.for_ms > 0
    }

    /// How many states it remembers: one a condition, and if it is grouped one a group and one for the whole.
    #[must_use]
    pub fn states(&self) -> usize {
        self.conditions.len() + if self.is_grouped() { self.groups.len() + 1 } else { 0 }
    }
}
