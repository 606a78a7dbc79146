//! Takes the pages of a database as fast as they come, so that its transaction ends soon, however
//! slow the store is.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cache::SpoolFile;
use crate::crypto::SpoolKey;
use crate::model::Entropy;
use crate::repo::reader_count;
use crate::source::sqlite::BLOCK_LEN;

/// Bytes that wait in memory in all spools together, but not less than [`MEMORY_LEN_MIN`] in each; more
/// wait on disk, sealed.
const MEMORY_LEN_MAX: usize = 16 << 20;
/// Bytes that wait in memory in one.
const MEMORY_LEN_MIN: usize = 2 << 20;
/// Bytes that a block grows by when it is sealed, and more: a place is whole pages.
const SEAL_LEN_MAX: usize = 4096;
/// Bytes of the file on disk.
const DISK_LEN_MAX: u64 = 16 << 30;
/// How often whoever waits for room looks whether that still makes sense.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A queue of blocks between the reader of a database and the cutter.
pub(super) struct Spool {
    key: SpoolKey,
    folder: Option<PathBuf>,
    memory_len_max: usize,
    disk_len_max: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    blocks: VecDeque<Block>,
    memory_len: usize,
    /// Blocks that wait on disk.
    disk_count: u64,
    file: Option<SpoolFile>,
    /// The disk would not take a block: only memory is used from then on.
    disk_is_full: bool,
    sealed_count: u64,
    /// No block follows; with what went wrong, if anything.
    end: Option<Result<(), String>>,
    /// Nobody takes blocks any more.
    is_abandoned: bool,
}

/// How long whoever brings blocks can be kept waiting.
pub(super) trait Patience {
    /// True while waiting costs nobody anything.
    fn is_willing(&self) -> bool;

    /// Fails when it has waited too long.
    fn look(&self) -> Result<(), String>;
}

enum Block {
    Memory(Vec<u8>),
    Disk { number: u64, slot: u64, len: usize },
}

impl Spool {
    /// An empty spool that overflows into `folder`, or the system's temporary folder.
    pub(super) fn new(entropy: &Entropy, folder: Option<PathBuf>) -> Self {
        Self {
            key: SpoolKey::draw(entropy),
            folder,
            memory_len_max: (MEMORY_LEN_MAX / reader_count()).max(MEMORY_LEN_MIN),
            disk_len_max: DISK_LEN_MAX,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a block; false if nobody takes it any more. Without room in memory it waits for some while
    /// `patience` is willing to, then goes to disk, and without room there waits as long as `patience` has
    /// no objection.
    pub(super) fn push(&self, block: Vec<u8>, patience: &dyn Patience) -> Result<bool, String> {
        let mut state = self.lock();
        loop {
            if state.is_abandoned {
                return Ok(false);
            }
            if state.memory_len + block.len() <= self.memory_len_max || state.blocks.is_empty() {
                state.memory_len += block.len();
                state.blocks.push_back(Block::Memory(block));
                break;
            }
            if !patience.is_willing() && self.to_disk(&mut state, &block) {
                break;
            }
            patience.look()?;
            let waited = self.changed.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.changed.notify_all();
        Ok(true)
    }

    /// Seals the block and writes it; false if there is no room.
    fn to_disk(&self, state: &mut State, block: &[u8]) -> bool {
        let slot_len = BLOCK_LEN + SEAL_LEN_MAX;
        let disk_count_max = self.disk_len_max / slot_len as u64;
        if state.disk_is_full || state.disk_count >= disk_count_max {
            return false;
        }
        let number = state.sealed_count;
        let written = (|| -> io::Result<Block> {
            let sealed = self.key.seal(number, block.to_vec()).map_err(io::Error::other)?;
            let file = match &mut state.file {
                Some(file) => file,
                None => state.file.insert(SpoolFile::new(self.folder.as_deref(), slot_len)?),
            };
            let slot = file.put(&sealed)?;
            Ok(Block::Disk { number, slot, len: sealed.len() })
        })();
        let Ok(written) = written else {
            state.disk_is_full = true;
            return false;
        };
        state.sealed_count += 1;
        state.disk_count += 1;
        state.blocks.push_back(written);
        true
    }

    /// Says that no block follows.
    pub(super) fn end(&self, outcome: Result<(), String>) {
        self.lock().end = Some(outcome);
        self.changed.notify_all();
    }

    /// Says that nobody takes blocks any more.
    pub(super) fn abandon(&self) {
        self.lock().is_abandoned = true;
        self.changed.notify_all();
    }

    /// Takes the next block; none at the end.
    pub(super) fn pop(&self) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.lock();
        loop {
            if let Some(block) = state.blocks.pop_front() {
                let bytes = self.load(&mut state, block)?;
                self.changed.notify_all();
                return Ok(Some(bytes));
            }
            match &state.end {
                Some(Ok(())) => return Ok(None),
                Some(Err(what)) => return Err(io::Error::other(what.clone())),
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn load(&self, state: &mut State, block: Block) -> io::Result<Vec<u8>> {
        match block {
            Block::Memory(bytes) => {
                state.memory_len -= bytes.len();
                Ok(bytes)
            }
            Block::Disk { number, slot, len } => {
                let Some(file) = &mut state.file else {
                    return Err(io::Error::other("the spool is gone"));
                };
                let sealed = file.take(slot, len)?;
                state.disk_count -= 1;
                self.key.open(number, &sealed).map_err(io::Error::other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Impatient(&'static str);

    impl Patience for Impatient {
        fn is_willing(&self) -> bool {
            false
        }

        fn look(&self) -> Result<(), String> {
            Err(self.0.to_owned())
        }
    }

    struct Willing;

    impl Patience for Willing {
        fn is_willing(&self) -> bool {
            true
        }

        fn look(&self) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn while_nobody_minds_a_block_waits_outside_and_not_on_disk() {
        let mut spool = Spool::new(&Entropy::fixed(b"spool"), None);
        spool.memory_len_max = 1000;
        std::thread::scope(|scope| {
            let pushing = scope
                .spawn(|| (0..20).all(|number| spool.push(vec![number; 600], &Willing).unwrap()));
            for number in 0..20 {
                assert_eq!(spool.pop().unwrap(), Some(vec![number; 600]));
            }
            assert!(pushing.join().unwrap());
        });
        assert_eq!(spool.lock().sealed_count, 0);
    }

    #[test]
    fn blocks_come_back_in_order_through_memory_and_disk() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = Entropy::fixed(b"spool");
        let mut spool = Spool::new(&entropy, Some(folder.path().to_owned()));
        spool.memory_len_max = 2500;
        let block = |number: u8| vec![number; 1000];
        for round in 0..2 {
            for number in 0..50 {
                assert!(spool.push(block(number), &Impatient("no room")).unwrap());
            }
            assert!(spool.lock().sealed_count >= 48 * (round + 1));
            for number in 0..50 {
                assert_eq!(spool.pop().unwrap(), Some(block(number)));
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        spool.end(Ok(()));
        assert_eq!(spool.pop().unwrap(), None);
    }

    #[test]
    fn a_file_that_is_never_empty_is_bounded_all_the_same() {
        let mut spool = Spool::new(&Entropy::fixed(b"spool"), None);
        spool.memory_len_max = 1000;
        spool.disk_len_max = 4 * (BLOCK_LEN + SEAL_LEN_MAX) as u64;
        let block = |number: u16| number.to_le_bytes().repeat(BLOCK_LEN / 2);
        for number in 0..3 {
            assert!(spool.push(block(number), &Impatient("no room")).unwrap());
        }
        for number in 3..300 {
            assert!(spool.push(block(number), &Impatient("no room")).unwrap());
            assert_eq!(spool.pop().unwrap(), Some(block(number - 3)));
            assert!(spool.lock().file.as_ref().unwrap().file_len().unwrap() <= spool.disk_len_max);
        }
        // And what waits in it is.
        assert!(spool.push(block(300), &Impatient("no room")).unwrap());
        assert_eq!(spool.push(block(301), &Impatient("no room")).unwrap_err(), "no room");
        assert!(!spool.lock().disk_is_full);
    }

    #[test]
    fn without_room_a_block_waits_as_long_as_that_makes_sense() {
        let mut spool = Spool::new(&Entropy::fixed(b"spool"), None);
        (spool.memory_len_max, spool.lock().disk_is_full) = (1000, true);
        assert!(spool.push(vec![1; 1000], &Impatient("full")).unwrap());
        assert_eq!(spool.push(vec![2; 1000], &Impatient("full")).unwrap_err(), "full");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| spool.push(vec![2; 1000], &Willing));
            assert_eq!(spool.pop().unwrap(), Some(vec![1; 1000]));
            assert!(waiting.join().unwrap().unwrap());
        });
        spool.abandon();
        assert!(!spool.push(vec![3; 1000], &Willing).unwrap());
        spool.end(Err("it broke".to_owned()));
        assert_eq!(spool.pop().unwrap(), Some(vec![2; 1000]));
        assert_eq!(spool.pop().unwrap_err().to_string(), "it broke");
    }
}
