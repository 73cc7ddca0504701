//! What a rule remembers while nothing has come of it: most rules in most rows never know more, so it is kept in few
//! bytes and taken apart only when a rule may become true.

use super::{ConditionState, EVIDENCE_MAX, Episode, Firing, Proof, RuleState};
use crate::event::Timestamp;

/// Widths of the parts of a packed proof, from its high end; what doesn't fit is not packed.
const TIME_BITS: u32 = 44;
const OFFSET_BITS: u32 = 44;
const SOURCE_BITS: u32 = 10;
const LABEL_BITS: u32 = 13;
const WEIGHT_BITS: u32 = 17;

/// A proof in 16 bytes that sort like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packed(u128);

impl Packed {
    /// Packs a proof; `None` if it is too large.
    #[must_use]
    pub fn of(proof: &Proof) -> Option<Self> {
        let parts = [
            (u64::try_from(proof.time.0).ok()?, TIME_BITS),
            (u64::try_from(proof.offset).ok()?, OFFSET_BITS),
            (u64::from(proof.source), SOURCE_BITS),
            (u64::from(proof.label), LABEL_BITS),
            (u64::from(proof.weight), WEIGHT_BITS),
        ];
        let mut packed = 0;
        for (value, bits) in parts {
            if value >> bits != 0 {
                return None;
            }
            packed = packed << bits | u128::from(value);
        }
        Some(Self(packed))
    }

    /// The proof.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "each part is masked to its width")]
    pub const fn proof(self) -> Proof {
        let mut rest = self.0;
        let weight = rest & ((1 << WEIGHT_BITS) - 1);
        rest >>= WEIGHT_BITS;
        let label = rest & ((1 << LABEL_BITS) - 1);
        rest >>= LABEL_BITS;
        let source = rest & ((1 << SOURCE_BITS) - 1);
        rest >>= SOURCE_BITS;
        let offset = rest & ((1 << OFFSET_BITS) - 1);
        rest >>= OFFSET_BITS;
        Proof {
            time: Timestamp(rest as i64),
            offset: offset as i64,
            source: source as u16,
            label: label as u16,
            weight: weight as u32,
        }
    }
}

/// A rule that was never true here, with one episode, and what stands as evidence so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Calm {
    /// [`RuleState::key`].
    pub key: u32,
    /// [`RuleState::version`].
    pub version: u32,
    /// [`Episode::matches`].
    pub matches: u32,
    /// How many conditions and clear items the rule has.
    pub shape: (u8, u8),
    /// [`Episode::evidence`]; the last match is the newest of it.
    pub evidence: Vec<Packed>,
}

impl Calm {
    /// A rule that has seen nothing yet.
    #[must_use]
    pub const fn new(key: u32, version: u32, shape: (u8, u8)) -> Self {
        Self { key, version, matches: 0, shape, evidence: Vec::new() }
    }

    /// Takes a match in as evidence, as [`Episode::prove`] does.
    pub fn prove(&mut self, proof: Packed, weight: u32) {
        self.matches = self.matches.saturating_add(weight);
        let own = &mut self.evidence;
        let at = own.partition_point(|own| *own <= proof);
        if own.len() == EVIDENCE_MAX {
            if let Some(seat) = at.checked_sub(1) {
                own[..=seat].rotate_left(1);
                own[seat] = proof;
            }
            return;
        }
        if own.len() == own.capacity() {
            own.reserve_exact(if own.len() < 3 { 3 } else { EVIDENCE_MAX - own.len() });
        }
        own.insert(at, proof);
    }

    fn of(rule: &RuleState) -> Option<Self> {
        let [episode] = rule.episodes.as_slice() else { return None };
        let calm = rule.clears.is_empty()
            && episode.dedup.is_empty()
            && episode.conditions.iter().all(|state| *state == ConditionState::default())
            && episode.activation.is_none()
            && !episode.disarmed
            && !episode.member
            && episode.clearing.iter().all(Option::is_none)
            && episode.last_evidence == episode.evidence.last().map(|proof| proof.time)
            && episode.captured.is_empty()
            && episode.opened.is_none();
        if !calm {
            return None;
        }
        let shape =
            (u8::try_from(episode.conditions.len()).ok()?, u8::try_from(episode.clearing.len()).ok()?);
        Some(Self {
            key: rule.key,
            version: rule.version,
            matches: episode.matches,
            shape,
            evidence: episode.evidence.iter().map(Packed::of).collect::<Option<_>>()?,
        })
    }

    fn wake(self) -> RuleState {
        let evidence: Vec<Proof> = self.evidence.into_iter().map(Packed::proof).collect();
        let episode = Episode {
            conditions: vec![ConditionState::default(); usize::from(self.shape.0)],
            clearing: vec![None; usize::from(self.shape.1)],
            last_evidence: evidence.last().map(|proof| proof.time),
            evidence,
            matches: self.matches,
            ..Episode::default()
        };
        RuleState { key: self.key, version: self.version, episodes: vec![episode], clears: Vec::new() }
    }
}

impl Firing {
    /// Takes all calm rules apart, so that [`Firing::rules`] has them.
    pub fn wake(&mut self) {
        if !self.calm.is_empty() {
            self.rules.reserve_exact(self.calm.len());
            self.rules.extend(std::mem::take(&mut self.calm).into_iter().map(Calm::wake));
        }
    }

    /// Packs the rules, if all of them are calm and nothing is open.
    pub fn settle(&mut self) {
        if self.rules.is_empty() || !self.alerts.is_empty() {
            return;
        }
        if let Some(calm) = self.rules.iter().map(Calm::of).collect() {
            self.calm = calm;
            self.rules = Vec::new();
        }
    }

    /// The calm rules, while all rules of the row are calm; `None` if one is not.
    pub fn calm_mut(&mut self) -> Option<&mut Vec<Calm>> {
        (self.rules.is_empty() && self.alerts.is_empty()).then_some(&mut self.calm)
    }
}
