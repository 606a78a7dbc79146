//! Databases among secrets: SQLite reads their pages, since a plain copy of one in use is torn.

use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::read::grow;
use crate::model::SecretBytes;
use crate::source::sqlite::{Client, Known, Pages, SqliteOptions, Verdict};

/// What came of a file that begins as a database does.
pub(super) enum Database {
    /// Its pages, of one committed state, and whether SQLite finds them sound.
    Whole(SecretBytes, bool),
    /// SQLite does not take it for one: it is a plain file.
    Refused,
    /// It has more bytes than fit.
    TooLong,
}

/// Reads the database at `path` if it has at most `room` bytes.
///
/// # Errors
/// What to say of one that cannot be read now. What SQLite says of it may name what is in it, and is
/// not told.
pub(super) fn read(
    options: Option<&SqliteOptions>,
    path: &Path,
    room: usize,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Database, String> {
    let Some(options) = options else {
        return Err("is a SQLite database, and those cannot be read in this run".to_owned());
    };
    let failed = |error: std::io::Error| format!("its reader cannot be run: {error}");
    // What is measured of secrets is not kept.
    let options = SqliteOptions { tables: false, ..options.clone() };
    let mut client = Client::start(&options, None).map_err(failed)?;
    match client.probe(path, is_stopped).map_err(failed)? {
        Verdict::Fine => {}
        Verdict::Refused(_) => return Ok(Database::Refused),
        Verdict::Failed(_) => return Err(unreadable()),
    }
    client.read(path, Known::default(), &options).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    loop {
        match client.next(is_stopped).map_err(failed)? {
            Pages::Begun(_) | Pages::Released => {}
            Pages::Block(mut block) => {
                let fits = bytes.len() + block.len() <= room;
                if fits {
                    grow(&mut bytes, &block);
                }
                block.zeroize();
                if !fits {
                    return Ok(Database::TooLong);
                }
            }
            // Nothing is known of secrets.
            Pages::Failed(_) | Pages::Same(_) => return Err(unreadable()),
            Pages::Facts(facts) => {
                let is_sound = facts.is_sound() || facts.unchecked().is_some();
                let bytes = SecretBytes::new(std::mem::take(&mut *bytes));
                return Ok(Database::Whole(bytes, is_sound));
            }
        }
    }
}

fn unreadable() -> String {
    "is a SQLite database that SQLite cannot read now: it is locked, or may not be read; stop its \
     application or try again later"
        .to_owned()
}
