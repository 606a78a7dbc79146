//! Reading back, and what is given back only when it is asked for.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};

use rustix::fs::FileType;

use crate::support::{Scene, assert_same_contents, is_root, make};

#[test]
fn what_was_restored_reads_back_equal() {
    let scene = Scene::new();
    make::file(&scene.source, "folder/file", make::noise(1, 300_000));
    make::file(&scene.source, "empty", "");
    make::mode(&scene.source.join("folder"), 0o750);
    make::xattr(&scene.source.join("empty"), "user.note", b"kept");
    make::xattr(&scene.source.join("folder"), "user.empty", b"");
    std::os::unix::fs::symlink("nowhere", scene.source.join("link")).unwrap();
    make::node(&scene.source.join("fifo"), FileType::Fifo, 0);
    let holed = fs::File::create(scene.source.join("holed")).unwrap();
    holed.set_len(1 << 20).unwrap();
    let id = scene.backup();
    let target = scene.fresh_target();
    let from = format!("{id}:{}", scene.source.display());
    let args = ["--json", "restore", &from, "--target", target.to_str().unwrap(), "--verify"];
    let summary = scene.coffer(args).ok().summary();
    assert_eq!((&summary["files_verified"], &summary["files_differing"]), (&6.into(), &0.into()));
    let run = scene.coffer([&args[1..], &["--overwrite", "if-changed"]].concat()).ok();
    assert!(run.text().contains("verified 6 entries, 0 different"), "{}", run.text());
    // A change that size and time hide is not seen by if-changed, but read back.
    let file = target.join("folder/file");
    let (before, mut bytes) = (fs::metadata(&file).unwrap(), fs::read(&file).unwrap());
    bytes[77] ^= 1;
    fs::write(&file, &bytes).unwrap();
    make::mtime(&file, before.mtime(), before.mtime_nsec());
    let run = scene.coffer([&args[1..], &["--overwrite", "if-changed"]].concat()).fails_with(4);
    assert!(run.errors().contains("folder/file"), "{}", run.errors());
    assert!(run.errors().contains("1 entry differs"), "{}", run.errors());
    let json = scene.coffer([&args[..], &["--overwrite", "if-changed"]].concat()).fails_with(4);
    assert_eq!(json.summary()["files_differing"], 1);
    scene.coffer(args).ok();
    assert_same_contents(&scene.source, &target);
    scene.coffer([&args[1..], &["--overwrite", "never"]].concat()).fails_with(2);
}

#[test]
fn set_id_bits_and_devices_come_back_only_when_asked_for() {
    let scene = Scene::new();
    let tool = make::file(&scene.source, "tool", "x");
    make::file(&scene.source, "other tool", "x");
    make::mode(&tool, 0o4755);
    make::mode(&scene.source.join("other tool"), 0o2755);
    if is_root() {
        let null = rustix::fs::makedev(1, 3);
        make::node(&scene.source.join("null"), FileType::CharacterDevice, null);
    }
    let id = scene.backup();
    let from = format!("{id}:{}", scene.source.display());
    let target = scene.fresh_target();
    let run = scene.restore_into(&from, &target, &["--verify"]).ok();
    assert_eq!(fs::metadata(target.join("tool")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(run.errors().matches("set-user-id").count(), 1, "{}", run.errors());
    assert!(run.errors().contains("(first of 2: "), "{}", run.errors());
    assert!(!target.join("null").exists());
    assert_eq!(run.errors().contains("devices were left out"), is_root(), "{}", run.errors());
    let run = scene.restore_into(&from, &target, &["--setuid", "--devices"]).ok();
    assert_eq!(run.errors(), "");
    assert_same_contents(&scene.source, &target);
}

#[test]
fn owners_are_left_alone_when_asked() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let file = make::file(&scene.source, "file", "x");
    lchown(&file, Some(1234), Some(4321)).unwrap();
    let id = scene.backup();
    let from = format!("{id}:{}", scene.source.display());
    let target = scene.fresh_target();
    let run = scene.restore_into(&from, &target, &["--no-owner", "--verify"]).ok();
    assert_eq!(run.errors(), "");
    let owner = |path| fs::metadata(path).map(|it| (it.uid(), it.gid())).unwrap();
    assert_eq!(owner(target.join("file")), (0, 0));
    scene.restore_into(&from, &target, &["--verify"]).ok();
    assert_eq!(owner(target.join("file")), (1234, 4321));
}

#[test]
fn without_root_one_note_tells_of_owners() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        lchown(make::file(&scene.source, name, "x"), Some(1234), Some(4321)).unwrap();
    }
    let id = scene.backup();
    let open = "chmod -R a+rwX . && exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    let mut inner = scene.command();
    inner.env("HOME", "/nonexistent");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", open, "sh"]).arg(inner.get_program()).args(["restore", &id, "--target"]);
    command.arg(scene.fresh_target()).current_dir(scene.source.parent().unwrap());
    inner.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    let run = crate::support::run::finish(&mut command, None);
    if run.errors().contains("setpriv") || run.errors().contains("ermission denied") {
        return; // Not everywhere may the binary be run by others.
    }
    let run = run.ok();
    assert_eq!(run.errors().lines().count(), 1, "{}", run.errors());
    assert!(run.errors().contains("only root can give files away"), "{}", run.errors());
}
