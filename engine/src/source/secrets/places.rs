//! Where secrets are: what was asked for, made absolute, and what stands behind links.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{SecretsSource, environment};
use crate::error::SourceError;
use crate::model::SecretBytes;
use crate::source::sqlite::{SIDECARS, begins_as_database};
use crate::source::tree::resolve_root;

/// Bytes of a file of settings.
const ENVIRONMENT_LEN_MAX: u64 = 1 << 20;

/// One file or folder to read.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What the user asked for: it alone may be named.
    pub asked: PathBuf,
    /// Where it is stored: absolute, directories above its last component resolved.
    pub path: PathBuf,
    /// Without any link.
    pub real: PathBuf,
}

/// Everything asked for, and what of it is not there.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub list: Vec<Place>,
    pub problems: Vec<SourceError>,
}

impl Places {
    /// Looks for what `source` asks for; reads its files of settings.
    pub(super) fn find(source: &SecretsSource) -> Self {
        let mut places = Self::default();
        for asked in &source.paths {
            places.add(asked, asked, None);
        }
        for asked in &source.environment_files {
            if !places.add(asked, asked, None) {
                continue;
            }
            match settings(asked) {
                Ok(text) => {
                    for (line, value) in environment::named_files(text.as_bytes()) {
                        places.add_named(
                            asked,
                            line,
                            Path::new(std::ffi::OsStr::from_bytes(value)),
                        );
                    }
                }
                Err(what) => places.problem(asked, what),
            }
        }
        places
    }

    /// The paths as they are stored and as they really are, with what SQLite puts, or may put, beside
    /// those of databases: its WAL holds what it holds.
    pub(super) fn claimed(&self) -> Vec<PathBuf> {
        let databases = self.list.iter().filter(|place| begins_as_database(&place.real));
        let beside = databases.flat_map(|place| SIDECARS.map(|end| with_end(&place.real, end)));
        self.roots().into_iter().chain(beside).collect()
    }

    /// The paths to walk: with a link both it, for the folders above it, and what it points to.
    pub(super) fn roots(&self) -> Vec<PathBuf> {
        self.list.iter().flat_map(|place| [place.path.clone(), place.real.clone()]).collect()
    }

    /// What may be said instead of `path`.
    pub(super) fn shown(&self, path: &Path) -> Vec<u8> {
        let holds = |place: &&Place| {
            [&place.path, &place.real].iter().any(|it| path.starts_with(it) || it.starts_with(path))
        };
        let place = self.list.iter().find(holds);
        place.map_or(b"secrets".to_vec(), |place| place.asked.as_os_str().as_bytes().to_vec())
    }

    /// A setting's file: absolute, and a file.
    fn add_named(&mut self, asked: &Path, line: usize, path: &Path) {
        let what = if !path.is_absolute() {
            "names a file by a relative path: give an absolute one"
        } else if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            "names something that is no file"
        } else {
            self.add(asked, path, Some(line));
            return;
        };
        self.problem(asked, format!("its line {line} {what}"));
    }

    fn add(&mut self, asked: &Path, path: &Path, line: Option<usize>) -> bool {
        let found = resolve_root(path).and_then(|path| Ok((fs::canonicalize(&path)?, path)));
        match found {
            Ok((real, path)) => {
                self.list.push(Place { asked: asked.to_owned(), path, real });
                true
            }
            Err(error) => {
                let what = match error.kind() {
                    std::io::ErrorKind::NotFound => "does not exist".to_owned(),
                    _ => error.to_string(),
                };
                let of = line.map(|line| format!("the file that its line {line} names: "));
                self.problem(asked, format!("{}{what}", of.unwrap_or_default()));
                false
            }
        }
    }

    fn problem(&mut self, asked: &Path, what: impl std::fmt::Display) {
        self.problems.push(SourceError::new(asked.as_os_str().as_bytes(), what));
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn settings(path: &Path) -> Result<SecretBytes, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > ENVIRONMENT_LEN_MAX {
        return Err("is no file of settings: it must be a file of at most 1 MiB".to_owned());
    }
    let mut text = Vec::with_capacity(ENVIRONMENT_LEN_MAX as usize + 1);
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(ENVIRONMENT_LEN_MAX).read_to_end(&mut text);
    let text = SecretBytes::new(text);
    read.map_err(unreadable)?;
    Ok(text)
}
