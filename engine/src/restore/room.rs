//! Whether what is to be restored fits.

use std::collections::HashSet;

use super::RestoreOptions;
use super::filter::Filter;
use super::origin::Origin;
use super::report::Report;
use super::selection::{Selection, Verdict};
use crate::error::{Error, Kind, Result};
use crate::model::{Entry, EntryKind};
use crate::target::Target;

/// Compares the bytes to restore with the room on the target, before anything is written.
///
/// # Errors
/// `NoSpace` if they exceed the whole file system; a shortage of free space alone is only noted,
/// since files may be replaced, skipped or full of zeros.
pub(super) fn check(
    origin: &Origin<'_>,
    options: &RestoreOptions,
    filter: &Filter,
    target: &Target,
    report: &Report<'_>,
) -> Result<()> {
    let room = target.room()?;
    if room.total == 0 || origin.bytes_total.is_some_and(|total| total <= room.available) {
        return Ok(());
    }
    let needed = needed(origin, options, filter, report);
    if needed > room.total && !options.sparse {
        return Err(Error::new(
            Kind::NoSpace,
            format!(
                "restore target {}: {needed} bytes do not fit on a file system of {} bytes",
                target.location(),
                room.total
            ),
        ));
    }
    if needed > room.available {
        report.note(&format!(
            "restore target {}: {needed} bytes to restore, {} bytes free: it may become full",
            target.location(),
            room.available
        ));
    }
    Ok(())
}

/// Bytes of the selected files without their holes, each link group once.
fn needed(
    origin: &Origin<'_>,
    options: &RestoreOptions,
    filter: &Filter,
    report: &Report<'_>,
) -> u64 {
    let mut groups = HashSet::new();
    let mut needed = 0_u64;
    let mut selection = Selection::new(filter, &options.folder);
    for entry in (origin.entries)(&options.folder).flatten() {
        if report.is_stopped() {
            break;
        }
        let is_first = entry.link_group == 0 || groups.insert(entry.link_group);
        if selection.judge(&entry) == Verdict::Wanted && is_first {
            needed = needed.saturating_add(stored_bytes(&entry));
        }
    }
    needed
}

fn stored_bytes(entry: &Entry) -> u64 {
    match &entry.kind {
        EntryKind::File { size, holes, .. } => {
            holes.iter().fold(*size, |bytes, hole| bytes.saturating_sub(hole.len))
        }
        _ => 0,
    }
}
