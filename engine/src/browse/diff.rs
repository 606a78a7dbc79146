//! What differs between two snapshots, or parts of them.

use std::cmp::Ordering;

use super::file::same_bytes;
use super::{searchable_root, stop_if_asked, tell_damage};
use crate::error::Result;
use crate::manifest::{Ahead, Cursor};
use crate::model::{Entry, EntryKind, EntryPath, NodeRef, Snapshot, Source, compare_paths};
use crate::observe::Observer;
use crate::repo::ChunkReader;

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Added,
    Removed,
    /// Bytes of a file, target of a link, number of a device.
    Content,
    /// Mode, owner, time or attributes, and nothing else.
    Metadata,
    /// What it is, as in a file that became a folder.
    Type,
}

/// One difference.
#[derive(Debug)]
pub struct Change<'e> {
    pub mark: Mark,
    /// The entry of the second side; of the first if it was removed.
    pub entry: &'e Entry,
}

/// One side of a comparison: a snapshot, or what is in one folder of it.
#[derive(Debug, Clone, Copy)]
pub struct Side<'s> {
    pub snapshot: &'s Snapshot,
    /// Without slashes at its ends; empty for everything.
    pub folder: &'s [u8],
}

/// Entries by kind, and the bytes of the files among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub files: u64,
    pub directories: u64,
    pub others: u64,
    /// Sum of the sizes of the files.
    pub bytes: u64,
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffSummary {
    pub added: Counts,
    pub removed: Counts,
    /// With another content or type; their bytes are those of the second side.
    pub changed: Counts,
    /// Only counted when asked for.
    pub metadata: Counts,
    /// Nodes and files that could not be read: what they hold is not compared.
    pub damaged: u64,
    /// False for a side that does not have the folder or file asked for.
    pub found: [bool; 2],
}

/// Compares two sides, source by source of the same name, by paths below their folders. Parts that both
/// share are not read. Damage is told to `observer` and counted.
///
/// # Errors
/// Those of `each`; `Unavailable` when the store does not answer; `Interrupted`.
pub fn diff(
    reader: &ChunkReader<'_>,
    [old, new]: [Side<'_>; 2],
    with_metadata: bool,
    observer: &dyn Observer,
    each: &mut dyn FnMut(Change<'_>) -> Result<()>,
) -> Result<DiffSummary> {
    let mut compare =
        Compare { reader, with_metadata, observer, each, summary: DiffSummary::default() };
    let sources = [old, new].map(|side| side.snapshot.sources.as_slice());
    let mut names: Vec<&str> = Vec::new();
    for source in sources.into_iter().flatten() {
        if !names.contains(&source.name.as_str()) {
            names.push(&source.name);
        }
    }
    let get = |node: &NodeRef| reader.node(node);
    for name in names {
        let pair = sources.map(|list| list.iter().find(|source| source.name == name));
        let mut sides = [(pair[0], old), (pair[1], new)].map(|(source, side)| {
            let root = source.and_then(searchable_root);
            let cursor = root.map(|root| Cursor::new(&root, &get));
            Walker { cursor, folder: side.folder, is_torn: false }
        });
        for side in &mut sides {
            side.enter(&mut compare)?;
        }
        let profiles = pair.map(|source| source.map(|source: &Source| source.profile.as_str()));
        compare.run(sides, profiles[0] == profiles[1])?;
    }
    Ok(compare.summary)
}

/// One side on its way.
struct Walker<'w> {
    cursor: Option<Cursor<'w>>,
    folder: &'w [u8],
    /// Entries before the next one are lost: what the other side has there is not comparable.
    is_torn: bool,
}

/// What is next on a side.
enum Next<'n> {
    Node(&'n NodeRef, Option<&'n EntryPath>),
    Entry(&'n EntryPath),
}

impl Walker<'_> {
    /// Goes to the folder.
    fn enter(&mut self, compare: &mut Compare<'_>) -> Result<()> {
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        if self.folder.is_empty() {
            return Ok(());
        }
        let before = |path: &EntryPath| compare_paths(path.as_bytes(), self.folder).is_lt();
        while let Err(error) = cursor.advance(before).map(|_| ()) {
            self.is_torn = true;
            tell_damage(error, compare.observer, &mut compare.summary.damaged)?;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Next<'_>> {
        let next = match self.cursor.as_mut()?.ahead()? {
            Ahead::Node { node, first } => Next::Node(node, first),
            Ahead::Entry(entry) => Next::Entry(&entry.path),
        };
        let path = match next {
            Next::Node(_, first) => first,
            Next::Entry(path) => Some(path),
        };
        path.is_none_or(|path| path.is_in(self.folder)).then_some(next)
    }

    fn open(&mut self, compare: &mut Compare<'_>) -> Result<()> {
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        cursor.open().or_else(|error| {
            self.is_torn = true;
            tell_damage(error, compare.observer, &mut compare.summary.damaged)
        })
    }

    fn take(&mut self) -> Option<Entry> {
        self.is_torn = false;
        self.cursor.as_mut()?.take()
    }

    fn pass(&mut self) {
        self.is_torn = false;
        if let Some(cursor) = &mut self.cursor {
            cursor.pass();
        }
    }
}

/// What to do with the sides as they stand.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Both stand before the same node: what is below it is equal.
    PassBoth,
    Open(usize),
    /// Only this side has the path.
    Lone(usize),
    Pair,
}

fn step(left: Option<&Next<'_>>, right: Option<&Next<'_>>, folders: [&[u8]; 2]) -> Option<Step> {
    let order = |left: Option<&EntryPath>, right: Option<&EntryPath>| match (left, right) {
        (Some(left), Some(right)) => {
            compare_paths(below(left, folders[0]), below(right, folders[1]))
        }
        // The first path of a root is unknown: it may be anything.
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
    };
    Some(match (left?, right?) {
        (Next::Node(a, _), Next::Node(b, _)) if a == b && folders[0] == folders[1] => {
            Step::PassBoth
        }
        (Next::Node(a, first_a), Next::Node(b, first_b)) => match a.height.cmp(&b.height) {
            Ordering::Greater => Step::Open(0),
            Ordering::Less => Step::Open(1),
            Ordering::Equal => Step::Open(usize::from(order(*first_a, *first_b).is_gt())),
        },
        (Next::Entry(path), Next::Node(_, first)) => {
            if first.is_some() && order(Some(path), *first).is_lt() {
                Step::Lone(0)
            } else {
                Step::Open(1)
            }
        }
        (Next::Node(_, first), Next::Entry(path)) => {
            if first.is_some() && order(*first, Some(path)).is_gt() {
                Step::Lone(1)
            } else {
                Step::Open(0)
            }
        }
        (Next::Entry(a), Next::Entry(b)) => match order(Some(a), Some(b)) {
            Ordering::Less => Step::Lone(0),
            Ordering::Greater => Step::Lone(1),
            Ordering::Equal => Step::Pair,
        },
    })
}

/// A path relative to the folder it is in.
fn below<'p>(path: &'p EntryPath, folder: &[u8]) -> &'p [u8] {
    let rest = path.as_bytes().get(folder.len()..).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

struct Compare<'c> {
    reader: &'c ChunkReader<'c>,
    with_metadata: bool,
    observer: &'c dyn Observer,
    each: &'c mut dyn FnMut(Change<'_>) -> Result<()>,
    summary: DiffSummary,
}

impl Compare<'_> {
    fn run(&mut self, mut sides: [Walker<'_>; 2], same_cuts: bool) -> Result<()> {
        loop {
            stop_if_asked(self.observer)?;
            let folders = [sides[0].folder, sides[1].folder];
            let [left, right] = &mut sides;
            let next = [left.next(), right.next()];
            for (found, next) in self.summary.found.iter_mut().zip(&next) {
                *found |= next.is_some();
            }
            let step = match &next {
                [None, None] => return Ok(()),
                [Some(one), None] => alone(one, 0),
                [None, Some(one)] => alone(one, 1),
                [left, right] => match step(left.as_ref(), right.as_ref(), folders) {
                    Some(step) => step,
                    None => return Ok(()),
                },
            };
            match step {
                Step::PassBoth => sides.iter_mut().for_each(Walker::pass),
                Step::Open(side) => sides[side].open(self)?,
                Step::Lone(side) => {
                    let is_comparable = !sides[1 - side].is_torn;
                    if let Some(entry) = sides[side].take()
                        && is_comparable
                    {
                        let mark = if side == 0 { Mark::Removed } else { Mark::Added };
                        self.tell(mark, &entry)?;
                    }
                }
                Step::Pair => {
                    let [left, right] = &mut sides;
                    if let (Some(old), Some(new)) = (left.take(), right.take()) {
                        self.pair(&old, &new, same_cuts)?;
                    }
                }
            }
        }
    }

    fn pair(&mut self, old: &Entry, new: &Entry, same_cuts: bool) -> Result<()> {
        let same = match (&old.kind, &new.kind) {
            (EntryKind::File { .. }, EntryKind::File { .. }) => {
                match same_bytes(self.reader, old, new, same_cuts) {
                    Ok(same) => same,
                    Err(error) => {
                        return tell_damage(error, self.observer, &mut self.summary.damaged);
                    }
                }
            }
            (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => {
                return self.tell(Mark::Type, new);
            }
            (a, b) => a == b,
        };
        if !same {
            return self.tell(Mark::Content, new);
        }
        let metadata = |entry: &Entry| (entry.mode, entry.owner.clone(), entry.mtime);
        let differs = metadata(old) != metadata(new) || old.xattrs != new.xattrs;
        if self.with_metadata && differs { self.tell(Mark::Metadata, new) } else { Ok(()) }
    }

    fn tell(&mut self, mark: Mark, entry: &Entry) -> Result<()> {
        let counts = match mark {
            Mark::Added => &mut self.summary.added,
            Mark::Removed => &mut self.summary.removed,
            Mark::Content | Mark::Type => &mut self.summary.changed,
            Mark::Metadata => &mut self.summary.metadata,
        };
        match entry.kind {
            EntryKind::File { .. } => counts.files += 1,
            EntryKind::Directory => counts.directories += 1,
            _ => counts.others += 1,
        }
        counts.bytes = counts.bytes.saturating_add(entry.file_size());
        (self.each)(Change { mark, entry })
    }
}

fn alone(next: &Next<'_>, side: usize) -> Step {
    match next {
        Next::Node(..) => Step::Open(side),
        Next::Entry(_) => Step::Lone(side),
    }
}
