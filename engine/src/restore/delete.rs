//! Removes what the target has and the snapshot does not, or counts it.

use std::collections::{BTreeMap, HashSet};

use super::RestoreOptions;
use super::filter::Filter;
use super::origin::Origin;
use super::report::{Report, add};
use super::selection::{Selection, Verdict};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::manifest::Union;
use crate::model::Entry;
use crate::observe::Action;
use crate::source::sqlite::{SIDECARS, base_of};
use crate::target::{Found, Look, TargetError};

/// Whether to remove, or to tell what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Count,
    Remove,
}

/// One walk over the entries of all origins and over what stands in their directories.
pub(super) struct Deletion<'a> {
    pub(super) look: &'a Look,
    pub(super) options: &'a RestoreOptions,
    pub(super) filter: &'a Filter,
    pub(super) report: &'a Report<'a>,
    pub(super) mode: Mode,
}

/// A directory of the snapshot whose entries are coming.
struct Level {
    path: Vec<u8>,
    /// What stands there and was not met in the snapshot.
    extra: BTreeMap<Vec<u8>, Found>,
    /// The name in it that was met last.
    met: Vec<u8>,
    /// An include names it or a directory above.
    is_within: bool,
}

/// Asserts that what is absent from the snapshot was absent from the source.
///
/// # Errors
/// `Refused` if something could not be read when it was made.
pub(super) fn refuse_partial(origins: &[Origin<'_>]) -> Result<()> {
    if origins.iter().all(|origin| origin.is_complete) {
        return Ok(());
    }
    let what = "the snapshot is not complete: what could not be read when it was made would be \
                deleted; restore without --delete, or choose another snapshot";
    Err(Error::new(Kind::Refused, what))
}

impl Deletion<'_> {
    /// Does it for `origins`, which are all that the snapshot has: what one of them has is not extra in
    /// a directory of another. Where the manifest is damaged it ends: what is missing there is not known
    /// to be extra.
    pub(super) fn run(&self, origins: &[Origin<'_>]) {
        let folder = &self.options.folder;
        let select = |_| Selection::new(self.filter, self.options);
        let mut selections: Vec<_> = origins.iter().map(select).collect();
        let mut stack: Vec<Level> = Vec::new();
        let covers_all = |origin: &Origin<'_>| origin.roots.iter().any(Vec::is_empty);
        if folder.is_empty() && origins.iter().any(|it| it.is_chosen && covers_all(it)) {
            stack.extend(self.enter(Vec::new(), self.filter.includes_all()));
        }
        for item in Union::new(origins.iter().map(|origin| (origin.entries)(folder))) {
            let (number, entry) = match item {
                Ok(item) => item,
                Err(error) => {
                    self.report.note("nothing more is deleted, as the snapshot is damaged");
                    return self.report.damaged(folder, error);
                }
            };
            if self.report.is_stopped() {
                return;
            }
            let selection = &mut selections[number];
            let verdict = selection.judge(&entry);
            let path = match verdict {
                Verdict::Root => Vec::new(),
                _ => selection.relative(&entry).to_vec(),
            };
            if verdict != Verdict::Root {
                self.pass(&mut stack, &entry, &path);
            }
            let is_open = matches!(verdict, Verdict::Root | Verdict::Wanted | Verdict::Passed);
            // Several origins have the directories above their roots.
            let is_entered = stack.last().is_some_and(|level| level.path == path);
            if is_open
                && !is_entered
                && entry.is_directory()
                && is_below_root(&origins[number], &entry)
            {
                let is_within = self.filter.includes_all() || verdict == Verdict::Wanted;
                stack.extend(self.enter(path, is_within));
            }
        }
        while let Some(level) = stack.pop() {
            self.leave(&level);
        }
    }

    /// Leaves the directories that `path` is not in, and meets it in the one it is in.
    fn pass(&self, stack: &mut Vec<Level>, entry: &Entry, path: &[u8]) {
        while let Some(level) = stack.pop_if(|level| !level.holds(path)) {
            self.leave(&level);
        }
        if let Some(level) = stack.last_mut() {
            self.meet(level, path, entry.is_directory());
        }
    }

    fn enter(&self, path: Vec<u8>, is_within: bool) -> Option<Level> {
        let names = self.names(&path)?;
        let extra = names.into_iter().map(|found| (found.name.clone(), found)).collect();
        Some(Level { path, extra, met: Vec::new(), is_within })
    }

    /// An entry of the snapshot. If it stands there under a spelling that the listing does not
    /// have, the file system folds names: then none of them is known to be extra.
    fn meet(&self, level: &mut Level, path: &[u8], is_directory: bool) {
        let inside = level.inside(path);
        let name = inside.split(|byte| *byte == b'/').next().unwrap_or_default();
        // Deeper ones come here too, if the directory between is excluded or has no entry; and those
        // that another origin has as well.
        if name == level.met {
            return;
        }
        level.met = name.to_vec();
        let is_folder = is_directory || name.len() < inside.len();
        let found = level.extra.remove(name);
        if !is_folder || found.as_ref().is_some_and(|found| !found.is_directory) {
            level.keep_sidecars(name);
        }
        if found.is_none() && !matches!(self.look.see(&join(&level.path, name)), Ok(None)) {
            level.extra.clear();
        }
    }

    fn leave(&self, level: &Level) {
        self.remove_all(&level.path, level.extra.values(), level.is_within);
    }

    /// Removes those of `all`, which ascend, that the filter selects; true if all are gone. The files
    /// of SQLite beside a database hold commits of it: they go only after it.
    fn remove_all<'f>(
        &self,
        above: &[u8],
        all: impl Iterator<Item = &'f Found>,
        is_within: bool,
    ) -> bool {
        let mut is_empty = true;
        let mut staying = HashSet::new();
        for found in all {
            let base = base_of(&found.name).filter(|_| !found.is_directory);
            let is_needed = base.is_some_and(|base| staying.contains(base));
            if is_needed || !self.remove(above, found, is_within) {
                is_empty = false;
                if !found.is_directory {
                    staying.insert(&found.name[..]);
                }
            }
        }
        is_empty
    }

    /// Removes what `found` is if the filter selects it, after everything in it; true if it is gone.
    fn remove(&self, above: &[u8], found: &Found, is_within: bool) -> bool {
        let path = join(above, &found.name);
        let is_barred = found.is_kept
            || path.len() > limits::PATH_LEN_MAX
            || self.filter.excludes(&path, found.is_directory)
            || self.report.is_stopped();
        if is_barred {
            return false;
        }
        let is_within = is_within || self.filter.includes(&path, found.is_directory);
        let mut is_empty = true;
        if found.is_directory {
            let Some(names) = self.names(&path) else { return false };
            is_empty = self.remove_all(&path, names.iter(), is_within);
        }
        is_within && is_empty && self.unlink(above, found, &path)
    }

    fn unlink(&self, above: &[u8], found: &Found, path: &[u8]) -> bool {
        if self.mode == Mode::Remove {
            match self.look.remove(above, &found.name, found.is_directory) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.refused(path, error);
                    return false;
                }
            }
        }
        add(&self.report.counts.removed, 1);
        self.report.entry(Action::Removed, path, 0);
        true
    }

    /// What a directory has; none if it is not to be entered.
    fn names(&self, path: &[u8]) -> Option<Vec<Found>> {
        match self.look.names(path) {
            Ok(names) => names,
            Err(error) => {
                self.refused(path, error);
                None
            }
        }
    }

    fn refused(&self, path: &[u8], error: TargetError) {
        self.report.refused(path, &self.options.target.display().to_string(), error);
    }
}

impl Level {
    /// True if `path` is in it, at any depth, or is its own.
    fn holds(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(&self.path[..]);
        self.path.is_empty() || rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    /// Keeps what SQLite has beside the file `name`.
    fn keep_sidecars(&mut self, name: &[u8]) {
        for end in SIDECARS {
            if let Some(found) = self.extra.get_mut(&[name, end.as_bytes()].concat())
                && !found.is_directory
            {
                found.is_kept = true;
            }
        }
    }

    /// The part of `path` below it.
    fn inside<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let start = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
        path.get(start..).unwrap_or_default()
    }
}

/// True if the entry is a root of a chosen source or below one: directories above a root were never
/// read, so nothing in them is extra.
fn is_below_root(origin: &Origin<'_>, entry: &Entry) -> bool {
    origin.is_chosen && origin.roots.iter().any(|root| entry.path.is_in(root))
}

fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() { name.to_vec() } else { [above, b"/", name].concat() }
}
