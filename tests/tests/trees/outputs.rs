//! Outputs of commands as sources.

use std::fs;

use crate::support::{Scene, assert_same_tree, below, make};

#[test]
fn outputs_stand_beside_a_tree_and_come_back() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    let args = [
        &["--json", "backup", source][..],
        &["--command", "printf one; printf told >&2", "--name", "dumps/one.sql"],
        &["--command", "seq 1 300000", "--name", "two.txt"],
    ];
    let run = scene.coffer(args.concat()).ok();
    assert!(run.errors().contains("told"), "{}", run.errors());
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    assert_eq!(fs::read(target.join("dumps/one.sql")).unwrap(), b"one");
    assert!(fs::read(target.join("two.txt")).unwrap().ends_with(b"\n300000\n"));
    assert_same_tree(&scene.source, &below(&target, &scene.source));
}

#[test]
fn a_command_that_fails_fails_its_source_alone() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    let failing = ["--command", "seq 1 300000; exit 7", "--name", "dump.sql"];
    let run = scene.coffer([&["--json", "backup", source][..], &failing].concat()).fails_with(3);
    assert!(run.errors().contains("dump.sql") && run.errors().contains("exit status 7"));
    assert_eq!(run.summary()["partial"], true);
    let cat = scene.coffer(["cat", "latest:dump.sql"]);
    assert_ne!(cat.code, Some(0), "half a dump is no dump");
    let listed = scene.listed().len();
    let run = scene.coffer([&["backup"][..], &failing].concat()).fails_with(1);
    assert!(run.errors().contains("exit status 7"), "{}", run.errors());
    assert_eq!(scene.listed().len(), listed);
}

#[test]
fn names_belong_to_commands_and_stand_once() {
    let scene = Scene::new();
    let bad: [&[&str]; 5] = [
        &["--command", "true"],
        &["--command", "true", "--name", "../x"],
        &["--command", "echo", "--name", "x", "--command", "echo", "--name", "x"],
        &["--command", "echo", "--name", "files", "/etc/hostname"],
        &["--name", "x", "/etc/hostname"],
    ];
    for args in bad {
        scene.coffer([&["backup"][..], args].concat()).fails_with(2);
    }
    assert!(scene.listed().is_empty());
}
