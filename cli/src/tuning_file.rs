//! The file between `coffer tune --save` and `init --tuned`: settings of a repository, as JSON.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use coffer_engine::repo::Tuning;
use serde::{Deserialize, Serialize};

use crate::exit::{Code, Failure, Result};
use crate::output::escape;

/// The version of the file that this program writes and knows.
const VERSION: u32 = 1;
/// Bytes of a file at most.
const LEN_MAX: u64 = 64 << 10;
const HINT: &str = "`coffer tune PATH --save FILE` writes such a file";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    coffer_tuning: u32,
    zstd_level: i32,
    frame_len: u64,
    pack_len: u64,
    tree_chunk_avg: u64,
}

/// Reads settings.
///
/// # Errors
/// A usage failure when the file cannot be read, is no such file, or holds what no writer follows.
pub fn load(path: &Path) -> Result<Tuning> {
    let failed = |what: String| Failure::usage(format!("{}: {what}", shown(path))).hint(HINT);
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LEN_MAX + 1).read_to_end(&mut text));
    let len = read.map_err(|error| failed(error.to_string()))?;
    if len as u64 > LEN_MAX {
        return Err(failed(format!("has more than {LEN_MAX} bytes: it is no file of settings")));
    }
    let wire: Wire = serde_json::from_slice(&text)
        .map_err(|error| failed(format!("is no file of settings: {error}")))?;
    if wire.coffer_tuning != VERSION {
        let found = wire.coffer_tuning;
        return Err(failed(format!("has version {found}; this program knows {VERSION}")));
    }
    let tuning = Tuning {
        zstd_level: wire.zstd_level,
        frame_len: wire.frame_len,
        pack_len: wire.pack_len,
        tree_chunk_avg: wire.tree_chunk_avg,
    };
    tuning.check().map_err(|error| failed(error.to_string()))?;
    Ok(tuning)
}

/// Writes settings to a new file.
///
/// # Errors
/// Fails when there is a file already, or it cannot be written; then there is none.
pub fn save(path: &Path, tuning: &Tuning) -> Result<()> {
    let Tuning { zstd_level, frame_len, pack_len, tree_chunk_avg } = *tuning;
    let wire = Wire { coffer_tuning: VERSION, zstd_level, frame_len, pack_len, tree_chunk_avg };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| unwritable(path, &error))?;
    let written = serde_json::to_vec_pretty(&wire).map_err(io::Error::from).and_then(|mut text| {
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()
    });
    written.map_err(|error| {
        // Half a file would be refused later, far from its cause.
        let _ = std::fs::remove_file(path);
        unwritable(path, &error)
    })
}

/// Refuses a path that [`save`] could not write, before the work that leads to it.
///
/// # Errors
/// Fails when there is something already, or there is no folder for it.
pub fn check_new(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(unwritable(path, &io::ErrorKind::AlreadyExists.into()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match folder.metadata() {
        Ok(folder) if folder.is_dir() && path.file_name().is_some() => Ok(()),
        Ok(_) => Err(unwritable(path, &io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(unwritable(path, &error)),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let what = format!("{} exists already", shown(path));
        return Failure::new(Code::Failed, what).hint("remove it, or name another file");
    }
    Failure::new(Code::Failed, format!("writing {}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    escape::name(path.as_os_str().as_bytes())
}
