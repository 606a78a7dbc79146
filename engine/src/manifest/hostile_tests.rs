//! Nodes that are sound by themselves but belie each other are refused, and no walk is without end.

use std::collections::HashSet;

use super::samples::Nodes;
use super::*;
use crate::format::node::samples::{file, node, path};
use crate::format::node::{Child, Run, encode_id_list, encode_table};
use crate::model::{Content, Entry, EntryKind};

fn put_table(nodes: &mut Nodes, height: u8, children: &[Child]) -> NodeRef {
    let id = nodes.put(encode_table(height, children).unwrap());
    NodeRef { id, class: Class::Ordinary, height }
}

fn put_list(nodes: &mut Nodes, height: u8, runs: &[(NodeRef, u64, u64)]) -> NodeRef {
    let run = |&(node, repeat, len)| Run { node, repeat, len };
    let runs: Vec<_> = runs.iter().map(run).collect();
    let id = nodes.put(encode_id_list(height, &runs).unwrap());
    NodeRef { id, class: Class::Ordinary, height }
}

fn put_page(nodes: &mut Nodes, entries: &[Entry]) -> Child {
    let node = nodes.write(entries).node;
    assert_eq!(node.height, 0);
    let first = entries.first().map_or(path("m"), |entry| entry.path.clone());
    Child { node, first, entries: entries.len().max(1) as u64 }
}

/// Reads a manifest: so many entries come, and one error that says `expected`.
#[track_caller]
fn check_entries(nodes: &Nodes, root: NodeRef, read: usize, expected: &str) {
    let get = nodes.get();
    let (found, failed): (Vec<_>, Vec<_>) = Entries::all(&root, &get).partition(Result::is_ok);
    let errors: Vec<_> = failed.into_iter().map(|one| one.unwrap_err().to_string()).collect();
    assert_eq!((found.len(), errors.len()), (read, 1), "{errors:?}");
    assert!(errors[0].contains(expected), "{errors:?}");
}

#[test]
fn tables_and_pages_agree() {
    let nodes = &mut Nodes::default();
    let low = put_page(nodes, &[file("a", 1), file("b", 2)]);
    let wide = put_page(nodes, &[file("a", 1), file("m", 2)]);
    let high = put_page(nodes, &[file("m", 3), file("n", 4)]);
    let empty = put_page(nodes, &[]);
    let sound = put_table(nodes, 1, &[low.clone(), high.clone()]);
    assert_eq!(Entries::all(&sound, &nodes.get()).filter(Result::is_ok).count(), 4);

    let mut check = |child: Child, expected| {
        let root = put_table(nodes, 1, &[low.clone(), child]);
        check_entries(nodes, root, 2, expected);
    };
    check(Child { entries: 3, ..high.clone() }, "first path or count");
    check(Child { first: path("l"), ..high.clone() }, "first path or count");
    check(Child { first: path("n"), ..high.clone() }, "first path or count");
    check(empty, "first path or count");
    check(Child { node: NodeRef { height: 0, ..sound }, ..high.clone() }, "node kind");
    let root = put_table(nodes, 1, &[wide.clone(), high.clone()]);
    check_entries(nodes, root, 2, "reach into the next");

    // The bound holds across tables too.
    let tables = [&[wide][..], &[high]].map(|children| {
        let (first, entries) = (children[0].first.clone(), 2);
        Child { node: put_table(nodes, 1, children), first, entries }
    });
    let root = put_table(nodes, 2, &tables);
    check_entries(nodes, root, 2, "reach into the next");
    check_entries(nodes, NodeRef { height: 3, ..root }, 0, "height differs");
    check_entries(nodes, NodeRef { height: 0, ..root }, 0, "node kind");
    check_entries(nodes, NodeRef { height: 0, ..node(9, 0) }, 0, "gone");
    let page = tables[0].node;
    let children = [Child { node: NodeRef { height: 2, ..page }, ..tables[0].clone() }];
    let root = put_table(nodes, 3, &children);
    check_entries(nodes, root, 0, "height differs");
}

#[test]
fn lists_agree_with_the_lists_above() {
    let nodes = &mut Nodes::default();
    let low = put_list(nodes, 1, &[(node(1, 0), 3, 10), (node(2, 0), 1, 5)]);
    let check = |nodes: &Nodes, root: NodeRef, read: usize, expected: Option<&str>| {
        let get = nodes.get();
        let content = Content::List(root);
        let (found, failed): (Vec<_>, Vec<_>) =
            chunks_of(&content, &get).take(1000).partition(Result::is_ok);
        let errors: Vec<_> = failed.into_iter().map(|one| one.unwrap_err().to_string()).collect();
        assert_eq!((found.len(), errors.len()), (read, usize::from(expected.is_some())));
        assert!(errors.first().is_none_or(|error| error.contains(expected.unwrap())), "{errors:?}");
    };
    let sound = put_list(nodes, 2, &[(low, 2, 35)]);
    check(nodes, sound, 4, None);
    let root = put_list(nodes, 2, &[(low, 2, 36)]);
    check(nodes, root, 0, Some("length differs"));
    let root = put_list(nodes, 3, &[(sound, 1, 70), (NodeRef { height: 2, ..low }, 1, 35)]);
    check(nodes, root, 4, Some("height differs"));
    check(nodes, NodeRef { height: 5, ..low }, 0, Some("height differs"));
    let root = put_list(nodes, 2, &[(low, u64::MAX / 35, 35)]);
    check(nodes, root, 1000, None);
}

#[test]
fn a_walk_meets_everything_once_even_in_a_bomb() {
    let nodes = &mut Nodes::default();
    // Sixteen levels, each of which names both lists below many times.
    let mut pair = [(node(1, 0), 1_u64), (node(2, 0), 1)];
    for height in 1..=16 {
        let [(left, left_len), (right, right_len)] = pair;
        let runs: Vec<_> =
            (0..6).flat_map(|_| [(left, 1, left_len), (right, 1, right_len)]).collect();
        let len = 6 * (left_len + right_len);
        pair = [
            (put_list(nodes, height, &runs), len),
            (put_list(nodes, height, &runs[1..]), len - left_len),
        ];
    }
    let (content, size) = (Content::List(pair[0].0), pair[0].1);
    let kind = EntryKind::File { size, content, holes: vec![] };
    let bomb = Entry { kind, ..file("b", 0) };
    let page = put_page(nodes, &[file("a", 3), bomb, file("m", 4)]);
    let root = put_table(nodes, 1, &[page]);

    let (mut seen, mut data, mut calls) = (HashSet::new(), 0, 0);
    let get = nodes.get();
    walk_references(Start::Manifest(root), &get, &mut |node, names| {
        calls += 1;
        let is_new = seen.insert(*node);
        data += u64::from(is_new && names == Names::Data);
        Ok(is_new)
    })
    .unwrap();
    assert_eq!((data, seen.len()), (4, 2 + 31 + 4));
    assert!(calls < 500);
}

#[test]
fn a_walk_refuses_nodes_of_another_kind() {
    let nodes = &mut Nodes::default();
    let list = put_list(nodes, 1, &[(node(1, 0), 1, 1)]);
    let page = put_page(nodes, &[file("a", 1)]);
    let table = put_table(nodes, 1, std::slice::from_ref(&page));
    let check = |start, expected: Option<usize>| {
        let mut met = 0;
        let walked = walk_references(start, &nodes.get(), &mut |_, _| {
            met += 1;
            Ok(true)
        });
        assert_eq!(walked.ok().map(|()| met), expected, "{start:?}");
    };
    check(Start::Manifest(table), Some(3));
    check(Start::Manifest(page.node), Some(2));
    check(Start::Content(list), Some(2));
    check(Start::Content(node(1, 0)), Some(1));
    check(Start::Manifest(list), None);
    check(Start::Content(table), None);
    check(Start::Manifest(NodeRef { height: 2, ..table }), None);
    check(Start::Manifest(NodeRef { height: 0, ..table }), None);
}
