//! `coffer prune`: room given back, nothing else lost; hold and undo; refusals; Ctrl-C.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::commands::interrupts::{code, has_a_frame, signal, wait_until};
use crate::harm::support::{Picture, objects};
use crate::support::{Scene, below, make, run};

/// Prunes all there is to prune at once.
const NOW: [&str; 4] = ["--leave-newer", "0s", "--max-unused", "0"];

/// Snapshots of which each has a file of its own beside what all have, with what each holds.
fn snapshots(scene: &Scene, count: u64) -> Vec<(String, Picture)> {
    make::file(&scene.source, "shared", make::noise(1000, 200_000));
    let snapshot = |number| {
        make::file(&scene.source, "own", make::noise(number, 300_000));
        (scene.backup(), Picture::of(&scene.source))
    };
    (0..count).map(snapshot).collect()
}

#[track_caller]
fn assert_restores(scene: &Scene, wanted: &[(String, Picture)]) {
    let ids: Vec<&str> = wanted.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(scene.listed(), ids);
    for (id, picture) in wanted {
        assert_eq!(Picture::of(&scene.restored(id)), *picture, "{id}");
    }
    scene.coffer(["verify"]).ok();
}

/// Bytes of all packs.
fn pack_bytes(scene: &Scene) -> usize {
    objects(&scene.repo.join("packs")).values().map(Vec::len).sum()
}

#[track_caller]
fn prune(scene: &Scene, options: &[&str]) -> Value {
    let summary = scene.coffer([&["--json", "prune"], &NOW[..], options].concat()).ok().summary();
    assert_eq!(summary["action"], "prune", "{summary}");
    summary
}

#[test]
fn what_only_forgotten_snapshots_need_is_given_back_and_the_rest_restores() {
    let scene = Scene::new();
    let wanted = snapshots(&scene, 4);
    scene.coffer(["forget", &wanted[0].0, &wanted[2].0]).ok();
    let before = pack_bytes(&scene);
    let found = prune(&scene, &[]);
    assert_eq!((&found["snapshots"], &found["snapshots_dropped"]), (&2.into(), &2.into()));
    // The first pack also has what all need, and is rewritten.
    assert_eq!(found["packs_rewritten"], 1, "{found}");
    let deleted = found["bytes_deleted"].as_u64().unwrap();
    let written = found["bytes_written"].as_u64().unwrap();
    assert_eq!(before as u64 - deleted + written, pack_bytes(&scene) as u64, "{found}");
    assert!(pack_bytes(&scene) < before - 590_000, "{found}");
    let kept = [wanted[1].clone(), wanted[3].clone()];
    assert_restores(&scene, &kept);
    let again = prune(&scene, &[]);
    assert_eq!((&again["packs_deleted"], &again["generation"]), (&0.into(), &0.into()), "{again}");
    let next = (scene.backup(), Picture::of(&scene.source));
    assert_restores(&scene, &[&kept[..], &[next]].concat());
}

#[test]
fn what_is_found_and_done_is_told_in_a_few_lines() {
    let scene = Scene::new();
    let wanted = snapshots(&scene, 3);
    scene.coffer(["forget", &wanted[1].0]).ok();
    let left = scene.coffer(["prune"]).ok().text();
    assert!(left.contains("left") && left.contains("--leave-newer"), "{left}");
    assert_restores(&scene, &[wanted[0].clone(), wanted[2].clone()]);
    let told = scene.coffer([&["prune", "-n"], &NOW[..]].concat()).ok().text();
    assert!(told.contains("garbage") && told.contains("this was a dry run"), "{told}");
    let done = scene.coffer([&["prune"], &NOW[..]].concat()).ok().text();
    assert!(
        done.starts_with("kept       2 snapshots, ") && done.contains("\ndeleted    "),
        "{done}"
    );
    let again = scene.coffer([&["prune"], &NOW[..]].concat()).ok().text();
    assert!(again.ends_with("deleted    nothing\n"), "{again}");
    let quiet = scene.coffer([&["prune", "-q"], &NOW[..]].concat()).ok();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
}

#[test]
fn forgetting_and_pruning_are_one_command_if_wanted() {
    let scene = Scene::new();
    let wanted = snapshots(&scene, 3);
    let rule = ["--json", "forget", "--keep-last", "1", "--prune"];
    let run = scene.coffer([&rule, &NOW[..]].concat()).ok();
    let actions: Vec<Value> = run.json().into_iter().map(|line| line["action"].clone()).collect();
    assert!(actions.contains(&"forget".into()) && actions.last() == Some(&"prune".into()));
    assert_eq!(run.summary()["snapshots_dropped"], 2);
    assert_restores(&scene, &wanted[2..]);
}

#[test]
fn what_is_held_can_be_taken_back_and_what_is_not_cannot() {
    let scene = Scene::new();
    let wanted = snapshots(&scene, 3);
    scene.coffer(["prune", "--undo"]).fails_with(5);
    scene.coffer(["forget", &wanted[0].0]).ok();
    let before = objects(&scene.repo.join("packs"));
    let held = prune(&scene, &["--hold", "1d"]);
    assert!(held["held_until"].is_string() && held["packs_deleted"] == 0, "{held}");
    assert_restores(&scene, &wanted[1..]);
    let still = scene.coffer(["prune", "--hold", "1d"]).ok().text();
    assert!(still.contains("an earlier prune") && still.contains("--undo"), "{still}");
    let late = scene.coffer(["forget", "--undo", &wanted[0].0]).fails_with(5);
    assert!(late.errors().contains("coffer prune --undo"), "{}", late.errors());
    let back = scene.coffer(["--json", "prune", "--undo"]).ok().summary();
    assert_eq!((&back["action"], &back["snapshots"]), (&"prune_undo".into(), &3.into()));
    assert_restores(&scene, &wanted);
    let after = objects(&scene.repo.join("packs"));
    assert!(before.iter().all(|(name, bytes)| after.get(name) == Some(bytes)));
    scene.coffer(["prune", "--undo"]).fails_with(5);
    // Held again, and then not: gone.
    scene.coffer(["forget", &wanted[0].0]).ok();
    prune(&scene, &["--hold", "1d"]);
    let kept = prune(&scene, &[]);
    assert!(kept["held_until"].is_string() && kept["packs_deleted"] == 0, "{kept}");
    let done = prune(&scene, &["--hold", "0s"]);
    assert!(done["packs_deleted"].as_u64().unwrap() > 0, "{done}");
    let late = scene.coffer(["prune", "--undo"]).fails_with(5);
    assert!(late.errors().contains("too late"), "{}", late.errors());
    assert_restores(&scene, &wanted[1..]);
}

#[test]
fn nothing_is_deleted_while_a_snapshot_needs_what_is_lost() {
    let scene = Scene::new();
    let wanted = snapshots(&scene, 3);
    scene.coffer(["forget", &wanted[0].0]).ok();
    // The content that only the last one has.
    let packs = objects(&scene.repo.join("packs"));
    let folder = fs::read_dir(scene.repo.join("packs")).unwrap();
    let files = folder.flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
    let large =
        files.map(|entry| entry.unwrap()).filter(|it| it.metadata().unwrap().len() > 250_000);
    let newest = large.max_by_key(|entry| entry.metadata().unwrap().modified().unwrap());
    fs::remove_file(newest.expect("a pack of data").path()).unwrap();
    let refused = scene.coffer([&["prune"], &NOW[..]].concat()).fails_with(4);
    assert!(refused.errors().contains(&wanted[2].0), "{}", refused.errors());
    assert!(refused.errors().contains("coffer forget"), "{}", refused.errors());
    assert_eq!(objects(&scene.repo.join("packs")).len(), packs.len() - 1);
    // The way out: the source still has it.
    let healed = (scene.backup(), wanted[2].1.clone());
    prune(&scene, &[]);
    assert_restores(&scene, &[wanted[1].clone(), wanted[2].clone(), healed]);
}

#[test]
fn a_key_that_may_not_read_secrets_prunes_them_and_keeps_what_is_needed() {
    let scene = Scene::new();
    let secret = scene.path("secret");
    for number in 0..3 {
        fs::write(&secret, make::noise(number, 100_000)).unwrap();
        make::file(&scene.source, "own", make::noise(10 + number, 100_000));
        scene.try_backup(&["--secrets", secret.to_str().unwrap(), "--job", "j"]).ok();
    }
    let low = scene.path("low");
    scene.coffer(["key", "add", "--no-secrets", "--new-key-file", low.to_str().unwrap()]).ok();
    let before = pack_bytes(&scene);
    let mut command = scene.command();
    command.args(["forget", "--keep-last", "1", "--prune"]).args(NOW);
    run::finish(command.env("COFFER_KEY_FILE", &low), None).ok();
    assert!(pack_bytes(&scene) < before * 2 / 5, "{before} {}", pack_bytes(&scene));
    scene.coffer(["verify"]).ok();
    let target = scene.fresh_target();
    scene.restore_into("latest", &target, &[]).ok();
    assert!(fs::read(below(&target, &secret)).unwrap() == fs::read(&secret).unwrap());
}

#[test]
fn an_interrupted_prune_ends_with_130_and_the_next_one_goes_on() {
    let scene = Scene::in_memory();
    for number in 0..24 {
        make::file(&scene.source, format!("file-{number:02}"), make::noise(number, 8 << 20));
    }
    let first = scene.backup();
    for number in (0..24).step_by(2) {
        fs::remove_file(scene.source.join(format!("file-{number:02}"))).unwrap();
    }
    let second = (scene.backup(), Picture::of(&scene.source));
    scene.coffer(["forget", &first]).ok();
    let before = pack_bytes(&scene);
    let mut command = scene.command();
    command.arg("prune").args(NOW).stderr(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_until("a frame", || has_a_frame(&scene));
    signal(&child, Signal::INT);
    assert_eq!(code(&mut child), Some(130));
    assert!(pack_bytes(&scene) >= before, "nothing is deleted before all is written");
    assert_restores(&scene, std::slice::from_ref(&second));
    prune(&scene, &[]);
    assert!(pack_bytes(&scene) < before * 6 / 10, "{before} {}", pack_bytes(&scene));
    assert_restores(&scene, &[second]);
}
