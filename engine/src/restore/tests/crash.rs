//! Kills a restore at every point before and after an effect.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::memory::*;
use crate::restore::*;

const TARGET: &str = "COFFER_TEST_CRASH_TARGET";
const CRASH_AT: &str = "COFFER_TEST_CRASH_AT";

fn sample() -> Memory {
    let mut memory = Memory::new();
    for number in 0..12_u64 {
        memory.file(&format!("a/d{}/f{number}", number % 3), &noise(number, 3000));
    }
    memory.file("a/big", &noise(99, 5 << 20));
    memory.file("a/d1/h1", b"linked").link_group = 1;
    memory.file("b/h2", b"linked").link_group = 1;
    memory.symlink("b/link", "to");
    memory.file("top", b"top");
    memory
}

/// Runs only as the process to be killed.
#[test]
fn child() {
    let Ok(target) = std::env::var(TARGET) else { return };
    let summary = sample().restore_to(Path::new(&target));
    assert_eq!(summary.problem_count, 0);
}

/// True if the child was killed.
fn run_child(target: &Path, crash_at: u64) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restore::tests::crash::child"])
        .env(TARGET, target)
        .env(CRASH_AT, crash_at.to_string())
        .output()
        .unwrap()
        .status;
    assert!(status.success() || status.code().is_none(), "{status}");
    !status.success()
}

/// Every file with its final path is whole; true if all are there.
fn check(target: &Path, memory: &Memory, old: Option<&[u8]>) -> bool {
    let mut is_complete = true;
    for (path, bytes) in &memory.files {
        match fs::read(target.join(path)) {
            Ok(found) if found == *bytes => {}
            Ok(found) => {
                assert!(old == Some(&found), "{path} is partial");
                is_complete = false;
            }
            Err(_) => is_complete = false,
        }
    }
    is_complete
}

fn kill_at_every_point(prepare: impl Fn(&Path), old: Option<&[u8]>) {
    let memory = sample();
    for crash_at in 1.. {
        let target = scratch();
        prepare(target.path());
        let was_killed = run_child(target.path(), crash_at);
        let is_complete = check(target.path(), &memory, old);
        assert!(was_killed || is_complete);
        let overwrite = if crash_at % 2 == 0 { Overwrite::Always } else { Overwrite::IfChanged };
        let options = RestoreOptions {
            target: target.path().to_owned(),
            overwrite,
            ..RestoreOptions::default()
        };
        assert_eq!(memory.restore(&options).unwrap().problem_count, 0);
        assert!(check(target.path(), &memory, None), "killed at {crash_at}");
        let found = listing(target.path());
        assert!(
            found.iter().all(|path| !path.contains(".coffer-")),
            "killed at {crash_at}: {found:?}"
        );
        if !was_killed {
            assert!(crash_at > 50, "only {crash_at} points");
            return;
        }
    }
}

#[test]
fn a_restore_killed_anywhere_leaves_nothing_partial_and_the_next_completes() {
    kill_at_every_point(|_| {}, None);
}

#[test]
fn a_restore_over_an_older_tree_killed_anywhere_leaves_each_file_old_or_new() {
    let old = b"old content";
    let prepare = |target: &Path| {
        fs::create_dir_all(target.join("a/d1")).unwrap();
        fs::create_dir_all(target.join("b")).unwrap();
        for path in ["a/d1/f1", "a/d1/f4", "a/big", "b/h2", "top"] {
            fs::write(target.join(path), old).unwrap();
        }
    };
    kill_at_every_point(prepare, Some(old));
}
