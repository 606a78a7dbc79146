//! Restores of parts, over what is there, and without effect.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Scene, assert_same_contents, assert_same_tree, below, make, tree};

fn sample() -> (Scene, String) {
    let scene = Scene::new();
    make::file(&scene.source, "app/config/main.toml", "setting = 1\n");
    make::file(&scene.source, "app/data/large", make::noise(1, 700_000));
    make::file(&scene.source, "app/data/notes.txt", "notes");
    make::file(&scene.source, "app!", "sorts between");
    make::file(&scene.source, "apple/core.txt", "no part of app");
    symlink("config/main.toml", scene.source.join("app/link")).unwrap();
    make::mode(&scene.source.join("app/data"), 0o750);
    let id = scene.backup();
    (scene, id)
}

fn names(root: &Path) -> Vec<String> {
    tree::of(root).into_keys().filter(|name| !name.is_empty()).collect()
}

#[test]
fn a_folder_comes_back_right_into_the_target() {
    let (scene, id) = sample();
    let app = scene.source.join("app");
    for path in [app.to_str().unwrap(), &format!("{}/", app.display()), &app.to_str().unwrap()[1..]]
    {
        let target = scene.fresh_target();
        scene.restore_into(&format!("{id}:{path}"), &target, &[]).ok();
        assert_same_contents(&app, &target);
    }
}

#[test]
fn a_file_comes_back_right_into_the_target() {
    let (scene, id) = sample();
    for name in ["app/data/large", "app/link"] {
        let path = scene.source.join(name);
        let target = scene.fresh_target();
        scene.restore_into(&format!("{id}:{}", path.display()), &target, &[]).ok();
        let restored = target.join(path.file_name().unwrap());
        assert_same_tree(&path, &restored);
        assert_eq!(names(&target).len(), 1);
    }
}

#[test]
fn a_path_that_is_not_in_the_snapshot_fails_and_writes_nothing() {
    let (scene, id) = sample();
    for path in ["/nowhere", &format!("{}/ap", scene.source.display())] {
        let target = scene.fresh_target();
        let run = scene.restore_into(&format!("{id}:{path}"), &target, &[]).fails_with(1);
        assert!(run.errors().contains(path.trim_start_matches('/')), "{}", run.errors());
        assert!(!target.exists() || names(&target).is_empty());
    }
}

#[test]
fn includes_and_excludes_choose_what_comes_back() {
    let (scene, id) = sample();
    let chosen = |options: &[&str]| {
        let target = scene.fresh_target();
        let from = format!("{id}:{}", scene.source.display());
        scene.restore_into(&from, &target, options).ok();
        names(&target)
    };
    assert_eq!(
        chosen(&["-i", "*.txt"]),
        ["/app", "/app/data", "/app/data/notes.txt", "/apple", "/apple/core.txt"]
    );
    assert_eq!(chosen(&["-i", "/app/config"]), ["/app", "/app/config", "/app/config/main.toml"]);
    assert_eq!(
        chosen(&["-i", "data/", "-e", "large"]),
        ["/app", "/app/data", "/app/data/notes.txt"]
    );
    assert_eq!(chosen(&["-e", "/app"]), ["/app!", "/apple", "/apple/core.txt"]);
    assert!(chosen(&["-i", "nothing like it"]).is_empty());
}

#[test]
fn a_dry_run_of_a_restore_writes_nothing_and_counts_what_it_would() {
    let (scene, id) = sample();
    let target = scene.fresh_target();
    let run = scene.coffer(["--json", "restore", &id, "--target", target.to_str().unwrap(), "-n"]);
    assert!(!target.exists());
    let dry = run.ok().summary();
    let real = scene.coffer(["--json", "restore", &id, "--target", target.to_str().unwrap()]);
    let real = real.ok().summary();
    for field in ["files_restored", "bytes_restored", "total_files"] {
        assert_eq!(dry[field], real[field], "{field}: {dry} {real}");
    }
}

#[test]
fn a_dry_run_of_a_backup_stores_nothing() {
    let (scene, _) = sample();
    make::file(&scene.source, "new", make::noise(9, 50_000));
    let before = tree::of(&scene.repo);
    let run = scene.try_backup(&["-n"]).ok();
    assert!(run.summary()["snapshot_id"].is_null(), "{}", run.summary());
    assert_eq!(run.summary()["files_new"], 1, "{}", run.summary());
    assert_eq!(tree::of(&scene.repo), before);
    let run = scene.try_backup(&[]).ok();
    assert_eq!(run.summary()["files_new"], 1, "{}", run.summary());
}

/// A target with the snapshot in it, then changed: a longer file, an equal size, another kind, more.
fn changed_target(scene: &Scene, id: &str) -> std::path::PathBuf {
    let restored = scene.restored(id);
    fs::write(restored.join("app/config/main.toml"), "setting = 2\n").unwrap();
    fs::write(restored.join("app/data/notes.txt"), "my own longer notes").unwrap();
    fs::remove_file(restored.join("app!")).unwrap();
    fs::create_dir(restored.join("app!")).unwrap();
    make::mode(&restored.join("apple/core.txt"), 0o600);
    make::file(&restored, "mine", "not in the snapshot");
    restored
}

fn target_of(scene: &Scene, restored: &Path) -> std::path::PathBuf {
    let depth = scene.source.components().count() - 1;
    restored.ancestors().nth(depth).unwrap().to_owned()
}

#[test]
fn overwriting_always_and_if_changed_bring_back_the_snapshot_and_leave_other_files() {
    let (scene, id) = sample();
    for mode in ["always", "if-changed"] {
        let restored = changed_target(&scene, &id);
        let target = target_of(&scene, &restored);
        // A folder is never deleted to make room: that is told, and the rest comes back.
        let run = scene.restore_into(&id, &target, &["--overwrite", mode]).fails_with(3);
        assert!(run.errors().contains("app!"), "{}", run.errors());
        fs::remove_dir(restored.join("app!")).unwrap();
        assert_eq!(fs::read(restored.join("mine")).unwrap(), b"not in the snapshot");
        fs::remove_file(restored.join("mine")).unwrap();
        make::mtime(&restored, 1, 1);
        scene.restore_into(&id, &target, &["--overwrite", mode]).ok();
        assert_same_tree(&scene.source, &restored);
    }
}

#[test]
fn overwriting_never_keeps_what_is_there_and_adds_what_is_missing() {
    let (scene, id) = sample();
    let restored = changed_target(&scene, &id);
    fs::remove_file(restored.join("app/data/large")).unwrap();
    let target = target_of(&scene, &restored);
    scene.restore_into(&id, &target, &["--overwrite", "never"]).ok();
    let read = |name: &str| fs::read(restored.join(name)).unwrap();
    assert_eq!(read("app/config/main.toml"), b"setting = 2\n");
    assert_eq!(read("app/data/notes.txt"), b"my own longer notes");
    assert_eq!(read("app/data/large"), make::noise(1, 700_000));
    assert!(restored.join("app!").is_dir());
}

#[test]
fn a_restore_never_writes_through_a_link_in_the_target() {
    let (scene, id) = sample();
    let outside = scene.path("outside");
    fs::create_dir(&outside).unwrap();
    make::file(&outside, "victim", "untouched");
    for mode in ["always", "if-changed", "never"] {
        let target = scene.fresh_target();
        let place = below(&target, &scene.source);
        fs::create_dir_all(place.join("app/data")).unwrap();
        symlink(&outside, place.join("app/config")).unwrap();
        symlink(outside.join("victim"), place.join("app/data/notes.txt")).unwrap();
        let run = scene.restore_into(&id, &target, &["--overwrite", mode]);
        assert!(matches!(run.code, Some(0 | 3)), "{run:?}");
        assert_eq!(names(&outside), ["/victim"]);
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"untouched");
    }
}

#[test]
fn a_restore_over_the_source_itself_brings_it_back() {
    let (scene, id) = sample();
    let before = tree::of(&scene.source);
    fs::remove_dir_all(scene.source.join("app/data")).unwrap();
    fs::write(scene.source.join("apple/core.txt"), "overwritten by mistake").unwrap();
    scene.restore_into(&id, Path::new("/"), &[]).ok();
    assert_eq!(tree::of(&scene.source), before);
}
