//! Takes the pages of a database as fast as they come, so that its transaction ends soon, however
//! slow the store is; but for one that nobody minds, which waits a little first.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cache::SpoolFile;
use crate::crypto::SpoolKey;
use crate::model::Entropy;
use crate::source::sqlite::BLOCK_LEN;

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

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Bytes(Vec<u8>),
    /// So many chunks that are known.
    Same(u32),
}

enum Block {
    Same(u32),
    Memory(Vec<u8>),
    Disk { number: u64, slot: u64, len: usize },
}

impl Spool {
    /// An empty spool of `memory_len_max` bytes that overflows into `folder`, or the system's temporary
    /// folder.
    pub(super) fn new(entropy: &Entropy, folder: Option<PathBuf>, memory_len_max: usize) -> Self {
        Self {
            key: SpoolKey::draw(entropy),
            folder,
            memory_len_max,
            disk_len_max: DISK_LEN_MAX,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a block; false if nobody takes it any more. Without room in memory it waits for some while
    /// `is_willing`, then goes to disk, and without room there waits as long as `patience` has no
    /// objection.
    pub(super) fn push(
        &self,
        block: Vec<u8>,
        is_willing: &dyn Fn() -> bool,
        patience: &dyn Fn() -> Result<(), String>,
    ) -> Result<bool, String> {
        let (mut block, mut is_willing_now) = (block, true);
        loop {
            block = match self.try_push(block, !is_willing_now) {
                Ok(pushed) => return Ok(pushed),
                Err(block) => block,
            };
            // Both look at files: nobody who takes blocks is to wait for that.
            if is_willing_now {
                is_willing_now = is_willing();
                if !is_willing_now {
                    continue;
                }
            } else {
                patience()?;
            }
            self.wait_for_room(block.len());
        }
    }

    /// Adds a block, to the disk if it `may_go` there; false if nobody takes it any more. The block if there is
    /// no room.
    fn try_push(&self, block: Vec<u8>, may_go: bool) -> Result<bool, Vec<u8>> {
        let mut state = self.lock();
        if state.is_abandoned {
            return Ok(false);
        }
        if self.has_room(&state, block.len()) {
            state.memory_len += block.len();
            state.blocks.push_back(Block::Memory(block));
        } else if !may_go || !self.to_disk(&mut state, &block) {
            return Err(block);
        }
        self.changed.notify_all();
        Ok(true)
    }

    fn has_room(&self, state: &State, len: usize) -> bool {
        state.memory_len + len <= self.memory_len_max || state.blocks.is_empty()
    }

    /// Adds chunks that are known, which take no room; false if nobody takes them any more.
    pub(super) fn push_same(&self, count: u32) -> bool {
        let mut state = self.lock();
        state.blocks.push_back(Block::Same(count));
        self.changed.notify_all();
        !state.is_abandoned
    }

    /// Waits for a change, but not for long.
    fn wait_for_room(&self, len: usize) {
        let state = self.lock();
        if !state.is_abandoned && !self.has_room(&state, len) {
            drop(self.changed.wait_timeout(state, LOOK_EVERY));
        }
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
    pub(super) fn pop(&self) -> io::Result<Option<Item>> {
        let mut state = self.lock();
        loop {
            if let Some(block) = state.blocks.pop_front() {
                let item = self.load(&mut state, block)?;
                self.changed.notify_all();
                return Ok(Some(item));
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

    fn load(&self, state: &mut State, block: Block) -> io::Result<Item> {
        match block {
            Block::Same(count) => Ok(Item::Same(count)),
            Block::Memory(bytes) => {
                state.memory_len -= bytes.len();
                Ok(Item::Bytes(bytes))
            }
            Block::Disk { number, slot, len } => {
                let Some(file) = &mut state.file else {
                    return Err(io::Error::other("the spool is gone"));
                };
                let sealed = file.take(slot, len)?;
                state.disk_count -= 1;
                self.key.open(number, &sealed).map(Item::Bytes).map_err(io::Error::other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds a block that cannot wait, and without room on disk is refused for `why`.
    fn push(spool: &Spool, block: Vec<u8>, why: &str) -> Result<bool, String> {
        spool.push(block, &|| false, &|| Err(why.to_owned()))
    }

    fn push_patiently(spool: &Spool, block: Vec<u8>) -> Result<bool, String> {
        spool.push(block, &|| true, &|| Ok(()))
    }

    fn spool(memory_len_max: usize) -> Spool {
        Spool::new(&Entropy::fixed(b"spool"), None, memory_len_max)
    }

    #[test]
    fn while_nobody_minds_a_block_waits_outside_and_not_on_disk() {
        let spool = spool(1000);
        std::thread::scope(|scope| {
            let pushing = scope
                .spawn(|| (0..20).all(|number| push_patiently(&spool, vec![number; 600]).unwrap()));
            for number in 0..20 {
                assert_eq!(spool.pop().unwrap(), Some(Item::Bytes(vec![number; 600])));
            }
            assert!(pushing.join().unwrap());
        });
        assert_eq!(spool.lock().sealed_count, 0);
    }

    #[test]
    fn blocks_come_back_in_order_through_memory_and_disk() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = Entropy::fixed(b"spool");
        let spool = Spool::new(&entropy, Some(folder.path().to_owned()), 2500);
        let block = |number: u8| vec![number; 1000];
        for round in 0..2 {
            for number in 0..50 {
                assert!(push(&spool, block(number), "no room").unwrap());
            }
            assert!(spool.lock().sealed_count >= 48 * (round + 1));
            for number in 0..50 {
                assert_eq!(spool.pop().unwrap(), Some(Item::Bytes(block(number))));
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        spool.end(Ok(()));
        assert_eq!(spool.pop().unwrap(), None);
    }

    #[test]
    fn a_file_that_is_never_empty_is_bounded_all_the_same() {
        let mut spool = spool(1000);
        spool.disk_len_max = 4 * (BLOCK_LEN + SEAL_LEN_MAX) as u64;
        let block = |number: u16| number.to_le_bytes().repeat(BLOCK_LEN / 2);
        for number in 0..3 {
            assert!(push(&spool, block(number), "no room").unwrap());
        }
        for number in 3..300 {
            assert!(push(&spool, block(number), "no room").unwrap());
            assert_eq!(spool.pop().unwrap(), Some(Item::Bytes(block(number - 3))));
            assert!(spool.lock().file.as_ref().unwrap().file_len().unwrap() <= spool.disk_len_max);
        }
        // And what waits in it is.
        assert!(push(&spool, block(300), "no room").unwrap());
        assert_eq!(push(&spool, block(301), "no room").unwrap_err(), "no room");
        assert!(!spool.lock().disk_is_full);
    }

    #[test]
    fn without_room_a_block_waits_as_long_as_that_makes_sense() {
        let spool = spool(1000);
        spool.lock().disk_is_full = true;
        assert!(push(&spool, vec![1; 1000], "full").unwrap());
        assert_eq!(push(&spool, vec![2; 1000], "full").unwrap_err(), "full");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| push_patiently(&spool, vec![2; 1000]));
            assert_eq!(spool.pop().unwrap(), Some(Item::Bytes(vec![1; 1000])));
            assert!(waiting.join().unwrap().unwrap());
        });
        spool.abandon();
        assert!(!push_patiently(&spool, vec![3; 1000]).unwrap());
        spool.end(Err("it broke".to_owned()));
        assert_eq!(spool.pop().unwrap(), Some(Item::Bytes(vec![2; 1000])));
        assert_eq!(spool.pop().unwrap_err().to_string(), "it broke");
    }
}
