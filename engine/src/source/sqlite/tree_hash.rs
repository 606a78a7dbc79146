//! BLAKE3 of a database, group of pages by group.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

/// Bytes of a group: 64 chunks of BLAKE3, a whole subtree of its tree.
pub const GROUP_LEN: usize = 64 << 10;

/// The hash of one group, in its place.
pub type GroupHash = ChainingValue;

/// Hashes a stream of groups. The result is plain BLAKE3 of all bytes, and what it is made of are the
/// hashes of the groups, by which two states of a database are compared.
#[derive(Default)]
pub struct TreeHash {
    /// Subtrees to the left of the last group, the largest first.
    subtrees: Vec<ChainingValue>,
    /// Groups in them.
    merged: u64,
    /// The last group, whose place in the tree depends on whether one follows.
    last: Option<ChainingValue>,
    /// Plain BLAKE3 of the first group, in case it stays alone.
    first: Option<blake3::Hash>,
}

impl TreeHash {
    /// Adds the next group: [`GROUP_LEN`] bytes, fewer only at the end, never none.
    pub fn add(&mut self, group: &[u8]) -> GroupHash {
        debug_assert!(!group.is_empty() && group.len() <= GROUP_LEN);
        if let Some(last) = self.last.take() {
            self.merge(last);
        }
        let mut hasher = Hasher::new();
        hasher.set_input_offset(self.merged * GROUP_LEN as u64).update(group);
        if self.merged == 0 {
            self.first = Some(blake3::hash(group));
        }
        *self.last.insert(hasher.finalize_non_root())
    }

    fn merge(&mut self, mut subtree: ChainingValue) {
        self.merged += 1;
        for _ in 0..self.merged.trailing_zeros() {
            if let Some(left) = self.subtrees.pop() {
                subtree = merge_subtrees_non_root(&left, &subtree, Mode::Hash);
            }
        }
        self.subtrees.push(subtree);
    }

    /// BLAKE3 of all groups.
    #[must_use]
    pub fn finish(mut self) -> blake3::Hash {
        let Some(mut right) = self.last else { return blake3::hash(&[]) };
        while let Some(left) = self.subtrees.pop() {
            if self.subtrees.is_empty() {
                return merge_subtrees_root(&left, &right, Mode::Hash);
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        self.first.unwrap_or_else(|| blake3::hash(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_blake3_of_all_bytes() {
        for len in [0, 1, 1000, 65_535, 65_536, 65_537, 131_072, 200_000, 1 << 20, 1_234_567] {
            let bytes: Vec<u8> = (0..len).map(|at: usize| (at / 7 % 251) as u8).collect();
            let mut hash = TreeHash::default();
            for group in bytes.chunks(GROUP_LEN) {
                hash.add(group);
            }
            assert_eq!(hash.finish(), blake3::hash(&bytes), "{len}");
        }
    }
}
