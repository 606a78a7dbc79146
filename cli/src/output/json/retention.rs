//! What `forget` and `prune` tell programs.

use coffer_engine::maintain::{Listed, PackUse, PruneReport};
use coffer_engine::model::SnapshotId;
use serde::Serialize;

use super::short;
use crate::output::retention::Group;
use crate::output::units;

/// What is to become of the snapshots of one host and job.
#[derive(Debug, Serialize)]
pub struct GroupLine {
    message_type: &'static str,
    host: String,
    job: String,
    keep: Vec<ListedLine>,
    remove: Vec<ListedLine>,
    checkpoints: Vec<String>,
    left: usize,
}

#[derive(Debug, Serialize)]
struct ListedLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    tags: Vec<String>,
    /// What of a rule keeps it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
    id: String,
    short_id: String,
}

impl GroupLine {
    /// The line for `group`.
    #[must_use]
    pub fn new(group: &Group<'_>) -> Self {
        let reasons = |kept: &coffer_engine::maintain::Kept| {
            kept.reasons.iter().map(|reason| reason.word()).collect()
        };
        Self {
            message_type: "forget_group",
            host: group.host.to_owned(),
            job: group.job.to_owned(),
            keep: group.kept.iter().map(|it| ListedLine::new(&it.snapshot, reasons(it))).collect(),
            remove: group.forgotten.iter().map(|it| ListedLine::new(it, Vec::new())).collect(),
            checkpoints: group.checkpoints.iter().map(|it| it.sid.to_string()).collect(),
            left: group.left,
        }
    }
}

impl ListedLine {
    fn new(listed: &Listed, reasons: Vec<&'static str>) -> Self {
        let id = listed.sid.to_string();
        Self {
            time: listed.state.map(|_| units::rfc3339(listed.started_ns)),
            tags: listed.tags.clone(),
            reasons,
            short_id: short(&id).to_owned(),
            id,
        }
    }
}

/// How a `forget` ended.
#[derive(Debug, Serialize)]
pub struct ForgetLine {
    message_type: &'static str,
    action: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    snapshots_kept: usize,
    snapshots_forgotten: usize,
    checkpoints_forgotten: usize,
}

impl ForgetLine {
    /// The line for what was, or would be, done to `groups`.
    #[must_use]
    pub fn new(groups: &[Group<'_>], dry_run: bool) -> Self {
        Self {
            message_type: "summary",
            action: "forget",
            dry_run,
            snapshots_kept: groups.iter().map(|group| group.left).sum(),
            snapshots_forgotten: groups.iter().map(|group| group.forgotten.len()).sum(),
            checkpoints_forgotten: groups.iter().map(|group| group.checkpoints.len()).sum(),
        }
    }
}

/// How a `forget --undo` ended.
#[derive(Debug, Serialize)]
pub struct ForgetUndoLine {
    message_type: &'static str,
    action: &'static str,
    snapshot_ids: Vec<String>,
}

impl ForgetUndoLine {
    /// The line for `sids`, which are back.
    #[must_use]
    pub fn new(sids: &[SnapshotId]) -> Self {
        let snapshot_ids = sids.iter().map(ToString::to_string).collect();
        Self { message_type: "summary", action: "forget_undo", snapshot_ids }
    }
}

/// How a `prune` ended.
#[derive(Debug, Serialize)]
pub struct PruneLine {
    message_type: &'static str,
    action: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    snapshots: u64,
    snapshots_dropped: u64,
    packs_kept: u64,
    packs_garbage: usize,
    bytes_garbage: u64,
    packs_rewritten: usize,
    bytes_rewritten: u64,
    bytes_written: u64,
    packs_left: usize,
    bytes_left: u64,
    packs_rescued: u64,
    packs_deleted: u64,
    bytes_deleted: u64,
    objects_deleted: u64,
    bytes_freed: u64,
    bytes_unused: u64,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_until: Option<String>,
    seconds_elapsed: u64,
}

impl PruneLine {
    /// The line for a prune that took `seconds_elapsed`.
    #[must_use]
    pub fn new(report: &PruneReport, dry_run: bool, seconds_elapsed: u64) -> Self {
        let plan = &report.plan;
        let bytes = |packs: &[PackUse]| packs.iter().map(|pack| pack.pack_len).sum();
        Self {
            message_type: "summary",
            action: "prune",
            dry_run,
            snapshots: report.snapshots,
            snapshots_dropped: report.snapshots_dropped,
            packs_kept: plan.kept_count,
            packs_garbage: plan.garbage.len(),
            bytes_garbage: bytes(&plan.garbage),
            packs_rewritten: plan.rewrite.len(),
            bytes_rewritten: plan.rewritten_bytes(),
            bytes_written: report.rewritten_bytes,
            packs_left: plan.young.len(),
            bytes_left: bytes(&plan.young),
            packs_rescued: report.rescued,
            packs_deleted: report.packs_deleted,
            bytes_deleted: report.bytes_deleted,
            objects_deleted: report.objects_deleted,
            bytes_freed: plan.freed_bytes(),
            bytes_unused: plan.garbage_kept_bytes,
            generation: report.generation,
            held_until: report.held_until_ns.map(units::rfc3339),
            seconds_elapsed,
        }
    }
}

/// How a `prune --undo` ended.
#[derive(Debug, Serialize)]
pub struct PruneUndoLine {
    message_type: &'static str,
    action: &'static str,
    snapshots: usize,
    generation: u64,
}

impl PruneUndoLine {
    /// The line for what is there again: so many snapshots.
    #[must_use]
    pub fn new(snapshots: usize, generation: u64) -> Self {
        Self { message_type: "summary", action: "prune_undo", snapshots, generation }
    }
}
