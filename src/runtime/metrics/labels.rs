//! Closed sets of label values.

/// A part of the way of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the closed list of the contract")]
pub enum Stage {
    Decode,
    Route,
    Load,
    Step,
    Publish,
    Checkpoint,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Decode, Self::Route, Self::Load, Self::Step, Self::Publish, Self::Checkpoint];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Route => "route",
            Self::Load => "load",
            Self::Step => "step",
            Self::Publish => "publish",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the closed list of the contract")]
pub enum AppState {
    Starting,
    Restoring,
    Running,
    Rebalancing,
    Draining,
    Failed,
}

impl AppState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Restoring, Self::Running, Self::Rebalancing, Self::Draining, Self::Failed];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Rebalancing => "rebalancing",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the closed list of the contract")]
pub enum Transacted {
    Committed,
    Aborted,
    Fatal,
}

impl Transacted {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Committed, Self::Aborted, Self::Fatal];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Fatal => "fatal",
        }
    }
}

/// A consumer group of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the closed list of the contract")]
pub enum Group {
    Intake,
    Detect,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Intake, Self::Detect];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Detect => "detect",
        }
    }
}

/// Why a record could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the closed list of the contract")]
pub enum ProduceError {
    Timeout,
    Fenced,
    TooLarge,
    Denied,
    Other,
}

impl ProduceError {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Fenced, Self::TooLarge, Self::Denied, Self::Other];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Fenced => "fenced",
            Self::TooLarge => "too_large",
            Self::Denied => "denied",
            Self::Other => "other",
        }
    }
}

/// Who wrote a journal record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the closed list of the contract")]
pub enum Journaled {
    Intake,
    Task,
}

impl Journaled {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Intake, Self::Task];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Task => "task",
        }
    }
}

/// A part of the state's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the closed list of the contract")]
pub enum StateBytes {
    Hot,
    Sst,
    Memtable,
    BlockCache,
    PendingCompaction,
    DiskFree,
}

impl StateBytes {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Hot, Self::Sst, Self::Memtable, Self::BlockCache, Self::PendingCompaction, Self::DiskFree];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Sst => "sst",
            Self::Memtable => "memtable",
            Self::BlockCache => "block_cache",
            Self::PendingCompaction => "pending_compaction",
            Self::DiskFree => "disk_free",
        }
    }
}
