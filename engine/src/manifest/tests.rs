//! Manifests survive writing and reading, stay alike when little changes, and cost little to search.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::samples::Nodes;
use super::*;
use crate::error::Kind;
use crate::format::node::references;
use crate::format::node::samples::{any_entries, directory, file};
use crate::model::{Entry, EntryKind, Time};

/// `folders` directories with `files` files each, in order.
fn tree(folders: usize, files: usize) -> Vec<Entry> {
    let folder = |folder: usize| {
        let name = format!("srv/data/folder-{folder:05}");
        let inside = (0..files).map({
            let name = name.clone();
            move |number| {
                file(&format!("{name}/file-{number:04}.txt"), (folder * files + number) as u64)
            }
        });
        std::iter::once(directory(&name)).chain(inside).collect::<Vec<_>>()
    };
    [directory("srv"), directory("srv/data")]
        .into_iter()
        .chain((0..folders).flat_map(folder))
        .collect()
}

#[test]
fn an_empty_manifest_is_one_empty_page() {
    let mut nodes = Nodes::default();
    let root = nodes.write(&[]);
    assert_eq!((root.node.height, root.entries, nodes.by_id.len()), (0, 0, 1));
    assert_eq!(nodes.read(&root), []);
    assert_eq!(find(&root.node, b"a", &nodes.get()).unwrap(), None);
}

#[test]
fn a_large_tree_survives_in_pages_of_about_sixty_four_kibibytes_as_counted() {
    let mut nodes = Nodes::default();
    let entries = tree(1000, 29);
    let root = nodes.write(&entries);
    assert_eq!(root.entries, 30_002);
    assert!(nodes.read(&root) == entries);
    assert_eq!(root.node.height, 1);
    assert!((60..=200).contains(&nodes.by_id.len()), "{}", nodes.by_id.len());
}

#[test]
fn a_small_change_changes_few_nodes() {
    let mut nodes = Nodes::default();
    let entries = tree(700, 29);
    nodes.write(&entries);
    for place in [0, 10_017, 21_001] {
        let mut changed = entries.clone();
        changed[place].mtime = Time { secs: 1_800_000_000, nanos: 1 };
        let mut inserted = entries.clone();
        let path = format!("{}+", String::from_utf8_lossy(entries[place].path.as_bytes()));
        inserted.push(file(&path, 99_999_999));
        inserted.sort_by(|left, right| left.path.cmp(&right.path));
        let mut removed = entries.clone();
        removed.remove(place);
        for (entries, most) in [(changed, 3), (inserted, 5), (removed, 5)] {
            let before = nodes.by_id.len();
            let root = nodes.write(&entries);
            let new = nodes.by_id.len() - before;
            assert!((2..=most).contains(&new), "{new} new nodes after a change at {place}");
            assert!(nodes.read(&root) == entries);
        }
    }
}

#[test]
fn a_look_up_touches_one_node_per_level() {
    let mut nodes = Nodes::default();
    let entries = tree(1000, 29);
    let root = nodes.write(&entries);
    let levels = usize::from(root.node.height) + 1;
    for entry in entries.iter().step_by(997) {
        let (found, gets) =
            nodes.count_gets(|| find(&root.node, entry.path.as_bytes(), &nodes.get()));
        assert_eq!(found.unwrap().as_ref(), Some(entry));
        assert_eq!(gets, levels);
    }
    for absent in ["a", "srv/data/folder-00500/file-0000.txt/x", "srv/data/folder-00500.", "z"] {
        let (found, gets) = nodes.count_gets(|| find(&root.node, absent.as_bytes(), &nodes.get()));
        assert_eq!(found.unwrap(), None);
        assert!(gets <= levels);
    }
}

#[test]
fn long_paths_make_tables_of_few_children() {
    let mut nodes = Nodes::default();
    let folder = vec!["x".repeat(200); 20].join("/");
    let entries: Vec<_> =
        (0..2500).map(|number| file(&format!("{folder}/{number:05}"), number)).collect();
    let root = nodes.write(&entries);
    assert!(root.node.height >= 2);
    assert!(nodes.read(&root) == entries);
    let levels = usize::from(root.node.height) + 1;
    for entry in entries.iter().step_by(101) {
        let (found, gets) =
            nodes.count_gets(|| find(&root.node, entry.path.as_bytes(), &nodes.get()));
        assert_eq!((found.unwrap().as_ref(), gets), (Some(entry), levels));
    }
    let get = nodes.get();
    let (found, gets) = nodes.count_gets(|| Entries::within(&root.node, b"y", &get).count());
    assert!(found == 0 && gets <= levels);
}

#[test]
fn a_folder_is_read_without_its_neighbours() {
    let mut nodes = Nodes::default();
    let mut entries = tree(1000, 29);
    entries.push(file("srv/data/folder-00500-old", 1));
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    let root = nodes.write(&entries);
    for folder in
        ["srv/data/folder-00500", "srv/data", "srv/data/folder-00999/file-0028.txt", "none"]
    {
        let wanted: Vec<_> =
            entries.iter().filter(|entry| entry.path.is_in(folder.as_bytes())).cloned().collect();
        let get = nodes.get();
        let (found, gets) = nodes.count_gets(|| {
            Entries::within(&root.node, folder.as_bytes(), &get)
                .map(Result::unwrap)
                .collect::<Vec<_>>()
        });
        assert!(found == wanted, "{folder}");
        assert!(wanted.len() > 1000 || gets <= 3, "{gets} nodes for {folder}");
    }
}

#[test]
fn a_lost_page_costs_only_its_entries() {
    let mut nodes = Nodes::default();
    let entries = tree(500, 29);
    let root = nodes.write(&entries);
    let bytes = &nodes.by_id[&root.node.id];
    let pages = references(bytes).unwrap().references;
    nodes.by_id.remove(&pages[pages.len() / 2].id);
    let get = nodes.get();
    let (found, lost): (Vec<_>, Vec<_>) = Entries::all(&root.node, &get).partition(Result::is_ok);
    assert_eq!(lost.len(), 1);
    let error = lost.into_iter().next().unwrap().unwrap_err();
    assert!(
        error.kind() == Kind::NotFound && error.to_string().contains("entries from \"srv/data")
    );
    assert!(found.len() > entries.len() / 2 && found.len() < entries.len());
    let follow = |follower: &mut Follower<'_>, entry: &Entry| {
        let first = follower.find(&entry.path);
        if first.is_err() { follower.find(&entry.path) } else { first }
    };
    let mut follower = Follower::new(Entries::all(&root.node, &get));
    let met = entries.iter().filter_map(|entry| follow(&mut follower, entry).unwrap()).count();
    assert_eq!(met, found.len());
}

#[test]
fn entries_that_cannot_be_stored_leave_the_writer_as_it_was() {
    let mut nodes = Nodes::default();
    let mut writer = ManifestWriter::new(Class::Ordinary, [0; 32]);
    let mut put = |_, bytes| Ok(nodes.put(bytes));
    writer.push(&file("b", 1), &mut put).unwrap();
    for bad in [file("a", 1), file("b", 1), Entry { mode: 1 << 12, ..file("c", 1) }] {
        let error = writer.push(&bad, &mut put).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
    }
    let root = writer.finish(&mut put).unwrap();
    assert_eq!((root.entries, nodes.read(&root)), (1, vec![file("b", 1)]));
}

#[test]
fn entries_can_be_read_on_another_thread() {
    fn check<T: Send>() {}
    check::<Entries<'_>>();
    check::<Follower<'_>>();
    check::<ChunkRuns<'_>>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_manifest_survives(entries in any_entries(150), sizes in 1..40_usize) {
        let mut nodes = Nodes::default();
        // Long targets make pages of few entries, and so tables.
        let target = vec![b't'; 200 * sizes];
        let padded = |entry: Entry| match entry.kind {
            EntryKind::Symlink { .. } | EntryKind::Fifo | EntryKind::Directory => {
                Entry { kind: EntryKind::Symlink { target: target.clone() }, ..entry }
            }
            _ => entry,
        };
        let entries: Vec<_> = entries.into_iter().map(padded).collect();
        let root = nodes.write(&entries);
        prop_assert_eq!(root.entries, entries.len() as u64);
        prop_assert!(nodes.read(&root) == entries);
        for entry in entries.iter().step_by(7) {
            let found = find(&root.node, entry.path.as_bytes(), &nodes.get()).unwrap();
            prop_assert_eq!(found.as_ref(), Some(entry));
        }
    }

    #[test]
    fn a_merge_pairs_equal_paths(left in any_entries(30), right in any_entries(30), both in any_entries(9)) {
        let mix = |side: Vec<Entry>| -> BTreeMap<_, _> {
            side.into_iter().chain(both.clone()).map(|entry| (entry.path.clone(), entry)).collect()
        };
        let (left, right) = (mix(left), mix(right));
        let mut expected: Vec<_> = left.keys().chain(right.keys()).collect();
        expected.sort();
        expected.dedup();
        let merged = Merge::new(left.values().cloned().map(Ok), right.values().cloned().map(Ok));
        let merged: Vec<_> = merged.map(std::result::Result::unwrap).collect();
        prop_assert_eq!(merged.len(), expected.len());
        for (merged, path) in merged.into_iter().zip(expected) {
            let sides = match merged {
                Merged::Left(entry) => (Some(entry), None),
                Merged::Right(entry) => (None, Some(entry)),
                Merged::Both(one, other) => (Some(one), Some(other)),
            };
            prop_assert_eq!(sides, (left.get(path).cloned(), right.get(path).cloned()));
        }
    }
}
