//! Standard output and error: JSON, closed pipes, quiet and loud runs.

use std::io;
use std::process::{Command, Stdio};

use crate::support::{Scene, make, run};

#[test]
fn a_backup_with_json_ends_with_a_summary() {
    let scene = Scene::new();
    make::file(&scene.source, "a", "1");
    make::file(&scene.source, "b", "22");
    let run = scene.try_backup(&["-vv"]).ok();
    let lines = run.json();
    assert!(lines.iter().all(|line| line["message_type"].is_string()));
    let summaries = lines.iter().filter(|line| line["message_type"] == "summary").count();
    assert_eq!(summaries, 1);
    let summary = run.summary();
    assert_eq!(summary["snapshot_id"].as_str().unwrap().len(), 32);
    assert_eq!((&summary["files_new"], &summary["total_bytes_processed"]), (&2.into(), &3.into()));
    assert_eq!(summary["partial"], false);
    let named = |name: &str| {
        let path = scene.source.join(name);
        lines.iter().any(|line| line["item"] == path.to_str().unwrap())
    };
    assert!(named("a") && named("b"), "{}", run.text());
}

#[test]
fn every_command_with_json_writes_lines_of_json() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "file\nname", "x");
    let source = scene.source.to_str().unwrap();
    let target = scene.fresh_target();
    for args in [
        &["init"][..],
        &["backup", source],
        &["snapshots"],
        &["ls", "latest"],
        &["check"],
        &["verify"],
        &["key", "list"],
        &["restore", "latest", "--target", target.to_str().unwrap()],
    ] {
        let run = scene.coffer([&["--json"], args].concat()).ok();
        assert!(!run.json().is_empty(), "{args:?}");
        let is_quiet = args[0] == "init" || run.stderr.is_empty();
        assert!(is_quiet, "{args:?}: {}", run.errors());
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_json_on_standard_error() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let run = scene.try_backup(&["missing-root"]).fails_with(3);
    let lines = run.json_errors();
    assert_eq!(lines[0]["message_type"], "error");
    assert!(lines[0]["item"].as_str().unwrap().ends_with("missing-root"), "{lines:?}");
    let last = lines.last().unwrap();
    assert_eq!((&last["message_type"], &last["code"]), (&"exit_error".into(), &3.into()));
    assert_eq!(run.summary()["partial"], true);
}

#[test]
fn a_quiet_run_says_nothing() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let run = scene.coffer(["-q", "backup", scene.source.to_str().unwrap()]).ok();
    assert_eq!((run.text(), run.errors()), (String::new(), String::new()));
    let target = scene.fresh_target();
    let run = scene.restore_into("latest", &target, &["-q"]).ok();
    assert_eq!((run.text(), run.errors()), (String::new(), String::new()));
    let run = scene.coffer(["-q", "verify"]).ok();
    assert_eq!((run.text(), run.errors()), (String::new(), String::new()));
}

/// Runs `args` with a standard output that nobody reads.
fn unheard(scene: &Scene, args: &[&str]) -> run::Run {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    run::finish_to(scene.command().args(args), writer.into())
}

#[test]
fn a_closed_standard_output_ends_quietly_and_undoes_nothing() {
    let scene = Scene::new();
    make::file(&scene.source, "file", make::noise(1, 3_000_000));
    let source = scene.source.to_str().unwrap();
    let file = format!("latest:{source}/file");
    for args in [
        &["backup", source][..],
        &["--json", "backup", source],
        &["snapshots"],
        &["ls", "-l", "latest"],
        &["cat", &file],
        &["verify"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
    ] {
        let run = unheard(&scene, args).ok();
        assert_eq!(run.errors(), "", "{args:?}");
    }
    assert_eq!(scene.listed().len(), 2);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(scene.command().get_program());
    command.args(["-r", scene.repo.to_str().unwrap(), "--key-file", scene.key.to_str().unwrap()]);
    command.args(["--cache-dir", scene.cache.to_str().unwrap()]);
    command.args(["--state-dir", scene.state.to_str().unwrap(), "backup", source]);
    run::finish(command.stdin(Stdio::null()), None).ok();
    assert_eq!(scene.listed().len(), 3);
}

#[test]
fn a_full_standard_output_is_a_failure_but_the_snapshot_stays() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let source = scene.source.to_str().unwrap();
    let to_full = |args: &[&str]| run::finish_to(scene.command().args(args), full().into());
    to_full(&["snapshots"]).fails_with(1);
    to_full(&["backup", source]).fails_with(1);
    assert_eq!(scene.listed().len(), 1);
    to_full(&["cat", &format!("latest:{source}/file")]).fails_with(1);
}
