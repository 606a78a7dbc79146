//! Whether what is to be restored fits.

use std::collections::HashSet;

use super::RestoreOptions;
use super::filter::Filter;
use super::origin::Origin;
use super::report::Report;
use super::selection::{Selection, Verdict};
use crate::error::{Error, Kind, Result};
use crate::model::{Entry, EntryKind};
use crate::target::{Look, Room, SeenShape, room_at};

/// What a restore adds to a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Need {
    bytes: u64,
    inodes: u64,
    /// The largest file that stands beside the one it replaces until it is complete.
    beside: u64,
}

/// Compares what `origins` add with the room on the target, before anything is written.
///
/// # Errors
/// `NoSpace` naming both figures. With `sparse`, nobody knows what becomes a hole: a shortage of
/// bytes is only noted.
pub(super) fn check(
    origins: &[&Origin<'_>],
    options: &RestoreOptions,
    filter: &Filter,
    report: &Report<'_>,
) -> Result<()> {
    let room = room_at(&options.target)?;
    if fits_surely(origins, &room) {
        return Ok(());
    }
    let look = Look::open(&options.target, &[])?;
    let mut need = Need::default();
    for origin in origins {
        need.add(origin, options, filter, look.as_ref(), report);
    }
    need.judge(&room, options, report)
}

/// Even if nothing of it were there.
fn fits_surely(origins: &[&Origin<'_>], room: &Room) -> bool {
    let sum = |of: fn(&Origin<'_>) -> Option<u64>| {
        origins.iter().try_fold(0_u64, |sum, origin| Some(sum.saturating_add(of(origin)?)))
    };
    sum(|origin| origin.bytes_total).is_some_and(|bytes| bytes <= room.bytes)
        && sum(|origin| origin.entries_total)
            .is_some_and(|entries| room.inodes.is_none_or(|inodes| entries <= inodes))
}

impl Need {
    /// Adds the selected files without their holes, each link group once, less what is there.
    fn add(
        &mut self,
        origin: &Origin<'_>,
        options: &RestoreOptions,
        filter: &Filter,
        look: Option<&Look>,
        report: &Report<'_>,
    ) {
        let mut groups = HashSet::new();
        let mut selection = Selection::new(filter, options);
        for entry in (origin.entries)(&options.folder).flatten() {
            if report.is_stopped() {
                break;
            }
            let is_first = entry.link_group == 0 || groups.insert(entry.link_group);
            if selection.judge(&entry) != Verdict::Wanted || !is_first {
                continue;
            }
            let seen = look.and_then(|look| look.see(selection.relative(&entry)).ok().flatten());
            let bytes = stored_bytes(&entry);
            match seen {
                None => {
                    self.bytes = self.bytes.saturating_add(bytes);
                    self.inodes += 1;
                }
                Some(seen) if seen.shape == SeenShape::File => {
                    self.bytes = self.bytes.saturating_add(bytes.saturating_sub(seen.size));
                    let is_same = seen.size == entry.file_size() && seen.mtime == entry.mtime;
                    if !is_same {
                        self.beside = self.beside.max(bytes.min(seen.size));
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn judge(&self, room: &Room, options: &RestoreOptions, report: &Report<'_>) -> Result<()> {
        let bytes = self.bytes.saturating_add(self.beside);
        let lacks_bytes = bytes > room.bytes;
        let location = options.target.display();
        if let Some(inodes) = room.inodes.filter(|inodes| self.inodes > *inodes) {
            let what = format!(
                "restore target {location}: {} files and folders are needed, {inodes} can be made",
                self.inodes
            );
            return Err(Error::new(Kind::NoSpace, what));
        }
        let what = format!(
            "restore target {location}: {bytes} bytes are needed, {} bytes are free",
            room.bytes
        );
        if lacks_bytes && !options.sparse {
            return Err(Error::new(Kind::NoSpace, what));
        }
        if lacks_bytes {
            report.note(&format!("{what}: it fits only if there are enough zeros"));
        }
        Ok(())
    }
}

fn stored_bytes(entry: &Entry) -> u64 {
    match &entry.kind {
        EntryKind::File { size, holes, .. } => {
            holes.iter().fold(*size, |bytes, hole| bytes.saturating_sub(hole.len))
        }
        _ => 0,
    }
}
