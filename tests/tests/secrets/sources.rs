//! What is read: files, mounts, settings, commands; and what of it a tree still has.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Scene, below, make};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A version of a mount: two keys, one of them in a folder.
fn version(mount: &Path, name: &str, text: &str) {
    make::file(&mount.join(name), "user", text);
    make::file(&mount.join(name), "deep/password", text);
}

/// A mount as Kubernetes makes it.
fn mount(scene: &Scene) -> std::path::PathBuf {
    let mount = scene.path("mount");
    version(&mount, "..2024_1", "one");
    symlink("..2024_1", mount.join("..data")).unwrap();
    symlink("..data/user", mount.join("user")).unwrap();
    symlink("..data/deep", mount.join("deep")).unwrap();
    mount
}

fn turn(mount: &Path, to: &str) {
    symlink(to, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
}

#[test]
fn secrets_come_back_with_their_modes_and_no_tree_has_them() {
    let scene = Scene::new();
    let folder = scene.source.join("private");
    let secret = make::file(&folder, "token", "s3cret");
    make::mode(&secret, 0o400);
    make::mode(&folder, 0o711);
    make::file(&folder, "empty", "");
    make::file(&scene.source, "plain", "plain");
    symlink("../plain", folder.join("link")).unwrap();
    let big = make::noise(1, 5 << 20);
    make::file(&folder, "big", &big);
    let folder = folder.to_str().unwrap();
    let first = scene.try_backup(&["--secrets", folder]).ok();
    let restored = scene.restored(&first.snapshot_id()).join("private");
    assert_eq!(fs::read(restored.join("token")).unwrap(), b"s3cret");
    assert_eq!((mode(&restored.join("token")), mode(&restored)), (0o400, 0o711));
    assert!(fs::read(restored.join("big")).unwrap() == big);
    assert_eq!(fs::read(restored.join("empty")).unwrap(), b"");
    assert_eq!(fs::read_link(restored.join("link")).unwrap(), Path::new("../plain"));
    let lines = scene.coffer(["--json", "ls", "latest"]).ok().json();
    let of = |end: &str| {
        let here = lines.iter().filter(|it| it["path"].as_str().is_some_and(|p| p.ends_with(end)));
        here.map(|it| it["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((of("/token"), of("/plain")), (vec!["secrets".into()], vec!["files".into()]));
    let cat = scene.coffer(["cat", &format!("latest:{folder}/token")]).ok();
    assert_eq!(cat.stdout, b"s3cret");
    // Unchanged secrets cost nothing; equal bytes in a tree are other chunks.
    let second = scene.try_backup(&["--secrets", folder]).ok().summary();
    assert_eq!((&second["data_added"], &second["files_new"]), (&0.into(), &0.into()), "{second}");
    let third = scene.try_backup(&["--exclude", "nothing", "--job", "open"]).ok().summary();
    assert!(third["data_added"].as_u64().unwrap() >= 5 << 20, "{third}");
    scene.coffer(["verify"]).ok();
}

#[test]
fn a_mount_is_stored_as_plain_files_of_one_version() {
    let scene = Scene::new();
    let mount = mount(&scene);
    make::file(&mount, "other", "beside");
    let backup = |options: &[&str]| {
        let args = [&["--json", "backup"][..], options].concat();
        let target = scene.fresh_target();
        scene.restore_into(&scene.coffer(args).ok().snapshot_id(), &target, &[]).ok();
        below(&target, &mount)
    };
    let path = mount.to_str().unwrap();
    let restored = backup(&["--secrets", path]);
    let mut names: Vec<_> =
        fs::read_dir(&restored).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["deep", "other", "user"]);
    assert!(fs::symlink_metadata(restored.join("user")).unwrap().is_file());
    assert_eq!(fs::read(restored.join("deep/password")).unwrap(), b"one");
    version(&mount, "..2024_2", "two");
    turn(&mount, "..2024_2");
    assert_eq!(fs::read(backup(&["--secrets", path]).join("user")).unwrap(), b"two");
    // One key of the mount by its own name.
    let restored = backup(&["--secrets", mount.join("user").to_str().unwrap()]);
    assert_eq!(fs::read(restored.join("user")).unwrap(), b"two");
    assert_eq!(fs::read_dir(&restored).unwrap().count(), 1);
}

#[test]
fn a_mount_that_turns_while_it_is_read_is_never_mixed() {
    let scene = Scene::in_memory();
    let mount = mount(&scene);
    version(&mount, "..2024_2", "two");
    let ends = AtomicBool::new(false);
    let mut whole = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for to in ["..2024_2", "..2024_1"].iter().cycle() {
                turn(&mount, to);
                std::thread::sleep(std::time::Duration::from_millis(4));
                if ends.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..15 {
            let run = scene.coffer(["--json", "backup", "--secrets", mount.to_str().unwrap()]);
            if run.code != Some(0) {
                assert_eq!(run.code, Some(1), "{}", run.errors());
                assert!(run.errors().contains("link was moved"), "{}", run.errors());
                continue;
            }
            whole += 1;
            let cat = |name: &str| {
                let path = format!("latest:{}", mount.join(name).to_str().unwrap());
                scene.coffer(["cat", &path]).ok().stdout
            };
            assert_eq!(cat("user"), cat("deep/password"));
        }
        ends.store(true, Ordering::Relaxed);
    });
    println!("{whole} of 15 whole");
}

#[test]
fn every_name_of_a_secret_comes_back_with_its_bytes() {
    let scene = Scene::new();
    make::file(&scene.source, "plain", "plain");
    let real = make::file(&scene.path("vault"), "token", "s3cret");
    let names = ["first", "second", "hard"].map(|name| scene.path(name));
    symlink(&real, &names[0]).unwrap();
    symlink(&names[0], &names[1]).unwrap();
    fs::hard_link(&real, &names[2]).unwrap();
    let args: Vec<&str> = names.iter().flat_map(|it| ["--secrets", it.to_str().unwrap()]).collect();
    let id = scene.try_backup(&args).ok().snapshot_id();
    let target = scene.fresh_target();
    scene.restore_into(&id, &target, &[]).ok();
    for name in &names {
        assert_eq!(fs::read(below(&target, name)).unwrap(), b"s3cret", "{name:?}");
    }
    scene.coffer(["verify"]).ok();
}

#[test]
fn settings_bring_the_files_they_name() {
    let scene = Scene::new();
    let named = make::file(&scene.source, "db.password", "named");
    make::file(&scene.source, "plain", "plain");
    let settings = format!("A=1\nDB_PASSWORD_FILE='{}'\n", named.to_str().unwrap());
    let file = make::file(&scene.path("settings"), "app.env", &settings);
    let args = ["--secret-env", file.to_str().unwrap()];
    let id = scene.try_backup(&args).ok().snapshot_id();
    let target = scene.fresh_target();
    scene.restore_into(&id, &target, &[]).ok();
    assert_eq!(fs::read(below(&target, &file)).unwrap(), settings.as_bytes());
    assert_eq!(fs::read(below(&target, &named)).unwrap(), b"named");
    // What is wrong is told by the file of settings and the line alone.
    for (line, word) in [("X_FILE=hidden/rel", "relative"), ("X_FILE=/no/hidden", "not exist")] {
        fs::write(&file, line).unwrap();
        let run = scene.try_backup(&args).fails_with(3);
        assert!(run.errors().contains(word) && run.errors().contains("line 1"), "{}", run.errors());
        assert!(!run.errors().contains("hidden"), "{}", run.errors());
    }
}

#[test]
fn outputs_of_commands_are_secrets_and_a_failing_one_is_told() {
    let scene = Scene::new();
    make::file(&scene.source, "plain", "plain");
    let good = ["--secret-command", "printf s3cret", "--secret-name", "vault/token"];
    scene.try_backup(&good).ok();
    assert_eq!(scene.coffer(["cat", "latest:vault/token"]).ok().stdout, b"s3cret");
    let bad = ["--secret-command", "echo half; exit 7", "--secret-name", "token"];
    let run = scene.try_backup(&bad).fails_with(3);
    assert!(run.errors().contains("exit status 7"), "{}", run.errors());
    scene.coffer(["cat", "latest:token"]).fails_with(1);
    for bad in
        [&good[..2], &["--secret-name", "x"], &["--secret-command", "x", "--secret-name", "../x"]]
    {
        scene.try_backup(bad).fails_with(2);
    }
}

#[test]
fn what_cannot_be_read_is_told_by_what_was_asked_for() {
    let scene = Scene::new();
    make::file(&scene.source, "plain", "plain");
    let run = scene.try_backup(&["--secrets", "/no/such"]).fails_with(3);
    assert!(run.errors().contains("/no/such"), "{}", run.errors());
    let folder = scene.path("large");
    let large = make::file(&folder, "hidden-name", "");
    fs::File::options().write(true).open(&large).unwrap().set_len(40 << 20).unwrap();
    let run = scene.try_backup(&["--secrets", folder.to_str().unwrap()]).fails_with(3);
    assert!(
        run.errors().contains("32 MiB") && !run.errors().contains("hidden"),
        "{}",
        run.errors()
    );
    assert_eq!(run.summary()["partial"], true);
}

#[test]
fn ordinary_files_that_look_like_secrets_are_told_a_few_times() {
    let scene = Scene::new();
    for name in [".env", "a.key", "id_rsa", "secrets.json", "x/credentials"] {
        make::file(&scene.source, name, "x");
    }
    make::file(&scene.source, "innocent", "-----BEGIN PRIVATE KEY-----\nx");
    make::file(&scene.source, "server.crt", "-----BEGIN CERTIFICATE-----\nx");
    let source = scene.source.to_str().unwrap();
    let notes = |options: &[&str]| {
        let run = scene.coffer([&["backup", "--force", source][..], options].concat()).ok();
        run.errors().lines().filter(|line| line.contains("--secrets")).count()
    };
    assert_eq!(notes(&[]), 4);
    assert_eq!(notes(&["--no-secret-scan"]), 0);
    assert_eq!(notes(&["--secrets", source]), 0);
    let run = scene.coffer(["backup", source, "--force"]).ok();
    assert!(run.errors().contains("6 files look like"), "{}", run.errors());
}
