//! Which snapshots and paths damage touches.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Report, TOUCHED_COUNT_MAX, Touched};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Entries, Names, Start, walk_references};
use crate::model::{
    ChunkId, Class, Content, Entry, EntryKind, NodeRef, Snapshot, SnapshotId, SnapshotRef, Source,
    Xattrs,
};
use crate::observe::Observer;
use crate::repo::ChunkReader;

/// Walks every entry of every snapshot and names those that need a bad chunk.
pub(super) fn find(
    reader: &ChunkReader<'_>,
    snapshots: &[(SnapshotRef, Snapshot)],
    bad: &HashSet<ChunkId>,
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<()> {
    let mut search = Search { reader, bad, lists: HashMap::new() };
    for (object, snapshot) in snapshots {
        for source in &snapshot.sources {
            let Some(root) = source.root else { continue };
            if root.class == Class::S {
                if search.secrets_are_bad(source)? {
                    note(report, object.sid, Vec::new());
                }
                continue;
            }
            let met_bad = AtomicBool::new(false);
            let get = |node: &NodeRef| {
                met_bad.fetch_or(bad.contains(&node.id), Ordering::Relaxed);
                reader.node(node)
            };
            for entry in Entries::all(&root, &get) {
                if observer.is_interrupted() {
                    return Err(Error::new(Kind::Interrupted, "interrupted"));
                }
                match entry {
                    Ok(entry) if search.needs_bad(&entry)? => {
                        note(report, object.sid, entry.path.as_bytes().to_vec());
                    }
                    Ok(_) => {}
                    // A page or table is gone: what it listed is not known.
                    Err(error) if error.kind().is_damage() => {
                        note(report, object.sid, Vec::new());
                    }
                    Err(error) => return Err(error),
                }
            }
            // Still readable here, but its pack is not what it claims, and no writer relies on it.
            if met_bad.into_inner() && report.snapshots_damaged.last() != Some(&object.sid) {
                note(report, object.sid, Vec::new());
            }
        }
    }
    Ok(())
}

fn note(report: &mut Report, snapshot: SnapshotId, path: Vec<u8>) {
    report.touched_count += 1;
    if report.snapshots_damaged.last() != Some(&snapshot) {
        report.snapshots_damaged.push(snapshot);
    }
    if report.touched.len() < TOUCHED_COUNT_MAX {
        report.touched.push(Touched { snapshot, path });
    }
}

struct Search<'s> {
    reader: &'s ChunkReader<'s>,
    bad: &'s HashSet<ChunkId>,
    /// Id lists looked into, and whether they need a bad chunk.
    lists: HashMap<ChunkId, bool>,
}

impl Search<'_> {
    fn needs_bad(&mut self, entry: &Entry) -> Result<bool> {
        let content = match &entry.kind {
            EntryKind::File { content: Content::Chunks(chunks), .. } => self.any_bad(chunks),
            EntryKind::File { content: Content::List(root), .. } => self.list_is_bad(root)?,
            _ => false,
        };
        let xattrs = matches!(&entry.xattrs, Xattrs::Stored { chunks, .. } if self.any_bad(chunks));
        Ok(content || xattrs)
    }

    /// Whether secrets are touched. Which, is not for everyone who may check a repository.
    fn secrets_are_bad(&mut self, source: &Source) -> Result<bool> {
        for list in [source.s_data_ids, source.s_node_ids].into_iter().flatten() {
            if self.bad.contains(&list.id) || self.list_is_bad(&list)? {
                return Ok(true);
            }
        }
        Ok(source.root.is_some_and(|root| self.bad.contains(&root.id)))
    }

    fn any_bad(&self, chunks: &[NodeRef]) -> bool {
        chunks.iter().any(|chunk| self.bad.contains(&chunk.id))
    }

    fn list_is_bad(&mut self, root: &NodeRef) -> Result<bool> {
        if let Some(known) = self.lists.get(&root.id) {
            return Ok(*known);
        }
        let mut found = false;
        let get = |node: &NodeRef| self.reader.node(node);
        let mut seen = HashSet::new();
        let walked = walk_references(Start::Content(*root), &get, &mut |node, names| {
            found = found || self.bad.contains(&node.id);
            Ok(!found && names != Names::Data && seen.insert(node.id))
        });
        let is_bad = match walked {
            Ok(()) => found,
            Err(error) if error.kind().is_damage() => true,
            Err(error) => return Err(error),
        };
        self.lists.insert(root.id, is_bad);
        Ok(is_bad)
    }
}
