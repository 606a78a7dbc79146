//! Marks on the chunks of an index.

use std::collections::HashSet;

use super::Index;
use crate::model::ChunkId;

/// A set of chunks, at one bit for each chunk of the index, marked or not. Those that the index does not
/// know take a place each.
#[derive(Debug)]
pub struct Marks<'i> {
    index: &'i Index,
    words: Vec<u64>,
    unknown: HashSet<ChunkId>,
}

impl<'i> Marks<'i> {
    /// Nothing marked yet.
    #[must_use]
    pub fn new(index: &'i Index) -> Self {
        let count = usize::try_from(index.entry_count().div_ceil(64)).unwrap_or(usize::MAX);
        Self { index, words: vec![0; count], unknown: HashSet::new() }
    }

    /// True if the chunk is marked.
    #[must_use]
    pub fn contains(&self, id: &ChunkId) -> bool {
        let Some(number) = self.index.entry_number(id) else { return self.unknown.contains(id) };
        let word = usize::try_from(number / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// How many chunks are marked.
    #[must_use]
    pub fn count(&self) -> u64 {
        let known: u64 = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
        known + self.unknown.len() as u64
    }

    /// Marks a chunk; true if it was not marked.
    pub fn insert(&mut self, id: &ChunkId) -> bool {
        let Some(number) = self.index.entry_number(id) else { return self.unknown.insert(*id) };
        let Some(word) = self.words.get_mut((number / 64) as usize) else { return true };
        let bit = 1 << (number % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}
