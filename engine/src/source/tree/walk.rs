//! The walk as its consumer sees it.

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::vec;

use super::directory::Directory;
use super::exclude::Rules;
use super::found::{Found, absolute, describe};
use super::listing::{Batch, Fate, Listing, Member, Task, Visit};
use super::prefetch::{Prefetch, Slot};
use super::roots::Roots;
use super::{TreeOptions, WalkItem};
use crate::error::SourceError;
use crate::model::{EntryPath, Owner, PathProblem};

/// The entries of the roots and of the directories above them, in the order of the manifest,
/// with paths relative to `/`. Roots that contain each other are merged.
#[derive(Debug)]
pub struct Walk {
    prefetch: Prefetch,
    /// The directories the consumer is in.
    frames: Vec<Frame>,
    /// The contents of the directory found last.
    entering: Option<Arc<Slot>>,
    pending: VecDeque<WalkItem>,
    /// The owner seen last: mostly the next one's too.
    owner: Arc<Owner>,
    roots: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Frame {
    listing: Arc<Listing>,
    members: vec::IntoIter<Member>,
    rest: vec::IntoIter<Arc<Slot>>,
}

impl Walk {
    /// Starts the walk. A root that does not exist is a problem item, and the others are walked.
    ///
    /// # Errors
    /// If a pattern is bad, or a file of patterns or `/` cannot be read.
    pub fn start(options: &TreeOptions) -> Result<Self, SourceError> {
        let rules = Arc::new(Rules::new(options)?);
        let Roots { top: way, paths: roots, problems } = Roots::resolve(&options.roots);
        let directory = Directory::top(way.is_root)
            .map_err(|error| SourceError::new(&b"/"[..], describe("cannot be opened", error)))?;
        let visit = Visit {
            dev: directory.stat().dev,
            whole: way.is_root,
            way: Some(Arc::new(way)),
            directory: Arc::clone(&directory),
        };
        Ok(Self {
            prefetch: Prefetch::start(&rules),
            frames: Vec::new(),
            entering: Some(Arc::new(Slot::new(Task::List(visit)))),
            pending: problems.into_iter().map(WalkItem::Problem).collect(),
            owner: directory.shared().owners.get(0, 0),
            roots,
        })
    }

    /// The roots that exist: absolute raw paths, ascending, each once.
    #[must_use]
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    fn enter(&mut self, slot: &Slot) {
        // Without a result the fault was ours, and has been printed by the thread's panic.
        let Some(batch) = self.prefetch.take(slot) else { return self.tell_fault(b"/") };
        let Batch { listing, notes, members, rest } = batch;
        self.pending.extend(notes);
        let (members, rest) = (members.into_iter(), rest.into_iter());
        self.frames.push(Frame { listing, members, rest });
    }

    fn tell_fault(&mut self, path: &[u8]) {
        let what = "could not be listed: a fault of this program";
        self.pending.push_back(WalkItem::Problem(SourceError::new(path, what)));
    }

    fn item(&mut self, listing: &Listing, member: Member) -> WalkItem {
        let directory = &listing.visit.directory;
        let path = directory.join(listing.names.get(member.name).to_bytes());
        match member.fate {
            Fate::Exclude(why) => return WalkItem::Excluded { path: absolute(&path), why },
            Fate::Fail(error) => {
                let what = describe("cannot be looked at", error);
                return WalkItem::Problem(SourceError::new(absolute(&path), what));
            }
            Fate::Close(why) => {
                self.pending.push_back(WalkItem::Excluded { path: absolute(&path), why });
            }
            Fate::Enter(slot) => self.entering = Some(slot),
            Fate::Leaf => {}
        }
        let stat = &member.stat;
        if (self.owner.uid, self.owner.gid) != (stat.uid, stat.gid) {
            self.owner = directory.shared().owners.get(stat.uid, stat.gid);
        }
        let found = EntryPath::new(path)
            .map_err(|problem| {
                let path = directory.join(listing.names.get(member.name).to_bytes());
                SourceError::new(absolute(&path), unsound(problem))
            })
            .and_then(|path| Found::new(directory, path, stat, Arc::clone(&self.owner)));
        match found {
            Ok(found) => WalkItem::Found(found),
            Err(problem) => {
                // Nothing stands below what is no entry.
                self.entering = None;
                self.pending.clear();
                WalkItem::Problem(problem)
            }
        }
    }
}

impl Iterator for Walk {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Some(item);
            }
            if let Some(slot) = self.entering.take() {
                self.enter(&slot);
                continue;
            }
            let frame = self.frames.last_mut()?;
            if let Some(member) = frame.members.next() {
                let listing = Arc::clone(&frame.listing);
                return Some(self.item(&listing, member));
            }
            // The next part of a long directory takes the place of this one.
            match frame.rest.next() {
                None => drop(self.frames.pop()),
                Some(slot) => match self.prefetch.take(&slot) {
                    Some(batch) => {
                        self.pending.extend(batch.notes);
                        frame.members = batch.members.into_iter();
                    }
                    None => {
                        let path = absolute(frame.listing.visit.directory.path());
                        self.tell_fault(&path);
                    }
                },
            }
        }
    }
}

impl FusedIterator for Walk {}

fn unsound(problem: PathProblem) -> &'static str {
    match problem {
        PathProblem::TooLong => "its path is longer than 8192 bytes",
        PathProblem::BadComponent => "its name is longer than 255 bytes",
    }
}
