//! Opening: no repository, wrong passwords, the ways to give one.

use std::fs;
use std::process::Command;

use crate::support::{Run, Scene, make, run};

const PASSWORD: &str = "orbit maple thirty candle vest";

/// A scene whose repository has a password only.
fn scene() -> Scene {
    let scene = Scene::without_repository();
    locked(&scene, |c| c.env("COFFER_PASSWORD", PASSWORD).arg("init")).ok();
    scene
}

fn locked(scene: &Scene, prepare: impl FnOnce(&mut Command) -> &mut Command) -> Run {
    let mut command = scene.locked_command();
    prepare(&mut command);
    run::finish(&mut command, None)
}

#[test]
fn without_a_repository_every_command_ends_with_10_and_makes_none() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "file", "x");
    // Nobody is asked for a password either.
    for args in [
        &["snapshots"][..],
        &["backup", "source"],
        &["ls", "latest"],
        &["cat", "latest:file"],
        &["restore", "latest", "--target", "t"],
        &["check"],
        &["verify"],
        &["key", "list"],
    ] {
        let run = locked(&scene, |c| c.args(args)).fails_with(10);
        assert!(run.errors().contains("no repository"), "{}", run.errors());
        let run = locked(&scene, |c| c.arg("--json").args(args)).fails_with(10);
        assert_eq!(run.json_errors().last().unwrap()["code"], 10);
    }
    assert!(!scene.repo.exists());
    fs::create_dir(&scene.repo).unwrap();
    locked(&scene, |c| c.arg("snapshots")).fails_with(10);
}

#[test]
fn a_wrong_password_and_a_wrong_key_file_end_with_12() {
    let scene = scene();
    let wrong = |c: &mut Command| {
        c.env("COFFER_PASSWORD", "not the password").arg("--json").arg("snapshots");
    };
    let run = locked(&scene, |c| {
        wrong(c);
        c
    });
    let line = run.fails_with(12).json_errors().pop().unwrap();
    assert_eq!((&line["message_type"], &line["code"]), (&"exit_error".into(), &12.into()));
    assert!(!line.to_string().contains("not the password"));
    let key = make::file(&scene.source, "key", "0f".repeat(32));
    locked(&scene, |c| c.arg("--key-file").arg(key).arg("snapshots")).fails_with(12);
    let no_key = make::file(&scene.source, "no-key", "0f");
    locked(&scene, |c| c.arg("--key-file").arg(no_key).arg("snapshots")).fails_with(2);
}

#[test]
fn a_password_comes_from_a_file_a_command_or_the_environment() {
    let scene = scene();
    let file = make::file(&scene.source, "password", format!("{PASSWORD}\n"));
    let print = format!("echo '{PASSWORD}'");
    locked(&scene, |c| c.arg("--password-file").arg(&file).arg("snapshots")).ok();
    locked(&scene, |c| c.arg("--password-command").arg(&print).arg("snapshots")).ok();
    locked(&scene, |c| c.env("COFFER_PASSWORD_FILE", &file).arg("snapshots")).ok();
    locked(&scene, |c| c.env("COFFER_PASSWORD_COMMAND", &print).arg("snapshots")).ok();
    // An option weighs more than the environment; two of the environment are a mistake.
    locked(&scene, |c| {
        c.env("COFFER_PASSWORD", "wrong").arg("--password-file").arg(&file).arg("snapshots")
    })
    .ok();
    locked(&scene, |c| {
        c.env("COFFER_PASSWORD", PASSWORD).env("COFFER_PASSWORD_FILE", &file).arg("snapshots")
    })
    .fails_with(2);
    let failing = locked(&scene, |c| c.arg("--password-command").arg("exit 7").arg("snapshots"));
    assert!(failing.fails_with(1).errors().contains("command"));
}

#[test]
fn without_a_terminal_the_three_ways_to_give_a_password_are_named() {
    let scene = scene();
    let empty = Scene::without_repository();
    for run in [
        locked(&scene, |c| c.arg("snapshots")),
        locked(&scene, |c| c.args(["backup", "source"])),
        locked(&empty, |c| c.arg("init")),
    ] {
        let run = run.fails_with(2);
        for way in ["--password-file", "--password-command", "COFFER_PASSWORD"] {
            assert!(run.errors().contains(way), "{way}: {}", run.errors());
        }
    }
    assert!(!empty.repo.exists());
}

#[test]
fn a_weak_password_is_refused_with_2_unless_insisted_on() {
    let scene = Scene::without_repository();
    for weak in ["short", "aaaaaaaaaaaaaaaa", "password1234"] {
        let run = locked(&scene, |c| c.env("COFFER_PASSWORD", weak).arg("init")).fails_with(2);
        assert!(!run.errors().contains(weak), "{}", run.errors());
        assert!(!scene.repo.exists());
        let args = ["backup", "--init", "source"];
        locked(&scene, |c| c.env("COFFER_PASSWORD", weak).args(args)).fails_with(2);
        assert!(!scene.repo.exists());
    }
    let args = ["init", "--allow-weak-password"];
    let run = locked(&scene, |c| c.env("COFFER_PASSWORD", "short").args(args)).ok();
    assert!(run.errors().contains("loses the data"), "{}", run.errors());
    locked(&scene, |c| c.env("COFFER_PASSWORD", "short").arg("snapshots")).ok();
}

#[test]
fn a_second_init_fails_with_1_and_harms_nothing() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let id = scene.backup();
    scene.coffer(["init"]).fails_with(1);
    locked(&scene, |c| c.env("COFFER_PASSWORD", PASSWORD).arg("init")).fails_with(1);
    assert_eq!(scene.listed(), [id]);
}

#[test]
fn a_backup_may_make_its_repository() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "file", "x");
    let first = scene.try_backup(&["--init"]).ok().snapshot_id();
    let second = scene.try_backup(&["--init"]).ok().snapshot_id();
    assert_eq!(scene.listed(), [first, second]);
}

#[test]
fn no_secret_is_in_the_repository_or_in_what_is_said() {
    let scene = scene();
    make::file(&scene.source, "a-name-to-look-for", "content-to-look-for ".repeat(100));
    let source = scene.source.to_str().unwrap();
    let run = locked(&scene, |c| c.env("COFFER_PASSWORD", PASSWORD).args(["-v", "backup", source]));
    let run = run.ok();
    assert!(!run.errors().contains(PASSWORD) && !run.text().contains(PASSWORD));
    let mut folders = vec![scene.repo.clone(), scene.cache.clone(), scene.state.clone()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            count += 1;
            let bytes = fs::read(&path).unwrap();
            for word in [PASSWORD, "a-name-to-look-for", "content-to-look-for"] {
                let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                assert!(!found, "{word} is in {}", path.display());
            }
        }
    }
    assert!(count > 3);
}
