//! Two ordered streams as one.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::Entries;
use crate::error::Result;
use crate::model::{Entry, EntryPath};

/// Where a path stands in two streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    Left(Entry),
    Right(Entry),
    Both(Entry, Entry),
}

/// Merges two streams of entries in path order; errors of either come out where they stand.
pub struct Merge<L: Iterator, R: Iterator> {
    left: Peekable<L>,
    right: Peekable<R>,
}

impl<L, R> Merge<L, R>
where
    L: Iterator<Item = Result<Entry>>,
    R: Iterator<Item = Result<Entry>>,
{
    /// Merges `left` and `right`, which ascend.
    pub fn new(left: L, right: R) -> Self {
        Self { left: left.peekable(), right: right.peekable() }
    }
}

impl<L, R> Iterator for Merge<L, R>
where
    L: Iterator<Item = Result<Entry>>,
    R: Iterator<Item = Result<Entry>>,
{
    type Item = Result<Merged>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.left.peek(), self.right.peek()) {
            (Some(Err(_)), _) | (Some(Ok(_)), None) => Ordering::Less,
            (_, Some(Err(_))) | (None, Some(Ok(_))) => Ordering::Greater,
            (Some(Ok(left)), Some(Ok(right))) => left.path.cmp(&right.path),
            (None, None) => return None,
        };
        match order {
            Ordering::Less => Some(self.left.next()?.map(Merged::Left)),
            Ordering::Greater => Some(self.right.next()?.map(Merged::Right)),
            Ordering::Equal => match (self.left.next()?, self.right.next()?) {
                (Ok(left), Ok(right)) => Some(Ok(Merged::Both(left, right))),
                (Err(error), _) | (_, Err(error)) => Some(Err(error)),
            },
        }
    }
}

/// Follows ascending paths through a manifest, as a backup follows its parent.
pub struct Follower<'a> {
    entries: Entries<'a>,
    ahead: Option<Entry>,
}

impl<'a> Follower<'a> {
    /// Follows through `entries`.
    #[must_use]
    pub fn new(entries: Entries<'a>) -> Self {
        Self { entries, ahead: None }
    }

    /// Gives the entry at `path`, if there is one; passes all entries below. Paths must ascend from
    /// call to call.
    ///
    /// # Errors
    /// When a part of the manifest cannot be read; the next call goes on behind it, and may be for
    /// the same path.
    pub fn find(&mut self, path: &EntryPath) -> Result<Option<Entry>> {
        loop {
            let next = match self.ahead.take() {
                Some(entry) => entry,
                None => match self.entries.next() {
                    Some(entry) => entry?,
                    None => return Ok(None),
                },
            };
            match next.path.cmp(path) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(next)),
                Ordering::Greater => {
                    self.ahead = Some(next);
                    return Ok(None);
                }
            }
        }
    }
}
