//! A run of entries whose content is written, synced and named together.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::beside::Beside;
use super::origin::Place;
use crate::model::{EntryPath, NodeRef};
use crate::target::{DatabaseCheck, Durability, FileFacts, Folder, Metadata, NewFile, TargetError};

/// Bytes of content in one batch (few in tests, so that they see many batches): what a frame shared
/// by neighbours is opened once for, and what one sync brings to the disk. Costs no memory.
const BYTES_MAX: u64 = if cfg!(test) { 4 << 20 } else { 256 << 20 };
/// Pieces in one batch, 100 bytes each.
const PIECE_COUNT_MAX: usize = 32 << 10;
/// Entries in one batch, about 400 bytes each: below 4096 syncs cost more, above 16384 the last one
/// is waited for.
const STEP_COUNT_MAX: usize = if cfg!(test) { 300 } else { 8 << 10 };
/// Bytes of paths and attributes in one batch.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Up to this many files are synced one by one.
const FEW: usize = 8;
/// Up to this many steps, their directories too: a sync of everything waits for what others have
/// written as well.
const FEW_STEPS: usize = 32;

/// What is planned together.
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) files: Vec<BatchFile>,
    pub(super) pieces: Vec<Piece>,
    pub(super) copies: Vec<CopyRun>,
    /// In entry order, so that a directory comes after everything in it.
    pub(super) steps: Vec<Step>,
    pub(super) bytes: u64,
    pub(super) text_bytes: usize,
}

/// The part of a file that this batch writes.
pub(super) struct BatchFile {
    pub(super) job: Arc<FileJob>,
    pub(super) pieces_left: AtomicU32,
    /// The file is complete after this batch.
    pub(super) is_last: bool,
}

/// A run of one chunk's bytes that goes to one place of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) chunk: NodeRef,
    /// Number in the batch's files.
    pub(super) file: u32,
    /// Bytes of the chunk before the run.
    pub(super) skip: u32,
    pub(super) len: u32,
    /// Bytes of the file before the run.
    pub(super) at: u64,
}

/// A run of bytes that the existing file has already, and a piece left of its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyRun {
    /// Number in the batch's files.
    pub(super) file: u32,
    /// Bytes of both files before the run.
    pub(super) at: u64,
    pub(super) len: u64,
}

/// A file on its way.
pub(super) struct FileJob {
    /// Made for its owner alone.
    pub(super) is_secret: bool,
    pub(super) folder: Arc<Folder>,
    pub(super) path: EntryPath,
    /// The name it gets, if not the last of its path.
    pub(super) new_name: Option<Box<[u8]>>,
    pub(super) metadata: Metadata,
    pub(super) size: u64,
    /// Has holes: not written from end to end.
    pub(super) has_holes: bool,
    /// Stored as a database: it is checked.
    pub(super) is_database: bool,
    pub(super) beside: Beside,
    pub(super) link_group: u64,
    /// The file it replaces, whose equal bytes are not fetched.
    pub(super) existing: Option<FileFacts>,
    /// Its folder is staged in the batch that completes it.
    pub(super) is_hidden: AtomicBool,
    pub(super) state: Mutex<FileState>,
}

#[derive(Debug, Default)]
pub(super) struct FileState {
    pub(super) file: Option<NewFile>,
    /// It began as a clone of the existing file: what is equal is there.
    pub(super) is_cloned: bool,
    /// Reported already; nothing more is written.
    pub(super) has_failed: bool,
    /// What SQLite says of a database that is whole, or why it cannot be asked.
    pub(super) check: Option<Result<DatabaseCheck, TargetError>>,
}

/// Another name of a file.
pub(super) struct LinkJob {
    pub(super) folder: Arc<Folder>,
    pub(super) path: EntryPath,
    pub(super) group: u64,
    pub(super) beside: Beside,
    pub(super) metadata: Metadata,
    pub(super) is_hidden: bool,
}

/// What follows when the batch's bytes are on the disk.
pub(super) enum Step {
    Name(Arc<FileJob>),
    Link(LinkJob),
    /// Everything in the directory is there.
    Leave {
        folder: Arc<Folder>,
        path: Vec<u8>,
        metadata: Option<Metadata>,
    },
    Publish {
        folder: Arc<Folder>,
        path: Vec<u8>,
    },
}

impl FileJob {
    /// The name it gets in its folder.
    pub(super) fn name(&self) -> &[u8] {
        self.new_name.as_deref().unwrap_or_else(|| self.path.name())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    pub(super) fn new(number: u64) -> Self {
        let (files, pieces, copies, steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { number, files, pieces, copies, steps, bytes: 0, text_bytes: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
            || self.pieces.len() + self.copies.len() >= PIECE_COUNT_MAX
            || self.files.len().max(self.steps.len()) >= STEP_COUNT_MAX
            || self.text_bytes >= TEXT_BYTES_MAX
    }

    /// The number of the file that is being planned.
    pub(super) fn current_file(&self) -> u32 {
        u32::try_from(self.files.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Plans a piece of the current file.
    pub(super) fn fetch(&mut self, piece: Piece) {
        self.pieces.push(piece);
        self.bytes += u64::from(piece.len);
        self.expect_one_more();
    }

    /// Plans a copy within the current file; neighbours become one.
    pub(super) fn copy(&mut self, at: u64, len: u64) {
        self.bytes += len;
        let file = self.current_file();
        match self.copies.last_mut() {
            Some(last) if last.file == file && last.at + last.len == at => last.len += len,
            _ => {
                self.copies.push(CopyRun { file, at, len });
                self.expect_one_more();
            }
        }
    }

    fn expect_one_more(&mut self) {
        if let Some(file) = self.files.last_mut() {
            *file.pieces_left.get_mut() += 1;
        }
    }

    pub(super) fn durability(&self) -> Durability {
        if self.files.len() <= FEW { Durability::EachFile } else { Durability::Together }
    }

    /// Everything is synced by itself, so that no sync of the whole file system is needed.
    pub(super) fn is_small(&self) -> bool {
        self.files.len() <= FEW && self.steps.len() <= FEW_STEPS
    }
}
