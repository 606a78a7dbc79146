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
use crate::model::{HashedNumber, SegmentId, SnapshotId};
use crate::observe::{Event, Observer};
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

/// How often is looked while prunes are at work; reading everything is dear.
const TRIES_MAX: u64 = 3;

impl Report {
    /// True if nothing is damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, observer: &dyn Observer, object: impl Into<String>, problem: impl ToString) {
        let finding = Finding { object: object.into(), problem: problem.to_string() };
        let what = format!("{}: {}", finding.object, finding.problem);
        observer.event(Event::Finding(&what));
        self.findings.push(finding);
    }
}

/// Checks the structure without reading data: names, copies, generations, segments, packs' presence,
/// every node of every manifest, and that everything they need has a place.
///
/// # Errors
/// When the store does not answer or the user asks to stop; damage is a finding.
pub fn check(repo: &Repository, observer: &dyn Observer) -> Result<Report> {
    beside_prunes(repo, observer, &|report| {
        let checked = structure::Checked::load(repo, report, observer)?;
        checked.manifests(repo, report, observer)
    })
}

/// Checks the structure and every stored byte: each object hashes to its name, each frame opens, expands
/// and holds the chunks its footer names. Damaged packs are recorded, so that the next backup heals them.
///
/// # Errors
/// When the store does not answer or the user asks to stop; damage is a finding.
pub fn verify(repo: &Repository, observer: &dyn Observer) -> Result<Report> {
    beside_prunes(repo, observer, &|report| {
        let mut checked = structure::Checked::load(repo, report, observer)?;
        packs::verify(repo, &mut checked, report, observer)?;
        checked.manifests(repo, report, observer)
    })
}

/// What `look` reports; where it finds damage and a prune was at work meanwhile, what it reports when it looks again:
/// that a pack is gone by then is no damage.
fn beside_prunes(
    repo: &Repository,
    observer: &dyn Observer,
    look: &dyn Fn(&mut Report) -> Result<()>,
) -> Result<Report> {
    let mut tries = 1;
    loop {
        let before = Moment::of(repo)?;
        let mut report = Report::default();
        look(&mut report)?;
        if report.is_clean() || tries == TRIES_MAX || !before.was_pruned(&Moment::of(repo)?) {
            return Ok(report);
        }
        tries += 1;
        observer.event(Event::Note("a prune was at work meanwhile: looking again"));
    }
}

/// What a prune changes.
struct Moment {
    /// Highest generation, and highest closed one; none if they cannot be told.
    generations: Option<(HashedNumber, u64)>,
    segments: Vec<SegmentId>,
}

impl Moment {
    fn of(repo: &Repository) -> Result<Self> {
        let generations = match repo.view() {
            Ok(view) => Some((view.head(), view.closed())),
            Err(error) if error.kind().is_damage() => None,
            Err(error) => return Err(error),
        };
        let segments = repo.segments()?.into_iter().map(|(segment, _)| segment).collect();
        Ok(Self { generations, segments })
    }

    fn was_pruned(&self, after: &Self) -> bool {
        let is_gone = |segment: &SegmentId| !after.segments.contains(segment);
        self.generations != after.generations || self.segments.iter().any(is_gone)
    }
}
