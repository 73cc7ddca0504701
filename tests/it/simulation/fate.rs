//! What goes wrong and when: at numbered effects by plan, or by chance from a seed.

use std::fmt;
use std::str::FromStr;

/// Small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// What a worker does to the world outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads records.
    Poll,
    /// Reads committed offsets as partitions are taken over.
    Committed,
    /// Commits source offsets.
    Commit,
    /// Has records appended and acknowledged.
    Acknowledge,
    /// Sends all of a transaction, and the order to end it.
    Begin,
    /// Learns how the transaction ended.
    End,
    /// Writes a checkpoint.
    Checkpoint,
}

/// What goes wrong at an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// kill -9 before it.
    Kill,
    /// kill -9 when a part of it has happened.
    KillMidway,
    /// kill -9 after it.
    KillAfter,
    /// The machine dies before it: with the process go the checkpoints that had not reached the disk.
    LoseTail,
    /// The same, and the disk is gone.
    LoseDisk,
    /// It does not happen, and an error says so.
    Refuse,
    /// It happens, and an error says that nobody knows.
    LoseAnswer,
    /// It happens later.
    Late,
    /// It happens twice.
    Twice,
    /// The worker stands still before it for longer than its session: others take over, then it goes on.
    Freeze,
    /// The group deals its partitions anew.
    Rebalance,
    /// The worker's clock jumps, either way.
    Jump,
    /// The broker's clock jumps, either way.
    BrokerJump,
}

use Blow::{
    BrokerJump, Freeze, Jump, Kill, KillAfter, KillMidway, Late, LoseAnswer, LoseDisk, LoseTail, Rebalance,
    Refuse, Twice,
};

const BLOWS: [Blow; 13] = [
    Kill, KillMidway, KillAfter, LoseTail, LoseDisk, Refuse, LoseAnswer, Late, Twice, Freeze, Rebalance,
    Jump, BrokerJump,
];

impl Effect {
    /// The blows that make sense here.
    pub fn blows(self) -> &'static [Blow] {
        match self {
            Self::Poll => {
                &[Kill, KillAfter, LoseTail, LoseDisk, Refuse, Twice, Freeze, Rebalance, Jump, BrokerJump]
            }
            Self::Committed => &[Kill, KillAfter, Refuse, Freeze],
            Self::Commit => &[Kill, KillAfter, Refuse, LoseAnswer, Freeze],
            Self::Acknowledge => &[Kill, KillMidway, KillAfter, Refuse, LoseAnswer, Late, Twice, Freeze],
            Self::Begin => &[Kill, KillMidway, KillAfter, LoseTail, Refuse, Freeze],
            Self::End => &[Kill, KillAfter, LoseTail, Refuse, LoseAnswer, Late, Freeze],
            Self::Checkpoint => &[Kill, KillAfter, LoseTail, Refuse, Freeze],
        }
    }
}

/// A run: everything that is not fixed about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Case {
    /// A short run in which these effects, by number, meet these blows. `coin` decides what the plan leaves open.
    Plan { blows: Vec<(u32, Blow)>, coin: u64 },
    /// A long run by chance.
    Seed(u64),
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => write!(f, "seed:{seed}"),
            Self::Plan { blows, coin } => {
                write!(f, "plan:{coin}")?;
                blows.iter().try_for_each(|(effect, blow)| write!(f, ",{effect}.{blow:?}"))
            }
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` names no run");
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        if let Some(seed) = text.strip_prefix("seed:") {
            return Ok(Self::Seed(number(seed)?));
        }
        let mut parts = text.strip_prefix("plan:").ok_or_else(wrong)?.split(',');
        let coin = number(parts.next().unwrap_or_default())?;
        let blow = |part: &str| {
            let (effect, name) = part.split_once('.').ok_or_else(wrong)?;
            let blow = BLOWS.into_iter().find(|blow| format!("{blow:?}") == name).ok_or_else(wrong)?;
            Ok((u32::try_from(number(effect)?).map_err(|_| wrong())?, blow))
        };
        Ok(Self::Plan { blows: parts.map(blow).collect::<Result<_, String>>()?, coin })
    }
}

/// The fate of a run.
#[derive(Debug)]
pub struct Fate {
    pub random: Random,
    blows: Vec<(u32, Blow)>,
    /// By chance: one effect in so many meets a blow.
    one_in: Option<u64>,
    /// The effects so far; kept for plans alone.
    pub effects: Vec<Effect>,
    /// How often each blow fell.
    pub fallen: [u32; BLOWS.len()],
}

impl Fate {
    pub fn of(case: &Case) -> Self {
        let (seed, blows, one_in) = match case {
            Case::Plan { blows, coin } => (*coin, blows.clone(), None),
            Case::Seed(seed) => (*seed, Vec::new(), Some(())),
        };
        let mut random = Random::new(seed);
        // Some runs are calm, some are a massacre.
        let one_in = one_in.map(|()| [8, 20, 50, 120][random.below(4) as usize]);
        Self { random, blows, one_in, effects: Vec::new(), fallen: [0; BLOWS.len()] }
    }

    /// From now on nothing goes wrong.
    pub fn heal(&mut self) {
        self.blows.clear();
        self.one_in = None;
    }

    pub fn strike(&mut self, effect: Effect) -> Option<Blow> {
        let number = self.effects.len() as u32;
        self.effects.push(effect);
        let blow = match self.one_in {
            Some(one_in) => (self.random.below(one_in) == 0).then(|| {
                let blows = effect.blows();
                blows[self.random.below(blows.len() as u64) as usize]
            }),
            None => self.blows.iter().find(|(own, _)| *own == number).map(|(_, blow)| *blow),
        };
        if let Some(blow) = blow {
            self.fallen[blow as usize] += 1;
        }
        blow
    }
}

/// How often each blow fell, by name.
pub fn named(fallen: &[u32; BLOWS.len()]) -> Vec<(Blow, u32)> {
    BLOWS.into_iter().zip(fallen.iter().copied()).collect()
}
