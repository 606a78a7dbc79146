//! Progress and findings, out of the engine.

use crate::error::SourceError;

/// Counts of the work so far. What is not known yet is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub files_done: u64,
    pub files_total: u64,
    pub bytes_done: u64,
    pub bytes_total: u64,
    /// Bytes put into the store, or written to the target.
    pub bytes_written: u64,
    pub errors: u64,
}

/// What happened to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    New,
    Changed,
    Unmodified,
    Excluded,
    Restored,
    Skipped,
    /// Deleted from the target, as the snapshot does not have it.
    Removed,
}

/// Something the engine tells while it works.
#[derive(Debug)]
pub enum Event<'a> {
    /// Counts so far; sent often, cheap to ignore.
    Progress(Progress),
    /// An entry was handled; sent only if [`Observer::wants_entries`].
    Entry { action: Action, path: &'a [u8], bytes: u64 },
    /// Something of a source could not be read.
    SourceProblem(&'a SourceError),
    /// Something in the repository is not as it should be.
    Finding(&'a str),
    /// Something that was asked for is not done for now, or is again.
    Warning(&'a str),
    /// Worth telling, nothing is wrong.
    Note(&'a str),
}

/// Receives events, and is asked whether to go on. Called from several threads.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event<'_>);

    /// True if events for single entries are wanted.
    fn wants_entries(&self) -> bool {
        false
    }

    /// True when the user asked to stop: the engine ends soon with `Kind::Interrupted`.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// An observer that looks away.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}
