//! What snapshots share is looked into once; reads from anywhere give the file's bytes.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::maintain::{Bounds, PruneOptions, forget, forget_named, prune};
use crate::model::{Entry, Snapshot};
use crate::observe::Silent;
use crate::repo::testing::{Fixture, noise};
use crate::repo::{Filter, Repository};

fn snapshots(repo: &Repository) -> Vec<Snapshot> {
    repo.snapshots(false, &Silent).unwrap().into_iter().map(|(_, snapshot)| snapshot).collect()
}

#[test]
fn a_page_of_many_snapshots_is_looked_into_once() {
    let fixture = Fixture::new();
    for number in 0..50 {
        fixture.file(&format!("file-{number}"), b"x");
    }
    fixture.backup("a");
    let repo = fixture.open("b");
    let reader = repo.reader(&Silent).unwrap();
    let mut finder = Finder::new(&reader, &["file-7".to_owned()], &|_| true).unwrap();
    let (mut found, mut pages_read) = (0, Vec::new());
    // The same snapshot three times: further runs may tell of changed folders above the source.
    let listed = snapshots(&repo);
    for snapshot in listed.iter().cycle().take(3) {
        for source in &snapshot.sources {
            let mut each = |_: &Entry| {
                found += 1;
                Ok(true)
            };
            finder.find(source, &Silent, &mut each).unwrap();
        }
        pages_read.push(finder.pages_read());
    }
    assert_eq!((found, pages_read.len()), (3, 3));
    assert_eq!(pages_read[1], pages_read[2], "{pages_read:?}");
}

fn first_file(tree: &Tree<'_>) -> Listed {
    let mut folder = Vec::new();
    loop {
        let listing = tree.list(0, &folder).unwrap();
        let (_, first) = listing.first_key_value().unwrap();
        if !first.entry.is_directory() {
            return first.clone();
        }
        folder = first.entry.path.as_bytes().to_vec();
    }
}

#[test]
fn reads_from_anywhere_and_a_tiny_cache_give_the_bytes() {
    let fixture = Fixture::new();
    let bytes = noise(1, 12_000_000);
    fixture.file("big", &bytes);
    fixture.backup("a");
    let repo = fixture.open("b");
    let reader = repo.reader(&Silent).unwrap();
    let tree = Tree::new(&reader, snapshots(&repo), 1, false);
    let listed = first_file(&tree);
    assert_eq!(tree.link_count(0, &listed).unwrap(), 1);
    let again = tree.entry(0, listed.entry.path.as_bytes()).unwrap().unwrap();
    assert_eq!(again.entry, listed.entry);
    let file = OpenFile::new(Arc::clone(&listed.entry)).unwrap();
    for offset in [0, 1, 131_072, 11_999_990, 5_000_000, 12_000_000, 13_000_000] {
        let end = (offset + 300_000).min(bytes.len()).max(offset.min(bytes.len()));
        let wanted = &bytes[offset.min(bytes.len())..end];
        assert!(tree.read(&file, offset as u64, 300_000).unwrap() == wanted, "at {offset}");
    }
}

#[test]
fn a_mounted_file_is_read_beside_a_prune() {
    let fixture = Fixture::new();
    let mut bytes = noise(1, 3_000_000);
    fixture.file("big", &bytes);
    fixture.file("other", &noise(2, 100_000));
    fixture.backup("a");
    std::fs::remove_file(fixture.source.path().join("other")).unwrap();
    bytes[2_000_000..2_000_100].fill(7);
    fixture.file("big", &bytes);
    fixture.backup("b");
    let mut listed = snapshots(&fixture.open("c"));
    let (older, newer) = (listed.remove(0), listed.remove(0));
    let repo = fixture.open("d");
    let reader = repo.reader(&Silent).unwrap();
    let tree = Tree::new(&reader, vec![newer], 1, false);
    let file = OpenFile::new(first_file(&tree).entry).unwrap();
    assert!(tree.read(&file, 0, 1000).unwrap() == bytes[..1000]);
    let pruning = fixture.open("e");
    let named = [older.sid.to_string()];
    let plan = forget_named(&pruning, &named, &Filter::default(), &Silent).unwrap();
    forget(&pruning, &plan, &Silent).unwrap();
    let bounds = Bounds { garbage_percent_max: 0, rewrite_bytes_max: None };
    let options = PruneOptions { bounds, young: Duration::ZERO, ..PruneOptions::default() };
    assert!(prune(&pruning, &options, &Silent).unwrap().packs_deleted > 0);
    assert!(tree.read(&file, 0, bytes.len()).unwrap() == bytes);
}
