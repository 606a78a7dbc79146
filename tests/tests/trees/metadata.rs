//! Modes, owners, times, attributes.

use std::fs;
use std::os::unix::fs::{lchown, symlink};

use rustix::fs::FileType;

use crate::support::{Scene, assert_same_tree, is_root, make, tree};

#[test]
fn every_mode_comes_back() {
    let scene = Scene::new();
    let owner_reads = |mode: u32| is_root() || mode & 0o400 != 0;
    for mode in (0..=0o7777).step_by(0o111).chain([0o4755, 0o2755, 0o1777, 0o6711, 0o4000]) {
        if owner_reads(mode) {
            let file = make::file(&scene.source, format!("file-{mode:o}"), "x");
            make::mode(&file, mode);
        }
        let folder = scene.source.join(format!("folder-{mode:o}"));
        make::file(&folder, "inner", "y");
        if is_root() || mode & 0o500 == 0o500 {
            make::mode(&folder, mode);
        }
    }
    scene.assert_round_trip();
    // Only who may write to a folder can clean it up.
    for entry in fs::read_dir(&scene.source).unwrap() {
        make::mode(&entry.unwrap().path(), 0o755);
    }
}

#[test]
fn closed_folders_come_back_closed_with_what_is_in_them() {
    let scene = Scene::new();
    make::file(&scene.source, "readable/deep/file", "inner");
    make::mode(&scene.source.join("readable/deep"), 0o500);
    make::mode(&scene.source.join("readable"), 0o500);
    if is_root() {
        make::file(&scene.source, "closed/file", "inner");
        make::mode(&scene.source.join("closed/file"), 0);
        make::mode(&scene.source.join("closed"), 0);
    }
    scene.assert_round_trip();
    make::mode(&scene.source.join("readable"), 0o700);
    make::mode(&scene.source.join("readable/deep"), 0o700);
}

#[test]
fn owners_of_every_kind_come_back() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let owners = [(0, 0), (1, 2), (1000, 100), (65_534, 65_534), (70_000, 70_001)];
    for (uid, gid) in owners {
        let name = |kind: &str| scene.source.join(format!("{kind}-{uid}"));
        make::file(&scene.source, format!("file-{uid}"), "x");
        fs::create_dir(name("folder")).unwrap();
        symlink("nowhere", name("link")).unwrap();
        make::node(&name("fifo"), FileType::Fifo, 0);
        for kind in ["file", "folder", "link", "fifo"] {
            lchown(name(kind), Some(uid), Some(gid)).unwrap();
        }
        // A change of owner clears these bits: they have to be set after it.
        make::mode(&name("file"), 0o6755);
        make::mode(&name("folder"), 0o2775);
    }
    scene.assert_round_trip();
}

#[test]
fn odd_times_come_back_to_the_nanosecond() {
    let scene = Scene::new();
    let times = [
        (0, 0),
        (0, 1),
        (-1, 0),
        (-1, 999_999_999),
        (-1_000_000_000, 5),
        (-2_147_483_648, 0),
        (1_700_000_000, 123_456_789),
        (4_294_967_296, 1),
        (15_000_000_000, 999_999_999),
    ];
    for (number, (seconds, nanoseconds)) in times.into_iter().enumerate() {
        let file = make::file(&scene.source, format!("f{number}"), "x");
        make::mtime(&file, seconds, nanoseconds);
        let folder = scene.source.join(format!("d{number}"));
        make::file(&folder, "inner", "x");
        make::mtime(&folder, seconds, nanoseconds);
        let link = scene.source.join(format!("l{number}"));
        symlink("nowhere", &link).unwrap();
        make::mtime(&link, seconds, nanoseconds);
    }
    make::mtime(&scene.source, -5, 5);
    scene.assert_round_trip();
}

#[test]
fn extended_attributes_come_back() {
    let scene = Scene::new();
    let file = make::file(&scene.source, "file", "x");
    let folder = scene.source.join("folder");
    fs::create_dir(&folder).unwrap();
    // Some file systems keep few of these: what they kept is compared.
    let spaces: &[&str] = if is_root() { &["user", "trusted", "security"] } else { &["user"] };
    for space in spaces {
        for path in [&file, &folder] {
            make::xattr(path, &format!("{space}.empty"), b"");
            make::xattr(path, &format!("{space}.bytes"), &[0, 255, 10, 0]);
            make::xattr(path, &format!("{space}.{}", "n".repeat(200)), b"long name");
        }
    }
    if is_root() {
        let link = scene.source.join("link");
        symlink("file", &link).unwrap();
        make::xattr(&link, "trusted.link", b"of the link itself");
    }
    let kept = tree::of(&scene.source).values().map(|facts| facts.xattrs.len()).sum::<usize>();
    assert!(kept > 0, "this file system keeps no attributes: the test would prove nothing");
    scene.assert_round_trip();
}

#[test]
fn attributes_too_long_for_an_entry_come_back() {
    let scene = Scene::in_memory();
    let file = make::file(&scene.source, "file", "x");
    let folder = scene.source.join("folder");
    fs::create_dir(&folder).unwrap();
    // In memory some kernels keep `trusted` attributes only.
    let space = if make::xattr(&file, "user.a", b"") { "user" } else { "trusted" };
    for path in [&file, &folder] {
        for (name, len) in [("a", 3000), ("b", 4096), ("c", 60_000)] {
            make::xattr(path, &format!("{space}.{name}"), &make::noise(len as u64, len));
        }
    }
    scene.assert_round_trip();
}

/// An access list in the kernel's form: version 2, then tag, permissions and id of each entry.
fn access_list(named_uid: u32) -> Vec<u8> {
    let none = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, none), (2, 4, named_uid), (4, 4, none), (16, 6, none), (32, 0, none)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn access_lists_come_back() {
    let scene = Scene::new();
    let file = make::file(&scene.source, "folder/file", "x");
    let folder = scene.source.join("folder");
    let list = access_list(12_345);
    let kept = make::xattr(&file, "system.posix_acl_access", &list)
        & make::xattr(&folder, "system.posix_acl_access", &list)
        & make::xattr(&folder, "system.posix_acl_default", &list);
    scene.assert_round_trip();
    let stored = &tree::of(&scene.source)["/folder/file"].xattrs;
    assert_eq!(stored.contains_key(&b"system.posix_acl_access"[..]), kept);
}

#[test]
fn a_change_of_metadata_alone_is_in_the_next_snapshot() {
    let scene = Scene::new();
    let file = make::file(&scene.source, "file", make::noise(1, 200_000));
    make::file(&scene.source, "folder/inner", "x");
    let first = scene.backup();
    let before = scene.restored(&first);
    make::mode(&file, 0o600);
    make::xattr(&file, "user.new", b"attribute");
    make::mtime(&scene.source.join("folder"), 1_500_000_000, 7);
    let second = scene.try_backup(&[]).ok();
    assert_eq!(second.summary()["data_added"], 0, "{}", second.summary());
    assert_same_tree(&scene.source, &scene.restored(&second.snapshot_id()));
    assert_same_tree(&before, &scene.restored(&first));
}
