//! Names for runs of the same sources.

use super::{BackupOptions, SourceOptions};
use crate::crypto::Keyring;
use crate::error::Result;
use crate::model::Class;
use crate::repo::Repository;
use crate::source::tree::TreeOptions;

/// Digits of a derived job name: enough that two jobs of one host never meet.
const DERIVED_DIGITS: usize = 16;

/// The job of a run: as given, or a hash of the kinds of its sources and of what was asked for, not of
/// what a pattern found.
///
/// # Errors
/// If there are secrets and the key in use may not read them: their paths go in by keyed names only.
pub(super) fn name(options: &BackupOptions, keyring: &Keyring) -> Result<String> {
    if let Some(job) = &options.job {
        return Ok(job.clone());
    }
    let mut hasher = blake3::Hasher::new();
    let mut add = |kind: &str, name: &[u8]| {
        hasher.update(kind.as_bytes()).update(b"\0").update(name).update(b"\0");
    };
    for asked in databases(&options.sources) {
        add("sqlite", &asked);
    }
    for source in &options.sources {
        let kind = source.kind();
        match source {
            SourceOptions::Tree { options, .. } => {
                roots(options).iter().for_each(|root| add(kind, root));
            }
            SourceOptions::Sqlite(_) => {}
            SourceOptions::Stream(stream) => add(kind, stream.name.as_bytes()),
            SourceOptions::Secrets(secrets) => {
                for asked in secrets.asked() {
                    add(kind, keyring.data_id(Class::S, &asked)?.as_bytes());
                }
            }
        }
    }
    let hash = hasher.finalize().to_hex();
    Ok(hash.get(..DERIVED_DIGITS).unwrap_or_default().to_owned())
}

/// The job of a run of `options`, as its snapshots name it.
///
/// # Errors
/// As a backup of them: if there are secrets and the key in use may not read them.
pub fn job_of(repo: &Repository, options: &BackupOptions) -> Result<String> {
    name(options, repo.keyring())
}

/// The paths and patterns of databases, absolute, ascending, each once.
fn databases(sources: &[SourceOptions]) -> Vec<Vec<u8>> {
    let asked = sources.iter().flat_map(|source| match source {
        SourceOptions::Sqlite(database) => database.asked.as_slice(),
        _ => &[],
    });
    roots(&TreeOptions { roots: asked.cloned().collect(), ..TreeOptions::default() })
}

/// The roots as raw absolute paths, sorted, each once.
pub(super) fn roots(tree: &TreeOptions) -> Vec<Vec<u8>> {
    tree.canonical_roots()
}
