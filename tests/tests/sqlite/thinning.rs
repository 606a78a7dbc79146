//! What a watch makes gets rarer with age, also when it is killed in the middle of that.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::app;
use super::hard::Disk;
use super::watch::{Watch, turn_in};
use crate::support::Scene;

/// A rule under which almost everything goes soon, and nothing is spared for being new.
const RULE: [&str; 6] = ["--keep-last", "5", "--thin-after", "8", "--leave-newer", "0s"];

fn options(path: &str) -> Vec<&str> {
    [&RULE[..], &[path]].concat()
}

fn objects(scene: &Scene, folder: &str) -> usize {
    fn count(path: &std::path::Path) -> usize {
        let Ok(entries) = fs::read_dir(path) else { return 0 };
        let each = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
            true => count(&entry.path()),
            false => 1,
        };
        entries.map(|entry| each(entry.unwrap())).sum()
    }
    count(&scene.repo.join(folder))
}

#[test]
fn snapshots_beyond_the_rule_go_while_the_watch_goes_on() {
    let scene = Scene::in_memory();
    let path = scene.source.join("app.db");
    let held = app::create(&path, "wal", 1_000_000);
    let made = app::writing(&path, |_| {
        let mut watch = Watch::start(&scene, &options(path.to_str().unwrap()));
        for _ in 0..50 {
            watch.next();
        }
        assert_eq!(watch.end(rustix::process::Signal::TERM), Some(130));
    });
    drop((made, held));
    // What came after the last thinning, and while it was at work.
    let listed = scene.listed();
    assert!(listed.len() < 40, "{} snapshots", listed.len());
    assert!(objects(&scene, "packs") < 160, "{} packs", objects(&scene, "packs"));
    assert!(objects(&scene, "gen") > 0 && objects(&scene, "snapshots") < 50);
    let mut last = 0;
    for snapshot in &listed {
        let turn = turn_in(&scene, snapshot, &path);
        assert!(turn >= last, "snapshots go back");
        last = turn;
    }
    scene.coffer(["verify"]).ok();
}

#[test]
fn a_watch_that_is_killed_while_it_thins_loses_nothing_that_is_listed() {
    let scene = Scene::in_memory();
    let path = scene.source.join("app.db");
    let held = app::create(&path, "wal", 1_000_000);
    let end = Instant::now() + Duration::from_secs(20);
    let mut kills = 0_u64;
    let ((), _) = app::writing(&path, |_| {
        while Instant::now() < end {
            let mut watch = Watch::start(&scene, &options(path.to_str().unwrap()));
            watch.next();
            thread::sleep(Duration::from_millis(500 + kills * 797 % 2500));
            watch.child.kill().unwrap();
            drop(watch);
            kills += 1;
            let turn = turn_in(&scene, "latest", &path);
            assert!(turn > 0);
        }
    });
    drop(held);
    for snapshot in &scene.listed() {
        turn_in(&scene, snapshot, &path);
    }
    assert!(kills > 3, "{kills} kills");
    // The next prune ends what was begun, and leaves a repository without a finding.
    scene.coffer(["prune", "--leave-newer", "0s"]).ok();
    scene.coffer(["verify"]).ok();
}

#[test]
fn what_a_watch_of_these_databases_has_not_made_is_never_thinned() {
    let scene = Scene::in_memory();
    let (path, other) = (scene.source.join("app.db"), scene.source.join("other.db"));
    let (held, held_too) = (app::create(&path, "wal", 20_000), app::create(&other, "wal", 20_000));
    let (named, other) = (path.to_str().unwrap(), other.to_str().unwrap());
    let backups: [&[&str]; 5] = [
        &["backup", "--sqlite", named],
        &["backup", "--sqlite", named, "--sqlite", other],
        &["backup", scene.source.to_str().unwrap()],
        &["watch", "--count", "1", other],
        &["watch", "--count", "1", named, other],
    ];
    let mut kept = Vec::new();
    for made in backups.into_iter().chain([&["watch", "--count", "1", "--tag", "mine", named][..]])
    {
        // What is stored already is no snapshot of a watch.
        let change = format!("CREATE TABLE before{} (x)", kept.len());
        for connection in [&held, &held_too] {
            connection.execute_batch(&change).unwrap();
        }
        kept.push(
            scene.coffer([&["--json"], made, &["--job", "watch"]].concat()).ok().snapshot_id(),
        );
    }
    let rule = ["--keep-last", "2", "--thin-after", "1", "--leave-newer", "0s"];
    let mut watch = Watch::start(&scene, &[&rule[..], &[named]].concat());
    for number in 0..8 {
        held.execute_batch(&format!("CREATE TABLE t{number} (x)")).unwrap();
        watch.next();
    }
    let begun = Instant::now();
    while scene.listed().len() > kept.len() + 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is thinned");
        thread::sleep(Duration::from_millis(100));
    }
    drop(watch);
    let listed = scene.listed();
    assert!(kept.iter().all(|sid| listed.contains(sid)), "{kept:?} {listed:?}");
}

#[test]
fn a_repository_that_is_full_makes_room_for_what_comes() {
    let scene = Scene::without_repository();
    fs::create_dir(&scene.repo).unwrap();
    let Some(_disk) = Disk::mount_with("size=8m", &scene.repo) else { return };
    scene.coffer(["init"]).ok();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 20_000);
    connection.execute_batch("CREATE TABLE noise (x); INSERT INTO noise VALUES (1)").unwrap();
    let rule = ["--keep-last", "2", "--leave-newer", "0s", "--no-table-facts"];
    let mut watch = Watch::start(&scene, &[&rule[..], &[path.to_str().unwrap()]].concat());
    for _ in 0..12 {
        connection.execute_batch("UPDATE noise SET x = randomblob(1000000)").unwrap();
        watch.next();
    }
    drop(watch);
    assert!(scene.listed().len() < 10, "{:?}", scene.listed());
    scene.coffer(["verify"]).ok();
}
