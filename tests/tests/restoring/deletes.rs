//! What the snapshot does not have is deleted where that was asked for, and nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::{Run, Scene, assert_same_contents, below, is_root, make, tree};

fn names(root: &Path) -> Vec<String> {
    tree::of(root).into_keys().filter(|name| !name.is_empty()).collect()
}

/// A restored target with more in it than the snapshot has.
fn overfull() -> (Scene, String, PathBuf) {
    let scene = Scene::new();
    make::file(&scene.source, "kept/file", "kept");
    make::file(&scene.source, "kept/deep/file", "kept");
    make::file(&scene.source, "top", "top");
    let id = scene.backup();
    let target = scene.fresh_target();
    scene.restore_into(&from(&scene, &id), &target, &[]).ok();
    make::file(&target, "kept/extra.log", "x");
    make::file(&target, "kept/extra.txt", "x");
    make::file(&target, "new/deep/a.log", "x");
    make::file(&target, "new/deep/b.txt", "x");
    (scene, id, target)
}

fn from(scene: &Scene, id: &str) -> String {
    format!("{id}:{}", scene.source.display())
}

fn delete(scene: &Scene, id: &str, target: &Path, options: &[&str]) -> Run {
    let options = [&["--delete"], options].concat();
    scene.restore_into(&from(scene, id), target, &options)
}

#[test]
fn nothing_is_deleted_before_somebody_said_yes() {
    let (scene, id, target) = overfull();
    fs::write(target.join("top"), "changed").unwrap();
    let before = tree::of(&target);
    let run = delete(&scene, &id, &target, &[]).fails_with(5);
    assert!(run.errors().contains("6 files and folders"), "{}", run.errors());
    assert!(run.errors().contains("--yes"), "{}", run.errors());
    let run = delete(&scene, &id, &target, &["-n", "-v"]).ok();
    for path in ["kept/extra.log", "new/deep/a.log", "new"] {
        assert!(
            run.text()
                .lines()
                .any(|line| line.starts_with("deleted") && line.ends_with(&format!("/{path}"))),
            "{path}: {}",
            run.text()
        );
    }
    assert!(run.text().contains("would delete 6 files and folders"), "{}", run.text());
    assert_eq!(tree::of(&target), before);
    let run = delete(&scene, &id, &target, &["--yes"]).ok();
    assert!(run.text().contains("deleted 6 files and folders"), "{}", run.text());
    // Times of folders too.
    assert_same_contents(&scene.source, &target);
    // With nothing to delete nobody is asked.
    delete(&scene, &id, &target, &[]).ok();
}

#[test]
fn what_the_patterns_do_not_select_stays() {
    let (scene, id, target) = overfull();
    delete(&scene, &id, &target, &["--yes", "-e", "*.log"]).ok();
    let left = names(&target);
    assert!(left.contains(&"/kept/extra.log".to_owned()), "{left:?}");
    assert!(left.contains(&"/new/deep/a.log".to_owned()), "{left:?}");
    assert!(!left.iter().any(|name| name.ends_with(".txt")), "{left:?}");
    let (scene, id, target) = overfull();
    delete(&scene, &id, &target, &["--yes", "-i", "/kept/deep", "-i", "*.log"]).ok();
    let left = names(&target);
    assert!(left.contains(&"/kept/extra.txt".to_owned()), "{left:?}");
    assert!(left.contains(&"/new/deep/b.txt".to_owned()), "{left:?}");
    assert!(!left.iter().any(|name| name.ends_with(".log")), "{left:?}");
}

#[test]
fn a_whole_snapshot_deletes_only_below_the_paths_of_the_backup() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let id = scene.backup();
    let target = scene.fresh_target();
    let place = below(&target, &scene.source);
    make::file(&target, "at the top", "x");
    make::file(place.parent().unwrap(), "beside", "x");
    make::file(&place, "extra", "x");
    scene.restore_into(&id, &target, &["--delete", "--yes"]).ok();
    assert!(target.join("at the top").exists());
    assert!(place.parent().unwrap().join("beside").exists());
    assert_eq!(names(&place), ["/file"]);
}

#[test]
fn links_other_file_systems_and_the_repository_are_not_entered() {
    let (scene, id, target) = overfull();
    let outside = scene.path("outside");
    make::file(&outside, "victim", "x");
    symlink(&outside, target.join("kept/way out")).unwrap();
    // The repository itself stands in the target, below a folder that the snapshot has not.
    let moved = target.join("new/deep/repo");
    fs::rename(&scene.repo, &moved).unwrap();
    let mut command = scene.command();
    command.env("COFFER_REPOSITORY", &moved).args(["restore", &from(&scene, &id), "--target"]);
    command.arg(&target).args(["--delete", "--yes"]);
    let run = crate::support::run::finish(&mut command, None).ok();
    assert!(run.text().contains("deleted"), "{}", run.text());
    assert_eq!(names(&outside), ["/victim"]);
    assert!(!target.join("kept/way out").is_symlink());
    assert!(!target.join("new/deep/a.log").exists());
    command = scene.command();
    command.env("COFFER_REPOSITORY", &moved).arg("verify");
    crate::support::run::finish(&mut command, None).ok();
}

#[test]
fn a_mounted_file_system_is_not_entered() {
    if !is_root() {
        return;
    }
    let (scene, id, target) = overfull();
    let script = r#"mount -t tmpfs none "$1/new" && touch "$1/new/there" && shift &&
        "$@" && test -e "$0/new/there""#;
    let mut command = scene.command();
    let program = command.get_program().to_owned();
    let inner = [from(&scene, &id), "--target".into(), target.display().to_string()];
    let mut wrapped = std::process::Command::new("unshare");
    wrapped.args(["-m", "sh", "-c", script]).args([&target, &target]).arg(program);
    wrapped.arg("restore").args(inner).args(["--delete", "--yes"]);
    for (name, value) in command.env("HOME", "/").get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    let run = crate::support::run::finish(&mut wrapped, None);
    if run.errors().contains("mount:") || run.errors().contains("unshare:") {
        return;
    }
    run.ok();
}

#[test]
fn the_root_of_the_system_and_a_partial_snapshot_are_refused() {
    let (scene, id, target) = overfull();
    let before = tree::of(&scene.source);
    for options in [&["--delete", "--yes"][..], &["--delete", "-n"]] {
        let run = scene.restore_into(&id, Path::new("/"), options).fails_with(5);
        assert!(run.errors().contains("root"), "{}", run.errors());
    }
    assert_eq!(tree::of(&scene.source), before);
    if is_root() {
        return;
    }
    make::mode(&scene.source.join("top"), 0);
    let partial = scene.try_backup(&[]).fails_with(3).snapshot_id();
    let run = delete(&scene, &partial, &target, &["--yes"]).fails_with(5);
    assert!(run.errors().contains("not complete"), "{}", run.errors());
    assert!(target.join("top").exists());
}

#[test]
fn a_stream_beside_a_tree_is_not_deleted_and_sources_are_restored_apart() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    let args = ["--json", "backup", "--stdin", "--stdin-filename", "db.sql", source];
    let run = scene.coffer_reading(args, b"dump");
    if run.code == Some(2) {
        return; // One kind at a time.
    }
    let id = run.ok().snapshot_id();
    let target = scene.fresh_target();
    scene.restore_into(&id, &target, &["--delete", "--yes"]).ok();
    scene.restore_into(&id, &target, &["--delete", "--yes"]).ok();
    assert_eq!(fs::read(target.join("db.sql")).unwrap(), b"dump");
    assert!(below(&target, &scene.source).join("file").exists());
    let target = scene.fresh_target();
    scene.restore_into(&id, &target, &["--source", "db.sql"]).ok();
    assert_eq!(names(&target), ["/db.sql"]);
    let run = scene.restore_into(&id, &target, &["--source", "none"]).fails_with(1);
    assert!(run.errors().contains("db.sql"), "{}", run.errors());
}

#[test]
fn the_one_source_of_a_tree_is_called_files() {
    let (scene, id, _) = overfull();
    let target = scene.fresh_target();
    scene.restore_into(&from(&scene, &id), &target, &["--source", "files"]).ok();
    assert_same_contents(&scene.source, &target);
    let run = scene.coffer(["ls", &id, "--source", "other"]).fails_with(1);
    assert!(run.errors().contains("no source other, but: files"), "{}", run.errors());
    let path = format!("{id}:{}", scene.source.join("top").display());
    assert_eq!(scene.coffer(["cat", &path, "--source", "files"]).ok().stdout, b"top");
}
