//! Cursors pass what is not wanted unread; locators find the chunk of any byte.

use super::samples::Nodes;
use super::*;
use crate::format::node::samples::{directory, file};
use crate::model::Entry;

fn tree() -> Vec<Entry> {
    let mut entries = vec![directory("a")];
    for folder in 0..400 {
        let name = format!("a/folder-{folder:05}");
        entries.push(directory(&name));
        entries.extend((0..30).map(|n| file(&format!("{name}/file-{n:03}"), folder * 30 + n)));
    }
    entries.push(file("b", 1));
    entries
}

#[test]
fn a_cursor_that_opens_everything_reads_every_entry() {
    let mut nodes = Nodes::default();
    let entries = tree();
    let root = nodes.write(&entries);
    let get = nodes.get();
    let mut cursor = Cursor::new(&root.node, &get);
    let mut read = Vec::new();
    while cursor.ahead().is_some() {
        match cursor.take() {
            Some(entry) => read.push(entry),
            None => cursor.open().unwrap(),
        }
    }
    assert!(read == entries);
}

#[test]
fn a_folder_is_passed_without_reading_it() {
    let mut nodes = Nodes::default();
    let root = nodes.write(&tree());
    let get = nodes.get();
    let (names, gets) = nodes.count_gets(|| {
        let mut cursor = Cursor::new(&root.node, &get);
        let first = cursor.advance(|_| false).unwrap().unwrap().path.clone();
        let last = cursor.advance(|path| path.is_in(b"a")).unwrap().unwrap().path.clone();
        [first, last].map(|path| path.as_bytes().to_vec())
    });
    assert_eq!(names, [b"a".to_vec(), b"b".to_vec()]);
    assert!(gets <= 3, "{gets} nodes read");
}

#[test]
fn a_lost_node_costs_its_own_entries() {
    let mut nodes = Nodes::default();
    let root = nodes.write(&tree());
    let all = nodes.read(&root).len();
    let page = {
        let get = nodes.get();
        let mut cursor = Cursor::new(&root.node, &get);
        cursor.open().unwrap();
        cursor.pass();
        match cursor.ahead() {
            Some(Ahead::Node { node, .. }) => node.id,
            other => panic!("{other:?}"),
        }
    };
    nodes.by_id.remove(&page);
    let get = nodes.get();
    let mut cursor = Cursor::new(&root.node, &get);
    let (mut read, mut errors) = (0, 0);
    while cursor.ahead().is_some() {
        match cursor.take() {
            Some(_) => read += 1,
            None => errors += u32::from(cursor.open().is_err()),
        }
    }
    assert!(errors == 1 && read < all && read > all / 2, "{read} of {all}, {errors} errors");
}

#[test]
fn every_byte_of_a_long_content_is_located() {
    let mut nodes = Nodes::default();
    let chunk = |n: u32| NodeRef {
        id: ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes()),
        class: Class::Ordinary,
        height: 0,
    };
    let runs: Vec<(NodeRef, u64)> = (0..20_000).map(|n| (chunk(n), u64::from(n % 7) + 1)).collect();
    let content = nodes.write_content(runs.clone());
    let get = nodes.get();
    let mut locator = Locator::default();
    let len_of = |_: &NodeRef| -> Result<u64> { panic!("lists hold lengths") };
    let mut at = 0_u64;
    for (node, repeat) in runs {
        for _ in 0..repeat {
            let wanted = Located { chunk: node, start: at, len: 1 << 16 };
            for offset in [at, at + 65_535] {
                let found = locator.locate(&content, offset, &get, &len_of).unwrap();
                assert_eq!(found, Some(wanted));
            }
            at += 1 << 16;
        }
    }
    assert_eq!(locator.locate(&content, at, &get, &len_of).unwrap(), None);
    let backwards = locator.locate(&content, 5, &get, &len_of).unwrap().unwrap();
    assert_eq!((backwards.start, backwards.chunk), (0, chunk(0)));
}
