//! From entries to batches: makes directories and special files at once, plans the rest.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::mpsc::SyncSender;

use super::batch::{Batch, BatchFile, FileJob, LinkJob, Step};
use super::compare::Comparison;
use super::content::Planned;
use super::links::Links;
use super::origin::Origin;
use super::report::{Report, add};
use super::selection::{Selection, Verdict};
use super::{Overwrite, RestoreOptions};
use crate::error::{Error, Kind};
use crate::model::{Entry, EntryKind, Xattr};
use crate::observe::Action;
use crate::target::{
    Existing, FileFacts, Folder, Metadata, Special, Target, TargetError, is_database,
};

/// Bytes an entry takes besides its path and attributes, roughly.
const ENTRY_LEN: usize = 64;

/// Plans one restore; sends batches as they fill.
pub(super) struct Planner<'a, 'o> {
    pub(super) origin: &'a Origin<'o>,
    pub(super) options: &'a RestoreOptions,
    pub(super) target: &'a Target,
    pub(super) report: &'a Report<'a>,
    pub(super) links: &'a Links,
    pub(super) selection: Selection<'a>,
    pub(super) batch: Batch,
    send: SyncSender<Batch>,
    /// The directories the current entry is in, outermost first.
    stack: Vec<Open>,
    /// Databases that stay as they are, since somebody uses them: paths of the snapshot.
    pub(super) used: HashSet<Vec<u8>>,
}

/// A directory whose contents are being planned.
struct Open {
    /// Below the target.
    path: Vec<u8>,
    /// Made when something in it is wanted.
    folder: Option<Arc<Folder>>,
    metadata: Option<Metadata>,
    /// Its own entry is wanted, not only something in it.
    is_wanted: bool,
}

/// The restore cannot go on; the report knows why.
pub(super) struct Stopped;

impl<'a, 'o> Planner<'a, 'o> {
    pub(super) fn new(
        origin: &'a Origin<'o>,
        options: &'a RestoreOptions,
        target: &'a Target,
        report: &'a Report<'a>,
        links: &'a Links,
        selection: Selection<'a>,
        send: SyncSender<Batch>,
    ) -> Self {
        let batch = Batch::new(0);
        let (stack, used) = (Vec::new(), HashSet::new());
        Self { origin, options, target, report, links, selection, batch, send, stack, used }
    }

    /// Plans everything. The reason for an early end is in the report.
    pub(super) fn run(mut self) {
        let _ = self.plan_all();
    }

    fn plan_all(&mut self) -> std::result::Result<(), Stopped> {
        for entry in (self.origin.entries)(&self.options.folder) {
            if self.report.is_stopped() {
                return Err(Stopped);
            }
            match entry {
                Ok(entry) => self.plan_entry(entry)?,
                Err(error) => self.report.damaged(&self.options.folder, error),
            }
            if self.batch.is_full() {
                self.flush()?;
            }
        }
        self.leave_until(b"");
        self.flush()
    }

    fn plan_entry(&mut self, mut entry: Entry) -> std::result::Result<(), Stopped> {
        let verdict = self.selection.judge(&entry);
        match verdict {
            Verdict::Root => return Ok(()),
            Verdict::Lost => add(&self.report.counts.lost, 1),
            Verdict::Excluded => {
                add(&self.report.counts.excluded, 1);
                self.report.entry(Action::Excluded, entry.path.as_bytes(), 0);
            }
            Verdict::Wanted | Verdict::Passed => {
                let relative = self.selection.relative(&entry).to_vec();
                let parent = parent_of(&relative);
                self.leave_until(parent);
                self.enter_implied(parent);
                let is_wanted = verdict == Verdict::Wanted;
                if entry.is_directory() {
                    let metadata = self.metadata(&mut entry);
                    self.stack.push(Open {
                        path: relative,
                        folder: None,
                        metadata: Some(metadata),
                        is_wanted,
                    });
                    if is_wanted {
                        self.make_folders()?;
                    }
                } else if is_wanted && let Some(folder) = self.make_folders()? {
                    self.plan_object(&folder, entry)?;
                }
            }
        }
        Ok(())
    }

    /// Directories of the path that have no entry (its page is damaged).
    fn enter_implied(&mut self, parent: &[u8]) {
        let known = self.stack.last().map_or(0, |open| open.path.len());
        if parent.len() <= known {
            return;
        }
        let ends = parent.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([parent.len()]).filter(|end| *end > known) {
            let path = parent[..end].to_vec();
            self.stack.push(Open { path, folder: None, metadata: None, is_wanted: false });
        }
    }

    /// Makes the directories of the stack that are not made yet; none if one cannot be.
    fn make_folders(&mut self) -> std::result::Result<Option<Arc<Folder>>, Stopped> {
        let may_replace = self.options.overwrite != Overwrite::Never;
        let mut above = Arc::clone(self.target.root());
        for depth in 0..self.stack.len() {
            let open = &mut self.stack[depth];
            if let Some(folder) = &open.folder {
                above = Arc::clone(folder);
                continue;
            }
            let name = name_of(&open.path);
            match self.target.make_folder(&above, name, self.batch.number, may_replace) {
                Ok(folder) => {
                    let keeps = !folder.is_new() && (!open.is_wanted || !may_replace);
                    if keeps {
                        open.metadata = None;
                    }
                    add(&self.report.counts.directories, 1);
                    self.batch.text_bytes += ENTRY_LEN + open.path.len();
                    open.folder = Some(Arc::clone(&folder));
                    above = folder;
                }
                Err(error) => {
                    let path = self.full_path(&self.stack[depth].path);
                    self.refused(&path, error)?;
                    self.selection.bar_path(&path, Verdict::Lost);
                    self.stack.truncate(depth);
                    return Ok(None);
                }
            }
        }
        Ok(Some(above))
    }

    /// Leaves the directories that `parent` is not in.
    fn leave_until(&mut self, parent: &[u8]) {
        while let Some(open) = self.stack.pop_if(|open| !is_in(parent, &open.path)) {
            let Some(folder) = open.folder else { continue };
            let path = open.path;
            let publishes = folder.is_staged_in(self.batch.number) && folder.awaits_publishing();
            self.batch.steps.push(Step::Leave {
                folder: Arc::clone(&folder),
                path: path.clone(),
                metadata: open.metadata,
            });
            if publishes {
                self.batch.steps.push(Step::Publish { folder, path });
            }
        }
    }

    fn plan_object(
        &mut self,
        folder: &Arc<Folder>,
        mut entry: Entry,
    ) -> std::result::Result<(), Stopped> {
        let metadata = self.metadata(&mut entry);
        self.batch.text_bytes += ENTRY_LEN + entry.path.as_bytes().len();
        self.batch.text_bytes +=
            metadata.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum::<usize>();
        let is_further_name = entry.link_group != 0 && self.links.contains(entry.link_group);
        let is_linked = is_further_name && self.options.overwrite != Overwrite::Never;
        let existing = self.look(folder, &entry)?;
        if !is_linked && self.is_kept(folder, &entry, &metadata, &existing) {
            return Ok(());
        }
        if let Some(user) = self.user_of(folder, &entry, &existing) {
            self.used.insert(entry.path.as_bytes().to_vec());
            return self.refuse_used(&entry, &user);
        }
        if let Some(database) = self.used_by(&entry) {
            let database = String::from_utf8_lossy(database);
            let what =
                format!("belongs to {database}, which is in use: stop it first, or use --force");
            return self.refused(entry.path.as_bytes(), TargetError::Entry(what));
        }
        if is_device(&entry.kind) && !self.options.devices {
            let what = "devices were left out, as they were not asked for";
            self.target.left_out(what, entry.path.as_bytes());
            self.skipped(entry.path.as_bytes(), 0);
            return Ok(());
        }
        if is_further_name {
            let is_hidden = folder.is_staged_in(self.batch.number);
            let beside = self.beside(folder, &entry);
            let (folder, group) = (Arc::clone(folder), entry.link_group);
            let link = LinkJob { folder, path: entry.path, group, beside, metadata, is_hidden };
            self.batch.steps.push(Step::Link(link));
            return Ok(());
        }
        self.links.set(entry.link_group, folder, self.selection.name(&entry), None);
        match &entry.kind {
            EntryKind::File { .. } => self.plan_file(folder, entry, metadata, existing),
            EntryKind::Directory => Ok(()),
            EntryKind::Symlink { target } => {
                self.make(folder, &entry, Special::Symlink { target }, &metadata)
            }
            EntryKind::Fifo => self.make(folder, &entry, Special::Fifo, &metadata),
            EntryKind::Socket => self.make(folder, &entry, Special::Socket, &metadata),
            EntryKind::CharDevice { major, minor } => self.make(
                folder,
                &entry,
                Special::CharDevice { major: *major, minor: *minor },
                &metadata,
            ),
            EntryKind::BlockDevice { major, minor } => self.make(
                folder,
                &entry,
                Special::BlockDevice { major: *major, minor: *minor },
                &metadata,
            ),
        }
    }

    /// What has the name of `entry`. A name that cannot even be looked at is refused when it is
    /// written.
    fn look(
        &mut self,
        folder: &Arc<Folder>,
        entry: &Entry,
    ) -> std::result::Result<Existing, Stopped> {
        match self.target.existing(folder, self.selection.name(entry)) {
            Ok(existing) => Ok(existing),
            Err(TargetError::Entry(_)) => Ok(Existing::Nothing),
            Err(error) => self.refused(entry.path.as_bytes(), error).and(Err(Stopped)),
        }
    }

    /// Who uses the database that is to be replaced, if that matters.
    fn user_of(&self, folder: &Arc<Folder>, entry: &Entry, existing: &Existing) -> Option<String> {
        let Existing::File { handle, facts } = existing else { return None };
        let matters = !self.options.force && (entry.database || is_database(handle));
        let name = self.selection.name(entry);
        matters.then(|| self.target.user_of_database(folder, name, (handle, facts)))?
    }

    /// A database that somebody uses is not replaced; if nothing else is asked for, that ends the
    /// restore.
    fn refuse_used(&self, entry: &Entry, user: &str) -> std::result::Result<(), Stopped> {
        let what = format!("the database is in use by {user}: stop it first, or use --force");
        if self.selection.new_name(entry).is_none() {
            return self.refused(entry.path.as_bytes(), TargetError::Entry(what));
        }
        let place = self.options.place().display().to_string();
        self.report.stop(Error::new(Kind::Refused, format!("{place}: {what}")));
        Err(Stopped)
    }

    /// True if what has the name stays as it is, as the overwrite mode asks.
    fn is_kept(
        &mut self,
        folder: &Arc<Folder>,
        entry: &Entry,
        metadata: &Metadata,
        existing: &Existing,
    ) -> bool {
        match (self.options.overwrite, existing) {
            (_, Existing::Nothing) => false,
            (Overwrite::Never, _) => {
                self.skipped(entry.path.as_bytes(), entry.file_size());
                true
            }
            (Overwrite::IfChanged, Existing::File { handle, facts }) => {
                // Commits that are in a WAL alone do not show in the database's time.
                let is_same = !entry.database
                    && matches!(entry.kind, EntryKind::File { size, .. } if size == facts.size)
                    && facts.is_alone
                    && facts.mtime == entry.mtime
                    && (!is_database(handle) || self.beside(folder, entry).is_empty());
                if is_same {
                    self.mend(folder, entry, metadata, handle, facts);
                }
                is_same
            }
            _ => false,
        }
    }

    /// Keeps the content of an existing file and sets its metadata.
    fn mend(
        &mut self,
        folder: &Arc<Folder>,
        entry: &Entry,
        metadata: &Metadata,
        handle: &OwnedFd,
        facts: &FileFacts,
    ) {
        let path = entry.path.as_bytes();
        self.target.refresh(handle, path, metadata);
        self.links.set(entry.link_group, folder, self.selection.name(entry), Some(facts.inode));
        self.skipped(path, entry.file_size());
    }

    fn skipped(&self, path: &[u8], size: u64) {
        add(&self.report.counts.skipped, 1);
        self.report.entry(Action::Skipped, path, size);
    }

    fn make(
        &mut self,
        folder: &Arc<Folder>,
        entry: &Entry,
        special: Special<'_>,
        metadata: &Metadata,
    ) -> std::result::Result<(), Stopped> {
        let (name, path) = (self.selection.name(entry), entry.path.as_bytes());
        let may_replace = self.options.overwrite != Overwrite::Never;
        match self.target.make_special(folder, name, path, special, metadata, may_replace) {
            Ok(inode) => {
                self.links.set(entry.link_group, folder, name, Some(inode));
                add(&self.report.counts.others, 1);
                self.report.entry(Action::Restored, path, 0);
                Ok(())
            }
            Err(error) => {
                self.links.forget(entry.link_group);
                self.refused(path, error)
            }
        }
    }

    fn plan_file(
        &mut self,
        folder: &Arc<Folder>,
        entry: Entry,
        metadata: Metadata,
        existing: Existing,
    ) -> std::result::Result<(), Stopped> {
        let EntryKind::File { size, content, holes } = &entry.kind else { return Ok(()) };
        let mut compared = match existing {
            Existing::File { handle, facts } => Some(Comparison::new(handle, facts)),
            _ => None,
        };
        let job = Arc::new(FileJob {
            is_secret: self.origin.is_secret,
            folder: Arc::clone(folder),
            path: entry.path.clone(),
            new_name: self.selection.new_name(&entry).map(Box::from),
            metadata,
            size: *size,
            has_holes: !holes.is_empty(),
            is_database: entry.database,
            beside: self.beside(folder, &entry),
            link_group: entry.link_group,
            existing: compared.as_ref().map(|compared| compared.facts),
            is_hidden: AtomicBool::new(folder.is_staged_in(self.batch.number)),
            state: std::sync::Mutex::default(),
        });
        self.place_file(&job);
        let planned = self.plan_content(&job, content, holes, compared.as_mut())?;
        if let (Planned::Equal, Some(compared)) = (planned, &compared) {
            self.batch.files.pop();
            if entry.database || is_database(&compared.handle) {
                let path = entry.path.as_bytes();
                match self.target.remove_sidecars(folder, job.name(), &job.beside.stale) {
                    Ok(()) => job.beside.tell(path, self.report),
                    Err(error) => return self.refused(path, error),
                }
            }
            self.mend(folder, &entry, &job.metadata, &compared.handle, &compared.facts);
            return Ok(());
        }
        if let Some(file) = self.batch.files.last_mut() {
            file.is_last = true;
        }
        self.batch.steps.push(Step::Name(job));
        Ok(())
    }

    /// Puts `job` last in the batch; what is planned next belongs to it.
    pub(super) fn place_file(&mut self, job: &Arc<FileJob>) {
        let job = Arc::clone(job);
        self.batch.files.push(BatchFile { job, pieces_left: AtomicU32::new(0), is_last: false });
    }

    /// Sends the batch. Directories that are still open get their names with it.
    pub(super) fn flush(&mut self) -> std::result::Result<(), Stopped> {
        for open in &self.stack {
            if let Some(folder) = &open.folder
                && folder.is_staged_in(self.batch.number)
                && folder.awaits_publishing()
            {
                let (folder, path) = (Arc::clone(folder), open.path.clone());
                self.batch.steps.push(Step::Publish { folder, path });
            }
        }
        let next = Batch::new(self.batch.number + 1);
        let batch = std::mem::replace(&mut self.batch, next);
        // The receiver is gone only after the report has heard why.
        self.send.send(batch).map_err(|_| Stopped)
    }

    fn metadata(&mut self, entry: &mut Entry) -> Metadata {
        let xattrs = match (self.origin.attributes)(&entry.xattrs) {
            Ok(xattrs) => xattrs,
            Err(error) => {
                self.report.damaged(entry.path.as_bytes(), error.context("attributes"));
                Vec::new()
            }
        };
        let len = |xattr: &Xattr| xattr.name.len() + xattr.value.len();
        self.batch.text_bytes += xattrs.iter().map(len).sum::<usize>();
        Metadata {
            uid: entry.owner.uid,
            gid: entry.owner.gid,
            mode: entry.mode,
            mtime: entry.mtime,
            xattrs,
        }
    }

    fn refused(&self, path: &[u8], error: TargetError) -> std::result::Result<(), Stopped> {
        let is_fatal = matches!(error, TargetError::Fatal { .. });
        self.report.refused(path, self.target.location(), error);
        if is_fatal { Err(Stopped) } else { Ok(()) }
    }

    /// The path in the snapshot of a path below the target.
    fn full_path(&self, relative: &[u8]) -> Vec<u8> {
        let base = self
            .options
            .folder
            .get(..self.selection.base_len().saturating_sub(1))
            .unwrap_or_default();
        if base.is_empty() { relative.to_vec() } else { [base, b"/", relative].concat() }
    }
}

pub(super) fn is_device(kind: &EntryKind) -> bool {
    matches!(kind, EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. })
}

fn parent_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |slash| &path[..slash])
}

fn name_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

/// True if `path` is `folder` or below it.
fn is_in(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}
