//! Entries by name, in many snapshots at the cost of their differences.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{searchable_root, stop_if_asked, tell_damage};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Ahead, Cursor};
use crate::model::{ChunkId, Entry, NodeRef, Source};
use crate::observe::Observer;
use crate::repo::ChunkReader;

/// Entries found that are kept, so that a page is read once; about 500 bytes each. Pages of what is
/// found beyond are read again in the next snapshot.
const KEPT_COUNT_MAX: usize = 200_000;

/// Takes an entry that was found; says whether to go on.
pub type Found<'f> = dyn FnMut(&Entry) -> Result<bool> + 'f;

/// Looks for entries by name; remembers what each page of a manifest holds of them.
pub struct Finder<'r> {
    reader: &'r ChunkReader<'r>,
    patterns: Gitignore,
    is_wanted: &'r dyn Fn(&Entry) -> bool,
    /// What was found in each page read.
    pages: HashMap<ChunkId, Arc<[Entry]>>,
    kept_count: usize,
    pages_read: u64,
    damaged: u64,
}

impl<'r> Finder<'r> {
    /// Looks for what any of `globs` names (in the grammar of `.gitignore`, rooted at `/`) and
    /// `is_wanted` accepts.
    ///
    /// # Errors
    /// `Input` for an unsound pattern.
    pub fn new(
        reader: &'r ChunkReader<'r>,
        globs: &[String],
        is_wanted: &'r dyn Fn(&Entry) -> bool,
    ) -> Result<Self> {
        let unsound = |error: ignore::Error| Error::new(Kind::Input, format!("pattern: {error}"));
        let mut builder = GitignoreBuilder::new("/");
        for glob in globs {
            builder.add_line(None, glob).map_err(unsound)?;
        }
        let patterns = builder.build().map_err(unsound)?;
        let (pages, kept_count) = (HashMap::new(), 0);
        Ok(Self { reader, patterns, is_wanted, pages, kept_count, pages_read: 0, damaged: 0 })
    }

    /// Calls `found` for what `source` has, in order. Damage is told to `observer` and counted; what is
    /// behind it is looked through.
    ///
    /// # Errors
    /// Those of `found`; `Unavailable` when the store does not answer; `Interrupted`.
    pub fn find(
        &mut self,
        source: &Source,
        observer: &dyn Observer,
        found: &mut Found<'_>,
    ) -> Result<()> {
        let Some(root) = searchable_root(source) else { return Ok(()) };
        let reader = self.reader;
        let get = |node: &NodeRef| reader.node(node);
        let mut cursor = Cursor::new(&root, &get);
        while let Some(ahead) = cursor.ahead() {
            stop_if_asked(observer)?;
            let page = match ahead {
                Ahead::Node { node, .. } if node.height == 0 => node.id,
                _ => {
                    let opened = cursor.open();
                    opened.or_else(|error| tell_damage(error, observer, &mut self.damaged))?;
                    continue;
                }
            };
            let entries = if let Some(known) = self.pages.get(&page) {
                cursor.pass();
                Arc::clone(known)
            } else {
                match cursor.open() {
                    Ok(()) => self.look_through(page, &mut cursor),
                    Err(error) => {
                        tell_damage(error, observer, &mut self.damaged)?;
                        continue;
                    }
                }
            };
            for entry in entries.iter() {
                if !found(entry)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Pages read so far.
    #[must_use]
    pub fn pages_read(&self) -> u64 {
        self.pages_read
    }

    /// Nodes that could not be read so far.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    fn look_through(&mut self, page: ChunkId, cursor: &mut Cursor<'_>) -> Arc<[Entry]> {
        self.pages_read += 1;
        let mut found = Vec::new();
        while let Some(entry) = cursor.take() {
            if self.matches(&entry) {
                found.push(entry);
            }
        }
        let found: Arc<[Entry]> = found.into();
        if self.kept_count + found.len() <= KEPT_COUNT_MAX {
            self.kept_count += found.len();
            self.pages.insert(page, Arc::clone(&found));
        }
        found
    }

    fn matches(&self, entry: &Entry) -> bool {
        let path = Path::new(OsStr::from_bytes(entry.path.as_bytes()));
        self.patterns.matched(path, entry.is_directory()).is_ignore() && (self.is_wanted)(entry)
    }
}
