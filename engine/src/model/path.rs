//! Paths of entries: raw bytes, relative to the root of their source, in component order.

use std::cmp::Ordering;
use std::fmt;

use crate::limits;

/// A path of an entry: components joined by `/`, none empty, `.` or `..`, without NUL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryPath(Box<[u8]>);

/// Why bytes are not an [`EntryPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathProblem {
    /// Longer than [`limits::PATH_LEN_MAX`].
    TooLong,
    /// A component is empty, `.`, `..`, longer than [`limits::COMPONENT_LEN_MAX`] or has a NUL.
    BadComponent,
}

impl EntryPath {
    /// Takes `bytes` as a path.
    ///
    /// # Errors
    /// When the path breaks a rule of [`PathProblem`].
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, PathProblem> {
        let bytes = bytes.into();
        if bytes.len() > limits::PATH_LEN_MAX {
            return Err(PathProblem::TooLong);
        }
        let sound = |component: &[u8]| {
            !component.is_empty()
                && component.len() <= limits::COMPONENT_LEN_MAX
                && component != b"."
                && component != b".."
                && !component.contains(&0)
        };
        if bytes.split(|byte| *byte == b'/').all(sound) {
            Ok(Self(bytes))
        } else {
            Err(PathProblem::BadComponent)
        }
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components, first to last.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.components().next_back().unwrap_or_default()
    }

    /// The path of the directory that holds this one; none at the top.
    #[must_use]
    pub fn parent(&self) -> Option<&[u8]> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        self.0.get(..slash)
    }

    /// True if this path is `folder` or lies below it. The empty folder holds every path.
    #[must_use]
    pub fn is_in(&self, folder: &[u8]) -> bool {
        folder.is_empty()
            || self
                .0
                .strip_prefix(folder)
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(&self.0, &other.0)
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Compares two paths bytewise with `/` below every other byte: a directory stands before its
/// contents, and its contents before the next name.
#[must_use]
pub fn compare_paths(left: &[u8], right: &[u8]) -> Ordering {
    let differs = left.iter().zip(right).find(|(a, b)| a != b);
    match differs {
        None => left.len().cmp(&right.len()),
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((a, b)) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_sorts_below_every_other_byte() {
        let mut paths = ["a-b", "a/b", "a", "a\x01", "b", "a/b/c", "a/b-"]
            .map(|path| EntryPath::new(path.as_bytes()).unwrap());
        paths.sort();
        let sorted: Vec<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let wanted = ["a", "a/b", "a/b/c", "a/b-", "a\x01", "a-b", "b"];
        assert_eq!(sorted, wanted.map(|path| path.as_bytes().to_vec()));
    }

    #[test]
    fn unsound_paths_are_refused() {
        for path in ["", "/a", "a/", "a//b", ".", "a/..", "../a", "a\0"] {
            assert_eq!(EntryPath::new(path.as_bytes()), Err(PathProblem::BadComponent), "{path}");
        }
        assert!(EntryPath::new("x".repeat(256).into_bytes()).is_err());
        assert!(EntryPath::new("x/".repeat(5000).into_bytes()).is_err());
        assert!(EntryPath::new(&b"a/...b/\xff"[..]).is_ok());
    }

    #[test]
    fn is_in_takes_whole_components() {
        let path = EntryPath::new(&b"a/bc"[..]).unwrap();
        assert!(path.is_in(b"a") && path.is_in(b"a/bc") && path.is_in(b""));
        assert!(!path.is_in(b"a/b") && !path.is_in(b"a/bc/d"));
    }
}
