//! Full, read-only and unplugged disks: told by place with the way out, nothing half-done, and the next run
//! goes on.

mod small_disk;
mod unplugged;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::harm::support::{
    Picture, Ran, Site, assert_objects_are_whole, backup_arguments, grow, noise, put_back, table,
};
use small_disk::SmallDisk;

#[track_caller]
fn assert_tells_full(ran: &Ran, place: &Path) {
    assert_eq!(ran.code, Some(1), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains(place.to_str().unwrap()), "no place: {}", ran.err);
    assert!(ran.err.contains("make room"), "no way out: {}", ran.err);
}

/// Asserts that nothing below `folder` has a temporary's name.
#[track_caller]
fn assert_no_temporaries(folder: &Path) {
    let picture = Picture::of(folder);
    let left = picture.0.keys().filter(|path| path.to_str().unwrap().contains(".coffer-"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<&std::path::PathBuf>::new());
}

/// Limits every file the command writes to `bytes`, as a full disk does to what is larger.
fn limit_files(command: &mut Command, bytes: u64) {
    let set = move || {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: both calls are async-signal-safe and take plain values or a pointer to a live one.
        let done = unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
        };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: see above; nothing is allocated between fork and exec.
    unsafe { command.pre_exec(set) };
}

#[test]
fn a_repository_that_takes_no_large_file_is_told_as_full_and_lists_nothing() {
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("small"), "small").unwrap();
    let first = (site.backup(&tree), Picture::of(&tree));
    fs::write(tree.join("large"), noise(70, 400_000)).unwrap();
    let mut command = site.command(&backup_arguments(&tree));
    limit_files(&mut command, 100_000);
    assert_tells_full(&command.output().unwrap().into(), &site.repo);
    assert_objects_are_whole(&site.repo);
    assert_eq!(site.listed(), [first.0.as_str()]);
    assert_eq!(fs::read_dir(site.repo.join("tmp")).unwrap().count(), 0);
    site.assert_restores(&first.0, &tree, &first.1);
    let next = site.backup(&tree);
    site.assert_restores(&next, &tree, &Picture::of(&tree));
}

#[test]
fn a_target_that_takes_no_large_file_gets_the_others_and_no_temporaries() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 71);
    let id = site.backup(&tree);
    let (original, target) = (Picture::of(&tree), site.folder());
    let from = format!("{id}:{}", tree.display());
    let arguments = ["restore", &from, "--target", target.to_str().unwrap()];
    let mut command = site.command(&arguments);
    limit_files(&mut command, 100_000);
    let ran = Ran::from(command.output().unwrap());
    assert!(matches!(ran.code, Some(1 | 3)), "{:?} {}", ran.code, ran.err);
    assert!(ran.err.contains("noise") || ran.err.contains("make room"), "{}", ran.err);
    assert_no_temporaries(&target);
    let restored = Picture::of(&target);
    assert!(restored.wrong_in(&original).is_empty() && restored != original);
    site.home(&arguments).expect(0);
    assert_eq!(Picture::of(&target), original);
}

#[test]
fn a_repository_full_at_any_moment_keeps_what_it_had_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let mut site = Site::empty();
    site.repo = disk.path().join("repo");
    site.home(&["init"]).expect(0);
    let tree = site.path("tree");
    grow(&tree, 72);
    let first = (site.backup(&tree), Picture::of(&tree));
    fs::write(tree.join("more"), noise(73, 200_000)).unwrap();
    fs::write(tree.join("text"), "changed").unwrap();
    let second = Picture::of(&tree);
    put_back(&site.repo, &site.path("kept"));
    put_back(&site.path("state"), &site.path("state-kept"));
    let (mut failed, mut passed) = (0, 0);
    for free in (0..280_000).step_by(10_000) {
        put_back(&site.path("kept"), &site.repo);
        put_back(&site.path("state-kept"), &site.path("state"));
        disk.fill_but(free);
        let ran = site.home(&backup_arguments(&tree));
        let listed = site.listed();
        if ran.code == Some(0) {
            assert_eq!(listed.len(), 2, "{free} bytes free");
            passed += 1;
        } else {
            assert_tells_full(&ran, &site.repo);
            assert_eq!(listed, [first.0.as_str()], "{free} bytes free");
            failed += 1;
        }
        assert_objects_are_whole(&site.repo);
        site.assert_restores(&first.0, &tree, &first.1);
        disk.empty();
        let next = site.backup(&tree);
        site.assert_restores(&next, &tree, &second);
        site.stranger(&["verify"]).expect(0);
    }
    assert!(failed >= 5 && passed >= 1, "{failed} failed, {passed} passed");
}

#[test]
fn a_prune_on_a_full_disk_loses_nothing_and_the_next_one_ends_it_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let mut site = Site::empty();
    site.repo = disk.path().join("repo");
    site.home(&["init"]).expect(0);
    let tree = site.path("tree");
    grow(&tree, 79);
    fs::write(tree.join("more"), noise(80, 200_000)).unwrap();
    let first = site.backup(&tree);
    fs::remove_file(tree.join("more")).unwrap();
    let second = (site.backup(&tree), Picture::of(&tree));
    site.home(&["forget", &first]).expect(0);
    put_back(&site.repo, &site.path("kept"));
    put_back(&site.path("state"), &site.path("state-kept"));
    let prune = ["prune", "--leave-newer", "0s", "--max-unused", "0"];
    let (mut failed, mut passed) = (0, 0);
    for free in (0..280_000).step_by(10_000) {
        put_back(&site.path("kept"), &site.repo);
        put_back(&site.path("state-kept"), &site.path("state"));
        disk.fill_but(free);
        let ran = site.home(&prune);
        if ran.code == Some(0) {
            passed += 1;
        } else {
            assert_tells_full(&ran, &site.repo);
            failed += 1;
        }
        assert_objects_are_whole(&site.repo);
        assert_eq!(site.listed(), [second.0.as_str()], "{free} bytes free");
        site.assert_restores(&second.0, &tree, &second.1);
        disk.empty();
        site.home(&prune).expect(0);
        site.assert_restores(&second.0, &tree, &second.1);
        site.stranger(&["verify"]).expect(0);
    }
    // With room for a generation and its close, whole packs are deleted, which makes the room for the rest.
    assert!(failed >= 1 && passed >= 10, "{failed} failed, {passed} passed");
}

#[test]
fn a_full_cache_costs_nothing_but_time() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 74);
    let cache = disk.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::remove_dir_all(site.path("state.cache")).unwrap();
    std::os::unix::fs::symlink(cache, site.path("state.cache")).unwrap();
    disk.fill_but(0);
    for round in 0..2 {
        fs::write(tree.join("text"), format!("round {round}")).unwrap();
        let ran = site.home(&backup_arguments(&tree)).expect(0);
        assert!(ran.err.contains("cache"), "no note: {}", ran.err);
        let id = ran.snapshot_id().unwrap();
        site.assert_restores(&id, &tree, &Picture::of(&tree));
    }
    site.stranger(&["verify"]).expect(0);
}

#[test]
fn a_full_state_folder_is_named_and_loses_no_snapshot() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 75);
    let state = disk.path().join("state");
    let run = || -> Ran {
        let command = site.command_with(&site.repo, &state, &backup_arguments(&tree)).output();
        command.unwrap().into()
    };
    disk.fill_but(0);
    let ran = run();
    assert_tells_full(&ran, &state);
    assert!(site.listed().is_empty());
    disk.empty();
    let first = run().expect(0).snapshot_id().unwrap();
    disk.fill_but(0);
    let ran = run().expect(0);
    let second = ran.snapshot_id().unwrap();
    assert!(ran.err.contains("not remembered on this host"), "{}", ran.err);
    let mut listed = site.listed();
    listed.sort();
    let mut expected = [first, second.clone()];
    expected.sort();
    assert_eq!(listed, expected);
    site.assert_restores(&second, &tree, &Picture::of(&tree));
    disk.empty();
    run().expect(0);
}

#[test]
fn a_full_target_is_told_without_temporaries_and_the_restore_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 76);
    fs::write(tree.join("more"), noise(77, 400_000)).unwrap();
    let id = site.backup(&tree);
    let original = Picture::of(&tree);
    let target = disk.path().join("target");
    let from = format!("{id}:{}", tree.display());
    let arguments = ["restore", &from, "--target", target.to_str().unwrap()];
    for free in [0, 8_192, 50_000, 200_000, 450_000] {
        disk.fill_but(free);
        assert_tells_full(&site.home(&arguments), &target);
        if target.exists() {
            assert_no_temporaries(&target);
            let wrong = Picture::of(&target);
            let wrong = wrong.wrong_in(&original);
            assert!(wrong.is_empty(), "{free} bytes free: {wrong:?}");
        }
    }
    disk.empty();
    site.home(&arguments).expect(0);
    assert_eq!(Picture::of(&target), original);
    fs::write(tree.join("too much"), noise(78, 2_000_000)).unwrap();
    let id = site.backup(&tree);
    let other = disk.path().join("other");
    let from = format!("{id}:{}", tree.display());
    let ran = site.home(&["restore", &from, "--target", other.to_str().unwrap()]);
    assert_tells_full(&ran, &other);
    assert!(!other.exists(), "what cannot fit is not begun");
    assert!(
        ran.err.contains("bytes are needed") && ran.err.contains("--no-space-check"),
        "{}",
        ran.err
    );
    let unchecked = ["restore", &from, "--target", other.to_str().unwrap(), "--no-space-check"];
    assert_tells_full(&site.home(&unchecked), &other);
    assert_no_temporaries(&other);
}

#[test]
fn a_full_disk_under_the_cache_costs_differences_and_no_backup() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::remove_dir_all(site.path("state.cache")).unwrap();
    std::os::unix::fs::symlink(disk.path(), site.path("state.cache")).unwrap();
    let arguments = [&backup_arguments(&tree)[..], &["--old-bytes", "cache"]].concat();
    let backup = |round| {
        fs::write(tree.join("table"), table(round)).unwrap();
        let ran = site.home(&arguments).expect(0);
        site.assert_restores(&ran.snapshot_id().unwrap(), &tree, &Picture::of(&tree));
        ran
    };
    backup(0);
    for (round, free) in [(1, 0), (2, 8192), (3, 40_000)] {
        disk.fill_but(free);
        let ran = backup(round);
        assert!(free > 0 || ran.err.contains("cache"), "{}", ran.err);
    }
    site.stranger(&["verify"]).expect(0);
}
