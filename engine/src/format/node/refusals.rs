//! Everything the format does not allow is refused, each by its own rule.

use super::columns::{put_run, put_svarint, put_varint};
use super::samples::{all_kinds, directory, file, node, page, path, xattr};
use super::*;
use crate::model::{Content, Entry, EntryKind, Hole, Owner, Time, Xattrs};

/// A node taken to pieces.
#[derive(Clone)]
struct Raw {
    head: [u8; 4],
    count: u32,
    classes: Vec<u8>,
    heights: Vec<u8>,
    ids: Vec<u8>,
    /// The count of entries or children; an id list has none.
    number: Option<u32>,
    columns: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

impl Raw {
    fn take(bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let count = u32_at(4);
        let part = |from: usize, len: usize| bytes[8 + from..8 + from + len].to_vec();
        let refs = count as usize;
        let mut at = 8 + 34 * refs;
        let number = (bytes[0] != 3).then(|| u32_at(at));
        at += if number.is_some() { 4 } else { 0 };
        let mut columns = Vec::new();
        while at < bytes.len() {
            let len = u32_at(at) as usize;
            columns.push(bytes[at + 4..at + 4 + len].to_vec());
            at += 4 + len;
        }
        Self {
            head: bytes[..4].try_into().unwrap(),
            count,
            classes: part(0, refs),
            heights: part(refs, refs),
            ids: part(2 * refs, 32 * refs),
            number,
            columns,
            tail: Vec::new(),
        }
    }

    fn join(&self) -> Vec<u8> {
        let mut bytes = self.head.to_vec();
        bytes.extend(self.count.to_le_bytes());
        bytes.extend([&self.classes[..], &self.heights, &self.ids].concat());
        bytes.extend(self.number.into_iter().flat_map(u32::to_le_bytes));
        for column in &self.columns {
            bytes.extend((column.len() as u32).to_le_bytes());
            bytes.extend(column);
        }
        bytes.extend(&self.tail);
        bytes
    }
}

#[track_caller]
fn check_raw<T: std::fmt::Debug + PartialEq>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T>,
    change: impl FnOnce(&mut Raw),
    expected: FormatError,
) {
    let mut raw = Raw::take(bytes);
    assert_eq!(raw.join(), bytes);
    change(&mut raw);
    assert_eq!(decode(&raw.join()), Err(expected));
}

/// Changes the page of `entries`, which must then be refused.
#[track_caller]
fn check(entries: &[Entry], change: impl FnOnce(&mut Raw), expected: FormatError) {
    check_raw(&page(entries).unwrap(), decode_page, change, expected);
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, value);
    bytes
}

fn svarint(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_svarint(&mut bytes, value);
    bytes
}

fn run(run: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_run(&mut bytes, run);
    bytes
}

fn one() -> Vec<Entry> {
    vec![file("a", 1)]
}

fn bad(field: &'static str) -> FormatError {
    FormatError::Bad { field }
}

fn overflow(field: &'static str) -> FormatError {
    FormatError::Overflow { field }
}

fn truncated(field: &'static str) -> FormatError {
    FormatError::Truncated { field }
}

fn too_long(field: &'static str, len: u64) -> FormatError {
    FormatError::Excess { field, count: len }
}

fn trailing(what: &'static str, count: u64) -> FormatError {
    FormatError::Trailing { what, count }
}

fn too_many(field: &'static str, count: u64) -> FormatError {
    FormatError::Excess { field, count }
}

#[test]
fn beginnings_of_nodes() {
    check(&one(), |raw| raw.head[0] = 0, bad("node kind"));
    check(&one(), |raw| raw.head[0] = 4, bad("node kind"));
    check(&one(), |raw| (raw.head[0], raw.head[1]) = (2, 1), bad("node kind"));
    check(&one(), |raw| raw.head[1] = 1, bad("node height"));
    check(&one(), |raw| raw.head[2] = 1, FormatError::Reserved { field: "node reserved bytes" });
    check(&one(), |raw| raw.head[3] = 1, FormatError::Reserved { field: "node reserved bytes" });
    check(&one(), |raw| raw.count = u32::MAX, truncated("references"));
    check(&one(), |raw| raw.classes[0] = 2, bad("reference class"));
    check(&one(), |raw| raw.heights[0] = 17, bad("reference height"));
    let twice = |raw: &mut Raw| {
        (raw.count, raw.classes, raw.heights) = (2, vec![0, 0], vec![0, 0]);
        raw.ids.extend_from_within(..);
    };
    check(&one(), twice, bad("repeated reference"));
    check(&one(), |raw| raw.tail.push(0), trailing("page", 1));
    let len = page(&one()).unwrap().len() as u64 + (1 << 18);
    check(&one(), |raw| raw.tail = vec![0; 1 << 18], too_long("node", len));
}

#[test]
fn columns_too_short_or_too_long() {
    let fields = [
        "kinds",
        "flags",
        "shared",
        "suffix lengths",
        "suffixes",
        "modes",
        "owners",
        "owner table",
        "mtimes",
        "ctimes",
        "inodes",
        "sizes",
        "contents",
        "link targets",
        "devices",
        "link groups",
        "attributes",
        "holes",
    ];
    assert_eq!(fields.len(), 18);
    for (index, field) in fields.into_iter().enumerate() {
        check(&all_kinds(), |raw| raw.columns[index].push(0), trailing(field, 1));
        let shorter = |raw: &mut Raw| assert!(raw.columns[index].pop().is_some());
        check(&all_kinds(), shorter, truncated(field));
    }
    check(&one(), |raw| drop(raw.columns.pop()), truncated("holes"));
    check(&one(), |raw| raw.number = Some(0), too_many("owner table", 1));
    check(&one(), |raw| raw.number = Some(2), truncated("kinds"));
    check(&one(), |raw| raw.number = Some(u32::MAX), too_many("entries", u32::MAX.into()));
}

#[test]
fn kinds_and_flags() {
    for kind in [0, 8] {
        check(&[directory("a")], |raw| raw.columns[0] = vec![kind], bad("kinds"));
    }
    for flags in [128, 1 << 40] {
        check(&one(), |raw| raw.columns[1] = varint(flags), bad("flags"));
    }
    check(&one(), |raw| raw.columns[1] = varint(12), bad("flags"));
    let long_form = FormatError::Invalid { field: "flags", why: "not in its shortest form" };
    check(&one(), |raw| raw.columns[1] = vec![0x80, 0], long_form);
    for flags in [16, 32, 64] {
        check(&[directory("a")], |raw| raw.columns[1] = varint(flags), bad("flags"));
    }
    let group = |raw: &mut Raw| {
        raw.columns[1] = vec![2];
        raw.columns[15] = vec![1; 8];
    };
    check(&[directory("a")], group, bad("link group of a directory"));
    let zero = |raw: &mut Raw| {
        raw.columns[1] = vec![2];
        raw.columns[15] = vec![0; 8];
    };
    check(&one(), zero, bad("link groups"));
}

#[test]
fn paths() {
    let two = [directory("abc"), directory("abd")];
    let with = |shared: &[u8], lens: &[u8], suffixes: &[u8]| {
        let columns = [shared.to_vec(), lens.to_vec(), suffixes.to_vec()];
        move |raw: &mut Raw| drop(raw.columns.splice(2..5, columns))
    };
    check(&two, with(&[1, 2], &[3, 1], b"abcd"), bad("shared"));
    check(&two, with(&[0, 4], &[3, 1], b"abcd"), bad("shared"));
    check(&two, with(&[0, 1], &[3, 2], b"abcbd"), bad("shared"));
    check(&two, with(&[0, 2], &[3, 1], b"abcb"), bad("order of paths"));
    check(&two, with(&[0, 2], &[3, 0], b"abc"), bad("order of paths"));
    check(&two, with(&[0, 3], &[3, 0], b"abc"), bad("order of paths"));
    check(&two, with(&[0, 1], &[3, 2], b"a-b/b"), bad("order of paths"));
    check(&two, with(&[0, 0], &[0, 1], b"a"), bad("order of paths"));
    for path in [&b"abc/"[..], b"abc//", b"abc/.", b"abc/..", b"abc/\0", b"abc/./x"] {
        let len = path.len() as u8 - 3;
        let suffixes = [b"abc", &path[3..]].concat();
        check(&two, with(&[0, 3], &[3, len], &suffixes), bad("path"));
    }
    check(&two, with(&[0, 0], &[1, 2], b"//a"), bad("path"));
    let component = "x".repeat(256);
    let len = varint(256);
    check(&one(), with(&[0], &len, component.as_bytes()), bad("path"));
    let long = "x/".repeat(5000);
    check(&one(), with(&[0], &varint(10_000), long.as_bytes()), too_long("path", 10_000));
    check(&one(), with(&[0], &varint(u64::MAX), b"x"), truncated("suffixes"));
}

#[test]
fn shared_prefixes_do_not_expand_without_bound() {
    let long = vec!["x".repeat(200); 40].join("/");
    let page_of_pages = |raw: &mut Raw| {
        let count = 64;
        raw.number = Some(count);
        for column in [0, 5, 6, 10] {
            raw.columns[column] = (0..count).flat_map(|_| raw.columns[column].clone()).collect();
        }
        raw.columns[1] = vec![0; 64];
        for column in [8, 9] {
            raw.columns[column] = vec![0; 2 * 64];
        }
        let shared = |index| if index == 0 { vec![0] } else { varint(long.len() as u64) };
        raw.columns[2] = (0..count).flat_map(shared).collect();
        raw.columns[3] = [varint(long.len() as u64 + 1), vec![1; 63]].concat();
        raw.columns[4] = long.bytes().chain((0..64).map(|index| b'0' + index)).collect();
    };
    let len = |count| count * (96 + long.len() as u64 + 1);
    check(&[directory("a")], page_of_pages, too_long("page as counted", len(33)));
}

#[test]
fn modes_owners_and_times() {
    check(&one(), |raw| raw.columns[5] = varint(0o10000), bad("mode"));
    check(&one(), |raw| raw.columns[5] = varint(1 << 32), overflow("modes"));
    check(&one(), |raw| raw.columns[6] = varint(1), bad("owners"));
    check(
        &one(),
        |raw| raw.columns[7] = vec![2, 0, 0, 0, 0, 0, 0, 0, 0],
        too_many("owner table", 2),
    );
    let owner =
        |uid: u64, user: &[u8]| [vec![1], varint(uid), vec![0], run(user), vec![0]].concat();
    check(&one(), |raw| raw.columns[7] = owner(1 << 32, b""), overflow("owner table"));
    check(&one(), |raw| raw.columns[7] = owner(0, &[b'u'; 256]), too_long("owner table", 256));
    let nanos = |at: usize| {
        move |raw: &mut Raw| raw.columns[at] = [svarint(0), varint(1_000_000_000)].concat()
    };
    check(&one(), nanos(8), bad("mtime nanoseconds"));
    check(&one(), nanos(9), bad("ctime nanoseconds"));
}

#[test]
fn contents() {
    check(&one(), |raw| raw.columns[12] = vec![1, 2], bad("contents"));
    check(&one(), |raw| raw.columns[12] = vec![1, 1], bad("contents"));
    check(&one(), |raw| raw.columns[12] = [vec![1], svarint(i64::MIN)].concat(), bad("contents"));
    check(&one(), |raw| raw.columns[12] = vec![33], too_many("contents", 33));
    check(&one(), |raw| raw.columns[12] = vec![0], bad("size of a content"));
    check(&one(), |raw| raw.columns[11] = vec![0], bad("size of a content"));
    check(&one(), |raw| raw.columns[11] = varint((16 << 20) + 1), bad("size of a content"));
    check(&one(), |raw| raw.heights[0] = 1, bad("height of a chunk"));
    let list = |raw: &mut Raw| (raw.columns[1], raw.columns[12]) = (vec![32], vec![0]);
    check(&one(), list, bad("height of an id list"));
    let empty_list = |raw: &mut Raw| {
        (raw.columns[1], raw.columns[12]) = (vec![32], vec![0]);
        (raw.heights[0], raw.columns[11]) = (1, vec![0]);
    };
    check(&one(), empty_list, bad("size of a content"));
}

#[test]
fn holes() {
    let holes = vec![Hole { offset: 10, len: 10 }];
    let content = Content::Chunks(vec![node(1, 0)]);
    let sparse = [Entry { kind: EntryKind::File { size: 100, content, holes }, ..file("a", 1) }];
    let with = |column: &[u8]| {
        let column = column.to_vec();
        move |raw: &mut Raw| raw.columns[17] = column
    };
    check(&sparse, with(&[0]), bad("holes"));
    check(&sparse, with(&[1, 10, 0]), bad("holes"));
    check(&sparse, with(&[2, 0, 10, 0, 5]), bad("holes"));
    check(&sparse, with(&[1, 95, 6]), bad("holes"));
    check(&sparse, with(&[2, 10, 10, 80, 1]), bad("holes"));
    check(&sparse, with(&[vec![1], varint(u64::MAX), vec![1]].concat()), bad("holes"));
    check(
        &sparse,
        with(&[vec![2], varint(1 << 63), vec![1], varint(1 << 63), vec![1]].concat()),
        bad("holes"),
    );
    check(&sparse, with(&[1, 0, 100]), bad("size of a content"));
    check(&sparse, with(&varint(257)), too_many("holes", 257));
}

#[test]
fn link_targets_and_devices() {
    let link = [Entry { kind: EntryKind::Symlink { target: b"t".to_vec() }, ..file("a", 1) }];
    check(&link, |raw| raw.columns[13] = vec![0], bad("link target"));
    check(&link, |raw| raw.columns[13] = run(b"a\0"), bad("link target"));
    check(&link, |raw| raw.columns[13] = run(&[1; 8193]), too_long("link targets", 8193));
    let device = [Entry { kind: EntryKind::CharDevice { major: 1, minor: 2 }, ..file("a", 1) }];
    check(
        &device,
        |raw| raw.columns[14] = [varint(1 << 32), vec![0]].concat(),
        overflow("devices"),
    );
    check(
        &device,
        |raw| raw.columns[14] = [vec![0], varint(1 << 32)].concat(),
        overflow("devices"),
    );
}

#[test]
fn attributes() {
    let inline = [Entry { xattrs: Xattrs::Inline(vec![xattr("a", b"1")]), ..file("a", 1) }];
    let with = |list: &[u8]| {
        let list = run(list);
        move |raw: &mut Raw| raw.columns[16] = list
    };
    check(&inline, with(b""), bad("attributes"));
    check(&inline, with(b"\0\0"), bad("attribute name"));
    check(&inline, with(b"\x02a\0\0"), bad("attribute name"));
    check(&inline, with(&[run(&[b'n'; 256]), vec![0]].concat()), bad("attribute name"));
    check(&inline, with(b"\x01a"), truncated("attribute value"));
    check(&inline, with(b"\x01a\0\x01a\0"), bad("order of attributes"));
    check(&inline, with(b"\x01b\0\x01a\0"), bad("order of attributes"));
    check(&inline, with(&[1; 4097]), too_long("attributes", 4097));

    let stored = Xattrs::Stored { len: 5000, chunks: vec![node(1, 0)] };
    let stored = [Entry { xattrs: stored, ..file("a", 1) }];
    let with = |len: u64, contents: &[u8]| {
        let column = [varint(len), contents.to_vec()].concat();
        move |raw: &mut Raw| raw.columns[16] = column
    };
    check(&stored, with(4096, &[1, 1]), bad("stored attribute list"));
    check(&stored, with((1 << 20) + 1, &[1, 1]), too_long("attribute list", (1 << 20) + 1));
    check(&stored, with(5000, &[0]), bad("size of a content"));
    check(&stored, with(5000, &[33]), too_many("attributes", 33));
    check(&stored, with(5000, &[1, 0]), bad("attributes"));
    let long = vec![0; (1 << 20) + 1];
    assert_eq!(decode_xattrs(&long), Err(too_long("attribute list", (1 << 20) + 1)));
}

#[test]
fn tables() {
    let child = |text: &str, seed| Child { node: node(seed, 0), first: path(text), entries: 3 };
    let table = encode_table(1, &[child("a", 1), child("b", 2)]).unwrap();
    #[track_caller]
    fn check(table: &[u8], change: impl FnOnce(&mut Raw), expected: FormatError) {
        check_raw(table, decode_table, change, expected);
    }
    check(&table, |raw| raw.head[1] = 0, bad("node height"));
    check(&table, |raw| raw.head[1] = 17, bad("node height"));
    check(&table, |raw| raw.head[1] = 2, bad("reference height"));
    check(&table, |raw| raw.heights[1] = 1, bad("reference height"));
    check(&table, |raw| raw.number = Some(1), bad("children"));
    check(&table, |raw| raw.columns[3] = vec![3, 0], bad("entry counts"));
    let most = || [varint(u64::MAX), vec![1]].concat();
    check(&table, |raw| raw.columns[3] = most(), overflow("entry counts"));
    check(&table, |raw| raw.columns[3].push(1), trailing("entry counts", 1));
    check(&table, |raw| raw.columns[2] = b"ba".to_vec(), bad("order of paths"));
    check(&table, |raw| raw.columns[2] = b"aa".to_vec(), bad("shared"));
    check(&table, |raw| raw.columns[2].push(1), trailing("suffixes", 1));
    check(&table, |raw| raw.tail.push(1), trailing("table", 1));
    let none = |raw: &mut Raw| {
        (raw.count, raw.number) = (0, Some(0));
        (raw.classes, raw.heights, raw.ids) = Default::default();
    };
    check(&table, none, too_many("reference count", 0));
    let long = vec!["x".repeat(200); 40].join("/");
    let children: Vec<_> = (10..64).map(|seed| child(&format!("{long}/{seed}"), seed)).collect();
    let refused = encode_table(1, &children);
    assert!(matches!(refused, Err(FormatError::Excess { field: "table as counted", .. })));
}

#[test]
fn id_lists() {
    let with = |seed| Run { node: node(seed, 0), repeat: 1, len: 9 };
    let list = encode_id_list(1, &[with(1), with(2), with(1)]).unwrap();
    #[track_caller]
    fn check(list: &[u8], change: impl FnOnce(&mut Raw), expected: FormatError) {
        check_raw(list, decode_id_list, change, expected);
    }
    check(&list, |raw| raw.head[1] = 0, bad("node height"));
    check(&list, |raw| raw.head[1] = 2, bad("reference height"));
    check(&list, |raw| raw.ids.copy_within(..32, 32), bad("repeated reference"));
    check(&list, |raw| raw.columns[0] = vec![1, 0, 1], bad("repeats"));
    check(&list, |raw| raw.columns[1] = vec![1, 0, 1], bad("lengths"));
    check(
        &list,
        |raw| raw.columns[1] = [vec![1, 1], varint((16 << 20) + 1)].concat(),
        bad("lengths"),
    );
    check(
        &list,
        |raw| raw.columns[0] = [varint(1 << 63), vec![1, 1]].concat(),
        overflow("lengths"),
    );
    check(&list, |raw| raw.columns[0].push(1), trailing("repeats", 1));
    check(&list, |raw| raw.columns[1].push(1), trailing("lengths", 1));
    check(&list, |raw| raw.tail.push(1), trailing("id list", 1));
    let none = |raw: &mut Raw| {
        raw.count = 0;
        (raw.classes, raw.heights, raw.ids) = Default::default();
    };
    check(&list, none, too_many("reference count", 0));
    let runs: Vec<_> = (0..4097).map(with).collect();
    assert_eq!(encode_id_list(1, &runs), Err(too_many("reference count", 4097)));
    assert!(encode_id_list(1, &runs[1..]).is_ok());
}

#[test]
fn entries_that_would_not_decode_are_not_encoded() {
    let refuse = |entry: Entry, expected| assert_eq!(page(&[entry]), Err(expected));
    refuse(Entry { mode: 0o10000, ..file("a", 1) }, bad("mode"));
    let time = Time { secs: 0, nanos: 1_000_000_000 };
    refuse(Entry { mtime: time, ..file("a", 1) }, bad("mtime nanoseconds"));
    refuse(Entry { link_group: 1, ..directory("a") }, bad("link group of a directory"));
    let owner = Owner { user: vec![b'u'; 256], ..Owner::default() }.into();
    refuse(Entry { owner, ..file("a", 1) }, too_long("owner name", 256));
    let content = |content| EntryKind::File { size: 40, content, holes: vec![] };
    let chunks = Content::Chunks(vec![node(1, 0); 33]);
    let refused = too_many("chunks of an entry", 33);
    refuse(Entry { kind: content(chunks), ..file("a", 1) }, refused);
    let list = Content::List(node(1, 0));
    refuse(Entry { kind: content(list), ..file("a", 1) }, bad("height of an id list"));
    let target = vec![1; 8193];
    let link = EntryKind::Symlink { target };
    refuse(Entry { kind: link, ..file("a", 1) }, too_long("link target", 8193));
    let xattrs = Xattrs::Inline(vec![xattr("a", &[0; 4096])]);
    let refused = too_long("inline attribute list", 4100);
    refuse(Entry { xattrs, ..file("a", 1) }, refused);
}
