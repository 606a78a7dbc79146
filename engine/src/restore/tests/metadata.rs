use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::memory::*;
use crate::model::*;
use crate::restore::*;

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.into(), value: value.to_vec() }
}

fn read_xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 70_000];
    let len = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..len].to_vec())
}

/// user::rw-, user:1234:r--, group::r--, mask::r--, other::---, as the kernel stores it.
fn acl() -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1, 6, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(perm));
        bytes.extend(u32::to_le_bytes(id));
    }
    bytes
}

#[test]
fn modes_and_times_are_exact_to_the_nanosecond() {
    let mut memory = Memory::new();
    for mode in [0o000, 0o400, 0o444, 0o644, 0o666, 0o755, 0o777, 0o1777, 0o2755, 0o4755, 0o6711] {
        memory.file(&format!("d/f{mode:o}"), b"content").mode = mode;
        memory.file(&format!("d/e{mode:o}"), b"").mode = mode;
        memory.file(&format!("d/b{mode:o}"), &noise(mode.into(), 200_000)).mode = mode;
        memory.directory(&format!("d/d{mode:o}")).mode = mode;
    }
    let secs = [0, -1, -1_000_000_000, 1, 1 << 31, 1 << 33];
    for secs in secs {
        memory.file(&format!("t/f{secs}"), b"x").mtime = Time { secs, nanos: 999_999_999 };
        memory.symlink(&format!("t/s{secs}"), "x").mtime = Time { secs, nanos: 1 };
    }
    let target = scratch();
    // The second time over what is there.
    for _ in 0..2 {
        let summary = memory.restore_to(target.path());
        assert_eq!(summary.problem_count, 0, "{:?}", summary.problems);
        for (path, entry) in &memory.entries {
            let found = fs::symlink_metadata(
                target.path().join(String::from_utf8_lossy(path.as_bytes()).as_ref()),
            )
            .unwrap();
            if !found.is_symlink() {
                assert_eq!(found.mode() & 0o7777, entry.mode, "{path:?}");
            }
            // Directories too, though their contents were written after them.
            let mtime = Time { secs: found.mtime(), nanos: found.mtime_nsec() as u32 };
            assert_eq!(mtime, entry.mtime, "{path:?}");
        }
    }
}

#[test]
fn read_only_directories_are_filled_and_refilled() {
    let mut memory = Memory::new();
    memory.file("a/b/file", b"content").mode = 0o400;
    memory.directory("a").mode = 0o500;
    memory.directory("a/b").mode = 0o100;
    let target = scratch();
    for overwrite in [Overwrite::Always, Overwrite::Always, Overwrite::IfChanged, Overwrite::Never]
    {
        let options = RestoreOptions {
            target: target.path().to_owned(),
            overwrite,
            ..RestoreOptions::default()
        };
        assert_eq!(memory.restore(&options).unwrap().problem_count, 0);
        assert_eq!(fs::metadata(target.path().join("a")).unwrap().mode() & 0o7777, 0o500);
        assert_eq!(fs::metadata(target.path().join("a/b")).unwrap().mode() & 0o7777, 0o100);
        assert_eq!(fs::metadata(target.path().join("a/b/file")).unwrap().mode() & 0o7777, 0o400);
    }
    for path in ["a", "a/b"] {
        fs::set_permissions(target.path().join(path), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn owners_come_back_as_root_and_are_noted_otherwise() {
    let mut memory = Memory::new();
    let owner = std::sync::Arc::new(Owner { uid: 12_345, gid: 54_321, ..Owner::default() });
    memory.file("file", b"content").owner = owner.clone();
    memory.file("setuid", b"content").owner = owner.clone();
    memory.entries.get_mut(&path("setuid")).unwrap().mode = 0o6755;
    memory.directory("dir").owner = owner.clone();
    memory.symlink("link", "x").owner = owner.clone();
    memory.add(entry("fifo", EntryKind::Fifo)).owner = owner;
    let target = scratch();
    let summary = memory.restore_to(target.path());
    assert_eq!(summary.problem_count, 0);
    let stat = |path: &str| fs::symlink_metadata(target.path().join(path)).unwrap();
    for path in ["file", "setuid", "dir", "link", "fifo"] {
        let found = stat(path);
        assert_eq!((found.uid(), found.gid()) == (12_345, 54_321), is_root(), "{path}");
    }
    let wanted = if is_root() { 0o6755 } else { 0o755 };
    assert_eq!(stat("setuid").mode() & 0o7777, wanted);
}

#[test]
fn attributes_and_access_control_lists_come_back() {
    let mut memory = Memory::new();
    let large = noise(1, 3000);
    let mut list = vec![
        xattr("system.posix_acl_access", &acl()),
        xattr("user.a", b""),
        xattr("user.large", &large),
    ];
    if is_root() {
        // Version 2, CAP_NET_RAW: must be set after the owner, which clears it.
        list.insert(
            0,
            xattr(
                "security.capability",
                &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
        );
        list.insert(2, xattr("trusted.t", b"t"));
    }
    let file = memory.file("file", b"content");
    (file.mode, file.xattrs) = (0o640, Xattrs::Inline(list.clone()));
    if is_root() {
        file.owner = std::sync::Arc::new(Owner { uid: 7, gid: 7, ..Owner::default() });
        memory.symlink("link", "x").xattrs = Xattrs::Inline(vec![xattr("trusted.l", b"l")]);
    }
    let default = vec![xattr("system.posix_acl_default", &acl()), xattr("user.dir", b"d")];
    memory.directory("dir").xattrs = Xattrs::Inline(default);
    memory.file("dir/plain", b"x").mode = 0o604;
    memory.directory("dir/sub").mode = 0o705;
    let target = scratch();
    for _ in 0..2 {
        let summary = memory.restore_to(target.path());
        assert_eq!(summary.problem_count, 0);
        let at = |path: &str| target.path().join(path);
        if read_xattr(&at("file"), "user.a").is_none() {
            return; // A file system without attributes.
        }
        for Xattr { name, value } in &list {
            let name = String::from_utf8(name.clone()).unwrap();
            assert_eq!(read_xattr(&at("file"), &name).as_ref(), Some(value), "{name}");
        }
        assert_eq!(fs::metadata(at("file")).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(read_xattr(&at("dir"), "system.posix_acl_default"), Some(acl()));
        assert_eq!(read_xattr(&at("dir"), "user.dir"), Some(b"d".to_vec()));
        if is_root() {
            assert_eq!(read_xattr(&at("link"), "trusted.l"), Some(b"l".to_vec()));
        }
        // The second time the directory has its default ACL already: what is made in it must not
        // inherit.
        for (path, mode) in [("dir/plain", 0o604), ("dir/sub", 0o705)] {
            assert_eq!(fs::metadata(at(path)).unwrap().mode() & 0o7777, mode);
            assert_eq!(read_xattr(&at(path), "system.posix_acl_access"), None);
            assert_eq!(read_xattr(&at(path), "system.posix_acl_default"), None);
        }
    }
}

#[test]
fn attributes_that_the_entry_does_not_have_are_removed_from_what_is_kept() {
    let mut memory = Memory::new();
    memory.file("dir/file", b"content");
    let target = scratch();
    memory.restore_to(target.path());
    let (dir, file) = (target.path().join("dir"), target.path().join("dir/file"));
    for path in [&dir, &file] {
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(path, "user.extra", b"x", flags).is_err() {
            return;
        }
    }
    let options = RestoreOptions {
        target: target.path().to_owned(),
        overwrite: Overwrite::IfChanged,
        ..RestoreOptions::default()
    };
    assert_eq!(memory.restore(&options).unwrap().skipped, 1);
    assert_eq!((read_xattr(&dir, "user.extra"), read_xattr(&file, "user.extra")), (None, None));
}

#[test]
fn a_set_group_id_directory_above_does_not_give_its_group() {
    if !is_root() {
        return;
    }
    let target = scratch();
    rustix::fs::chown(target.path(), None, Some(rustix::fs::Gid::from_raw(4321))).unwrap();
    rustix::fs::chmod(target.path(), rustix::fs::Mode::from_raw_mode(0o2755)).unwrap();
    let mut memory = Memory::new();
    memory.file("file", b"x");
    memory.file("dir/file", b"x");
    memory.restore_to(target.path());
    for path in ["file", "dir", "dir/file"] {
        let found = fs::metadata(target.path().join(path)).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o2000), (0, 0), "{path}");
    }
}
