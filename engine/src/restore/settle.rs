//! Syncs a written batch, then gives its files their names and finishes its directories, in entry
//! order.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Overwrite;
use super::batch::{Batch, FileJob, LinkJob, Step};
use super::links::Links;
use super::report::{Report, add};
use crate::observe::Action;
use crate::target::{DatabaseCheck, Durability, Original, Target, TargetError};

/// Settles batches in the order in which they were planned.
pub(super) struct Settler<'a> {
    pub(super) target: &'a Target,
    pub(super) report: &'a Report<'a>,
    pub(super) links: &'a Links,
    pub(super) overwrite: Overwrite,
    /// A batch left something that only a sync of the whole file system brings to the disk.
    pub(super) needs_sync: AtomicBool,
}

impl Settler<'_> {
    /// After a stop nothing gets a name any more: what is written may not be on the disk.
    pub(super) fn settle(&self, batch: Batch) {
        if self.report.is_stopped() {
            return;
        }
        let durability = batch.durability();
        let names = |step: &Step| matches!(step, Step::Name(_) | Step::Publish { .. });
        if durability == Durability::Together
            && batch.steps.iter().any(names)
            && let Err(error) = self.target.sync()
        {
            return self.report.stop(error.into_error(self.target.location()));
        }
        let is_small = batch.is_small();
        if !is_small {
            self.needs_sync.store(true, Ordering::Relaxed);
        }
        for step in &batch.steps {
            if self.report.is_stopped() {
                return;
            }
            self.take(step, is_small);
        }
        self.links.spill(self.target);
        self.report.progress();
    }

    /// Brings the names to the disk that were given last.
    pub(super) fn finish(&self) {
        let synced = if self.needs_sync.load(Ordering::Relaxed) {
            self.target.sync()
        } else {
            self.target.sync_folder(self.target.root())
        };
        if let Err(error) = synced {
            self.report.stop(error.into_error(self.target.location()));
        }
    }

    fn take(&self, step: &Step, is_small: bool) {
        let (path, outcome) = match step {
            Step::Name(job) => (job.path.as_bytes(), self.name(job)),
            Step::Link(link) => (link.path.as_bytes(), self.link(link)),
            Step::Leave { folder, path, metadata } => {
                let finished = self.target.finish_folder(folder, path, metadata.as_ref());
                let synced = |()| if is_small { self.target.sync_folder(folder) } else { Ok(()) };
                (&path[..], finished.and_then(synced))
            }
            Step::Publish { folder, path } => (&path[..], self.target.publish(folder)),
        };
        if let Err(error) = outcome {
            self.report.refused(path, self.target.location(), error);
        }
    }

    fn name(&self, job: &FileJob) -> Result<(), TargetError> {
        let mut state = job.state();
        if state.has_failed {
            // The plan met damage after earlier batches were written.
            if let Some(file) = state.file.take() {
                self.target.abandon_file(&job.folder, job.name(), file);
            }
            return Ok(());
        }
        if let Some(check) = state.check.take() {
            self.tell(job, check?);
        }
        let Some(file) = state.file.as_mut() else { return Ok(()) };
        let may_replace = self.overwrite != Overwrite::Never;
        let beside = &job.beside;
        let is_database = beside.is_database
            || !beside.is_empty() && self.target.is_new_database(&job.folder, job.name(), file);
        let mut name = || self.target.name_file(&job.folder, job.name(), file, may_replace);
        let named = if is_database {
            beside.tell(job.path.as_bytes(), self.report);
            self.target.replace_database(&job.folder, (job.name(), &beside.stale), name)
        } else {
            name()
        };
        match &named {
            Ok(()) => {
                add(&self.report.counts.files, 1);
                self.links.set(job.link_group, &job.folder, job.name(), file.inode());
            }
            Err(_) => self.links.forget(job.link_group),
        }
        named
    }

    fn tell(&self, job: &FileJob, check: DatabaseCheck) {
        match check {
            DatabaseCheck::Sound => {}
            DatabaseCheck::Broken(found) => {
                let what = format!("restored as it was stored, but SQLite finds: {found}");
                let error = TargetError::Entry(what);
                self.report.refused(job.path.as_bytes(), self.target.location(), error);
            }
            DatabaseCheck::Unknown(why) => {
                let path = String::from_utf8_lossy(job.path.as_bytes());
                self.report.note(&format!("{path}: restored, but SQLite cannot check it: {why}"));
            }
        }
    }

    fn link(&self, link: &LinkJob) -> Result<(), TargetError> {
        let (beside, name) = (&link.beside, link.path.name());
        let is_database = beside.is_database
            || !beside.is_empty()
                && self.links.get(link.group, self.target)?.is_some_and(|first| {
                    self.target.begins_as_database(&first.folder, &first.name)
                });
        let link_it = || self.link_only(link);
        if !is_database {
            return link_it();
        }
        beside.tell(link.path.as_bytes(), self.report);
        self.target.replace_database(&link.folder, (name, &beside.stale), link_it)
    }

    fn link_only(&self, link: &LinkJob) -> Result<(), TargetError> {
        let first = self.links.get(link.group, self.target)?;
        let Some((first, inode)) = first.and_then(|first| first.inode.map(|inode| (first, inode)))
        else {
            let what = "the file it is another name of was not restored".to_owned();
            return Err(TargetError::Entry(what));
        };
        let (name, path) = (link.path.name(), link.path.as_bytes());
        let may_replace = self.overwrite != Overwrite::Never;
        let original = Original { folder: &first.folder, name: &first.name, inode };
        if !self.target.hard_link(original, &link.folder, name, may_replace)? {
            let to = (&link.folder, name);
            let hidden = link.is_hidden;
            let copy =
                self.target.copy_file(original, to, path, &link.metadata, hidden, may_replace)?;
            // Further names lead to the copy: the first file may have as many as it can.
            self.links.set(link.group, &link.folder, name, copy);
        }
        add(&self.report.counts.links, 1);
        self.report.entry(Action::Restored, path, 0);
        Ok(())
    }
}
