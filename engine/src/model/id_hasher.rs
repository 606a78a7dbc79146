//! Maps keyed by ids.

use std::hash::{BuildHasherDefault, Hasher};

/// For maps keyed by ids of 32 bytes, or by what hashes as its id alone.
pub type BuildIdHasher = BuildHasherDefault<IdHasher>;

/// Ids are hashes already: eight of their bytes do.
#[derive(Debug, Clone, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((first, _)) = bytes.split_first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
