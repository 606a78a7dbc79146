//! What a restore would destroy is asked for first.

use std::io::{BufRead, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::to_sqlite::Place;
use crate::exit::{Code, Failure, Result};
use crate::output::{escape, stderr_line, units};

/// Bytes read of what is typed: longer than any path.
const TYPED_LEN_MAX: u64 = 64 << 10;

/// Asks for the target's path before `removed` files and folders are deleted from it.
///
/// # Errors
/// `Refused` unless it was typed.
pub fn to_delete(target: &Path, removed: u64) -> Result<()> {
    if removed == 0 {
        return Ok(());
    }
    let shown = escape::name(target.as_os_str().as_bytes());
    let what = format!(
        "{} in {shown} would be deleted, as the snapshot does not have them",
        units::count(removed, "file or folder", "files and folders")
    );
    ask(&shown, &what, "look with -n -v, then go on with --yes")
}

/// Asks for the path of a file before a database replaces it.
///
/// # Errors
/// As [`to_delete`].
pub fn to_replace(place: &Place) -> Result<()> {
    if !place.is_taken {
        return Ok(());
    }
    let shown = place.shown();
    let what = format!("{shown} exists and would be replaced");
    ask(&shown, &what, "give the database another name, or go on with --yes")
}

fn ask(shown: &str, what: &str, hint: &str) -> Result<()> {
    let refused = || Failure::new(Code::Refused, format!("{what}; nothing was done")).hint(hint);
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused());
    }
    stderr_line(&format!("{what}.\nType {shown} to go on:"));
    let mut typed = Vec::new();
    let read = std::io::stdin().lock().take(TYPED_LEN_MAX).read_until(b'\n', &mut typed);
    let is_same = read.is_ok() && typed.strip_suffix(b"\n") == Some(shown.as_bytes());
    if is_same { Ok(()) } else { Err(refused()) }
}
