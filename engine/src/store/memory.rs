//! A store in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Creation, Listed, Staged, Store, check_name, check_prefix, not_found, too_long, too_short,
};
use crate::error::Result;

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces an object's bytes, or puts them without any rule: what damage tests need.
    pub fn tamper(&self, name: &str, bytes: Vec<u8>) {
        self.objects().insert(name.to_owned(), Arc::new(bytes));
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Vec<u8>>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, name: &str) -> Result<Arc<Vec<u8>>> {
        check_name(name)?;
        self.objects().get(name).cloned().ok_or_else(|| not_found(name, &self.location()))
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        let object = self.object(name)?;
        let len = object.len() as u64;
        if len > len_max { Err(too_long(name, len, len_max)) } else { Ok(object.to_vec()) }
    }

    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let object = self.object(name)?;
        let end = offset.saturating_add(len as u64);
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        range
            .and_then(|(start, end)| object.get(start..end))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| too_short(name, object.len() as u64, end))
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        check_name(name)?;
        Ok(self.objects().get(name).map(|object| object.len() as u64))
    }

    fn stage(&self) -> Result<Staged> {
        Staged::unnamed()
    }

    fn publish(&self, staged: Staged, name: &str) -> Result<Creation> {
        check_name(name)?;
        let len = usize::try_from(staged.len()).unwrap_or(usize::MAX);
        let bytes = staged.read_at(0, len)?;
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Ok(Creation::Exists);
        }
        objects.insert(name.to_owned(), Arc::new(bytes));
        Ok(Creation::Created)
    }

    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        check_prefix(prefix)?;
        let listed: Vec<(String, u64)> = self
            .objects()
            .range(prefix.to_owned()..)
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, object)| (name.clone(), object.len() as u64))
            .collect();
        listed.iter().try_for_each(|(name, len)| each(name, *len))
    }

    fn delete(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.objects().remove(name);
        Ok(())
    }
}
