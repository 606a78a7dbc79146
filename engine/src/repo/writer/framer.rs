//! The stage that compresses, seals and verifies frames and appends them to open packs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use rayon::Scope;

use super::delta::Deltas;
use super::{FrameJob, Job, JobKind, Then};
use crate::error::{Error, Kind, Result};
use crate::frame;
use crate::model::{Class, Entropy, MemoryBound, PackInfo, Purpose};
use crate::pack::{NewFrame, PackBuilder, SealedFrame};
use crate::repo::tuning::PACK_LEN;
use crate::repo::{Repository, Tuning};
use crate::store::Staged;

/// Target of a metadata pack, bytes.
const METADATA_PACK_LEN: u64 = 4 << 20;
/// Chunks after which a pack is closed, well below the limit of the format.
const PACK_CHUNK_COUNT: usize = 65_536;
/// Bases after which a pack is closed: those of one more frame still go in.
const PACK_BASE_COUNT: usize = 131_072;

/// What the store gets, in order.
pub(super) enum Output<'r> {
    Pack(Box<FinishedPack>),
    /// All packs before it are to be indexed first.
    Settle(Then<'r>),
}

/// A pack whose bytes are all in its staged object.
pub(super) struct FinishedPack {
    pub staged: Staged,
    pub info: PackInfo,
}

/// The stage, with where its packs go.
pub(super) struct Framer<'r> {
    pub repo: &'r Repository,
    pub zstd_level: i32,
    pub entropy: Entropy,
    pub outputs: Sender<Output<'r>>,
    /// Tells the writer which chunks are in a pack by now.
    pub told: Sender<PackInfo>,
    /// Bytes put into packs.
    pub stored: &'r AtomicU64,
    pub deltas: Deltas<'r>,
    /// Takes what the cache of old bytes is to have; none if there is none.
    pub kept: Option<Sender<NewFrame>>,
}

impl<'r> Framer<'r> {
    /// Works until the queue of frames ends; then finishes the open packs.
    pub(super) fn run(self, jobs: &Receiver<Job<'r>>) -> Result<()> {
        let framer = &self;
        thread::scope(|threads| framer.run_with(threads, jobs))
    }

    fn run_with<'scope, 'env>(
        &'scope self,
        threads: &'scope thread::Scope<'scope, 'env>,
        jobs: &Receiver<Job<'r>>,
    ) -> Result<()> {
        rayon::in_place_scope(|pool| {
            let line = Line {
                framer: self,
                threads,
                pool,
                compressing: VecDeque::new(),
                sealing: VecDeque::new(),
                open: Vec::new(),
                pack_count: 0,
                then: None,
                rooms: Vec::new(),
            };
            line.run(jobs)
        })
    }
}

/// A frame, with memory to open it in.
pub(super) struct Compressed {
    pub class: Class,
    pub purpose: Purpose,
    pub kind: JobKind,
    pub frame: NewFrame,
    pub room: Vec<u8>,
}

/// Frames in work. They go through both steps in the order of their coming, so that places in packs
/// do not depend on which thread is quicker.
struct Line<'l, 'scope, 'env, 'r> {
    framer: &'scope Framer<'r>,
    threads: &'scope thread::Scope<'scope, 'env>,
    pool: &'l Scope<'scope>,
    compressing: VecDeque<Receiver<Result<Compressed>>>,
    /// With the number of the pack they have a place in.
    sealing: VecDeque<(u64, Receiver<Result<SealedFrame>>)>,
    open: Vec<OpenPack>,
    pack_count: u64,
    /// Waits for everything in work.
    then: Option<Then<'r>>,
    /// Memory of frames that were written, for the next ones: finding and clearing it anew costs as much
    /// as copying a frame.
    rooms: Vec<Vec<u8>>,
}

struct OpenPack {
    number: u64,
    class: Class,
    purpose: Purpose,
    builder: PackBuilder,
    staged: Staged,
    target_len: u64,
    /// Frames placed whose seals are still in work.
    awaited: usize,
    /// Takes no more frames.
    is_full: bool,
}

impl<'r> Line<'_, '_, '_, 'r> {
    fn run(mut self, jobs: &Receiver<Job<'r>>) -> Result<()> {
        let repo = self.framer.repo;
        let frame_len = usize::try_from(repo.config().frame_len).unwrap_or(usize::MAX);
        let state_len = frame::extra_state_len(self.framer.zstd_level);
        let room = repo.memory().frame_count(frame_len, state_len, self.framer.bases_len());
        let at_once = rayon::current_num_threads().saturating_mul(2).min(room);
        let (no_job, none_compressed, none_sealed) = (never(), never(), never());
        let mut has_ended = false;
        loop {
            let in_work = self.compressing.len() + self.sealing.len();
            if in_work == 0
                && let Some(then) = self.then.take()
            {
                self.finish_open()?;
                self.hand(Output::Settle(then))?;
            }
            if in_work == 0 && has_ended {
                return self.finish_open();
            }
            let is_busy = in_work >= at_once || self.then.is_some();
            let job = if has_ended || is_busy { &no_job } else { jobs };
            let compressed = self.compressing.front().unwrap_or(&none_compressed);
            let sealed = self.sealing.front().map_or(&none_sealed, |(_, sealed)| sealed);
            select! {
                recv(job) -> job => match job {
                    Ok(Job::Frame(job)) => self.compress(job),
                    Ok(Job::Settle(then)) => self.then = Some(then),
                    Err(_) => has_ended = true,
                },
                recv(compressed) -> compressed => {
                    self.compressing.pop_front();
                    self.place(compressed.map_err(|_| panicked())??)?;
                }
                recv(sealed) -> sealed => {
                    let SealedFrame { bytes, rooms } = sealed.map_err(|_| panicked())??;
                    if let Some((number, _)) = self.sealing.pop_front() {
                        self.append(number, &bytes)?;
                    }
                    self.rooms.extend(rooms.into_iter().chain([bytes]));
                    self.rooms.retain(|room| room.capacity() >= frame_len / 2);
                    // As [`MemoryBound::frame_count`] counts on.
                    self.rooms.truncate(at_once / 2);
                }
            }
        }
    }

    fn finish_open(&mut self) -> Result<()> {
        self.open.sort_by_key(|pack| (pack.purpose, pack.class));
        std::mem::take(&mut self.open).into_iter().try_for_each(|pack| self.finish(pack))
    }

    fn compress(&mut self, job: FrameJob) {
        let (deltas, level) = (&self.framer.deltas, self.framer.zstd_level);
        if job.kind == JobKind::Delta {
            // It reads, so it would keep a thread of the pool from computing.
            let (done, result) = bounded(1);
            self.compressing.push_back(result);
            self.threads.spawn(move || {
                let work = deltas.compress(job, &|job| compress(job, level, Vec::new()));
                // Nobody waits for it after an error.
                let _ = done.send(work);
            });
            return;
        }
        let room = self.rooms.pop().unwrap_or_default();
        self.compressing.push_back(spawn(self.pool, move || compress(job, level, room)));
    }

    fn place(&mut self, compressed: Compressed) -> Result<()> {
        let Compressed { class, purpose, kind, frame, room } = compressed;
        self.framer.keep(kind, &frame);
        if kind == JobKind::Cached {
            return Ok(());
        }
        let keyring = self.framer.repo.keyring();
        let pack = self.open_pack(class, purpose)?;
        let placed = pack.builder.place(frame)?;
        pack.awaited += 1;
        pack.is_full = pack.builder.len() >= pack.target_len
            || pack.builder.chunk_count() >= PACK_CHUNK_COUNT
            || pack.builder.base_count() >= PACK_BASE_COUNT;
        let number = pack.number;
        let rooms = [self.rooms.pop().unwrap_or_default(), room];
        self.sealing.push_back((number, spawn(self.pool, move || placed.seal(keyring, rooms))));
        Ok(())
    }

    fn open_pack(&mut self, class: Class, purpose: Purpose) -> Result<&mut OpenPack> {
        let fits =
            |pack: &OpenPack| !pack.is_full && (pack.class, pack.purpose) == (class, purpose);
        let position = match self.open.iter().position(fits) {
            Some(position) => position,
            None => {
                let pack = self.new_pack(class, purpose)?;
                self.open.push(pack);
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[position])
    }

    fn new_pack(&mut self, class: Class, purpose: Purpose) -> Result<OpenPack> {
        let Framer { repo, entropy, .. } = self.framer;
        let sealer = repo.keyring().new_pack(entropy, class, purpose)?;
        let target = match purpose {
            Purpose::Metadata => METADATA_PACK_LEN,
            _ => repo.config().pack_len.clamp(*PACK_LEN.start(), *PACK_LEN.end()),
        };
        let mut pack = OpenPack {
            number: self.pack_count,
            class,
            purpose,
            builder: PackBuilder::new(sealer),
            staged: repo.store().stage()?,
            target_len: vary(target, u64::from_le_bytes(entropy.bytes())),
            awaited: 0,
            is_full: false,
        };
        self.pack_count += 1;
        self.framer.write(&mut pack.staged, &pack.builder.header())?;
        Ok(pack)
    }

    fn append(&mut self, number: u64, sealed: &[u8]) -> Result<()> {
        let Some(position) = self.open.iter().position(|pack| pack.number == number) else {
            return Err(Error::new(Kind::Input, "a frame of a pack that is finished"));
        };
        let pack = &mut self.open[position];
        pack.builder.append(sealed);
        pack.awaited -= 1;
        let is_ready = pack.is_full && pack.awaited == 0;
        self.framer.write(&mut pack.staged, sealed)?;
        if is_ready {
            let pack = self.open.swap_remove(position);
            self.finish(pack)?;
        }
        Ok(())
    }

    fn finish(&self, pack: OpenPack) -> Result<()> {
        let OpenPack { builder, mut staged, .. } = pack;
        let (tail, info) = builder.finish(self.framer.repo.keyring())?;
        self.framer.write(&mut staged, &tail)?;
        // The writer may be waiting for this thread to end: it does not look then.
        let _ = self.framer.told.send(info.clone());
        self.hand(Output::Pack(Box::new(FinishedPack { staged, info })))
    }

    fn hand(&self, output: Output<'r>) -> Result<()> {
        let stopped = |_| Error::new(Kind::Unavailable, "the store has stopped");
        self.framer.outputs.send(output).map_err(stopped)
    }
}

impl Framer<'_> {
    /// Bytes of memory for bases; none if there are none.
    fn bases_len(&self) -> Option<usize> {
        let memory = self.repo.memory();
        match &self.kept {
            Some(_) => Some(memory.cached_bases_len() + MemoryBound::KEEPING_LEN),
            None => self.deltas.may_be().then(|| memory.bases_len()),
        }
    }

    /// Hands on what later chunks may be differences from.
    fn keep(&self, kind: JobKind, frame: &NewFrame) {
        let is_base = kind != JobKind::Alone && frame.prefix.is_none();
        if let Some(kept) = self.kept.as_ref().filter(|_| is_base) {
            // A closed queue means that no more is kept.
            let _ = kept.send(frame.clone());
        }
    }

    fn write(&self, staged: &mut Staged, bytes: &[u8]) -> Result<()> {
        staged.append(bytes)?;
        self.stored.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Starts `work` on a thread of the pool; its result comes through the queue.
fn spawn<'scope, T: Send + 'scope>(
    pool: &Scope<'scope>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Receiver<T> {
    let (done, result) = bounded(1);
    pool.spawn(move |_| {
        // Nobody waits for it after an error.
        let _ = done.send(work());
    });
    result
}

/// The scope gives the panic itself on when it ends.
fn panicked() -> Error {
    Error::new(Kind::Unavailable, "a thread that compresses or seals has panicked")
}

fn compress(job: FrameJob, level: i32, room: Vec<u8>) -> Result<Compressed> {
    let FrameJob { class, purpose, kind, plain, chunks, .. } = job;
    let (compressed, room) = match (class, purpose, level) {
        (Class::S, ..) | (_, Purpose::Data, 0) => (frame::raw(plain)?, room),
        (_, _, 0) => frame::compress_in(plain, Tuning::default().zstd_level, room)?,
        _ => frame::compress_in(plain, level, room)?,
    };
    Ok(Compressed { class, purpose, kind, frame: NewFrame::full(compressed, chunks), room })
}

/// Varies a target by up to 12 % either way, so that lengths of packs tell nothing of their content.
fn vary(target: u64, random: u64) -> u64 {
    let span = target.saturating_mul(24) / 100;
    let low = target.saturating_sub(span / 2);
    low.saturating_add(random % span.max(1))
}

#[cfg(test)]
mod tests {
    use super::vary;

    #[test]
    fn a_target_varies_by_at_most_twelve_percent() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            let varied = vary(1000, random);
            assert!((880..=1120).contains(&varied), "{varied}");
        }
    }
}
