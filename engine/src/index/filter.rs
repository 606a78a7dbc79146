//! A filter in front of a run: tells of most ids that are not there, with one look.
//!
//! Blocks of 512 bits; an id's leading bits choose the block, so that blocks fill in the order of the
//! entries, and six groups of nine of its other bits choose bits in it. With ten bits an entry about one
//! miss in a hundred is not told (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters).

use std::io::{self, Write};

use super::write::Scratch;
use crate::cache::Draft;
use crate::model::ChunkId;

pub(super) const BLOCK_LEN: usize = 64;
const BITS_AN_ENTRY: u64 = 10;
const BIT_COUNT: u32 = 6;
/// Bytes of blocks kept in memory; more wait on a disk.
const MEMORY_LEN_MAX: usize = 1 << 20;

/// Blocks of a filter for at most `entries` ids.
pub(super) fn block_count(entries: u64) -> u32 {
    let blocks = (entries * BITS_AN_ENTRY).div_ceil(BLOCK_LEN as u64 * 8);
    u32::try_from(blocks).unwrap_or(u32::MAX)
}

/// The leading 64 bits of an id.
pub(super) fn leading(id: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// What part of `count` things stands before those that begin with `key`, if they are evenly spread.
pub(super) fn part(key: u64, count: u32) -> u32 {
    let at = (u128::from(key) * u128::from(count)) >> 64;
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// True if the block at `block` of its filter may have the id.
pub(super) fn may_have(block: &[u8; BLOCK_LEN], id: &ChunkId) -> bool {
    bits(id).all(|bit| block[bit / 8] >> (bit % 8) & 1 == 1)
}

fn bits(id: &ChunkId) -> impl Iterator<Item = usize> {
    let [.., a, b, c, d, e, f, g, h] = id.0;
    let bits = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    (0..BIT_COUNT).map(move |at| (bits >> (9 * at)) as usize % (8 * BLOCK_LEN))
}

/// Makes a filter from ids in ascending order.
pub(super) struct FilterWriter<'a> {
    scratch: &'a Scratch<'a>,
    block_count: u32,
    /// Blocks that wait on a disk.
    written: usize,
    disk: Option<Draft>,
    has_disk: bool,
    /// Those after them, the one being filled last.
    memory: Vec<[u8; BLOCK_LEN]>,
}

impl<'a> FilterWriter<'a> {
    pub fn new(scratch: &'a Scratch<'a>, block_count: u32) -> Self {
        let (disk, memory) = (None, Vec::new());
        Self { scratch, block_count, written: 0, disk, has_disk: true, memory }
    }

    pub fn add(&mut self, id: &ChunkId) -> io::Result<()> {
        let block = part(leading(&id.0), self.block_count) as usize;
        if block - self.written >= self.memory.len() {
            if self.has_disk && self.memory.len() * BLOCK_LEN >= MEMORY_LEN_MAX {
                self.spill()?;
            }
            self.memory.resize(block - self.written + 1, [0; BLOCK_LEN]);
        }
        for bit in bits(id) {
            self.memory[block - self.written][bit / 8] |= 1 << (bit % 8);
        }
        Ok(())
    }

    /// Moves what is complete to a disk; without one it stays.
    fn spill(&mut self) -> io::Result<()> {
        if self.disk.is_none() {
            self.disk = (self.scratch)();
        }
        if let Some(disk) = &mut self.disk {
            disk.write_all(self.memory.as_flattened())?;
            self.written += self.memory.len();
            self.memory.clear();
        }
        self.has_disk = self.disk.is_some();
        Ok(())
    }

    /// Gives all blocks to `out`, in order.
    pub fn finish(mut self, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Some(disk) = &mut self.disk {
            out(&disk.map()?)?;
        }
        self.memory.resize(self.block_count as usize - self.written, [0; BLOCK_LEN]);
        out(self.memory.as_flattened())
    }
}
