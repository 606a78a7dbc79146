//! From a snapshot to a directory: plans batches of entries, writes, syncs and names them.
//!
//! Three stages joined by short queues: the planner makes directories and looks up chunks, the
//! writer opens frames in parallel and writes files under temporary names, the settler syncs a
//! batch and gives it its names. A stop at any point leaves no unfinished file under its name.

mod apply;
mod batch;
mod beside;
mod compare;
mod content;
mod count;
mod databases;
mod delete;
mod filter;
mod links;
mod origin;
mod plan;
mod readback;
mod report;
mod room;
mod selection;
mod settle;
mod sources;

#[cfg(test)]
mod tests;

pub use databases::{DatabaseSearch, StoredDatabase, find_databases};
pub use origin::{ChunkStream, EntryStream, FramePlace, Origin, PackNumber, Place};
pub use sources::restore;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::error::{Error, Kind, Result};
use crate::model::EntryPath;
use crate::observe::Observer;
use crate::target::{Look, Policy, Target, refuse_kept_place};
use apply::{Bytes, Gate, Writer};
use batch::Batch;
use delete::{Deletion, Mode};
use filter::Filter;
use links::Links;
use plan::Planner;
use readback::Readback;
use report::Report;
use selection::Selection;
use settle::Settler;

/// Threads that open frames at most: more wait for the file system.
const THREAD_COUNT_MAX: usize = 8;

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Files are compared byte for byte: what is equal is kept, what differs is fetched.
    #[default]
    Always,
    /// A file of the same size and modification time is believed to be equal and not read; others
    /// are compared. Metadata is set in any case.
    IfChanged,
    /// What is there stays as it is.
    Never,
}

/// What to restore, and how.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// The directory to restore into; created if need be.
    pub target: PathBuf,
    /// The folder whose contents, or the file which, is restored: a path of the snapshot. Empty for
    /// everything, with its path below `/` recreated.
    pub folder: Vec<u8>,
    /// The name that the file `folder` gets in the target; none for its own.
    pub name: Option<Vec<u8>>,
    /// Patterns in the grammar of `.gitignore`, against paths below the target; if there are any,
    /// only what they name and what is in a directory they name.
    pub includes: Vec<String>,
    /// The same; what they name is left out.
    pub excludes: Vec<String>,
    /// Tells what would be restored, and writes nothing.
    pub dry_run: bool,
    pub overwrite: Overwrite,
    /// Aligned runs of 64 KiB of zeros become holes.
    pub sparse: bool,
    /// What stands below the restored paths and is not in the snapshot is removed at the end, as
    /// far as the patterns select it.
    pub delete: bool,
    /// What is never removed, nor is anything in it, whatever the snapshot has: the repository above
    /// all.
    pub kept: Vec<PathBuf>,
    /// Everything restored is read back and compared.
    pub verify: bool,
    /// Begins even if it does not seem to fit.
    pub no_space_check: bool,
    /// Leaves owners and groups as the system gives them.
    pub no_owner: bool,
    /// Gives files their set-user-id and set-group-id too.
    pub set_ids: bool,
    /// Replaces databases even if other processes use them.
    pub force: bool,
    /// Makes character and block devices too.
    pub devices: bool,
}

impl RestoreOptions {
    /// The target, or the one place in it that the restore is for.
    fn place(&self) -> PathBuf {
        match &self.name {
            Some(name) => self.target.join(OsStr::from_bytes(name)),
            None => self.target.clone(),
        }
    }
}

/// An entry that was not restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreProblem {
    /// In the snapshot; below the target for directories.
    pub path: Vec<u8>,
    pub what: String,
    /// The repository is damaged; else the target refused.
    pub is_damage: bool,
}

impl fmt::Display for RestoreProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", String::from_utf8_lossy(&self.path).escape_debug(), self.what)
    }
}

/// What came of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreSummary {
    pub files: u64,
    pub directories: u64,
    /// Symbolic links, pipes, sockets, devices.
    pub others: u64,
    /// Further names of files.
    pub links: u64,
    /// There already, and kept as [`Overwrite`] asks.
    pub skipped: u64,
    pub excluded: u64,
    /// Entries in directories that could not be made.
    pub lost: u64,
    /// Bytes written, or in a dry run the sum of the files' sizes.
    pub bytes: u64,
    /// Sealed bytes of content read from the repository.
    pub fetched_bytes: u64,
    /// Removed from the target, or in a dry run what would be.
    pub removed: u64,
    /// Entries read back.
    pub compared: u64,
    /// Those of them that differ from the snapshot; not among the counted problems.
    pub differing: u64,
    /// The first 1000 problems.
    pub problems: Vec<RestoreProblem>,
    pub problem_count: u64,
    /// Those of the problems that are damage of the repository.
    pub damaged_count: u64,
    /// Sources of secrets that the key in use may not read.
    pub sealed_sources: u64,
}

/// Restores the chosen ones of `origins`, which are the sources of a snapshot, one after the other.
/// To delete something, all that the snapshot has must be among them. Problems of single entries are reported,
/// counted, and the work goes on.
///
/// # Errors
/// `NoSpace` naming the target; `Interrupted`; `Conflict` while another restore writes there;
/// `Input` for an unsound pattern, or a new name that cannot be given; `NotFound` if the folder is not
/// in the snapshot; `Refused` for what must not be deleted or replaced; `Unavailable` if the store goes away. No temporary is left behind;
/// what has its name is whole.
pub fn restore_origins(
    origins: &[Origin<'_>],
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let filter = Filter::new(&options.includes, &options.excludes)?;
    let chosen = &holding(origins, options)?[..];
    refuse_unsound(origins, chosen, options)?;
    let bytes_total = chosen.iter().map(|origin| origin.bytes_total).sum();
    let report = Report::new(observer, bytes_total);
    if options.dry_run {
        for origin in chosen {
            count::count(origin, options, Selection::new(&filter, options), &report);
        }
        delete_extra(origins, options, &filter, &report, Mode::Count)?;
        return report.into_summary();
    }
    if !options.no_space_check {
        room::check(chosen, options, &filter, &report)?;
    }
    // Refused before anything is written.
    look(options)?;
    let policy = Policy { no_owner: options.no_owner, set_ids: options.set_ids };
    let target = Target::open(&options.target, policy)?;
    for origin in chosen {
        if !report.is_stopped() {
            let selection = Selection::new(&filter, options);
            run(origin, options, &target, &report, &Links::default(), selection);
        }
    }
    if report.is_stopped() {
        target.clean();
    } else {
        delete_extra(origins, options, &filter, &report, Mode::Remove)?;
        read_back(chosen, options, &filter, &report, target.is_root())?;
    }
    for note in target.take_notes() {
        let first = String::from_utf8_lossy(&note.first).escape_debug().to_string();
        report.note(&format!("{} (first of {}: {first})", note.what, note.count));
    }
    report.into_summary()
}

/// Those of the chosen `origins` that have the folder.
fn holding<'a, 'o>(
    origins: &'a [Origin<'o>],
    options: &RestoreOptions,
) -> Result<Vec<&'a Origin<'o>>> {
    let has_folder = |origin: &&Origin<'_>| {
        options.folder.is_empty() || (origin.entries)(&options.folder).next().is_some()
    };
    let chosen = origins.iter().filter(|origin| origin.is_chosen);
    let holding: Vec<_> = chosen.filter(has_folder).collect();
    if holding.is_empty() && !options.folder.is_empty() {
        let folder = String::from_utf8_lossy(&options.folder).escape_debug().to_string();
        let what = format!("{folder}: no such path in the snapshot");
        return Err(Error::new(Kind::NotFound, what));
    }
    Ok(holding)
}

/// # Errors
/// `Input` for options that contradict each other or the snapshot; `Refused` if something may be lost
/// that must not be.
fn refuse_unsound(
    origins: &[Origin<'_>],
    chosen: &[&Origin<'_>],
    options: &RestoreOptions,
) -> Result<()> {
    if options.verify && options.overwrite == Overwrite::Never {
        let what =
            "what is never overwritten need not be what the snapshot has: it cannot be verified";
        return Err(Error::new(Kind::Input, what));
    }
    if options.delete {
        delete::refuse_partial(origins)?;
    }
    if let Some(name) = &options.name {
        let is_name = EntryPath::new(&name[..]).is_ok_and(|path| path.parent().is_none());
        if !is_name || !chosen.iter().all(|origin| has_file(origin, &options.folder)) {
            let what = "a new name is for one file of the snapshot, and has no slash";
            return Err(Error::new(Kind::Input, what));
        }
        refuse_kept_place(&options.place(), &options.kept)?;
    }
    Ok(())
}

/// True if what stands at `path` is no directory. One that cannot be read is reported later.
fn has_file(origin: &Origin<'_>, path: &[u8]) -> bool {
    (origin.entries)(path).next().is_some_and(|first| {
        first.map_or(true, |entry| entry.path.as_bytes() == path && !entry.is_directory())
    })
}

/// The target as it stands, if it does; checked if something in it is to be deleted.
fn look(options: &RestoreOptions) -> Result<Option<Look>> {
    let look = Look::open(&options.target, &options.kept)?;
    if let Some(look) = &look
        && options.delete
    {
        look.refuse_system_root()?;
        look.refuse_kept(&options.target)?;
    }
    Ok(look)
}

fn delete_extra(
    origins: &[Origin<'_>],
    options: &RestoreOptions,
    filter: &Filter,
    report: &Report<'_>,
    mode: Mode,
) -> Result<()> {
    if !options.delete {
        return Ok(());
    }
    if report.is_damaged() {
        report.note("nothing is deleted, as the repository did not give everything");
        return Ok(());
    }
    let Some(look) = look(options)? else { return Ok(()) };
    Deletion { look: &look, options, filter, report, mode }.run(origins);
    Ok(())
}

fn read_back(
    origins: &[&Origin<'_>],
    options: &RestoreOptions,
    filter: &Filter,
    report: &Report<'_>,
    is_root: bool,
) -> Result<()> {
    if let (true, Some(look)) = (options.verify, look(options)?) {
        let readback = Readback { look: &look, options, filter, report, is_root };
        origins.iter().for_each(|origin| readback.run(origin));
    }
    Ok(())
}

fn run<'a>(
    origin: &'a Origin<'_>,
    options: &'a RestoreOptions,
    target: &'a Target,
    report: &'a Report<'a>,
    links: &'a Links,
    selection: Selection<'a>,
) {
    let (send_planned, planned) = sync_channel(1);
    let (send_written, written) = sync_channel(1);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let Origin { frame, prove, chunk, .. } = *origin;
    let bytes = Bytes { frame, prove, chunk };
    let thread_count = cores.clamp(1, THREAD_COUNT_MAX);
    let writer = Writer {
        bytes: &bytes,
        target,
        report,
        links,
        is_sparse: options.sparse,
        thread_count,
        plain_len: origin.plain_len,
        open_count: AtomicUsize::new(0),
        checks: Gate::of_checks(),
    };
    let needs_sync = AtomicBool::new(false);
    let overwrite = options.overwrite;
    let settler = Settler { target, report, links, overwrite, needs_sync };
    thread::scope(|scope| {
        scope.spawn(|| write_all(&writer, planned, send_written));
        scope.spawn(|| settle_all(&settler, written));
        Planner::new(origin, options, target, report, links, selection, send_planned).run();
    });
    if !report.is_stopped() {
        settler.finish();
    }
}

fn write_all(writer: &Writer<'_>, planned: Receiver<Batch>, send: SyncSender<Batch>) {
    for mut batch in planned {
        writer.write(&mut batch);
        if send.send(batch).is_err() {
            return;
        }
    }
}

fn settle_all(settler: &Settler<'_>, written: Receiver<Batch>) {
    for batch in written {
        settler.settle(batch);
    }
}
