//! The folders and files asked for, as a small tree of their own.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::SourceError;

/// A directory above a root, or a root. The names lead to more of them.
#[derive(Debug, Default)]
pub(super) struct Waypoint {
    pub(super) is_root: bool,
    names: BTreeMap<CString, Arc<Waypoint>>,
}

impl Waypoint {
    /// The names that lead on, ascending bytewise.
    pub(super) fn names(&self) -> impl Iterator<Item = &CString> {
        self.names.keys()
    }

    pub(super) fn child(&self, name: &std::ffi::CStr) -> Option<&Arc<Self>> {
        self.names.get(name)
    }

    fn add(&mut self, components: &mut dyn Iterator<Item = CString>) {
        match components.next() {
            None => self.is_root = true,
            Some(name) => {
                let child = self.names.entry(name).or_default();
                // Nothing else holds it while the tree is built.
                if let Some(child) = Arc::get_mut(child) {
                    child.add(components);
                }
            }
        }
    }
}

/// The roots that exist, and what is wrong with the others.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) top: Waypoint,
    /// Absolute raw paths, ascending, each once.
    pub(super) paths: Vec<Vec<u8>>,
    pub(super) problems: Vec<SourceError>,
}

impl Roots {
    /// Makes the roots absolute: directories above the last component are resolved, a symbolic link
    /// as the last component stays itself unless the path ends in `/`, `.` or `..`.
    pub(super) fn resolve(asked: &[PathBuf]) -> Self {
        let mut roots = Self::default();
        for root in asked {
            match resolve(root) {
                Ok(path) => roots.paths.push(path.into_os_string().into_vec()),
                Err(error) => {
                    let what = match error.kind() {
                        io::ErrorKind::NotFound => "does not exist".to_owned(),
                        _ => error.to_string(),
                    };
                    roots.problems.push(SourceError::new(root.as_os_str().as_bytes(), what));
                }
            }
        }
        roots.paths.sort_by(|a, b| crate::model::compare_paths(a, b));
        roots.paths.dedup();
        for path in &roots.paths {
            let components = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
            // A path that was just looked up has no NUL.
            let mut names = components.filter_map(|name| CString::new(name).ok());
            roots.top.add(&mut names);
        }
        roots
    }
}

/// The roots made absolute, whether they exist or not; ascending, each once.
pub(super) fn canonical(asked: &[PathBuf]) -> Vec<Vec<u8>> {
    let absolute = |root: &PathBuf| {
        let path = resolve(root).or_else(|_| std::path::absolute(root));
        path.unwrap_or_else(|_| root.clone()).into_os_string().into_vec()
    };
    let mut roots: Vec<Vec<u8>> = asked.iter().map(absolute).collect();
    roots.sort();
    roots.dedup();
    roots
}

/// An existing root made absolute, as [`Roots::resolve`] does.
pub(in crate::source) fn resolve(root: &Path) -> io::Result<PathBuf> {
    let bytes = root.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty path"));
    }
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = bytes.split_at(slash.map_or(0, |slash| slash + 1));
    if matches!(name, b"" | b"." | b"..") {
        return fs::canonicalize(root);
    }
    let parent = if parent.is_empty() { b"." } else { parent };
    let path = fs::canonicalize(OsStr::from_bytes(parent))?.join(OsStr::from_bytes(name));
    fs::symlink_metadata(&path)?;
    Ok(path)
}
