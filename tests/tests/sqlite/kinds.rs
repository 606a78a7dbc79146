//! What is a database, what is not, and what cannot be read.

use std::fs;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use super::app;
use crate::support::{Scene, below, make};

#[test]
fn a_file_that_sqlite_refuses_is_a_plain_file_with_its_sidecars() {
    let scene = Scene::new();
    let broken = [b"SQLite format 3\0".to_vec(), make::noise(1, 100_000)].concat();
    make::file(&scene.source, "broken.db", &broken);
    make::file(&scene.source, "broken.db-wal", "wal");
    make::file(&scene.source, "other-journal", "no database");
    let run = scene.coffer(["--json", "backup", scene.source.to_str().unwrap()]).ok();
    assert!(run.errors().contains("SQLite refuses it"), "{}", run.errors());
    let restored = scene.restored(&run.snapshot_id());
    assert!(fs::read(restored.join("broken.db")).unwrap() == broken);
    assert_eq!(fs::read(restored.join("broken.db-wal")).unwrap(), b"wal");
    assert_eq!(fs::read(restored.join("other-journal")).unwrap(), b"no database");
    let broken = scene.source.join("broken.db");
    let run = scene.coffer(["backup", "--sqlite", broken.to_str().unwrap()]).fails_with(1);
    assert!(run.errors().contains("SQLite refuses it"), "{}", run.errors());
}

#[test]
fn a_named_database_must_be_one() {
    let scene = Scene::new();
    make::file(&scene.source, "text", "no database");
    let text = scene.source.join("text");
    let run = scene.coffer(["backup", "--sqlite", text.to_str().unwrap()]).fails_with(1);
    assert!(run.errors().contains("is not a SQLite database"), "{}", run.errors());
    assert!(scene.listed().is_empty());
}

#[test]
fn what_names_no_database_fails_alone_and_the_rest_is_stored() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    drop(app::create(&scene.source.join("app.sqlite"), "wal", 100_000));
    let path = |name: &str| scene.source.join(name).to_str().unwrap().to_owned();
    let source = scene.source.to_str().unwrap();
    for (bad, word) in [("missing.db", "does not exist"), ("*.db", "no file matches")] {
        let bad = path(bad);
        let run = scene.coffer(["backup", "--sqlite", &bad]).fails_with(1);
        assert!(run.errors().contains(word), "{}", run.errors());
        let listed = scene.listed().len();
        let good = path("*.sqlite");
        let args = ["--json", "backup", "--sqlite", &bad, "--sqlite", &good, source];
        let run = scene.coffer(args).fails_with(3);
        assert!(run.errors().contains(&bad) && run.errors().contains(word), "{}", run.errors());
        assert_eq!(run.summary()["partial"], true);
        assert_eq!(scene.listed().len(), listed + 1);
        let restored = scene.restored(&run.snapshot_id());
        assert_eq!(fs::read(restored.join("file")).unwrap(), b"x");
        assert_eq!(app::turn_of(&restored.join("app.sqlite")), 0);
    }
    // A mistake in the pattern itself is one.
    scene.coffer(["backup", "--sqlite", &path("a***"), source]).fails_with(2);
}

#[test]
fn the_job_does_not_hang_on_what_a_pattern_finds() {
    let scene = Scene::new();
    let create = |name: &str| drop(app::create(&scene.source.join(name), "wal", 100_000));
    create("one.db");
    let source = scene.source.to_str().unwrap();
    let (all, ones) = (format!("{source}/*.db"), format!("{source}/o*.db"));
    let backup = |first: &str, second: &str| {
        let args = ["--json", "backup", "--sqlite", first, "--sqlite", second, source];
        scene.coffer(args).ok().summary()
    };
    backup(&all, &ones);
    create("two.db");
    let second = backup(&ones, &all);
    fs::remove_file(scene.source.join("one.db")).unwrap();
    create("other.db");
    backup(&all, &ones);
    let list = scene.coffer(["--json", "snapshots"]).ok().json().remove(0);
    let jobs: Vec<&str> =
        list.as_array().unwrap().iter().map(|it| it["job"].as_str().unwrap()).collect();
    assert!(jobs.len() == 3 && jobs.iter().all(|job| *job == jobs[0]), "{jobs:?}");
    // The parent is found again: nothing but the new database is read as new.
    assert_eq!(second["files_new"], 1, "{second}");
    // Another pattern is another job.
    scene.coffer(["backup", "--sqlite", &all, source]).ok();
    let list = scene.coffer(["--json", "snapshots"]).ok().json().remove(0);
    assert_ne!(list[3]["job"], list[0]["job"]);
}

#[test]
fn databases_that_a_pattern_names_leave_the_tree_and_come_back_with_it() {
    let scene = Scene::new();
    for name in ["one", "two"] {
        fs::create_dir_all(scene.source.join("apps").join(name)).unwrap();
    }
    let path = |name: &str| scene.source.join("apps").join(name).join("app.db");
    let held = ["one", "two"].map(|name| app::create(&path(name), "wal", 300_000));
    make::file(&scene.source, "apps/one/file", "x");
    let source = scene.source.to_str().unwrap();
    let pattern = format!("{source}/apps/*/app.db*");
    let run = scene.coffer(["--json", "backup", "--sqlite", &pattern, source]).ok();
    let restored = scene.restored(&run.snapshot_id());
    for name in ["one", "two"] {
        assert_eq!(app::turn_of(&restored.join("apps").join(name).join("app.db")), 0);
        assert!(!restored.join("apps").join(name).join("app.db-wal").exists());
    }
    assert_eq!(fs::read(restored.join("apps/one/file")).unwrap(), b"x");
    drop(held);
}

#[test]
fn a_commit_that_is_in_the_wal_alone_is_in_the_next_snapshot() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 300_000);
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let source = scene.source.to_str().unwrap();
    scene.coffer(["backup", source]).ok();
    let before = fs::metadata(&path).unwrap();
    connection.execute_batch("UPDATE turn SET number = 0; CREATE TABLE late (x)").unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (before.len(), before.modified().unwrap()),
        (after.len(), after.modified().unwrap())
    );
    let run = scene.coffer(["--json", "backup", source]).ok();
    let restored = scene.restored(&run.snapshot_id()).join("app.db");
    let late = Connection::open(restored).unwrap();
    late.query_row("SELECT count(*) FROM late", [], |row| row.get::<_, i64>(0)).unwrap();
}

#[test]
fn a_database_that_stays_locked_is_told_and_the_rest_is_stored() {
    let scene = Scene::new();
    let locked = app::create(&scene.source.join("locked.db"), "delete", 100_000);
    make::file(&scene.source, "file", "x");
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let source = scene.source.to_str().unwrap();
    let args = ["--json", "backup", "--lock-max", "1s", source];
    let run = scene.coffer(args).fails_with(3);
    assert!(run.errors().contains("locked.db") && run.errors().contains("database is locked"));
    let restored = scene.restored(&run.snapshot_id());
    assert!(restored.join("file").exists() && !restored.join("locked.db").exists());
    // As a plain file it is asked for at one's own risk.
    let run = scene.coffer(["--json", "backup", "--no-sqlite", source]).ok();
    assert!(scene.restored(&run.snapshot_id()).join("locked.db").exists());
}

#[test]
fn a_damaged_database_is_stored_and_told() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    drop(app::create(&path, "delete", 500_000));
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0x55; 2000], 4096 * 40).unwrap();
    let source = scene.source.to_str().unwrap();
    let run = scene.coffer(["--json", "backup", source]).fails_with(3);
    assert!(run.errors().contains("the database is damaged"), "{}", run.errors());
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).fails_with(3);
    assert!(fs::read(below(&target, &path)).unwrap() == fs::read(&path).unwrap());
}
