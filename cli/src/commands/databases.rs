//! Databases named on the command line.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use coffer_engine::source::sqlite::{SIDECARS, SqliteOptions};

use super::unusable;
use crate::args::BackupArgs;
use crate::exit::{Failure, Result};
use crate::output::escape;
use crate::settings::absolute;

/// The databases that the paths and patterns name: absolute, without symbolic links, each once.
pub(super) fn find(asked: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for asked in asked {
        for path in matches(asked)? {
            let path = std::fs::canonicalize(&path).map_err(|error| unusable(&path, &error))?;
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// A path that exists is itself, whatever characters are in it.
fn matches(asked: &Path) -> Result<Vec<PathBuf>> {
    let path = absolute(asked)?;
    let is_pattern = path.as_os_str().as_bytes().iter().any(|byte| b"*?[".contains(byte));
    if path.exists() || !is_pattern {
        return Ok(vec![path]);
    }
    let shown = || escape::name(asked.as_os_str().as_bytes());
    let pattern = path
        .to_str()
        .ok_or_else(|| Failure::usage(format!("--sqlite {}: a pattern must be UTF-8", shown())))?;
    let paths = glob::glob(pattern)
        .map_err(|error| Failure::usage(format!("--sqlite {}: {error}", shown())))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| unusable(error.path(), error.error()))?;
        if path.is_file() && !is_sidecar(&path) {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("--sqlite {}: no file matches", shown())));
    }
    Ok(found)
}

fn is_sidecar(path: &Path) -> bool {
    SIDECARS.iter().any(|end| path.as_os_str().as_bytes().ends_with(end.as_bytes()))
}

/// How databases are read; none if they are plain files.
pub(super) fn options(args: &BackupArgs) -> Option<SqliteOptions> {
    let recognise = !args.no_sqlite;
    (recognise || !args.sqlite.is_empty()).then(|| SqliteOptions {
        // This very program, even if another version has taken its place meanwhile.
        program: PathBuf::from("/proc/self/exe"),
        lock_max: args.lock_max,
        recognise,
    })
}
