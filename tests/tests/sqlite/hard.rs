//! Databases in places and states that make them hard to read.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::app;
use crate::support::{Scene, is_root, make};

fn has_late(path: &Path) -> bool {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'late'";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 1
}

#[test]
fn a_database_stored_as_a_plain_file_before_is_read_by_sqlite_again() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 300_000);
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let source = scene.source.to_str().unwrap();
    let always_trusted = ["--racy-window", "0s"];
    for options in [&["--no-sqlite"][..], &[]] {
        scene.coffer([&["backup", source], &always_trusted[..], options].concat()).ok();
    }
    scene.coffer([&["backup", source, "--no-sqlite"], &always_trusted[..]].concat()).ok();
    connection.execute_batch("CREATE TABLE late (x)").unwrap();
    let run = scene.coffer([&["--json", "backup", source], &always_trusted[..]].concat()).ok();
    assert!(has_late(&scene.restored(&run.snapshot_id()).join("app.db")));
}

#[test]
fn a_database_that_only_its_application_can_check_is_stored_and_restored() {
    for mode in ["wal", "delete"] {
        let scene = Scene::new();
        let path = scene.source.join("app.db");
        let connection = app::create(&path, mode, 300_000);
        let own_order = "CREATE INDEX odd ON filling (text COLLATE NOCASE);
                         PRAGMA writable_schema = ON;
                         UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'own_order');
                         PRAGMA writable_schema = OFF";
        connection.execute_batch(own_order).unwrap();
        let held = (mode == "wal").then_some(connection);
        let run = scene.coffer(["--json", "backup", scene.source.to_str().unwrap()]).ok();
        assert!(run.errors().contains("could not be checked"), "{}", run.errors());
        let target = scene.fresh_target();
        let restored = scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
        assert!(restored.errors().contains("own_order"), "{}", restored.errors());
        let restored = Connection::open(crate::support::below(&target, &path)).unwrap();
        let turns = restored.query_row("SELECT count(*) FROM turn", [], |row| row.get::<_, i64>(0));
        assert_eq!(turns.unwrap(), 1);
        drop(held);
    }
}

#[test]
fn a_lock_is_waited_for_as_long_as_asked() {
    let scene = Scene::new();
    let locked = app::create(&scene.source.join("app.db"), "delete", 100_000);
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let source = scene.source.to_str().unwrap();
    let run = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_secs(4));
            locked.execute_batch("COMMIT").unwrap();
        });
        scene.coffer(["--json", "backup", "--lock-max", "60s", source]).ok()
    });
    assert_eq!(app::turn_of(&scene.restored(&run.snapshot_id()).join("app.db")), 0);
}

#[test]
fn files_beside_a_named_database_are_not_in_the_tree_either() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 300_000);
    connection.execute_batch("CREATE TABLE late (x)").unwrap();
    let (source, named) = (scene.source.to_str().unwrap(), path.to_str().unwrap());
    let run = scene.coffer(["--json", "backup", "--no-sqlite", "--sqlite", named, source]).ok();
    let restored = scene.restored(&run.snapshot_id());
    let names: Vec<_> =
        fs::read_dir(&restored).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["app.db"]);
    assert!(has_late(&restored.join("app.db")));
}

/// A file system of its own, which can be made read-only; none without the right to mount.
pub struct Disk<'d>(&'d Path);

impl<'d> Disk<'d> {
    pub fn mount(path: &'d Path) -> Option<Self> {
        Self::mount_with("size=50%", path)
    }

    pub fn mount_with(options: &str, path: &'d Path) -> Option<Self> {
        let is_mounted = is_root() && run("mount", &["-t", "tmpfs", "-o", options, "none"], path);
        is_mounted.then_some(Self(path))
    }

    pub fn make_read_only(&self) {
        assert!(run("mount", &["-o", "remount,ro"], self.0));
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        assert!(run("umount", &[], self.0) || thread::panicking(), "the mount is left behind");
    }
}

fn run(program: &str, args: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(args).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_database_in_wal_mode_is_read_where_nothing_can_be_written() {
    let scene = Scene::new();
    let folder = scene.source.join("disk ?#%");
    fs::create_dir(&folder).unwrap();
    let Some(disk) = Disk::mount(&folder) else { return };
    drop(app::create(&folder.join("app.db"), "wal", 300_000));
    make::file(&folder, "file", "x");
    disk.make_read_only();
    let run = scene.coffer(["--json", "backup", scene.source.to_str().unwrap()]).ok();
    let restored = scene.restored(&run.snapshot_id()).join("disk ?#%");
    assert_eq!(app::turn_of(&restored.join("app.db")), 0);
}

#[test]
fn commits_in_a_wal_that_cannot_be_recovered_are_told() {
    let scene = Scene::new();
    let folder = scene.source.join("disk");
    fs::create_dir(&folder).unwrap();
    let Some(disk) = Disk::mount(&folder) else { return };
    let connection = app::create(&folder.join("live.db"), "wal", 300_000);
    // As a crash leaves them: without the index of the WAL.
    for end in ["", "-wal"] {
        fs::copy(folder.join(format!("live.db{end}")), folder.join(format!("app.db{end}")))
            .unwrap();
    }
    drop(connection);
    disk.make_read_only();
    let run = scene.coffer(["--json", "backup", scene.source.to_str().unwrap()]).fails_with(3);
    assert!(run.errors().contains("-wal beside it holds commits"), "{}", run.errors());
    let restored = scene.restored(&run.snapshot_id()).join("disk");
    assert!(restored.join("live.db").exists() && !restored.join("app.db").exists());
}

#[test]
fn a_transaction_that_must_be_rolled_back_first_is_told() {
    let scene = Scene::new();
    let elsewhere = scene.path("live.db");
    let connection = app::create(&elsewhere, "delete", 3_000_000);
    // Pages of a transaction are in the file already, as after a crash in the middle of it.
    let torn = "PRAGMA cache_size = 10; BEGIN; UPDATE filling SET text = text || 'torn'";
    connection.execute_batch(torn).unwrap();
    let path = scene.source.join("app.db");
    for end in ["", "-journal"] {
        fs::copy(scene.path(&format!("live.db{end}")), scene.source.join(format!("app.db{end}")))
            .unwrap();
    }
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    let run = scene.coffer(["--json", "backup", source]).fails_with(3);
    assert!(run.errors().contains("a transaction to roll back"), "{}", run.errors());
    let restored = scene.restored(&run.snapshot_id());
    assert!(restored.join("file").exists() && !restored.join("app.db").exists());
    // Its application comes back, and rolls back.
    assert_eq!(app::turn_of(&path), 0);
    let run = scene.coffer(["--json", "backup", source]).ok();
    assert_eq!(app::turn_of(&scene.restored(&run.snapshot_id()).join("app.db")), 0);
}

#[test]
fn another_name_of_a_named_database_is_told() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    drop(app::create(&path, "delete", 100_000));
    fs::hard_link(&path, scene.source.join("twin.db")).unwrap();
    let (source, named) = (scene.source.to_str().unwrap(), path.to_str().unwrap());
    let run = scene.coffer(["-vv", "backup", "--sqlite", named, source]).ok();
    let text = run.text();
    assert!(text.lines().any(|it| it.contains("excluded") && it.contains("twin.db")), "{text}");
}
