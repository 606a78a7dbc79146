//! What `find`, `diff` and `stats` tell.

use coffer_engine::browse::{
    Counts, DiffSummary, JobCost, ObjectSizes, RepositorySizes, Sizes, Stats,
};
use coffer_engine::model::{Entry, Snapshot};
use coffer_engine::repo::Tuning;
use serde::Serialize;

use super::{JsonPath, NodeLine, PathText, entry_type};
use crate::output::units;

/// An entry that was found.
#[derive(Debug, Serialize)]
pub struct FindLine {
    #[serde(flatten)]
    node: NodeLine,
    snapshot_id: String,
    snapshot_time: String,
}

impl FindLine {
    /// The line for `entry` in the source called `source` of `snapshot`.
    #[must_use]
    pub fn new(snapshot: &Snapshot, entry: &Entry, source: &str) -> Self {
        Self {
            node: NodeLine::new(entry, source),
            snapshot_id: snapshot.sid.to_string(),
            snapshot_time: units::rfc3339(snapshot.started_ns),
        }
    }
}

/// The last line of `find`.
#[derive(Debug, Serialize)]
pub struct FindSummaryLine {
    message_type: &'static str,
    snapshots: usize,
    snapshots_with_matches: u64,
    matches: u64,
}

impl FindSummaryLine {
    /// The line for `matches` found in some of `snapshots`.
    #[must_use]
    pub fn new(snapshots: usize, snapshots_with_matches: u64, matches: u64) -> Self {
        Self { message_type: "summary", snapshots, snapshots_with_matches, matches }
    }
}

/// A difference; restic's fields.
#[derive(Debug, Serialize)]
pub struct ChangeLine {
    message_type: &'static str,
    #[serde(flatten)]
    path: JsonPath,
    modifier: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
}

impl ChangeLine {
    /// The line for `entry` with the mark `modifier`.
    #[must_use]
    pub fn new(modifier: &'static str, entry: &Entry) -> Self {
        Self {
            message_type: "change",
            path: JsonPath::new(entry.path.as_bytes()),
            modifier,
            kind: entry_type(entry),
            size: entry.file_size(),
        }
    }
}

/// The last line of `diff`; restic's fields.
#[derive(Debug, Serialize)]
pub struct DiffLine {
    message_type: &'static str,
    source_snapshot: String,
    target_snapshot: String,
    changed_files: u64,
    added: CountsLine,
    removed: CountsLine,
    changed: CountsLine,
    metadata: CountsLine,
    damaged_count: u64,
}

#[derive(Debug, Serialize)]
struct CountsLine {
    files: u64,
    dirs: u64,
    others: u64,
    bytes: u64,
}

impl DiffLine {
    /// The line for a comparison of two snapshots.
    #[must_use]
    pub fn new([old, new]: [&Snapshot; 2], summary: &DiffSummary) -> Self {
        Self {
            message_type: "statistics",
            source_snapshot: old.sid.to_string(),
            target_snapshot: new.sid.to_string(),
            changed_files: summary.changed.files,
            added: CountsLine::new(&summary.added),
            removed: CountsLine::new(&summary.removed),
            changed: CountsLine::new(&summary.changed),
            metadata: CountsLine::new(&summary.metadata),
            damaged_count: summary.damaged,
        }
    }
}

impl CountsLine {
    fn new(counts: &Counts) -> Self {
        let Counts { files, directories: dirs, others, bytes } = *counts;
        Self { files, dirs, others, bytes }
    }
}

/// A mount that is ready.
#[derive(Debug, Serialize)]
pub struct MountedLine {
    message_type: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
}

impl MountedLine {
    /// The line for a mount on the absolute `path`.
    #[must_use]
    pub fn new(path: &[u8]) -> Self {
        let PathText { text: path, base64: path_b64 } = PathText::as_given(path);
        Self { message_type: "mounted", path, path_b64 }
    }
}

/// What `stats` tells.
#[derive(Debug, Serialize)]
pub struct StatsLine {
    message_type: &'static str,
    snapshots: Vec<SizesLine>,
    total: SizesLine,
    jobs: Vec<JobLine>,
    repository: RepositoryLine,
    settings: SettingsLine,
    damaged_count: u64,
}

/// What a job costs.
#[derive(Debug, Serialize)]
struct JobLine {
    host: String,
    job: String,
    snapshots: u64,
    newest_time: String,
    hour_snapshots: u64,
    hour_stored_bytes: u64,
    hour_busy_secs: f64,
}

impl JobLine {
    fn new(cost: &JobCost) -> Self {
        Self {
            host: cost.host.clone(),
            job: cost.job.clone(),
            snapshots: cost.snapshots,
            newest_time: units::rfc3339(cost.newest_ns),
            hour_snapshots: cost.hour_snapshots,
            hour_stored_bytes: cost.hour_stored_bytes,
            hour_busy_secs: cost.hour_busy_ns as f64 / 1e9,
        }
    }
}

/// What writers of the repository follow.
#[derive(Debug, Serialize)]
pub struct SettingsLine {
    zstd_level: i32,
    frame_len: u64,
    pack_len: u64,
    tree_chunk_avg: u64,
}

impl SettingsLine {
    /// The fields of `tuning`.
    #[must_use]
    pub fn new(tuning: &Tuning) -> Self {
        let Tuning { zstd_level, frame_len, pack_len, tree_chunk_avg } = *tuning;
        Self { zstd_level, frame_len, pack_len, tree_chunk_avg }
    }
}

/// What one or more snapshots hold and take.
#[derive(Debug, Serialize)]
pub struct SizesLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    entries: u64,
    logical_bytes: u64,
    chunks: u64,
    unique_bytes: u64,
    stored_bytes: u64,
    metadata_stored_bytes: u64,
    compression_ratio: Option<f64>,
    deduplication_ratio: Option<f64>,
}

/// What the store holds.
#[derive(Debug, Serialize)]
pub struct RepositoryLine {
    data: ObjectsLine,
    metadata: ObjectsLine,
    index: ObjectsLine,
    snapshots: ObjectsLine,
    control: ObjectsLine,
    unknown_packs: ObjectsLine,
    total: ObjectsLine,
    packs: u64,
    garbage_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ObjectsLine {
    count: u64,
    bytes: u64,
}

impl StatsLine {
    /// The line for what was measured of `snapshots`, which stand in the same order.
    #[must_use]
    pub fn new(snapshots: &[Snapshot], stats: &Stats, costs: &[JobCost], tuning: &Tuning) -> Self {
        let one = |(snapshot, (_, sizes)): (&Snapshot, &(_, Sizes))| SizesLine {
            id: Some(snapshot.sid.to_string()),
            time: Some(units::rfc3339(snapshot.started_ns)),
            ..SizesLine::new(sizes)
        };
        Self {
            message_type: "stats",
            snapshots: snapshots.iter().zip(&stats.snapshots).map(one).collect(),
            total: SizesLine::new(&stats.total),
            jobs: costs.iter().map(JobLine::new).collect(),
            repository: RepositoryLine::new(&stats.repository),
            settings: SettingsLine::new(tuning),
            damaged_count: stats.damaged,
        }
    }
}

impl SizesLine {
    fn new(sizes: &Sizes) -> Self {
        Self {
            id: None,
            time: None,
            entries: sizes.entries,
            logical_bytes: sizes.logical_bytes,
            chunks: sizes.chunk_count,
            unique_bytes: sizes.unique_bytes,
            stored_bytes: sizes.stored_bytes,
            metadata_stored_bytes: sizes.metadata_stored_bytes,
            compression_ratio: sizes.compression_ratio(),
            deduplication_ratio: sizes.deduplication_ratio(),
        }
    }
}

impl RepositoryLine {
    fn new(sizes: &RepositorySizes) -> Self {
        let line = |part: ObjectSizes| ObjectsLine { count: part.count, bytes: part.bytes };
        Self {
            data: line(sizes.data),
            metadata: line(sizes.metadata),
            index: line(sizes.index),
            snapshots: line(sizes.snapshots),
            control: line(sizes.control),
            unknown_packs: line(sizes.unknown_packs),
            total: line(sizes.total()),
            packs: sizes.data.count + sizes.metadata.count + sizes.unknown_packs.count,
            garbage_bytes: sizes.garbage_bytes,
        }
    }
}
