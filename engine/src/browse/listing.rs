//! What is right in a folder of a manifest.

use crate::error::Result;
use crate::manifest::{Cursor, GetNode};
use crate::model::{Entry, EntryPath, NodeRef, compare_paths};

/// The entries right in `folder`, in order; what is in folders below is passed unread.
///
/// # Errors
/// When a node that may hold one of them cannot be had or is damaged.
pub(super) fn children(
    root: &NodeRef,
    folder: &[u8],
    get: &GetNode<'_>,
    each: &mut dyn FnMut(Entry),
) -> Result<()> {
    let mut cursor = Cursor::new(root, get);
    let is_before =
        |path: &EntryPath| !folder.is_empty() && compare_paths(path.as_bytes(), folder).is_le();
    cursor.advance(is_before)?;
    while let Some(entry) = cursor.take() {
        if !entry.path.is_in(folder) {
            break;
        }
        let path = entry.path.clone();
        let is_directory = entry.is_directory();
        each(entry);
        let passed =
            |other: &EntryPath| other <= &path || (is_directory && other.is_in(path.as_bytes()));
        cursor.advance(passed)?;
    }
    Ok(())
}
