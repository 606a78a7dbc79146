//! The earlier snapshots a source is compared with.

use std::collections::BTreeMap;

use crate::model::{
    NodeRef, ParentRef, Snapshot, SnapshotRef, SnapshotState, Source, SourceStatus,
};

/// Checkpoints of interrupted runs that are looked into before the last whole one.
const CHECKPOINT_COUNT_MAX: usize = 8;

/// A source of an earlier snapshot.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub reference: ParentRef,
    pub root: NodeRef,
    /// Whether the run came to its end: a checkpoint may hold only the first entries.
    pub is_whole: bool,
    /// For a first guess of how much there is to do.
    pub bytes: u64,
    pub files: u64,
    /// Entries that could not be read, or are damaged.
    pub errors: u64,
    /// What was measured.
    pub facts: BTreeMap<String, String>,
}

/// Finds the newest valid snapshot of `host` and `job` in which the source is complete, and before it
/// the checkpoints of later runs that were interrupted, newest first.
pub(super) fn find(
    snapshots: &[(SnapshotRef, Snapshot)],
    (host, job): (&str, &str),
    (kind, name): (&str, &str),
) -> Vec<Parent> {
    let usable = |source: &&Source| {
        source.kind == kind && source.name == name && source.status == SourceStatus::Complete
    };
    let mut found: Vec<Parent> = Vec::new();
    let of_job =
        |(_, snapshot): &&(SnapshotRef, Snapshot)| snapshot.host == host && snapshot.job == job;
    for (object, snapshot) in snapshots.iter().rev().filter(of_job) {
        let is_whole = snapshot.state != SnapshotState::Incomplete;
        if !is_whole && found.len() >= CHECKPOINT_COUNT_MAX {
            continue;
        }
        let source = snapshot.sources.iter().find(usable);
        let Some((source, root)) = source.and_then(|it| Some((it, it.root?))) else { continue };
        found.push(Parent {
            reference: ParentRef { sid: object.sid, hash: object.hash },
            root,
            is_whole,
            bytes: source.bytes,
            files: source.entries,
            errors: source.errors,
            facts: source.facts.clone(),
        });
        if is_whole {
            break;
        }
    }
    found
}
