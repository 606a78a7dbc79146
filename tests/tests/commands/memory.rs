//! The bound on memory, looked at from outside.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use coffer_engine::model::Entropy;

use crate::support::{Scene, make};

const MIB: usize = 1 << 20;
/// The smallest bound, MiB.
const BOUND_MIB: u64 = 64;

/// The highest anonymous memory of a command, MiB, looked at every two milliseconds.
fn peak(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut highest = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        highest = highest.max(kib.unwrap_or(0_u64));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}: {status}");
            return highest.div_ceil(1024);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A database of about 40 MiB in WAL mode.
fn database(path: &Path) {
    let database = rusqlite::Connection::open(path).unwrap();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    let sql = "CREATE TABLE it AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
        WHERE i < 10000) SELECT i, randomblob(2000) AS b, hex(randomblob(1000)) AS t FROM n";
    database.execute_batch(sql).unwrap();
}

#[test]
fn commands_keep_to_the_smallest_bound() {
    let scene = Scene::new();
    let mut noise = vec![0; 6 * MIB];
    for number in 0..16_u8 {
        Entropy::fixed(&[number]).fill(&mut noise);
        make::file(&scene.source, format!("noise-{number}"), &noise);
    }
    write_texts(&scene, 0);
    database(&scene.source.join("app.db"));
    let targets = [scene.fresh_target(), scene.fresh_target()];
    let source = scene.source.to_str().unwrap();
    let target = targets[0].to_str().unwrap();
    keep_to_the_bound(
        &scene,
        &[
            &["backup", source],
            &["backup", "--force", source],
            &["backup", "--force", "--compression", "max", source],
            &["restore", "latest", "--target", target],
            &["check"],
            &["verify"],
        ],
    );
    // What changed is stored as differences.
    write_texts(&scene, 1);
    let database = rusqlite::Connection::open(scene.source.join("app.db")).unwrap();
    database.execute_batch("UPDATE it SET t = 'changed' WHERE i % 10 = 0").unwrap();
    let target = targets[1].to_str().unwrap();
    keep_to_the_bound(
        &scene,
        &[&["backup", source], &["restore", "latest", "--target", target], &["verify"]],
    );
}

/// 16 files of 5 MiB, of which a line in a hundred tells the round.
fn write_texts(scene: &Scene, round: u64) {
    for number in 0..16 {
        let line = |line: u64| {
            let changed = if line.is_multiple_of(100) { round } else { 0 };
            format!("{number} {line} {changed} {:016x}\n", line * line * line)
        };
        let text: Vec<u8> = (0..).flat_map(|it| line(it).into_bytes()).take(5 * MIB).collect();
        make::file(&scene.source, format!("text-{number}"), &text);
    }
}

fn keep_to_the_bound(scene: &Scene, runs: &[&[&str]]) {
    let bound = format!("{BOUND_MIB}M");
    for run in runs {
        // As on a machine with many processors.
        let mut command = scene.command();
        command.env("RAYON_NUM_THREADS", "16").args(["-q", "--memory", &bound]).args(*run);
        let peak = peak(&mut command);
        assert!(peak > 0 && peak <= BOUND_MIB, "{run:?} took {peak} MiB");
    }
}

#[test]
fn a_bound_that_cannot_be_held_is_refused() {
    let scene = Scene::new();
    for (bound, told) in [("63M", "at least 64M"), ("much", "is not a size")] {
        let run = scene.coffer(["--memory", bound, "snapshots"]).fails_with(2);
        assert!(run.errors().contains(told), "{}", run.errors());
    }
}
