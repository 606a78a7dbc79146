//! Keys: listed, added, removed, replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Scene, make, run};

const OTHER: &str = "plum ferry window cactus ninety";

/// Runs `coffer` with a password instead of the scene's key file.
fn with_password(scene: &Scene, password: &str, args: &[&str]) -> crate::support::Run {
    run::finish(scene.locked_command().env("COFFER_PASSWORD", password).args(args), None)
}

fn keys(scene: &Scene) -> Vec<Value> {
    scene.coffer(["--json", "key", "list"]).ok().json()[0].as_array().unwrap().clone()
}

fn password_file(scene: &Scene, password: &str) -> String {
    let path = scene.path("new-password");
    fs::write(&path, format!("{password}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_key_file_is_made_for_its_owner_only_and_never_overwritten() {
    let scene = Scene::new();
    assert_eq!(fs::metadata(&scene.key).unwrap().permissions().mode() & 0o777, 0o600);
    let foreign = make::file(&scene.source, "foreign", "my precious notes\n");
    let other = scene.path("other-repo");
    let args = ["-r", other.to_str().unwrap(), "--key-file", foreign.to_str().unwrap(), "init"];
    scene.coffer(args).fails_with(5);
    assert_eq!(fs::read(&foreign).unwrap(), b"my precious notes\n");
}

#[test]
fn an_added_password_opens_until_it_is_removed() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let id = scene.backup();
    let file = password_file(&scene, OTHER);
    scene.coffer(["key", "add", "--new-password-file", &file, "--label", "alice"]).ok();
    let list = keys(&scene);
    assert_eq!(list.len(), 2);
    let added = list.iter().find(|key| key["label"] == "alice").unwrap();
    assert_eq!((&added["kind"], &added["current"]), (&"password".into(), &false.into()));
    assert!(scene.coffer(["key", "list"]).ok().text().contains("alice"));
    with_password(&scene, OTHER, &["ls", &id]).ok();
    scene.coffer(["key", "remove", added["id"].as_str().unwrap()]).ok();
    with_password(&scene, OTHER, &["ls", &id]).fails_with(12);
    assert_eq!(keys(&scene).len(), 1);
    // The keys that are left open what was there before and after.
    let second = scene.backup();
    for snapshot in [id, second] {
        crate::support::assert_same_tree(&scene.source, &scene.restored(&snapshot));
    }
    scene.coffer(["verify"]).ok();
}

#[test]
fn an_added_key_file_opens() {
    let scene = Scene::new();
    let file = scene.path("second-key");
    let file = file.to_str().unwrap();
    scene.coffer(["key", "add", "--new-key-file", file]).ok();
    let run = run::finish(scene.locked_command().args(["--key-file", file, "snapshots"]), None);
    run.ok();
    assert_eq!(keys(&scene).len(), 2);
}

#[test]
fn a_replaced_password_is_refused_afterwards() {
    let scene = Scene::without_repository();
    let first = "orbit maple thirty candle vest";
    with_password(&scene, first, &["init"]).ok();
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    with_password(&scene, first, &["backup", source]).ok();
    let file = password_file(&scene, OTHER);
    with_password(&scene, first, &["key", "passwd", "--new-password-file", &file]).ok();
    with_password(&scene, first, &["snapshots"]).fails_with(12);
    with_password(&scene, OTHER, &["backup", source]).ok();
    let run = with_password(&scene, OTHER, &["--json", "snapshots"]).ok();
    assert_eq!(run.json()[0].as_array().unwrap().len(), 2);
    with_password(&scene, OTHER, &["verify"]).ok();
}

#[test]
fn the_key_in_use_cannot_be_removed_so_one_is_always_left() {
    let scene = Scene::new();
    let only = keys(&scene)[0]["id"].as_str().unwrap().to_owned();
    let run = scene.coffer(["key", "remove", &only]).fails_with(5);
    assert!(run.errors().contains("hint: "), "{}", run.errors());
    let file = scene.path("second-key");
    scene.coffer(["key", "add", "--new-key-file", file.to_str().unwrap()]).ok();
    scene.coffer(["key", "remove", &only[..8]]).fails_with(5);
    assert_eq!(keys(&scene).len(), 2);
    scene.coffer(["snapshots"]).ok();
}

#[test]
fn a_key_that_is_not_there_cannot_be_removed() {
    let scene = Scene::new();
    scene.coffer(["key", "remove", "zz"]).fails_with(1);
    scene.coffer(["key", "remove", ""]).fails_with(2);
    assert_eq!(keys(&scene).len(), 1);
}

#[test]
fn a_weak_new_password_is_refused_and_changes_nothing() {
    let scene = Scene::new();
    let file = password_file(&scene, "password1234");
    scene.coffer(["key", "add", "--new-password-file", &file]).fails_with(2);
    scene.coffer(["key", "passwd", "--new-password-file", &file]).fails_with(2);
    assert_eq!(keys(&scene).len(), 1);
    let args = ["key", "add", "--new-password-file", &file, "--allow-weak-password"];
    scene.coffer(args).ok();
    with_password(&scene, "password1234", &["snapshots"]).ok();
}
