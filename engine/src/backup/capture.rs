//! Captures one source: starts its threads and assembles what they hand over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::assemble::{Assembler, Captured, stream_kind};
use super::merge::{self, Batch, Outlet, ParentEntries};
use super::parent::Parent;
use super::read::{self, Extra, Message, Output, Piece, Reading};
use super::{BackupOptions, StreamSource};
use crate::chunk::Cutter;
use crate::error::{Error, Kind, Result, SourceError};
use crate::manifest::Entries;
use crate::model::{Entry, EntryPath, NodeRef, Owner, Time, Xattrs};
use crate::observe::{Action, Observer, Progress};
use crate::repo::{ChunkReader, ChunkWriter, Known, Repository};
use crate::source::tree::{TreeOptions, Walk};

/// Batches that may wait for the assembler; each holds at most a part's bytes.
const BATCH_QUEUE_COUNT: usize = 4;

/// What a capture works with.
#[derive(Clone, Copy)]
pub(super) struct Context<'r> {
    pub repo: &'r Repository,
    pub known: Known<'r>,
    pub reader: &'r ChunkReader<'r>,
    pub observer: &'r dyn Observer,
    pub racy_window_ns: i64,
}

impl<'r> Context<'r> {
    pub(super) fn new(
        repo: &'r Repository,
        known: Known<'r>,
        reader: &'r ChunkReader<'r>,
        options: &BackupOptions,
        observer: &'r dyn Observer,
    ) -> Self {
        Self { repo, known, reader, observer, racy_window_ns: options.racy_window_ns }
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
        expected: Progress,
    ) -> Assembler<'a, 'r> {
        Assembler::new(writer, self.observer, self.repo.keyring().page_cut_key(), expected)
    }
}

/// Captures files and directories.
pub(super) fn tree<'r>(
    context: Context<'r>,
    writer: &mut ChunkWriter<'r>,
    options: &TreeOptions,
    parent: Option<&Parent>,
) -> Result<std::result::Result<Captured, SourceError>> {
    let mut options = options.clone();
    options.skip.extend(context.repo.own_folders().iter().cloned());
    let walk = match Walk::start(&options) {
        Ok(walk) => walk,
        Err(problem) => return Ok(Err(problem)),
    };
    let reading = Reading {
        keyring: context.repo.keyring(),
        tree: context.cutter("tree")?,
        media: context.cutter("media")?,
        clock: context.repo.clock(),
        racy_window_ns: context.racy_window_ns,
    };
    let get = |node: &NodeRef| context.reader.node(node);
    let parent_entries = parent.map(|parent| open_parent(parent, &get, context));
    let expected = Progress {
        bytes_total: parent.map_or(0, |parent| parent.bytes),
        files_total: parent.map_or(0, |parent| parent.files),
        ..Progress::default()
    };
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let (batches, batch_queue) = bounded::<(Batch, Sender<Message>)>(1);
        let (ordered, ordered_queue) = bounded::<Receiver<Message>>(BATCH_QUEUE_COUNT);
        for _ in 0..reader_count() {
            let (reading, batch_queue) = (&reading, batch_queue.clone());
            scope.spawn(move || read::run(reading, &batch_queue));
        }
        drop(batch_queue);
        let (observer, stopped) = (context.observer, &stopped);
        scope.spawn(move || {
            let outlet = Outlet { readers: batches, ordered, stopped };
            merge::run(walk, parent_entries, &outlet, observer);
        });
        let outcome = context.assembler(writer, expected).run(&ordered_queue);
        // After a failure readers wait to be heard: a queue keeps what waits in it, here their
        // receivers, until its sender is gone too.
        stopped.store(true, Ordering::Relaxed);
        ordered_queue.into_iter().for_each(drop);
        outcome.map(Ok)
    })
}

fn open_parent<'p>(
    parent: &Parent,
    get: &'p (dyn Fn(&NodeRef) -> Result<Arc<Vec<u8>>> + Send + Sync),
    context: Context<'p>,
) -> ParentEntries<'p> {
    let entries = Entries::all(&parent.root, get);
    ParentEntries { entries, known: context.known, reader: context.reader }
}

/// Threads that read, cut and name.
fn reader_count() -> usize {
    thread::available_parallelism().map_or(2, usize::from).min(16)
}

/// Captures a stream as a manifest of one file.
pub(super) fn stream<'r>(
    context: Context<'r>,
    writer: &mut ChunkWriter<'r>,
    source: StreamSource,
) -> Result<std::result::Result<Captured, SourceError>> {
    let StreamSource { name, mut reader } = source;
    let trimmed = name.trim_matches('/').as_bytes().to_vec();
    let Ok(path) = EntryPath::new(trimmed) else {
        let what = "is not a file name: give a relative path without `.` or `..`";
        return Ok(Err(SourceError::new(name, what)));
    };
    let cutter = context.cutter("dump")?;
    let keyring = context.repo.keyring();
    let now_ns = context.repo.clock().now_ns();
    let (messages, message_queue) = bounded(1);
    let (ordered, ordered_queue) = bounded(1);
    let sent = ordered.send(message_queue);
    debug_assert!(sent.is_ok(), "the queue is new");
    drop(ordered);
    let failed = std::sync::OnceLock::new();
    let captured = thread::scope(|scope| {
        let (failed, cutter) = (&failed, &cutter);
        scope.spawn(move || {
            let mut read = |buffer: &mut [u8]| reader.read(buffer);
            let last = match read::stream(keyring, |_| cutter, &mut read, &messages) {
                Err(error) => Some(Message::Failed(error)),
                Ok(Err(error)) => {
                    let _ = failed.set(format!("cannot be read: {error}"));
                    None
                }
                Ok(Ok(read)) if read.stored == 0 => {
                    let _ = failed.set("is empty: did the command before it fail?".to_owned());
                    None
                }
                Ok(Ok(read)) => Some(Message::Entries {
                    piece: Piece::default(),
                    outputs: vec![stream_output(path, read.stored, now_ns)],
                }),
            };
            // A closed queue means that the run has ended already.
            let _ = last.into_iter().chain([Message::End]).try_for_each(|it| messages.send(it));
        });
        context.assembler(writer, Progress::default()).run(&ordered_queue)
    });
    // The repository's error, or a wish to stop, comes before what became of the stream.
    let captured = captured?;
    match failed.into_inner() {
        Some(what) => Ok(Err(SourceError::new(name, what))),
        None => Ok(Ok(captured)),
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
        link_group: 0,
        xattrs: Xattrs::default(),
    };
    let (action, extra) = (Action::New, Extra::default());
    Output::File { entry: Box::new(entry), action, extra, chunks: 0, large: true }
}
