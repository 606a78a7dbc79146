//! The lists of what secrets need: marks and checks without their keys go by them alone.

use std::collections::{BTreeSet, HashSet};

use super::Report;
use crate::error::Result;
use crate::manifest::{Names, Start, walk_references};
use crate::model::{ChunkId, Class, NodeRef, Source};
use crate::observe::Observer;
use crate::repo::{ChunkReader, Repository};

/// Chunks of data and nodes of class S.
type Ids = (BTreeSet<ChunkId>, BTreeSet<ChunkId>);

/// Where the lists of a source begin.
pub(super) fn lists(source: &Source) -> impl Iterator<Item = Start> {
    [source.s_data_ids, source.s_node_ids].into_iter().flatten().map(Start::Content)
}

/// Compares the lists of every source of secrets with its manifest, if the key in use may read it.
pub(super) fn check_lists(
    reader: &ChunkReader<'_>,
    repo: &Repository,
    sources: &[&Source],
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<()> {
    let mut seen = HashSet::new();
    for source in sources {
        let Some(root) = source.root.filter(|root| root.class == Class::S) else { continue };
        if !seen.insert((root, source.s_data_ids, source.s_node_ids)) {
            continue;
        }
        if source.s_node_ids.is_none() {
            report.find(observer, format!("source {}", source.name), "has no list of its nodes");
        }
        if !repo.keyring().has_secrets() {
            continue;
        }
        let same = needed(reader, root).and_then(|needed| Ok(needed == listed(reader, source)?));
        match same {
            Ok(true) => {}
            Ok(false) => {
                let what = "its lists of chunks differ from what its manifest needs";
                report.find(observer, format!("source {}", source.name), what);
            }
            // What is damaged has been told when it was walked.
            Err(error) if error.kind().is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a manifest needs of class S.
fn needed(reader: &ChunkReader<'_>, root: NodeRef) -> Result<Ids> {
    let mut ids = Ids::default();
    let get = |node: &NodeRef| reader.node(node);
    walk_references(Start::Manifest(root), &get, &mut |node, names| {
        let list = if names == Names::Data { &mut ids.0 } else { &mut ids.1 };
        let is_new = node.class == Class::S && list.insert(node.id);
        Ok(is_new && names != Names::Data)
    })?;
    Ok(ids)
}

fn listed(reader: &ChunkReader<'_>, source: &Source) -> Result<Ids> {
    let get = |node: &NodeRef| reader.node(node);
    let below = |list: Option<NodeRef>| -> Result<BTreeSet<ChunkId>> {
        let mut ids = BTreeSet::new();
        if let Some(list) = list {
            let mut seen = HashSet::new();
            walk_references(Start::Content(list), &get, &mut |node, names| {
                if names == Names::Data {
                    ids.insert(node.id);
                }
                Ok(names != Names::Data && seen.insert(node.id))
            })?;
        }
        Ok(ids)
    };
    Ok((below(source.s_data_ids)?, below(source.s_node_ids)?))
}
