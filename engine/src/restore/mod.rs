//! From a snapshot to a directory: plans batches of entries, writes, syncs and names them.
//!
//! Three stages joined by short queues: the planner makes directories and looks up chunks, the
//! writer opens frames in parallel and writes files under temporary names, the settler syncs a
//! batch and gives it its names. A stop at any point leaves no unfinished file under its name.

mod apply;
mod batch;
mod content;
mod filter;
mod links;
mod origin;
mod plan;
mod report;
mod room;
mod selection;
mod settle;
mod sources;

#[cfg(test)]
mod tests;

pub use origin::{ChunkStream, EntryStream, FramePlace, Origin, PackNumber, Place};
pub use sources::restore;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::error::{Error, Kind, Result};
use crate::observe::Observer;
use crate::target::Target;
use apply::{Bytes, Writer};
use batch::Batch;
use filter::Filter;
use links::Links;
use plan::Planner;
use report::Report;
use selection::Selection;
use settle::Settler;

/// Threads that open frames at most: more wait for the file system.
const THREAD_COUNT_MAX: usize = 8;

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Everything is written again.
    #[default]
    Always,
    /// A file of the same size and modification time keeps its content; its metadata is set.
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
    /// The first 1000 problems.
    pub problems: Vec<RestoreProblem>,
    pub problem_count: u64,
    /// Those of the problems that are damage of the repository.
    pub damaged_count: u64,
    /// Sources of secrets that the key in use may not read.
    pub sealed_sources: u64,
}

/// Restores one source of a snapshot. Problems of single entries are reported, counted, and the
/// work goes on.
///
/// # Errors
/// `NoSpace` naming the target; `Interrupted`; `Conflict` while another restore writes there;
/// `Input` for an unsound pattern; `NotFound` if the folder is not in the snapshot; `Unavailable`
/// if the store goes away. No temporary is left behind; what has its name is whole.
pub fn restore_origin(
    origin: &Origin<'_>,
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let filter = Filter::new(&options.includes, &options.excludes)?;
    let report = Report::new(observer, origin.bytes_total);
    if !options.folder.is_empty() && (origin.entries)(&options.folder).next().is_none() {
        let folder = String::from_utf8_lossy(&options.folder).escape_debug().to_string();
        let what = format!("{folder}: no such path in the snapshot");
        return Err(Error::new(Kind::NotFound, what));
    }
    let selection = Selection::new(&filter, &options.folder);
    if options.dry_run {
        plan::count(origin, options, selection, &report);
        return report.into_summary();
    }
    let target = Target::open(&options.target)?;
    room::check(origin, options, &filter, &target, &report)?;
    let links = Links::default();
    run(origin, options, &target, &report, &links, selection);
    if report.is_stopped() {
        target.clean();
    }
    for note in target.take_notes() {
        let first = String::from_utf8_lossy(&note.first).escape_debug().to_string();
        report.note(&format!("{} (first of {}: {first})", note.what, note.count));
    }
    report.into_summary()
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
    let bytes = Bytes { frame: origin.frame, prove: origin.prove, chunk: origin.chunk };
    let writer = Writer {
        bytes: &bytes,
        target,
        report,
        links,
        is_sparse: options.sparse,
        thread_count: cores.clamp(1, THREAD_COUNT_MAX),
        open_count: AtomicUsize::new(0),
    };
    let needs_sync = AtomicBool::new(false);
    let settler = Settler { target, report, links, overwrite: options.overwrite, needs_sync };
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
