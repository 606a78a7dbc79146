//! Names for runs of the same sources.

use super::BackupOptions;
use crate::source::tree::TreeOptions;

/// Digits of a derived job name: enough that two jobs of one host never meet.
const DERIVED_DIGITS: usize = 16;

/// The job of a run: as given, or a hash of the kinds and canonical roots of its sources.
pub(super) fn name(options: &BackupOptions) -> String {
    if let Some(job) = &options.job {
        return job.clone();
    }
    let mut hasher = blake3::Hasher::new();
    if let Some(tree) = &options.tree {
        for root in roots(tree) {
            hasher.update(b"tree\0").update(&root).update(b"\0");
        }
    }
    if let Some(stream) = &options.stream {
        hasher.update(b"stream\0").update(stream.name.as_bytes()).update(b"\0");
    }
    let hash = hasher.finalize().to_hex();
    hash.get(..DERIVED_DIGITS).unwrap_or_default().to_owned()
}

/// The roots as raw absolute paths, sorted, each once.
pub(super) fn roots(tree: &TreeOptions) -> Vec<Vec<u8>> {
    tree.canonical_roots()
}
