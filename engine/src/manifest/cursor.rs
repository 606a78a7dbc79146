//! A manifest node by node: the reader decides which nodes to open and which to pass unread.

use std::vec::IntoIter;

use super::GetNode;
use super::entries::{Level, Next};
use crate::error::Result;
use crate::model::{Entry, EntryPath, NodeRef};

/// What stands next in a manifest.
#[derive(Debug, PartialEq, Eq)]
pub enum Ahead<'c> {
    /// A table or page that was not read yet; its first path is unknown for the root.
    Node {
        node: &'c NodeRef,
        first: Option<&'c EntryPath>,
    },
    Entry(&'c Entry),
}

/// A place in a manifest, which only goes forward; holds one page and one table per level.
pub struct Cursor<'a> {
    get: &'a GetNode<'a>,
    tables: Vec<Level>,
    page: IntoIter<Entry>,
    node: Option<Next>,
}

impl<'a> Cursor<'a> {
    /// Stands before the root.
    #[must_use]
    pub fn new(root: &NodeRef, get: &'a GetNode<'a>) -> Self {
        let node = Some(Next { node: *root, claim: None, end: None });
        Self { get, tables: Vec::new(), page: Vec::new().into_iter(), node }
    }

    /// What stands next; none at the end.
    pub fn ahead(&mut self) -> Option<Ahead<'_>> {
        if let Some(entry) = self.page.as_slice().first() {
            return Some(Ahead::Entry(entry));
        }
        while self.node.is_none() {
            self.node = self.tables.last_mut()?.next();
            if self.node.is_none() {
                self.tables.pop();
            }
        }
        let Next { node, claim, .. } = self.node.as_ref()?;
        Some(Ahead::Node { node, first: claim.as_ref().map(|(first, _)| first) })
    }

    /// Takes the entry that stands next; none if it is a node, or the end.
    pub fn take(&mut self) -> Option<Entry> {
        self.page.next()
    }

    /// Passes the entry or node that stands next, and with a node everything below it.
    pub fn pass(&mut self) {
        if self.page.next().is_none() {
            self.node = None;
        }
    }

    /// Reads the node that stands next, if it is one; its first child or entry is next then.
    ///
    /// # Errors
    /// When the node cannot be had or is damaged; the cursor stands behind it then, and the error
    /// names the first path that is missing.
    pub fn open(&mut self) -> Result<()> {
        if !self.page.as_slice().is_empty() {
            return Ok(());
        }
        let Some(next) = self.node.take() else { return Ok(()) };
        if next.node.height == 0 {
            self.page = next.page(self.get).map_err(|error| next.located(error))?.into_iter();
            return Ok(());
        }
        match next.children(self.get) {
            Ok(children) => {
                self.tables.push(Level::new(children, next.end));
                Ok(())
            }
            Err(error) => Err(next.located(error)),
        }
    }

    /// Goes on to the first entry that `is_passed` denies, reading only nodes on the way to it.
    /// `is_passed` must be true for a beginning of the order of paths.
    ///
    /// # Errors
    /// As [`Self::open`]; the next call goes on behind the damage.
    pub fn advance(&mut self, is_passed: impl Fn(&EntryPath) -> bool) -> Result<Option<&Entry>> {
        loop {
            let entries = self.page.as_slice();
            if !entries.is_empty() {
                let passed = entries.partition_point(|entry| is_passed(&entry.path));
                self.page.by_ref().take(passed).for_each(drop);
                if !self.page.as_slice().is_empty() {
                    return Ok(self.page.as_slice().first());
                }
            }
            if self.ahead().is_none() {
                return Ok(None);
            }
            // All entries below the node are below its end.
            let is_behind =
                self.node.as_ref().and_then(|next| next.end.as_ref()).is_some_and(&is_passed);
            if is_behind {
                self.node = None;
            } else {
                self.open()?;
            }
        }
    }
}
