//! Readers: open files, read them, cut them, name the chunks. Several work at once.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::database::{Databases, Look};
use super::merge::{Batch, Item, OLDER_LEN_MIN, ToRead, Work};
use super::scan::Scan;
use crate::chunk::{Cutter, is_media};
use crate::crypto::Keyring;
use crate::error::{Error, Kind, SourceError};
use crate::limits;
use crate::manifest::{GetNode, encode_xattrs};
use crate::model::{ChunkId, Class, Clock, Content, Entry, EntryKind, Hole, NodeRef, Time, Xattrs};
use crate::observe::Action;
use crate::repo::{ChunkReader, Known, Older, OlderContent, cut};
use crate::source::sqlite::is_database;
use crate::source::tree::{DataReader, Found, OpenFile};

/// Bytes read before chunks are handed on.
pub(super) const PART_LEN: usize = 2 << 20;
/// Bytes looked at to tell media from other files (format-spec page 7).
const PROBE_LEN: usize = 64 << 10;
/// Bytes after which a file that was small when it was opened is taken as changed.
const SMALL_LEN_MAX: usize = 4 * PART_LEN;
/// How often a file is read again when it changes meanwhile.
const READS_MAX: u32 = 3;

/// What a reader hands to the assembler.
pub(super) enum Message {
    /// Whole entries; the chunks of their files stand end to end in `piece`.
    Entries { piece: Piece, outputs: Vec<Output> },
    /// A part of the large file that the next entries are about; its entry comes alone.
    Part(Piece),
    /// A part of it that is stored already.
    Same(Vec<(ChunkId, u32)>),
    /// The large file is read again from its start.
    Restart,
    /// The batch is whole: a reader that stops before it has lost entries.
    End,
    /// The repository's keys did not do.
    Failed(Error),
}

/// Bytes and the chunks they were cut into.
#[derive(Default)]
pub(super) struct Piece {
    pub bytes: Vec<u8>,
    pub chunks: Vec<(ChunkId, u32)>,
    /// Of chunks that later ones may be stored as differences from, what they came from themselves; fewer than
    /// chunks if the last are none of these.
    pub older: Vec<Option<Older>>,
}

impl Piece {
    /// Looks up what the chunks from number `start` on came from.
    pub(super) fn follow(&mut self, mut older: Option<&mut OlderContent<'_>>, start: usize) {
        self.older.resize_with(start, || None);
        let mut next = |(id, len): &(ChunkId, u32)| {
            Some(older.as_mut().map_or_else(Older::default, |older| older.next(id, *len)))
        };
        self.older.extend(self.chunks.iter().skip(start).map(&mut next));
    }
}

/// One handled item.
pub(super) enum Output {
    /// An entry that needs no content, or has it already.
    Ready(Entry, Action, Extra),
    /// A file with the next `chunks` of the piece, or, if large, with the parts before.
    File {
        entry: Box<Entry>,
        action: Action,
        extra: Extra,
        chunks: usize,
        large: bool,
    },
    /// A further name of a file that was handled before.
    Link(Box<Entry>, Action, Extra),
    Problem(SourceError),
    Excluded(Vec<u8>),
}

/// What comes with an entry.
#[derive(Default)]
pub(super) struct Extra {
    /// An attribute list too long for the entry.
    pub xattrs: Option<Vec<u8>>,
    /// The attributes were too long to keep.
    pub without_xattrs: bool,
    /// The file changed in every reading.
    pub changed: bool,
}

/// What all readers share.
pub(super) struct Reading<'r> {
    pub keyring: &'r Keyring,
    /// The class whose keys name the chunks.
    pub class: Class,
    /// How databases among the files are read; without it they are plain files.
    pub databases: Option<&'r Databases<'r>>,
    pub tree: Cutter,
    pub media: Cutter,
    pub clock: Clock,
    pub racy_window_ns: i64,
    pub scan: &'r Scan<'r>,
    /// Where older chunks stand; none if everything is to be stored full.
    pub older: Option<(Known<'r>, &'r ChunkReader<'r>)>,
}

/// Takes batches until there are no more.
pub(super) fn run(reading: &Reading<'_>, batches: &Receiver<(Batch, Sender<Message>)>) {
    while let Ok((batch, messages)) = batches.recv() {
        if let Err(error) = reading.batch(batch, &messages) {
            // A closed queue means that the run has ended already.
            let _ = messages.send(Message::Failed(error));
        }
    }
}

impl Reading<'_> {
    fn batch(&self, batch: Batch, messages: &Sender<Message>) -> Result<(), Error> {
        let mut hand = Hand { piece: Piece::default(), outputs: Vec::new(), messages };
        hand.piece.bytes.reserve(batch.bytes.min(PART_LEN as u64) as usize + 1);
        hand.outputs.reserve(batch.items.len());
        for item in batch.items {
            let output = self.item(item, &mut hand)?;
            let alone = matches!(output, Output::File { large: true, .. });
            hand.outputs.push(output);
            if alone {
                hand.over();
            }
        }
        hand.over();
        let _ = messages.send(Message::End);
        Ok(())
    }

    fn item(&self, Item { work, action }: Item, hand: &mut Hand<'_>) -> Result<Output, Error> {
        // Before anything is looked at: a later change must show.
        let read_ns = self.clock.now_ns();
        let output = match work {
            Work::Keep(entry) => Output::Ready(entry, action, Extra::default()),
            Work::Problem(problem) => Output::Problem(problem),
            Work::Excluded(path) => Output::Excluded(path),
            Work::Take(mut found) => match found.complete() {
                Err(problem) => Output::Problem(problem),
                Ok(()) => {
                    let (entry, extra) = self.finish(found.entry, read_ns);
                    Output::Ready(*entry, action, extra)
                }
            },
            Work::Link(mut found) => match found.complete() {
                Err(problem) => Output::Problem(problem),
                Ok(()) => {
                    let (entry, extra) = self.finish(found.entry, read_ns);
                    Output::Link(entry, action, extra)
                }
            },
            Work::Read(file) => return self.file(*file, action, hand),
        };
        Ok(output)
    }

    fn older_node(&self, node: &NodeRef) -> Result<Arc<Vec<u8>>, Error> {
        match &self.older {
            Some((_, reader)) => reader.node(node),
            None => Err(Error::new(Kind::NotFound, "nothing older is looked at")),
        }
    }

    /// Reads one file; a change while it is read makes it start again.
    fn file(&self, file: ToRead, action: Action, hand: &mut Hand<'_>) -> Result<Output, Error> {
        let ToRead { mut found, older: content } = file;
        let get = |node: &NodeRef| self.older_node(node);
        let older = || {
            let (known, _) = self.older?;
            Some(OlderContent::new(known, content.as_ref()?, &get))
        };
        let (mut bytes_start, mut chunks_start) = (hand.piece.bytes.len(), hand.piece.chunks.len());
        for round in 1..=READS_MAX {
            let read_ns = self.clock.now_ns();
            let file = match self.open(&mut found) {
                Ok(file) => file,
                Err(output) => return Ok(*output),
            };
            if self.databases.is_none() && is_database(&file.file) {
                // Read by SQLite once that is asked for, though the file be unchanged.
                found.entry.racy = true;
            }
            if let Some(databases) = self.databases {
                match databases.look(&found, &file) {
                    Look::Plain => {}
                    // Once SQLite takes it, its WAL counts too: it is looked at every time.
                    Look::Refused | Look::Empty => found.entry.racy = true,
                    Look::Sidecar => return Ok(Output::Excluded(found.absolute_path())),
                    Look::Problem(problem) => return Ok(Output::Problem(problem)),
                    Look::Database => {
                        drop(file);
                        let from = (content.as_ref(), &get as &GetNode<'_>);
                        return self.database(databases, (found, from), action, hand);
                    }
                }
            }
            // By its length now: a file of a batch of small ones may have grown since.
            let large = file.stat.size > PART_LEN as u64;
            let outcome = if large {
                hand.over();
                (bytes_start, chunks_start) = (0, 0);
                self.large(&file, older(), hand.messages)?
            } else {
                self.small(&file, older(), &mut hand.piece)?
            };
            let (stored, holes, unchanged) = match outcome.and_then(|read| {
                let again = file.stat_again()?;
                Ok((read.stored, read.holes, file.stat.is_unchanged(&again)))
            }) {
                Ok(read) => read,
                Err(error) => {
                    truncate(&mut hand.piece, bytes_start, chunks_start);
                    return Ok(Output::Problem(found.problem("cannot be read", error)));
                }
            };
            let changed = !unchanged;
            if changed && round < READS_MAX {
                truncate(&mut hand.piece, bytes_start, chunks_start);
                if large && hand.messages.send(Message::Restart).is_err() {
                    return Ok(Output::Excluded(Vec::new()));
                }
                continue;
            }
            if !large && self.class == Class::Ordinary {
                self.scan.look_at_bytes(&found.entry, &hand.piece.bytes[bytes_start..]);
            }
            let read = (Read { stored, holes }, changed, read_ns);
            let chunks = hand.piece.chunks.len() - chunks_start;
            return Ok(self.read_file(found.entry, read, (action, chunks, large)));
        }
        unreachable!("the last round returns")
    }

    fn open(&self, found: &mut Found) -> Result<OpenFile, Box<Output>> {
        let opened = found.open().and_then(|file| found.complete_from(&file).map(|()| file));
        opened.map_err(|problem| match self.databases {
            Some(databases) if databases.is_sidecar(found) => {
                Box::new(Output::Excluded(found.absolute_path()))
            }
            _ => Box::new(Output::Problem(problem)),
        })
    }

    /// A file that was read from its start to its end.
    fn read_file(
        &self,
        mut entry: Entry,
        (Read { stored, holes }, changed, read_ns): (Read, bool, i64),
        (action, chunks, large): (Action, usize, bool),
    ) -> Output {
        let size = stored + holes.iter().map(|hole| hole.len).sum::<u64>();
        entry.kind = EntryKind::File { size, content: Content::Chunks(Vec::new()), holes };
        let (mut entry, mut extra) = self.finish(entry, read_ns);
        extra.changed = changed;
        entry.racy |= changed;
        Output::File { entry, action, extra, chunks, large }
    }

    /// Stores what SQLite reads of a database.
    fn database(
        &self,
        databases: &Databases<'_>,
        (mut found, (content, get)): (Found, (Option<&Content>, &GetNode<'_>)),
        action: Action,
        hand: &mut Hand<'_>,
    ) -> Result<Output, Error> {
        hand.over();
        let sealed = content.and_then(|content| Some((self.older?.0, content, get)));
        let read = databases.read((self.keyring, self.class), &found, sealed, hand.messages)?;
        let (size, facts) = match read {
            Ok(read) => read,
            Err(problem) => return Ok(Output::Problem(problem)),
        };
        let path = found.absolute_path();
        let (content, holes) = (Content::Chunks(Vec::new()), Vec::new());
        found.entry.kind = EntryKind::File { size, content, holes };
        let (mut entry, extra) = self.finish(found.entry, self.clock.now_ns());
        // A commit may change its WAL alone: it is read every time.
        (entry.racy, entry.database) = (true, true);
        let output = Output::File { entry, action, extra, chunks: 0, large: true };
        if let Some(why) = facts.unchecked() {
            databases.note(&path, &format!("is stored, but could not be checked: {why}"));
            return Ok(output);
        }
        if facts.is_sound() {
            return Ok(output);
        }
        hand.outputs.push(output);
        let found = facts.check().unwrap_or("?");
        let what = format!("is stored as it is, but the database is damaged: {found}");
        Ok(Output::Problem(SourceError::new(path, what)))
    }

    /// Marks an entry as racy when it changed too shortly before it was read, and takes out an
    /// attribute list that is too long for it.
    pub(super) fn finish(&self, mut entry: Entry, read_ns: i64) -> (Box<Entry>, Extra) {
        let trusted = read_ns.saturating_sub(self.racy_window_ns);
        entry.racy |= nanos(entry.mtime) > trusted || nanos(entry.ctime) > trusted;
        let mut extra = Extra::default();
        if let Xattrs::Inline(list) = &entry.xattrs
            && !list.is_empty()
        {
            match encode_xattrs(list) {
                Ok(encoded) if encoded.len() <= limits::XATTRS_INLINE_LEN_MAX => {}
                Ok(encoded) => extra.xattrs = Some(encoded),
                // Longer than the format holds: the entry is kept without them, and that is reported.
                Err(_) => {
                    extra.without_xattrs = true;
                    entry.xattrs = Xattrs::default();
                }
            }
        }
        (Box::new(entry), extra)
    }

    /// Reads a small file to the end of the piece. The outer error is the repository's.
    fn small(
        &self,
        file: &OpenFile,
        mut older: Option<OlderContent<'_>>,
        piece: &mut Piece,
    ) -> Result<io::Result<Read>, Error> {
        let start = piece.bytes.len();
        let holes = match file.holes() {
            Ok(holes) => holes,
            Err(error) => return Ok(Err(error)),
        };
        let mut reader = DataReader::new(file, &holes);
        // Read in the room that its length tells, plus one byte that finds its end.
        let room = usize::try_from(file.stat.size).unwrap_or_default().min(PART_LEN) + 1;
        let mut read = |bytes: &mut Vec<u8>, len: usize| reader.append(bytes, len);
        let mut target = start + room;
        loop {
            match fill(&mut read, &mut piece.bytes, target) {
                Ok(true) => break,
                Ok(false) => target += PART_LEN,
                Err(error) => return Ok(Err(error)),
            }
            if piece.bytes.len() - start > SMALL_LEN_MAX {
                break;
            }
        }
        let holes = reader.passed().to_vec();
        let (bytes, first) = (&piece.bytes[start..], piece.chunks.len());
        let stored = bytes.len() as u64;
        let cutter = self.cutter(bytes, stored);
        cut((self.keyring, self.class), cutter, bytes, true, &mut piece.chunks)?;
        if cutter.is_delta() && stored > OLDER_LEN_MIN {
            piece.follow(older.as_mut(), first);
        }
        Ok(Ok(Read { stored, holes }))
    }

    /// Reads a large file and hands it on in parts.
    fn large(
        &self,
        file: &OpenFile,
        older: Option<OlderContent<'_>>,
        messages: &Sender<Message>,
    ) -> Result<io::Result<Read>, Error> {
        let holes = match file.holes() {
            Ok(holes) => holes,
            Err(error) => return Ok(Err(error)),
        };
        let holes_len: u64 = holes.iter().map(|hole| hole.len).sum();
        let len = file.stat.size.saturating_sub(holes_len);
        let mut reader = DataReader::new(file, &holes);
        let mut read = |bytes: &mut Vec<u8>, len: usize| reader.append(bytes, len);
        let choose = |first: &[u8]| self.cutter(first, len);
        let read = stream((self.keyring, self.class), choose, &mut read, older, messages)?;
        Ok(read.map(|read| Read { holes: reader.passed().to_vec(), ..read }))
    }

    fn cutter(&self, first: &[u8], len: u64) -> &Cutter {
        let probe = first.get(..PROBE_LEN).unwrap_or(first);
        if is_media(probe, len) { &self.media } else { &self.tree }
    }
}

/// What a reader has in hand of its batch.
struct Hand<'m> {
    piece: Piece,
    outputs: Vec<Output>,
    messages: &'m Sender<Message>,
}

impl Hand<'_> {
    /// Hands over what there is.
    fn over(&mut self) {
        if !self.outputs.is_empty() {
            let piece = std::mem::take(&mut self.piece);
            let outputs = std::mem::take(&mut self.outputs);
            // A closed queue means that the run has ended already.
            let _ = self.messages.send(Message::Entries { piece, outputs });
        }
    }
}

/// What a reading gave.
pub(super) struct Read {
    /// Bytes stored: the length without holes.
    pub stored: u64,
    /// The holes left out.
    pub holes: Vec<Hole>,
}

/// Reads `read` to its end and hands it on in parts of whole chunks.
///
/// The outer error is the repository's, the inner one the source's.
pub(super) fn stream<'c>(
    names: (&Keyring, Class),
    choose: impl FnOnce(&[u8]) -> &'c Cutter,
    read: Append<'_>,
    mut older: Option<OlderContent<'_>>,
    messages: &Sender<Message>,
) -> Result<io::Result<Read>, Error> {
    let mut choose = Some(choose);
    let mut cutter: Option<&Cutter> = None;
    let mut stored: u64 = 0;
    let mut carried: Vec<u8> = Vec::new();
    loop {
        let mut bytes = std::mem::take(&mut carried);
        // Always more than before: a chunk may be longer than a part.
        let len = bytes.len() + PART_LEN;
        bytes.reserve_exact(PART_LEN);
        let end = match fill(read, &mut bytes, len) {
            Ok(end) => end,
            Err(error) => return Ok(Err(error)),
        };
        let cutter = match (cutter, choose.take()) {
            (Some(cutter), _) => cutter,
            (None, Some(choose)) => *cutter.insert(choose(&bytes)),
            (None, None) => unreachable!("chosen in the first round"),
        };
        let mut chunks = Vec::new();
        let used = cut(names, cutter, &bytes, end, &mut chunks)?;
        stored += used as u64;
        let mut gone = false;
        if used == 0 {
            carried = bytes;
        } else {
            carried.reserve_exact(bytes.len() - used + PART_LEN);
            carried.extend_from_slice(&bytes[used..]);
            bytes.truncate(used);
            let mut piece = Piece { bytes, chunks, older: Vec::new() };
            if cutter.is_delta() {
                piece.follow(older.as_mut(), 0);
            }
            gone = messages.send(Message::Part(piece)).is_err();
        }
        if end || gone {
            return Ok(Ok(Read { stored, holes: Vec::new() }));
        }
    }
}

/// Adds what a source gives next to the buffer, best about as many bytes as asked for: how many, 0 at
/// the end.
pub(super) type Append<'a> = &'a mut dyn FnMut(&mut Vec<u8>, usize) -> io::Result<usize>;

/// Adds bytes of a source until there are at least `len`; true at its end.
fn fill(append: Append<'_>, bytes: &mut Vec<u8>, len: usize) -> io::Result<bool> {
    while bytes.len() < len {
        match append(bytes, len - bytes.len()) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn truncate(piece: &mut Piece, bytes: usize, chunks: usize) {
    piece.bytes.truncate(bytes);
    piece.chunks.truncate(chunks);
    piece.older.truncate(chunks);
}

fn nanos(time: Time) -> i64 {
    time.secs.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
}
