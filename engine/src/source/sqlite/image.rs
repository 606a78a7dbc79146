//! The pages of one moment, kept while they are sent and checked: the lock is gone by then.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// Bytes kept in memory, of all images of a process together.
pub(super) const MEMORY_LEN: usize = 16 << 20;
/// Bytes of a block of what is kept elsewhere: SQLite asks for single pages in any order.
pub const IMAGE_BLOCK_LEN: usize = 16 << 10;
/// Bytes kept elsewhere: as much as a spool takes.
const SHELF_LEN_MAX: u64 = 16 << 30;
/// Blocks of them that were read last.
const RECENT_COUNT: usize = 64;

/// Where blocks wait that memory has no room for. Whoever gives it seals them.
pub struct Shelf {
    /// Takes the next block.
    #[allow(clippy::type_complexity)]
    pub put: Box<dyn FnMut(Vec<u8>) -> io::Result<()>>,
    /// Gives the block of a number, from 0 on.
    #[allow(clippy::type_complexity)]
    pub get: Box<dyn FnMut(u64) -> io::Result<Vec<u8>>>,
}

/// Makes a shelf in a folder, or else where the system has temporary files.
pub type MakeShelf<'m> = &'m dyn Fn(Option<&Path>) -> io::Result<Shelf>;

/// The bytes of a database.
pub(super) struct Image {
    memory: Vec<u8>,
    memory_len_max: usize,
    shelf: Option<Shelf>,
    shelved_len: u64,
    /// Bytes that do not fill a block yet.
    rest: Vec<u8>,
    recent: VecDeque<(u64, Vec<u8>)>,
}

impl Image {
    /// An empty image that keeps so many bytes in memory.
    pub(super) fn new(memory_len_max: usize) -> Self {
        let (memory, rest, recent) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { memory, memory_len_max, shelf: None, shelved_len: 0, rest, recent }
    }

    /// Adds a page.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn push(
        &mut self,
        page: &[u8],
        (make, folder): (MakeShelf<'_>, Option<&Path>),
    ) -> io::Result<()> {
        if self.shelf.is_none() && self.memory.len() + page.len() <= self.memory_len_max {
            self.memory.extend_from_slice(page);
            return Ok(());
        }
        let shelf = match &mut self.shelf {
            Some(shelf) => shelf,
            None => self.shelf.insert(make(folder)?),
        };
        self.rest.extend_from_slice(page);
        while self.rest.len() >= IMAGE_BLOCK_LEN {
            if self.shelved_len >= SHELF_LEN_MAX {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let after = self.rest.split_off(IMAGE_BLOCK_LEN);
            (shelf.put)(std::mem::replace(&mut self.rest, after))?;
            self.shelved_len += IMAGE_BLOCK_LEN as u64;
        }
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        (self.memory.len() + self.rest.len()) as u64 + self.shelved_len
    }

    /// Fills the buffer from `at` on; how much of it there is.
    ///
    /// # Errors
    /// When what was put away cannot be had back.
    pub(super) fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let count = self.read_some(at + filled as u64, room)?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        Ok(filled)
    }

    fn read_some(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let memory_len = self.memory.len() as u64;
        let Some(at_shelf) = at.checked_sub(memory_len) else {
            return Ok(copy(&self.memory, at, buffer));
        };
        match at_shelf.checked_sub(self.shelved_len) {
            Some(at_rest) => Ok(copy(&self.rest, at_rest, buffer)),
            None => {
                let number = at_shelf / IMAGE_BLOCK_LEN as u64;
                let start = at_shelf % IMAGE_BLOCK_LEN as u64;
                Ok(copy(self.block(number)?, start, buffer))
            }
        }
    }

    fn block(&mut self, number: u64) -> io::Result<&[u8]> {
        let known = self.recent.iter().position(|(known, _)| *known == number);
        let found = match known.and_then(|at| self.recent.remove(at)) {
            Some(found) => found,
            None => {
                let shelf = self.shelf.as_mut().ok_or(io::ErrorKind::NotFound)?;
                let block = (shelf.get)(number)?;
                self.recent.truncate(RECENT_COUNT - 1);
                (number, block)
            }
        };
        self.recent.push_front(found);
        Ok(self.recent.front().map_or(&[], |(_, block)| block))
    }
}

fn copy(from: &[u8], at: u64, to: &mut [u8]) -> usize {
    let from = usize::try_from(at).ok().and_then(|at| from.get(at..)).unwrap_or_default();
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// A shelf in memory.
    fn shelf(_: Option<&Path>) -> io::Result<Shelf> {
        let blocks = Rc::new(RefCell::new(Vec::new()));
        let taken = Rc::clone(&blocks);
        Ok(Shelf {
            put: Box::new(move |block| {
                assert_eq!(block.len(), IMAGE_BLOCK_LEN);
                taken.borrow_mut().push(block);
                Ok(())
            }),
            get: Box::new(move |number| Ok(blocks.borrow()[number as usize].clone())),
        })
    }

    #[test]
    fn every_byte_comes_back_from_memory_and_shelf() {
        let page_len = 12_288;
        let byte = |at: u64| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
        let len = (MEMORY_LEN / page_len + 200) * page_len;
        let bytes: Vec<u8> = (0..len as u64).map(byte).collect();
        let mut image = Image::new(MEMORY_LEN);
        for page in bytes.chunks(page_len) {
            image.push(page, (&shelf, None)).unwrap();
        }
        assert_eq!(image.len(), len as u64);
        let mut buffer = vec![0; 100_000];
        for at in (0..len).rev().step_by(77_777) {
            let count = image.read(at as u64, &mut buffer).unwrap();
            assert!(buffer[..count] == bytes[at..len.min(at + buffer.len())], "{at}");
        }
        assert_eq!(image.read(len as u64, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_shelf_that_is_full_is_told() {
        let full = |_: Option<&Path>| Err(io::ErrorKind::StorageFull.into());
        let mut image = Image::new(MEMORY_LEN);
        image.push(&vec![0; MEMORY_LEN], (&full, None)).unwrap();
        assert!(image.push(&[0; 512], (&full, None)).is_err());
    }
}
