//! The bound on memory, and what it leaves to each stage.

use super::{FrameKind, FramePlace};

/// Bytes that do not depend on the bound: frames being gathered and on their way, caches of frames and
/// of the walk, the states of compressors of the default level, the table of packs.
const FIXED_LEN: u64 = 42 << 20;

/// Bytes that a difference takes while it is made: 512 KiB of plaintext and what becomes of it, base chunks
/// of up to 4 MiB, a prefix, a compressor, and a frame of a MiB being opened.
const DELTA_LEN: u64 = 8 << 20;

/// Bytes of memory that a command may take, the derivation of a key from a password not counted. It
/// holds whatever the size of the source, of the repository, and the number of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBound(u64);

impl MemoryBound {
    /// The smallest bound that can be held, bytes.
    pub const MIN: u64 = 64 << 20;
    /// The bound unless another is asked for, bytes.
    pub const DEFAULT: u64 = 128 << 20;

    /// Bytes that it takes to keep bases in the cache: a frame of a MiB that waits, one that is sealed and opened
    /// again, and the table of what is there.
    pub const KEEPING_LEN: usize = 6 << 20;

    /// The largest bound, bytes: more would bring nothing.
    pub const MAX: u64 = 1 << 40;

    /// A bound of `bytes`, or the nearest that there can be.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(bytes.clamp(Self::MIN, Self::MAX))
    }

    /// Bytes of plaintext in memory while a frame is opened: a delta stands beside its prefix, which comes
    /// from frames of a MiB, sealed and opened one by one.
    #[must_use]
    pub fn opened_len(frame: &FramePlace) -> u64 {
        let plain_len = u64::from(frame.plain_len);
        match frame.kind {
            FrameKind::Full => plain_len,
            FrameKind::Delta => plain_len + (4 << 20),
        }
    }

    /// Plaintext of frames of bases that may be kept, bytes.
    #[must_use]
    pub fn bases_len(self) -> usize {
        count(self.free() / 5, 1).min(64 << 20)
    }

    /// The same, when bases are read from the cache and kept there, which takes its part of that. At least what a
    /// frame of them has.
    #[must_use]
    pub fn cached_bases_len(self) -> usize {
        self.bases_len().saturating_sub(Self::KEEPING_LEN).max(1 << 20)
    }

    fn free(self) -> u64 {
        self.0.saturating_sub(FIXED_LEN)
    }

    /// Frames of `frame_len` bytes that may be compressed, sealed and verified at once: each stands
    /// there as plaintext, compressed and sealed, takes `state_len` bytes for a compressor, and for
    /// every two of them a buffer waits for the next. With differences among them, `bases_len` bytes are for bases
    /// besides, and each takes at least what a difference does. At least 1.
    #[must_use]
    pub fn frame_count(self, frame_len: usize, state_len: u64, bases_len: Option<usize>) -> usize {
        let each = (frame_len as u64).saturating_mul(7) / 2;
        let (least, kept) = bases_len.map_or((0, 0), |len| (DELTA_LEN, len));
        let room = (self.free() / 16 * 11).saturating_sub(kept as u64);
        count(room, each.max(least).saturating_add(state_len)).max(1)
    }

    /// Batches of files, with up to `part_len` bytes each, that may be in work at once: each has a
    /// part in hand and one that waits. At least 3.
    #[must_use]
    pub fn batch_count(self, part_len: usize) -> usize {
        count(self.free() / 16 * 4, (part_len as u64).saturating_mul(2)).max(3)
    }

    /// Bytes of pages that may wait for the store, of one of `database_count` databases that are read at
    /// once. At least 1 MiB.
    #[must_use]
    pub fn spool_len(self, database_count: usize) -> usize {
        count(self.free() / 16, database_count as u64).max(1 << 20)
    }

    /// Plaintext that may be opened at once, bytes; as much again may be sealed.
    #[must_use]
    pub fn plain_len(self) -> u64 {
        self.free() / 3
    }
}

impl Default for MemoryBound {
    fn default() -> Self {
        Self(Self::DEFAULT)
    }
}

fn count(bytes: u64, each: u64) -> usize {
    usize::try_from(bytes / each.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stages_take_together_is_within_the_bound() {
        for bound in [64, 96, 128, 200, 1024, 16 << 10].map(|mib: u64| mib << 20) {
            let memory = MemoryBound::new(bound);
            for (frame_len, state_len) in
                [(64 << 10, 0), (1 << 20, 0), (4 << 20, 0), (4 << 20, 12 << 20)]
            {
                let with_cache = memory.cached_bases_len() + MemoryBound::KEEPING_LEN;
                for bases_len in [None, Some(memory.bases_len()), Some(with_cache)] {
                    let count = memory.frame_count(frame_len, state_len, bases_len);
                    let kept = bases_len.unwrap_or(0);
                    let frames = (count * 3 + count / 2) as u64 * frame_len as u64;
                    let states = count as u64 * state_len;
                    let parts = memory.batch_count(2 << 20) * (4 << 20);
                    let spools = 2 * memory.spool_len(2);
                    let sum = FIXED_LEN + frames + states + (parts + spools + kept) as u64;
                    // The smallest bounds are held but for what at least one or three of each takes.
                    assert!(sum <= bound.max((76 << 20) + state_len), "{bound}: {frames} {parts}");
                }
            }
            assert!(FIXED_LEN + 2 * memory.plain_len() + memory.bases_len() as u64 <= bound);
        }
        assert_eq!(MemoryBound::new(1), MemoryBound::new(MemoryBound::MIN));
        assert_eq!(MemoryBound::new(MemoryBound::MIN).frame_count(4 << 20, 0, Some(0)), 1);
        assert_eq!(MemoryBound::default().frame_count(4 << 20, 0, None), 4);
        assert_eq!(MemoryBound::new(u64::MAX), MemoryBound::new(MemoryBound::MAX));
    }
}
