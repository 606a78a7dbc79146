//! Writing chunks: gather into frames, compress, seal, verify, pack, put, index.
//!
//! Three threads joined by short queues: the caller gathers, one thread compresses and seals (its
//! frames in parallel), one puts packs and index segments. The order of frames is the order of calls. Where old
//! bytes come from the cache, a fourth keeps what later runs need there.

mod cached;
mod delta;
mod dry_run;
mod framer;
mod putter;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use secret::SecretIds;

use super::bases::{CachedBases, OldBytes, OldBytesFrom, Older};
use super::tuning::FRAME_LEN;
use super::{Relied, Repository, Usable};
use crate::error::{Error, Kind, Result};
use crate::index::Index;
use crate::limits;
use crate::model::{
    Base, BuildIdHasher, Chunk, ChunkId, Class, FrameKind, PackInfo, Place, Purpose,
};

/// Frames that may wait between the caller and the sealing thread.
const FRAME_QUEUE_COUNT: usize = 2;
/// Finished packs that may wait to be put; their bytes are on disk already.
const PACK_QUEUE_COUNT: usize = 2;
/// Chunks of a frame at most: a pack holds several frames of the tiniest files.
const FRAME_CHUNK_COUNT_MAX: usize = 16_384;
/// Bases of a frame at most, well below what a pack may have.
const FRAME_BASE_COUNT_MAX: usize = 4096;
/// Plaintext target of a frame of metadata, bytes: looked into at random, so smaller than for data.
const METADATA_FRAME_LEN: usize = 1 << 20;
/// Plaintext target of a delta frame, bytes. All its bases are read for each of its chunks.
const DELTA_FRAME_LEN: usize = 512 << 10;
/// Plaintext target of a frame whose chunks may become bases, bytes. Each of them is read alone then, and
/// for each the frame is opened: 4 MiB would make a database 2 % smaller, and that four times as dear.
const BASE_FRAME_LEN: usize = 1 << 20;

/// What a run put into the store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    pub packs: u64,
    /// Plaintext bytes of new chunks of data.
    pub data_added: u64,
    /// Bytes of packs.
    pub stored: u64,
}

/// How a run writes.
#[derive(Debug, Clone, Copy)]
pub struct Writing {
    /// zstd level, −7 to 22; 0 stores data as it is, and metadata at the default level.
    pub zstd_level: i32,
    /// Takes everything and stores nothing.
    pub dry_run: bool,
    /// Stores changed chunks as differences; never at level 0.
    pub deltas: bool,
    /// Where what they are differences from is read.
    pub old_bytes: OldBytes,
}

impl Writing {
    /// As the repository was made, with old bytes from the repository: a prune has read them already.
    #[must_use]
    pub fn of(repo: &Repository) -> Self {
        let old_bytes = OldBytes { from: OldBytesFrom::Repository, ..OldBytes::default() };
        let zstd_level = repo.config().zstd_level;
        Self { zstd_level, dry_run: false, deltas: true, old_bytes }
    }

    fn has_deltas(&self) -> bool {
        self.deltas && self.zstd_level != 0
    }
}

/// What a run reads while it writes.
#[derive(Clone, Copy)]
pub struct Known<'r> {
    pub index: &'r Index,
    pub usable: &'r Usable,
    pub relied: &'r Relied,
}

impl Known<'_> {
    /// True if a usable copy of the chunk is stored; its packs are noted as relied on.
    #[must_use]
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.index.find(id).iter().any(|place| self.resolves(place))
    }

    /// Where a chunk stands best: full, and where it may be relied on, if there is such a copy.
    #[must_use]
    pub fn place(&self, id: &ChunkId) -> Option<Place> {
        let rank = |place: &Place| {
            (!self.usable.contains(place.pack), place.frame.kind != FrameKind::Full)
        };
        self.index.find(id).into_iter().min_by_key(rank)
    }

    /// Where a usable full copy of a chunk stands; its pack is noted as relied on.
    #[must_use]
    pub fn full_place(&self, id: &ChunkId) -> Option<Place> {
        let place = self.full_copy(id)?;
        self.relied.mark(place.pack);
        Some(place)
    }

    fn full_copy(&self, id: &ChunkId) -> Option<Place> {
        self.place(id)
            .filter(|place| place.frame.kind == FrameKind::Full && self.usable.contains(place.pack))
    }

    fn resolves(&self, place: &Place) -> bool {
        if !self.usable.contains(place.pack) {
            return false;
        }
        if place.frame.kind == FrameKind::Delta {
            let has_full = |base: &Base| {
                let end = u64::from(base.offset) + u64::from(base.len);
                self.full_place(&base.id).is_some_and(|place| end <= u64::from(place.len))
            };
            if !self.index.bases(place).iter().all(has_full) {
                return false;
            }
        }
        self.relied.mark(place.pack);
        true
    }
}

/// What is to be done once everything given before it is stored and indexed.
pub type Then<'r> = Box<dyn FnOnce() -> Result<()> + Send + 'r>;

enum Job<'r> {
    Frame(FrameJob),
    /// Closes what is open.
    Settle(Then<'r>),
}

/// What a chunk of data is stored for.
#[derive(Debug, Clone, Copy)]
pub enum Kept<'o> {
    /// Itself.
    Alone,
    /// Later chunks may be stored as differences from it, as it may be from what it came from, if anything.
    After(&'o Older),
}

/// Chunks of different kinds stand in different frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum JobKind {
    Alone,
    Base,
    Delta,
    /// Stored already: for the cache of old bytes alone.
    Cached,
}

/// One frame on its way to a pack.
struct FrameJob {
    class: Class,
    purpose: Purpose,
    kind: JobKind,
    plain: Vec<u8>,
    chunks: Vec<Chunk>,
    /// What it is to be the difference from; none for a full frame.
    older: Older,
}

impl FrameJob {
    fn add(&mut self, chunk: Chunk, plain: &[u8], older: &Older) {
        let number = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        self.older.add(older, number);
        self.plain.extend_from_slice(plain);
        self.chunks.push(chunk);
    }

    /// True if a chunk of `plain_len` bytes does not go in, in a frame of about `target` bytes.
    fn is_full(&self, plain_len: usize, older: &Older, target: usize) -> bool {
        self.plain.len() + plain_len > target
            || self.chunks.len() >= FRAME_CHUNK_COUNT_MAX
            || self.older.bases.len() + older.bases.len() > FRAME_BASE_COUNT_MAX
            || self.older.prefix_len() + older.prefix_len() > u64::from(limits::PREFIX_LEN_MAX)
    }
}

/// Takes new chunks in order.
pub struct ChunkWriter<'r> {
    repo: &'r Repository,
    known: Known<'r>,
    jobs: Sender<Job<'r>>,
    frames: Vec<FrameJob>,
    /// Chunks on their way into a pack.
    seen: HashSet<ChunkId, BuildIdHasher>,
    /// Packs of this run, sealed: their chunks move from memory to the disk.
    finished: Receiver<PackInfo>,
    own: Index,
    /// What was given of class S.
    secret_ids: SecretIds,
    frame_len: usize,
    added: u64,
    /// Plaintext bytes of new chunks of any kind.
    given: u64,
    stored: &'r AtomicU64,
    dry_run: bool,
    deltas: bool,
    /// None if old bytes are read from the repository.
    cached: Option<Arc<CachedBases<'r>>>,
    /// Chunks that were kept though they are stored already.
    kept: HashSet<ChunkId, BuildIdHasher>,
}

/// Runs `work` with a writer; returns when everything given to it is stored and indexed.
///
/// When `work` fails, what was given so far is still stored and indexed if possible, so that the next
/// run finds it.
///
/// # Errors
/// Of the store first, since a stopped stage makes `work` fail too; then those of `work`.
pub fn write<'r, T>(
    repo: &'r Repository,
    known: Known<'r>,
    stored: &'r AtomicU64,
    writing: Writing,
    work: impl FnOnce(&mut ChunkWriter<'r>) -> Result<T>,
) -> Result<(T, Written)> {
    let own = Index::empty(repo.cache_folder().as_deref());
    std::thread::scope(|scope| {
        let (jobs, job_queue) = bounded(FRAME_QUEUE_COUNT);
        let (outputs, output_queue) = bounded(PACK_QUEUE_COUNT);
        // Not bounded: the writer looks at it before each chunk, and must never be waited for.
        let (told, finished) = unbounded();
        let (of_framer, of_putter) = (repo.entropy().split(), repo.entropy().split());
        let cached = cached::open(repo, writing);
        let kept = cached.clone().map(|cached| cached::keep(scope, cached, repo.entropy().split()));
        let for_deltas = cached.clone();
        let framer = scope.spawn(move || {
            let zstd_level = writing.zstd_level;
            let entropy = of_framer;
            let deltas = delta::Deltas::new(repo, known, writing, for_deltas);
            framer::Framer { repo, zstd_level, entropy, outputs, told, stored, deltas, kept }
                .run(&job_queue)
        });
        let putter = scope.spawn(move || putter::run(repo, &of_putter, &output_queue));
        let mut writer = ChunkWriter {
            repo,
            known,
            jobs,
            frames: Vec::new(),
            seen: HashSet::default(),
            finished,
            own,
            secret_ids: SecretIds::default(),
            frame_len: frame_len(repo),
            added: 0,
            given: 0,
            stored,
            dry_run: writing.dry_run,
            deltas: writing.has_deltas(),
            cached,
            kept: HashSet::default(),
        };
        let outcome = work(&mut writer);
        let flushed = writer.flush();
        let data_added = writer.added;
        drop(writer);
        let framed = framer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let put = putter.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let packs = put?;
        framed?;
        let value = outcome?;
        flushed?;
        let stored = stored.load(Ordering::Relaxed);
        Ok((value, Written { packs, data_added, stored }))
    })
}

fn frame_len(repo: &Repository) -> usize {
    let len = repo.config().frame_len.clamp(*FRAME_LEN.start(), *FRAME_LEN.end());
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn base_frame_len(frame_len: usize) -> usize {
    frame_len.min(BASE_FRAME_LEN)
}

impl<'r> ChunkWriter<'r> {
    /// True if the chunk is stored already or was given to this writer.
    #[must_use]
    pub fn contains(&mut self, id: &ChunkId) -> bool {
        for pack in self.finished.try_iter() {
            for chunk in &pack.footer.chunks {
                self.seen.remove(&chunk.id);
            }
            self.own.add(&pack);
        }
        self.seen.contains(id) || self.own.contains(id, &|_| true) || self.known.contains(id)
    }

    /// Takes a chunk of data unless it is known; true if it was new.
    ///
    /// # Errors
    /// When a later stage has stopped.
    pub fn put_chunk(&mut self, class: Class, id: ChunkId, plain: &[u8]) -> Result<bool> {
        self.keep_chunk(class, id, plain, Kept::Alone)
    }

    /// Takes a chunk as [`Self::put_chunk`] does. It is stored as the difference from older ones if they can
    /// be had and that is worth it.
    ///
    /// # Errors
    /// When a later stage has stopped.
    pub fn keep_chunk(
        &mut self,
        class: Class,
        id: ChunkId,
        plain: &[u8],
        kept: Kept<'_>,
    ) -> Result<bool> {
        self.note_secret(class, Purpose::Data, id, plain);
        let kept = if class == Class::Ordinary { kept } else { Kept::Alone };
        if self.contains(&id) {
            if matches!(kept, Kept::After(_)) {
                self.keep_known(id, plain)?;
            }
            return Ok(false);
        }
        self.added = self.added.saturating_add(plain.len() as u64);
        self.gather(class, Purpose::Data, (id, plain), kept)?;
        Ok(true)
    }

    /// True if all bases of `older` are there, and are such that a frame may have them.
    fn is_had(&self, older: &Older, plain: &[u8]) -> bool {
        self.deltas
            && plain.len() <= limits::PREFIX_LEN_MAX as usize
            && (1..=u64::from(limits::PREFIX_LEN_MAX)).contains(&older.prefix_len())
            && older.bases.iter().all(|base| self.is_base(&base.id))
    }

    /// True if a full copy of the chunk may be relied on, and its bytes can be had.
    fn is_base(&self, id: &ChunkId) -> bool {
        self.cached.as_ref().is_none_or(|cached| cached.contains(id))
            && self.known.full_place(id).is_some()
    }

    /// Names a node and takes it unless it is known.
    ///
    /// # Errors
    /// When a later stage has stopped, or the class's keys are absent.
    pub fn put_node(&mut self, class: Class, node: &[u8]) -> Result<ChunkId> {
        let id = self.repo.keyring().node_id(class, node)?;
        self.note_secret(class, Purpose::Metadata, id, node);
        if !self.contains(&id) {
            self.gather(class, Purpose::Metadata, (id, node), Kept::Alone)?;
        }
        Ok(id)
    }

    /// Names a chunk of data.
    ///
    /// # Errors
    /// When the class's keys are absent.
    pub fn name_data(&self, class: Class, plain: &[u8]) -> Result<ChunkId> {
        Ok(self.repo.keyring().data_id(class, plain)?)
    }

    /// Does `then` once everything given so far is stored and indexed, on a thread of its own; an
    /// error of it ends the writing. What is given meanwhile is stored behind it.
    ///
    /// # Errors
    /// When a later stage has stopped.
    pub fn settle(&mut self, then: Then<'r>) -> Result<()> {
        self.flush()?;
        self.hand(Job::Settle(then))
    }

    /// Plaintext bytes of new chunks so far, nodes included.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Bytes put into packs so far.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    fn gather(
        &mut self,
        class: Class,
        purpose: Purpose,
        (id, plain): (ChunkId, &[u8]),
        kept: Kept<'_>,
    ) -> Result<()> {
        let Ok(len) = u32::try_from(plain.len()) else { return Err(too_long()) };
        if len == 0 || len > limits::CHUNK_LEN_MAX {
            return Err(too_long());
        }
        self.given = self.given.saturating_add(len.into());
        if self.dry_run {
            self.imagine(id);
            return Ok(());
        }
        let nothing = Older::default();
        let (kind, older) = match kept {
            Kept::Alone => (JobKind::Alone, &nothing),
            Kept::After(older) if self.is_had(older, plain) => (JobKind::Delta, older),
            Kept::After(_) => (JobKind::Base, &nothing),
        };
        let target = match (purpose, kind) {
            (Purpose::Metadata, _) => METADATA_FRAME_LEN,
            (_, JobKind::Alone) => self.frame_len,
            (_, JobKind::Base | JobKind::Cached) => base_frame_len(self.frame_len),
            (_, JobKind::Delta) => DELTA_FRAME_LEN,
        };
        self.add((class, purpose, kind), target, (Chunk { id, len }, plain), older)?;
        self.seen.insert(id);
        Ok(())
    }

    /// Adds a chunk to the frame of its kind, after the one before was sent on if it is full.
    fn add(
        &mut self,
        (class, purpose, kind): (Class, Purpose, JobKind),
        target: usize,
        (chunk, plain): (Chunk, &[u8]),
        older: &Older,
    ) -> Result<()> {
        let mut position = self.position((class, purpose, kind));
        if let Some(full) = position
            && (self.frames[full].is_full(plain.len(), older, target)
                || self.leaves_base_frame(&self.frames[full], older, target))
        {
            let job = self.frames.swap_remove(full);
            self.send(job)?;
            position = None;
        }
        let position = position.unwrap_or_else(|| {
            let plain = Vec::with_capacity(target.max(plain.len()));
            let (chunks, older) = (Vec::new(), Older::default());
            self.frames.push(FrameJob { class, purpose, kind, plain, chunks, older });
            self.frames.len() - 1
        });
        self.frames[position].add(chunk, plain, older);
        Ok(())
    }

    /// True if a difference at least half full is about to be from another full frame. Whether it is stored full again is
    /// decided for a frame: so all of an older full frame is, sooner or later, and a restore needs it no more.
    fn leaves_base_frame(&self, job: &FrameJob, older: &Older, target: usize) -> bool {
        let frame_of = |base: &Base| {
            self.known.full_place(&base.id).map(|place| (place.pack, place.frame.position))
        };
        job.plain.len() >= target / 2
            && job.older.bases.last().zip(older.bases.first()).is_some_and(|(last, first)| {
                last.id != first.id && frame_of(last) != frame_of(first)
            })
    }

    fn position(&self, wanted: (Class, Purpose, JobKind)) -> Option<usize> {
        let is_for = |frame: &FrameJob| (frame.class, frame.purpose, frame.kind) == wanted;
        self.frames.iter().position(is_for)
    }

    fn flush(&mut self) -> Result<()> {
        let mut frames = std::mem::take(&mut self.frames);
        frames.sort_by_key(|frame| (frame.purpose, frame.class, frame.kind));
        frames.into_iter().try_for_each(|job| self.send(job))
    }

    fn send(&self, mut job: FrameJob) -> Result<()> {
        if job.class == Class::S {
            secret::pad(self.repo.keyring(), &mut job)?;
        }
        self.hand(Job::Frame(job))
    }

    fn hand(&self, job: Job<'r>) -> Result<()> {
        let stopped = || Error::new(Kind::Unavailable, "the pack writer has stopped");
        self.jobs.send(job).map_err(|_| stopped())
    }
}

fn too_long() -> Error {
    let what = format!("a chunk must have 1 to {} bytes", limits::CHUNK_LEN_MAX);
    Error::new(Kind::Input, what)
}
