//! Databases that are secrets: whole, whatever their application does, and in no other source.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::{key_without_secrets, with_key};
use crate::sqlite::app;
use crate::support::{Scene, below, make};

/// A database whose last commit, the table `late`, is in its WAL alone.
fn live(scene: &Scene) -> (PathBuf, Connection) {
    let path = scene.source.join("vault.db");
    let connection = app::create(&path, "wal", 300_000);
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection.execute_batch("CREATE TABLE late (x); INSERT INTO late VALUES (7)").unwrap();
    (path, connection)
}

fn late(path: &std::path::Path) -> i64 {
    assert_eq!(app::turn_of(path), 0);
    let sql = "SELECT max(x) FROM late";
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_live_database_comes_back_with_its_last_commit_and_stands_nowhere_else() {
    for is_named in [true, false] {
        let scene = Scene::new();
        let (path, connection) = live(&scene);
        make::file(&scene.source, "plain", "plain");
        let source = scene.source.to_str().unwrap();
        let secret = if is_named { &path } else { &scene.source }.to_str().unwrap();
        let pattern = format!("{source}/*.db");
        let options = ["--secrets", secret, "--sqlite", &pattern];
        for held in [7, 8] {
            connection.execute("INSERT INTO late VALUES (?1)", [held]).unwrap();
            // Plain files as asked for, but never a secret.
            let run = scene.try_backup(&[&options[..], &["--no-sqlite"]].concat()).ok();
            assert_eq!(late(&scene.restored(&run.snapshot_id()).join("vault.db")), held);
        }
        let paths = scene.coffer(["ls", "latest"]).ok().text();
        assert_eq!(paths.matches("vault.db").count(), 1, "{paths}");
        let key = key_without_secrets(&scene);
        let seen = with_key(&scene, &key, &["ls", "latest"]).ok();
        assert!(!seen.text().contains("vault") && !seen.errors().contains("vault"));
        drop(connection);
    }
}

#[test]
fn a_link_to_a_live_database_is_one_too() {
    let scene = Scene::new();
    let (path, _connection) = live(&scene);
    let link = scene.path("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let run = scene.try_backup(&["--secrets", link.to_str().unwrap()]).ok();
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    assert_eq!(late(&below(&target, &link)), 7);
    assert!(fs::read_dir(below(&target, &scene.source)).is_ok_and(|mut it| it.next().is_none()));
}

#[test]
fn a_database_that_cannot_be_read_now_is_told_and_the_rest_is_stored() {
    let scene = Scene::new();
    let folder = scene.path("private");
    let other = make::file(&folder, "other", "other");
    let path = folder.join("vault.db");
    let locked = app::create(&path, "delete", 100_000);
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let args = ["--lock-max", "1s", "--secrets", folder.to_str().unwrap()];
    let run = scene.try_backup(&args).fails_with(3);
    assert!(run.errors().contains("SQLite cannot read now"), "{}", run.errors());
    assert!(!run.errors().contains("vault"), "{}", run.errors());
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    assert_eq!(fs::read(below(&target, &other)).unwrap(), b"other");
    assert!(!below(&target, &path).exists());
}

#[test]
fn a_file_that_sqlite_refuses_is_stored_and_told() {
    let scene = Scene::new();
    let broken = [b"SQLite format 3\0".to_vec(), make::noise(1, 100_000)].concat();
    let path = make::file(&scene.path("private"), "broken.db", &broken);
    let run = scene.try_backup(&["--secrets", path.to_str().unwrap()]).fails_with(3);
    assert!(run.errors().contains("SQLite refuses it"), "{}", run.errors());
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    assert!(fs::read(below(&target, &path)).unwrap() == broken);
}

#[test]
fn a_database_goes_to_a_file_for_a_key_that_may_read_it() {
    let scene = Scene::new();
    let (path, _connection) = live(&scene);
    let id = scene.try_backup(&["--secrets", path.to_str().unwrap()]).ok().snapshot_id();
    let place = scene.path("new");
    let key = key_without_secrets(&scene);
    for from in [id.clone(), format!("{id}:{}", path.display())] {
        let args = ["restore", &from, "--to-sqlite", place.to_str().unwrap(), "--yes"];
        let refused = with_key(&scene, &key, &args).fails_with(5);
        assert!(!refused.errors().contains("vault"), "{}", refused.errors());
        scene.coffer(args).ok();
        assert_eq!(late(&place), 7);
    }
}
