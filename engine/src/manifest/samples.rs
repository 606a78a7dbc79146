//! Nodes in memory, for tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::Kind;
use crate::model::{Content, Entry};

const CUT_KEY: [u8; 32] = [7; 32];

/// Nodes in memory, and how many were asked for.
#[derive(Default)]
pub struct Nodes {
    pub by_id: HashMap<ChunkId, Arc<Vec<u8>>>,
    gets: AtomicUsize,
}

impl Nodes {
    pub fn put(&mut self, bytes: Vec<u8>) -> ChunkId {
        let id = ChunkId(*blake3::hash(&bytes).as_bytes());
        self.by_id.insert(id, Arc::new(bytes));
        id
    }

    pub fn write(&mut self, entries: &[Entry]) -> Root {
        let mut writer = ManifestWriter::new(Class::Ordinary, CUT_KEY);
        let mut put = |_, bytes| Ok(self.put(bytes));
        entries.iter().for_each(|entry| writer.push(entry, &mut put).unwrap());
        writer.finish(&mut put).unwrap()
    }

    pub fn write_content(&mut self, runs: impl IntoIterator<Item = (NodeRef, u64)>) -> Content {
        let mut writer = ContentWriter::new(Class::Ordinary);
        let mut put = |_, bytes| Ok(self.put(bytes));
        let push = |(chunk, repeat)| writer.push_run(chunk, 1 << 16, repeat, &mut put).unwrap();
        runs.into_iter().for_each(push);
        writer.finish(&mut put).unwrap()
    }

    pub fn get(&self) -> impl Fn(&NodeRef) -> Result<Arc<Vec<u8>>> {
        |node| {
            self.gets.fetch_add(1, Ordering::Relaxed);
            let found = self.by_id.get(&node.id).cloned();
            found.ok_or_else(|| Error::new(Kind::NotFound, "node is gone"))
        }
    }

    pub fn read(&self, root: &Root) -> Vec<Entry> {
        Entries::all(&root.node, &self.get()).map(std::result::Result::unwrap).collect()
    }

    pub fn count_gets<T>(&self, act: impl FnOnce() -> T) -> (T, usize) {
        let before = self.gets.load(Ordering::Relaxed);
        let result = act();
        (result, self.gets.load(Ordering::Relaxed) - before)
    }
}
