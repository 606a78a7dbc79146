//! What stands beside a database, and where it stands.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, chown};
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FileType;

use super::app;
use super::forms::{NOBODY, run_as_nobody};
use super::hard::Disk;
use crate::support::{Scene, below, is_root, make};

#[test]
fn a_damaged_database_in_wal_mode_is_told_where_nothing_can_be_written() {
    let scene = Scene::new();
    let folder = scene.source.join("disk");
    fs::create_dir(&folder).unwrap();
    let Some(disk) = Disk::mount(&folder) else { return };
    drop(app::create(&folder.join("app.db"), "wal", 500_000));
    let file = File::options().write(true).open(folder.join("app.db")).unwrap();
    file.write_all_at(&[0x55; 2000], 4096 * 40).unwrap();
    drop(file);
    disk.make_read_only();
    let run = scene.try_backup(&[]);
    let facts = scene.coffer(["snapshots", "-v"]).ok().text();
    assert!(facts.contains("journal_mode=wal"));
    let run = run.fails_with(3);
    assert!(run.errors().contains("the database is damaged"));
}

#[test]
fn a_fifo_in_the_place_of_a_journal_keeps_nobody_waiting() {
    for is_named in [false, true] {
        let scene = Scene::new();
        let path = scene.source.join("app.db");
        drop(app::create(&path, "delete", 100_000));
        make::node(&scene.source.join("app.db-journal"), FileType::Fifo, 0);
        let mut command = scene.command();
        command.args(["backup", "--lock-max", "1s"]);
        if is_named {
            command.arg("--sqlite").arg(&path);
        } else {
            command.arg(&scene.source);
        }
        // The worker outlives its client here: both are in one group.
        let mut child = command.process_group(0).spawn().unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if begun.elapsed() > Duration::from_secs(15) {
                let group = rustix::process::Pid::from_child(&child);
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
                child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(50));
        };
        assert!(status.is_some(), "the backup hangs");
    }
}

#[test]
fn databases_whose_names_are_not_utf8_have_facts_of_their_own() {
    let scene = Scene::new();
    for name in [b"\xff.db", b"\xfe.db"] {
        drop(app::create(&scene.source.join(make::raw(name)), "delete", 10_000));
    }
    scene.backup();
    let text = scene.coffer(["snapshots", "-v"]).ok().text();
    let facts: BTreeSet<_> = text.lines().filter(|line| line.contains("quick_check=")).collect();
    assert_eq!(facts.len(), 2, "{text}");
}

#[test]
fn a_sidecar_that_may_not_be_read_is_left_out_without_a_word() {
    if !is_root() {
        return;
    }
    let scene = Scene::without_repository();
    chown(scene.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    let Some(run) = run_as_nobody(&scene, &["init"]) else { return };
    run.ok();
    drop(app::create(&scene.source.join("app.db"), "truncate", 100_000));
    let journal = scene.source.join("app.db-journal");
    assert_eq!(fs::metadata(&journal).unwrap().len(), 0);
    make::mode(&journal, 0o600);
    let run = run_as_nobody(&scene, &["--json", "backup", scene.source.to_str().unwrap()]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.errors());
}

#[test]
fn a_disk_without_room_for_the_pages_of_a_locked_database_costs_no_byte() {
    let scene = Scene::new();
    fs::create_dir_all(&scene.cache).unwrap();
    let Some(disk) = Disk::mount_with("size=2m", &scene.cache) else { return };
    let path = scene.source.join("app.db");
    drop(app::create(&path, "delete", 24_000_000));
    let run = scene.coffer(["--json", "backup", "--sqlite", path.to_str().unwrap()]).ok();
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &["--verify"]).ok();
    let restored = below(&target, &path);
    assert!(fs::read(&restored).unwrap() == fs::read(&path).unwrap());
    assert_eq!(app::turn_of(&restored), 0);
    drop(disk);
}
