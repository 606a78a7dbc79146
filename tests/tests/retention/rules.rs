//! `coffer forget`: by a rule, by name, and back again.

use std::fs;

use serde_json::Value;

use super::ids;
use crate::harm::support::objects;
use crate::support::{Scene, assert_same_tree, make, run};

/// Snapshots of the source folder, each with other files, with these jobs and tags; oldest first.
fn snapshots(scene: &Scene, jobs_and_tags: &[(&str, &str)]) -> Vec<String> {
    let snapshot = |(number, (job, tag)): (u64, &(&str, &str))| {
        make::file(&scene.source, "file", make::noise(number, 50_000));
        scene.try_backup(&["--job", job, "--tag", tag]).ok().snapshot_id()
    };
    (0..).zip(jobs_and_tags).map(snapshot).collect()
}

/// The lines about groups, and the last one.
#[track_caller]
fn forget(scene: &Scene, options: &[&str]) -> (Vec<Value>, Value) {
    let mut lines = scene.coffer([&["--json", "forget"], options].concat()).ok().json();
    let last = lines.pop().expect("a summary");
    assert_eq!((&last["message_type"], &last["action"]), (&"summary".into(), &"forget".into()));
    assert!(lines.iter().all(|line| line["message_type"] == "forget_group"), "{lines:?}");
    (lines, last)
}

#[test]
fn every_part_of_a_rule_keeps_and_says_why() {
    let scene = Scene::new();
    let all = snapshots(&scene, &[("app", "old"), ("app", "new"), ("app", "new")]);
    let newest = &all[2..];
    let parts: [(&str, &str, &[String]); 10] = [
        ("--keep-last", "1", newest),
        ("--keep-last", "9", &all),
        ("--keep-within", "1w", &all),
        ("--keep-minutely", "1", newest),
        ("--keep-hourly", "1", newest),
        ("--keep-daily", "1", newest),
        ("--keep-weekly", "1", newest),
        ("--keep-monthly", "1", newest),
        ("--keep-yearly", "1", newest),
        ("--keep-tag", "new", &all[1..]),
    ];
    for (option, value, kept) in parts {
        let (groups, last) = forget(&scene, &["-n", option, value]);
        assert_eq!(ids(&groups[0]["keep"]), kept, "{option} {value}");
        assert_eq!(ids(&groups[0]["remove"]), all[..all.len() - kept.len()], "{option} {value}");
        let reasons = &groups[0]["keep"][0]["reasons"];
        assert_eq!(reasons[0], option.trim_start_matches("--keep-"), "{option} {value}");
        assert_eq!(last["snapshots_kept"], kept.len());
        assert_eq!((&last["dry_run"], &groups[0]["job"]), (&true.into(), &"app".into()));
    }
    let (groups, _) = forget(&scene, &["-n", "--keep-daily", "1", "--keep-tag", "old"]);
    assert_eq!(ids(&groups[0]["keep"]), [all[0].clone(), all[2].clone()]);
    let (groups, _) = forget(&scene, &["-n", "--keep-tag", "nobody has it"]);
    assert_eq!(ids(&groups[0]["keep"]), newest, "a rule never forgets all");
    assert_eq!(groups[0]["keep"][0]["reasons"][0], "newest");
    assert_eq!(scene.listed(), all);
}

#[test]
fn a_rule_is_for_each_host_and_job_and_only_for_what_the_filter_matches() {
    let scene = Scene::new();
    let jobs = [("app", "a"), ("web", "a"), ("app", "b"), ("web", "b"), ("app", "b")];
    let all = snapshots(&scene, &jobs);
    let (groups, last) = forget(&scene, &["--keep-last", "1", "--tag", "a"]);
    assert_eq!((groups.len(), &last["snapshots_forgotten"]), (2, &0.into()));
    assert_eq!((&groups[0]["left"], &groups[1]["left"]), (&3.into(), &2.into()));
    let (groups, _) = forget(&scene, &["--keep-last", "1", "--job", "web"]);
    assert_eq!(groups.len(), 1);
    assert_eq!(scene.listed(), [&all[..1], &all[2..]].concat());
    let (groups, last) = forget(&scene, &["--keep-last", "1"]);
    assert_eq!(ids(&groups[0]["remove"]), [all[0].clone(), all[2].clone()]);
    assert_eq!((&last["snapshots_kept"], &last["snapshots_forgotten"]), (&2.into(), &2.into()));
    assert_eq!(scene.listed(), all[3..]);
    for id in &all[3..] {
        scene.restored(id);
    }
    let text = scene.coffer(["forget", "--keep-last", "1"]).ok().text();
    assert!(text.contains("keep: last") && text.ends_with("nothing to forget\n"), "{text}");
}

#[test]
fn a_dry_run_changes_nothing() {
    let scene = Scene::new();
    let all = snapshots(&scene, &[("app", "a"), ("app", "a"), ("app", "a")]);
    scene.coffer(["forget", &all[0]]).ok();
    let before = objects(&scene.repo);
    let now = ["--leave-newer", "0s"];
    let (_, last) = forget(&scene, &["-n", &all[2]]);
    assert_eq!((&last["dry_run"], &last["snapshots_forgotten"]), (&true.into(), &1.into()));
    let text = scene.coffer(["forget", "-n", "--keep-last", "1"]).ok().text();
    assert!(text.contains("1 snapshot would be forgotten"), "{text}");
    let told = scene.coffer([&["--json", "prune", "-n"], &now[..]].concat()).ok().summary();
    assert!(told["bytes_freed"].as_u64().unwrap() >= 50_000, "{told}");
    let rule = ["--json", "forget", "-n", "--keep-last", "1", "--prune"];
    let both = scene.coffer([&rule, &now[..]].concat()).ok().summary();
    assert_eq!((&both["action"], &both["snapshots"]), (&"prune".into(), &1.into()));
    assert!(both["bytes_freed"].as_u64().unwrap() >= 100_000, "{both}");
    assert_eq!(objects(&scene.repo), before);
}

#[test]
fn snapshots_are_forgotten_by_name_and_put_back() {
    let scene = Scene::new();
    let all = snapshots(&scene, &[("app", "a"), ("app", "b"), ("web", "b")]);
    let (groups, _) = forget(&scene, &[&all[0][..8], "latest", "--tag", "b"]);
    assert_eq!(groups.iter().map(|it| it["left"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(scene.listed(), all[1..2]);
    scene.coffer(["check"]).ok();
    scene.coffer(["restore", &all[0], "--target", "/nonexistent/x"]).fails_with(1);
    let back = scene.coffer(["--json", "forget", "--undo", &all[2][..8], &all[0]]).ok().summary();
    assert_eq!(back["snapshot_ids"], serde_json::json!([all[2], all[0]]));
    assert_eq!(scene.listed(), all);
    assert_same_tree(&scene.source, &scene.restored(&all[2]));
    let told = scene.coffer(["forget", "latest"]).ok();
    assert!(told.errors().contains("has no other snapshot"), "{}", told.errors());
    let told = scene.coffer(["-q", "forget", &all[1]]).ok();
    assert!(told.stdout.is_empty() && told.stderr.is_empty());
    scene.coffer(["prune"]).ok();
    let late = scene.coffer(["forget", "--undo", &all[1]]).fails_with(5);
    assert!(late.errors().contains("too late"), "{}", late.errors());
    assert_eq!(scene.listed(), all[..1]);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error_that_says_what_to_give() {
    let scene = Scene::new();
    let id = &snapshots(&scene, &[("app", "a")])[0];
    let none = scene.coffer(["forget"]).fails_with(2);
    assert!(none.errors().contains("ids") && none.errors().contains("--keep-daily 7"));
    for line in [
        "forget --keep-last 0",
        "forget --job app",
        "forget --undo",
        "forget --undo latest",
        "forget --keep-last 1 --hold 1d",
        "forget abc",
        "prune --undo -n",
        "prune --hold never",
        "prune --max-unused 120",
    ] {
        scene.coffer(line.split(' ')).fails_with(2);
    }
    let both = scene.coffer(["forget", id, "--keep-last", "1"]).fails_with(2);
    assert!(both.errors().contains("cannot be used with"), "{}", both.errors());
    scene.coffer(["forget", "abcdef0123"]).fails_with(1);
    scene.coffer(["forget", "--undo", id]).fails_with(1);
    assert_eq!(scene.listed(), [id.as_str()]);
    assert!(
        !scene.repo.join("forgets").exists() || objects(&scene.repo.join("forgets")).is_empty()
    );
}

#[test]
fn checkpoints_of_runs_that_were_killed_go_with_the_rule_that_counts_none_of_them() {
    let scene = Scene::new();
    for number in 0..3_u64 {
        make::file(&scene.source, format!("{number}"), make::noise(number, 4_300_000));
    }
    let backup = |crash_at: u64| {
        let mut command = scene.command();
        command.args(["--json", "backup", "--checkpoint-interval", "1ms"]).arg(&scene.source);
        run::finish(command.env("COFFER_TEST_CRASH_AT", crash_at.to_string()), None)
    };
    let count = || {
        let all = scene.coffer(["--json", "snapshots", "--all"]).ok().json();
        all[0].as_array().unwrap().len()
    };
    let crash_at = (10..).step_by(3).find(|at| {
        assert_eq!(backup(*at).code, None, "killed at {at}");
        count() > 0
    });
    let newest = backup(u64::MAX).ok().snapshot_id();
    assert!(count() > 1, "killed at {crash_at:?}");
    let rule = ["forget", "--keep-last", "5", "--json"];
    let last = scene.coffer(rule).ok().summary();
    assert_eq!((&last["snapshots_kept"], &last["snapshots_forgotten"]), (&1.into(), &0.into()));
    assert!(last["checkpoints_forgotten"].as_u64().unwrap() >= 1, "{last}");
    assert_eq!(count(), 1);
    scene.coffer(["prune", "--leave-newer", "0s"]).ok();
    assert_same_tree(&scene.source, &scene.restored(&newest));
    scene.coffer(["verify"]).ok();
}

#[test]
fn a_damaged_snapshot_stays_until_it_is_named() {
    let scene = Scene::new();
    let all = snapshots(&scene, &[("app", "a"), ("app", "a"), ("app", "a")]);
    let folder = fs::read_dir(scene.repo.join("snapshots/0")).unwrap();
    let path = folder
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(all[0].as_str()));
    let path = path.expect("its object");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let told = scene.coffer(["forget", "--keep-last", "1"]).ok();
    assert!(told.errors().contains(&all[0]), "{}", told.errors());
    let refused = scene.coffer(["prune"]).fails_with(4);
    let way_out = format!("coffer forget {}", all[0]);
    assert!(refused.errors().contains(&way_out), "{}", refused.errors());
    let text = scene.coffer(way_out.split(' ').skip(1)).ok().text();
    assert!(text.contains("damaged: forget 1 snapshot"), "{text}");
    scene.coffer(["prune", "--leave-newer", "0s"]).ok();
    assert_eq!(scene.listed(), all[2..]);
    scene.coffer(["verify"]).ok();
}
