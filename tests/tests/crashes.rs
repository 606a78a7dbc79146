//! The process is killed at every write, one after the other: nothing that was acknowledged is lost,
//! nothing half-written is seen, and the next run needs no help.

use std::fs;
use std::path::Path;

use crate::harm::support::{
    Picture, Ran, Site, assert_objects_are_whole, backup_arguments, grow, ids, noise, put_back,
    table,
};

/// Runs `step` with 1, 2, … until it says that the run was not killed; the number of kills.
fn every_crash_point(mut step: impl FnMut(u64) -> bool) -> u64 {
    for n in 1..2000 {
        if !step(n) {
            println!("killed {} times", n - 1);
            return n - 1;
        }
    }
    panic!("a run has no end of crash points");
}

/// True if the run was killed; anything but that and success fails the test.
#[track_caller]
fn was_killed(ran: &Ran) -> bool {
    match ran.code {
        None => true,
        Some(0) => false,
        Some(code) => panic!("exit {code}: {}", ran.err),
    }
}

/// Asserts that a stranger finds the repository clean, its lists complete and its files whole.
#[track_caller]
fn assert_sound(site: &Site, n: u64) {
    assert_objects_are_whole(&site.repo);
    let checked = site.stranger(&["check"]);
    assert_eq!(checked.code, Some(0), "crash point {n}: {} {}", checked.out, checked.err);
}

#[test]
fn a_backup_killed_at_any_write_loses_nothing_and_the_next_one_needs_no_help() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 1);
    fs::write(tree.join("table"), table(1)).unwrap();
    let first = (site.backup(&tree), Picture::of(&tree));
    fs::write(tree.join("text"), "second").unwrap();
    fs::write(tree.join("table"), table(2)).unwrap();
    fs::write(tree.join("folder/second"), noise(2, 70_000)).unwrap();
    let second = (site.backup(&tree), Picture::of(&tree));
    fs::write(tree.join("folder/third"), noise(3, 90_000)).unwrap();
    fs::write(tree.join("table"), table(3)).unwrap();
    fs::remove_file(tree.join("folder/deep/small")).unwrap();
    let third = Picture::of(&tree);
    let kept = [("repo", "repo-kept"), ("state", "state-kept"), ("state.cache", "cache-kept")];
    for (folder, copy) in kept {
        put_back(&site.path(folder), &site.path(copy));
    }
    let (mut before, mut after) = (0, 0);
    let kills = every_crash_point(|n| {
        for (folder, copy) in kept {
            put_back(&site.path(copy), &site.path(folder));
        }
        let ran = site.dying(n, &backup_arguments(&tree));
        let killed = was_killed(&ran);
        let listed = site.listed();
        assert!(listed.contains(&first.0) && listed.contains(&second.0), "crash point {n}");
        let acknowledged = ran.snapshot_id();
        assert!(acknowledged.iter().all(|id| listed.contains(id)), "crash point {n}");
        assert_sound(&site, n);
        for id in &listed {
            let known = [&first, &second].into_iter().find(|(known, _)| known == id);
            site.assert_restores(id, &tree, known.map_or(&third, |(_, picture)| picture));
        }
        *(if listed.len() > 2 { &mut after } else { &mut before }) += 1;
        let next = site.backup(&tree);
        site.assert_restores(&next, &tree, &third);
        assert_sound(&site, n);
        killed
    });
    assert!(
        kills >= 30 && before > 10 && after > 0,
        "{kills} kills, {before} before, {after} after"
    );
}

#[test]
fn a_first_backup_killed_at_any_write_lists_nothing_that_does_not_restore() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 4);
    let picture = Picture::of(&tree);
    put_back(&site.repo, &site.path("kept"));
    let kills = every_crash_point(|n| {
        put_back(&site.path("kept"), &site.repo);
        let _ = fs::remove_dir_all(site.path("state"));
        let killed = was_killed(&site.dying(n, &backup_arguments(&tree)));
        assert_objects_are_whole(&site.repo);
        for id in site.listed() {
            site.assert_restores(&id, &tree, &picture);
        }
        let next = site.backup(&tree);
        site.assert_restores(&next, &tree, &picture);
        assert_sound(&site, n);
        killed
    });
    assert!(kills >= 30, "{kills} kills");
}

#[test]
fn an_init_killed_at_any_write_can_be_repeated_or_is_complete() {
    let mut seen = [0, 0];
    let kills = every_crash_point(|n| {
        let site = Site::empty();
        let killed = was_killed(&site.dying(n, &["init"]));
        assert_objects_are_whole(&site.repo);
        let again = site.home(&["init"]);
        let stood = again.code == Some(1) && again.err.contains("there is a repository");
        assert!(stood || again.code == Some(0), "crash point {n}: {}", again.err);
        seen[usize::from(stood)] += 1;
        let tree = site.path("tree");
        grow(&tree, n);
        let id = site.backup(&tree);
        site.assert_restores(&id, &tree, &Picture::of(&tree));
        assert_sound(&site, n);
        killed
    });
    assert!(kills >= 10 && seen.iter().all(|count| *count > 0), "{kills} kills: {seen:?}");
}

/// Kills a change of keys at every write; afterwards one of the keys opens, restores and backs up.
fn kill_a_change_of_keys(arguments: &[&str], keys: &[&str]) -> u64 {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 5);
    let id = site.backup(&tree);
    site.home(&["key", "add", "--new-key-file", site.path("other").to_str().unwrap()]).expect(0);
    let listed = site.stranger(&["key", "list"]).expect(0).out;
    let slots: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let other = slots.as_array().unwrap().iter().find(|it| it["current"] == false).unwrap();
    let other = other["id"].as_str().unwrap().to_owned();
    let new = site.path("new").to_str().unwrap().to_owned();
    let place = |word: &&str| match *word {
        "OTHER" => other.clone(),
        "NEW" => new.clone(),
        word => word.to_owned(),
    };
    let arguments: Vec<String> = arguments.iter().map(place).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let picture = Picture::of(&tree);
    put_back(&site.repo, &site.path("kept"));
    put_back(&site.path("state"), &site.path("state-kept"));
    fs::copy(site.path("key"), site.path("key-kept")).unwrap();
    every_crash_point(|n| {
        put_back(&site.path("kept"), &site.repo);
        put_back(&site.path("state-kept"), &site.path("state"));
        fs::copy(site.path("key-kept"), site.path("key")).unwrap();
        let _ = fs::remove_file(&new);
        let killed = was_killed(&site.dying(n, &arguments));
        assert_objects_are_whole(&site.repo);
        let opens = |key: &str| {
            let key = site.path(key);
            let ran = site.stranger(&["snapshots", "--key-file", key.to_str().unwrap()]);
            ran.code == Some(0) && ids(&ran.out) == [id.as_str()]
        };
        let key = keys.iter().find(|key| site.path(key).exists() && opens(key));
        let key = key.unwrap_or_else(|| panic!("crash point {n}: no key opens any more"));
        fs::copy(site.path(key), site.path("key")).unwrap();
        site.assert_restores(&id, &tree, &picture);
        let next = site.backup(&tree);
        site.assert_restores(&next, &tree, &picture);
        assert_sound(&site, n);
        killed
    })
}

#[test]
fn a_key_addition_killed_at_any_write_leaves_the_old_keys_working() {
    let kills = kill_a_change_of_keys(&["key", "add", "--new-key-file", "NEW"], &["key-kept"]);
    assert!(kills >= 10, "{kills} kills");
}

#[test]
fn a_key_removal_killed_at_any_write_leaves_the_key_in_use_working() {
    let kills = kill_a_change_of_keys(&["key", "remove", "OTHER"], &["key-kept"]);
    assert!(kills >= 10, "{kills} kills");
}

#[test]
fn a_key_replacement_killed_at_any_write_leaves_the_old_or_the_new_key_working() {
    let keys = ["key-kept", "new"];
    let kills = kill_a_change_of_keys(&["key", "passwd", "--new-key-file", "NEW"], &keys);
    assert!(kills >= 10, "{kills} kills");
}

#[test]
fn a_restore_killed_at_any_write_leaves_every_name_absent_or_whole() {
    let site = Site::new();
    let tree = site.path("tree");
    grow(&tree, 6);
    let id = site.backup(&tree);
    let picture = Picture::of(&tree);
    let kills = kill_a_restore(&site, &id, &tree, &picture, None);
    assert!(kills >= 20, "{kills} kills");
}

#[test]
fn a_restore_over_existing_files_killed_at_any_write_leaves_each_old_or_new() {
    let site = Site::new();
    let (tree, old) = (site.path("tree"), site.path("old"));
    grow(&old, 7);
    fs::remove_file(old.join("link")).unwrap();
    fs::write(old.join("link"), "a file where a link will be").unwrap();
    fs::write(old.join("foreign"), "not in the snapshot").unwrap();
    grow(&tree, 8);
    fs::write(tree.join("folder/only new"), noise(9, 10_000)).unwrap();
    let id = site.backup(&tree);
    let picture = Picture::of(&tree);
    let kills = kill_a_restore(&site, &id, &tree, &picture, Some(&old));
    assert!(kills >= 20, "{kills} kills");
}

fn kill_a_restore(site: &Site, id: &str, tree: &Path, new: &Picture, old: Option<&Path>) -> u64 {
    let old_picture = old.map(Picture::of);
    every_crash_point(|n| {
        let target = site.folder();
        if let Some(old) = old {
            put_back(old, &target);
        }
        let from = format!("{id}:{}", tree.display());
        let arguments = ["restore", &from, "--target", target.to_str().unwrap()];
        let killed = was_killed(&site.dying(n, &arguments));
        for (path, item) in &Picture::of(&target).0 {
            let inside_temporary = path.components().any(|part| is_temporary(part.as_os_str()));
            let is = |picture: &Picture| {
                picture.0.get(path).is_some_and(|known| known.bytes == item.bytes)
            };
            let whole = is(new) || old_picture.as_ref().is_some_and(is);
            assert!(inside_temporary || whole, "crash point {n}: {path:?} is neither old nor new");
        }
        for path in old_picture.iter().flat_map(|picture| picture.0.keys()) {
            let there = fs::symlink_metadata(target.join(path)).is_ok();
            assert!(there, "crash point {n}: {path:?} is neither there as old nor as new");
        }
        site.home(&arguments).expect(0);
        let mut restored = Picture::of(&target);
        if old.is_some() {
            assert!(restored.0.remove(Path::new("foreign")).is_some(), "crash point {n}");
        }
        assert_eq!(restored, *new, "crash point {n}");
        fs::remove_dir_all(&target).unwrap();
        killed
    })
}

fn is_temporary(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.len() == 24 && name.starts_with(".coffer-"))
}

#[test]
fn a_first_backup_with_checkpoints_is_gone_on_with_wherever_it_was_killed() {
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..3_u64 {
        fs::write(tree.join(format!("file-{number}")), noise(number, 4_300_000)).unwrap();
    }
    let picture = Picture::of(&tree);
    put_back(&site.repo, &site.path("kept"));
    let arguments = [&backup_arguments(&tree)[..], &["--checkpoint-interval", "1ms"]].concat();
    let (mut with, mut read_again) = (0, false);
    let kills = every_crash_point(|n| {
        put_back(&site.path("kept"), &site.repo);
        let _ = fs::remove_dir_all(site.path("state"));
        let killed = was_killed(&site.dying(n, &arguments));
        assert_sound(&site, n);
        let all = site.stranger(&["snapshots", "--all"]).expect(0).out;
        let all: serde_json::Value = serde_json::from_str(&all).unwrap();
        let newest = all.as_array().unwrap().last();
        let files = newest.map_or(0, |it| it["summary"]["total_files_processed"].as_u64().unwrap());
        if let Some(checkpoint) = newest.filter(|it| it["state"] == "incomplete") {
            with += 1;
            let id = checkpoint["id"].as_str().unwrap();
            let (ran, part) = site.restore(id, &tree);
            assert!(ran.expect(0).err.contains("did not come to its end"));
            assert!(part.0.iter().all(|(path, item)| picture.0.get(path) == Some(item)));
        }
        let next = site.home(&arguments).expect(0);
        let summary = next.out.lines().last().unwrap();
        let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
        read_again |= summary["files_unmodified"].as_u64().unwrap() != files;
        let id = summary["snapshot_id"].as_str().unwrap();
        site.assert_restores(id, &tree, &picture);
        assert_sound(&site, n);
        killed
    });
    assert!(kills >= 30 && with >= 5, "{kills} kills, {with} with a checkpoint");
    assert!(!read_again, "a file of a checkpoint was read again");
}
