//! Databases that one watch stores, of which some come, go, and are locked.

use std::fs;

use rusqlite::Connection;

use super::app;
use super::watch::Watch;
use crate::support::{Scene, make};

#[test]
fn a_database_that_came_back_as_it_was_is_in_the_latest_snapshot_again() {
    let scene = Scene::new();
    let [first, second] = ["first.db", "second.db"].map(|name| scene.source.join(name));
    let writer = app::create(&first, "wal", 100_000);
    drop(app::create(&second, "delete", 100_000));
    let paths = [first.to_str().unwrap(), second.to_str().unwrap()];
    let mut watch = Watch::start(&scene, &paths);
    assert_eq!(watch.next()["partial"], false);
    let away = scene.path("away.db");
    fs::rename(&second, &away).unwrap();
    writer.execute_batch("CREATE TABLE more (x)").unwrap();
    while watch.next()["partial"] != true {}
    fs::rename(&away, &second).unwrap();
    let whole = loop {
        let line = watch.next();
        if line["partial"] == false {
            break line;
        }
    };
    let restored = scene.restored(whole["snapshot_id"].as_str().unwrap());
    assert!(fs::read(restored.join("second.db")).unwrap() == fs::read(&second).unwrap());
    assert!(restored.join("first.db").exists());
}

#[test]
fn a_database_that_was_empty_is_never_stored_as_that_when_it_is_none_and_locked() {
    let scene = Scene::new();
    let first = scene.source.join("first.db");
    let writer = app::create(&first, "wal", 100_000);
    let second = make::file(&scene.source, "second.db", "");
    let paths = [first.to_str().unwrap(), second.to_str().unwrap()];
    let mut watch = Watch::start(&scene, &[&["--lock-max", "500ms"][..], &paths].concat());
    assert_eq!(watch.next()["partial"], false);
    let other = Connection::open(&second).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE; CREATE TABLE t (x); COMMIT; BEGIN EXCLUSIVE").unwrap();
    writer.execute_batch("CREATE TABLE more (x)").unwrap();
    // It cannot be read, and what was read of it before is not what it is.
    assert_eq!(watch.next()["partial"], true);
    other.execute_batch("COMMIT").unwrap();
    writer.execute_batch("CREATE TABLE still_more (x)").unwrap();
    let whole = loop {
        let line = watch.next();
        if line["partial"] == false {
            break line;
        }
    };
    let restored = scene.restored(whole["snapshot_id"].as_str().unwrap());
    assert!(fs::read(restored.join("second.db")).unwrap() == fs::read(&second).unwrap());
}
