//! Contents of any length survive, and cost little where they are alike.

use super::samples::Nodes;
use super::*;
use crate::format::node::samples::node;
use crate::format::node::{Run, decode_id_list};
use crate::model::Content;

/// Joins equal neighbours.
fn joined(runs: impl IntoIterator<Item = (NodeRef, u64)>) -> Vec<(NodeRef, u64)> {
    let mut joined: Vec<(NodeRef, u64)> = Vec::new();
    for (chunk, repeat) in runs {
        match joined.last_mut().filter(|last| last.0 == chunk) {
            Some(last) => last.1 += repeat,
            None => joined.push((chunk, repeat)),
        }
    }
    joined
}

/// Writes a content and reads it back; gives it with the number of its nodes.
#[track_caller]
fn check(nodes: &mut Nodes, runs: &[(NodeRef, u64)]) -> (Content, usize) {
    let before = nodes.by_id.len();
    let content = nodes.write_content(runs.iter().copied());
    let read: Result<Vec<_>> = chunks_of(&content, &nodes.get()).collect();
    assert!(joined(read.unwrap()) == joined(runs.iter().copied()));
    (content, nodes.by_id.len() - before)
}

fn distinct(count: u64) -> Vec<(NodeRef, u64)> {
    (0..count).map(|seed| (node(seed, 0), 1)).collect()
}

#[test]
fn contents_of_every_length_survive() {
    for (count, height, node_count) in [
        (0, 0, 0..=0),
        (1, 0, 0..=0),
        (32, 0, 0..=0),
        (33, 1, 1..=1),
        (5000, 2, 3..=20),
        (200_000, 2, 100..=300),
    ] {
        let mut nodes = Nodes::default();
        let (content, new) = check(&mut nodes, &distinct(count));
        match content {
            Content::Chunks(chunks) => assert_eq!((chunks.len() as u64, height), (count, 0)),
            Content::List(list) => assert_eq!(list.height, height),
        }
        assert!(node_count.contains(&new), "{new} nodes for {count} chunks");
    }
}

#[test]
fn a_billion_equal_chunks_are_one_short_list() {
    let mut nodes = Nodes::default();
    let (content, new) = check(&mut nodes, &[(node(1, 0), 1_000_000_000)]);
    let Content::List(list) = content else { panic!("not a list") };
    assert_eq!((list.height, new), (1, 1));
    let run = Run { node: node(1, 0), repeat: 1_000_000_000, len: 1 << 16 };
    assert_eq!(decode_id_list(&nodes.by_id[&list.id]).unwrap().runs, [run]);
    check(&mut nodes, &[(node(1, 0), 16), (node(2, 0), 16)]);
    check(&mut nodes, &[(node(1, 0), 16), (node(2, 0), 17), (node(1, 0), u64::MAX >> 17)]);
}

#[test]
fn a_change_within_a_long_content_changes_few_lists() {
    let mut nodes = Nodes::default();
    let mut runs = distinct(200_000);
    check(&mut nodes, &runs);
    runs[100_000] = (node(999_999, 0), 1);
    assert!((2..=4).contains(&check(&mut nodes, &runs).1));
    runs.insert(50_000, (node(888_888, 0), 2));
    assert!((2..=4).contains(&check(&mut nodes, &runs).1));
    runs.remove(0);
    assert!((2..=4).contains(&check(&mut nodes, &runs).1));
    runs.push((node(777_777, 0), 1));
    assert!((2..=4).contains(&check(&mut nodes, &runs).1));
}

#[test]
fn a_periodic_content_repeats_its_lists() {
    let cuts = |chunk: &NodeRef| u16::from_le_bytes([chunk.id.0[0], chunk.id.0[1]]) & 0x3ff == 0;
    let cut = (0..).map(|seed| node(seed, 0)).find(cuts).unwrap();
    let period: Vec<_> = distinct(500).into_iter().filter(|(chunk, _)| !cuts(chunk)).collect();
    let period: Vec<_> = period.into_iter().chain([(cut, 1)]).collect();
    let runs: Vec<_> = (0..300).flat_map(|_| period.clone()).collect();
    let mut nodes = Nodes::default();
    let (content, new) = check(&mut nodes, &runs);
    assert!(matches!(content, Content::List(list) if list.height == 2));
    assert_eq!(new, 2);
}

#[test]
fn unsound_chunks_are_refused() {
    let mut writer = ContentWriter::new(Class::Ordinary);
    let mut put = |_, _| Ok(ChunkId([0; 32]));
    for (chunk, len) in [(node(1, 1), 1), (node(1, 0), 0), (node(1, 0), (16 << 20) + 1)] {
        assert!(writer.push(chunk, len, &mut put).is_err());
    }
    writer.push_run(node(1, 0), 5, 1 << 62, &mut put).unwrap();
    assert!(writer.push(node(1, 0), 6, &mut put).is_err(), "one chunk has one length");
    assert!(writer.finish(&mut put).is_err(), "longer than 2^64 bytes");
}
