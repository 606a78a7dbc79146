//! Which entries are wanted.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{Error, Kind, Result};

/// Patterns in the grammar of `.gitignore`, rooted at what is restored.
#[derive(Debug)]
pub(super) struct Filter {
    includes: Option<Gitignore>,
    excludes: Option<Gitignore>,
}

impl Filter {
    pub(super) fn new(includes: &[String], excludes: &[String]) -> Result<Self> {
        Ok(Self { includes: build(includes)?, excludes: build(excludes)? })
    }

    /// True if everything is wanted that is not excluded.
    pub(super) fn includes_all(&self) -> bool {
        self.includes.is_none()
    }

    /// True if an include names `path`. What is in an included directory is included too.
    pub(super) fn includes(&self, path: &[u8], is_directory: bool) -> bool {
        matches(self.includes.as_ref(), path, is_directory)
    }

    /// True if an exclude names `path`. Nothing in an excluded directory comes back.
    pub(super) fn excludes(&self, path: &[u8], is_directory: bool) -> bool {
        matches(self.excludes.as_ref(), path, is_directory)
    }
}

fn matches(patterns: Option<&Gitignore>, path: &[u8], is_directory: bool) -> bool {
    let path = Path::new(OsStr::from_bytes(path));
    patterns.is_some_and(|patterns| patterns.matched(path, is_directory).is_ignore())
}

fn build(patterns: &[String]) -> Result<Option<Gitignore>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let unsound = |error: ignore::Error| Error::new(Kind::Input, format!("pattern: {error}"));
    let mut builder = GitignoreBuilder::new("/");
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(unsound)?;
    }
    builder.build().map(Some).map_err(unsound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_gitignore() {
        let lines =
            |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let filter =
            Filter::new(&lines(&["/home/u", "*.txt"]), &lines(&["cache/", "*.log", "!keep.log"]))
                .unwrap();
        assert!(filter.includes(b"home/u", true) && filter.includes(b"x/y.txt", false));
        assert!(!filter.includes(b"srv/home/u", true) && !filter.includes(b"home", true));
        assert!(filter.excludes(b"a/cache", true) && !filter.excludes(b"a/cache", false));
        assert!(filter.excludes(b"a/b.log", false) && !filter.excludes(b"a/keep.log", false));
        assert!(filter.excludes(b"a/\xff.log", false));
        assert!(Filter::new(&[], &lines(&["{a"])).is_err());
    }
}
