//! Names for runs of the same sources.

use std::os::unix::ffi::OsStrExt;

use super::{BackupOptions, SourceOptions};
use crate::crypto::Keyring;
use crate::error::Result;
use crate::model::Class;
use crate::source::tree::TreeOptions;

/// Digits of a derived job name: enough that two jobs of one host never meet.
const DERIVED_DIGITS: usize = 16;

/// The job of a run: as given, or a hash of the kinds and canonical roots of its sources.
///
/// # Errors
/// If there are secrets and the key in use may not read them: their paths go in by keyed names only.
pub(super) fn name(options: &BackupOptions, keyring: &Keyring) -> Result<String> {
    if let Some(job) = &options.job {
        return Ok(job.clone());
    }
    let mut hasher = blake3::Hasher::new();
    for source in &options.sources {
        let kind = source.kind().as_bytes();
        let mut add = |name: &[u8]| {
            hasher.update(kind).update(b"\0").update(name).update(b"\0");
        };
        match source {
            SourceOptions::Tree { options, .. } => roots(options).iter().for_each(|root| add(root)),
            SourceOptions::Sqlite(path) => add(path.as_os_str().as_bytes()),
            SourceOptions::Stream(stream) => add(stream.name.as_bytes()),
            SourceOptions::Secrets(secrets) => {
                for asked in secrets.asked() {
                    add(keyring.data_id(Class::S, &asked)?.as_bytes());
                }
            }
        }
    }
    let hash = hasher.finalize().to_hex();
    Ok(hash.get(..DERIVED_DIGITS).unwrap_or_default().to_owned())
}

/// The roots as raw absolute paths, sorted, each once.
pub(super) fn roots(tree: &TreeOptions) -> Vec<Vec<u8>> {
    tree.canonical_roots()
}
