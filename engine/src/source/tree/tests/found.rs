//! Entries, their metadata, and the files behind them.

use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;

use rustix::fs::{FileType, mknodat};

use super::*;
use crate::model::{EntryKind, Hole, Xattrs};

#[test]
fn every_kind_of_entry_is_found_with_its_metadata() {
    let tree = Tree::new(&["file", "folder/"]);
    symlink("else\u{fe}where", tree.path.join("link")).unwrap();
    let fifo = tree.path.join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = UnixListener::bind(tree.path.join("socket")).unwrap();
    fs::set_permissions(tree.path.join("file"), fs::Permissions::from_mode(0o4751)).unwrap();
    let time = rustix::fs::Timespec { tv_sec: -5, tv_nsec: 999_999_999 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, tree.path.join("file"), &times, rustix::fs::AtFlags::empty())
        .unwrap();

    let kind = |path: &str| {
        let mut found = tree.found(path);
        found.complete().unwrap();
        found.entry.kind
    };
    assert_eq!(kind("folder"), EntryKind::Directory);
    assert_eq!(kind("fifo"), EntryKind::Fifo);
    assert_eq!(kind("socket"), EntryKind::Socket);
    assert_eq!(kind("link"), EntryKind::Symlink { target: "else\u{fe}where".as_bytes().to_vec() });
    let file = tree.found("file").entry;
    assert_eq!((file.file_size(), file.mode), (4, 0o4751));
    assert_eq!((file.mtime.secs, file.mtime.nanos), (-5, 999_999_999));
    assert_eq!(file.owner.uid, rustix::process::geteuid().as_raw());
    assert!(file.ctime.secs > 1_000_000_000 && file.inode > 0 && file.link_group == 0);
}

#[test]
fn names_of_one_file_share_a_group() {
    let tree = Tree::new(&["a", "b/"]);
    fs::hard_link(tree.path.join("a"), tree.path.join("b/c")).unwrap();
    tree.add(b"d");
    fs::hard_link(tree.path.join("d"), tree.path.join("e")).unwrap();
    let group = |path: &str| tree.found(path).entry.link_group;
    assert_eq!(group("a"), group("b/c"));
    assert_eq!(group("d"), group("e"));
    assert!(group("a") != group("d") && group("a") != 0 && group("d") != 0);
    assert_eq!(group("b"), 0);
    assert_eq!(tree.found("a").stat.nlink, 2);
}

#[test]
fn attributes_are_read_by_name_and_by_file() {
    use rustix::fs::{XattrFlags, lsetxattr};
    let tree = Tree::new(&["file"]);
    let path = tree.path.join("file");
    let long = vec![7; 3000];
    if lsetxattr(&path, "user.b", &long, XattrFlags::empty()).is_err() {
        return; // This filesystem has none.
    }
    lsetxattr(&path, "user.a", b"", XattrFlags::empty()).unwrap();
    let mut found = tree.found("file");
    found.complete().unwrap();
    let by_name = found.entry.xattrs.clone();
    let Xattrs::Inline(list) = &by_name else { panic!("{by_name:?}") };
    let list: Vec<_> = list.iter().filter(|xattr| xattr.name.starts_with(b"user.")).collect();
    assert_eq!((list[0].name.as_slice(), list[0].value.len()), (&b"user.a"[..], 0));
    assert_eq!((list[1].name.as_slice(), &list[1].value), (&b"user.b"[..], &long));
    let open = found.open().unwrap();
    found.complete_from(&open).unwrap();
    assert_eq!(found.entry.xattrs, by_name);
}

#[test]
fn what_vanished_or_was_replaced_is_a_problem() {
    let tree = Tree::new(&["gone", "other", "kind", "dir/"]);
    let open = |path: &str, change: &dyn Fn(&Path)| {
        let mut found = tree.found(path);
        change(&tree.path.join(path));
        let opened = found.open().map(|_| ()).map_err(|problem| problem.what);
        (opened, found.complete().map_err(|problem| problem.what))
    };
    let (vanished, replaced) = ("vanished while being read", "was replaced while being read");
    let (opened, completed) = open("gone", &|path| fs::remove_file(path).unwrap());
    assert_eq!(
        (opened.unwrap_err().as_str(), completed.unwrap_err().as_str()),
        (vanished, vanished)
    );
    let swap = |path: &Path| {
        fs::write(path.with_extension("new"), "new").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    assert_eq!(open("other", &swap).0.unwrap_err(), replaced);
    let link = |path: &Path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    };
    assert_eq!(open("kind", &link).0.unwrap_err(), replaced);
}

#[test]
fn a_file_is_read_and_a_write_meanwhile_is_seen() {
    let tree = Tree::new(&["file"]);
    let mut found = tree.found("file");
    fs::write(tree.path.join("file"), "grown since").unwrap();
    let open = found.open().unwrap();
    assert_eq!(found.entry.file_size(), 11);
    assert!(open.stat_again().unwrap().is_unchanged(&open.stat));
    let mut bytes = [0; 11];
    open.file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"grown since");
    fs::write(tree.path.join("file"), "shorter").unwrap();
    assert!(!open.stat_again().unwrap().is_unchanged(&open.stat));
}

#[test]
fn holes_of_a_sparse_file_are_told() {
    let tree = Tree::new(&["sparse"]);
    let file = fs::File::create(tree.path.join("sparse")).unwrap();
    let (data, step) = (vec![1; 64 << 10], 1 << 20);
    for at in [1, 3, 4] {
        file.write_all_at(&data, at * step).unwrap();
    }
    file.set_len(8 * step).unwrap();
    file.sync_all().unwrap();
    let open = tree.found("sparse").open().unwrap();
    let holes = open.holes().unwrap();
    if holes.is_empty() {
        return; // This filesystem does not tell.
    }
    let len = data.len() as u64;
    let hole = |from: u64, to: u64| Hole { offset: from, len: to - from };
    let wanted = [
        hole(0, step),
        hole(step + len, 3 * step),
        hole(3 * step + len, 4 * step),
        hole(4 * step + len, 8 * step),
    ];
    assert_eq!(holes, wanted);
    let whole = tree.add(b"whole");
    fs::write(whole, vec![0; 1 << 20]).unwrap();
    assert!(tree.found("whole").open().unwrap().holes().unwrap().is_empty());
}

#[test]
fn of_too_many_holes_the_longest_are_told() {
    let tree = Tree::new(&["sparse"]);
    let file = fs::File::create(tree.path.join("sparse")).unwrap();
    let mut at = 0;
    for number in 0..600_u64 {
        // Short and long ones by turns.
        at += if number % 2 == 0 { 128 << 10 } else { 256 << 10 };
        file.write_all_at(&[1; 4096], at).unwrap();
        at += 4096;
    }
    file.sync_all().unwrap();
    let holes = tree.found("sparse").open().unwrap().holes().unwrap();
    if holes.is_empty() {
        return; // This filesystem does not tell.
    }
    assert_eq!(holes.len(), limits::HOLE_COUNT_MAX);
    assert!(holes.is_sorted_by(|a, b| a.offset + a.len < b.offset));
    assert!(holes.iter().all(|hole| hole.len > 200 << 10));
}
