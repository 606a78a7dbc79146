//! Nodes survive encoding and decoding, to the byte where a vector says so.

use proptest::prelude::*;

use super::samples::{all_kinds, any_entries, directory, file, node, page, path, xattr};
use super::*;
use crate::limits;
use crate::model::{Content, Entry, EntryKind, EntryPath, Hole, Owner, Xattrs};

fn children() -> Vec<Child> {
    let child = |(seed, text)| Child { node: node(seed, 1), first: path(text), entries: seed + 1 };
    [(1, "a"), (2, "a/b"), (1, "a-b"), (300, "abc/d")].map(child).to_vec()
}

fn runs() -> Vec<Run> {
    let run = |(seed, repeat, len)| Run { node: node(seed, 0), repeat, len };
    [(1, 1, 1), (2, 1_000_000_000, 16 << 20), (1, 3, 65536)].map(run).to_vec()
}

#[test]
fn a_page_has_the_bytes_the_format_says() {
    let (chunk, list) = (node(1, 0), node(2, 1));
    let sized = |size, content| EntryKind::File { size, content, holes: vec![] };
    let entries = [
        directory("a"),
        Entry { kind: sized(300, Content::Chunks(vec![chunk, chunk])), ..directory("a/b") },
        Entry { kind: sized(9, Content::List(list)), racy: true, ..directory("a/bc") },
    ];
    let mut expected = vec![1, 0, 0, 0, 2, 0, 0, 0];
    expected.extend([0, 0, 0, 1]);
    expected.extend([chunk, list].iter().flat_map(|one| *one.id.as_bytes()));
    expected.extend([3, 0, 0, 0]);
    let columns: [&[u8]; 17] = [
        &[2, 1, 1],
        &[0, 0, 33],
        &[0, 1, 3],
        &[1, 2, 1],
        b"a/bc",
        &[0xed, 3, 0xed, 3, 0xed, 3],
        &[0, 0, 0],
        &[1, 0, 0, 0, 0],
        &[0x80, 0xc4, 0x9f, 0xd5, 0x0c, 5, 0, 5, 0, 5],
        &[2, 6, 2, 6, 2, 6],
        &[0x9a, 1, 0, 0],
        &[0xac, 2, 9],
        // Two chunks: number 0 as expected, then 0 where 1 was; a list: 1 as expected.
        &[2, 0, 1, 0],
        &[],
        &[],
        &[],
        &[],
    ];
    for column in columns {
        expected.extend((column.len() as u32).to_le_bytes());
        expected.extend(column);
    }
    expected.extend([0, 0, 0, 0]);
    assert_eq!(page(&entries).unwrap(), expected);
}

#[test]
fn every_kind_of_entry_survives() {
    let entries = all_kinds();
    let bytes = page(&entries).unwrap();
    assert_eq!(decode_page(&bytes).unwrap(), entries);
    let head = references(&bytes).unwrap();
    assert_eq!((head.kind, head.height), (NodeKind::Page, 0));
    // In the order of first use, attributes last.
    assert_eq!(head.references, [node(1, 0), node(2, 0), node(3, 2), node(4, 0)]);
}

#[test]
fn owners_of_a_page_are_shared() {
    let entries = decode_page(&page(&all_kinds()).unwrap()).unwrap();
    assert!(std::sync::Arc::ptr_eq(&entries[1].owner, &entries[4].owner));
}

#[test]
fn tables_and_id_lists_survive() {
    let bytes = encode_table(2, &children()).unwrap();
    assert_eq!(decode_table(&bytes).unwrap(), Table { height: 2, children: children() });
    assert_eq!(references(&bytes).unwrap().references.len(), 4);
    let bytes = encode_id_list(1, &runs()).unwrap();
    let len = 1 + 1_000_000_000 * (16 << 20) + 3 * 65536;
    assert_eq!(decode_id_list(&bytes).unwrap(), IdList { height: 1, runs: runs(), len });
    assert_eq!(references(&bytes).unwrap().kind, NodeKind::IdList);
}

#[test]
fn the_longest_legal_entry_fits() {
    let holes = |index| Hole { offset: index * 1000, len: 500 };
    let holes: Vec<_> = (0..limits::HOLE_COUNT_MAX as u64).map(holes).collect();
    let chunks = (0..limits::INLINE_REFS_MAX as u64).map(|seed| node(seed, 0)).collect();
    let content = Content::Chunks(chunks);
    let name = vec![b'n'; limits::OWNER_NAME_LEN_MAX];
    let owner = Owner { uid: u32::MAX, gid: u32::MAX, user: name.clone(), group: name };
    let long = vec!["x".repeat(limits::COMPONENT_LEN_MAX); 32].join("/");
    let entry = Entry {
        path: EntryPath::new(long.into_bytes()).unwrap(),
        kind: EntryKind::File { size: 1 << 20, content, holes },
        owner: owner.into(),
        xattrs: Xattrs::Inline(vec![xattr("user.x", &[7; 4085])]),
        ..directory("x")
    };
    let target = vec![b't'; limits::LINK_TARGET_LEN_MAX];
    let link = Entry { kind: EntryKind::Symlink { target }, ..entry.clone() };
    for entry in [entry, link] {
        assert!(check_entry(&entry).unwrap() <= limits::ENTRY_LEN_MAX);
        assert_eq!(decode_page(&page(std::slice::from_ref(&entry)).unwrap()), Ok(vec![entry]));
    }
}

#[test]
fn a_page_builder_that_refused_an_entry_goes_on() {
    let mut builder = PageBuilder::default();
    builder.push(&file("b", 1)).unwrap();
    let disorder = Err(FormatError::Bad { field: "order of paths" });
    assert_eq!(builder.push(&file("a", 2)), disorder);
    assert_eq!(builder.push(&file("b", 2)), disorder);
    assert!(builder.push(&Entry { mode: 0o10000, ..file("c", 2) }).is_err());
    builder.push(&file("c", 2)).unwrap();
    let entries = decode_page(&builder.finish().unwrap()).unwrap();
    assert_eq!(entries, [file("b", 1), file("c", 2)]);
    assert_eq!(builder.push(&file("c", 2)), disorder, "order holds across pages");
    builder.push(&file("c/d", 2)).unwrap();
    assert_eq!(decode_page(&builder.finish().unwrap()).unwrap(), [file("c/d", 2)]);
}

/// Sets every byte of `node` to some values, and cuts it everywhere: `decode` must not panic, and what
/// it takes must be what it would write.
fn check_mutations<T: PartialEq + std::fmt::Debug>(
    node: &[u8],
    decode: impl Fn(&[u8]) -> Result<T>,
    encode: impl Fn(&T) -> Result<Vec<u8>>,
) {
    let taken_back = |bytes: &[u8]| {
        let _ = references(bytes);
        if let Ok(decoded) = decode(bytes) {
            assert_eq!(decode(&encode(&decoded).unwrap()).unwrap(), decoded);
        }
    };
    for place in 0..node.len() {
        taken_back(&node[..place]);
        let hash = *blake3::hash(&place.to_le_bytes()).as_bytes();
        let (low, high) = (node[place].wrapping_sub(1), node[place].wrapping_add(1));
        for value in [0, 0x7f, 0x80, 0xff, low, high, hash[0], hash[1], hash[2], hash[3]] {
            let mut bytes = node.to_vec();
            bytes[place] = value;
            taken_back(&bytes);
            bytes.insert(place, hash[4]);
            taken_back(&bytes);
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let bytes = page(&all_kinds()).unwrap();
    check_mutations(&bytes, decode_page, |entries| page(entries));
    let bytes = encode_table(2, &children()).unwrap();
    check_mutations(&bytes, decode_table, |table| encode_table(table.height, &table.children));
    let bytes = encode_id_list(1, &runs()).unwrap();
    check_mutations(&bytes, decode_id_list, |list| encode_id_list(list.height, &list.runs));
    let list = encode_xattrs(&[xattr("user.a", b"1"), xattr("user.b", b"")]).unwrap();
    check_mutations(&list, decode_xattrs, |list| encode_xattrs(list));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_page_survives(entries in any_entries(60)) {
        let bytes = page(&entries).unwrap();
        prop_assert_eq!(decode_page(&bytes).unwrap(), entries);
        prop_assert!(references(&bytes).is_ok());
    }

    #[test]
    fn any_bytes_behind_a_node_kind_never_panic(kind in 0..5_u8, mut bytes: Vec<u8>) {
        bytes.insert(0, kind);
        let _ = (references(&bytes), decode_page(&bytes), decode_table(&bytes));
        let _ = (decode_id_list(&bytes), decode_xattrs(&bytes));
    }
}
