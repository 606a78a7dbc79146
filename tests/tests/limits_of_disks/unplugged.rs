//! A repository that cannot be written, or is not there.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};

use super::SmallDisk;
use crate::harm::support::{Picture, Ran, Site, backup_arguments, grow, noise};

#[test]
fn a_read_only_repository_is_named_and_can_be_read() {
    let Some(mut disk) = SmallDisk::mount(4096) else { return };
    let mut site = Site::empty();
    site.repo = disk.path().join("repo");
    site.home(&["init"]).expect(0);
    let tree = site.path("tree");
    grow(&tree, 80);
    let id = site.backup(&tree);
    disk.make_read_only();
    fs::write(tree.join("text"), "changed after").unwrap();
    let ran = site.home(&backup_arguments(&tree)).expect(1);
    assert!(ran.err.contains("Read-only") && ran.err.contains("repo"), "{}", ran.err);
    assert_eq!(site.listed(), [id.as_str()]);
    site.stranger(&["verify"]).expect(0);
    let (restored, _) = site.restore(&id, &tree);
    restored.expect(0);
}

#[test]
fn an_unplugged_repository_is_no_repository_and_its_mount_is_asked_for() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 81);
    let id = site.backup(&tree);
    fs::rename(&site.repo, site.path("away")).unwrap();
    for command in [&["snapshots"][..], &["check"], &backup_arguments(&tree)] {
        let ran = site.home(command).expect(10);
        assert!(ran.err.contains("mounted"), "{command:?}: {}", ran.err);
        assert!(ran.err.contains(site.repo.to_str().unwrap()), "{command:?}: {}", ran.err);
    }
    // An empty mount point is no empty repository.
    fs::create_dir(&site.repo).unwrap();
    site.home(&backup_arguments(&tree)).expect(10);
    assert_eq!(fs::read_dir(&site.repo).unwrap().count(), 0, "written beside the mount");
    fs::remove_dir(&site.repo).unwrap();
    fs::rename(site.path("away"), &site.repo).unwrap();
    site.assert_restores(&id, &tree, &Picture::of(&tree));
}

/// A backup of standard input that has read 1 MiB of it: its store is open.
fn half_a_backup(site: &Site, bytes: &[u8]) -> Child {
    let mut command = site.command(&["backup", "--stdin", "--stdin-filename", "stream"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&bytes[..1 << 20]).unwrap();
    child
}

fn finish(mut child: Child, bytes: &[u8]) -> Ran {
    // A backup that has failed already does not read on.
    let _ = child.stdin.take().unwrap().write_all(&bytes[1 << 20..]);
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_repository_renamed_during_a_backup_gets_it_all_under_its_new_name() {
    let site = Site::new();
    let bytes = noise(82, 3 << 20);
    let child = half_a_backup(&site, &bytes);
    fs::rename(&site.repo, site.path("away")).unwrap();
    let id = finish(child, &bytes).expect(0).snapshot_id().unwrap();
    assert!(!site.repo.exists());
    fs::rename(site.path("away"), &site.repo).unwrap();
    let target = site.folder();
    site.stranger(&["restore", &id, "--target", target.to_str().unwrap()]).expect(0);
    assert!(fs::read(target.join("stream")).unwrap() == bytes);
    site.stranger(&["verify"]).expect(0);
}

#[test]
fn a_repository_removed_during_a_backup_is_told_by_name_and_never_acknowledged() {
    let site = Site::new();
    let bytes = noise(83, 3 << 20);
    let child = half_a_backup(&site, &bytes);
    fs::remove_dir_all(&site.repo).unwrap();
    let ran = finish(child, &bytes);
    assert!(matches!(ran.code, Some(1 | 4)), "{:?} {}", ran.code, ran.err);
    assert!(ran.snapshot_id().is_none(), "{}", ran.out);
    assert!(ran.err.contains(site.repo.to_str().unwrap()), "{}", ran.err);
}
