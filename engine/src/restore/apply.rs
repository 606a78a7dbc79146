//! Writes the content of a batch: opens frames in parallel, each once, and writes every piece where
//! it belongs.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::batch::{Batch, BatchFile, CopyRun, FileJob, FileState, Piece};
use super::links::Links;
use super::origin::{FramePlace, PackNumber, Prove};
use super::report::{Report, add};
use crate::error::{Error, Kind, Result};
use crate::model::{FrameKind, MemoryBound, NodeRef};
use crate::observe::Action;
use crate::target::{DatabaseCheck, Durability, FilePlan, Outcome, Target};

/// Incomplete files kept open; more are closed and opened again.
const OPEN_COUNT_MAX: usize = 256;

/// Bytes of an existing file copied between two looks at whether to stop.
const COPY_LEN: u64 = 64 << 20;
/// Databases that SQLite checks at once; each takes about 2 MiB.
const CHECKED_AT_ONCE_MAX: u64 = 4;
/// Existing files below this many bytes are not worth sharing extents with.
const CLONE_LEN_MIN: u64 = 1 << 20;

/// What gives the bytes of frames and chunks: the part of the origin that threads may use.
pub(super) struct Bytes<'a> {
    pub(super) frame: &'a (dyn Fn(&super::origin::Place) -> Result<Arc<Vec<u8>>> + Sync + 'a),
    pub(super) prove: &'a Prove<'a>,
    pub(super) chunk: &'a (dyn Fn(&NodeRef) -> Result<Vec<u8>> + Sync + 'a),
}

/// Writes batches, one after the other.
pub(super) struct Writer<'a> {
    pub(super) bytes: &'a Bytes<'a>,
    pub(super) target: &'a Target,
    pub(super) report: &'a Report<'a>,
    pub(super) links: &'a Links,
    pub(super) is_sparse: bool,
    pub(super) thread_count: usize,
    /// Plaintext of frames held at a time, bytes; their sealed bytes come on top.
    pub(super) plain_len: u64,
    pub(super) open_count: AtomicUsize,
    /// Counts databases that SQLite checks.
    pub(super) checks: Gate,
}

/// The pieces that one frame holds.
type Group<'b> = &'b [Piece];

impl Writer<'_> {
    /// Writes the content of `batch`; a file that fails is reported and left out.
    pub(super) fn write(&self, batch: &mut Batch) {
        batch.pieces.sort_unstable_by_key(|piece| (frame_of(piece), piece.file, piece.at));
        let batch = &*batch;
        let groups = groups_of(&batch.pieces);
        let empty: Vec<&BatchFile> = batch
            .files
            .iter()
            .filter(|file| file.pieces_left.load(Ordering::Relaxed) == 0)
            .collect();
        let (next_group, next_copy, next_empty) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let gate = Gate::new(self.plain_len);
        let work = || {
            while let Some(group) = take(&groups, &next_group) {
                if self.report.is_stopped() {
                    return;
                }
                self.write_group(batch, group, &gate);
                self.report.progress();
            }
            while let Some(run) = take(&batch.copies, &next_copy) {
                if self.report.is_stopped() {
                    return;
                }
                self.copy_run(batch, run);
            }
            while let Some(file) = take(&empty, &next_empty) {
                if self.report.is_stopped() {
                    return;
                }
                self.finish_part(batch, file);
            }
        };
        let work_count = groups.len() + (batch.copies.len() + empty.len()) / 64;
        let helper_count = self.thread_count.min(work_count).saturating_sub(1);
        thread::scope(|scope| {
            for _ in 0..helper_count {
                scope.spawn(work);
            }
            work();
        });
    }

    fn write_group(&self, batch: &Batch, group: Group<'_>, gate: &Gate) {
        let Some(first) = group.first() else { return };
        let is_needed = |piece: &Piece| !file_of(batch, piece).job.state().has_failed;
        if !group.iter().any(is_needed) {
            return;
        }
        let held_len = MemoryBound::opened_len(&first.place.frame);
        gate.enter(held_len);
        let plain = (self.bytes.frame)(&first.place);
        match plain.and_then(|plain| self.prove(group, &plain).map(|()| plain)) {
            Ok(plain) => {
                self.report.is_available();
                for pieces in group.chunk_by(|a, b| a.file == b.file) {
                    self.write_pieces(batch, pieces, &plain);
                }
            }
            Err(error) => self.write_from_copies(batch, group, &error),
        }
        gate.leave(held_len);
    }

    /// Brings a run of the existing file over, in steps that can be interrupted.
    fn copy_run(&self, batch: &Batch, run: &CopyRun) {
        let file = &batch.files[run.file as usize];
        if let Err(error) = self.copy_steps(&file.job, run) {
            self.refused(&file.job, error);
        }
        self.count_down(batch, file, 1);
    }

    fn copy_steps(&self, job: &FileJob, run: &CopyRun) -> Outcome<()> {
        let Some(facts) = &job.existing else { return Ok(()) };
        let into = {
            let mut state = job.state();
            if state.has_failed {
                return Ok(());
            }
            let into = self.handle(job, &mut state, false)?;
            if state.is_cloned {
                return Ok(());
            }
            into
        };
        let from = self.target.reopen(&job.folder, job.name(), facts)?;
        let mut done = 0;
        while done < run.len && !self.report.is_stopped() {
            let len = COPY_LEN.min(run.len - done);
            self.target.copy_range(&from, &into, (run.at + done, len), self.is_sparse)?;
            add(&self.report.counts.bytes, len);
            done += len;
        }
        facts.check(&from)
    }

    /// Names again every chunk that the group needs, each once.
    fn prove(&self, group: Group<'_>, plain: &[u8]) -> Result<()> {
        let mut proven = HashSet::new();
        let key = |piece: &Piece| (piece.chunk, piece.place.offset, piece.place.len);
        for piece in group.iter().filter(|piece| proven.insert(key(piece))) {
            (self.bytes.prove)(&piece.chunk, &piece.place, plain)?;
        }
        Ok(())
    }

    /// The pieces of one file and one frame, neighbours in one call.
    fn write_pieces(&self, batch: &Batch, pieces: &[Piece], plain: &[u8]) {
        let Some(first) = pieces.first() else { return };
        let file = file_of(batch, first);
        let follows = |a: &Piece, b: &Piece| {
            a.at + u64::from(a.len) == b.at && start_of(a) + u64::from(a.len) == start_of(b)
        };
        for run in pieces.chunk_by(follows) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (start, end) = (start_of(first), start_of(last) + u64::from(last.len));
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            match range.and_then(|(start, end)| plain.get(start..end)) {
                Some(bytes) => self.write_run(file, first.at, bytes),
                None => self.damaged(
                    &file.job,
                    Error::new(Kind::Corrupt, "a chunk is not within its frame"),
                ),
            }
        }
        self.count_down(batch, file, pieces.len());
    }

    /// The frame failed: its chunks may have other copies.
    fn write_from_copies(&self, batch: &Batch, group: Group<'_>, failure: &Error) {
        if matches!(failure.kind(), Kind::Interrupted | Kind::WrongKey) {
            return self.report.stop(Error::new(failure.kind(), failure.to_string()));
        }
        for piece in group {
            let file = file_of(batch, piece);
            if self.report.is_stopped() {
                return;
            }
            if !file.job.state().has_failed {
                let range = piece.skip as usize..piece.skip as usize + piece.len as usize;
                match (self.bytes.chunk)(&piece.chunk) {
                    Ok(bytes) => match bytes.get(range) {
                        Some(bytes) => self.write_run(file, piece.at, bytes),
                        None => {
                            self.damaged(&file.job, Error::new(failure.kind(), failure.to_string()))
                        }
                    },
                    Err(_) => {
                        self.damaged(&file.job, Error::new(failure.kind(), failure.to_string()))
                    }
                }
            }
            self.count_down(batch, file, 1);
        }
    }

    fn write_run(&self, file: &BatchFile, at: u64, bytes: &[u8]) {
        let job = &file.job;
        let handle = {
            let mut state = job.state();
            if state.has_failed {
                return;
            }
            self.handle(job, &mut state, bytes.len() as u64 == job.size)
        };
        let written =
            handle.and_then(|handle| self.target.write(&handle, at, bytes, self.is_sparse));
        match written {
            Ok(()) => add(&self.report.counts.bytes, bytes.len() as u64),
            Err(error) => self.refused(job, error),
        }
    }

    fn handle(
        &self,
        job: &FileJob,
        state: &mut FileState,
        is_whole: bool,
    ) -> Outcome<Arc<OwnedFd>> {
        let name = job.name();
        if state.file.is_none() {
            let plan = FilePlan {
                is_hidden: job.is_hidden.load(Ordering::Relaxed),
                preset_len: (job.has_holes || self.is_sparse).then_some(job.size),
                // A file that may be opened again must let us.
                mode: if is_whole && !job.is_secret { job.metadata.mode & 0o777 } else { 0o600 },
            };
            state.file = Some(self.target.begin_file(&job.folder, name, plan)?);
            self.open_count.fetch_add(1, Ordering::Relaxed);
            self.clone_existing(job, state)?;
        }
        match &mut state.file {
            Some(file) => {
                if !file.is_open() {
                    self.open_count.fetch_add(1, Ordering::Relaxed);
                }
                self.target.file_handle(&job.folder, name, file)
            }
            None => unreachable!("made above"),
        }
    }

    /// Begins with the bytes of the existing file, where the file system can share them: then only
    /// what differs is written. Bytes that must become holes would stay.
    fn clone_existing(&self, job: &FileJob, state: &mut FileState) -> Outcome<()> {
        let (Some(facts), Some(file)) = (&job.existing, &mut state.file) else { return Ok(()) };
        if job.has_holes || self.is_sparse || facts.size < CLONE_LEN_MIN {
            return Ok(());
        }
        let from = self.target.reopen(&job.folder, job.name(), facts)?;
        let into = self.target.file_handle(&job.folder, job.name(), file)?;
        state.is_cloned = self.target.clone_data(&from, &into, job.size)?;
        facts.check(&from)
    }

    fn count_down(&self, batch: &Batch, file: &BatchFile, pieces: usize) {
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        if file.pieces_left.fetch_sub(pieces, Ordering::AcqRel) == pieces {
            self.finish_part(batch, file);
        } else if self.open_count.load(Ordering::Relaxed) > OPEN_COUNT_MAX {
            self.park(&file.job);
        }
    }

    /// All bytes of a file that this batch has are written.
    fn finish_part(&self, batch: &Batch, file: &BatchFile) {
        if file.is_last {
            self.complete(&file.job, batch.durability());
        }
    }

    fn complete(&self, job: &FileJob, durability: Durability) {
        let mut state = job.state();
        if state.has_failed {
            return;
        }
        let outcome = self.handle(job, &mut state, true).and_then(|_| {
            if job.is_database {
                self.complete_database(job, &mut state, durability)
            } else {
                self.complete_file(job, &mut state, durability)
            }
        });
        self.open_count.fetch_sub(1, Ordering::Relaxed);
        drop(state);
        match outcome {
            Ok(()) => self.report.entry(Action::Restored, job.path.as_bytes(), job.size),
            Err(error) => self.refused(job, error),
        }
    }

    fn complete_file(
        &self,
        job: &FileJob,
        state: &mut FileState,
        durability: Durability,
    ) -> Outcome<()> {
        let Some(file) = &mut state.file else { return Ok(()) };
        let (path, is_linked) = (job.path.as_bytes(), job.link_group != 0);
        self.target.complete_file(file, path, &job.metadata, durability, is_linked)
    }

    /// Asks SQLite about a database while the disk is waited for.
    fn complete_database(
        &self,
        job: &FileJob,
        state: &mut FileState,
        durability: Durability,
    ) -> Outcome<()> {
        let Some(file) = &state.file else { return Ok(()) };
        self.checks.enter(1);
        let opened = self.target.open_database(&job.folder, job.name(), file);
        let (checked, completed) = thread::scope(|scope| {
            let check = scope.spawn(|| opened.map(DatabaseCheck::of));
            let completed = self.complete_file(job, state, durability);
            (check.join(), completed)
        });
        self.checks.leave(1);
        state.check = Some(checked.unwrap_or_else(|panic| resume_unwind(panic)));
        completed
    }

    fn park(&self, job: &FileJob) {
        let mut state = job.state();
        let Some(file) = state.file.as_mut().filter(|file| file.is_open()) else { return };
        let parked = self.target.park_file(file);
        self.open_count.fetch_sub(1, Ordering::Relaxed);
        drop(state);
        if let Err(error) = parked {
            self.refused(job, error);
        }
    }

    fn damaged(&self, job: &FileJob, error: Error) {
        if self.abandon(job) {
            self.report.damaged(job.path.as_bytes(), error);
        }
    }

    fn refused(&self, job: &FileJob, error: crate::target::TargetError) {
        if self.abandon(job) {
            self.report.refused(job.path.as_bytes(), self.target.location(), error);
        }
    }

    /// Leaves no trace of the file; false if that was done before.
    fn abandon(&self, job: &FileJob) -> bool {
        let mut state = job.state();
        if std::mem::replace(&mut state.has_failed, true) {
            return false;
        }
        if let Some(file) = state.file.take() {
            if file.is_open() {
                self.open_count.fetch_sub(1, Ordering::Relaxed);
            }
            self.target.abandon_file(&job.folder, job.name(), file);
        }
        self.links.forget(job.link_group);
        true
    }
}

fn take<'b, T>(items: &'b [T], next: &AtomicUsize) -> Option<&'b T> {
    items.get(next.fetch_add(1, Ordering::Relaxed))
}

/// Groups sorted pieces in the order in which their frames are best opened. That is the order of their places; with
/// differences among them, that of what they hold: chunks that follow each other have their bases in a few frames,
/// one of each round in which some were stored full, and those are kept.
fn groups_of(pieces: &[Piece]) -> Vec<Group<'_>> {
    let mut groups: Vec<_> = pieces.chunk_by(|a, b| frame_of(a) == frame_of(b)).collect();
    if pieces.iter().any(|piece| piece.place.frame.kind == FrameKind::Delta) {
        groups.sort_by_key(|group| group.first().map(|piece| (piece.file, piece.at)));
    }
    groups
}

fn frame_of(piece: &Piece) -> (PackNumber, u32) {
    let FramePlace { position, .. } = piece.place.frame;
    (piece.place.pack, position)
}

/// Where the piece begins in the frame's plaintext.
fn start_of(piece: &Piece) -> u64 {
    u64::from(piece.place.offset) + u64::from(piece.skip)
}

fn file_of<'b>(batch: &'b Batch, piece: &Piece) -> &'b BatchFile {
    &batch.files[piece.file as usize]
}

/// Bounds what is in work: plaintext in memory, say, whose next frame waits until those before it are
/// written.
#[derive(Debug)]
pub(super) struct Gate {
    len_max: u64,
    held: Mutex<u64>,
    freed: Condvar,
}

impl Gate {
    /// Lets as many databases in as may be checked at once.
    pub(super) fn of_checks() -> Self {
        Self::new(CHECKED_AT_ONCE_MAX)
    }

    fn new(len_max: u64) -> Self {
        Self { len_max, held: Mutex::default(), freed: Condvar::new() }
    }

    fn enter(&self, len: u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while *held > 0 && *held + len > self.len_max {
            held = self.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held += len;
    }

    fn leave(&self, len: u64) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) -= len;
        self.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChunkId, Class, Codec, Place};

    fn piece(pack: u32, position: u32, kind: FrameKind, (file, at): (u32, u64)) -> Piece {
        let frame = FramePlace { position, sealed_len: 9, plain_len: 8, kind, codec: Codec::Zstd };
        let place = Place { pack: PackNumber(pack), frame, offset: 0, len: 8 };
        let chunk = NodeRef { id: ChunkId([0; 32]), class: Class::Ordinary, height: 0 };
        Piece { place, chunk, file, skip: 0, len: 8, at }
    }

    fn order(pieces: &[Piece]) -> Vec<(u32, u32)> {
        let groups = groups_of(pieces);
        groups.iter().map(|group| (group[0].place.pack.0, group[0].place.frame.position)).collect()
    }

    #[test]
    fn frames_are_opened_by_place_and_with_differences_by_what_they_hold() {
        let full = FrameKind::Full;
        let mut pieces = vec![
            piece(1, 10, full, (0, 0)),
            piece(1, 10, full, (0, 24)),
            piece(1, 20, full, (1, 0)),
            piece(2, 10, full, (0, 8)),
            piece(3, 10, full, (0, 16)),
        ];
        assert_eq!(order(&pieces), [(1, 10), (1, 20), (2, 10), (3, 10)]);
        pieces[4] = piece(3, 10, FrameKind::Delta, (0, 16));
        assert_eq!(order(&pieces), [(1, 10), (2, 10), (3, 10), (1, 20)]);
    }
}
