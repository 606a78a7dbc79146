//! Help, manual pages, completions, mistakes.

use std::fs;

use crate::support::{Run, Scene, make};

const COMMANDS: [&str; 25] = [
    "",
    "init",
    "backup",
    "snapshots",
    "ls",
    "find",
    "diff",
    "stats",
    "cat",
    "restore",
    "mount",
    "check",
    "verify",
    "watch",
    "forget",
    "prune",
    "key",
    "key list",
    "key add",
    "key remove",
    "key passwd",
    "tune",
    "completions",
    "man",
    "man --quiet",
];

#[test]
fn every_command_explains_itself_with_examples() {
    let scene = Scene::without_repository();
    for command in COMMANDS {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let run = scene.coffer(args).ok();
        assert!(run.stderr.is_empty(), "{}", run.errors());
        let text = run.text();
        let examples = text.split_once("Examples:\n").expect(command).1;
        let first = examples.lines().next().unwrap().trim();
        assert!(first.contains("coffer"), "{command}: {first}");
        assert!(text.contains("Usage:"), "{command}");
    }
}

#[test]
fn the_help_names_every_command_that_there_is() {
    let scene = Scene::without_repository();
    let text = scene.coffer(["--help"]).ok().text();
    let list = text.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let named: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for command in COMMANDS.iter().filter(|c| !c.is_empty() && !c.contains(' ')) {
        assert!(named.contains(command), "{command} is not in {named:?}");
    }
    for code in ["0", "1", "2", "3", "4", "5", "6", "10", "12", "130"] {
        let is_told = |line: &str| line.trim_start().starts_with(&format!("{code}  "));
        assert!(text.lines().any(is_told), "exit code {code}");
    }
}

#[test]
fn the_version_is_told() {
    let text = Scene::without_repository().coffer(["--version"]).ok().text();
    assert!(text.starts_with("coffer ") && text.contains('.'), "{text}");
}

#[test]
fn completions_are_a_script_of_the_shell() {
    let scene = Scene::without_repository();
    let script = scene.coffer(["completions", "bash"]).ok();
    let file = make::file(&scene.source, "completions", &script.stdout);
    assert!(script.text().contains("snapshots") && script.text().contains("complete -F"));
    if let Ok(status) = std::process::Command::new("bash").arg("-n").arg(file).status() {
        assert!(status.success(), "bash refuses the script");
    }
    for shell in ["zsh", "fish"] {
        assert!(scene.coffer(["completions", shell]).ok().text().contains("coffer"));
    }
    scene.coffer(["completions", "cmd"]).fails_with(2);
}

#[test]
fn the_manual_is_printed_or_written_a_page_a_command() {
    let scene = Scene::without_repository();
    let page = scene.coffer(["man"]).ok().text();
    assert!(page.contains(".TH coffer") && page.contains("SYNOPSIS"), "{page}");
    let folder = scene.source.join("man1");
    fs::create_dir(&folder).unwrap();
    scene.coffer(["man", folder.to_str().unwrap()]).ok();
    for page in ["coffer.1", "coffer-backup.1", "coffer-restore.1", "coffer-key-add.1"] {
        assert!(folder.join(page).exists(), "{page}");
    }
}

fn mistake(args: &[&str]) -> Run {
    let scene = Scene::without_repository();
    let run = scene.coffer(args).fails_with(2);
    assert!(run.stdout.is_empty(), "{args:?}: {}", run.text());
    assert!(!scene.repo.exists() && !scene.key.exists(), "{args:?} made something");
    run
}

#[test]
fn mistakes_in_the_options_end_with_2_and_touch_nothing() {
    for args in [
        &["nonsense"][..],
        &["backup"],
        &["backup", "--nonsense", "source"],
        &["backup", "--zero-free-pages", "--sqlite-check", "none", "source"],
        &["watch", "--zero-free-pages", "--sqlite-check", "none", "a.db"],
        &["backup", "--exclude-larger-than", "many", "source"],
        &["backup", "--racy-window", "2", "source"],
        &["backup", "--stdin-filename", "x", "source"],
        &["backup", "--stdin", "--stdin-filename", "a/../b"],
        &["backup", "--stdin", "--stdin-filename", "/"],
        &["backup", "--stdin", "--files-from", "-"],
        &["backup", "--init", "-n", "source"],
        &["backup", "--kdf", "strong", "source"],
        &["backup", "--files-from", "missing"],
        &["backup", ""],
        &["restore", "latest"],
        &["restore", "latest:a/../b", "--target", "t"],
        &["restore", "zebra", "--target", "t"],
        &["restore", "latest", "--target", "t", "--overwrite", "maybe"],
        &["restore", "latest", "--target", "t", "--to-sqlite", "f"],
        &["restore", "latest", "--to-sqlite", "f", "--delete"],
        &["restore", "latest", "--to-sqlite", "f", "--include", "*"],
        &["restore", "latest", "--to-sqlite", "f", "--overwrite", "never"],
        &["restore", "latest", "--to-sqlite", "f/"],
        &["ls"],
        &["ls", ":path"],
        &["cat", "latest"],
        &["find"],
        &["find", "x", "--type", "folder"],
        &["find", "x", "--snapshot", "zebra"],
        &["diff", "latest"],
        &["diff", "latest", "zebra"],
        &["stats", "zebra"],
        &["ls", "-l", "--facts", "latest"],
        &["cat", "latest:/"],
        &["key", "remove"],
        &["tune"],
        &["tune", "--sample", "much", "source"],
        &["backup", "--tuned", "file", "source"],
        &["key", "add", "--new-key-file", "a", "--new-password-file", "b"],
        &["snapshots", "--latest", "-1"],
        &["-q", "-v", "snapshots"],
        &["--no-cache", "--cache-dir", "c", "snapshots"],
        &["-r", "", "snapshots"],
        &["-r", "s3://bucket/prefix", "snapshots"],
        &["-r", "sftp:host:/path", "snapshots"],
        &["-r", "file://host/path", "snapshots"],
    ] {
        let run = mistake(args);
        assert!(run.errors().starts_with("coffer: error: "), "{args:?}: {}", run.errors());
    }
}

#[test]
fn no_command_at_all_shows_the_help_and_ends_with_2() {
    for args in [&[][..], &["key"]] {
        let run = mistake(args);
        assert!(run.errors().contains("Usage:"), "{}", run.errors());
    }
}

#[test]
fn mistakes_with_json_are_json_on_standard_error() {
    for args in
        [&["--json", "nonsense"][..], &["backup", "--json"], &["--json", "-r", "", "ls", "ab"]]
    {
        let lines = mistake(args).json_errors();
        let last = lines.last().unwrap();
        assert_eq!((&last["message_type"], &last["code"]), (&"exit_error".into(), &2.into()));
        assert!(!last["message"].as_str().unwrap().is_empty());
    }
}
