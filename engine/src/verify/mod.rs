//! Every claim the repository makes, checked: `check` compares claims with each other, `verify` with
//! every byte. Neither stops at the first damage.

mod control;
mod differences;
mod health;
mod packs;
mod secrets;
mod structure;
mod touched;

use crate::error::Result;
use crate::model::SnapshotId;
use crate::observe::Observer;
use crate::repo::Repository;

#[cfg(test)]
mod tests;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object, by its name in the store.
    pub object: String,
    pub problem: String,
}

/// A path that cannot be restored whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub snapshot: SnapshotId,
    /// Raw; empty when a part of the manifest itself is gone, so that its paths are not known.
    pub path: Vec<u8>,
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// At most [`TOUCHED_COUNT_MAX`]; `touched_count` has them all.
    pub touched: Vec<Touched>,
    pub touched_count: u64,
    /// Snapshots with damage, each once.
    pub snapshots_damaged: Vec<SnapshotId>,
    pub snapshots: u64,
    pub packs: u64,
    /// Packs in the store that no index segment names: left by interrupted runs.
    pub orphans: u64,
    pub nodes: u64,
    pub frames: u64,
    pub chunks: u64,
    /// Stored bytes that were read.
    pub bytes: u64,
}

/// Paths that a report names; more are counted only.
pub const TOUCHED_COUNT_MAX: usize = 10_000;

impl Report {
    /// True if nothing is damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, observer: &dyn Observer, object: impl Into<String>, problem: impl ToString) {
        let finding = Finding { object: object.into(), problem: problem.to_string() };
        let what = format!("{}: {}", finding.object, finding.problem);
        observer.event(crate::observe::Event::Finding(&what));
        self.findings.push(finding);
    }
}

/// Checks the structure without reading data: names, copies, generations, segments, packs' presence,
/// every node of every manifest, and that everything they need has a place.
///
/// # Errors
/// When the store does not answer or the user asks to stop; damage is a finding.
pub fn check(repo: &Repository, observer: &dyn Observer) -> Result<Report> {
    let mut report = Report::default();
    let checked = structure::Checked::load(repo, &mut report, observer)?;
    checked.manifests(repo, &mut report, observer)?;
    Ok(report)
}

/// Checks the structure and every stored byte: each object hashes to its name, each frame opens, expands
/// and holds the chunks its footer names. Damaged packs are recorded, so that the next backup heals them.
///
/// # Errors
/// When the store does not answer or the user asks to stop; damage is a finding.
pub fn verify(repo: &Repository, observer: &dyn Observer) -> Result<Report> {
    let mut report = Report::default();
    let mut checked = structure::Checked::load(repo, &mut report, observer)?;
    packs::verify(repo, &mut checked, &mut report, observer)?;
    checked.manifests(repo, &mut report, observer)?;
    Ok(report)
}
