//! What `stat` is told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coffer_engine::model::{Entry, EntryKind, Hole, Time};
use fuser::{FileAttr, FileType, INodeNo};

use super::layout::Place;

/// Bytes of a block as `stat` counts them.
const BLOCK_LEN: u64 = 512;
/// What programs read at once, bytes.
const READ_LEN: u32 = 128 << 10;

/// Attributes of a place of the layout.
pub fn of_place(number: u64, place: &Place, at_ns: i64) -> FileAttr {
    let nanos = u32::try_from(at_ns.rem_euclid(1_000_000_000)).unwrap_or(0);
    let at = moment(Time { secs: at_ns.div_euclid(1_000_000_000), nanos });
    let (kind, perm, size) = match place {
        Place::Link(target) => (FileType::Symlink, 0o777, target.len() as u64),
        Place::Folder(_) | Place::Snapshot(_) => (FileType::Directory, 0o755, 0),
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: 0,
        atime: at,
        mtime: at,
        ctime: at,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: READ_LEN,
        flags: 0,
    }
}

/// Attributes of an entry.
pub fn of_entry(number: u64, entry: &Entry, link_count: u32) -> FileAttr {
    let mtime = moment(entry.mtime);
    let size = match &entry.kind {
        EntryKind::Symlink { target } => target.len() as u64,
        _ => entry.file_size(),
    };
    let holes = holes_of(entry).iter().map(|hole| hole.len).fold(0, u64::saturating_add);
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: entry.file_size().saturating_sub(holes).div_ceil(BLOCK_LEN),
        atime: mtime,
        mtime,
        ctime: moment(entry.ctime),
        crtime: UNIX_EPOCH,
        kind: kind_of(entry),
        perm: u16::try_from(entry.mode & 0o7777).unwrap_or(0),
        nlink: link_count,
        uid: entry.owner.uid,
        gid: entry.owner.gid,
        rdev: match entry.kind {
            EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
                device(major, minor)
            }
            _ => 0,
        },
        blksize: READ_LEN,
        flags: 0,
    }
}

pub fn kind_of(entry: &Entry) -> FileType {
    match entry.kind {
        EntryKind::File { .. } => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink { .. } => FileType::Symlink,
        EntryKind::Fifo => FileType::NamedPipe,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice { .. } => FileType::CharDevice,
        EntryKind::BlockDevice { .. } => FileType::BlockDevice,
    }
}

/// Where `SEEK_DATA` or `SEEK_HOLE` leads from `offset`; none behind the end, or without data left.
pub fn seek(entry: &Entry, offset: u64, for_hole: bool) -> Option<u64> {
    let size = entry.file_size();
    if offset >= size {
        return None;
    }
    let mut at = offset;
    for hole in holes_of(entry) {
        let end = hole.offset.saturating_add(hole.len);
        if for_hole && at < end {
            return Some(at.max(hole.offset));
        }
        if !for_hole && at >= hole.offset && at < end {
            at = end;
        }
    }
    if for_hole { Some(size) } else { Some(at).filter(|at| *at < size) }
}

fn holes_of(entry: &Entry) -> &[Hole] {
    match &entry.kind {
        EntryKind::File { holes, .. } => holes,
        _ => &[],
    }
}

/// The kernel's `new_encode_dev`.
fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

/// A time of an entry; the epoch if the system's clock cannot hold it.
fn moment(time: Time) -> SystemTime {
    let nanos = Duration::from_nanos(time.nanos.into());
    let whole = Duration::from_secs(time.secs.unsigned_abs());
    let base = match time.secs {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    base.and_then(|base| base.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_engine::model::{Content, EntryPath};

    fn sparse(size: u64, holes: &[(u64, u64)]) -> Entry {
        let holes = holes.iter().map(|(offset, len)| Hole { offset: *offset, len: *len }).collect();
        Entry {
            path: EntryPath::new(&b"a"[..]).unwrap(),
            kind: EntryKind::File { size, content: Content::Chunks(Vec::new()), holes },
            mode: 0o4644,
            owner: Default::default(),
            mtime: Time { secs: -2, nanos: 5 },
            ctime: Default::default(),
            inode: 1,
            racy: false,
            database: false,
            link_group: 0,
            xattrs: Default::default(),
        }
    }

    #[test]
    fn holes_are_found_and_not_counted() {
        let entry = sparse(10_000, &[(0, 4096), (8192, 1808)]);
        let data = [0, 4096, 5000, 8192].map(|at| seek(&entry, at, false));
        assert_eq!(data, [Some(4096), Some(4096), Some(5000), None]);
        let holes = [0, 4096, 9000, 10_000].map(|at| seek(&entry, at, true));
        assert_eq!(holes, [Some(0), Some(8192), Some(9000), None]);
        assert_eq!(seek(&sparse(10, &[]), 3, true), Some(10));
        let attributes = of_entry(9, &entry, 3);
        assert_eq!((attributes.blocks, attributes.nlink, attributes.perm), (8, 3, 0o4644));
        let before = UNIX_EPOCH.duration_since(attributes.mtime).unwrap();
        assert_eq!(before, Duration::new(1, 999_999_995));
    }

    #[test]
    fn devices_are_told_as_the_kernel_packs_them() {
        assert_eq!(device(1, 3), 0x103);
        assert_eq!(device(8, 0x1234), 0x0120_0834);
    }
}
