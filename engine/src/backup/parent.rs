//! The earlier snapshot a source is compared with.

use crate::model::{NodeRef, ParentRef, Snapshot, SnapshotRef, Source, SourceStatus};

/// A source of an earlier snapshot.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub reference: ParentRef,
    pub root: NodeRef,
    /// For a first guess of how much there is to do.
    pub bytes: u64,
    pub files: u64,
}

/// Finds the newest valid snapshot of `host` and `job` in which the source is complete.
pub(super) fn find(
    snapshots: &[(SnapshotRef, Snapshot)],
    (host, job): (&str, &str),
    (kind, name): (&str, &str),
) -> Option<Parent> {
    let usable = |source: &&Source| {
        source.kind == kind && source.name == name && source.status == SourceStatus::Complete
    };
    let newest = snapshots
        .iter()
        .rev()
        .filter(|(_, snapshot)| snapshot.host == host && snapshot.job == job)
        .find_map(|(object, snapshot)| {
            let source = snapshot.sources.iter().find(usable)?;
            Some((object, source, source.root?))
        });
    newest.map(|(object, source, root)| Parent {
        reference: ParentRef { sid: object.sid, hash: object.hash },
        root,
        bytes: source.bytes,
        files: source.entries,
    })
}
