//! A repository in memory, as the closures a restore needs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Kind, Result};
use crate::model::*;
use crate::restore::*;

/// Entries by path, and frames of chunks.
#[derive(Default)]
pub struct Memory {
    pub entries: BTreeMap<EntryPath, Entry>,
    frames: Vec<Vec<u8>>,
    places: HashMap<ChunkId, (u32, u32, u32)>,
    /// Frames that do not open.
    pub damaged: HashSet<u32>,
    /// Chunks that have another copy.
    pub copies: HashSet<ChunkId>,
    pub opened: AtomicU64,
    pub frame_len_max: usize,
    pub bytes_total: Option<u64>,
    /// Something could not be read when it was made.
    pub is_partial: bool,
    pub repeats: HashMap<ChunkId, u64>,
    /// What was added by [`Self::file`].
    pub files: BTreeMap<String, Vec<u8>>,
}

pub fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

pub fn entry(text: &str, kind: EntryKind) -> Entry {
    let mode = if matches!(kind, EntryKind::Directory) { 0o755 } else { 0o644 };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Entry {
        path: path(text),
        kind,
        mode,
        owner: Arc::new(Owner { uid, gid, ..Owner::default() }),
        mtime: Time { secs: 1_234_567_890, nanos: 123_456_789 },
        ctime: Time::default(),
        inode: 0,
        racy: false,
        database: false,
        link_group: 0,
        xattrs: Xattrs::default(),
    }
}

impl Memory {
    pub fn new() -> Self {
        Self { frame_len_max: 1 << 20, ..Self::default() }
    }

    /// Adds an entry and the directories above it.
    pub fn add(&mut self, entry: Entry) -> &mut Entry {
        let text = String::from_utf8(entry.path.as_bytes().to_vec()).unwrap();
        for (at, _) in text.match_indices('/') {
            self.entries
                .entry(path(&text[..at]))
                .or_insert_with(|| self::entry(&text[..at], EntryKind::Directory));
        }
        let path = entry.path.clone();
        self.entries.insert(path.clone(), entry);
        self.entries.get_mut(&path).unwrap()
    }

    pub fn directory(&mut self, path: &str) -> &mut Entry {
        self.add(entry(path, EntryKind::Directory))
    }

    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Entry {
        let target = target.as_bytes().to_vec();
        self.add(entry(path, EntryKind::Symlink { target }))
    }

    /// Adds a file whose content is cut into chunks of 64 KiB.
    pub fn file(&mut self, path: &str, bytes: &[u8]) -> &mut Entry {
        self.files.insert(path.to_owned(), bytes.to_vec());
        self.holed(path, bytes, bytes.len() as u64, Vec::new())
    }

    pub fn holed(&mut self, path: &str, bytes: &[u8], size: u64, holes: Vec<Hole>) -> &mut Entry {
        let chunks = bytes.chunks(64 << 10).map(|chunk| self.chunk(chunk)).collect();
        let content = Content::Chunks(chunks);
        self.add(entry(path, EntryKind::File { size, content, holes }))
    }

    pub fn chunk(&mut self, bytes: &[u8]) -> NodeRef {
        let id = ChunkId(*blake3::hash(bytes).as_bytes());
        if !self.places.contains_key(&id) {
            let limit = self.frame_len_max;
            if self.frames.last().is_none_or(|frame| frame.len() + bytes.len() > limit) {
                self.frames.push(Vec::new());
            }
            let number = self.frames.len() - 1;
            let frame = self.frames.last_mut().unwrap();
            self.places.insert(id, (number as u32, frame.len() as u32, bytes.len() as u32));
            frame.extend_from_slice(bytes);
        }
        NodeRef { id, class: Class::Ordinary, height: 0 }
    }

    /// The number of the frame that holds `bytes`.
    pub fn frame_of(&self, bytes: &[u8]) -> u32 {
        self.places[&ChunkId(*blake3::hash(bytes).as_bytes())].0
    }

    /// Tells that the chunk of `bytes` begins where that of `other` does.
    pub fn misplace(&mut self, bytes: &[u8], other: &[u8]) {
        let id = |bytes| ChunkId(*blake3::hash(bytes).as_bytes());
        let (number, offset, _) = self.places[&id(other)];
        self.places.insert(id(bytes), (number, offset, bytes.len() as u32));
    }

    fn place(&self, chunk: &NodeRef) -> Result<Place> {
        let (number, offset, len) = *self.places.get(&chunk.id).ok_or_else(|| lost(chunk))?;
        let plain_len = self.frames[number as usize].len() as u32;
        let (kind, codec) = (FrameKind::Full, Codec::Raw);
        let frame =
            FramePlace { position: number * 7, sealed_len: plain_len + 40, plain_len, kind, codec };
        Ok(Place { pack: PackNumber(number % 3), frame, offset, len })
    }

    fn frame(&self, place: &Place) -> Result<Arc<Vec<u8>>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let number = place.frame.position / 7;
        if self.damaged.contains(&number) {
            return Err(Error::new(Kind::Corrupt, format!("frame {number}: seal broken")));
        }
        Ok(Arc::new(self.frames[number as usize].clone()))
    }

    fn copy(&self, chunk: &NodeRef) -> Result<Vec<u8>> {
        if !self.copies.contains(&chunk.id) {
            return Err(lost(chunk));
        }
        let (number, offset, len) = self.places[&chunk.id];
        Ok(self.frames[number as usize][offset as usize..(offset + len) as usize].to_vec())
    }

    fn attributes(&self, xattrs: &Xattrs) -> Result<Vec<Xattr>> {
        match xattrs {
            Xattrs::Inline(list) => Ok(list.clone()),
            Xattrs::Stored { .. } => Err(Error::new(Kind::Corrupt, "no stored attributes here")),
        }
    }

    pub fn restore(&self, options: &RestoreOptions) -> Result<RestoreSummary> {
        self.restore_watched(options, &crate::observe::Silent)
    }

    pub fn restore_to(&self, target: &Path) -> RestoreSummary {
        let options = RestoreOptions {
            target: target.to_owned(),
            set_ids: true,
            devices: true,
            ..RestoreOptions::default()
        };
        self.restore(&options).unwrap()
    }

    pub fn restore_watched(
        &self,
        options: &RestoreOptions,
        observer: &dyn crate::observe::Observer,
    ) -> Result<RestoreSummary> {
        let entries = |folder: &[u8]| -> EntryStream<'_> {
            let folder = folder.to_vec();
            Box::new(
                self.entries
                    .values()
                    .filter(move |entry| entry.path.is_in(&folder))
                    .cloned()
                    .map(Ok),
            )
        };
        let chunks = |content: &Content| -> ChunkStream<'_> {
            let Content::Chunks(chunks) = content.clone() else { panic!("no lists here") };
            Box::new(
                chunks
                    .into_iter()
                    .map(|chunk| Ok((chunk, self.repeats.get(&chunk.id).copied().unwrap_or(1)))),
            )
        };
        let origin = Origin {
            entries: &entries,
            chunks: &chunks,
            attributes: &|xattrs| self.attributes(xattrs),
            place: &|chunk| self.place(chunk),
            frame: &|place| self.frame(place),
            prove: &prove,
            is_chunk: &|chunk, bytes| Ok(blake3::hash(bytes) == *chunk.id.as_bytes()),
            chunk: &|chunk| self.copy(chunk),
            facts: &|_| None,
            is_secret: false,
            plain_len: 8 << 20,
            bytes_total: self.bytes_total,
            entries_total: self.bytes_total.map(|_| 0),
            is_chosen: true,
            roots: vec![Vec::new()],
            is_complete: !self.is_partial,
        };
        restore_origins(&[origin], options, observer)
    }
}

fn prove(chunk: &NodeRef, place: &Place, plain: &[u8]) -> Result<()> {
    let start = place.offset as usize;
    let bytes = plain.get(start..start + place.len as usize);
    if bytes.is_some_and(|bytes| blake3::hash(bytes) == *chunk.id.as_bytes()) {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("chunk {}: not what its name says", chunk.id)))
}

fn lost(chunk: &NodeRef) -> Error {
    Error::new(Kind::NotFound, format!("chunk {}: no copy", chunk.id))
}

/// Bytes that look random and differ by `seed`.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Entropy::fixed(&seed.to_le_bytes()).fill(&mut bytes);
    bytes
}

/// Every path below `dir`, sorted.
pub fn listing(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(&folder).unwrap().map(|item| item.unwrap()) {
            found.push(item.path().strip_prefix(dir).unwrap().to_string_lossy().into_owned());
            if item.file_type().unwrap().is_dir() {
                open.push(item.path());
            }
        }
    }
    found.sort();
    found
}

/// A temporary directory in memory if there is such a place: syncing a busy disk takes seconds.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
