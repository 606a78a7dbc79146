//! What is asked for: several paths, nested ones, relative ones, links, lists, streams.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::{Scene, assert_same_tree, below, make, run, tree};

/// Backs `paths` up and restores all of it; returns the target.
fn restored(scene: &Scene, paths: &[&Path]) -> PathBuf {
    let mut command = scene.command();
    command.args(["--json", "backup"]).args(paths);
    let run = run::finish(&mut command, None).ok();
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    target
}

#[test]
fn two_paths_come_back_beside_each_other() {
    let scene = Scene::new();
    make::file(&scene.source, "one/file", "1");
    make::file(&scene.source, "two/file", "2");
    make::file(&scene.source, "three/file", "3");
    let [one, two] = ["one", "two"].map(|name| scene.source.join(name));
    let target = restored(&scene, &[&two, &one]);
    assert_same_tree(&one, &below(&target, &one));
    assert_same_tree(&two, &below(&target, &two));
    assert!(!below(&target, &scene.source.join("three")).exists());
}

#[test]
fn nested_and_repeated_paths_are_stored_once() {
    let scene = Scene::new();
    make::file(&scene.source, "a/b/file", make::noise(1, 100_000));
    let nested = scene.source.join("a/b");
    let target = restored(&scene, &[&nested, &scene.source, &scene.source, &nested]);
    assert_same_tree(&scene.source, &below(&target, &scene.source));
    let list = scene.coffer(["ls", "latest"]).ok().text();
    assert_eq!(list.lines().filter(|line| line.ends_with("/a/b/file")).count(), 1, "{list}");
}

#[test]
fn relative_paths_are_stored_as_absolute_ones() {
    let scene = Scene::new();
    make::file(&scene.source, "inner/file", "x");
    // Commands run in the folder above the source folder.
    for path in ["source", "./source", "source/../source", "source/."] {
        let target = restored(&scene, &[Path::new(path)]);
        assert_same_tree(&scene.source, &below(&target, &scene.source));
    }
}

#[test]
fn a_root_that_is_a_link_is_the_link_and_with_a_slash_what_it_names() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let link = scene.path("link");
    symlink("source", &link).unwrap();
    let target = restored(&scene, &[&link]);
    assert_same_tree(&link, &below(&target, &link));
    let target = restored(&scene, &[&link.join("")]);
    assert_same_tree(&scene.source, &below(&target, &scene.source));
}

#[test]
fn a_single_file_of_any_name_is_a_root() {
    let scene = Scene::new();
    for name in [&b"plain"[..], b"bytes \xff\n", b"-dash"] {
        let file = make::file(&scene.source, make::raw(name), "content");
        let target = restored(&scene, &[&file]);
        assert_same_tree(&file, &below(&target, &file));
    }
}

#[test]
fn a_root_that_is_missing_leaves_the_others_and_fails_alone() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let missing = scene.path("missing");
    let missing = missing.to_str().unwrap();
    let run = scene.try_backup(&[missing]).fails_with(3);
    assert!(run.errors().contains("missing"), "{}", run.errors());
    assert_same_tree(&scene.source, &scene.restored(&run.snapshot_id()));
    let alone = scene.coffer(["backup", missing]).fails_with(1);
    assert!(alone.errors().contains("missing"), "{}", alone.errors());
    assert_eq!(scene.listed().len(), 1);
}

#[test]
fn paths_may_come_from_lists() {
    let scene = Scene::new();
    let plain = make::file(&scene.source, "a b", "1");
    let odd = make::file(&scene.source, make::raw(b"line\nfeed \xff"), "2");
    make::file(&scene.source, "not asked for", "3");
    let list = [odd.as_os_str().as_bytes(), b"\0", plain.as_os_str().as_bytes(), b"\0"].concat();
    let args = ["--json", "backup", "--files-from0", "-"];
    let from_input = scene.coffer_reading(args, &list).ok().snapshot_id();
    let file = scene.path("list");
    fs::write(&file, [plain.as_os_str().as_bytes(), b"\n"].concat()).unwrap();
    let args = ["--json", "backup", "--files-from", file.to_str().unwrap()];
    let from_file = scene.coffer(args).ok().snapshot_id();
    let names = |snapshot: &str| tree::of(&scene.restored(snapshot)).len();
    assert_eq!((names(&from_input), names(&from_file)), (3, 2));
    scene.coffer_reading(["backup", "--files-from", "-"], b"\n\n").fails_with(2);
}

#[test]
fn a_stream_is_stored_and_written_back() {
    let scene = Scene::new();
    for (number, len) in [1, 65_536, 5_000_000].into_iter().enumerate() {
        let bytes = make::noise(number as u64, len);
        let name = format!("dumps/db {number}.sql");
        let args = ["--json", "backup", "--stdin", "--stdin-filename", &name, "--job", "db"];
        let id = scene.coffer_reading(args, &bytes).ok().snapshot_id();
        let cat = scene.coffer(["cat", &format!("{id}:/{name}")]).ok();
        assert!(cat.stdout == bytes, "{len} bytes differ");
        assert_eq!(cat.errors(), "");
        let target = scene.fresh_target();
        scene.restore_into(&id, &target, &[]).ok();
        assert!(fs::read(target.join(name)).unwrap() == bytes);
    }
}

#[test]
fn an_empty_stream_fails_and_lists_nothing() {
    let scene = Scene::new();
    let run = scene.coffer_reading(["backup", "--stdin"], b"").fails_with(1);
    assert!(run.errors().contains("empty"), "{}", run.errors());
    assert!(scene.listed().is_empty());
    let all = scene.coffer(["--json", "snapshots", "--all"]).ok();
    assert_eq!(all.json()[0].as_array().unwrap().len(), 0);
}

#[test]
fn a_stream_that_fails_beside_a_tree_leaves_the_tree_restorable() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    let args = ["--json", "backup", "--stdin", source];
    let run = scene.coffer_reading(args, b"").fails_with(3);
    assert_eq!(run.summary()["partial"], true);
    let target = scene.fresh_target();
    let whole = scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    assert!(whole.errors().contains("stdin was not captured"), "{}", whole.errors());
    assert_same_tree(&scene.source, &below(&target, &scene.source));
    let target = scene.fresh_target();
    scene.restore_into(&format!("latest:{source}"), &target, &[]).ok();
    assert_eq!(fs::read(target.join("file")).unwrap(), b"x");
    let both = scene.coffer_reading(args, b"stream").ok().snapshot_id();
    assert_same_tree(&scene.source, &scene.restored(&both));
    assert_eq!(scene.coffer(["cat", "latest:stdin"]).ok().stdout, b"stream");
}
