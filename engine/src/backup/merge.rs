//! Merges the walk of a tree with the manifest of its parent: what is unchanged is taken over, the
//! rest is handed to readers in batches.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::read::{Extra, Message, Output, PART_LEN, Piece};
use super::scan::Scan;
use crate::error::{Error, Result, SourceError};
use crate::manifest::{Entries, GetNode, Names, Start, walk_references};
use crate::model::{ChunkId, Content, Entry, EntryKind, EntryPath, NodeRef, Xattrs};
use crate::observe::{Action, Event};
use crate::repo::{ChunkReader, Known};
use crate::source::tree::{Exclusion, Found, Walk, WalkItem};

/// Entries of a batch at most.
const BATCH_COUNT: usize = 512;
/// Hard-linked files whose content is remembered; further ones are read once for each name.
pub(super) const LINK_COUNT_MAX: usize = 200_000;
/// Bytes of a file above which its changed chunks may be stored as differences.
pub(super) const OLDER_LEN_MIN: u64 = 256 << 10;

/// Work for one reader.
#[derive(Default)]
pub(super) struct Batch {
    pub items: Vec<Item>,
    /// Bytes of the files to read, as far as known.
    pub bytes: u64,
}

pub(super) struct Item {
    pub work: Work,
    pub action: Action,
}

pub(super) enum Work {
    /// Unchanged: the parent's entry.
    Keep(Entry),
    /// New or changed, without content.
    Take(Box<Found>),
    /// A file to read.
    Read(Box<ToRead>),
    /// A further name of a file that stands earlier in the manifest.
    Link(Box<Found>),
    Problem(SourceError),
    Excluded(Vec<u8>),
}

/// A file to read, and what the parent has of it.
pub(super) struct ToRead {
    pub found: Found,
    /// The content that stood there before, if it was long enough to store differences from.
    pub older: Option<Content>,
}

impl ToRead {
    fn new(found: Found, parent: Option<Entry>) -> Box<Self> {
        let older = parent.and_then(|parent| match parent.kind {
            EntryKind::File { size, content, .. } if size > OLDER_LEN_MIN => Some(content),
            _ => None,
        });
        Box::new(Self { found, older })
    }
}

/// Where batches go: to the readers, and in order to the assembler.
pub(super) struct Outlet<'s> {
    pub readers: Sender<(Batch, Sender<Message>)>,
    pub ordered: Sender<Receiver<Message>>,
    /// Set when the assembler has gone.
    pub stopped: &'s AtomicBool,
}

/// The parents' manifests, as the merge looks into them: each holds where the one before it ends.
pub(super) struct ParentEntries<'r> {
    pub entries: Entries<'r>,
    pub get: &'r GetNode<'r>,
    /// Roots of the manifests to go on with.
    pub others: VecDeque<NodeRef>,
    /// The last path, while there are others.
    pub last: Option<EntryPath>,
    /// Nothing is taken over from a parent without a look-up: what it needs may be lost since.
    pub known: Known<'r>,
    pub reader: &'r ChunkReader<'r>,
}

/// Runs until the walk ends or the assembler has gone.
pub(super) fn run(
    walk: Walk,
    parent: Option<ParentEntries<'_>>,
    outlet: &Outlet<'_>,
    scan: &Scan<'_>,
) {
    let mut merge =
        Merge { parent, next: None, links: HashSet::new(), batch: Batch::default(), outlet, scan };
    let begun = merge.advance();
    let decided = begun.and_then(|()| {
        let is_told =
            |item: &WalkItem| !matches!(item, WalkItem::Excluded { why: Exclusion::Claimed, .. });
        for item in walk.filter(is_told) {
            if outlet.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            let item = merge.decide(item)?;
            if !merge.push(item) {
                return Ok(());
            }
        }
        Ok(())
    });
    match decided {
        Ok(()) => drop(merge.flush()),
        Err(error) => merge.fail(error),
    }
}

impl<'r> ParentEntries<'r> {
    /// Compares with the first of `roots`, and where it ends with the next; none without any.
    pub(super) fn new(
        roots: impl IntoIterator<Item = NodeRef>,
        get: &'r GetNode<'r>,
        (known, reader): (Known<'r>, &'r ChunkReader<'r>),
    ) -> Option<Self> {
        let mut others: VecDeque<NodeRef> = roots.into_iter().collect();
        let entries = Entries::all(&others.pop_front()?, get);
        Some(Self { entries, get, others, last: None, known, reader })
    }

    fn next(&mut self) -> Option<Result<Entry>> {
        loop {
            match self.entries.next() {
                Some(Ok(entry)) if self.last.as_ref().is_some_and(|last| entry.path <= *last) => {}
                Some(Ok(entry)) => {
                    if !self.others.is_empty() {
                        self.last = Some(entry.path.clone());
                    }
                    return Some(Ok(entry));
                }
                Some(error) => return Some(error),
                None => {
                    let root = self.others.pop_front()?;
                    let start = self.last.as_ref().map_or(&[][..], EntryPath::as_bytes);
                    self.entries = Entries::starting_at(&root, start, self.get);
                }
            }
        }
    }
}

struct Merge<'m, 'r> {
    parent: Option<ParentEntries<'r>>,
    next: Option<Entry>,
    links: HashSet<u64>,
    batch: Batch,
    outlet: &'m Outlet<'m>,
    scan: &'m Scan<'m>,
}

impl Merge<'_, '_> {
    /// What becomes of a found entry. Only the repository can fail here.
    fn decide(&mut self, item: WalkItem) -> Result<Item> {
        let found = match item {
            WalkItem::Found(found) => found,
            WalkItem::Problem(problem) => {
                return Ok(Item { work: Work::Problem(problem), action: Action::Skipped });
            }
            WalkItem::Excluded { path, .. } => {
                return Ok(Item { work: Work::Excluded(path), action: Action::Excluded });
            }
        };
        let parent = self.parent_of(&found.entry)?;
        let action = match &parent {
            None => Action::New,
            Some(parent) if !is_unchanged(&found.entry, parent) => Action::Changed,
            Some(parent) if !self.resolves(parent)? => Action::Changed,
            Some(_) => Action::Unmodified,
        };
        if action != Action::Unmodified {
            self.scan.look_at_name(&found.entry);
        }
        let group = found.entry.link_group;
        let work = match (action, parent) {
            (Action::Unmodified, Some(mut parent)) => {
                parent.link_group = group;
                Work::Keep(parent)
            }
            _ if !matches!(found.entry.kind, EntryKind::File { .. }) => Work::Take(Box::new(found)),
            _ if group != 0 && self.links.contains(&group) => Work::Link(Box::new(found)),
            (_, parent) => {
                if group != 0 && self.links.len() < LINK_COUNT_MAX {
                    self.links.insert(group);
                }
                Work::Read(ToRead::new(found, parent))
            }
        };
        Ok(Item { work, action })
    }

    /// The parent's entry of the same path, if it has one.
    fn parent_of(&mut self, entry: &Entry) -> Result<Option<Entry>> {
        while self.next.as_ref().is_some_and(|next| next.path < entry.path) {
            self.advance()?;
        }
        if self.next.as_ref().is_some_and(|next| next.path == entry.path) {
            let found = self.next.take();
            self.advance()?;
            return Ok(found);
        }
        Ok(None)
    }

    fn advance(&mut self) -> Result<()> {
        self.next = None;
        while let Some(parent) = &mut self.parent {
            match parent.next() {
                Some(Ok(entry)) => {
                    self.next = Some(entry);
                    break;
                }
                None => break,
                // A damaged node costs its own entries, which are read again.
                Some(Err(error)) if error.kind().is_damage() => {
                    let what = format!("the parent snapshot is damaged: {error}");
                    self.scan.observer().event(Event::Finding(&what));
                }
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// True if everything the parent's entry needs is still stored.
    fn resolves(&self, entry: &Entry) -> Result<bool> {
        let Some(ParentEntries { known, reader, .. }) = &self.parent else {
            return Ok(true);
        };
        if let Xattrs::Stored { chunks, .. } = &entry.xattrs
            && !chunks.iter().all(|chunk| known.contains(&chunk.id))
        {
            return Ok(false);
        }
        match &entry.kind {
            EntryKind::File { content, .. } => content_resolves(content, known, reader),
            _ => Ok(true),
        }
    }

    /// Adds an item; false when the assembler has gone.
    fn push(&mut self, item: Item) -> bool {
        let len = match &item.work {
            Work::Read(file) => file.found.entry.file_size(),
            _ => 0,
        };
        // A large file is the last of its batch, since its parts are handed on before the entries.
        let large = len > PART_LEN as u64;
        let over = self.batch.bytes.saturating_add(len) > PART_LEN as u64;
        if (large || over) && self.batch.bytes > 0 && !self.flush() {
            return false;
        }
        if large && !self.flush() {
            return false;
        }
        self.batch.bytes = self.batch.bytes.saturating_add(len);
        self.batch.items.push(item);
        if large || self.batch.items.len() >= BATCH_COUNT { self.flush() } else { true }
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        if batch.items.is_empty() {
            return true;
        }
        let needs_reader =
            |item: &Item| matches!(item.work, Work::Read(_) | Work::Take(_) | Work::Link(_));
        if batch.items.iter().any(needs_reader) {
            let (sender, receiver) = bounded(1);
            return self.outlet.ordered.send(receiver).is_ok()
                && self.outlet.readers.send((batch, sender)).is_ok();
        }
        let (sender, receiver) = bounded(2);
        let outputs = batch.items.into_iter().filter_map(ready).collect();
        let sent = sender.send(Message::Entries { piece: Piece::default(), outputs });
        sent.is_ok()
            && sender.send(Message::End).is_ok()
            && self.outlet.ordered.send(receiver).is_ok()
    }

    /// Hands over an error of the repository, which ends the run.
    fn fail(&mut self, error: Error) {
        if self.flush() {
            let (sender, receiver) = bounded(1);
            let sent = sender.send(Message::Failed(error));
            debug_assert!(sent.is_ok(), "the queue is new");
            // A closed queue means that the run has ended already.
            let _ = self.outlet.ordered.send(receiver);
        }
    }
}

fn ready(Item { work, action }: Item) -> Option<Output> {
    match work {
        Work::Keep(entry) => Some(Output::Ready(entry, action, Extra::default())),
        Work::Problem(problem) => Some(Output::Problem(problem)),
        Work::Excluded(path) => Some(Output::Excluded(path)),
        Work::Take(_) | Work::Read(_) | Work::Link(_) => None,
    }
}

/// Unchanged = same kind, size, mtime, ctime and inode as in the parent, and not racy there.
pub(super) fn is_unchanged(found: &Entry, parent: &Entry) -> bool {
    !parent.racy
        && std::mem::discriminant(&found.kind) == std::mem::discriminant(&parent.kind)
        && found.file_size() == parent.file_size()
        && (found.mtime, found.ctime, found.inode) == (parent.mtime, parent.ctime, parent.inode)
}

fn content_resolves(
    content: &Content,
    known: &Known<'_>,
    reader: &ChunkReader<'_>,
) -> Result<bool> {
    match content {
        Content::Chunks(chunks) => Ok(chunks.iter().all(|chunk| known.contains(&chunk.id))),
        Content::List(root) => {
            let mut whole = known.contains(&root.id);
            let get = |node: &NodeRef| reader.node(node);
            let mut seen: HashSet<ChunkId> = HashSet::new();
            let walked = walk_references(Start::Content(*root), &get, &mut |node, names| {
                whole = whole && known.contains(&node.id);
                Ok(whole && names != Names::Data && seen.insert(node.id))
            });
            match walked {
                Ok(()) => Ok(whole),
                Err(error) if error.kind().is_damage() => Ok(false),
                Err(error) => Err(error),
            }
        }
    }
}
