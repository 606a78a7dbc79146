//! Databases that have several names, or stand where an older one does.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use rusqlite::Connection;

use super::memory::*;
use crate::restore::*;

/// A process that has a file open; ended when dropped.
struct User(Child);

impl User {
    fn of(path: &Path) -> Self {
        let input = fs::File::open(path).unwrap();
        Self(Command::new("sleep").arg("600").stdin(input).spawn().unwrap())
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A database of the names `a.db` and `d/b.db`.
fn linked() -> (Memory, Vec<u8>) {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    let bytes = connection.serialize("main").unwrap().to_vec();
    let mut memory = Memory::new();
    for name in ["a.db", "d/b.db"] {
        let entry = memory.file(name, &bytes);
        (entry.link_group, entry.database) = (3, true);
    }
    (memory, bytes)
}

/// A target in which the names are files of their own, with journals beside them.
fn older() -> tempfile::TempDir {
    let target = scratch();
    fs::create_dir(target.path().join("d")).unwrap();
    for name in ["a.db", "d/b.db"] {
        for end in ["", "-journal", "-shm", "-wal"] {
            fs::write(target.path().join(format!("{name}{end}")), "older").unwrap();
        }
    }
    target
}

fn to(target: &Path) -> RestoreOptions {
    RestoreOptions { target: target.to_owned(), ..RestoreOptions::default() }
}

#[test]
fn the_journals_of_every_name_of_an_older_database_are_removed() {
    let (memory, bytes) = linked();
    let target = older();
    assert_eq!(memory.restore_to(target.path()).problem_count, 0);
    assert_eq!(listing(target.path()), ["a.db", "d", "d/b.db"]);
    assert!(fs::read(target.path().join("d/b.db")).unwrap() == bytes);
}

#[test]
fn a_further_name_of_a_database_that_is_in_use_is_refused_unless_forced() {
    let (memory, bytes) = linked();
    let target = older();
    let second = target.path().join("d/b.db");
    let user = User::of(&second);
    let summary = memory.restore(&to(target.path())).unwrap();
    let problems: Vec<_> = summary.problems.iter().map(ToString::to_string).collect();
    assert!(problems.len() == 1 && problems[0].contains("d/b.db: "), "{problems:?}");
    assert!(problems[0].contains("in use by process"), "{problems:?}");
    assert_eq!(fs::read(&second).unwrap(), b"older");
    assert!(target.path().join("d/b.db-wal").exists());
    assert!(fs::read(target.path().join("a.db")).unwrap() == bytes);
    memory.restore(&RestoreOptions { force: true, ..to(target.path()) }).unwrap();
    assert!(fs::read(&second).unwrap() == bytes);
    assert!(!target.path().join("d/b.db-wal").exists());
    drop(user);
}

#[test]
fn a_database_that_cannot_take_its_name_leaves_the_journals_there() {
    let (memory, _) = linked();
    let target = scratch();
    for name in ["a.db", "d/b.db"] {
        fs::create_dir_all(target.path().join(name)).unwrap();
        fs::write(target.path().join(format!("{name}-wal")), "another's").unwrap();
    }
    assert_eq!(memory.restore_to(target.path()).problem_count, 2);
    assert_eq!(listing(target.path()), ["a.db", "a.db-wal", "d", "d/b.db", "d/b.db-wal"]);
}
