//! What the golden repository holds: chunks of data, and the entries that need them.

use std::sync::Arc;

use coffer_engine::format::node::encode_xattrs;
use coffer_engine::model::{
    Content, Entry, EntryKind, EntryPath, Hole, NodeRef, Owner, Time, Xattr, Xattrs,
};

/// `len` bytes that do not compress: BLAKE3 of a seed, extended.
pub fn stream(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Lines of text.
pub fn lines(word: &str, count: usize) -> Vec<u8> {
    (0..count).map(|line| format!("{word} line {line}\n")).collect::<String>().into_bytes()
}

/// The plaintexts of the data chunks, by name.
pub struct Plain {
    /// Stands raw.
    pub noise: Vec<u8>,
    /// Stand in one frame, compressed.
    pub text: Vec<u8>,
    pub attributes: Vec<u8>,
    /// `text` with a line put in: stands as a difference to it.
    pub edited: Vec<u8>,
    /// Of class S.
    pub secret: Vec<u8>,
}

impl Plain {
    pub fn make() -> Self {
        let text = lines("first", 60);
        let edited = [&text[..100], b"a line put in\n", &text[100..]].concat();
        let long = Xattr { name: b"user.long".to_vec(), value: lines("value", 400) };
        Self {
            noise: stream("coffer vectors: noise", 1000),
            attributes: encode_xattrs(&[long]).unwrap(),
            text,
            edited,
            secret: b"TOKEN=golden secret\n".to_vec(),
        }
    }
}

/// References to the data chunks and to the id lists.
pub struct References {
    pub noise: NodeRef,
    pub text: NodeRef,
    pub attributes: NodeRef,
    pub edited: NodeRef,
    /// An id list of height 1, and one of height 2.
    pub list: NodeRef,
    pub lists: NodeRef,
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    let owner = Owner { uid: 1000, gid: 100, user: b"ann".to_vec(), group: b"users".to_vec() };
    Entry {
        path: EntryPath::new(path.as_bytes()).unwrap(),
        kind,
        mode: 0o644,
        owner: Arc::new(owner),
        mtime: Time { secs: 1_700_000_000, nanos: 123_456_789 },
        ctime: Time { secs: 1_700_000_005, nanos: 0 },
        inode: 1000,
        racy: false,
        database: false,
        link_group: 0,
        xattrs: Xattrs::default(),
    }
}

fn directory(path: &str) -> Entry {
    Entry { mode: 0o755, ..entry(path, EntryKind::Directory) }
}

fn file(path: &str, size: u64, content: Content, holes: &[Hole]) -> Entry {
    entry(path, EntryKind::File { size, content, holes: holes.to_vec() })
}

/// The only entry of the worked example's page.
pub fn stream_entry(plain: &Plain, refs: &References) -> Entry {
    let content = Content::Chunks(vec![refs.text, refs.edited]);
    let size = plain.text.len() + plain.edited.len();
    let owner = Arc::default();
    Entry { owner, mode: 0o600, inode: 0, ..file("dump", size as u64, content, &[]) }
}

/// A folder and the secret in it.
pub fn secret_entries(plain: &[u8], chunk: NodeRef) -> [Entry; 2] {
    let content = Content::Chunks(vec![chunk]);
    let secret = file("srv/.env", plain.len() as u64, content, &[]);
    [directory("srv"), Entry { mode: 0o600, ..secret }]
}

/// The last entry of the tree, which stands in a page of its own.
pub fn last_entry(refs: &References) -> Entry {
    let content = Content::Chunks(vec![refs.noise]);
    Entry { inode: 2000, ..file("srv/z", 1000, content, &[]) }
}

/// Every kind of entry, with everything an entry can have.
pub fn entries(plain: &Plain, refs: &References) -> Vec<Entry> {
    let noise = plain.noise.len() as u64;
    let chunks = |nodes: &[NodeRef]| Content::Chunks(nodes.to_vec());
    let holes = [Hole { offset: 0, len: 4096 }, Hole { offset: 4596, len: 8192 }];
    let attribute = |name: &str, value: &[u8]| Xattr { name: name.into(), value: value.to_vec() };
    let inline = Xattrs::Inline(vec![attribute("user.a", b"1"), attribute("user.b", b"")]);
    let stored = |node| Xattrs::Stored { len: plain.attributes.len() as u64, chunks: vec![node] };
    let list_len = 40 * noise + plain.text.len() as u64;
    let early = Time { secs: -5, nanos: 999_999_999 };
    let target = b"../else where".to_vec();
    vec![
        directory("srv"),
        Entry { xattrs: stored(refs.attributes), inode: 1001, ..directory("srv/a") },
        Entry { xattrs: inline, mode: 0o4755, ..file("srv/a/empty", 0, chunks(&[]), &[]) },
        Entry { link_group: 9, ..file("srv/a/one", noise, chunks(&[refs.noise]), &[]) },
        Entry {
            racy: true,
            database: false,
            mtime: early,
            inode: u64::MAX,
            ..file("srv/a/sparse", noise + 4096 + 8192, chunks(&[refs.noise]), &holes)
        },
        Entry { link_group: 9, ..file("srv/a-two", noise, chunks(&[refs.noise]), &[]) },
        Entry {
            owner: Arc::default(),
            ..entry("srv/char", EntryKind::CharDevice { major: 1, minor: 3 })
        },
        entry("srv/block", EntryKind::BlockDevice { major: 8, minor: 4_000_000_000 }),
        entry("srv/fifo", EntryKind::Fifo),
        Entry { mode: 0o777, ..entry("srv/link", EntryKind::Symlink { target }) },
        Entry {
            xattrs: stored(refs.attributes),
            ..file("srv/long", list_len, Content::List(refs.list), &[])
        },
        file("srv/longer", 2 * list_len, Content::List(refs.lists), &[]),
        file(
            "srv/same",
            (2 * plain.text.len() + plain.edited.len()) as u64,
            chunks(&[refs.text, refs.edited, refs.text]),
            &[],
        ),
        entry("srv/socket", EntryKind::Socket),
    ]
}
