//! The bound on memory, and what it leaves to each stage.

/// Bytes that do not depend on the bound: frames being gathered and on their way, caches of frames and
/// of the walk, the states of compressors, the table of packs.
const FIXED_LEN: u64 = 42 << 20;

/// Bytes of memory that a command may take, the derivation of a key from a password not counted. It
/// holds whatever the size of the source, of the repository, and the number of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBound(u64);

impl MemoryBound {
    /// The smallest bound that can be held, bytes.
    pub const MIN: u64 = 64 << 20;
    /// The bound unless another is asked for, bytes.
    pub const DEFAULT: u64 = 128 << 20;

    /// A bound of `bytes`, at least [`Self::MIN`].
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(bytes.max(Self::MIN))
    }

    fn free(self) -> u64 {
        self.0.saturating_sub(FIXED_LEN)
    }

    /// Frames of `frame_len` bytes that may be compressed, sealed and verified at once: each stands
    /// there as plaintext, compressed and sealed. At least 1.
    #[must_use]
    pub fn frame_count(self, frame_len: usize) -> usize {
        count(self.free() / 16 * 9, (frame_len as u64).saturating_mul(3)).max(1)
    }

    /// Batches of files, with up to `part_len` bytes each, that may be in work at once: each has a
    /// part in hand and one that waits. At least 3.
    #[must_use]
    pub fn batch_count(self, part_len: usize) -> usize {
        count(self.free() / 16 * 7, (part_len as u64).saturating_mul(2)).max(3)
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
            for frame_len in [64 << 10, 1 << 20, 4 << 20] {
                let frames = memory.frame_count(frame_len) * frame_len * 3;
                let parts = memory.batch_count(2 << 20) * (4 << 20);
                let sum = FIXED_LEN + frames as u64 + parts as u64;
                // The smallest bound is held but for one batch.
                assert!(sum <= bound.max(68 << 20), "{bound}: {frames} {parts}");
            }
            assert!(FIXED_LEN + 2 * memory.plain_len() <= bound);
        }
        assert_eq!(MemoryBound::new(1), MemoryBound::new(MemoryBound::MIN));
        assert_eq!(MemoryBound::new(MemoryBound::MIN).frame_count(4 << 20), 1);
        assert_eq!(MemoryBound::default().frame_count(4 << 20), 4);
    }
}
