//! SQLite databases, read as their applications use them.
//!
//! A plain copy of a live database is torn, and closing any handle of it drops the locks that the same
//! process holds through SQLite. So connections live in a worker: a child process that runs our own
//! program, opens nothing else, and hands the pages of one read transaction over a pipe.

mod again;
mod capture;
mod check;
mod client;
mod facts;
mod free;
mod held;
mod image;
mod moment;
mod monitor;
mod open;
mod pages;
mod request;
mod still;
mod tables;
mod tree_hash;
mod vfs;
mod wire;
mod worker;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

pub use again::difference;
pub use client::{Client, Clients, Known, Pages, Verdict};
pub use facts::{Facts, fact_name, shown};
pub use held::Held;
pub use image::{IMAGE_BLOCK_LEN, MakeShelf, Shelf};
pub use request::Check;
pub use wire::BLOCK_LEN;
pub use worker::serve;

/// First bytes of every database that is not encrypted.
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// First bytes of a WAL, by the order of bytes in its checksums.
const WAL_MAGICS: [u32; 2] = [0x377f_0682, 0x377f_0683];
/// Bytes of the shortest page.
const PAGE_LEN_MIN: u64 = 512;
/// Bytes of a file that are looked at for noise.
const ENCRYPTED_LEN_MIN: usize = 1024;
/// What SQLite puts behind a database's name for its other files, which are not stored: what they
/// hold is in the pages read.
pub const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How databases are read.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The program that runs [`serve`] when its only argument is [`WORKER`].
    pub program: PathBuf,
    /// How long a lock may keep us waiting, and, in rollback mode, how long we may keep writers
    /// waiting.
    pub lock_max: Duration,
    /// Databases among the files of a tree are known by their first bytes and read as such.
    pub recognise: bool,
    /// How much SQLite checks of what is stored.
    pub check: Check,
    /// Rows and a hash of every table are measured.
    pub tables: bool,
    /// Workers that wait for work; runs that share them read less again.
    pub clients: Arc<Clients>,
    /// Free pages, in which what was deleted may still stand, are stored overwritten.
    pub zero_free_pages: bool,
}

/// The argument that makes the program a worker.
pub const WORKER: &str = "sqlite-worker";
/// Default of [`SqliteOptions::lock_max`].
pub const LOCK_MAX: Duration = Duration::from_secs(10);

/// True if an open file begins as a database does.
#[must_use]
pub fn is_database(file: &File) -> bool {
    let mut first = [0; MAGIC.len()];
    file.read_exact_at(&mut first, 0).is_ok() && first == *MAGIC
}

/// True if a file that can be opened begins as a database does.
#[must_use]
pub fn begins_as_database(path: &Path) -> bool {
    // A FIFO of that name must not keep us waiting.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).is_ok_and(|file| is_database(&file.into()))
}

/// True if an open file is none that SQLite reads, but could be an encrypted one: whole pages of noise.
#[must_use]
pub fn may_be_encrypted(file: &File) -> bool {
    let mut first = [0; ENCRYPTED_LEN_MIN];
    let is_whole = file.metadata().is_ok_and(|meta| meta.len().is_multiple_of(PAGE_LEN_MIN));
    if !is_whole || file.read_exact_at(&mut first, 0).is_err() {
        return false;
    }
    let mut counts = [0_u32; 256];
    first.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    // Of noise the squares sum up to len + len²/256, of text to ten times as much.
    let squares: u32 = counts.iter().map(|count| count * count).sum();
    squares < 2 * (ENCRYPTED_LEN_MIN + ENCRYPTED_LEN_MIN * ENCRYPTED_LEN_MIN / 256) as u32
}

/// True if an open file begins as the WAL of a database does.
#[must_use]
pub fn is_wal(file: &File) -> bool {
    let mut first = [0; 4];
    let read = file.read_exact_at(&mut first, 0);
    read.is_ok() && WAL_MAGICS.contains(&u32::from_be_bytes(first))
}

/// Bytes of the WAL of the database at `path`; 0 without one.
#[must_use]
pub fn wal_len(path: &Path) -> u64 {
    std::fs::metadata(beside(path, SIDECARS[0])).map_or(0, |meta| meta.len())
}

/// The file of the database at `path` whose name has this at its end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The files of the database at `path`: itself and its sidecars, which may not be there.
#[must_use]
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    [""].into_iter().chain(SIDECARS).map(|end| beside(path, end)).collect()
}

/// The name of the database a sidecar belongs to; none for other names.
#[must_use]
pub fn base_of(name: &[u8]) -> Option<&[u8]> {
    let base = SIDECARS.iter().find_map(|end| name.strip_suffix(end.as_bytes()));
    base.filter(|base| base.last().is_some_and(|byte| *byte != b'/'))
}
