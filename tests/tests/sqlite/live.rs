//! Backups beside a writer: every one is a committed state, and none older than its start.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::app;
use crate::support::{Scene, below};

/// Bytes of the database, and backups of it; `COFFER_TEST_SQLITE_MB` and `_ROUNDS` make it longer.
const LEN: usize = 20_000_000;
const ROUNDS: usize = 100;

fn wanted(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Backs a database up again and again while it is written to.
fn check(journal_mode: &str, options: &dyn Fn(&Path) -> Vec<String>) {
    let len = wanted("COFFER_TEST_SQLITE_MB", LEN / 1_000_000) * 1_000_000;
    let rounds = wanted("COFFER_TEST_SQLITE_ROUNDS", ROUNDS);
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let held = app::create(&path, journal_mode, len);
    let restore = |snapshot: &str| {
        let target = scene.fresh_target();
        scene.restore_into(snapshot, &target, &[]).ok();
        let restored = below(&target, &path);
        for end in ["-wal", "-shm", "-journal"] {
            assert!(!below(&target, &scene.source.join(format!("app.db{end}"))).exists());
        }
        let turn = app::turn_of(&restored);
        fs::remove_dir_all(target).unwrap();
        turn
    };
    let ((), longest) = app::writing(&path, |committed| {
        let mut newest = 0;
        for _ in 0..rounds {
            let before = committed();
            let mut args = vec!["--json".to_owned(), "backup".to_owned()];
            args.extend(options(&scene.source));
            let run = scene.coffer(&args).ok();
            let turn = restore(&run.snapshot_id());
            assert!(turn >= before && turn >= newest, "turn {turn} after {before} and {newest}");
            newest = turn;
        }
        assert!(newest > 0, "the application wrote nothing");
    });
    drop(held);
    println!("{journal_mode}: {rounds} backups; the writer's longest transaction took {longest:?}");
}

#[test]
fn backups_in_wal_mode_are_committed_states() {
    check("wal", &|source| vec![source.to_str().unwrap().to_owned()]);
}

#[test]
fn backups_in_rollback_mode_are_committed_states() {
    let named = |source: &Path| vec!["--sqlite".into(), format!("{}/*.db", source.display())];
    check("delete", &named);
}

#[test]
fn no_lock_of_the_application_is_dropped() {
    let scene = Scene::new();
    // Locks of the files here only: other tests of this process have databases too.
    let locks = || {
        let inodes: Vec<String> = fs::read_dir(&scene.source)
            .unwrap()
            .map(|entry| format!(":{} ", entry.unwrap().metadata().unwrap().ino()))
            .collect();
        let pid = format!(" {} ", std::process::id());
        let all = fs::read_to_string("/proc/locks").unwrap();
        let is_own =
            |line: &&str| line.contains(&pid) && inodes.iter().any(|inode| line.contains(inode));
        // The first word is a running number.
        let number_less = |line: &str| line.split_once(' ').unwrap().1.trim_start().to_owned();
        let mut own: Vec<_> = all.lines().filter(is_own).map(number_less).collect();
        own.sort();
        own
    };
    let held: Vec<_> = ["wal", "delete"]
        .map(|mode| {
            let path = scene.source.join(format!("{mode}.db"));
            let connection = app::create(&path, mode, 1_000_000);
            connection.execute_batch("BEGIN IMMEDIATE; UPDATE turn SET number = 9").unwrap();
            connection
        })
        .into();
    let before = locks();
    assert!(before.len() >= 2, "{before:?}");
    let run = scene.coffer(["--json", "backup", scene.source.to_str().unwrap()]).ok();
    assert_eq!(locks(), before);
    // What was not committed is not in the backup, and can still be committed.
    let restored = scene.restored(&run.snapshot_id());
    for (mode, connection) in ["wal", "delete"].iter().zip(held) {
        assert_eq!(app::turn_of(&restored.join(format!("{mode}.db"))), 0);
        connection.execute_batch("ROLLBACK").unwrap();
    }
}
