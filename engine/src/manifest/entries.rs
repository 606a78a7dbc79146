//! A manifest back to its entries, from any folder on.

use std::vec::IntoIter;

use super::chunks::damage;
use super::{GetNode, load};
use crate::error::{Error, Result};
use crate::format::node::{Child, Table, decode_page, decode_table};
use crate::model::{Entry, EntryPath, NodeRef, compare_paths};

/// The entries of a manifest in order; holds one page and one table per level.
///
/// After an error the iteration goes on behind the damaged node, so that one lost page costs only
/// its own entries; the error names the first path that is missing.
pub struct Entries<'a> {
    get: &'a GetNode<'a>,
    /// Only entries in this folder, the folder itself included; empty for all.
    folder: Vec<u8>,
    /// Only entries from this path on.
    start: Vec<u8>,
    root: Option<NodeRef>,
    tables: Vec<Level>,
    page: IntoIter<Entry>,
}

/// A table being read.
pub(super) struct Level {
    children: IntoIter<Child>,
    /// All entries below are below this path.
    end: Option<EntryPath>,
}

/// A node to read, and what the table above says of it.
pub(super) struct Next {
    pub(super) node: NodeRef,
    /// First path and number of entries; none for the root.
    pub(super) claim: Option<(EntryPath, u64)>,
    pub(super) end: Option<EntryPath>,
}

/// Looks up one path.
///
/// # Errors
/// When a node on the way cannot be had or is damaged.
pub fn find(root: &NodeRef, path: &[u8], get: &GetNode<'_>) -> Result<Option<Entry>> {
    let found = Entries::within(root, path, get).next().transpose()?;
    Ok(found.filter(|entry| entry.path.as_bytes() == path))
}

impl<'a> Entries<'a> {
    /// Reads all entries.
    #[must_use]
    pub fn all(root: &NodeRef, get: &'a GetNode<'a>) -> Self {
        Self::within(root, &[], get)
    }

    /// Reads the entry of `folder`, then those below; touches only nodes that may hold them.
    #[must_use]
    pub fn within(root: &NodeRef, folder: &[u8], get: &'a GetNode<'a>) -> Self {
        Self::new(root, folder, folder, get)
    }

    /// Reads all entries from the path `start` on, itself included; touches only nodes that may hold
    /// them.
    #[must_use]
    pub fn starting_at(root: &NodeRef, start: &[u8], get: &'a GetNode<'a>) -> Self {
        Self::new(root, &[], start, get)
    }

    fn new(root: &NodeRef, folder: &[u8], start: &[u8], get: &'a GetNode<'a>) -> Self {
        let (folder, start) = (folder.to_vec(), start.to_vec());
        let (tables, page) = (Vec::new(), Vec::new().into_iter());
        Self { get, folder, start, root: Some(*root), tables, page }
    }

    /// The next node to read; none at the end of the folder.
    fn next_node(&mut self) -> Option<Next> {
        if let Some(node) = self.root.take() {
            return Some(Next { node, claim: None, end: None });
        }
        loop {
            let level = self.tables.last_mut()?;
            let Some(next) = level.next() else {
                self.tables.pop();
                continue;
            };
            if next.claim.as_ref().is_some_and(|(first, _)| is_behind(first, &self.folder)) {
                self.tables.clear();
                return None;
            }
            return Some(next);
        }
    }

    /// Reads a node: a page is ready then, or a table more.
    fn open(&mut self, next: &Next) -> Result<()> {
        if next.node.height == 0 {
            let page = next.page(self.get)?;
            let before = page.partition_point(|entry| is_before(&entry.path, &self.start));
            self.page = page.into_iter();
            self.page.by_ref().take(before).for_each(drop);
        } else {
            let children = next.children(self.get)?;
            let below = children.partition_point(|child| {
                is_before(&child.first, &self.start) || child.first.as_bytes() == self.start
            });
            let mut children = children.into_iter();
            children.by_ref().take(below.saturating_sub(1)).for_each(drop);
            self.tables.push(Level { children, end: next.end.clone() });
        }
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.page.next() {
                if entry.path.is_in(&self.folder) {
                    return Some(Ok(entry));
                }
                self.page = Vec::new().into_iter();
                self.tables.clear();
                return None;
            }
            let next = self.next_node()?;
            if let Err(error) = self.open(&next) {
                return Some(Err(next.located(error)));
            }
        }
    }
}

impl Level {
    /// A table from its first child on; all below it is below `end`.
    pub(super) fn new(children: Vec<Child>, end: Option<EntryPath>) -> Self {
        Self { children: children.into_iter(), end }
    }

    /// The next child.
    pub(super) fn next(&mut self) -> Option<Next> {
        let child = self.children.next()?;
        let following = self.children.as_slice().first().map(|next| &next.first);
        let end = following.or(self.end.as_ref()).cloned();
        Some(Next { node: child.node, claim: Some((child.first, child.entries)), end })
    }
}

impl Next {
    /// Reads the entries of a page.
    pub(super) fn page(&self, get: &GetNode<'_>) -> Result<Vec<Entry>> {
        let page = load(get, &self.node, decode_page)?;
        let ends = page.first().zip(page.last()).map(|(first, last)| (&first.path, &last.path));
        self.check(ends, page.len() as u64)?;
        Ok(page)
    }

    /// Reads the children of a table.
    pub(super) fn children(&self, get: &GetNode<'_>) -> Result<Vec<Child>> {
        let Table { height, children } = load(get, &self.node, decode_table)?;
        if height != self.node.height {
            return Err(damage(&self.node, "height differs from its reference"));
        }
        let ends = children.first().zip(children.last());
        let ends = ends.map(|(first, last)| (&first.first, &last.first));
        self.check(ends, children.iter().map(|child| child.entries).sum())?;
        Ok(children)
    }

    /// Names the first path that an error of this node costs.
    pub(super) fn located(&self, error: Error) -> Error {
        match &self.claim {
            Some((first, _)) => error.context(format_args!("entries from {first:?} on")),
            None => error.context("the top of the manifest"),
        }
    }

    /// Compares a node, given its first and last path and its entries, with what is said of it.
    fn check(&self, ends: Option<(&EntryPath, &EntryPath)>, entries: u64) -> Result<()> {
        if let Some((first, count)) = &self.claim
            && (ends.map(|(found, _)| found) != Some(first) || entries != *count)
        {
            return Err(damage(&self.node, "first path or count differs from the table above"));
        }
        if let (Some((_, last)), Some(end)) = (ends, &self.end)
            && last >= end
        {
            return Err(damage(&self.node, "entries reach into the next node"));
        }
        Ok(())
    }
}

fn is_before(path: &EntryPath, folder: &[u8]) -> bool {
    compare_paths(path.as_bytes(), folder).is_lt()
}

/// True if `path` and all paths above it are above every path in `folder`.
fn is_behind(path: &EntryPath, folder: &[u8]) -> bool {
    compare_paths(path.as_bytes(), folder).is_gt() && !path.is_in(folder)
}
