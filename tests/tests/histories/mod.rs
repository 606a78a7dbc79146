//! Random histories against plain copies: every snapshot is the tree as it was.

mod changes;

use std::fs;
use std::path::{Path, PathBuf};

use changes::Random;

use crate::support::{NOT_RACY, Scene, assert_same_tree, make};

/// Changes of the tree between two snapshots.
const CHANGE_COUNT: u64 = 12;
const STEP_COUNT: usize = 6;

/// A copy with everything that the comparison looks at, made without the engine.
fn plain_copy(scene: &Scene, step: usize) -> PathBuf {
    let copy = scene.path(&format!("copy-{step}"));
    let mut command = std::process::Command::new("cp");
    let status = command.arg("-a").arg(&scene.source).arg(&copy).status().unwrap();
    assert!(status.success());
    copy
}

/// One history; `options` of the backups. The seed in a message makes it again.
fn check_history(seed: u64, options: &[&str]) {
    let scene = Scene::in_memory();
    let mut random = Random::new(seed);
    let mut snapshots: Vec<(String, PathBuf)> = Vec::new();
    changes::plant(&scene.source, &mut random);
    for step in 0..STEP_COUNT {
        for _ in 0..CHANGE_COUNT {
            changes::change(&scene.source, &mut random);
        }
        let run = scene.try_backup(options).ok();
        snapshots.push((run.snapshot_id(), plain_copy(&scene, step)));
    }
    assert_eq!(scene.listed(), snapshots.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    for (step, (id, copy)) in snapshots.iter().enumerate() {
        println!("seed {seed}, step {step}");
        assert_same_tree(copy, &scene.restored(id));
    }
    scene.coffer(["check"]).ok();
    scene.coffer(["verify"]).ok();
}

#[test]
fn every_snapshot_of_a_random_history_is_the_tree_as_it_was() {
    // A fixed part, and one of its own for every run; the message has the seed.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    for seed in [1, 2, 3, 4, now, now ^ 0xff] {
        println!("seed {seed}");
        check_history(seed, &[]);
    }
}

#[test]
fn trusting_times_at_once_loses_nothing_where_ctimes_are_fine() {
    for seed in [11, 12, 13] {
        println!("seed {seed}");
        check_history(seed, &NOT_RACY);
    }
}

#[test]
fn a_history_without_a_cache_is_the_same() {
    println!("seed 21");
    check_history(21, &["--no-cache"]);
}

#[test]
fn restoring_snapshots_one_over_the_other_with_a_clean_target_each_leaves_no_trace() {
    let scene = Scene::in_memory();
    let mut random = Random::new(31);
    changes::plant(&scene.source, &mut random);
    let first = scene.backup();
    let copy = plain_copy(&scene, 0);
    for _ in 0..60 {
        changes::change(&scene.source, &mut random);
    }
    scene.backup();
    fs::remove_dir_all(&scene.source).unwrap();
    scene.restore_into(&first, Path::new("/"), &[]).ok();
    assert_same_tree(&copy, &scene.source);
}

#[test]
fn a_second_unchanged_backup_reads_no_file_and_adds_no_data() {
    let scene = Scene::new();
    changes::plant(&scene.source, &mut Random::new(41));
    make::file(&scene.source, "large", make::noise(1, 6 << 20));
    fs::hard_link(scene.source.join("large"), scene.source.join("large-2")).unwrap();
    let first = scene.try_backup(&NOT_RACY).ok().summary();
    let second = scene.try_backup(&NOT_RACY).ok().summary();
    assert_eq!(second["files_new"], 0, "{second}");
    assert_eq!(second["files_changed"], 0, "{second}");
    assert_eq!(second["files_unmodified"], first["files_new"], "{second}");
    assert_eq!(second["data_added"], 0, "{second}");
    assert_eq!(second["parent"], first["snapshot_id"]);
    let id = second["snapshot_id"].as_str().unwrap();
    assert_same_tree(&scene.source, &scene.restored(id));
}

#[test]
fn moved_and_copied_data_is_stored_once() {
    let scene = Scene::new();
    // No noise: that is cut into large chunks.
    let lines = (0..200_000).map(|number: u64| format!("{}\n", number * number));
    let bytes: Vec<u8> = lines.collect::<String>().into_bytes();
    make::file(&scene.source, "a/file", &bytes);
    scene.backup();
    fs::rename(scene.source.join("a"), scene.source.join("b")).unwrap();
    make::file(&scene.source, "copy", &bytes);
    make::file(&scene.source, "shifted", [&b"some bytes before"[..], &bytes[..]].concat());
    let run = scene.try_backup(&[]).ok();
    let added = run.summary()["data_added"].as_u64().unwrap();
    assert!(added < bytes.len() as u64 / 4, "{}", run.summary());
    assert_same_tree(&scene.source, &scene.restored(&run.snapshot_id()));
}

#[test]
fn jobs_beside_each_other_never_mix_their_parents() {
    let scene = Scene::new();
    let [one, two] = ["one", "two"].map(|name| make::file(&scene.source, name, name));
    let backup = |path: &Path, job: &str| {
        let path = path.to_str().unwrap();
        let args = ["--json", "backup", "--job", job, "--racy-window", "0s", path];
        scene.coffer(args).ok().summary()
    };
    let first = backup(&one, "one");
    assert_eq!(backup(&two, "two")["files_new"], 1);
    let again = backup(&one, "one");
    assert_eq!((&again["parent"], &again["files_unmodified"]), (&first["snapshot_id"], &1.into()));
}
