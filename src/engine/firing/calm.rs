//! What a rule remembers while nothing has come of it: most rules in most rows never know more.

use super::{Bound, ConditionState, Episode, Peak, Proof, RuleState};

/// A rule that was never true here, with one episode; its evidence lies beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calm {
    /// [`RuleState::key`].
    pub key: u32,
    /// [`RuleState::version`].
    pub version: u32,
    /// [`RuleState::peak`].
    pub peak: Peak,
    /// [`Episode::matches`].
    pub matches: u32,
    /// How many conditions and clear items the rule has.
    pub shape: (u8, u8),
}

impl Calm {
    /// What a rule's state comes to, if it is calm; the evidence is that of its episode.
    #[must_use]
    pub fn of(rule: &RuleState) -> Option<(Self, &[Proof])> {
        let [episode] = rule.episodes.as_slice() else { return None };
        let calm = rule.clears.is_empty()
            && episode.is_quiet()
            && episode.dedup.is_empty()
            && episode.conditions.iter().all(|state| *state == ConditionState::default())
            && episode.clearing.iter().all(Option::is_none)
            && episode.last_evidence == episode.evidence.last().map(|proof| proof.time)
            && episode.captured.is_empty()
            && episode.opened.is_none();
        if !calm {
            return None;
        }
        let shape =
            (u8::try_from(episode.conditions.len()).ok()?, u8::try_from(episode.clearing.len()).ok()?);
        let (key, version, peak) = (rule.key, rule.version, rule.peak);
        Some((Self { key, version, peak, matches: episode.matches, shape }, &episode.evidence))
    }

    /// The rule's state, taken apart.
    #[must_use]
    pub fn wake(self, evidence: Vec<Proof>) -> RuleState {
        let episode = Episode {
            conditions: vec![ConditionState::default(); usize::from(self.shape.0)],
            clearing: vec![None; usize::from(self.shape.1)],
            last_evidence: evidence.last().map(|proof| proof.time),
            evidence,
            matches: self.matches,
            ..Episode::default()
        };
        RuleState {
            key: self.key,
            version: self.version,
            peak: self.peak,
            episodes: vec![episode],
            clears: Vec::new(),
            bound: Bound::default(),
        }
    }
}
