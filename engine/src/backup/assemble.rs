//! The one in-order stage: takes what readers hand over, stores what is new, writes the manifest.

use std::collections::{BTreeMap, HashMap};

use crossbeam_channel::Receiver;

use super::checkpoint::Checkpoints;
use super::merge::LINK_COUNT_MAX;
use super::read::{Extra, Message, Output, Piece};
use crate::error::{Error, Kind, Result, SourceError};
use crate::manifest::{ContentWriter, ManifestWriter, Root};
use crate::model::{ChunkId, Class, Content, Entry, EntryKind, Hole, NodeRef, Totals, Xattrs};
use crate::observe::{Action, Event, Observer, Progress};
use crate::repo::{ChunkWriter, Kept, Older};

/// What a source gave.
#[derive(Clone, Default)]
pub(super) struct Captured {
    pub root: Option<Root>,
    pub entries: u64,
    pub bytes: u64,
    pub directories: u64,
    pub errors: u64,
    /// The first of them.
    pub problem: Option<SourceError>,
    /// Files that changed while they were read.
    pub changed: u64,
    pub totals: Totals,
    /// What was measured of the source.
    pub facts: BTreeMap<String, String>,
    /// Of class S: the lists of all chunks of data, and of all nodes.
    pub secret_ids: (Option<NodeRef>, Option<NodeRef>),
}

pub(super) struct Assembler<'a, 'r> {
    writer: &'a mut ChunkWriter<'r>,
    observer: &'a dyn Observer,
    class: Class,
    manifest: Option<ManifestWriter>,
    large: ContentWriter,
    links: HashMap<u64, LinkedFile>,
    captured: Captured,
    progress: Progress,
    checkpoints: Option<&'r Checkpoints<'r>>,
}

/// The content of a file with several names.
struct LinkedFile {
    kind: EntryKind,
    racy: bool,
    database: bool,
}

impl<'a, 'r> Assembler<'a, 'r> {
    pub(super) fn new(
        writer: &'a mut ChunkWriter<'r>,
        observer: &'a dyn Observer,
        class: Class,
        cut_key: [u8; 32],
        expected: Progress,
    ) -> Self {
        Self {
            writer,
            observer,
            class,
            manifest: Some(ManifestWriter::new(class, cut_key)),
            large: ContentWriter::new(class),
            links: HashMap::new(),
            captured: Captured::default(),
            progress: expected,
            checkpoints: None,
        }
    }

    pub(super) fn with(self, checkpoints: Option<&'r Checkpoints<'r>>) -> Self {
        Self { checkpoints, ..self }
    }

    /// Takes messages in order until the sources end, and finishes the manifest.
    pub(super) fn run(mut self, ordered: &Receiver<Receiver<Message>>) -> Result<Captured> {
        for batch in ordered {
            let mut whole = false;
            for message in &batch {
                if let Err(interrupted) = self.check_interrupted() {
                    self.checkpoint(Checkpoints::is_worth_it)?;
                    return Err(interrupted);
                }
                whole = matches!(message, Message::End);
                self.take(message)?;
                self.checkpoint(Checkpoints::is_due)?;
            }
            if !whole {
                return Err(Error::new(Kind::Unavailable, "a reader stopped before its time"));
            }
            self.report();
        }
        self.finish()
    }

    /// Takes one entry with the chunks of its content, in order. [`Self::finish`] comes last.
    pub(super) fn take_one(
        &mut self,
        output: Output,
        bytes: &[u8],
        chunks: &[(crate::model::ChunkId, u32)],
    ) -> Result<()> {
        self.check_interrupted()?;
        self.output(output, &mut Rest { bytes, chunks, older: &[] })
    }

    /// Writes what is there by now as if it were the end, and goes on.
    fn checkpoint(&mut self, is_wanted: fn(&Checkpoints<'r>, u64) -> bool) -> Result<()> {
        let given = self.writer.given();
        let Some(checkpoints) = self.checkpoints.filter(|it| is_wanted(it, given)) else {
            return Ok(());
        };
        let writer = &mut *self.writer;
        let mut put = |class, node: Vec<u8>| writer.put_node(class, &node);
        let mut captured = self.captured.clone();
        if let Some(manifest) = self.manifest.clone().filter(|_| captured.entries > 0) {
            captured.root = Some(manifest.finish(&mut put)?);
        }
        let pending = match self.large.clone().finish(&mut put)? {
            Content::Chunks(chunks) => chunks,
            Content::List(root) => vec![root],
        };
        checkpoints.put(captured, pending, self.writer)
    }

    fn check_interrupted(&self) -> Result<()> {
        if self.observer.is_interrupted() {
            return Err(Error::new(
                Kind::Interrupted,
                "interrupted; what was stored is used next time",
            ));
        }
        Ok(())
    }

    fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Part(piece) => self.part(&piece),
            Message::Same(chunks) => self.same(&chunks),
            Message::Restart => {
                self.large = ContentWriter::new(self.class);
                Ok(())
            }
            Message::End => Ok(()),
            Message::Failed(error) => Err(error),
            Message::Entries { piece, outputs } => {
                let mut rest = Rest::of(&piece);
                outputs.into_iter().try_for_each(|output| self.output(output, &mut rest))?;
                // Parts of a large file that failed in the end must not go into the next one.
                self.large = ContentWriter::new(self.class);
                Ok(())
            }
        }
    }

    fn part(&mut self, piece: &Piece) -> Result<()> {
        let mut rest = Rest::of(piece);
        let mut content = std::mem::replace(&mut self.large, ContentWriter::new(self.class));
        self.store(&mut rest, piece.chunks.len(), &mut content)?;
        self.large = content;
        self.progress.bytes_done += piece.bytes.len() as u64;
        self.report();
        Ok(())
    }

    /// Adds chunks that are stored already.
    fn same(&mut self, chunks: &[(ChunkId, u32)]) -> Result<()> {
        for (id, len) in chunks {
            if !self.writer.contains(id) {
                let what = format!("chunk {id} was taken away meanwhile; run it again");
                return Err(Error::new(Kind::Unavailable, what));
            }
            let node = NodeRef { id: *id, class: self.class, height: 0 };
            let writer = &mut *self.writer;
            let mut put = |class, node: Vec<u8>| writer.put_node(class, &node);
            self.large.push(node, u64::from(*len), &mut put)?;
            self.progress.bytes_done += u64::from(*len);
        }
        self.report();
        Ok(())
    }

    fn output(&mut self, output: Output, rest: &mut Rest<'_>) -> Result<()> {
        match output {
            Output::Ready(entry, action, extra) => self.push(entry, action, extra),
            Output::Problem(problem) => {
                self.problem(&problem);
                Ok(())
            }
            Output::Excluded(path) => {
                if self.observer.wants_entries() {
                    let action = Action::Excluded;
                    self.observer.event(Event::Entry { action, path: &path, bytes: 0 });
                }
                Ok(())
            }
            Output::File { mut entry, action, extra, chunks, large } => {
                let content = if large {
                    std::mem::replace(&mut self.large, ContentWriter::new(self.class))
                } else {
                    let mut content = ContentWriter::new(self.class);
                    self.store(rest, chunks, &mut content)?;
                    content
                };
                let content =
                    content.finish(&mut |class, node| self.writer.put_node(class, &node))?;
                set_content(&mut entry, content);
                self.remember_link(&entry);
                if !large {
                    self.progress.bytes_done += entry.file_size();
                }
                self.push(*entry, action, extra)
            }
            Output::Link(mut entry, action, extra) => {
                let Some(known) = self.links.get(&entry.link_group) else {
                    let what = "could not be read under its first name";
                    self.problem(&SourceError::new(absolute(&entry), what));
                    return Ok(());
                };
                entry.kind = known.kind.clone();
                entry.racy |= known.racy;
                entry.database = known.database;
                self.push(*entry, action, extra)
            }
        }
    }

    /// Stores the next `count` chunks of `rest` and adds them to `content`.
    fn store(
        &mut self,
        rest: &mut Rest<'_>,
        count: usize,
        content: &mut ContentWriter,
    ) -> Result<()> {
        for _ in 0..count {
            let Some(((id, len), chunks)) = rest.chunks.split_first() else { break };
            let Some((bytes, others)) = rest.bytes.split_at_checked(*len as usize) else { break };
            let kept = match rest.older.split_off_first() {
                Some(Some(older)) => Kept::After(older),
                _ => Kept::Alone,
            };
            (rest.chunks, rest.bytes) = (chunks, others);
            self.writer.keep_chunk(self.class, *id, bytes, kept)?;
            let node = NodeRef { id: *id, class: self.class, height: 0 };
            let writer = &mut *self.writer;
            content
                .push(node, u64::from(*len), &mut |class, node| writer.put_node(class, &node))?;
        }
        Ok(())
    }

    fn push(&mut self, mut entry: Entry, action: Action, extra: Extra) -> Result<()> {
        if let Some(list) = extra.xattrs {
            self.store_xattrs(&mut entry, &list)?;
        }
        if extra.without_xattrs {
            self.problem(&SourceError::new(
                absolute(&entry),
                "more than 1 MiB of attributes: left out",
            ));
        }
        if extra.changed {
            self.captured.changed += 1;
            let path = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
            let what =
                format!("/{path}: changed while it was read; it will be read again next time");
            self.observer.event(Event::Note(&what));
        }
        if !self.list(&entry)? {
            return Ok(());
        }
        self.count(&entry, action);
        if self.observer.wants_entries() {
            let (path, bytes) = (absolute(&entry), entry.file_size());
            self.observer.event(Event::Entry { action, path: &path, bytes });
        }
        Ok(())
    }

    /// Puts an entry into the manifest; false if the format cannot hold it, which is told.
    fn list(&mut self, entry: &Entry) -> Result<bool> {
        let Some(manifest) = &mut self.manifest else { return Ok(false) };
        let writer = &mut *self.writer;
        // An error of the repository ends the run, whatever its kind.
        let mut failed = false;
        let listed = manifest.push(entry, &mut |class, node| {
            let put = writer.put_node(class, &node);
            failed = put.is_err();
            put
        });
        match listed {
            Err(error) if !failed && error.kind() == Kind::Input => {
                let what = format!("cannot be stored: {error}");
                self.problem(&SourceError::new(absolute(entry), what));
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    fn store_xattrs(&mut self, entry: &mut Entry, list: &[u8]) -> Result<()> {
        let id = self.writer.name_data(self.class, list)?;
        self.writer.put_chunk(self.class, id, list)?;
        let chunks = vec![NodeRef { id, class: self.class, height: 0 }];
        entry.xattrs = Xattrs::Stored { len: list.len() as u64, chunks };
        Ok(())
    }

    fn count(&mut self, entry: &Entry, action: Action) {
        let captured = &mut self.captured;
        captured.entries += 1;
        captured.bytes += entry.file_size();
        captured.directories += u64::from(entry.is_directory());
        if let EntryKind::File { .. } = entry.kind {
            self.progress.files_done += 1;
            match action {
                Action::New => captured.totals.files_new += 1,
                Action::Changed => captured.totals.files_changed += 1,
                _ => {
                    captured.totals.files_unmodified += 1;
                    self.progress.bytes_done += entry.file_size();
                }
            }
        }
    }

    fn remember_link(&mut self, entry: &Entry) {
        // The merge, which goes before in the same order, counts on no more.
        if entry.link_group != 0 && self.links.len() < LINK_COUNT_MAX {
            let linked =
                LinkedFile { kind: entry.kind.clone(), racy: entry.racy, database: entry.database };
            self.links.insert(entry.link_group, linked);
        }
    }

    fn problem(&mut self, problem: &SourceError) {
        self.captured.errors += 1;
        self.captured.problem.get_or_insert_with(|| problem.clone());
        self.progress.errors += 1;
        self.observer.event(Event::SourceProblem(problem));
    }

    fn report(&mut self) {
        self.progress.bytes_written = self.writer.stored();
        self.observer.event(Event::Progress(self.progress));
    }

    /// Writes what is open of the manifest.
    pub(super) fn finish(mut self) -> Result<Captured> {
        let writer = &mut *self.writer;
        if let Some(manifest) = self.manifest.take() {
            let root = manifest.finish(&mut |class, node| writer.put_node(class, &node))?;
            self.captured.root = Some(root);
        }
        Ok(self.captured)
    }
}

/// What is left of a piece.
struct Rest<'p> {
    bytes: &'p [u8],
    chunks: &'p [(crate::model::ChunkId, u32)],
    /// As those of a piece.
    older: &'p [Option<Older>],
}

impl<'p> Rest<'p> {
    fn of(piece: &'p Piece) -> Self {
        Self { bytes: &piece.bytes, chunks: &piece.chunks, older: &piece.older }
    }
}

fn set_content(entry: &mut Entry, stored: Content) {
    if let EntryKind::File { content, .. } = &mut entry.kind {
        *content = stored;
    }
}

/// The path as the operating system knows it.
fn absolute(entry: &Entry) -> Vec<u8> {
    let mut path = vec![b'/'];
    path.extend_from_slice(entry.path.as_bytes());
    path
}

/// A file entry for a stream.
pub(super) fn stream_kind(size: u64) -> EntryKind {
    EntryKind::File { size, content: Content::Chunks(Vec::new()), holes: Vec::<Hole>::new() }
}
