//! What must hold for every entry, checked alike before encoding and after decoding.

use super::columns::to_u64;
use super::xattrs::check_xattrs;
use super::{FormatError, Result};
use crate::limits;
use crate::model::{Content, Entry, EntryKind, Hole, NodeRef, Owner, Time, Xattrs};

/// What an entry costs in a page besides its parts of variable length: bytes, an upper bound.
const FIXED_LEN: usize = 96;
/// What a reference costs in a page: bytes, an upper bound.
const REFERENCE_LEN: usize = 36;
/// What a hole costs in a page: bytes, an upper bound.
const HOLE_LEN: usize = 20;

/// Checks that an entry can be stored as it is; gives its length in bytes as counted for cutting.
///
/// # Errors
/// When the entry breaks a rule of the format.
pub fn check_entry(entry: &Entry) -> Result<usize> {
    Ok(check_body(entry)?.saturating_add(check_attributes(&entry.xattrs)?))
}

/// The bytes of a file that are stored: its length less its holes.
///
/// # Errors
/// When the holes are too many, touch, do not ascend, or end behind the file.
pub fn stored_len(size: u64, holes: &[Hole]) -> Result<u64> {
    let bad = || FormatError::Bad { field: "holes" };
    if holes.len() > limits::HOLE_COUNT_MAX {
        return Err(FormatError::Excess { field: "holes", count: to_u64(holes.len()) });
    }
    let mut stored = size;
    let mut end = None;
    for hole in holes {
        if hole.len == 0 || end.is_some_and(|end| hole.offset <= end) {
            return Err(bad());
        }
        end = hole.offset.checked_add(hole.len);
        if end.is_none_or(|end| end > size) {
            return Err(bad());
        }
        stored = stored.checked_sub(hole.len).ok_or_else(bad)?;
    }
    Ok(stored)
}

/// Checks all but the attributes; gives the length in bytes as counted for cutting without them.
pub(super) fn check_body(entry: &Entry) -> Result<usize> {
    if entry.mode > 0o7777 {
        return Err(FormatError::Bad { field: "mode" });
    }
    check_time(entry.mtime, "mtime nanoseconds")?;
    check_time(entry.ctime, "ctime nanoseconds")?;
    if entry.link_group != 0 && entry.is_directory() {
        return Err(FormatError::Bad { field: "link group of a directory" });
    }
    let kind_len = match &entry.kind {
        EntryKind::File { size, content, holes } => check_file(*size, content, holes)?,
        EntryKind::Symlink { target } => check_target(target)?,
        _ => 0,
    };
    Ok(FIXED_LEN
        .saturating_add(entry.path.as_bytes().len())
        .saturating_add(check_owner(&entry.owner)?)
        .saturating_add(kind_len))
}

/// Checks the attributes; gives their length in bytes as counted for cutting.
pub(super) fn check_attributes(xattrs: &Xattrs) -> Result<usize> {
    match xattrs {
        Xattrs::Inline(list) => {
            let len = check_xattrs(list)?;
            if len > limits::XATTRS_INLINE_LEN_MAX {
                let len = to_u64(len);
                return Err(FormatError::Excess { field: "inline attribute list", count: len });
            }
            Ok(len)
        }
        Xattrs::Stored { len, chunks } => {
            if *len > limits::XATTRS_LEN_MAX {
                return Err(FormatError::Excess { field: "attribute list", count: *len });
            }
            if *len <= to_u64(limits::XATTRS_INLINE_LEN_MAX) {
                return Err(FormatError::Bad { field: "stored attribute list" });
            }
            check_chunks(chunks, *len)
        }
    }
}

pub(super) fn check_owner(owner: &Owner) -> Result<usize> {
    for name in [&owner.user, &owner.group] {
        if name.len() > limits::OWNER_NAME_LEN_MAX {
            return Err(FormatError::Excess { field: "owner name", count: to_u64(name.len()) });
        }
    }
    Ok(owner.user.len().saturating_add(owner.group.len()))
}

fn check_time(time: Time, field: &'static str) -> Result<()> {
    if time.nanos < 1_000_000_000 { Ok(()) } else { Err(FormatError::Bad { field }) }
}

fn check_file(size: u64, content: &Content, holes: &[Hole]) -> Result<usize> {
    let stored = stored_len(size, holes)?;
    let content_len = match content {
        Content::Chunks(chunks) => check_chunks(chunks, stored)?,
        Content::List(list) => {
            if list.height == 0 || list.height > limits::NODE_HEIGHT_MAX {
                return Err(FormatError::Bad { field: "height of an id list" });
            }
            if stored == 0 {
                return Err(FormatError::Bad { field: "size of a content" });
            }
            REFERENCE_LEN
        }
    };
    Ok(content_len.saturating_add(holes.len().saturating_mul(HOLE_LEN)))
}

/// Checks chunks that hold `len` bytes together.
fn check_chunks(chunks: &[NodeRef], len: u64) -> Result<usize> {
    let count = to_u64(chunks.len());
    if chunks.len() > limits::INLINE_REFS_MAX {
        return Err(FormatError::Excess { field: "chunks of an entry", count });
    }
    if chunks.iter().any(|chunk| chunk.height != 0) {
        return Err(FormatError::Bad { field: "height of a chunk" });
    }
    let most = count.saturating_mul(limits::CHUNK_LEN_MAX.into());
    if len < count || len > most {
        return Err(FormatError::Bad { field: "size of a content" });
    }
    Ok(chunks.len().saturating_mul(REFERENCE_LEN))
}

fn check_target(target: &[u8]) -> Result<usize> {
    if target.len() > limits::LINK_TARGET_LEN_MAX {
        return Err(FormatError::Excess { field: "link target", count: to_u64(target.len()) });
    }
    if target.is_empty() || target.contains(&0) {
        return Err(FormatError::Bad { field: "link target" });
    }
    Ok(target.len())
}
