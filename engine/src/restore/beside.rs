//! The files of SQLite that stand in the target beside what is restored: it plays them into a database,
//! whichever they were written for.

use std::sync::Arc;

use super::plan::Planner;
use super::report::Report;
use crate::model::Entry;
use crate::source::sqlite::base_of;
use crate::target::{Folder, SIDECARS};

/// What becomes of them if the file is a database. Each is told by what is behind the file's name in its
/// own.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// It was stored as one; of other files the first bytes decide.
    pub(super) is_database: bool,
    /// They go: the snapshot has none of them.
    pub(super) stale: Vec<&'static str>,
    /// They stay: the snapshot has them as files, which this restore leaves out.
    pub(super) left: Vec<&'static str>,
}

impl Beside {
    pub(super) fn is_empty(&self) -> bool {
        self.stale.is_empty() && self.left.is_empty()
    }

    /// Tells of those that stay beside the database at `path`.
    pub(super) fn tell(&self, path: &[u8], report: &Report<'_>) {
        if !self.left.is_empty() {
            let (path, left) = (String::from_utf8_lossy(path), self.left.join(" and "));
            report.note(&format!(
                "{path}: is restored, but not its {left}, and SQLite takes what stands there for its own: \
                 restore the folder, or move {left} away"
            ));
        }
    }
}

impl Planner<'_, '_> {
    /// What stands beside the file `entry`. What the snapshot has is restored by its own entry.
    pub(super) fn beside(&self, folder: &Arc<Folder>, entry: &Entry) -> Beside {
        if entry.database {
            return Beside { is_database: true, stale: SIDECARS.to_vec(), left: Vec::new() };
        }
        let mut beside = Beside::default();
        for end in self.target.sidecars(folder, self.selection.name(entry)) {
            let path = [entry.path.as_bytes(), end.as_bytes()].concat();
            if self.selection.new_name(entry).is_some()
                || (self.origin.entries)(&path).next().is_none()
            {
                beside.stale.push(end);
            } else if !self.selection.takes(&path) {
                beside.left.push(end);
            }
        }
        beside
    }

    /// The database that `entry` is a file of, if that is in use and stays as it is.
    pub(super) fn used_by<'e>(&self, entry: &'e Entry) -> Option<&'e [u8]> {
        base_of(entry.path.as_bytes()).filter(|base| self.used.contains(*base))
    }
}
