//! Captures one source: starts its threads and assembles what they hand over.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::assemble::{Assembler, Captured, stream_kind};
use super::checkpoint::Checkpoints;
use super::database::Databases;
use super::merge::{self, Batch, Outlet, ParentEntries};
use super::moment::Moment;
use super::parent::Parent;
use super::read::{self, Extra, Message, Output, Piece, Reading};
use super::scan::Scan;
use super::{BackupOptions, RACY_WINDOW_NS};
use crate::chunk::Cutter;
use crate::error::{Error, Kind, Result, SourceError};
use crate::manifest::{GetNode, find};
use crate::model::{Class, Content, Entry, EntryKind, EntryPath, NodeRef, Owner, Time, Xattrs};
use crate::observe::{Action, Observer, Progress};
use crate::repo::{ChunkReader, ChunkWriter, Known, OlderContent, Repository, reader_count};
use crate::source::sqlite::SqliteOptions;
use crate::source::stream::StreamSource;
use crate::source::tree::{TreeOptions, Walk};

/// A stream without a byte is no backup of anything.
const EMPTY: &str = "is empty: did the command before it fail?";
/// Batches in work besides those that wait: one is given out, one is assembled.
const BATCH_OUTSIDE_COUNT: usize = 2;

/// What a capture works with.
#[derive(Clone, Copy)]
pub(super) struct Context<'r> {
    pub repo: &'r Repository,
    pub known: Known<'r>,
    pub reader: &'r ChunkReader<'r>,
    pub observer: &'r dyn Observer,
    pub racy_window_ns: i64,
    pub sqlite: Option<&'r SqliteOptions>,
    /// Databases whose moment is fixed already.
    pub moment: Option<&'r Moment>,
    /// Looks for secrets in trees.
    pub scan: &'r Scan<'r>,
    /// What an interruption leaves for the next run; none when nothing is stored.
    pub checkpoints: Option<&'r Checkpoints<'r>>,
    /// Changed chunks are stored as differences.
    pub deltas: bool,
}

impl<'r> Context<'r> {
    pub(super) fn new(
        repo: &'r Repository,
        known: Known<'r>,
        reader: &'r ChunkReader<'r>,
        scan: &'r Scan<'r>,
    ) -> Self {
        let (observer, racy_window_ns) = (scan.observer(), RACY_WINDOW_NS);
        Self {
            repo,
            known,
            reader,
            observer,
            racy_window_ns,
            sqlite: None,
            moment: None,
            scan,
            checkpoints: None,
            deltas: false,
        }
    }

    /// The same, with what the user chose.
    pub(super) fn with(self, options: &BackupOptions, sqlite: Option<&'r SqliteOptions>) -> Self {
        let (racy_window_ns, deltas) = (options.racy_window_ns, options.deltas);
        Self { racy_window_ns, sqlite, deltas, ..self }
    }

    fn databases(&self, named: bool, parents: &[Parent]) -> Result<Option<Databases<'r>>> {
        let asked = self.sqlite.filter(|options| named || options.recognise);
        let Some(options) = asked else { return Ok(None) };
        let cutter = self.cutter("sqlite")?;
        let spool_len = self.repo.memory().spool_len(reader_count());
        let spool = (self.repo.cache_folder(), spool_len);
        let with = (self.repo.entropy(), self.observer);
        let mut databases = Databases::new(options, cutter, with, spool, named);
        let whole = parents.iter().find(|parent| parent.is_whole);
        databases.known = whole.map(|parent| parent.facts.clone()).unwrap_or_default();
        databases.known_is_content = matches!(parents, [parent] if parent.is_whole);
        databases.moment = self.moment.filter(|_| named);
        Ok(Some(databases))
    }

    fn cutter(&self, profile: &str) -> Result<Cutter> {
        let profile = self.repo.profile(profile).ok_or_else(|| {
            Error::new(Kind::Unsupported, format!("the config has no profile `{profile}`"))
        })?;
        Cutter::new(&self.repo.keyring().gear_table(), &profile)
    }

    fn assembler<'a>(
        &'a self,
        writer: &'a mut ChunkWriter<'r>,
        class: Class,
        expected: Progress,
    ) -> Assembler<'a, 'r> {
        let cut_key = self.repo.keyring().page_cut_key();
        let assembler = Assembler::new(writer, self.observer, class, cut_key, expected);
        assembler.with(self.checkpoints)
    }

    /// What readers of files share.
    pub(super) fn reading(&self, class: Class) -> Result<Reading<'r>> {
        Ok(Reading {
            keyring: self.repo.keyring(),
            class,
            databases: None,
            tree: self.cutter("tree")?,
            media: self.cutter("media")?,
            clock: self.repo.clock(),
            racy_window_ns: self.racy_window_ns,
            scan: self.scan,
            older: (self.deltas && class == Class::Ordinary).then_some((self.known, self.reader)),
        })
    }
}

/// Captures files and directories, everything of them in `class`.
pub(super) fn tree<'r>(
    context: Context<'r>,
    writer: &mut ChunkWriter<'r>,
    options: &TreeOptions,
    class: Class,
    parents: &[Parent],
) -> Result<std::result::Result<Captured, SourceError>> {
    files(context, writer, options, class, parents, context.databases(false, parents)?)
}

/// Captures one database by its path, with the directories above it.
pub(super) fn sqlite<'r>(
    context: Context<'r>,
    writer: &mut ChunkWriter<'r>,
    path: &Path,
    parents: &[Parent],
) -> Result<std::result::Result<Captured, SourceError>> {
    let Some(databases) = context.databases(true, parents)? else {
        let what = "databases cannot be read in this run";
        return Ok(Err(SourceError::new(path.as_os_str().as_bytes(), what)));
    };
    let options = TreeOptions { roots: vec![path.to_owned()], ..TreeOptions::default() };
    let captured = files(context, writer, &options, Class::Ordinary, parents, Some(databases))?;
    Ok(captured.map(|captured| match captured.totals.files_new + captured.totals.files_changed {
        // The directories above it are no recovery point.
        0 => Captured {
            errors: captured.errors.max(1),
            problem: captured.problem,
            ..Captured::default()
        },
        _ => captured,
    }))
}

fn files<'r>(
    context: Context<'r>,
    writer: &mut ChunkWriter<'r>,
    options: &TreeOptions,
    class: Class,
    parents: &[Parent],
    databases: Option<Databases<'r>>,
) -> Result<std::result::Result<Captured, SourceError>> {
    let mut options = options.clone();
    options.skip.extend(context.repo.own_folders().iter().cloned());
    let walk = match Walk::start(&options) {
        Ok(walk) => walk,
        Err(problem) => return Ok(Err(problem)),
    };
    let reading = Reading { databases: databases.as_ref(), ..context.reading(class)? };
    let get = |node: &NodeRef| context.reader.node(node);
    let roots = parents.iter().map(|parent| parent.root);
    let parent_entries = ParentEntries::new(roots, &get, (context.known, context.reader));
    let whole = parents.iter().find(|parent| parent.is_whole);
    let expected = Progress {
        bytes_total: whole.map_or(0, |parent| parent.bytes),
        files_total: whole.map_or(0, |parent| parent.files),
        ..Progress::default()
    };
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let in_work = context.repo.memory().batch_count(read::PART_LEN);
        let batches_waiting = in_work - BATCH_OUTSIDE_COUNT.min(in_work);
        let (batches, batch_queue) = bounded::<(Batch, Sender<Message>)>(1);
        let (ordered, ordered_queue) = bounded::<Receiver<Message>>(batches_waiting);
        for _ in 0..reader_count() {
            let (reading, batch_queue) = (&reading, batch_queue.clone());
            scope.spawn(move || read::run(reading, &batch_queue));
        }
        drop(batch_queue);
        let (scan, stopped) = (context.scan, &stopped);
        scope.spawn(move || {
            let outlet = Outlet { readers: batches, ordered, stopped };
            merge::run(walk, parent_entries, &outlet, scan);
        });
        let outcome = context.assembler(writer, class, expected).run(&ordered_queue);
        // After a failure readers wait to be heard: a queue keeps what waits in it, here their
        // receivers, until its sender is gone too.
        stopped.store(true, Ordering::Relaxed);
        ordered_queue.into_iter().for_each(drop);
        outcome.map(|captured| Ok(with_facts(captured, databases.as_ref())))
    })
}

fn with_facts(mut captured: Captured, databases: Option<&Databases<'_>>) -> Captured {
    captured.facts.extend(databases.map(Databases::facts).unwrap_or_default());
    captured
}

/// Captures a stream as a manifest of one file.
pub(super) fn stream<'r>(
    context: Context<'r>,
    writer: &mut ChunkWriter<'r>,
    source: &mut StreamSource,
    parents: &[Parent],
) -> Result<std::result::Result<Captured, SourceError>> {
    let path = match source.path() {
        Ok(path) => path,
        Err(problem) => return Ok(Err(problem)),
    };
    let name = source.name.clone();
    let failed = |what: String| SourceError::new(name.as_bytes(), what);
    let mut open = match source.open() {
        Ok(open) => open,
        Err(error) => return Ok(Err(failed(format!("cannot be started: {error}")))),
    };
    let cutter = context.cutter("dump")?;
    let keyring = context.repo.keyring();
    let now_ns = context.repo.clock().now_ns();
    let (messages, message_queue) = bounded(1);
    let (ordered, ordered_queue) = bounded(1);
    let sent = ordered.send(message_queue);
    debug_assert!(sent.is_ok(), "the queue is new");
    drop(ordered);
    let get = |node: &NodeRef| context.reader.node(node);
    let content = older_stream(context, parents, &path, &get);
    let older = content.as_ref().map(|content| OlderContent::new(context.known, content, &get));
    let ended: OnceLock<std::result::Result<BTreeMap<String, String>, String>> = OnceLock::new();
    let observer = context.observer;
    let stopped = AtomicBool::new(false);
    let captured = thread::scope(|scope| {
        let (ended, cutter, stopped) = (&ended, &cutter, &stopped);
        scope.spawn(move || {
            let is_stopped = || observer.is_interrupted() || stopped.load(Ordering::Relaxed);
            let mut read = |bytes: &mut Vec<u8>, len: usize| open.append(bytes, len, &is_stopped);
            let names = (keyring, Class::Ordinary);
            let last = match read::stream(names, |_| cutter, &mut read, older, &messages) {
                Err(error) => Some(Message::Failed(error)),
                Ok(read) => {
                    let size = read.as_ref().map_or(0, |read| read.stored);
                    let end = read.map_err(|error| format!("cannot be read: {error}"));
                    let end = end.and_then(|_| open.finish(&is_stopped)).and_then(|facts| {
                        if size == 0 { Err(EMPTY.to_owned()) } else { Ok(facts) }
                    });
                    let entry = end.is_ok().then(|| Message::Entries {
                        piece: Piece::default(),
                        outputs: vec![stream_output(path, size, now_ns)],
                    });
                    let _ = ended.set(end);
                    entry
                }
            };
            // A closed queue means that the run has ended already.
            let _ = last.into_iter().chain([Message::End]).try_for_each(|it| messages.send(it));
        });
        let assembler = context.assembler(writer, Class::Ordinary, Progress::default());
        let captured = assembler.run(&ordered_queue);
        // After a failure nobody wants the rest: a silent command must not keep us waiting.
        stopped.store(true, Ordering::Relaxed);
        captured
    });
    // The repository's error, or a wish to stop, comes before what became of the stream.
    let mut captured = captured?;
    match ended.into_inner() {
        Some(Err(what)) => return Ok(Err(failed(what))),
        Some(Ok(facts)) => captured.facts = facts,
        None => {}
    }
    Ok(Ok(captured))
}

/// What the stream was the last time.
fn older_stream(
    context: Context<'_>,
    parents: &[Parent],
    path: &EntryPath,
    get: &GetNode<'_>,
) -> Option<Content> {
    let root = parents.iter().find(|parent| parent.is_whole).filter(|_| context.deltas)?.root;
    // What cannot be had is not needed.
    match find(&root, path.as_bytes(), get).ok()??.kind {
        EntryKind::File { content, .. } => Some(content),
        _ => None,
    }
}

fn stream_output(path: EntryPath, size: u64, now_ns: i64) -> Output {
    let now = Time {
        secs: now_ns.div_euclid(1_000_000_000),
        nanos: u32::try_from(now_ns.rem_euclid(1_000_000_000)).unwrap_or_default(),
    };
    let entry = Entry {
        path,
        kind: stream_kind(size),
        mode: 0o600,
        owner: Arc::new(Owner::default()),
        mtime: now,
        ctime: now,
        inode: 0,
        racy: false,
        database: false,
        link_group: 0,
        xattrs: Xattrs::default(),
    };
    let (action, extra) = (Action::New, Extra::default());
    Output::File { entry: Box::new(entry), action, extra, chunks: 0, large: true }
}
