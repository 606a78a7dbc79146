//! Entries and pages for tests.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{PageBuilder, Result, encode_xattrs};
use crate::limits;
use crate::model::{
    ChunkId, Class, Content, Entry, EntryKind, EntryPath, Hole, NodeRef, Owner, Time, Xattr, Xattrs,
};

pub fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

/// A reference whose id is the hash of `seed`.
pub fn node(seed: u64, height: u8) -> NodeRef {
    let id = ChunkId(*blake3::hash(&seed.to_le_bytes()).as_bytes());
    NodeRef { id, class: Class::Ordinary, height }
}

pub fn directory(text: &str) -> Entry {
    Entry {
        path: path(text),
        kind: EntryKind::Directory,
        mode: 0o755,
        owner: Arc::default(),
        mtime: Time { secs: 1_700_000_000, nanos: 5 },
        ctime: Time { secs: 1_700_000_001, nanos: 6 },
        inode: 77,
        racy: false,
        database: false,
        link_group: 0,
        xattrs: Xattrs::default(),
    }
}

/// A file of one chunk.
pub fn file(text: &str, seed: u64) -> Entry {
    let content = Content::Chunks(vec![node(seed, 0)]);
    let kind = EntryKind::File { size: 1000 + seed % 1000, content, holes: Vec::new() };
    Entry { kind, mode: 0o644, inode: 1000 + seed, ..directory(text) }
}

pub fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() }
}

/// One entry of every kind, with everything an entry can have.
pub fn all_kinds() -> Vec<Entry> {
    let owner = Owner { uid: 1000, gid: 100, user: b"ann".to_vec(), group: b"users".to_vec() };
    let owner = Arc::new(owner);
    let holes = vec![Hole { offset: 0, len: 10 }, Hole { offset: 20, len: 80 }];
    let chunks = Content::Chunks(vec![node(1, 0), node(2, 0), node(1, 0)]);
    let sparse = EntryKind::File { size: 100, content: chunks, holes };
    let list = EntryKind::File { size: 1 << 40, content: Content::List(node(3, 2)), holes: vec![] };
    let empty = EntryKind::File { size: 0, content: Content::Chunks(vec![]), holes: vec![] };
    let stored = Xattrs::Stored { len: 5000, chunks: vec![node(4, 0), node(2, 0)] };
    let inline = Xattrs::Inline(vec![xattr("user.a", b"1"), xattr("user.b", b"")]);
    let target = b"../else where".to_vec();
    vec![
        Entry { xattrs: stored.clone(), ..directory("a") },
        Entry { kind: sparse, owner: owner.clone(), link_group: 9, ..file("a/b", 0) },
        Entry {
            kind: list,
            mode: 0o7777,
            racy: true,
            database: true,
            xattrs: stored,
            ..file("a/big", 0)
        },
        Entry { kind: empty, inode: u64::MAX, xattrs: inline, ..file("a/c", 0) },
        Entry { kind: EntryKind::Symlink { target }, owner, ..directory("a-link") },
        Entry { kind: EntryKind::Fifo, ..directory("fifo") },
        Entry { kind: EntryKind::Socket, ..directory("socket") },
        Entry { kind: EntryKind::CharDevice { major: 1, minor: 3 }, ..directory("x") },
        Entry { kind: EntryKind::BlockDevice { major: 8, minor: u32::MAX }, ..directory("y") },
    ]
}

pub fn page(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut builder = PageBuilder::default();
    entries.iter().try_for_each(|entry| builder.push(entry))?;
    assert_eq!(builder.entry_count(), entries.len());
    let counted_len = builder.counted_len();
    let bytes = builder.finish()?;
    assert!(bytes.len() <= counted_len + 128, "{} above {counted_len}", bytes.len());
    Ok(bytes)
}

/// Any entries, ascending, with distinct paths.
pub fn any_entries(count: usize) -> impl Strategy<Value = Vec<Entry>> {
    let component = vec(prop_oneof![Just(b'a'), Just(b'-'), Just(0xff), 1..=0xff_u8], 1..4);
    let path = vec(component, 1..5).prop_map(|parts| EntryPath::new(parts.join(&b'/')));
    let path = path.prop_filter_map("path", std::result::Result::ok);
    btree_map(path, any_entry(), 0..count).prop_map(|entries| {
        let named = |(path, entry)| Entry { path, ..entry };
        entries.into_iter().map(named).collect()
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let time =
        || (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Time { secs, nanos });
    let name = || vec(any::<u8>(), 0..6);
    let owner = (any::<u32>(), 0..3_u32, name(), name());
    let owner = owner.prop_map(|(uid, gid, user, group)| Arc::new(Owner { uid, gid, user, group }));
    let inode = prop_oneof![any::<u64>(), 0..9_u64];
    let times = (time(), time());
    let rest = (0..=0o7777_u32, owner, times, inode, any::<(bool, bool)>(), 0..3_u64);
    (any_kind(), any_xattrs(), rest).prop_map(|(kind, xattrs, rest)| {
        let (mode, owner, (mtime, ctime), inode, (racy, database), group) = rest;
        let database = database && matches!(kind, EntryKind::File { .. });
        let link_group = if kind == EntryKind::Directory { 0 } else { group };
        let path = path("replaced");
        Entry { path, kind, mode, owner, mtime, ctime, inode, racy, database, link_group, xattrs }
    })
}

fn any_kind() -> impl Strategy<Value = EntryKind> {
    let target = vec(1..=0xff_u8, 1..40);
    prop_oneof![
        6 => (any_content(), any_holes()).prop_map(|((stored, content), holes)| {
            let size = stored + holes.iter().map(|hole| hole.len).sum::<u64>();
            let fits = |hole: &Hole| hole.offset + hole.len <= size;
            let holes = if holes.iter().all(fits) { holes } else { vec![] };
            let size = stored + holes.iter().map(|hole| hole.len).sum::<u64>();
            EntryKind::File { size, content, holes }
        }),
        1 => Just(EntryKind::Directory),
        1 => target.prop_map(|target| EntryKind::Symlink { target }),
        1 => Just(EntryKind::Fifo),
        1 => Just(EntryKind::Socket),
        1 => any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::CharDevice { major, minor }),
        1 => any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::BlockDevice { major, minor }),
    ]
}

fn any_content() -> impl Strategy<Value = (u64, Content)> {
    let chunks = vec(0..20_u64, 0..=limits::INLINE_REFS_MAX);
    prop_oneof![
        3 => chunks.prop_map(|seeds| {
            let stored = 50_000 * seeds.len() as u64;
            (stored, Content::Chunks(seeds.into_iter().map(|seed| node(seed, 0)).collect()))
        }),
        1 => (1..1_u64 << 60, 0..5_u64, 1..=limits::NODE_HEIGHT_MAX)
            .prop_map(|(stored, seed, height)| (stored, Content::List(node(seed, height)))),
    ]
}

fn any_holes() -> impl Strategy<Value = Vec<Hole>> {
    vec((0..60_000_u64, 1..9000_u64), 0..5).prop_map(|holes| {
        let mut end = 0;
        let place = |(gap, len)| {
            let offset = end + gap + u64::from(end > 0);
            end = offset + len;
            Hole { offset, len }
        };
        holes.into_iter().map(place).collect()
    })
}

fn any_xattrs() -> impl Strategy<Value = Xattrs> {
    let list = btree_map(vec(1..=0xff_u8, 1..9), vec(any::<u8>(), 0..30), 1..5);
    prop_oneof![
        6 => Just(Xattrs::default()),
        2 => list.prop_map(|list| {
            let list: Vec<_> =
                list.into_iter().map(|(name, value)| Xattr { name, value }).collect();
            assert!(encode_xattrs(&list).unwrap().len() <= limits::XATTRS_INLINE_LEN_MAX);
            Xattrs::Inline(list)
        }),
        1 => (4097..=limits::XATTRS_LEN_MAX, 0..20_u64)
            .prop_map(|(len, seed)| Xattrs::Stored { len, chunks: vec![node(seed, 0)] }),
    ]
}
