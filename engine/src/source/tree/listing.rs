//! Listing a directory and looking at its entries: the work that is done ahead of the consumer.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, RawDir};
use rustix::io::Errno;

use super::WalkItem;
use super::directory::Directory;
use super::exclude::{CACHE_TAG, Exclusion, Rules};
use super::found::{absolute, describe};
use super::names::Names;
use super::prefetch::Slot;
use super::roots::Waypoint;
use super::stat::Stat;
use crate::error::SourceError;
use crate::limits;

/// Entries looked at in one go. Memory of what is ahead of the consumer comes in this unit.
const BATCH_COUNT: usize = 1024;
/// Bytes of a directory that is yet to be listed, without its path, about.
const SLOT_LEN: usize = 512;
/// Bytes asked of one `getdents64`.
const BUFFER_LEN: usize = 256 << 10;

/// A directory to list.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) directory: Arc<Directory>,
    /// The roots in it or below.
    pub(super) way: Option<Arc<Waypoint>>,
    /// True if it belongs to a root; false if only what leads to roots is looked at.
    pub(super) whole: bool,
    /// The filesystem of the root it belongs to.
    pub(super) dev: u64,
}

/// A directory's names.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) visit: Visit,
    pub(super) names: Names,
}

/// One piece of work.
#[derive(Debug)]
pub(super) enum Task {
    List(Visit),
    Look { listing: Arc<Listing>, range: Range<usize> },
}

/// What came of one piece of work.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) listing: Arc<Listing>,
    /// Told before the members.
    pub(super) notes: Vec<WalkItem>,
    pub(super) members: Vec<Member>,
    /// Of a listing: the work on the names after the first members.
    pub(super) rest: Vec<Arc<Slot>>,
}

/// One name with what was seen.
#[derive(Debug)]
pub(super) struct Member {
    /// Number of the name.
    pub(super) name: usize,
    pub(super) stat: Stat,
    pub(super) fate: Fate,
}

/// What is done with a member.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is an entry without contents here.
    Leaf,
    /// It is an entry, and its contents follow.
    Enter(Arc<Slot>),
    /// It is an entry, but its contents are left out.
    Close(Exclusion),
    Exclude(Exclusion),
    /// It could not be looked at.
    Fail(Errno),
}

impl Batch {
    /// What is to be done next on behalf of this, first to last.
    pub(super) fn following(&self) -> impl DoubleEndedIterator<Item = &Arc<Slot>> {
        let entered = self.members.iter().filter_map(|member| match &member.fate {
            Fate::Enter(slot) => Some(slot),
            _ => None,
        });
        entered.chain(&self.rest)
    }

    /// The bytes held in memory until the consumer takes it, about.
    pub(super) fn held_bytes(&self) -> usize {
        let names = if self.is_first() { self.listing.names.held_bytes() } else { 0 };
        let path_len = self.listing.visit.directory.path().len();
        let members = self.members.len() * size_of::<Member>();
        names + members + self.following().count() * (SLOT_LEN + path_len)
    }

    /// Takes it out.
    pub(super) fn into_following(self) -> impl Iterator<Item = Arc<Slot>> {
        let entered = self.members.into_iter().filter_map(|member| match member.fate {
            Fate::Enter(slot) => Some(slot),
            _ => None,
        });
        entered.chain(self.rest)
    }

    fn is_first(&self) -> bool {
        self.members.first().is_none_or(|member| member.name == 0)
    }
}

/// Does tasks. One for each thread.
#[derive(Debug)]
pub(super) struct Lister {
    rules: Arc<Rules>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Lister {
    pub(super) fn new(rules: &Arc<Rules>) -> Self {
        Self { rules: Arc::clone(rules), buffer: Vec::new() }
    }

    /// Does `task`. What goes wrong stands in the result.
    pub(super) fn run(&mut self, task: Task) -> Batch {
        match task {
            Task::List(visit) => self.list(visit),
            Task::Look { listing, range } => {
                let mut notes = Vec::new();
                let members = self.look(&listing, range, &mut notes);
                Batch { listing, notes, members, rest: Vec::new() }
            }
        }
    }

    fn list(&mut self, mut visit: Visit) -> Batch {
        let mut notes = Vec::new();
        let names = match visit.directory.handle() {
            Ok(handle) => self.names(&mut visit, &handle, &mut notes),
            Err(error) => {
                notes.push(problem(&visit.directory, "cannot be opened", error));
                Names::default()
            }
        };
        let listing = Arc::new(Listing { visit, names });
        let count = listing.names.len();
        let members = self.look(&listing, 0..count.min(BATCH_COUNT), &mut notes);
        let starts = (BATCH_COUNT..count).step_by(BATCH_COUNT);
        let rest = starts.map(|start| {
            let range = start..count.min(start + BATCH_COUNT);
            Arc::new(Slot::new(Task::Look { listing: Arc::clone(&listing), range }))
        });
        let rest = rest.collect();
        Batch { listing, notes, members, rest }
    }

    /// The names to look at in a directory.
    fn names(&mut self, visit: &mut Visit, handle: &OwnedFd, notes: &mut Vec<WalkItem>) -> Names {
        if !visit.whole {
            return names_of_way(visit.way.as_deref(), None);
        }
        let names = self.read_names(visit, handle, notes);
        let Some(why) = self.rules.bars(&visit.directory, handle, |name| names.has(name)) else {
            return names;
        };
        notes.push(WalkItem::Excluded { path: absolute(visit.directory.path()), why });
        visit.whole = false;
        let tag = CString::new(CACHE_TAG).ok().filter(|_| why == Exclusion::CacheTag);
        names_of_way(visit.way.as_deref(), tag.as_deref())
    }

    fn read_names(&mut self, visit: &Visit, handle: &OwnedFd, notes: &mut Vec<WalkItem>) -> Names {
        self.buffer.resize(BUFFER_LEN, MaybeUninit::uninit());
        let mut names = Names::default();
        let mut failure = None;
        let mut entries = RawDir::new(handle, &mut self.buffer);
        while failure.is_none()
            && let Some(entry) = entries.next()
        {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) if names.push(entry.file_name()) => {}
                Ok(_) => failure = Some(Errno::FBIG),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            notes.push(problem(&visit.directory, "cannot be listed to its end", error));
        }
        names.finish();
        names
    }

    fn look(
        &self,
        listing: &Arc<Listing>,
        range: Range<usize>,
        notes: &mut Vec<WalkItem>,
    ) -> Vec<Member> {
        if range.is_empty() {
            return Vec::new();
        }
        let handle = match listing.visit.directory.handle() {
            Ok(handle) => handle,
            Err(error) => {
                notes.push(problem(&listing.visit.directory, "cannot be opened again", error));
                return Vec::new();
            }
        };
        // Looking must not mount what is not read.
        let no_mount = self.rules.one_file_system.then_some(AtFlags::NO_AUTOMOUNT);
        let flags = no_mount.unwrap_or(AtFlags::empty());
        let members = range.map(|at| {
            let name = listing.names.get(at);
            match Stat::at(&handle, name, flags) {
                Ok(stat) => Member { name: at, stat, fate: self.fate(&listing.visit, name, &stat) },
                Err(error) => Member { name: at, stat: Stat::default(), fate: Fate::Fail(error) },
            }
        });
        members.collect()
    }

    fn fate(&self, visit: &Visit, name: &CStr, stat: &Stat) -> Fate {
        let rules = &self.rules;
        if rules.is_reserved(stat) {
            return Fate::Exclude(Exclusion::Reserved);
        }
        if rules.is_claimed(&visit.directory, name.to_bytes(), stat) {
            return Fate::Exclude(Exclusion::Claimed);
        }
        if rules.is_database(&visit.directory, name.to_bytes(), stat) {
            return Fate::Exclude(Exclusion::Database);
        }
        let is_directory = stat.file_type().is_dir();
        let way = visit.way.as_deref().and_then(|way| way.child(name));
        let is_root = way.is_some_and(|way| way.is_root);
        if !is_root && stat.file_type().is_file() && rules.is_too_large(stat.size) {
            return Fate::Exclude(Exclusion::TooLarge);
        }
        let has_patterns = rules.has_patterns() && !is_root;
        if !is_directory && !has_patterns {
            return Fate::Leaf;
        }
        let path = visit.directory.join(name.to_bytes());
        // What leads to a root is an entry even where a pattern matches: the root was asked for.
        let is_excluded = has_patterns && rules.excludes(&path, is_directory);
        if is_excluded && way.is_none() {
            return Fate::Exclude(Exclusion::Pattern);
        }
        if !is_directory || path.len() > limits::PATH_LEN_MAX {
            return Fate::Leaf;
        }
        let is_other = rules.one_file_system && !is_root && stat.dev != visit.dev;
        if is_other && visit.whole && way.is_none() {
            return Fate::Close(Exclusion::OtherFilesystem);
        }
        let whole = is_root || (visit.whole && !is_excluded && !is_other);
        Fate::Enter(Arc::new(Slot::new(Task::List(Visit {
            directory: visit.directory.child(path, stat, whole),
            way: way.cloned(),
            whole,
            dev: if is_root { stat.dev } else { visit.dev },
        }))))
    }
}

/// The names that lead to roots, and `more`.
fn names_of_way(way: Option<&Waypoint>, more: Option<&CStr>) -> Names {
    let mut names = Names::default();
    let lead = way.into_iter().flat_map(Waypoint::names).map(CString::as_c_str);
    for name in lead.chain(more) {
        names.push(name);
    }
    names.finish();
    names
}

fn problem(directory: &Directory, doing: &str, error: Errno) -> WalkItem {
    WalkItem::Problem(SourceError::new(absolute(directory.path()), describe(doing, error)))
}
