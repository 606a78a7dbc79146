//! What a rehearsal tells of: the entries that would be restored.

use super::RestoreOptions;
use super::origin::Origin;
use super::plan::is_device;
use super::report::{Report, add};
use super::selection::{Selection, Verdict};
use crate::model::EntryKind;
use crate::observe::Action;

/// Counts and tells what would be restored.
pub(super) fn count(
    origin: &Origin<'_>,
    options: &RestoreOptions,
    mut selection: Selection<'_>,
    report: &Report<'_>,
) {
    let counts = &report.counts;
    for entry in (origin.entries)(&options.folder) {
        if report.is_stopped() {
            break;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                report.damaged(&options.folder, error);
                continue;
            }
        };
        match (selection.judge(&entry), &entry.kind) {
            (Verdict::Excluded, _) => add(&counts.excluded, 1),
            (Verdict::Wanted, kind) => {
                let count = match kind {
                    kind if is_device(kind) && !options.devices => &counts.skipped,
                    EntryKind::File { .. } => &counts.files,
                    EntryKind::Directory => &counts.directories,
                    _ => &counts.others,
                };
                add(count, 1);
                add(&counts.bytes, entry.file_size());
                report.entry(Action::Restored, entry.path.as_bytes(), entry.file_size());
            }
            _ => {}
        }
    }
}
