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

/// One of the two names, under another.
fn renamed(target: &Path, name: &str) -> RestoreOptions {
    RestoreOptions { folder: b"d/b.db".to_vec(), name: Some(name.into()), ..to(target) }
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

#[test]
fn a_database_under_another_name_is_itself_and_touches_nothing_else() {
    let (memory, bytes) = linked();
    let target = older();
    let verified = RestoreOptions { verify: true, ..renamed(target.path(), "a.db") };
    let before = listing(target.path());
    let summary = memory.restore(&verified).unwrap();
    assert_eq!((summary.files, summary.links, summary.problem_count), (1, 0, 0));
    assert_eq!((summary.compared, summary.differing), (1, 0));
    assert!(fs::read(target.path().join("a.db")).unwrap() == bytes);
    let left = |path: &String| !path.starts_with("a.db-");
    assert_eq!(listing(target.path()), before.into_iter().filter(left).collect::<Vec<_>>());
    assert_eq!(fs::read(target.path().join("d/b.db")).unwrap(), b"older");
    // What is equal is kept, and stale files beside it are not.
    fs::write(target.path().join("a.db-wal"), "stale").unwrap();
    let summary = memory.restore(&verified).unwrap();
    assert_eq!((summary.files, summary.skipped, summary.fetched_bytes), (0, 1, 0));
    assert!(!target.path().join("a.db-wal").exists());
    memory.restore(&renamed(&target.path().join("new/deep"), "c")).unwrap();
    assert_eq!(listing(&target.path().join("new")), ["deep", "deep/c"]);
}

#[test]
fn a_database_under_another_name_is_refused_where_one_is_in_use() {
    let (memory, bytes) = linked();
    let target = older();
    let place = target.path().join("a.db");
    let user = User::of(&place);
    let error = memory.restore(&renamed(target.path(), "a.db")).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Refused);
    assert!(error.to_string().starts_with(place.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&place).unwrap(), b"older");
    assert_eq!(listing(target.path()), listing(older().path()));
    let forced = RestoreOptions { force: true, ..renamed(target.path(), "a.db") };
    memory.restore(&forced).unwrap();
    assert!(fs::read(&place).unwrap() == bytes);
    drop(user);
}

/// A database that was stored as a plain file, under two names, and a text.
fn plain() -> (Memory, Vec<u8>) {
    let (mut memory, bytes) = linked();
    memory.entries.values_mut().for_each(|entry| entry.database = false);
    memory.file("text", b"text");
    (memory, bytes)
}

/// Writes a file beside `name` for each of `ends`.
fn beside(target: &Path, name: &str, ends: &[&str]) {
    let write = |end: &&str| fs::write(target.join(format!("{name}{end}")), "stale").unwrap();
    ends.iter().for_each(write);
}

const ENDS: [&str; 3] = ["-journal", "-shm", "-wal"];

#[test]
fn a_plain_file_that_is_a_database_loses_the_journals_of_an_older_one() {
    let (memory, bytes) = plain();
    let target = older();
    beside(target.path(), "text", &ENDS);
    let texts: Vec<_> = ENDS.iter().map(|end| format!("text{end}")).collect();
    for overwrite in [Overwrite::Always, Overwrite::Always, Overwrite::IfChanged] {
        let options = RestoreOptions { overwrite, ..to(target.path()) };
        assert_eq!(memory.restore(&options).unwrap().problem_count, 0);
        let mut left = listing(target.path());
        left.retain(|path| !texts.contains(path));
        assert_eq!(left, ["a.db", "d", "d/b.db", "text"], "{overwrite:?}");
        assert!(fs::read(target.path().join("a.db")).unwrap() == bytes);
        assert!(texts.iter().all(|path| target.path().join(path).exists()));
        // Once more beside the same bytes.
        ["a.db", "d/b.db"].iter().for_each(|name| beside(target.path(), name, &ENDS));
    }
    // Also where the database itself is gone.
    let target = scratch();
    beside(target.path(), "a.db", &ENDS);
    memory.restore_to(target.path());
    assert_eq!(listing(target.path()), ["a.db", "d", "d/b.db", "text"]);
}

#[test]
fn journals_that_the_snapshot_has_as_files_stay_with_their_plain_database() {
    let (mut memory, bytes) = plain();
    memory.file("a.db-wal", b"its own");
    let target = older();
    assert_eq!(memory.restore_to(target.path()).problem_count, 0);
    assert_eq!(listing(target.path()), ["a.db", "a.db-wal", "d", "d/b.db", "text"]);
    assert_eq!(fs::read(target.path().join("a.db-wal")).unwrap(), b"its own");
    // Without them it is told what SQLite would do.
    for options in [
        RestoreOptions { folder: b"a.db".to_vec(), ..to(target.path()) },
        RestoreOptions { excludes: vec!["*-wal".to_owned()], ..to(target.path()) },
    ] {
        for old in [&b"other"[..], &bytes] {
            fs::write(target.path().join("a.db"), old).unwrap();
            let notes = Notes::default();
            memory.restore_watched(&options, &notes).unwrap();
            assert!(fs::read(target.path().join("a.db")).unwrap() == bytes);
            assert_eq!(fs::read(target.path().join("a.db-wal")).unwrap(), b"its own");
            let told = notes.0.lock().unwrap().join(" ");
            assert!(told.contains("a.db: is restored, but not its -wal"), "{told}");
        }
    }
}

#[derive(Default)]
struct Notes(std::sync::Mutex<Vec<String>>);

impl crate::observe::Observer for Notes {
    fn event(&self, event: crate::observe::Event<'_>) {
        if let crate::observe::Event::Note(what) = event {
            self.0.lock().unwrap().push(what.to_owned());
        }
    }
}

#[test]
fn a_database_in_use_is_not_replaced_by_a_plain_file_nor_are_its_journals() {
    let (mut memory, bytes) = plain();
    memory.file("a.db-wal", b"its own");
    let target = older();
    let place = target.path().join("a.db");
    // The further name of the first round leads to the same file.
    let options = RestoreOptions { excludes: vec!["/d".to_owned()], ..to(target.path()) };
    for (old, changes) in [(&[&bytes[..], b"x"].concat(), true), (&bytes, false)] {
        fs::write(&place, old).unwrap();
        fs::write(target.path().join("a.db-wal"), "live").unwrap();
        let user = User::of(&place);
        let summary = memory.restore(&options).unwrap();
        let problems: Vec<_> = summary.problems.iter().map(ToString::to_string).collect();
        assert!(problems.len() == 2 && problems[0].contains("in use by process"), "{problems:?}");
        assert!(problems[1].contains("a.db-wal: belongs to a.db, which is in use"), "{problems:?}");
        assert!(fs::read(&place).unwrap() == *old);
        assert_eq!(fs::read(target.path().join("a.db-wal")).unwrap(), b"live");
        let forced = RestoreOptions { force: true, ..options.clone() };
        let summary = memory.restore(&forced).unwrap();
        assert_eq!((summary.problem_count, summary.files > 1), (0, changes));
        assert_eq!(fs::read(target.path().join("a.db-wal")).unwrap(), b"its own");
        drop(user);
    }
}

#[test]
fn another_name_is_for_one_file_and_not_for_what_is_kept() {
    use crate::error::Kind;
    let (memory, _) = linked();
    let check = |kind, options: RestoreOptions| {
        for dry_run in [true, false] {
            let error = memory.restore(&RestoreOptions { dry_run, ..options.clone() }).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    };
    let target = older();
    let before = listing(target.path());
    let named = |name| renamed(target.path(), name);
    for name in ["", ".", "..", "x/y", "/x"] {
        check(Kind::Input, named(name));
    }
    for folder in ["", "d"] {
        check(Kind::Input, RestoreOptions { folder: folder.into(), ..named("x") });
    }
    check(Kind::NotFound, RestoreOptions { folder: b"none".to_vec(), ..named("x") });
    let kept = vec![target.path().join("a.db"), target.path().join("d")];
    check(Kind::Refused, RestoreOptions { kept: kept.clone(), ..named("a.db") });
    let deeper = RestoreOptions { target: target.path().join("d/new/deep"), kept, ..named("x") };
    check(Kind::Refused, deeper);
    assert_eq!(listing(target.path()), before);
}
