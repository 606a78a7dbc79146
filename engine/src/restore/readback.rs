//! Reads back what was restored and compares it with the snapshot.

use std::collections::HashSet;

use super::RestoreOptions;
use super::compare::Comparison;
use super::content::Cursor;
use super::filter::Filter;
use super::origin::Origin;
use super::report::{Report, add};
use super::selection::{Selection, Verdict};
use crate::error::Result;
use crate::model::{Content, Entry, EntryKind, Hole, Xattr};
use crate::source::sqlite;
use crate::target::{Look, Seen, SeenShape, TargetError};

/// Reads back the entries of one origin; differences are findings.
pub(super) struct Readback<'a> {
    pub(super) look: &'a Look,
    pub(super) options: &'a RestoreOptions,
    pub(super) filter: &'a Filter,
    pub(super) report: &'a Report<'a>,
    /// Owners could be set.
    pub(super) is_root: bool,
}

impl Readback<'_> {
    /// Compares every entry that was restored; those already told of are passed over.
    pub(super) fn run(&self, origin: &Origin<'_>) {
        let told = self.report.problem_paths();
        let mut selection = Selection::new(self.filter, self.options);
        for entry in (origin.entries)(&self.options.folder).flatten() {
            if self.report.is_stopped() {
                return;
            }
            if selection.judge(&entry) == Verdict::Wanted && !is_told(&told, &entry) {
                self.compare(origin, &entry, selection.relative(&entry));
                self.report.progress();
            }
        }
    }

    fn compare(&self, origin: &Origin<'_>, entry: &Entry, path: &[u8]) {
        let is_device =
            matches!(entry.kind, EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. });
        if is_device && !self.options.devices {
            return;
        }
        let difference = match self.look.see(path) {
            Err(error) => Some(unreadable(error)),
            Ok(None) => Some("is not there".to_owned()),
            Ok(Some(seen)) => self.difference(origin, entry, path, &seen),
        };
        add(&self.report.counts.compared, 1);
        if let Some(what) = difference {
            self.report.differs(entry.path.as_bytes(), &what);
        }
    }

    /// What the file system has otherwise than the snapshot.
    fn difference(
        &self,
        origin: &Origin<'_>,
        entry: &Entry,
        path: &[u8],
        seen: &Seen,
    ) -> Option<String> {
        match (&entry.kind, &seen.shape) {
            (EntryKind::Directory, SeenShape::Directory) => {}
            (EntryKind::Symlink { target }, SeenShape::Symlink { target: found }) => {
                if target[..] != found[..] {
                    return Some("leads elsewhere than in the snapshot".to_owned());
                }
            }
            (EntryKind::File { size, content, holes }, SeenShape::File) => {
                if *size != seen.size {
                    return Some(format!("has {} bytes, the snapshot {size}", seen.size));
                }
                match self.has_content(origin, path, *size, content, holes) {
                    Ok(true) => {}
                    Ok(false) => return Some("its content is not the snapshot's".to_owned()),
                    Err(what) => return Some(what),
                }
            }
            (
                EntryKind::Fifo
                | EntryKind::Socket
                | EntryKind::CharDevice { .. }
                | EntryKind::BlockDevice { .. },
                SeenShape::Other,
            ) => {}
            _ => return Some("is of another kind than in the snapshot".to_owned()),
        }
        if entry.database
            && let Some(what) = self.facts_difference(origin, entry, path)
        {
            return Some(what);
        }
        self.metadata_difference(entry, seen)
            .or_else(|| self.attribute_difference(origin, entry, path))
    }

    fn has_content(
        &self,
        origin: &Origin<'_>,
        path: &[u8],
        size: u64,
        content: &Content,
        holes: &[Hole],
    ) -> std::result::Result<bool, String> {
        let (handle, facts) = self.look.open_cold(path).map_err(unreadable)?;
        let mut compared = Comparison::new(handle, facts);
        let mut read = || -> Result<bool> {
            let mut cursor = Cursor::new(size, holes);
            for run in (origin.chunks)(content) {
                let (chunk, repeat) = run?;
                let place = (origin.place)(&chunk)?;
                for _ in 0..repeat {
                    if self.report.is_stopped() {
                        return Ok(true);
                    }
                    let runs = cursor.next_runs(place.len)?;
                    if !compared.has(origin, &chunk, &runs)? {
                        return Ok(false);
                    }
                }
            }
            Ok(compared.has_holes(holes))
        };
        read().map_err(|error| error.to_string())
    }

    /// What SQLite finds otherwise than when the database was captured.
    fn facts_difference(&self, origin: &Origin<'_>, entry: &Entry, path: &[u8]) -> Option<String> {
        let known = (origin.facts)(entry.path.as_bytes())?;
        let compared = match self.look.open_database(path) {
            Err(error) => return Some(unreadable(error)),
            Ok(opened) => opened
                .map_err(|error| error.to_string())
                .and_then(|connection| sqlite::difference(connection, &known)),
        };
        compared.unwrap_or_else(|why| {
            let path = String::from_utf8_lossy(entry.path.as_bytes());
            let what = format!("{path}: is the snapshot's, but SQLite cannot measure it: {why}");
            self.report.note(&what);
            None
        })
    }

    /// Attributes of users; those of the system need rights, and what could not be set was noted.
    fn attribute_difference(
        &self,
        origin: &Origin<'_>,
        entry: &Entry,
        path: &[u8],
    ) -> Option<String> {
        // Damage was told when they were to be set.
        let xattrs = (origin.attributes)(&entry.xattrs).unwrap_or_default();
        let differs = |xattr: &&Xattr| {
            xattr.name.starts_with(b"user.")
                && !self.look.has_attribute(path, &xattr.name, &xattr.value)
        };
        let name = String::from_utf8_lossy(&xattrs.iter().find(differs)?.name).into_owned();
        Some(format!("has not the snapshot's attribute {}", name.escape_debug()))
    }

    fn metadata_difference(&self, entry: &Entry, seen: &Seen) -> Option<String> {
        let owns = self.is_root && !self.options.no_owner;
        let gives_set_ids = owns && (self.options.set_ids || entry.is_directory());
        let bits = if gives_set_ids { 0o7777 } else { 0o1777 };
        let is_link = matches!(entry.kind, EntryKind::Symlink { .. });
        if !is_link && entry.mode & bits != seen.mode & bits {
            return Some(format!("has mode {:o}, the snapshot {:o}", seen.mode, entry.mode));
        }
        if owns && (entry.owner.uid, entry.owner.gid) != (seen.uid, seen.gid) {
            let (uid, gid) = (entry.owner.uid, entry.owner.gid);
            return Some(format!(
                "belongs to {}:{}, in the snapshot to {uid}:{gid}",
                seen.uid, seen.gid
            ));
        }
        (entry.mtime != seen.mtime).then(|| "has another modification time".to_owned())
    }
}

fn is_told(told: &HashSet<Vec<u8>>, entry: &Entry) -> bool {
    told.contains(entry.path.as_bytes())
        || entry.path.parent().is_some_and(|parent| told.contains(parent))
}

fn unreadable(error: TargetError) -> String {
    match error {
        TargetError::Entry(what) => format!("could not be read back: {what}"),
        TargetError::Fatal { what, errno } => format!("could not be read back: {what}: {errno}"),
    }
}
