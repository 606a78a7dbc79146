//! Snapshots as trees to walk and read: what a mount shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::file::OpenFile;
use super::frames::Frames;
use super::listing::children;
use super::searchable_root;
use crate::error::Result;
use crate::manifest::{Entries, find};
use crate::model::{Entry, NodeRef, Snapshot, Source, Xattr};
use crate::repo::ChunkReader;

/// Entries of listings kept for look-ups by name, about 500 bytes each.
const LISTED_COUNT_MAX: usize = 100_000;
/// Chunks waiting to be opened ahead: more than a reader can be ahead of.
const AHEAD_COUNT_MAX: usize = 1024;
/// How often a thread that opens ahead looks whether it is still wanted.
const AHEAD_WAIT: Duration = Duration::from_millis(200);

/// An entry, and which source of its snapshot it is of: link groups are of one source.
#[derive(Debug, Clone)]
pub struct Listed {
    pub entry: Arc<Entry>,
    pub source: usize,
}

/// The entries of a folder by name.
pub type Listing = Arc<BTreeMap<Vec<u8>, Listed>>;

/// Snapshots by number, each with the entries of all its sources as one tree; where several sources have a
/// name, the first wins. Callable from several threads.
pub struct Tree<'r> {
    reader: &'r ChunkReader<'r>,
    frames: Frames<'r>,
    snapshots: Vec<Mounted>,
    listings: Mutex<Listings>,
    send: Sender<NodeRef>,
    ahead: Receiver<NodeRef>,
}

struct Mounted {
    snapshot: Snapshot,
    /// Manifests of the sources that can be read.
    roots: Vec<NodeRef>,
    /// Names of each link group of each source; counted when the first is asked for.
    link_counts: Mutex<Option<Arc<LinkCounts>>>,
}

type LinkCounts = HashMap<(usize, u64), u32>;

#[derive(Default)]
struct Listings {
    /// Newest last.
    kept: Vec<((usize, Vec<u8>), Listing)>,
}

impl<'r> Tree<'r> {
    /// Shows `snapshots`, of secrets only `with_secrets`, which needs a key that may read them; keeps up
    /// to `frame_cache_len` bytes of opened frames.
    #[must_use]
    pub fn new(
        reader: &'r ChunkReader<'r>,
        snapshots: Vec<Snapshot>,
        frame_cache_len: usize,
        with_secrets: bool,
    ) -> Self {
        let mounted = |snapshot: Snapshot| {
            let sources = snapshot.sources.iter();
            let shown =
                |source: &Source| if with_secrets { source.root } else { searchable_root(source) };
            let roots = sources.filter_map(shown).collect();
            Mounted { snapshot, roots, link_counts: Mutex::default() }
        };
        let (send, ahead) = bounded(AHEAD_COUNT_MAX);
        Self {
            reader,
            frames: Frames::new(reader, frame_cache_len),
            snapshots: snapshots.into_iter().map(mounted).collect(),
            listings: Mutex::default(),
            send,
            ahead,
        }
    }

    /// The snapshots, by number.
    pub fn snapshots(&self) -> impl ExactSizeIterator<Item = &Snapshot> {
        self.snapshots.iter().map(|mounted| &mounted.snapshot)
    }

    /// The entry at `path` in snapshot `number`.
    ///
    /// # Errors
    /// When a node on the way is damaged.
    pub fn entry(&self, number: usize, path: &[u8]) -> Result<Option<Listed>> {
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => path.split_at(slash),
            None => (&[][..], path),
        };
        if let Some(listing) = lock(&self.listings).get(number, folder) {
            return Ok(listing.get(name.strip_prefix(b"/").unwrap_or(name)).cloned());
        }
        let get = |node: &NodeRef| self.reader.node(node);
        for (source, root) in self.roots(number).iter().enumerate() {
            if let Some(entry) = find(root, path, &get)? {
                return Ok(Some(Listed { entry: Arc::new(entry), source }));
            }
        }
        Ok(None)
    }

    /// What is in the folder `path` of snapshot `number`; the empty path is its top.
    ///
    /// # Errors
    /// When a node that may list a part of it is damaged: a part would look like the whole.
    pub fn list(&self, number: usize, path: &[u8]) -> Result<Listing> {
        if let Some(listing) = lock(&self.listings).get(number, path) {
            return Ok(listing);
        }
        let get = |node: &NodeRef| self.reader.node(node);
        let mut listing = BTreeMap::new();
        for (source, root) in self.roots(number).iter().enumerate() {
            children(root, path, &get, &mut |entry| {
                let name = entry.path.name().to_vec();
                listing.entry(name).or_insert_with(|| Listed { entry: Arc::new(entry), source });
            })?;
        }
        let listing = Arc::new(listing);
        lock(&self.listings).insert(number, path, &listing);
        Ok(listing)
    }

    /// How many names the file has in its snapshot. The first question about a file with several reads
    /// the whole manifest.
    ///
    /// # Errors
    /// When a node of the manifest is damaged.
    pub fn link_count(&self, number: usize, listed: &Listed) -> Result<u32> {
        let group = listed.entry.link_group;
        let Some(mounted) = self.snapshots.get(number).filter(|_| group != 0) else {
            return Ok(1);
        };
        let mut counts = lock(&mounted.link_counts);
        let counts = match &*counts {
            Some(counts) => Arc::clone(counts),
            None => Arc::clone(counts.insert(Arc::new(self.count_links(&mounted.roots)?))),
        };
        Ok(counts.get(&(listed.source, group)).copied().unwrap_or(1))
    }

    fn count_links(&self, roots: &[NodeRef]) -> Result<LinkCounts> {
        let get = |node: &NodeRef| self.reader.node(node);
        let mut counts = LinkCounts::new();
        for (source, root) in roots.iter().enumerate() {
            for entry in Entries::all(root, &get) {
                let group = entry?.link_group;
                if group != 0 {
                    let count = counts.entry((source, group)).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
        Ok(counts)
    }

    /// The extended attributes of an entry.
    ///
    /// # Errors
    /// When a stored list is damaged.
    pub fn attributes(&self, entry: &Entry) -> Result<Vec<Xattr>> {
        self.reader.attributes(&entry.xattrs)
    }

    /// Reads up to `len` bytes of a file from `offset` on: fewer only at its end.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` naming what is damaged; no bytes are given then.
    pub fn read(&self, file: &OpenFile, offset: u64, len: usize) -> Result<Vec<u8>> {
        // A full queue is no loss: the read itself opens what it needs.
        file.read(&self.frames, offset, len, &mut |chunk| {
            let _ = self.send.try_send(chunk);
        })
    }

    /// Opens what readers will need next, until `is_done`. For threads of their own, as many as there
    /// are processors.
    pub fn open_ahead(&self, is_done: &dyn Fn() -> bool) {
        while !is_done() {
            match self.ahead.recv_timeout(AHEAD_WAIT) {
                // Damage is told by the read that needs the chunk.
                Ok(chunk) => drop(self.frames.chunk(&chunk)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn roots(&self, number: usize) -> &[NodeRef] {
        self.snapshots.get(number).map_or(&[], |mounted| &mounted.roots)
    }
}

impl Listings {
    fn get(&mut self, number: usize, path: &[u8]) -> Option<Listing> {
        let is_it = |known: &(usize, Vec<u8>)| known.0 == number && known.1 == path;
        let at = self.kept.iter().rposition(|(key, _)| is_it(key))?;
        let found = self.kept.remove(at);
        let listing = Arc::clone(&found.1);
        self.kept.push(found);
        Some(listing)
    }

    fn insert(&mut self, number: usize, path: &[u8], listing: &Listing) {
        self.kept.push(((number, path.to_vec()), Arc::clone(listing)));
        let mut count: usize = self.kept.iter().map(|(_, listing)| listing.len() + 1).sum();
        while count > LISTED_COUNT_MAX && self.kept.len() > 1 {
            count -= self.kept.remove(0).1.len() + 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
