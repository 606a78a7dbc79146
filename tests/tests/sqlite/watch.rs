//! `coffer watch`: databases are stored as soon as they change.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use serde_json::Value;

use super::app;
use crate::support::{Scene, below, make};

/// How long snapshots may take on a busy machine, besides what is promised.
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds of the test that kills; `COFFER_TEST_WATCH_SECS` makes it longer.
const KILLING_SECS: u64 = 45;

/// A watch that runs; ended when dropped.
pub(super) struct Watch {
    pub child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watch {
    pub fn start(scene: &Scene, options: &[&str]) -> Self {
        let mut command = scene.command();
        command.args([
            "--json",
            "watch",
            "--job",
            "watch",
            "--poll",
            "100ms",
            "--interval",
            "500ms",
        ]);
        command.args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for the next snapshot.
    pub fn next(&mut self) -> Value {
        let line = self.lines.next().expect("a watch goes on").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn end(mut self, signal: rustix::process::Signal) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "a watch does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Restores a database of a snapshot, compares what was measured, and tells its last turn.
pub(super) fn turn_in(scene: &Scene, snapshot: &str, path: &Path) -> u64 {
    let target = scene.fresh_target();
    let run = scene.restore_into(snapshot, &target, &["--verify"]).ok();
    assert!(run.text().contains(", 0 different"), "{}", run.text());
    let turn = app::turn_of(&below(&target, path));
    fs::remove_dir_all(target).unwrap();
    turn
}

#[test]
fn a_change_is_stored_without_being_asked_for() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 3_000_000);
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    let first = watch.next();
    for number in 0..15 {
        // One commit each: of one page, or many, or with fewer than there were.
        let change = match number % 5 {
            0 => "CREATE TABLE more (x)",
            1 => "INSERT INTO more SELECT text FROM filling",
            2 => "DROP TABLE more",
            3 => "VACUUM",
            _ => "UPDATE filling SET text = text || 'x' WHERE id % 50 = 7",
        };
        connection.execute_batch(change).unwrap();
        let line = watch.next();
        assert_ne!(line["snapshot_id"], first["snapshot_id"]);
        let snapshot = line["snapshot_id"].as_str().unwrap();
        assert_eq!(turn_in(&scene, snapshot, &path), 0);
        let restored = scene.restored(snapshot).join("app.db");
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        assert!(fs::read(restored).unwrap() == fs::read(&path).unwrap(), "round {number}");
    }
    assert_eq!(watch.end(rustix::process::Signal::TERM), Some(130));
}

#[test]
fn nothing_is_stored_while_nothing_changes() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 100_000);
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    watch.next();
    // Nor do writing what is there already, and emptying the WAL.
    connection.execute_batch("UPDATE turn SET number = 0").unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(scene.listed().len(), 1);
    connection.execute_batch("CREATE TABLE late (x)").unwrap();
    watch.next();
    assert_eq!(scene.listed().len(), 2);
}

#[test]
fn a_watch_goes_on_under_the_keys_of_the_day() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 100_000);
    let mut watch = Watch::start(&scene, &["--count", "4", path.to_str().unwrap()]);
    watch.next();
    for label in ["alice", "bob", "carol"] {
        let file = scene.path(label);
        fs::write(&file, "correct horse battery staple\n").unwrap();
        let file = file.to_str().unwrap();
        scene.coffer(["key", "add", "--new-password-file", file, "--label", label]).ok();
        // A removed key has what it was given: the epoch is new too.
        let listed = scene.coffer(["--json", "key", "list"]).ok().json();
        let mut listed = listed[0].as_array().unwrap().iter();
        let added = listed.find(|key| key["label"] == label).unwrap();
        scene.coffer(["key", "remove", added["id"].as_str().unwrap()]).ok();
        connection.execute_batch(&format!("CREATE TABLE {label} (x)")).unwrap();
        let line = watch.next();
        let snapshot = line["snapshot_id"].as_str().unwrap();
        turn_in(&scene, snapshot, &path);
        scene.coffer(["verify"]).ok();
    }
    assert_eq!(
        watch.child.wait().unwrap().code(),
        Some(0),
        "after four snapshots, not four of a ring"
    );
}

#[test]
fn another_database_in_its_place_is_noticed() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    drop(app::create(&path, "delete", 100_000));
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    watch.next();
    let other = scene.source.join("other.db");
    let connection = app::create(&other, "delete", 300_000);
    connection.execute_batch("CREATE TABLE late (x)").unwrap();
    drop(connection);
    fs::rename(&other, &path).unwrap();
    let line = watch.next();
    let restored = scene.restored(line["snapshot_id"].as_str().unwrap()).join("app.db");
    assert!(fs::read(restored).unwrap() == fs::read(&path).unwrap());
}

#[test]
fn several_databases_are_watched_at_one_moment_and_new_ones_are_found() {
    let scene = Scene::new();
    let make = |name: &str| app::create(&scene.source.join(name), "wal", 200_000);
    let (one, _two) = (make("1.db"), make("2.db"));
    let pattern = scene.source.join("*.db");
    let mut watch = Watch::start(&scene, &[pattern.to_str().unwrap()]);
    watch.next();
    one.execute_batch("CREATE TABLE late (x)").unwrap();
    watch.next();
    let _three = make("3.db");
    let line = watch.next();
    let mut count = line["total_files_processed"].as_u64().unwrap();
    while count < 3 {
        // It was found while it was made.
        count = watch.next()["total_files_processed"].as_u64().unwrap();
    }
    let facts = scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0].clone();
    assert_eq!(facts["sources"][2]["facts"]["moment"], "one for 3 databases");
}

#[test]
fn a_repository_that_goes_and_comes_back_is_waited_for() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 100_000);
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    watch.next();
    let away = scene.path("away");
    fs::rename(&scene.repo, &away).unwrap();
    connection.execute_batch("CREATE TABLE late (x)").unwrap();
    thread::sleep(Duration::from_secs(2));
    fs::rename(&away, &scene.repo).unwrap();
    let line = watch.next();
    let restored = scene.restored(line["snapshot_id"].as_str().unwrap()).join("app.db");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(fs::read(restored).unwrap() == fs::read(&path).unwrap());
}

#[test]
fn every_snapshot_without_free_pages_is_checked() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 100_000);
    let options = ["--zero-free-pages", "--check-interval", "1h", path.to_str().unwrap()];
    let mut watch = Watch::start(&scene, &options);
    for name in ["first", "second"] {
        watch.next();
        let facts = scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0].clone();
        assert_eq!(facts["sources"][0]["facts"]["quick_check"], "ok", "{facts}");
        connection.execute_batch(&format!("CREATE TABLE {name} (x)")).unwrap();
    }
}

/// What the processes that `pid` has started hold open.
fn held_by_children(pid: u32) -> Vec<PathBuf> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let folders = children.split_whitespace().map(|child| format!("/proc/{child}/fd"));
    let handles = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    handles.filter_map(|handle| fs::read_link(handle.path()).ok()).collect()
}

#[test]
fn a_database_that_is_removed_is_let_go() {
    let scene = Scene::new();
    let paths = ["1.db", "2.db"].map(|name| scene.source.join(name));
    paths.iter().for_each(|path| drop(app::create(path, "wal", 100_000)));
    let pattern = scene.source.join("*.db");
    let mut watch = Watch::start(&scene, &[pattern.to_str().unwrap()]);
    watch.next();
    let holds = |path: &Path| {
        let name = path.to_str().unwrap();
        held_by_children(watch.child.id()).iter().any(|it| it.to_str().unwrap().starts_with(name))
    };
    assert!(paths.iter().all(|path| holds(path)), "the test looks in the wrong place");
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(scene.source.join(format!("2.db{end}")));
    }
    let begun = Instant::now();
    while holds(&paths[1]) {
        assert!(begun.elapsed() < PATIENCE, "a deleted database is held open");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(holds(&paths[0]));
}

#[test]
fn a_database_whose_state_cannot_be_told_is_named_once() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    drop(app::create(&path, "wal", 100_000));
    // SQLite would wait for whoever writes to it.
    make::node(&scene.source.join("app.db-journal"), FileType::Fifo, 0);
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    let mut told = BufReader::new(watch.child.stderr.take().unwrap()).lines();
    let is_it = |line: &String| line.contains("app.db: whether it changes cannot be seen");
    let line = told.by_ref().map(Result::unwrap).find(is_it).unwrap();
    assert!(line.contains("-journal beside it is no file"), "{line}");
    thread::sleep(Duration::from_secs(7));
    watch.end(rustix::process::Signal::TERM);
    assert_eq!(told.map(Result::unwrap).filter(is_it).count(), 0);
}

#[test]
fn an_empty_database_is_watched_and_stored_once_it_is_none() {
    let scene = Scene::new();
    let path = make::file(&scene.source, "app.db", "");
    for _ in 0..2 {
        // Nothing has changed at the second start.
        let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
        if scene.listed().is_empty() {
            assert_eq!(watch.next()["partial"], false);
        }
        thread::sleep(Duration::from_secs(2));
        assert_eq!(watch.end(rustix::process::Signal::TERM), Some(130));
        assert_eq!(scene.listed().len(), 1);
    }
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    thread::sleep(Duration::from_secs(2));
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE first (x)").unwrap();
    let line = watch.next();
    let restored = scene.restored(line["snapshot_id"].as_str().unwrap()).join("app.db");
    assert!(fs::read(restored).unwrap() == fs::read(&path).unwrap());
}

#[test]
fn a_watched_database_keeps_its_journal_mode_and_its_wal() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 100_000);
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    watch.next();
    connection.busy_timeout(Duration::from_secs(1)).unwrap();
    connection.execute_batch("CREATE TABLE late (x); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    connection.execute_batch("INSERT INTO late VALUES (1)").unwrap();
    let changed = connection.pragma_update(None, "journal_mode", "delete");
    assert!(changed.unwrap_err().to_string().contains("database is locked"));
    drop(connection);
    let rows = |path: &Path| {
        let connection = rusqlite::Connection::open(path).unwrap();
        let rows =
            connection.query_row("SELECT count(*) FROM late", [], |row| row.get::<_, i64>(0));
        connection.pragma_update(None, "journal_mode", "delete").unwrap();
        rows.unwrap()
    };
    assert_eq!(watch.end(rustix::process::Signal::TERM), Some(130));
    assert!(fs::metadata(scene.source.join("app.db-wal")).unwrap().len() > 0);
    let alone = scene.path("alone.db");
    fs::copy(&path, &alone).unwrap();
    assert_eq!([rows(&alone), rows(&path)], [0, 1]);
}

/// The longest pack, which holds pages of databases.
fn longest_pack(scene: &Scene) -> PathBuf {
    let folders = fs::read_dir(scene.repo.join("packs")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    paths.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn pages_that_the_repository_has_lost_are_stored_again_though_they_have_not_changed() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 3_000_000);
    let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
    watch.next();
    connection.execute_batch("CREATE TABLE first (x)").unwrap();
    watch.next();
    fs::remove_file(longest_pack(&scene)).unwrap();
    connection.execute_batch("CREATE TABLE second (x)").unwrap();
    let line = watch.next();
    assert_eq!(turn_in(&scene, line["snapshot_id"].as_str().unwrap(), &path), 0);
    // And what it remembers goes on from there.
    connection.execute_batch("CREATE TABLE third (x)").unwrap();
    let line = watch.next();
    assert_eq!(turn_in(&scene, line["snapshot_id"].as_str().unwrap(), &path), 0);
}

#[test]
fn a_database_that_cannot_be_read_is_told_once_and_when_it_is_back() {
    let scene = Scene::new();
    let (path, missing) = (scene.source.join("app.db"), scene.source.join("missing.db"));
    let connection = app::create(&path, "wal", 20_000);
    let args = [path.to_str().unwrap(), missing.to_str().unwrap()];
    let mut command = scene.command();
    command.args(["-q", "watch", "--poll", "50ms", "--interval", "100ms"]).args(args);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    for number in 0..4 {
        connection.execute_batch(&format!("CREATE TABLE t{number} (x)")).unwrap();
        wait_for(|| scene.listed().len() > number);
    }
    let made = scene.path("made.db");
    drop(app::create(&made, "delete", 20_000));
    fs::rename(made, &missing).unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let told = format!("{}: does not exist", missing.display());
    assert_eq!(line(), format!("coffer: warning: {told}"));
    assert_eq!(line(), format!("coffer: warning: no longer: {told}"));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(&missing).unwrap();
    connection.execute_batch("CREATE TABLE late (x)").unwrap();
    let run = scene.coffer(["watch", "--count", "1", args[0], args[1]]).fails_with(3);
    assert!(run.text().ends_with(", partial\n"), "{}", run.text());
}

#[test]
fn no_snapshot_of_a_database_that_is_known_to_be_damaged_counts_as_whole() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "delete", 500_000);
    let mut watch = Watch::start(&scene, &["--check-interval", "4s", path.to_str().unwrap()]);
    assert_eq!(watch.next()["partial"], false);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0x55; 2000], 4096 * 40).unwrap();
    connection.execute_batch("CREATE TABLE first (x)").unwrap();
    // Unchecked; then nobody writes, and the check that is due finds it.
    assert_eq!(watch.next()["partial"], false);
    assert_eq!(watch.next()["partial"], true);
    for number in 0..3 {
        connection.execute_batch(&format!("CREATE TABLE t{number} (x)")).unwrap();
        assert_eq!(watch.next()["partial"], true, "{number}");
    }
}

#[test]
fn a_watch_of_nothing_does_not_begin() {
    let scene = Scene::new();
    std::fs::write(scene.source.join("text"), "text").unwrap();
    for (name, why) in
        [("typo.db", "does not exist"), ("*.db", "no file matches"), ("text", "is not")]
    {
        let path = scene.source.join(name);
        let args = ["watch", "--count", "1", path.to_str().unwrap()];
        let told = scene.coffer(args).fails_with(1).errors();
        assert!(
            told.contains(&format!("no database to watch: {}: {why}", path.display())),
            "{told}"
        );
        assert!(told.contains("mounted?"), "{told}");
    }
}

fn wait_for(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it does not come to that");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn after_a_kill_at_any_time_no_more_is_lost_than_promised() {
    let secs = std::env::var("COFFER_TEST_WATCH_SECS").ok().and_then(|it| it.parse().ok());
    let end = Instant::now() + Duration::from_secs(secs.unwrap_or(KILLING_SECS));
    let scene = Scene::in_memory();
    let path = scene.source.join("app.db");
    let held = app::create(&path, "wal", 5_000_000);
    let (mut kills, mut longest) = (0_u64, Duration::ZERO);
    let ((), _) = app::writing(&path, |committed| {
        // Turns with the time at which they were committed, for certain.
        let mut history = vec![(Instant::now(), committed())];
        while Instant::now() < end {
            let mut watch = Watch::start(&scene, &[path.to_str().unwrap()]);
            // Until it has caught up after the last kill.
            let sealed = watch.next();
            let lives = Duration::from_millis(300 + kills * 977 % 4000);
            let begun = Instant::now();
            while begun.elapsed() < lives {
                history.push((Instant::now(), committed()));
                thread::sleep(Duration::from_millis(20));
            }
            watch.child.kill().unwrap();
            let killed = Instant::now();
            drop(watch);
            kills += 1;
            let turn = turn_in(&scene, "latest", &path);
            let lost = history.iter().find(|(_, committed)| *committed > turn);
            let lost = lost.map_or(Duration::ZERO, |(at, _)| killed.saturating_duration_since(*at));
            let since_sealed = begun.elapsed();
            longest = longest.max(lost.min(since_sealed));
            assert!(!sealed["snapshot_id"].is_null());
        }
    });
    drop(held);
    let snapshots = scene.listed();
    let mut last = 0;
    for snapshot in &snapshots {
        let turn = turn_in(&scene, snapshot, &path);
        assert!(turn >= last, "snapshots go back");
        last = turn;
    }
    println!("{kills} kills, {} snapshots; at most {longest:?} lost", snapshots.len());
    assert!(kills > 3 && snapshots.len() as u64 > kills);
    // The interval, the look before it, and what a snapshot takes where all cores are busy.
    assert!(longest < Duration::from_millis(600) + Duration::from_secs(4), "{longest:?}");
}
