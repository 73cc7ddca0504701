//! The next mark of each rule, as far as it is known: what spares rows most looks at midnight.
//!
//! It lives in RAM only, and is what a look would find, so whether it is known never shows in what the engine says or
//! stores: every change that may move a mark forgets it.

use std::sync::Arc;

use crate::engine::profile::Profile;
use crate::event::Timestamp;

use super::{Firing, RuleState};

/// The next mark of a rule; nothing is known of it after a change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bound(pub(super) Option<Timestamp>);

impl Bound {
    /// The next mark is this one; `None`: there is none.
    #[must_use]
    pub fn at(mark: Option<Timestamp>) -> Self {
        Self(Some(mark.unwrap_or(Timestamp::MAX)))
    }

    /// The time, if it is known.
    #[must_use]
    pub const fn known(self) -> Option<Timestamp> {
        self.0
    }
}

/// It is no part of what a row is.
impl PartialEq for Bound {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What the bounds of a row were computed from, beside the row: the program, and the profiles of its account and its own.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    /// Which program, by a number that changes with it.
    pub epoch: u32,
    /// The profiles.
    pub profiles: [Option<Arc<Profile>>; 2],
}

impl PartialEq for Basis {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Basis {
    fn is(&self, epoch: u32, profiles: [Option<&Arc<Profile>>; 2]) -> bool {
        let same = |own: &Option<Arc<Profile>>, now: Option<&Arc<Profile>>| match (own, now) {
            (Some(own), Some(now)) => Arc::ptr_eq(own, now),
            (own, now) => own.is_none() && now.is_none(),
        };
        self.epoch == epoch && self.profiles.iter().zip(profiles).all(|(own, now)| same(own, now))
    }
}

impl Firing {
    /// Bounds rest on these from now on; those that rest on others are forgotten.
    pub fn rest_on(&mut self, epoch: u32, profiles: [Option<&Arc<Profile>>; 2]) {
        if !self.basis.is(epoch, profiles) {
            self.forget_bounds();
            self.basis = Basis { epoch, profiles: profiles.map(|profile| profile.cloned()) };
        }
    }

    /// Nothing is known of any rule's next mark.
    pub fn forget_bounds(&mut self) {
        self.rules.iter_mut().for_each(RuleState::forget_bound);
    }
}

impl RuleState {
    /// Nothing is known of the rule's next mark.
    pub fn forget_bound(&mut self) {
        self.bound = Bound::default();
    }
}
