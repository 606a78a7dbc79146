//! A file of the tree, open for reading.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::stat::Stat;
use crate::limits;
use crate::model::Hole;

/// Bytes of the shortest run of zeros that is worth its own mention.
const HOLE_LEN_MIN: u64 = 64 << 10;
/// Runs looked at before the rest of a file counts as data: a hostile file has millions.
const RUN_COUNT_MAX: usize = 1 << 16;

/// A regular file, open for reading.
#[derive(Debug)]
pub struct OpenFile {
    pub file: File,
    /// As it was when opened.
    pub stat: Stat,
}

impl OpenFile {
    /// Looks at the file again: [`Stat::is_unchanged`] tells whether it was written to since.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub fn stat_again(&self) -> io::Result<Stat> {
        Ok(Stat::of(&self.file)?)
    }

    /// The runs of zeros that take no space, ascending: the longest ones, at most
    /// [`limits::HOLE_COUNT_MAX`]. Leaves the position at the start.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub fn holes(&self) -> io::Result<Vec<Hole>> {
        let size = self.stat.size;
        if size < HOLE_LEN_MIN || self.stat.blocks.saturating_mul(512) >= size {
            return Ok(Vec::new());
        }
        let mut longest = BinaryHeap::new();
        let mut at = 0;
        for _ in 0..RUN_COUNT_MAX {
            let Some(hole) = self.next_hole(at)? else {
                break;
            };
            at = hole.offset + hole.len;
            if hole.len >= HOLE_LEN_MIN {
                longest.push(Reverse((hole.len, hole.offset)));
            }
            if longest.len() > limits::HOLE_COUNT_MAX {
                longest.pop();
            }
        }
        seek(&self.file, SeekFrom::Start(0))?;
        let holes = longest.into_iter().map(|Reverse((len, offset))| Hole { offset, len });
        let mut holes: Vec<_> = holes.collect();
        holes.sort_by_key(|hole| hole.offset);
        Ok(holes)
    }

    /// The first hole at or after `at`; none before the end.
    fn next_hole(&self, at: u64) -> io::Result<Option<Hole>> {
        let size = self.stat.size;
        if at >= size {
            return Ok(None);
        }
        let offset = match seek(&self.file, SeekFrom::Hole(at)) {
            // Shorter by now, or a filesystem that does not tell.
            Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            offset => offset?,
        };
        if offset < at || offset >= size {
            return Ok(None);
        }
        let end = match seek(&self.file, SeekFrom::Data(offset)) {
            Err(Errno::NXIO) => size,
            end => end?.min(size),
        };
        Ok((end > offset).then(|| Hole { offset, len: end - offset }))
    }
}
