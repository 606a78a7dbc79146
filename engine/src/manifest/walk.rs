//! Everything a manifest or a content needs, by the beginnings of nodes alone.

use super::chunks::damage;
use super::{GetNode, load};
use crate::error::Result;
use crate::format::node::{NodeHead, NodeKind, references};
use crate::model::NodeRef;

/// Where a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The root of a manifest.
    Manifest(NodeRef),
    /// A chunk of data (height 0) or the root of an id list.
    Content(NodeRef),
}

/// What a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Names {
    /// A chunk of data.
    Data,
    /// A node of this kind.
    Node(NodeKind),
}

/// Calls `each` for the start and for every reference below it, parents first. `each` says whether to go
/// on below a node: it must say no to nodes it has seen, as a node may be referred to many times.
///
/// # Errors
/// Those of `each`; and when a node cannot be had or does not fit its reference.
pub fn walk_references(
    start: Start,
    get: &GetNode<'_>,
    each: &mut dyn FnMut(&NodeRef, Names) -> Result<bool>,
) -> Result<()> {
    let (root, names) = match start {
        Start::Manifest(root) if root.height == 0 => (root, Names::Node(NodeKind::Page)),
        Start::Manifest(root) => (root, Names::Node(NodeKind::Table)),
        Start::Content(root) => (root, names_in_content(root.height)),
    };
    // Heights fall from node to node, so this holds at most one node per level.
    let mut levels = Vec::new();
    if each(&root, names)? {
        levels.extend(open(&root, names, get)?);
    }
    while let Some((kind, references)) = levels.last_mut() {
        let Some(reference) = references.next() else {
            levels.pop();
            continue;
        };
        let names = names_in(*kind, reference.height);
        if each(&reference, names)? {
            levels.extend(open(&reference, names, get)?);
        }
    }
    Ok(())
}

type Level = (NodeKind, std::vec::IntoIter<NodeRef>);

/// Reads the references of a node; none if it is data.
fn open(node: &NodeRef, names: Names, get: &GetNode<'_>) -> Result<Option<Level>> {
    let Names::Node(kind) = names else { return Ok(None) };
    let head: NodeHead = load(get, node, references)?;
    if head.kind != kind || head.height != node.height {
        return Err(damage(node, "kind or height differs from its reference"));
    }
    Ok(Some((kind, head.references.into_iter())))
}

/// The table at the head of the format's page 5.
fn names_in(kind: NodeKind, height: u8) -> Names {
    match kind {
        NodeKind::Page | NodeKind::IdList => names_in_content(height),
        NodeKind::Table if height == 0 => Names::Node(NodeKind::Page),
        NodeKind::Table => Names::Node(NodeKind::Table),
    }
}

fn names_in_content(height: u8) -> Names {
    if height == 0 { Names::Data } else { Names::Node(NodeKind::IdList) }
}
