//! Several databases at one moment.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::app;
use crate::support::{Scene, below};

const DATABASES: usize = 4;
/// Backups; `COFFER_TEST_SQLITE_ROUNDS` makes it more.
const ROUNDS: usize = 25;

/// Databases with a counter each; every second one has a rollback journal.
fn create(folder: &Path, modes: [&str; 2]) -> Vec<(PathBuf, Connection)> {
    let one = |number: usize| {
        let path = folder.join(format!("{number}.db"));
        let connection = app::create(&path, modes[number % 2], 200_000);
        (path, connection)
    };
    (0..DATABASES).map(one).collect()
}

/// Stops the writer when the work has ended, or failed.
struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Counts in one database after the other, each commit after the one before, while `work` runs.
fn counting<T>(paths: &[PathBuf], pause: Duration, work: impl FnOnce() -> T) -> (T, u64) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let open = |path: &PathBuf| {
                let connection = Connection::open(path).unwrap();
                connection.busy_timeout(Duration::from_secs(60)).unwrap();
                connection.pragma_update(None, "synchronous", "off").unwrap();
                connection
            };
            let connections: Vec<_> = paths.iter().map(open).collect();
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                count += 1;
                for connection in &connections {
                    connection.execute("UPDATE turn SET number = ?1", [count]).unwrap();
                    if !pause.is_zero() {
                        thread::sleep(pause);
                    }
                }
            }
            count as u64
        });
        let result = {
            let _stopping = Stopping(&stop);
            work()
        };
        (result, writer.join().unwrap())
    })
}

fn count_in(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT number FROM turn", [], |row| row.get(0)).unwrap()
}

fn check(modes: [&str; 2], pause: Duration) {
    let scene = Scene::in_memory();
    let databases = create(&scene.source, modes);
    let paths: Vec<_> = databases.iter().map(|(path, _)| path.clone()).collect();
    let rounds = std::env::var("COFFER_TEST_SQLITE_ROUNDS").ok().and_then(|it| it.parse().ok());
    let (mut moments, mut between) = (0, 0);
    let ((), count) = counting(&paths, pause, || {
        for _ in 0..rounds.unwrap_or(ROUNDS) {
            let pattern = scene.source.join("*.db");
            let run =
                scene.coffer(["--json", "backup", "--sqlite", pattern.to_str().unwrap()]).ok();
            let facts = scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0].clone();
            let target = scene.fresh_target();
            scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
            let counts: Vec<_> = paths.iter().map(|path| count_in(&below(&target, path))).collect();
            let told = &facts["sources"][0]["facts"]["moment"];
            if told == "one for 4 databases" {
                moments += 1;
                // Each database is as far as the one before it, or one behind.
                let first = counts[0];
                assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
                assert!(counts.iter().all(|count| first - count <= 1), "{counts:?}");
                between += i32::from(counts[DATABASES - 1] != first);
            } else {
                assert!(run.errors().contains("each at its own moment"), "{told} {}", run.errors());
            }
        }
    });
    println!("{modes:?}: {moments} moments, {between} between two commits of {count} rounds");
    assert!(moments > 0 && count > 10);
}

#[test]
fn databases_in_wal_mode_are_of_one_moment() {
    check(["wal", "wal"], Duration::ZERO);
}

#[test]
fn databases_of_both_modes_are_of_one_moment() {
    check(["wal", "delete"], Duration::from_millis(1));
}

#[test]
fn one_that_cannot_be_read_leaves_the_others_at_one_moment() {
    let scene = Scene::new();
    let databases = create(&scene.source, ["wal", "delete"]);
    databases[1].1.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let pattern = scene.source.join("*.db");
    let args = ["backup", "--lock-max", "1s", "--sqlite", pattern.to_str().unwrap()];
    let run = scene.coffer(args).fails_with(3);
    assert!(run.errors().contains("1.db: SQLite cannot read it"), "{}", run.errors());
    let facts = scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0].clone();
    assert_eq!(facts["sources"][0]["facts"]["moment"], "one for 3 databases");
    assert_eq!(facts["sources"][1]["status"], "failed");
    assert!(run.errors().contains("3 of the 4 databases are stored at one"), "{}", run.errors());
    assert!(run.errors().contains("1.db (database is locked)"), "{}", run.errors());
}

/// Locks the second database for `locked`, and backs all up.
fn behind_a_lock(modes: [&str; 2], locked: Duration, options: &[&str]) -> (String, Vec<String>) {
    let scene = Scene::new();
    let mut databases = create(&scene.source, modes);
    let connection = databases.remove(1).1;
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let pattern = scene.source.join("*.db");
    let args = [&["backup", "--sqlite", pattern.to_str().unwrap()], options].concat();
    let run = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(locked);
            connection.execute_batch("COMMIT").unwrap();
        });
        scene.coffer(args).ok()
    });
    let facts = scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0].clone();
    let sources = facts["sources"].as_array().unwrap().iter();
    let told = sources.map(|it| it["facts"]["moment"].as_str().unwrap().to_owned());
    (run.errors(), told.collect())
}

#[test]
fn a_lock_that_ends_in_time_keeps_nobody_from_the_moment() {
    let (told, moments) = behind_a_lock(["wal", "delete"], Duration::from_secs(3), &[]);
    assert_eq!(moments, ["one for 4 databases"; DATABASES], "{told}");
    assert!(!told.contains("moment"), "{told}");
}

#[test]
fn one_that_comes_too_late_for_the_moment_is_named() {
    // The patience for the moment is over, and that for its own reading is not.
    let locked = Duration::from_secs(4);
    let (told, moments) = behind_a_lock(["wal", "delete"], locked, &["--lock-max", "2s"]);
    assert_eq!(moments[1], "its own", "{told}");
    assert_eq!(moments[0], "one for 3 databases", "{told}");
    assert!(told.contains("1.db (database is locked)"), "{told}");
}

#[test]
fn many_databases_are_of_one_moment_though_few_files_may_be_open_at_first() {
    const MANY: usize = 60;
    let scene = Scene::in_memory();
    for number in 0..MANY {
        let path = scene.source.join(format!("{number}.db"));
        Connection::open(path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    }
    let coffer = scene.command();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -Sn 64; exec \"$@\"", "sh"]).arg(coffer.get_program());
    let pattern = scene.source.join("*.db");
    limited.args(["backup", "--sqlite", pattern.to_str().unwrap()]);
    for (name, value) in coffer.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let run = crate::support::run::finish(&mut limited, None).ok();
    assert!(!run.errors().contains("moment"), "{}", run.errors());
    let facts = scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0].clone();
    assert_eq!(facts["sources"][0]["facts"]["moment"], "one for 60 databases");
}
