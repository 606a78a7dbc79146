//! Who may read secrets, and what the others still can do.

use std::fs;

use rustix::process::Signal;

use super::{key_without_secrets, with_key};
use crate::browse::mount::Mount;
use crate::support::{Scene, assert_same_tree, below, make};

/// A scene with a snapshot of a tree and a secret, and one of the secret alone.
fn scene() -> (Scene, String, String) {
    let scene = Scene::new();
    make::file(&scene.source, "plain", "plain");
    let secret = make::file(&scene.path("vault"), "token", "s3cret");
    let secret = secret.to_str().unwrap().to_owned();
    let both = scene.try_backup(&["--secrets", &secret]).ok().snapshot_id();
    let alone = scene.coffer(["--json", "backup", "--secrets", &secret]).ok().snapshot_id();
    (scene, both, alone)
}

#[test]
fn a_key_without_secrets_does_all_else() {
    let (scene, both, alone) = scene();
    let key = key_without_secrets(&scene);
    let secret = scene.path("vault/token");
    let secret = secret.to_str().unwrap();
    let listed = scene.coffer(["--json", "key", "list"]).ok().json();
    let may: Vec<_> =
        listed[0].as_array().unwrap().iter().map(|it| it["secrets"].clone()).collect();
    assert_eq!(may, [true, false]);

    with_key(&scene, &key, &["check"]).ok();
    with_key(&scene, &key, &["verify"]).ok();
    with_key(&scene, &key, &["snapshots"]).ok();
    let target = scene.fresh_target();
    let run = with_key(&scene, &key, &["restore", &both, "--target", target.to_str().unwrap()]);
    let run = run.fails_with(3);
    assert!(run.errors().contains("may not read the secrets"), "{}", run.errors());
    assert_same_tree(&scene.source, &below(&target, &scene.source));
    assert!(!below(&target, &scene.path("vault")).exists());
    let target = scene.fresh_target();
    let target = target.to_str().unwrap();
    with_key(&scene, &key, &["restore", &alone, "--target", target]).fails_with(5);

    let ls = with_key(&scene, &key, &["ls", &both]).ok();
    assert!(ls.text().contains("plain") && !ls.text().contains("vault"), "{}", ls.text());
    assert!(ls.errors().contains("holds secrets"), "{}", ls.errors());
    let path = format!("{both}:{secret}");
    with_key(&scene, &key, &["ls", &path]).fails_with(5);
    with_key(&scene, &key, &["cat", &path]).fails_with(5);
    with_key(&scene, &key, &["restore", &path, "--target", target]).fails_with(5);

    let count = scene.listed().len();
    let source = scene.source.to_str().unwrap();
    let run = with_key(&scene, &key, &["backup", source, "--secrets", secret]).fails_with(5);
    assert!(run.errors().contains("key list") && !run.errors().contains("token"));
    assert_eq!(scene.listed().len(), count);
    with_key(&scene, &key, &["backup", source]).ok();
    let more = scene.path("more");
    let more = more.to_str().unwrap();
    with_key(&scene, &key, &["key", "add", "--new-key-file", more]).fails_with(5);
    // Whoever may still can.
    assert_eq!(scene.coffer(["cat", &path]).ok().stdout, b"s3cret");
}

#[test]
fn a_restored_secret_is_never_open_to_others_before_it_is_complete() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::in_memory();
    let secret = make::file(&scene.path("vault"), "token", make::noise(3, 200_000));
    make::mode(&secret, 0o440);
    let secret = secret.to_str().unwrap();
    scene.coffer(["backup", "--secrets", secret]).ok();
    for n in 1..200 {
        let target = scene.fresh_target();
        let mut command = scene.command();
        command.args(["restore", "latest", "--target", target.to_str().unwrap()]);
        let run =
            crate::support::run::finish(command.env("COFFER_TEST_CRASH_AT", n.to_string()), None);
        let vault = below(&target, &scene.path("vault"));
        for file in fs::read_dir(&vault).into_iter().flatten() {
            let file = file.unwrap();
            let metadata = file.metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o777;
            let is_complete = metadata.len() == 200_000 && mode == 0o440;
            assert!(is_complete || mode == 0o600, "{:?} {mode:o} at point {n}", file.file_name());
        }
        if run.code == Some(0) {
            assert!(n > 10, "{n} crash points");
            return;
        }
    }
    panic!("no end of crash points");
}

#[test]
fn a_mount_shows_secrets_only_when_asked_and_only_with_a_key_that_may() {
    let (scene, _, _) = scene();
    let secret = |folder: &std::path::Path| {
        let inside = scene.path("vault/token");
        folder.join("snapshots/latest").join(inside.strip_prefix("/").unwrap())
    };
    for (options, shown) in [(&[][..], false), (&["--secrets"], true)] {
        let mount = Mount::new(&scene, options);
        let path = secret(&mount.folder);
        assert_eq!(fs::read(path).ok(), shown.then(|| b"s3cret".to_vec()));
        mount.signal(Signal::TERM);
        mount.ended();
    }
    let key = key_without_secrets(&scene);
    let folder = scene.fresh_target();
    fs::create_dir(&folder).unwrap();
    let args = ["mount", "--secrets", folder.to_str().unwrap()];
    let run = with_key(&scene, &key, &args).fails_with(5);
    assert!(run.errors().contains("key list"), "{}", run.errors());
}
