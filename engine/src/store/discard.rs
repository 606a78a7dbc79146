//! A store that throws packs away: for measuring what a backup does before them.

use super::{Creation, Listed, MemoryStore, Staged, Store};
use crate::error::Result;

/// Keeps in memory what is created in one step, and nothing of what is staged.
#[derive(Debug, Default)]
pub struct DiscardStore(MemoryStore);

impl DiscardStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for DiscardStore {
    fn location(&self) -> String {
        "nowhere".to_owned()
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        self.0.get(name, len_max)
    }

    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.0.get_range(name, offset, len)
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.0.len(name)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation> {
        self.0.create(name, bytes)
    }

    fn stage(&self) -> Result<Staged> {
        Staged::discarded()
    }

    fn publish(&self, _: Staged, _: &str) -> Result<Creation> {
        Ok(Creation::Created)
    }

    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        self.0.list(prefix, each)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.0.delete(name)
    }
}
