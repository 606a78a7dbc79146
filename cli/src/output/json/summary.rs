//! How a command ended: the last lines.

use coffer_engine::backup::BackupSummary;
use coffer_engine::restore::RestoreSummary;
use coffer_engine::verify::{Finding, Report, Touched};
use serde::Serialize;

use super::JsonPath;
use crate::output::units;

/// The last line of a backup.
#[derive(Debug, Serialize)]
pub struct BackupLine {
    message_type: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    data_added: u64,
    data_added_packed: u64,
    dirs_processed: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
    error_count: u64,
    partial: bool,
    backup_start: String,
    backup_end: String,
    total_duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<String>,
}

impl BackupLine {
    /// The line for a backup.
    #[must_use]
    pub fn new(summary: &BackupSummary, dry_run: bool) -> Self {
        let totals = &summary.totals;
        Self {
            message_type: "summary",
            dry_run,
            files_new: totals.files_new,
            files_changed: totals.files_changed,
            files_unmodified: totals.files_unmodified,
            data_added: totals.data_added,
            data_added_packed: totals.data_stored,
            dirs_processed: summary.directories,
            total_files_processed: totals.files_new
                + totals.files_changed
                + totals.files_unmodified,
            total_bytes_processed: totals.bytes,
            error_count: summary.errors,
            partial: summary.partial,
            backup_start: units::rfc3339(summary.started_ns),
            backup_end: units::rfc3339(summary.finished_ns),
            total_duration: summary.duration().as_secs_f64(),
            parent: summary.parent.map(|id| id.to_string()),
            snapshot_id: summary.snapshot_id.map(|id| id.to_string()),
        }
    }
}

/// The last line of a restore; `files` are entries of every kind, as in restic's.
#[derive(Debug, Serialize)]
pub struct RestoreLine {
    pub message_type: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    pub seconds_elapsed: u64,
    pub total_files: u64,
    pub files_restored: u64,
    pub files_skipped: u64,
    pub files_excluded: u64,
    pub total_bytes: u64,
    pub bytes_restored: u64,
    pub bytes_fetched: u64,
    pub files_deleted: u64,
    pub files_verified: u64,
    pub files_differing: u64,
    pub error_count: u64,
    pub damaged_count: u64,
    /// Sources of secrets that the key in use may not read.
    pub sealed_sources: u64,
}

impl RestoreLine {
    /// The line for a restore that took `seconds_elapsed`.
    #[must_use]
    pub fn new(summary: &RestoreSummary, dry_run: bool, seconds_elapsed: u64) -> Self {
        let restored = summary.files + summary.directories + summary.others + summary.links;
        Self {
            message_type: "summary",
            dry_run,
            seconds_elapsed,
            total_files: restored + summary.skipped + summary.problem_count + summary.lost,
            files_restored: restored,
            files_skipped: summary.skipped,
            files_excluded: summary.excluded,
            total_bytes: summary.bytes,
            bytes_restored: summary.bytes,
            bytes_fetched: summary.fetched_bytes,
            files_deleted: summary.removed,
            files_verified: summary.compared,
            files_differing: summary.differing,
            error_count: summary.problem_count + summary.lost,
            damaged_count: summary.damaged_count,
            sealed_sources: summary.sealed_sources,
        }
    }
}

/// One finding of `check` or `verify`.
#[derive(Debug, Serialize)]
pub struct FindingLine<'a> {
    message_type: &'static str,
    message: String,
    object: &'a str,
    problem: &'a str,
}

impl<'a> FindingLine<'a> {
    /// The line for `finding`.
    #[must_use]
    pub fn new(finding: &'a Finding) -> Self {
        Self {
            message_type: "error",
            message: format!("{}: {}", finding.object, finding.problem),
            object: &finding.object,
            problem: &finding.problem,
        }
    }
}

/// A path that cannot be restored whole.
#[derive(Debug, Serialize)]
pub struct TouchedLine {
    message_type: &'static str,
    snapshot_id: String,
    #[serde(flatten)]
    path: JsonPath,
}

impl TouchedLine {
    /// The line for `touched`.
    #[must_use]
    pub fn new(touched: &Touched) -> Self {
        let path = JsonPath::new(&touched.path);
        Self { message_type: "damaged_path", snapshot_id: touched.snapshot.to_string(), path }
    }
}

/// The last line of `check` and `verify`.
#[derive(Debug, Serialize)]
pub struct ReportLine {
    message_type: &'static str,
    num_errors: usize,
    damaged_paths: u64,
    damaged_snapshots: Vec<String>,
    snapshots: u64,
    packs: u64,
    orphaned_packs: u64,
    chunks: u64,
    bytes: u64,
    seconds_elapsed: u64,
}

impl ReportLine {
    /// The line for a report that took `seconds_elapsed`.
    #[must_use]
    pub fn new(report: &Report, seconds_elapsed: u64) -> Self {
        Self {
            message_type: "summary",
            num_errors: report.findings.len(),
            damaged_paths: report.touched_count,
            damaged_snapshots: report.snapshots_damaged.iter().map(ToString::to_string).collect(),
            snapshots: report.snapshots,
            packs: report.packs,
            orphaned_packs: report.orphans,
            chunks: report.chunks,
            bytes: report.bytes,
            seconds_elapsed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_ends_with_a_summary_that_has_the_snapshot_id_last() {
        use coffer_engine::model::{SnapshotId, Totals};
        let summary = BackupSummary {
            snapshot_id: Some(SnapshotId([0xab; 16])),
            partial: false,
            totals: Totals { files_new: 2, data_stored: 9, ..Totals::default() },
            errors: 0,
            damaged: 0,
            parent: None,
            directories: 0,
            started_ns: 0,
            finished_ns: 1_500_000_000,
        };
        let line = serde_json::to_string(&BackupLine::new(&summary, false)).unwrap();
        assert!(line.starts_with(r#"{"message_type":"summary","files_new":2,"#), "{line}");
        let end = format!(r#""total_duration":1.5,"snapshot_id":"{}"}}"#, "ab".repeat(16));
        assert!(line.ends_with(&end) && line.contains(r#""data_added_packed":9"#), "{line}");
    }
}
