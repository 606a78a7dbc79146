//! Interrupted runs: nothing listed, nothing in the way of the next run.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Scene, assert_same_tree, make, tree};

/// Sends a signal.
pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until `is_so`; a test that never comes so far fails.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "never came so far: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The exit code; a run that does not end after a signal is a failure, not a test that hangs.
pub fn code(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("does not end after a signal");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// True if a pack that is being written has a frame.
pub fn has_a_frame(scene: &Scene) -> bool {
    let Ok(staged) = fs::read_dir(scene.repo.join("tmp")) else { return false };
    staged.flatten().any(|entry| entry.metadata().is_ok_and(|meta| meta.len() > 1 << 20))
}

#[test]
fn an_interrupted_backup_ends_with_130_lists_nothing_and_the_next_one_works() {
    for kind in [Signal::INT, Signal::TERM, Signal::HUP] {
        let scene = Scene::in_memory();
        for number in 0..24 {
            make::file(&scene.source, format!("file-{number:02}"), make::noise(number, 8 << 20));
        }
        let mut command = scene.command();
        command.arg("backup").arg(&scene.source).stderr(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_until("a frame", || has_a_frame(&scene));
        signal(&child, kind);
        let code = code(&mut child);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(code, Some(130), "{errors}");
        assert!(errors.contains("interrupted"), "{errors}");
        assert!(scene.listed().is_empty());
        scene.coffer(["check"]).ok();
        let next = scene.try_backup(&[]).ok();
        let added = next.summary()["data_added"].as_u64().unwrap();
        assert!(added < (24 * 8) << 20, "nothing of the first run was used: {added} bytes added");
        assert_same_tree(&scene.source, &scene.restored(&next.snapshot_id()));
        assert_eq!(scene.listed(), [next.snapshot_id()]);
        scene.coffer(["verify"]).ok();
    }
}

#[test]
fn an_interrupted_stream_ends_with_130_however_long_nothing_comes() {
    let scene = Scene::new();
    let mut command = scene.command();
    command.args(["--json", "backup", "--stdin"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds: it is being read when this is through.
    stdin.write_all(&make::noise(1, 1 << 20)).unwrap();
    signal(&child, Signal::INT);
    assert_eq!(code(&mut child), Some(130));
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let text = String::from_utf8(output.stderr).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["message_type"], &last["code"]), (&"exit_error".into(), &130.into()));
    assert!(scene.listed().is_empty());
}

#[test]
fn an_interrupted_restore_leaves_no_half_file_and_the_next_one_completes_it() {
    let scene = Scene::in_memory();
    for number in 0..24 {
        make::file(&scene.source, format!("file-{number:02}"), make::noise(number, 8 << 20));
    }
    let id = scene.backup();
    let target = scene.target.clone();
    let mut command = scene.command();
    command.args(["restore", &id, "--target"]).arg(&target);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("a target", || target.exists());
    thread::sleep(Duration::from_millis(20));
    signal(&child, Signal::INT);
    let code = code(&mut child);
    // A quick machine may have been through.
    assert!(matches!(code, Some(130 | 0)), "{code:?}");
    let place = crate::support::below(&target, &scene.source);
    if let Ok(entries) = fs::read_dir(&place) {
        for entry in entries {
            let path = entry.unwrap().path();
            let wanted = fs::read(scene.source.join(path.file_name().unwrap()));
            assert!(wanted.is_ok_and(|bytes| bytes == fs::read(&path).unwrap()), "{path:?}");
        }
    }
    scene.restore_into(&id, &target, &[]).ok();
    assert_same_tree(&scene.source, &place);
    // Nothing temporary is left: beside the tree there are the folders above it.
    let above = scene.source.components().count() - 1;
    assert_eq!(tree::of(&target).len(), tree::of(&place).len() + above);
}
